"""The file the vector benchmark loads: star-shaped polygons with ten attributes of mixed types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyogrio
import shapely

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

VERTICES = 20
LAYER = "polygons"
_INVALID_SHARE = 0.01
_SEED = 42


def write(path: Path, count: int) -> None:
    """Write ``count`` polygons of 20 vertices in EPSG:4326, one in a hundred self-crossing.

    The same count gives the same file.
    """
    generator = np.random.default_rng(_SEED)
    columns = _attributes(generator, count)
    columns["geom"] = pa.array(_geometries(generator, count), type=pa.binary())
    pyogrio.write_arrow(
        pa.table(columns),
        path,
        layer=LAYER,
        driver="GPKG",
        geometry_name="geom",
        geometry_type="Polygon",
        crs="EPSG:4326",
        dataset_options={"VERSION": "1.3"},
    )


def _geometries(generator: np.random.Generator, count: int) -> NDArray[np.object_]:
    centre = generator.uniform((-170.0, -75.0), (170.0, 75.0), (count, 2))
    radius = generator.uniform(0.002, 0.01, (count, VERTICES))
    angle = np.linspace(0.0, 2 * np.pi, VERTICES, endpoint=False)
    ring = np.empty((count, VERTICES + 1, 2))
    ring[:, :-1, 0] = centre[:, :1] + radius * np.cos(angle)
    ring[:, :-1, 1] = centre[:, 1:] + radius * np.sin(angle)
    crossing = generator.random(count) < _INVALID_SHARE
    swapped = ring[crossing]
    swapped[:, [3, 9]] = swapped[:, [9, 3]]
    ring[crossing] = swapped
    ring[:, -1] = ring[:, 0]
    return np.asarray(shapely.to_wkb(shapely.polygons(ring)), dtype=np.object_)


def _attributes(generator: np.random.Generator, count: int) -> dict[str, pa.Array[Any]]:
    number = np.arange(count)
    names = np.char.add("parcel ", number.astype(str))
    owner = generator.choice(["municipality", "state", "private", "trust", "unknown"], count)
    note = np.char.add(np.char.add(owner, " / "), names)
    day = generator.integers(0, 20_000, count)
    # Never whole seconds: older GDAL reads those, without a fraction, by a slower path.
    millisecond = generator.integers(0, 1_700_000_000, count) * 1000 + 123
    return {
        "parcel": pa.array(number, type=pa.int64()),
        "zone": pa.array(generator.integers(0, 99, count), type=pa.int32()),
        "area_m2": pa.array(generator.uniform(1, 1e6, count), type=pa.float64()),
        "slope": pa.array(generator.uniform(0, 90, count), type=pa.float64()),
        "name": pa.array(names, type=pa.string()),
        "owner": pa.array(owner, type=pa.string()),
        "note": pa.array(note, type=pa.string(), mask=generator.random(count) < 0.1),
        "protected": pa.array(generator.random(count) < 0.5, type=pa.bool_()),
        "surveyed": pa.array(day.astype("datetime64[D]"), type=pa.date32()),
        "updated": pa.array(
            millisecond.astype("datetime64[ms]"), type=pa.timestamp("ms", tz="UTC")
        ),
    }
