"""Errors as clients read them: RFC 9457 problem details, from one table."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

import orjson
import structlog
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from geomill.errors import (
    AlreadyExists,
    ConfigurationError,
    DatabaseUnavailable,
    GeomillError,
    InvalidRequest,
    NotAuthenticated,
    NotAuthorized,
    NotFound,
    Superseded,
    TaskCrashed,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastapi import FastAPI

MEDIA_TYPE = "application/problem+json"

STATUS_OF: dict[type[GeomillError], HTTPStatus] = {
    InvalidRequest: HTTPStatus.UNPROCESSABLE_ENTITY,
    NotFound: HTTPStatus.NOT_FOUND,
    AlreadyExists: HTTPStatus.CONFLICT,
    NotAuthenticated: HTTPStatus.UNAUTHORIZED,
    NotAuthorized: HTTPStatus.FORBIDDEN,
    ConfigurationError: HTTPStatus.INTERNAL_SERVER_ERROR,
    DatabaseUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    TaskCrashed: HTTPStatus.INTERNAL_SERVER_ERROR,
    Superseded: HTTPStatus.CONFLICT,
    GeomillError: HTTPStatus.INTERNAL_SERVER_ERROR,
}
_DOCS = "GET /api/docs shows every route and its parameters."
_REMEDY_OF = {
    HTTPStatus.NOT_FOUND: _DOCS,
    HTTPStatus.METHOD_NOT_ALLOWED: _DOCS,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "Send a smaller body.",
}
_log = structlog.get_logger()


async def answers_400(request: Request) -> None:
    """A dependency of routes whose standard (OGC, STAC) wants 400 for what 422 says elsewhere."""
    request.state.invalid_status = HTTPStatus.BAD_REQUEST


def install(app: FastAPI) -> None:
    """Make every error of ``app`` a problem document."""
    app.add_exception_handler(GeomillError, _geomill_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(Exception, _unexpected)


def problem(
    request: Request,
    status: HTTPStatus,
    *,
    kind: str,
    detail: str,
    remedy: str,
    headers: Mapping[str, str] | None = None,
    **members: Any,
) -> Response:
    """A problem document.

    Args:
        request: What it answers.
        status: Its HTTP status.
        kind: The name of the error's class, as in ``geomill.errors``.
        detail: What is wrong, naming the input.
        remedy: What the reader can do.
        headers: Further response headers.
        members: Further members of the document.
    """
    body = {
        "type": f"urn:geomill:problem:{kind}",
        "title": status.phrase,
        "status": status.value,
        "detail": detail,
        "remedy": remedy,
        "instance": request.url.path,
        **members,
    }
    return Response(
        orjson.dumps(body), status_code=status, media_type=MEDIA_TYPE, headers=dict(headers or {})
    )


def _status_of(request: Request, error: GeomillError) -> HTTPStatus:
    status = next(STATUS_OF[kind] for kind in type(error).__mro__ if kind in STATUS_OF)
    return _invalid_status(request) if status == HTTPStatus.UNPROCESSABLE_ENTITY else status


def _invalid_status(request: Request) -> HTTPStatus:
    return getattr(request.state, "invalid_status", HTTPStatus.UNPROCESSABLE_ENTITY)


async def _geomill_error(request: Request, error: Exception) -> Response:
    error = cast("GeomillError", error)
    status = _status_of(request, error)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        _log.error("request failed", path=request.url.path, exc_info=error)
    headers = {"WWW-Authenticate": "Bearer"} if status == HTTPStatus.UNAUTHORIZED else None
    return problem(
        request,
        status,
        kind=type(error).__name__,
        detail=error.message,
        remedy=error.remedy,
        headers=headers,
    )


async def _validation_error(request: Request, error: Exception) -> Response:
    wrong = [
        {"in": str(item["loc"][0]), "name": _name(item["loc"][1:]), "reason": item["msg"]}
        for item in cast("RequestValidationError", error).errors()
    ]
    listed = "; ".join(f"{item['name'] or item['in']}: {item['reason']}" for item in wrong)
    return problem(
        request,
        _invalid_status(request),
        kind="InvalidParameter",
        detail=f"The request has parameters that cannot be used: {listed}.",
        remedy=_DOCS,
        errors=wrong,
    )


def _name(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location)


async def _http_exception(request: Request, error: Exception) -> Response:
    error = cast("HTTPException", error)
    status = HTTPStatus(error.status_code)
    detail = error.detail
    if status == HTTPStatus.NOT_FOUND:
        detail = f"There is nothing at {request.url.path}."
    return problem(
        request,
        status,
        kind=status.phrase.title().replace(" ", ""),
        detail=detail,
        remedy=_REMEDY_OF.get(status, _DOCS),
        headers=error.headers,
    )


async def _unexpected(request: Request, error: Exception) -> Response:
    _log.error("request failed unexpectedly", path=request.url.path, exc_info=error)
    return problem(
        request,
        HTTPStatus.INTERNAL_SERVER_ERROR,
        kind="UnexpectedError",
        detail="Something went wrong that geomill did not expect.",
        remedy="The server's log has the cause; report it if it comes back.",
    )
