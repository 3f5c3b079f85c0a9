"""The application that granian serves: ``geomill.api.app:create_app``."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from fastapi import Depends, FastAPI
from fastapi.concurrency import contextmanager_in_threadpool
from fastapi.middleware.gzip import GZipMiddleware
from fastapi.middleware.trustedhost import TrustedHostMiddleware
from starlette.exceptions import HTTPException

from geomill import __version__
from geomill.api import auth, features, health, jobs, pages, problems, stac
from geomill.api.parameters import no_nul_in_path
from geomill.bootstrap import running_services
from geomill.config import load_settings

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from geomill.config import Settings

_MAX_BODY_BYTES = 1_000_000
_GZIP_FROM_BYTES = 1000
_GZIP_LEVEL = 4


def create_app() -> FastAPI:
    """The application, set up from the environment."""
    return build_app(load_settings())


def build_app(settings: Settings) -> FastAPI:
    """The application; its services start and stop with its lifespan."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        async with contextmanager_in_threadpool(running_services(settings, "api")) as services:
            app.state.services = services
            await services.repository.open_async()
            try:
                yield
            finally:
                await services.repository.close_async()

    app = FastAPI(
        title="geomill",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        lifespan=lifespan,
        dependencies=[Depends(no_nul_in_path)],
    )
    app.openapi_version = "3.0.3"  # What OGC API Features' class oas30 promises.
    problems.install(app)
    app.add_middleware(GZipMiddleware, minimum_size=_GZIP_FROM_BYTES, compresslevel=_GZIP_LEVEL)
    app.add_middleware(pages.SecurityHeaders)
    app.add_middleware(BodyLimit)
    app.add_middleware(
        TrustedHostMiddleware, allowed_hosts=[*settings.allowed_hosts, settings.host]
    )
    for part in (health, auth, jobs, features, pages, stac):
        app.include_router(part.router)
    return app


class BodyLimit:
    """Middleware: a request's body ends at the limit, also when no length announced it.

    The error rises where the body is read, so that it is answered as a problem like any other;
    FastAPI's own limit answers in plain text.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with the body counted."""
        received = 0

        async def receive_counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > _MAX_BODY_BYTES:
                raise HTTPException(413, f"The body is over {_MAX_BODY_BYTES} bytes.")
            return message

        await self._app(scope, receive_counted, send)
