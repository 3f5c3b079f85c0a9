"""What the routes' parameters share: reading them, and answering in JSON."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import orjson
from fastapi import Request
from fastapi.responses import Response
from fastapi.routing import APIRoute

from geomill.errors import InvalidParameter, NotFound

if TYPE_CHECKING:
    from collections.abc import Mapping

GEOJSON = "application/geo+json"
JSON = "application/json"
OPENAPI = "application/vnd.oai.openapi+json;version=3.0"

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
_OPEN = ("", "..")


class GeoJsonResponse(Response):
    """Bytes that are GeoJSON already."""

    media_type = GEOJSON


@dataclass(frozen=True)
class Interval:
    """A closed span of time; None where it is open. An instant has two equal ends."""

    start: datetime | None
    end: datetime | None

    def contains(self, instant: datetime) -> bool:
        """Whether ``instant`` lies in it."""
        after_start = self.start is None or self.start <= instant
        return after_start and (self.end is None or instant <= self.end)


def parse_interval(text: str) -> Interval:
    """Read a ``datetime`` parameter: an RFC 3339 instant, or two with ``/`` between.

    Raises:
        InvalidParameter: not in that form, open at both ends, or ending before it starts.
    """
    ends = text.upper().split("/")
    if len(ends) > 2 or all(end in _OPEN for end in ends):
        raise _invalid_interval(text)
    if len(ends) == 1:
        instant = _instant(text, ends[0])
        return Interval(instant, instant)
    start, end = (None if part in _OPEN else _instant(text, part) for part in ends)
    if start is not None and end is not None and start > end:
        raise _invalid_interval(text)
    return Interval(start, end)


def _instant(text: str, part: str) -> datetime:
    if not _RFC3339.fullmatch(part):
        raise _invalid_interval(text)
    try:
        return datetime.fromisoformat(part)
    except ValueError as error:
        raise _invalid_interval(text) from error


def _invalid_interval(text: str) -> InvalidParameter:
    return InvalidParameter(
        f"datetime={text!r} is no RFC 3339 instant or interval.",
        remedy="Write 2020-01-01T00:00:00Z, or start/end with '..' for an open end.",
    )


async def only_known(request: Request) -> None:
    """Refuse query parameters the route does not have (OGC /req/core/query-param-unknown).

    Raises:
        InvalidParameter: naming them.
    """
    route = request.scope["route"]
    known = (
        {field.alias for field in route.dependant.query_params}
        if isinstance(route, APIRoute)
        else set[str]()
    )
    unknown = sorted(set(request.query_params) - known)
    if unknown:
        listed = ", ".join(sorted(known)) or "none"
        raise InvalidParameter(
            f"Unknown query parameter: {', '.join(unknown)}.",
            remedy=f"This route has: {listed}.",
        )


async def no_nul_in_path(request: Request) -> None:
    """Refuse what PostgreSQL cannot hold in a text, so nothing has such a name."""
    if "\0" in request.url.path or "\0" in str(request.scope["path"]):
        raise NotFound("No name contains a NUL character.", remedy="Check the path.")


def root_url(request: Request) -> str:
    """The URL under which the client reaches this server, without a trailing slash."""
    return str(request.base_url).rstrip("/")


def link(rel: str, href: str, media_type: str = JSON, **members: Any) -> dict[str, Any]:
    """A link object."""
    return {"rel": rel, "href": href, "type": media_type, **members}


def with_query(url: str, parameters: Mapping[str, Any]) -> str:
    """``url`` with the parameters that are not None."""
    given = {name: value for name, value in parameters.items() if value is not None}
    return f"{url}?{urlencode(given, safe=',:/')}" if given else url


def json_response(content: Any, media_type: str = JSON, status: int = 200) -> Response:
    """``content`` as JSON."""
    return Response(orjson.dumps(content), status_code=status, media_type=media_type)
