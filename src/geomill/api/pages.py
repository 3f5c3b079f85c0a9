"""Pages for people: the map, and the API's documentation. Nothing is fetched from elsewhere."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response
from starlette.datastructures import MutableHeaders
from starlette.staticfiles import StaticFiles

from geomill.api.auth import PUBLIC
from geomill.api.parameters import OPENAPI, json_response

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_STATIC = StaticFiles(directory=Path(str(resources.files("geomill.dashboard"))) / "static")
_SCRIPTS = (".js", ".mjs")
_CONTENT_SECURITY_POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; worker-src 'self' blob:; "
    "style-src 'self' 'unsafe-inline'; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_DOCS_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>geomill API</title>
<link rel="stylesheet" href="/static/vendor/swagger-ui/swagger-ui.css">
<link rel="icon" href="data:,">
</head>
<body>
<main id="docs"></main>
<script src="/static/vendor/swagger-ui/swagger-ui-bundle.js"></script>
<script src="/api/docs.js"></script>
</body>
</html>
"""
_DOCS_SCRIPT = """\
SwaggerUIBundle({ url: "/api/openapi.json", dom_id: "#docs", deepLinking: true });
"""

router = APIRouter(include_in_schema=False, dependencies=[PUBLIC])


@router.get("/")
async def index(request: Request) -> Response:
    """The map."""
    return await _file("index.html", request)


@router.get("/static/{path:path}")
async def static(path: str, request: Request) -> Response:
    """A file of the map or of a vendored library."""
    return await _file(path, request)


@router.get("/api/docs")
async def docs() -> Response:
    """The API's documentation."""
    return HTMLResponse(_DOCS_PAGE)


@router.get("/api/docs.js")
async def docs_script() -> Response:
    """What starts the documentation: the page's policy allows no script inside it."""
    return Response(_DOCS_SCRIPT, media_type="text/javascript")


@router.get("/api/openapi.json")
async def openapi(request: Request) -> Response:
    """The API's definition."""
    return json_response(request.app.openapi(), OPENAPI)


async def _file(path: str, request: Request) -> Response:
    response = await _STATIC.get_response(path, request.scope)
    if path.endswith(_SCRIPTS):
        # Python 3.11 knows .mjs as application/javascript, some systems not at all.
        response.headers["Content-Type"] = "text/javascript; charset=utf-8"
    response.headers["Cache-Control"] = "no-cache"
    return response


class SecurityHeaders:
    """Middleware: no sniffing anywhere, and pages load from this server only."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with the headers added."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Referrer-Policy"] = "same-origin"
                if headers.get("content-type", "").startswith("text/html"):
                    headers["Content-Security-Policy"] = _CONTENT_SECURITY_POLICY
            await send(message)

        await self._app(scope, receive, send_with_headers)
