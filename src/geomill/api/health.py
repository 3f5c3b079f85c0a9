"""Is it alive, and can it answer?"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from fastapi.responses import Response

from geomill import __version__
from geomill.api.auth import PUBLIC, services_of
from geomill.api.parameters import json_response
from geomill.api.problems import problem
from geomill.database.pgstac_bootstrap import PgStacBootstrap
from geomill.database.schema import state
from geomill.errors import DatabaseUnavailable

if TYPE_CHECKING:
    from geomill.bootstrap import Services

router = APIRouter(prefix="/api", tags=["health"], dependencies=[PUBLIC])


@router.get("/livez")
async def livez() -> Response:
    """The process answers; the database is not asked."""
    return json_response({"status": "ok", "version": __version__})


@router.get("/readyz")
def readyz(request: Request) -> Response:
    """The database answers and is as this version needs it; otherwise 503 says what is wrong."""
    try:
        wrong = _wrong(services_of(request))
    except DatabaseUnavailable as error:
        wrong = [(error.message, error.remedy)]
    if not wrong:
        return json_response({"status": "ok", "version": __version__})
    return problem(
        request,
        HTTPStatus.SERVICE_UNAVAILABLE,
        kind="NotReady",
        detail=" ".join(message for message, _ in wrong),
        remedy=" ".join(dict.fromkeys(remedy for _, remedy in wrong)),
    )


def _wrong(services: Services) -> list[tuple[str, str]]:
    remedy = "'geomill schema deploy' brings the database up to date."
    with services.repository.transaction() as connection:
        schema = state(connection)
    pgstac = PgStacBootstrap(services.repository).check_installation()
    wrong: list[tuple[str, str]] = []
    if not schema.current:
        found = "none" if schema.version is None else schema.version
        wrong.append((f"The schema has version {found}; {schema.expected} is needed.", remedy))
    if not pgstac.current:
        found = pgstac.version or "not installed"
        wrong.append((f"pgSTAC is {found}; {pgstac.expected} is needed.", remedy))
    return wrong
