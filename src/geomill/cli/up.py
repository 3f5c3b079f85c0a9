"""``geomill up``: the whole of geomill in the foreground."""

from __future__ import annotations

import errno
import socket
import time
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

from geomill.access import Role
from geomill.bootstrap import prepare_database, running_services
from geomill.cli import output
from geomill.cli.client import ApiClient, connected
from geomill.cli.processes import Child, check_alive, children, stopped_by_signals
from geomill.cli.samples import find_files, publish, results_table
from geomill.errors import ConfigurationError, DatabaseUnavailable

if TYPE_CHECKING:
    from geomill.bootstrap import Services
    from geomill.cli.samples import Sample
    from geomill.config import Settings

_READY_TIMEOUT_S = 90.0
_POLL_S = 0.1
_WATCH_S = 0.5
_TOKEN_LIFETIME_S = 86_400.0
_SIGN_IN_LIFETIME_S = 3600.0
_PAGES = (
    ("map", "/"),
    ("STAC API", "/api"),
    ("OGC API Features", "/api/features"),
    ("API documentation", "/api/docs"),
)


def run(settings: Settings, *, samples: Path | None, once: bool) -> int:
    """Start everything, publish the samples and serve until stopped.

    Args:
        settings: The settings; the child processes read the same ones from the environment.
        samples: A directory of vector files to publish, if any.
        once: Check that everything answers and stop, instead of serving.

    Returns:
        The exit code.

    Raises:
        GeomillError: something is not as it must be, or a child process died.
    """
    files = [] if samples is None else find_files(samples)
    check_port(settings)
    with stopped_by_signals():
        try:
            with running_services(settings, "up") as services:
                return _supervise(services, files, once=once)
        except KeyboardInterrupt:
            output.print_line("geomill: stopped")
            return 0


def check_port(settings: Settings) -> None:
    """See that the API's port can be listened on.

    Raises:
        ConfigurationError: it is taken, by another geomill or another program, or not ours to use.
    """
    try:
        _bind(settings.host, settings.port)
    except OSError as error:
        raise _unusable_port(settings, error) from error


def _bind(host: str, port: int) -> None:
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)


def _unusable_port(settings: Settings, error: OSError) -> ConfigurationError:
    if error.errno != errno.EADDRINUSE:
        return ConfigurationError(
            f"geomill cannot listen on {settings.host}:{settings.port}: {error.strerror}.",
            remedy="Set GEOMILL_HOST and GEOMILL_PORT to an address of this machine.",
        )
    if ApiClient(settings.base_url).is_geomill():
        return ConfigurationError(
            f"geomill already runs at {settings.base_url}.",
            remedy="Use that one, or set GEOMILL_PORT (and GEOMILL_HOME) to start another.",
        )
    return ConfigurationError(
        f"Port {settings.port} on {settings.host} is used by another program.",
        remedy="Set GEOMILL_PORT to a free port, or stop that program.",
    )


def _supervise(services: Services, files: list[Path], *, once: bool) -> int:
    settings = services.settings
    for step in prepare_database(services):
        output.print_line(f"geomill: {step}")
    with children(settings.home) as started:
        _await_ready(settings, started)
        with connected(settings, Role.OPERATOR, lifetime_s=_TOKEN_LIFETIME_S) as client:
            published = _publish(services, client, files, started)
            if once:
                return 0 if _everything_answers(client, published) else 1
        _print_where(services)
        while True:
            check_alive(started)
            time.sleep(_WATCH_S)


def _await_ready(settings: Settings, started: list[Child]) -> None:
    client = ApiClient(settings.base_url)
    deadline = time.monotonic() + _READY_TIMEOUT_S
    while (waits_for := client.readiness()) is not None:
        check_alive(started)
        if time.monotonic() > deadline:
            raise DatabaseUnavailable(
                f"The API at {settings.base_url} was not ready in time: {waits_for}",
                remedy=f"Its log is {settings.home / 'log' / 'api.log'}.",
            )
        time.sleep(_POLL_S)


def _publish(
    services: Services, client: ApiClient, files: list[Path], started: list[Child]
) -> list[Sample]:
    if not files:
        return []
    console = output.console()
    published = publish(services, client, files, console, lambda: check_alive(started))
    console.print(results_table(published))
    return published


def _everything_answers(client: ApiClient, published: list[Sample]) -> bool:
    """Ask for each page and each dataset as a visitor would; print what answered."""
    good = not any(sample.failed for sample in published)
    paths = [path for _, path in _PAGES]
    paths += [path for sample in published for path in sample.paths]
    for path in paths:
        status = client.status_of(path)
        mark = "✓" if status == HTTPStatus.OK else f"✗ {status}"
        output.print_line(f"{mark} {client.base_url}{path}")
        good = good and status == HTTPStatus.OK
    return good


def _print_where(services: Services) -> None:
    base = services.settings.base_url
    code = services.tokens.mint(
        Role.ADMIN, "browser", lifetime_s=_SIGN_IN_LIFETIME_S, single_use=True
    )
    output.print_line("")
    for name, path in _PAGES:
        output.print_line(f"{name:<18} {base}{path}")
    output.print_line(f"{'sign in as admin':<18} {base}/api/auth/signin?code={code}")
    output.print_line("                   (once, within the hour)")
    output.print_line("\nServing; Ctrl-C stops.")
