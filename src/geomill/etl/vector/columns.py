"""Attribute columns: from a source's names and Arrow types to PostgreSQL's."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from geomill.model.dataset import GEOMETRY_COLUMN, KEY_COLUMN, FeatureColumn

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_compute: Any = pc  # its stubs do not know every type that can be cast
_NAME_LIMIT_BYTES = 60
_DECIMAL_DIGITS = 38

# Arrow type → (type that pgpq encodes, type of the column it goes into).
_TYPES: dict[pa.DataType, tuple[pa.DataType, str]] = {
    pa.bool_(): (pa.bool_(), "boolean"),
    pa.int8(): (pa.int16(), "smallint"),
    pa.int16(): (pa.int16(), "smallint"),
    pa.uint8(): (pa.int16(), "smallint"),
    pa.int32(): (pa.int32(), "integer"),
    pa.uint16(): (pa.int32(), "integer"),
    pa.int64(): (pa.int64(), "bigint"),
    pa.uint32(): (pa.int64(), "bigint"),
    pa.uint64(): (pa.decimal128(20, 0), "numeric"),
    pa.float16(): (pa.float32(), "real"),
    pa.float32(): (pa.float32(), "real"),
    pa.float64(): (pa.float64(), "double precision"),
    pa.string(): (pa.string(), "text"),
    pa.large_string(): (pa.large_string(), "text"),
    pa.string_view(): (pa.string(), "text"),
    pa.binary(): (pa.binary(), "bytea"),
    pa.large_binary(): (pa.large_binary(), "bytea"),
    pa.binary_view(): (pa.binary(), "bytea"),
    pa.date32(): (pa.date32(), "date"),
    pa.date64(): (pa.date32(), "date"),
}


def column_type(arrow_type: pa.DataType) -> tuple[pa.DataType | None, str]:
    """The Arrow type to cast to and the SQL type; None stands for JSON text."""
    simple = _simple_type(arrow_type)
    if simple is not None:
        return simple
    if (
        pa.types.is_list(arrow_type)
        or pa.types.is_large_list(arrow_type)
        or pa.types.is_fixed_size_list(arrow_type)
    ):
        item = _simple_type(arrow_type.value_type)
        if item is not None:
            return pa.list_(item[0]), f"{item[1]}[]"
    return None, "text"


def _simple_type(arrow_type: pa.DataType) -> tuple[pa.DataType, str] | None:
    if isinstance(arrow_type, pa.BaseExtensionType):
        arrow_type = arrow_type.storage_type
    if pa.types.is_dictionary(arrow_type):
        arrow_type = arrow_type.value_type
    if pa.types.is_timestamp(arrow_type):
        sql_type = "timestamp" if arrow_type.tz is None else "timestamptz"
        return pa.timestamp("us", tz=arrow_type.tz), sql_type
    if pa.types.is_time(arrow_type):
        return pa.time64("us"), "time"
    if pa.types.is_decimal(arrow_type):
        return pa.decimal128(
            min(arrow_type.precision, _DECIMAL_DIGITS), arrow_type.scale
        ), "numeric"
    if pa.types.is_fixed_size_binary(arrow_type):
        return pa.binary(), "bytea"
    return _TYPES.get(arrow_type)


def feature_columns(fields: Iterable[pa.Field[Any]]) -> list[FeatureColumn]:
    """The table's attribute columns, one per field, in order."""
    listed = list(fields)
    names = launder([field.name for field in listed])
    return [
        FeatureColumn(name=name, source_name=field.name, sql_type=column_type(field.type)[1])
        for name, field in zip(names, listed, strict=True)
    ]


_RESERVED = {KEY_COLUMN, GEOMETRY_COLUMN, "ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"}


def launder(source_names: Sequence[str]) -> list[str]:
    """Column names that need no quoting and differ from one another, the key and the geometry."""
    taken = {KEY_COLUMN, GEOMETRY_COLUMN}
    names: list[str] = []
    for source_name in source_names:
        name = _unreserved(_plain(source_name))
        name = _untaken(name, taken)
        taken.add(name)
        names.append(name)
    return names


def _plain(source_name: str) -> str:
    name = re.sub(r"[\W]", "_", source_name.lower())
    if not name.strip("_"):
        return "column"
    if name[0].isdigit():
        name = f"_{name}"
    return _shortened(name, _NAME_LIMIT_BYTES)


def _unreserved(name: str) -> str:
    return f"{name}_" if name in _RESERVED else name


def _untaken(name: str, taken: set[str]) -> str:
    candidate, number = name, 2
    while candidate in taken:
        suffix = f"_{number}"
        candidate = _shortened(name, _NAME_LIMIT_BYTES - len(suffix)) + suffix
        number += 1
    return candidate


def _shortened(name: str, limit_bytes: int) -> str:
    return name.encode()[:limit_bytes].decode(errors="ignore")


def cast_column(values: pa.Array[Any]) -> pa.Array[Any]:
    """The values in the type that is written; JSON text where PostgreSQL has no such type."""
    if isinstance(values, pa.ExtensionArray):
        values = values.storage
    target, _ = column_type(values.type)
    if target is None:
        return _json_text(values)
    if values.type == target:
        return values
    if pa.types.is_dictionary(values.type):
        values = _compute.cast(values, values.type.value_type)
    # Unsafe only where a finer unit of time is cut to PostgreSQL's microseconds.
    return _compute.cast(values, target, safe=not pa.types.is_temporal(target))


def _json_text(values: pa.Array[Any]) -> pa.Array[Any]:
    return pa.array(
        [None if value is None else _json(value) for value in values.to_pylist()], pa.string()
    )


def _json(value: object) -> str:
    return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
