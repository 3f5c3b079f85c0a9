"""Well-known binary as columns of bytes: headers read and prefixed without parsing geometries.

Type codes are ISO 13249-3: 1 Point … 7 GeometryCollection, +1000 with Z, +2000 M, +3000 ZM.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from numpy.typing import NDArray

POINT, LINE, POLYGON, MULTI_POINT, MULTI_LINE, MULTI_POLYGON, COLLECTION = range(1, 8)
_compute: Any = pc  # its stubs know neither scalars nor nulls among the arguments
_EWKB_FLAGS = 0xE0000000
_HEADER_BYTES = 5
_COUNT_BYTES = 9
_POINT_XY_BYTES = 21


@dataclass(frozen=True)
class Headers:
    """What the first bytes of each row say; every array has one entry per row.

    ``code`` is 0 for null; ``plain`` is false for null and for what is not little-endian ISO WKB.
    """

    code: NDArray[np.uint32]
    plain: NDArray[np.bool_]
    empty: NDArray[np.bool_]

    @property
    def family(self) -> NDArray[np.uint32]:
        """The code without its dimension: 1 to 7 for the simple features."""
        return self.code % 1000

    @property
    def has_z(self) -> NDArray[np.bool_]:
        """Whether the row has Z, alone or with M."""
        return np.isin(self.code // 1000, (1, 3))

    @property
    def has_m(self) -> NDArray[np.bool_]:
        """Whether the row has M."""
        return np.isin(self.code // 1000, (2, 3))


def headers(wkb: pa.BinaryArray) -> Headers:
    """Read the header of every row."""
    rows = len(wkb)
    offsets, content = _buffers(wkb)
    start = offsets[:-1]
    length = np.diff(offsets)
    valid = np.asarray(wkb.is_valid(), dtype=bool) & (length >= _HEADER_BYTES)
    code = np.zeros(rows, dtype=np.uint32)
    code[valid] = _words(content, start[valid] + 1, "<u4")
    plain = valid.copy()
    plain[valid] = content[start[valid]] == 1
    plain &= (code & _EWKB_FLAGS) == 0
    return Headers(code=code, plain=plain, empty=_empty(content, start, length, code, plain))


def _empty(
    content: NDArray[np.uint8],
    start: NDArray[np.int32],
    length: NDArray[np.int32],
    code: NDArray[np.uint32],
    plain: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    empty = np.zeros(len(code), dtype=bool)
    points = plain & (code % 1000 == POINT) & (length >= _POINT_XY_BYTES)
    empty[points] = np.isnan(_words(content, start[points] + _HEADER_BYTES, "<f8"))
    others = plain & (code % 1000 != POINT) & (length >= _COUNT_BYTES)
    empty[others] = _words(content, start[others] + _HEADER_BYTES, "<u4") == 0
    return empty


def _buffers(wkb: pa.BinaryArray) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    _, offsets, content = wkb.buffers()
    window = slice(wkb.offset, wkb.offset + len(wkb) + 1)
    if offsets is None or len(wkb) == 0:
        return np.zeros(1, dtype=np.int32), np.zeros(0, dtype=np.uint8)
    nothing = np.zeros(0, dtype=np.uint8)
    return (
        np.frombuffer(memoryview(offsets), dtype=np.int32)[window],
        nothing if content is None else np.frombuffer(memoryview(content), dtype=np.uint8),
    )


def _words(content: NDArray[np.uint8], at: NDArray[np.int32], kind: str) -> NDArray[Any]:
    """The number of type ``kind`` that begins at each position."""
    dtype = np.dtype(kind)
    picked = content[at[:, None] + np.arange(dtype.itemsize)]
    return np.ascontiguousarray(picked).view(dtype)[:, 0]


def promote(wkb: pa.BinaryArray, seen: Headers) -> tuple[pa.BinaryArray, NDArray[np.uint32]]:
    """Make Multi of single lines and polygons: a Multi of one is nine bytes, then the single."""
    single = seen.plain & np.isin(seen.family, (LINE, POLYGON))
    if not single.any():
        return wkb, seen.code
    code = np.where(single, seen.code + 3, seen.code).astype(np.uint32)
    kinds, place = np.unique(np.where(single, code, 0), return_inverse=True)
    prefixes = pa.array([_prefix(int(kind)) for kind in kinds], pa.binary())
    joined = _compute.binary_join_element_wise(
        prefixes.take(pa.array(place, pa.int64())), wkb, pa.scalar(b"", pa.binary())
    )
    return joined, code


def _prefix(code: int) -> bytes:
    return b"" if code == 0 else b"\x01" + code.to_bytes(4, "little") + b"\x01\x00\x00\x00"


def without(wkb: pa.BinaryArray, gone: NDArray[np.bool_]) -> pa.BinaryArray:
    """Null where ``gone``."""
    if not gone.any():
        return wkb
    return _compute.if_else(pa.array(gone), pa.scalar(None, pa.binary()), wkb)
