"""The commands, and the one place where errors become exit codes."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer
from granian import Granian
from granian.constants import Interfaces

from geomill import __version__
from geomill.bootstrap import run_worker
from geomill.cli import doctor, jobs, schema, up
from geomill.cli.output import print_error, print_line
from geomill.config import load_settings
from geomill.errors import GeomillError

_PR_SET_PDEATHSIG = 1

app = typer.Typer(
    name="geomill",
    help="Turns raw geodata into published, queryable, mapped datasets on PostgreSQL.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(name="submit")(jobs.submit)
app.command(name="status")(jobs.status)
app.command(name="doctor")(doctor.doctor)
app.add_typer(schema.app, name="schema")

_Parent = Annotated[int | None, typer.Option("--parent", hidden=True)]


def main() -> None:
    """Run the command line: exit code 1 and one line on stderr for an expected error."""
    # Each failed attempt of a pool is a line of its own; the error at the end says it once.
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
    try:
        app()
    except GeomillError as error:
        print_error(error)
        sys.exit(1)


def _show_version(wanted: bool) -> None:
    if wanted:
        print_line(f"geomill {__version__}")
        raise typer.Exit


@app.callback()
def options(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Turns raw geodata into published, queryable, mapped datasets on PostgreSQL."""


@app.command(name="up")
def up_command(
    *,
    samples: Annotated[
        Path | None, typer.Option(help="Publish the vector files in this directory.")
    ] = None,
    once: Annotated[
        bool, typer.Option("--once", help="Check that everything answers, then stop.")
    ] = False,
) -> None:
    """Start PostgreSQL, the API and a worker, and serve until Ctrl-C."""
    raise typer.Exit(up.run(load_settings(), samples=samples, once=once))


@app.command()
def serve(*, parent: _Parent = None) -> None:
    """Serve the HTTP API and the map page, without a worker."""
    _end_with(parent)
    settings = load_settings()
    up.check_port(settings)
    Granian(
        "geomill.api.app:create_app",
        factory=True,
        interface=Interfaces.ASGI,
        address=settings.host,
        port=settings.port,
        workers=1,
        log_access=False,
    ).serve()


@app.command()
def worker(*, parent: _Parent = None) -> None:
    """Run tasks until stopped; start more on other machines for more throughput."""
    _end_with(parent)
    run_worker(load_settings())


def _end_with(parent: int | None) -> None:
    """Ask the kernel for SIGTERM when the supervisor dies, however it dies."""
    if parent is None:
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit(1)
