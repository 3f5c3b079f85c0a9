"""Who is asking: a bearer token, a browser's session cookie, or nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

from anyio import to_thread
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import RedirectResponse, Response

from geomill.access import Grant, Role
from geomill.api.parameters import json_response
from geomill.errors import NotAuthenticated, NotAuthorized

if TYPE_CHECKING:
    from geomill.bootstrap import Services

COOKIE = "geomill_session"
SESSION_LIFETIME_S = 12 * 3600
ANONYMOUS = Grant("anonymous", Role.READER)
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_BEARER_REMEDY = "Send the header 'Authorization: Bearer <token>'."


def services_of(request: Request) -> Services:
    """The services of the application that answers ``request``."""
    return request.app.state.services


class Requires:
    """A route's declaration of the role it needs; gives the caller's grant."""

    def __init__(self, role: Role) -> None:
        self.role = role

    async def __call__(self, request: Request) -> Grant:
        """The caller's grant.

        Raises:
            NotAuthenticated: no token where one is needed, or one that is not ours.
            NotAuthorized: the role does not reach, or the request came from another site.
        """
        grant = await _grant_of(request)
        if grant is None:
            raise NotAuthenticated("This needs a token.", remedy=_BEARER_REMEDY)
        if not grant.role.includes(self.role):
            if grant == ANONYMOUS:
                raise NotAuthenticated(
                    f"This needs a token with the role {self.role}.", remedy=_BEARER_REMEDY
                )
            raise NotAuthorized(
                f"This needs the role {self.role}; the token has {grant.role}.",
                remedy="Use a token with that role.",
            )
        return grant


class Anyone:
    """A route's declaration that it answers without a token whatever the settings say."""

    role = Role.READER

    async def __call__(self) -> None:
        """Let everyone through."""


def requires(role: Role) -> Requires:
    """The dependency every route declares its role with."""
    return Requires(role)


anyone = Anyone()
READER = Depends(requires(Role.READER))
PUBLIC = Depends(anyone)
Operator = Annotated[Grant, Depends(requires(Role.OPERATOR))]

router = APIRouter(prefix="/api/auth", tags=["auth"])


@router.get("/me")
async def me(grant: Annotated[Grant, Depends(requires(Role.READER))]) -> Response:
    """Who the server takes the caller for."""
    return json_response(
        {"name": grant.name, "role": grant.role, "authenticated": grant != ANONYMOUS}
    )


@router.get("/signin", dependencies=[PUBLIC])
async def signin(request: Request, code: Annotated[str, Query()]) -> Response:
    """Trade a one-time code for a browser session, and go to the map."""
    tokens = services_of(request).tokens
    grant = await to_thread.run_sync(tokens.redeem, code)
    if grant is None:
        raise NotAuthenticated(
            "This sign-in link has been used or has expired.",
            remedy="Make a new one where geomill runs.",
        )
    secret = await to_thread.run_sync(
        lambda: tokens.mint(grant.role, grant.name, lifetime_s=SESSION_LIFETIME_S)
    )
    response = RedirectResponse("/", status_code=303)
    response.set_cookie(
        COOKIE,
        secret,
        max_age=SESSION_LIFETIME_S,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    response.headers["Cache-Control"] = "no-store"
    return response


async def _grant_of(request: Request) -> Grant | None:
    header = request.headers.get("authorization")
    if header is not None:
        return await _bearer(request, header)
    secret = request.cookies.get(COOKIE)
    if secret is not None:
        grant = await to_thread.run_sync(services_of(request).tokens.find, secret)
        if grant is not None:
            _check_same_origin(request)
            return grant
    return ANONYMOUS if services_of(request).settings.anonymous_may_read else None


async def _bearer(request: Request, header: str) -> Grant:
    scheme, _, secret = header.partition(" ")
    grant = None
    if scheme.lower() == "bearer":
        grant = await to_thread.run_sync(services_of(request).tokens.find, secret.strip())
    if grant is None:
        raise NotAuthenticated("The token is unknown or has expired.", remedy=_BEARER_REMEDY)
    return grant


def _check_same_origin(request: Request) -> None:
    """A cookie travels on its own, so what changes something must come from our own pages."""
    origin = request.headers.get("origin")
    if request.method in _SAFE_METHODS or origin is None:
        return
    if urlsplit(origin).netloc != request.headers.get("host"):
        raise NotAuthorized(
            f"The request comes from {origin}, another site.",
            remedy="Use geomill's own page, or a bearer token.",
        )
