"""What the command line prints: results on stdout, one-line errors on stderr."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final

import orjson
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from geomill.errors import GeomillError

_WIDTH_WITHOUT_TERMINAL = 140
_STYLES: Final[Mapping[str, str]] = {
    "queued": "dim",
    "running": "cyan",
    "succeeded": "green",
    "published": "green",
    "unchanged": "green",
    "failed": "red",
    "cancelled": "yellow",
}

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document, nothing else.")]


def console() -> Console:
    """Standard output; wide where it is no terminal, so that nothing is cut off in a log."""
    if sys.stdout.isatty():
        return Console(highlight=False)
    return Console(highlight=False, width=_WIDTH_WITHOUT_TERMINAL)


def print_json(document: Any) -> None:
    """Print one JSON document."""
    options = orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS
    typer.echo(orjson.dumps(document, option=options).decode())


def print_line(text: str) -> None:
    """Print one line as it is, however long: a terminal wraps it, a log keeps it whole."""
    typer.echo(text)


def error_console() -> Console:
    """Standard error."""
    return Console(stderr=True, highlight=False)


def print_error(error: GeomillError) -> None:
    """Print an expected error as one line on stderr."""
    typer.echo(f"geomill: {one_line(str(error))}", err=True)


def one_line(text: str) -> str:
    """``text`` with every run of white space as one blank."""
    return " ".join(text.split())


def state(word: str) -> str:
    """A state's word in its colour, as rich markup."""
    style = _STYLES.get(word)
    return escape(word) if style is None else f"[{style}]{escape(word)}[/{style}]"


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: set[str]) -> Table:
    """A table; the columns in ``numbers`` are flush right, cells are rich markup."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        made.add_column(heading, justify="right" if heading in numbers else "left")
    for row in rows:
        made.add_row(*row)
    return made
