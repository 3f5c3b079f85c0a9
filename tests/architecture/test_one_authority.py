"""Only ``database/postgresql.py`` opens a PostgreSQL connection: the guards that read code."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "geomill"
AUTHORITY = SOURCE / "database" / "postgresql.py"
POOLS = {"ConnectionPool", "AsyncConnectionPool", "NullConnectionPool", "AsyncNullConnectionPool"}
CONNECTORS = {"psycopg", "Connection", "AsyncConnection"}
LIBRARY_OPENERS = {"PgstacDB", "PsycopgConnector", "SyncPsycopgConnector"}
MODULES = sorted(path for path in SOURCE.rglob("*.py") if path != AUTHORITY)


def calls(path: Path) -> list[tuple[str, str, ast.Call]]:
    """(what it is called on, what is called, the call) for each call in a module."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            function = node.func
            if isinstance(function, ast.Attribute):
                found.append((ast.unparse(function.value).split(".")[-1], function.attr, node))
            else:
                found.append(("", getattr(function, "id", ""), node))
    return found


def opens(owner: str, name: str) -> bool:
    return name in POOLS or (name == "connect" and owner in {"", *CONNECTORS})


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_no_other_module_opens_a_connection(path: Path) -> None:
    opened = [name for owner, name, _ in calls(path) if opens(owner, name)]
    assert not opened, f"{path} calls {opened}: ask PostgreSQLRepository"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_no_library_is_told_how_to_connect(path: Path) -> None:
    for _, name, call in calls(path):
        if name in LIBRARY_OPENERS:
            assert not call.args, f"{path}: {name} got a connection string"
            assert {keyword.arg for keyword in call.keywords} <= {"pool"}, path


def test_the_guard_sees_what_it_guards() -> None:
    opened = {name for owner, name, _ in calls(AUTHORITY) if opens(owner, name)}
    assert {"ConnectionPool", "AsyncConnectionPool"} <= opened
