"""Cleaning batches of features, with shapely and pyproj as the oracles."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import shapely
from pyproj import Transformer

from geomill.errors import InvalidSource
from geomill.etl.vector.clean import Cleaned, CleaningPlan, clean
from geomill.model.dataset import FeatureColumn

SQUARE = shapely.box(0, 0, 1, 1)
BOWTIE = shapely.from_wkt("POLYGON ((0 0, 2 2, 2 0, 0 2, 0 0))")
UTM13 = Transformer.from_crs("EPSG:26913", "EPSG:4326", always_xy=True)


def plan(**changes: Any) -> CleaningPlan:
    settings: dict[str, Any] = {
        "source": "a.gpkg, layer 'a'",
        "geometry_column": "shape",
        "columns": [],
        "transformer": None,
        "has_z": False,
        "repair": True,
    }
    return CleaningPlan(**{**settings, **changes})


def batch(geometries: Any, **columns: Any) -> pa.RecordBatch:
    wkb = [shapely.to_wkb(g, flavor="iso") if hasattr(g, "wkb") else g for g in geometries]
    return pa.RecordBatch.from_pydict({**columns, "shape": pa.array(wkb, pa.binary())})


def shapes(cleaned: Cleaned) -> Any:
    return shapely.from_wkb(cleaned.batch.column("geom").to_numpy(zero_copy_only=False))


def test_single_lines_and_polygons_become_multi() -> None:
    line = shapely.LineString([(0, 0), (1, 1)])
    multi = shapely.MultiPolygon([SQUARE])
    point = shapely.Point(1, 2)

    cleaned = clean(batch([SQUARE, line, multi, point]), plan())

    assert [shape.geom_type for shape in shapes(cleaned)] == [
        "MultiPolygon",
        "MultiLineString",
        "MultiPolygon",
        "Point",
    ]
    assert shapes(cleaned)[0].equals(SQUARE)
    assert cleaned.codes == {6, 5, 1}


def test_only_the_invalid_are_repaired_and_counted() -> None:
    cleaned = clean(batch([SQUARE, BOWTIE]), plan())

    assert cleaned.repaired_count == 1
    assert shapely.is_valid(shapes(cleaned)).all()
    assert shapes(cleaned)[1].area == pytest.approx(2.0)


def test_without_repair_the_bytes_pass_through() -> None:
    multi = shapely.MultiPolygon([BOWTIE])
    given = batch([multi, None])

    cleaned = clean(given, plan(repair=False))

    assert cleaned.batch.column("geom").equals(given.column("shape"))
    assert cleaned.repaired_count == 0


def test_nulls_and_empties_are_counted_as_null() -> None:
    empties = [None, shapely.Polygon(), shapely.Point(), shapely.MultiPolygon()]

    for repair in (True, False):
        cleaned = clean(batch([*empties, SQUARE]), plan(repair=repair))
        assert cleaned.null_geometry_count == 4
        assert cleaned.batch.column("geom").null_count == 4


def test_a_geometry_that_collapses_is_null_not_lost() -> None:
    spike = shapely.from_wkt("POLYGON ((0 0, 1 1, 0 0, 0 0))")

    cleaned = clean(batch([spike, SQUARE]), plan())

    assert (cleaned.repaired_count, cleaned.null_geometry_count) == (1, 1)
    assert cleaned.batch.num_rows == 2


def test_reprojection_agrees_with_pyproj() -> None:
    given = shapely.box(440_000, 4_400_000, 450_000, 4_410_000)

    cleaned = clean(batch([given, None]), plan(transformer=UTM13))

    got = shapely.get_coordinates(shapes(cleaned)[0])
    expected = np.column_stack(UTM13.transform(*shapely.get_coordinates(given).T))
    np.testing.assert_allclose(got, expected)


def test_heights_survive_reprojection() -> None:
    given = shapely.Point(450_000, 4_400_000, 1234.5)

    cleaned = clean(batch([given]), plan(transformer=UTM13, has_z=True))

    assert shapes(cleaned)[0].z == 1234.5
    assert cleaned.codes == {1001}


def test_a_row_that_cannot_be_reprojected_is_named() -> None:
    transformer = Transformer.from_crs("EPSG:3857", "EPSG:4326", always_xy=True)
    rows = [shapely.Point(0, 0), shapely.Point(float("inf"), 0)]

    with pytest.raises(InvalidSource, match=r"a\.gpkg, layer 'a', row 12 "):
        clean(batch(rows), plan(transformer=transformer, repair=False), first_row=11)


def test_a_coordinate_that_is_no_number_is_named() -> None:
    line = shapely.LineString([(0, 0), (float("inf"), 1)])

    with pytest.raises(InvalidSource, match="row 2 has a coordinate"):
        clean(batch([SQUARE, line]), plan())


def test_heights_fit_the_table() -> None:
    rows = [shapely.Point(1, 2, 3), shapely.Point(4, 5)]

    flat = shapes(clean(batch(rows), plan(has_z=False, repair=False)))
    high = shapes(clean(batch(rows), plan(has_z=True, repair=False)))

    assert not shapely.has_z(flat).any()
    assert [point.z for point in high] == [3.0, 0.0]


def test_m_is_dropped_and_z_is_kept() -> None:
    measured = shapely.from_wkt("POINT ZM (1 2 3 4)")

    kept = clean(batch([measured]), plan(has_z=True))
    flat = clean(batch([measured]), plan(has_z=False))

    assert kept.batch.column("geom")[0].as_py() == struct.pack("<BIddd", 1, 1001, 1, 2, 3)
    assert flat.batch.column("geom")[0].as_py() == struct.pack("<BIdd", 1, 1, 1, 2)


def test_big_endian_wkb_is_rewritten() -> None:
    big = shapely.to_wkb(SQUARE, byte_order=0)

    cleaned = clean(batch([big]), plan(repair=False))

    assert shapes(cleaned)[0].equals(SQUARE)
    assert cleaned.batch.column("geom")[0].as_py()[0] == 1


def test_curves_are_refused_by_row() -> None:
    circle = struct.pack("<BII", 1, 8, 0)

    with pytest.raises(InvalidSource, match="row 2 holds a curved") as raised:
        clean(batch([SQUARE, circle]), plan())
    assert "CONVERT_TO_LINEAR" in raised.value.remedy


def test_bytes_that_are_no_wkb_are_refused_by_row() -> None:
    broken = shapely.to_wkb(SQUARE)[:40]

    with pytest.raises(InvalidSource, match="row 2 has a geometry that cannot be read"):
        clean(batch([SQUARE, broken]), plan())


def test_a_slice_of_a_batch_is_read_at_its_own_offset() -> None:
    rows = [shapely.Point(0, 0), None, SQUARE, shapely.Point(7, 8)]

    cleaned = clean(batch(rows).slice(2, 2), plan(repair=False))

    assert shapes(cleaned)[0].equals(SQUARE)
    assert shapes(cleaned)[1].equals(rows[3])


def test_attributes_are_renamed_and_cast() -> None:
    columns = [
        FeatureColumn(name="name", source_name="Name", sql_type="text"),
        FeatureColumn(name="day", source_name="Day", sql_type="date"),
        FeatureColumn(name="tags", source_name="Tags", sql_type="text"),
    ]
    given = batch(
        [SQUARE],
        Name=pa.array(["x"]).dictionary_encode(),
        Day=pa.array([86_400_000], pa.date64()),
        Tags=[{"a": [1]}],
    )

    cleaned = clean(given, plan(columns=columns))

    assert cleaned.batch.schema.names == ["name", "day", "tags", "geom"]
    assert cleaned.batch.column("day").type == pa.date32()
    assert cleaned.batch.column("tags").to_pylist() == ['{"a":[1]}']


def test_an_empty_batch_stays_empty() -> None:
    cleaned = clean(batch([]), plan())

    assert cleaned.batch.num_rows == 0
    assert cleaned.codes == frozenset()
