"""``geomill doctor``: is everything as it must be, and how to mend what is not."""

from __future__ import annotations

import os
import platform
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import pyogrio
import pyproj
import typer

from geomill.bootstrap import running_services
from geomill.cli import output
from geomill.cli.client import ApiClient
from geomill.cli.schema import installed
from geomill.cli.up import check_port
from geomill.config import load_settings
from geomill.database.embedded import EmbeddedCluster, check_binaries, check_server_account
from geomill.errors import GeomillError

if TYPE_CHECKING:
    from pathlib import Path

    from geomill.config import Settings

_OLDEST_PYTHON = (3, 11)
_FREE_DISK_MB = 500


@dataclass(frozen=True)
class Check:
    """One precondition: ``ok`` is None for a note that is neither good nor bad."""

    name: str
    ok: bool | None
    detail: str
    remedy: str = ""


def doctor(*, as_json: output.AsJson = False) -> None:
    """Check each precondition and say how to mend what is not met; exit 1 if one is not."""
    checks = list(_checks(load_settings()))
    healthy = all(check.ok is not False for check in checks)
    if as_json:
        output.print_json({"healthy": healthy, "checks": [asdict(check) for check in checks]})
    else:
        for check in checks:
            mark = {True: "✓", False: "✗", None: "·"}[check.ok]
            output.print_line(output.one_line(f"{mark} {check.name}: {check.detail}"))
            if check.ok is False and check.remedy:
                output.print_line(output.one_line(f"  → {check.remedy}").replace("→", "  →", 1))
    raise typer.Exit(0 if healthy else 1)


def _checks(settings: Settings) -> Iterator[Check]:
    yield _python()
    yield _libraries()
    if settings.embedded:
        yield _attempt("PostgreSQL", check_binaries, "PostgreSQL 15 with PostGIS is installed")
        yield _attempt(
            "server account",
            lambda: check_server_account(settings.home),
            "the account PostgreSQL runs as can enter the home",
        )
    yield _home(settings.home)
    yield _disk(settings.home)
    yield _tokens(settings.home / "tokens")
    yield _port(settings)
    yield from _database(settings)


def _attempt(name: str, check: Callable[[], None], detail: str) -> Check:
    try:
        check()
    except GeomillError as error:
        return Check(name, ok=False, detail=error.message, remedy=error.remedy)
    return Check(name, ok=True, detail=detail)


def _python() -> Check:
    ok = sys.version_info[:2] >= _OLDEST_PYTHON
    remedy = "Run geomill with Python 3.11 or newer; ./run finds one."
    return Check("Python", ok=ok, detail=platform.python_version(), remedy=remedy)


def _libraries() -> Check:
    gdal = pyogrio.__gdal_version_string__
    detail = f"GDAL {gdal} (pyogrio {pyogrio.__version__}), PROJ {pyproj.proj_version_str}"
    return Check("libraries", ok=True, detail=detail)


def _nearest(path: Path) -> Path:
    """The path, or what of it exists."""
    return next(parent for parent in (path, *path.parents) if parent.exists())


def _home(home: Path) -> Check:
    home = home.absolute()
    ok = os.access(_nearest(home), os.W_OK | os.X_OK)
    said = f"{home} can be written" if ok else f"{home} cannot be written by this user"
    if ok and not home.exists():
        said = f"{home} does not exist yet and can be made"
    remedy = "Set GEOMILL_HOME to a directory of your own, or run as the user that owns it."
    return Check("home", ok=ok, detail=said, remedy=remedy)


def _disk(home: Path) -> Check:
    free_mb = shutil.disk_usage(_nearest(home.absolute())).free // 2**20
    return Check(
        "disk",
        ok=free_mb >= _FREE_DISK_MB,
        detail=f"{free_mb} MB free ({_FREE_DISK_MB} MB needed)",
        remedy="Free some space, or set GEOMILL_HOME to a directory on a larger disk.",
    )


def _tokens(directory: Path) -> Check:
    try:
        mode = stat.S_IMODE(directory.stat().st_mode)
    except FileNotFoundError:
        return Check("tokens", ok=None, detail="no token has been made yet")
    except PermissionError:
        mode = None
    if mode is None or not os.access(directory, os.R_OK | os.W_OK | os.X_OK):
        return Check(
            "tokens",
            ok=False,
            detail=f"{directory} cannot be used by this user",
            remedy="Run as the user that runs geomill's server, or set GEOMILL_TOKEN.",
        )
    return Check(
        "tokens",
        ok=mode & 0o077 == 0,
        detail=f"{directory} has mode {mode:o}",
        remedy=f"Others can look into it: chmod 700 {directory}",
    )


def _port(settings: Settings) -> Check:
    if ApiClient(settings.base_url).is_geomill():
        return Check("port", ok=True, detail=f"geomill answers at {settings.base_url}")
    return _attempt("port", lambda: check_port(settings), f"{settings.port} is free")


def _database(settings: Settings) -> Iterator[Check]:
    """Look at the database, without starting the embedded cluster."""
    if settings.embedded and not _cluster_runs(settings):
        yield Check("database", ok=None, detail="the embedded PostgreSQL is not running")
        return
    try:
        with running_services(settings, "doctor") as services:
            services.repository.check()
            schema, pgstac = installed(services)
    except GeomillError as error:
        yield Check("database", ok=False, detail=error.message, remedy=error.remedy)
        return
    remedy = "Run 'geomill schema deploy'; 'geomill up' does so too."
    yield Check("database", ok=True, detail="it answers")
    for name, found in (("schema", schema), ("pgSTAC", pgstac)):
        has = "not deployed" if found.version is None else f"version {found.version}"
        detail = f"{has}, {found.expected} is needed"
        yield Check(name, ok=found.current, detail=has if found.current else detail, remedy=remedy)


def _cluster_runs(settings: Settings) -> bool:
    try:
        return EmbeddedCluster(settings.home).accepts_connections()
    except OSError:
        return False
