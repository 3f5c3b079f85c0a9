"""One batch of features made fit for its table: pure, and vectorised throughout."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pyarrow as pa
import shapely

from geomill.errors import InvalidSource
from geomill.etl.vector import wkb
from geomill.etl.vector.columns import cast_column
from geomill.model.dataset import GEOMETRY_COLUMN, SRID

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from pyproj import Transformer

    from geomill.model.dataset import FeatureColumn

_RecordBatch: Any = pa.RecordBatch  # as do those of pyarrow
_shapely: Any = shapely  # its stubs leave some functions without types
_SIMPLE_FEATURES = range(wkb.POINT, wkb.COLLECTION + 1)


@dataclass(frozen=True)
class CleaningPlan:
    """What is to be done to every batch of one layer.

    ``source`` names file and layer in errors; ``transformer`` (x, y order) leads to EPSG:4326, None
    when the coordinates are there; ``geometry_column`` is the batch's, ``has_z`` the table's.
    """

    source: str
    geometry_column: str
    columns: Sequence[FeatureColumn]
    transformer: Transformer | None
    has_z: bool
    repair: bool


@dataclass(frozen=True)
class Cleaned:
    """A batch of attributes and ``geom``; ``codes`` are the ISO WKB types in it."""

    batch: pa.RecordBatch
    null_geometry_count: int
    repaired_count: int
    codes: frozenset[int]


def clean(batch: pa.RecordBatch, plan: CleaningPlan, *, first_row: int = 1) -> Cleaned:
    """Repair, reproject and promote the geometries, cast the attributes.

    Args:
        batch: As GDAL gives it.
        plan: What to do.
        first_row: The number of the batch's first row in the layer, for error messages.

    Raises:
        InvalidSource: a row's geometry cannot be read, repaired or reprojected.
    """
    geometries, repaired_count = _geometries(batch, plan, first_row)
    seen = wkb.headers(geometries)
    geometries = wkb.without(geometries, seen.empty)
    promoted, codes = wkb.promote(geometries, seen)
    kept = np.asarray(promoted.is_valid(), dtype=bool)
    columns: Any = batch
    arrays = [cast_column(columns.column(column.source_name)) for column in plan.columns]
    names = [column.name for column in plan.columns]
    return Cleaned(
        batch=_RecordBatch.from_arrays([*arrays, promoted], names=[*names, GEOMETRY_COLUMN]),
        null_geometry_count=int(len(kept) - np.count_nonzero(kept)),
        repaired_count=repaired_count,
        codes=frozenset(int(code) for code in np.unique(codes[kept])),
    )


def _geometries(
    batch: pa.RecordBatch, plan: CleaningPlan, first_row: int
) -> tuple[pa.BinaryArray, int]:
    """Little-endian ISO WKB in EPSG:4326 in the table's dimension, and how many were repaired."""
    columns: Any = batch
    given: Any = columns.column(plan.geometry_column)
    if isinstance(given, pa.ExtensionArray):
        given = given.storage
    given = cast("pa.BinaryArray", given.cast(pa.binary()))
    seen = wkb.headers(given)
    _refuse_curves(seen, plan, first_row)
    fits = (seen.has_z == plan.has_z) & ~seen.has_m & seen.plain
    present = np.asarray(given.is_valid(), dtype=bool)
    if not plan.repair and plan.transformer is None and bool(np.all(fits | ~present)):
        return given, 0
    parsed, repaired_count = _parsed(given, plan, first_row)
    if plan.repair:
        parsed, made_valid_count = _repaired(parsed, plan, first_row)
        repaired_count += made_valid_count
        if repaired_count == 0 and plan.transformer is None and bool(np.all(fits | ~present)):
            return given, 0
    flat = _in_dimension(parsed, has_z=plan.has_z)
    flat[shapely.is_empty(flat)] = None
    if plan.transformer is not None:
        flat = _reprojected(flat, plan, plan.transformer, first_row)
    written = shapely.to_wkb(
        flat, output_dimension=3 if plan.has_z else 2, byte_order=1, flavor="iso"
    )
    return pa.array(written, pa.binary()), repaired_count


def _refuse_curves(seen: wkb.Headers, plan: CleaningPlan, first_row: int) -> None:
    curved = seen.plain & ~np.isin(seen.family, _SIMPLE_FEATURES)
    if curved.any():
        raise InvalidSource(
            f"{plan.source}, row {_row(curved, first_row)} holds a curved or surface geometry"
            f" (WKB type {int(seen.code[curved][0])}).",
            remedy="Linearise it first: ogr2ogr -nlt CONVERT_TO_LINEAR out.gpkg <source>.",
        )


def _parsed(given: pa.BinaryArray, plan: CleaningPlan, first_row: int) -> tuple[NDArray[Any], int]:
    """Shapely geometries; unclosed rings are closed when repairing, and counted."""
    raw = given.to_numpy(zero_copy_only=False)
    parsed = shapely.from_wkb(raw, on_invalid="ignore")
    lost = np.asarray(given.is_valid(), dtype=bool) & shapely.is_missing(parsed)
    closed_count = 0
    if plan.repair and lost.any():
        parsed[lost] = shapely.from_wkb(raw[lost], on_invalid="fix")
        closed_count = int(np.count_nonzero(lost & ~shapely.is_missing(parsed)))
        lost &= shapely.is_missing(parsed)
    if lost.any():
        raise InvalidSource(
            f"{plan.source}, row {_row(lost, first_row)} has a geometry that cannot be read.",
            remedy="Mend or delete that feature in QGIS, or get the file again.",
        )
    return parsed, closed_count


def _repaired(parsed: NDArray[Any], plan: CleaningPlan, first_row: int) -> tuple[NDArray[Any], int]:
    # is_valid is false for None as well.
    invalid = ~shapely.is_valid(parsed) & ~shapely.is_missing(parsed)
    count = int(np.count_nonzero(invalid))
    if count == 0:
        return parsed, 0
    rows = np.flatnonzero(invalid)
    coordinates, index = shapely.get_coordinates(parsed[rows], return_index=True)
    wild = ~np.isfinite(coordinates).all(axis=1)
    if wild.any():
        raise InvalidSource(
            f"{plan.source}, row {int(rows[index[wild][0]]) + first_row} has a coordinate that is"
            " not a finite number.",
            remedy="Mend or delete that feature in QGIS.",
        )
    mended = parsed.copy()
    mended[rows] = shapely.make_valid(parsed[rows], method="structure", keep_collapsed=False)
    return mended, count


def _in_dimension(geometries: NDArray[Any], *, has_z: bool) -> NDArray[Any]:
    """All without M, and all with Z (0 where there is none) or all without."""
    flat = _shapely.force_2d(geometries)
    if not has_z:
        return flat
    # force_3d() alone loses the Z of a geometry that has M too (shapely 2.2, GEOS 3.14).
    coordinates = shapely.get_coordinates(geometries, include_z=True)
    coordinates[np.isnan(coordinates[:, 2]), 2] = 0.0
    return shapely.set_coordinates(_shapely.force_3d(flat), coordinates)


def _reprojected(
    geometries: NDArray[Any], plan: CleaningPlan, transformer: Transformer, first_row: int
) -> NDArray[Any]:
    """Coordinates go to EPSG:4326, x before y; heights stay as they are."""
    coordinates, index = shapely.get_coordinates(
        geometries, include_z=plan.has_z, return_index=True
    )
    if len(coordinates) == 0:
        return geometries
    x, y = transformer.transform(coordinates[:, 0], coordinates[:, 1])
    wild = ~(np.isfinite(x) & np.isfinite(y))
    if wild.any():
        raise InvalidSource(
            f"{plan.source}, row {int(index[wild][0]) + first_row} has a coordinate"
            f" {coordinates[wild][0][:2].tolist()} that cannot be reprojected to EPSG:{SRID}.",
            remedy="Check that the CRS is the right one, or pass another: crs='EPSG:...'.",
        )
    coordinates[:, 0], coordinates[:, 1] = x, y
    return shapely.set_coordinates(geometries.copy(), coordinates)


def _row(mask: NDArray[np.bool_], first_row: int) -> int:
    return int(np.flatnonzero(mask)[0]) + first_row
