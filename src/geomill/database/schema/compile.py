"""Models in, DDL out: pure and deterministic."""

from __future__ import annotations

import types
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, LiteralString, Union, get_args, get_origin

from psycopg import sql
from pydantic import BaseModel

from geomill.model.table import Column, ForeignKey, Index, Row

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pydantic.fields import FieldInfo

_SQL_TYPES: dict[type, LiteralString] = {
    str: "text",
    int: "integer",
    float: "double precision",
    bool: "boolean",
    datetime: "timestamptz",
    dict: "jsonb",
}


def statements(models: Sequence[type[Row]]) -> list[sql.Composed]:
    """The DDL that creates the tables of ``models`` on an empty database, in their order."""
    compiled: list[sql.Composed] = []
    enums: dict[str, type[StrEnum]] = {}
    for model in models:
        for enum in _enums_of(model):
            enums.setdefault(enum.__name__, enum)
    compiled += [_create_enum(enum, schema="app") for enum in enums.values()]
    for model in models:
        compiled.append(_create_table(model))
        compiled += [_create_index(model, index) for index in model.__table__.indexes]
        compiled.append(_comment(model))
    return compiled


def _create_enum(enum: type[StrEnum], *, schema: str) -> sql.Composed:
    return sql.SQL("CREATE TYPE {} AS ENUM ({})").format(
        sql.Identifier(schema, enum.__name__.lower()),
        sql.SQL(", ").join(sql.Literal(member.value) for member in enum),
    )


def _create_table(model: type[Row]) -> sql.Composed:
    table = model.__table__
    parts = [_column(name, field) for name, field in model.model_fields.items()]
    parts.append(sql.SQL("PRIMARY KEY ({})").format(_names(table.primary_key)))
    parts += [_foreign_key(key) for key in table.foreign_keys]
    parts += [
        sql.SQL("CONSTRAINT {} CHECK ({})").format(sql.Identifier(name), sql.SQL(condition))
        for name, condition in table.checks
    ]
    return sql.SQL("CREATE TABLE {} (\n  {}\n)").format(
        sql.Identifier(table.schema, table.name), sql.SQL(",\n  ").join(parts)
    )


def _foreign_key(key: ForeignKey) -> sql.Composed:
    return sql.SQL("FOREIGN KEY ({0}) REFERENCES {1} ({0}) ON DELETE CASCADE").format(
        _names(key.columns), sql.Identifier(*key.references)
    )


def _create_index(model: type[Row], index: Index) -> sql.Composed:
    where = sql.SQL(" WHERE {}").format(sql.SQL(index.where)) if index.where else sql.SQL("")
    return sql.SQL("CREATE {unique}INDEX {name} ON {table} ({columns}){where}").format(
        unique=sql.SQL("UNIQUE " if index.unique else ""),
        name=sql.Identifier(index.name),
        table=sql.Identifier(model.__table__.schema, model.__table__.name),
        columns=_names(index.columns),
        where=where,
    )


def _comment(model: type[Row]) -> sql.Composed:
    table = model.__table__
    return sql.SQL("COMMENT ON TABLE {} IS {}").format(
        sql.Identifier(table.schema, table.name), sql.Literal(table.comment)
    )


def _column(name: str, field: FieldInfo) -> sql.Composed:
    declared = next((item for item in field.metadata if isinstance(item, Column)), Column())
    python_type, nullable = _unwrapped(field.annotation)
    sql_type = sql.SQL(declared.sql_type) if declared.sql_type else _sql_type(python_type)
    default = (
        sql.SQL(" DEFAULT {}").format(sql.SQL(declared.default))
        if declared.default
        else sql.SQL("")
    )
    return sql.SQL("{} {}{}{}").format(
        sql.Identifier(name), sql_type, sql.SQL("" if nullable else " NOT NULL"), default
    )


def _sql_type(python_type: Any) -> sql.Composable:
    origin = get_origin(python_type) or python_type
    if issubclass(origin, StrEnum):
        return sql.Identifier("app", origin.__name__.lower())
    if issubclass(origin, BaseModel):
        return sql.SQL("jsonb")
    try:
        return sql.SQL(_SQL_TYPES[origin])
    except KeyError:
        msg = f"no SQL type for {python_type!r}: name one with Column(sql_type=...)"
        raise TypeError(msg) from None


def _unwrapped(annotation: Any) -> tuple[Any, bool]:
    """``X | None`` → (X, True); ``X`` → (X, False)."""
    if get_origin(annotation) in {Union, types.UnionType}:
        members = [member for member in get_args(annotation) if member is not type(None)]
        if len(members) != 1:
            msg = f"a column has one type, not {annotation!r}"
            raise TypeError(msg)
        return members[0], True
    return annotation, False


def _enums_of(model: type[Row]) -> Iterator[type[StrEnum]]:
    for field in model.model_fields.values():
        python_type, _ = _unwrapped(field.annotation)
        if isinstance(python_type, type) and issubclass(python_type, StrEnum):
            yield python_type


def _names(names: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, names))
