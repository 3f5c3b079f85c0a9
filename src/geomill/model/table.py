"""What a model says about the table that stores it.

A row type is one Pydantic model: reading a row makes an instance, and ``__table__`` carries what
types cannot say (keys, checks, indexes, comment), from which ``database.schema`` compiles DDL.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, LiteralString

from pydantic import BaseModel, ConfigDict


@dataclass(frozen=True)
class Column:
    """Marks a field whose SQL type or default its Python type cannot say."""

    sql_type: LiteralString | None = None
    default: LiteralString | None = None


@dataclass(frozen=True)
class ForeignKey:
    """``columns`` refer to the same-named columns of ``references``; rows go with their parent."""

    columns: tuple[str, ...]
    references: tuple[str, str]


@dataclass(frozen=True)
class Index:
    """An index; ``where`` makes it partial."""

    name: str
    columns: tuple[str, ...]
    where: LiteralString | None = None
    unique: bool = False


@dataclass(frozen=True)
class Table:
    """Where a model's rows live."""

    schema: str
    name: str
    primary_key: tuple[str, ...]
    comment: str
    foreign_keys: tuple[ForeignKey, ...] = ()
    indexes: tuple[Index, ...] = ()
    checks: tuple[tuple[str, LiteralString], ...] = ()


class Row(BaseModel):
    """The base of every stored model: frozen, and strict about unknown columns."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    __table__: ClassVar[Table]
