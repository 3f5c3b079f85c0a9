"""``geomill schema``: what the database has, and bringing it up to date."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from geomill.bootstrap import prepare_database, running_services
from geomill.cli.output import AsJson, print_json, print_line
from geomill.config import load_settings
from geomill.database import schema
from geomill.database.pgstac_bootstrap import PgStacBootstrap, PgStacInstallation

if TYPE_CHECKING:
    from geomill.bootstrap import Services
    from geomill.database.schema import SchemaState

app = typer.Typer(help="The database's schemas and pgSTAC.", no_args_is_help=True)


def installed(services: Services) -> tuple[SchemaState, PgStacInstallation]:
    """What the database has of our schemas and of pgSTAC."""
    with services.repository.transaction() as connection:
        found = schema.state(connection)
    return found, PgStacBootstrap(services.repository).check_installation()


@app.command()
def status(*, as_json: AsJson = False) -> None:
    """Show which versions are deployed and which are needed; exit 1 if one is not current."""
    with running_services(load_settings(), "cli") as services:
        found, pgstac = installed(services)
    current = found.current and pgstac.current
    if as_json:
        print_json(
            {
                "schema": _as_json(found),
                "pgstac": _as_json(pgstac),
                "current": current,
            }
        )
    else:
        print_line(_line("schema", found))
        print_line(_line("pgSTAC", pgstac))
        if not current:
            print_line("'geomill schema deploy' brings the database up to date.")
    raise typer.Exit(0 if current else 1)


@app.command()
def deploy() -> None:
    """Deploy what is missing; each step is one transaction and does nothing a second time."""
    with running_services(load_settings(), "cli") as services:
        done = prepare_database(services)
    for step in done or ["nothing to do: the database is up to date"]:
        print_line(step)


def _as_json(found: SchemaState | PgStacInstallation) -> dict[str, object]:
    return {"version": found.version, "expected": found.expected, "current": found.current}


def _line(name: str, found: SchemaState | PgStacInstallation) -> str:
    has = "not deployed" if found.version is None else f"version {found.version}"
    needed = "" if found.current else f"; {found.expected} is needed"
    return f"{'✓' if found.current else '✗'} {name}: {has}{needed}"
