"""The command line's side of the HTTP API."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

import httpx

from geomill import errors
from geomill.access import Role, TokenStore
from geomill.errors import ConfigurationError, DatabaseUnavailable, GeomillError

if TYPE_CHECKING:
    from geomill.config import Settings
    from geomill.model.job import Json

_TOKEN_LIFETIME_S = 300.0
_TIMEOUT = httpx.Timeout(120.0, connect=5.0)  # a submission inspects its source before it answers
_PROBLEM_PREFIX = "urn:geomill:problem:"


class ApiClient:
    """Sends requests and turns problem documents back into the errors they were.

    Args:
        base_url: The server, without a trailing slash.
        token: Sent as bearer token with each request; None sends none.
    """

    def __init__(self, base_url: str, token: str | None = None) -> None:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        # trust_env=False: a proxy of the environment has no business between us and our server.
        self._http = httpx.Client(
            base_url=base_url, headers=headers, timeout=_TIMEOUT, trust_env=False
        )
        self.base_url = base_url

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def get(self, path: str, **query: str | int) -> Json:
        """The JSON document at ``path``.

        Raises:
            GeomillError: of the kind the server says.
            ConfigurationError: no server answers, or it is not geomill.
        """
        return _document(self._send("GET", path, params=query))

    def post(self, path: str, body: Json | None = None) -> Json:
        """Send ``body`` to ``path``; raises as ``get`` does."""
        return _document(self._send("POST", path, json=body))

    def status_of(self, path: str) -> int:
        """The HTTP status of ``path``, after redirects."""
        return self._send("GET", path, follow_redirects=True).status_code

    def is_geomill(self) -> bool:
        """Whether a geomill answers here, its database up or not."""
        try:
            answer = self._http.get("/api/livez", timeout=3.0)
            document: Any = answer.json()
        except (httpx.HTTPError, ValueError):
            return False
        return answer.status_code == HTTPStatus.OK and _is_alive(document)

    def readiness(self) -> str | None:
        """None when the server is ready; otherwise what it still waits for."""
        try:
            _document(self._http.get("/api/readyz", timeout=10.0))
        except httpx.HTTPError:
            return "it does not answer yet"
        except GeomillError as error:
            return str(error)
        return None

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            return self._http.request(method, path, **options)
        except httpx.ConnectError as error:
            raise not_running(self.base_url) from error
        except httpx.TimeoutException as error:
            raise DatabaseUnavailable(
                f"geomill at {self.base_url} did not answer in time.",
                remedy="Try again; if it lasts, 'geomill doctor' says what is wrong.",
            ) from error
        except httpx.HTTPError as error:
            raise DatabaseUnavailable(
                f"The connection to geomill at {self.base_url} was lost.",
                remedy="See that it still runs, then try again.",
            ) from error


@contextmanager
def connected(
    settings: Settings, role: Role, *, lifetime_s: float = _TOKEN_LIFETIME_S
) -> Generator[ApiClient]:
    """A client with a token: the one configured, or one minted for as long as the block runs.

    Raises:
        ConfigurationError: no server answers, or no token can be had.
    """
    if not ApiClient(settings.base_url).is_geomill():
        raise not_running(settings.base_url)
    with _token(settings, role, lifetime_s) as token:
        client = ApiClient(settings.base_url, token)
        with contextlib.closing(client):
            yield client


@contextmanager
def _token(settings: Settings, role: Role, lifetime_s: float) -> Generator[str]:
    if settings.token is not None:
        yield settings.token.get_secret_value()
        return
    store = TokenStore(settings.home)
    secret = store.mint(role, "cli", lifetime_s=lifetime_s)
    try:
        yield secret
    finally:
        store.revoke(secret)


def not_running(base_url: str) -> ConfigurationError:
    """The error that no geomill answers at ``base_url``."""
    return ConfigurationError(
        f"No geomill answers at {base_url}.",
        remedy="Start it with 'geomill up' (or ./run), or set GEOMILL_HOST and GEOMILL_PORT to "
        "where it runs.",
    )


def _is_alive(document: Any) -> bool:
    return isinstance(document, dict) and {"status", "version"} <= cast("Json", document).keys()


def _document(answer: httpx.Response) -> Json:
    try:
        document: Any = answer.json()
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise ConfigurationError(
            f"{answer.request.url} answered {answer.status_code} without a JSON object.",
            remedy="See that GEOMILL_HOST and GEOMILL_PORT name a geomill.",
        )
    content = cast("Json", document)
    if answer.is_error:
        raise _error(answer, content)
    return content


def _error(answer: httpx.Response, problem: Json) -> GeomillError:
    name = str(problem.get("type", "")).removeprefix(_PROBLEM_PREFIX)
    found = getattr(errors, name, GeomillError)
    known = isinstance(found, type) and issubclass(found, GeomillError)
    kind: type[GeomillError] = found if known else GeomillError
    detail = str(problem.get("detail") or f"{answer.request.url}: HTTP {answer.status_code}.")
    return kind(detail, remedy=str(problem.get("remedy") or ""))
