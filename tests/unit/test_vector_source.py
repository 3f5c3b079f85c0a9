"""Inspecting vector files: what is found in them, and what is refused with which words."""

from __future__ import annotations

import json
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyogrio
import pytest
import shapely
from pydantic import ValidationError

from geomill.errors import InvalidSource
from geomill.etl.vector.columns import column_type, launder
from geomill.etl.vector.handlers import ProcessVector, sources
from geomill.etl.vector.source import inspect_source

SQUARE = shapely.box(0, 0, 1, 1)


def write(
    path: Path,
    *,
    geometries: Any = (SQUARE,),
    geometry_type: str = "Polygon",
    crs: str = "EPSG:4326",
    layer: str | None = None,
    append: bool = False,
) -> Path:
    """A small file in the format of its extension."""
    table = pa.table(
        {
            "Name": [f"n{index}" for index in range(len(geometries))],
            "geometry": pa.array(shapely.to_wkb(list(geometries)), pa.binary()),
        }
    )
    pyogrio.write_arrow(
        table,
        path,
        geometry_name="geometry",
        geometry_type=geometry_type,
        crs=crs,
        layer=layer,
        append=append,
    )
    return path


def refused(path: Path, **options: str) -> str:
    """The message with which a file is refused; every refusal has a remedy."""
    with pytest.raises(InvalidSource) as raised:
        inspect_source(str(path), **options)
    assert raised.value.remedy
    assert str(path) in raised.value.message
    return str(raised.value)


def zipped(tmp_path: Path, *stems: str, leave_out: str = "") -> Path:
    archive = tmp_path / "shapes.zip"
    with zipfile.ZipFile(archive, "w") as target:
        for stem in stems:
            write(tmp_path / f"{stem}.shp")
            for part in sorted(tmp_path.glob(f"{stem}.*")):
                if part.suffix != leave_out:
                    target.write(part, f"inside/{part.name}")
    return archive


@pytest.mark.parametrize("name", ["a.geojson", "a.json", "a.gpkg", "a.shp"])
def test_each_format_gives_the_same_findings(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if path.suffix == ".json":
        write(tmp_path / "a.geojson").rename(path)
    else:
        write(path)

    found = inspect_source(str(path))

    assert found.crs == "EPSG:4326"
    assert found.feature_count == 1
    assert found.geometry_type == "MultiPolygon"
    assert [column.name for column in found.columns] == ["name"]
    assert found.observed_at == datetime.fromtimestamp(path.stat().st_mtime, UTC)


def test_a_shapefile_may_be_in_capitals(tmp_path: Path) -> None:
    for part in list(write(tmp_path / "a.shp").parent.iterdir()):
        part.rename(tmp_path / part.name.upper())

    assert inspect_source(str(tmp_path / "A.SHP")).feature_count == 1


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("Point", "Point"),
        ("MultiPoint", "MultiPoint"),
        ("LineString", "MultiLineString"),
        ("Polygon Z", "MultiPolygonZ"),
        ("Point Z", "PointZ"),
        ("Unknown", "Geometry"),
    ],
)
def test_the_tables_geometry_type(tmp_path: Path, written: str, expected: str) -> None:
    path = write(tmp_path / "a.gpkg", geometry_type=written, geometries=(None,))

    found = inspect_source(str(path))

    assert found.geometry_type == expected
    assert found.has_z == expected.endswith("Z")


def test_a_zip_is_read_without_unpacking(tmp_path: Path) -> None:
    archive = zipped(tmp_path, "one")

    found = inspect_source(str(archive))

    assert found.gdal_path == f"/vsizip/{archive}/inside/one.shp"
    assert found.layer == "one"


def test_a_zip_with_several_shapefiles_asks_for_one(tmp_path: Path) -> None:
    archive = zipped(tmp_path, "one", "two")

    message = refused(archive)
    assert "inside/one.shp" in message
    assert "inside/two.shp" in message
    assert inspect_source(str(archive), layer="two").layer == "two"
    assert "no Shapefile 'three'" in refused(archive, layer="three")


def test_a_zip_without_a_shapefile_says_what_it_holds(tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as target:
        target.writestr("notes.txt", "hello")

    assert "notes.txt" in refused(archive)


def test_a_zipped_shapefile_without_its_index_is_refused(tmp_path: Path) -> None:
    assert ".shx" in refused(zipped(tmp_path, "one", leave_out=".shx"))


def test_a_zip_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(b"PK, but no more")

    assert "not a readable zip" in refused(path)


@pytest.mark.parametrize("part", [".dbf", ".shx"])
def test_a_shapefile_without_a_part_names_it(tmp_path: Path, part: str) -> None:
    path = write(tmp_path / "a.shp")
    path.with_suffix(part).unlink()

    assert part in refused(path)


def test_a_truncated_shapefile_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.shp", geometries=[SQUARE] * 50)
    path.write_bytes(path.read_bytes()[:-200])

    assert "truncated" in refused(path)


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.gpkg"
    path.touch()

    assert "zero bytes" in refused(path)


def test_an_unsupported_extension_lists_the_supported(tmp_path: Path) -> None:
    path = tmp_path / "a.docx"
    path.write_text("x")

    assert ".gpkg" in refused(path)


def test_gdals_words_are_passed_on(tmp_path: Path) -> None:
    path = tmp_path / "a.geojson"
    path.write_text('{"type": "FeatureCollection", "features": [')

    assert "GDAL says" in refused(path)


def test_a_vrt_in_disguise_is_never_opened(tmp_path: Path) -> None:
    secret = write(tmp_path / "secret.gpkg", layer="secret")
    path = tmp_path / "a.geojson"
    path.write_text(
        f'<OGRVRTDataSource><OGRVRTLayer name="secret"><SrcDataSource>{secret}'
        "</SrcDataSource></OGRVRTLayer></OGRVRTDataSource>"
    )

    assert "not a GeoJSON file" in refused(path)


def test_several_layers_ask_for_one(tmp_path: Path) -> None:
    path = write(tmp_path / "a.gpkg", layer="roads")
    write(path, layer="rivers", append=True)

    message = refused(path)
    assert "'roads'" in message
    assert "'rivers'" in message
    assert inspect_source(str(path), layer="rivers").layer == "rivers"
    assert "'roads'" in refused(path, layer="lakes")


def test_a_layer_without_features_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.geojson"
    path.write_text('{"type": "FeatureCollection", "features": []}')

    assert "no features" in refused(path)


def test_a_plain_table_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.gpkg"
    pyogrio.write_arrow(pa.table({"a": [1]}), path, layer="plain")

    assert "no geometry" in refused(path)


def test_an_unknown_crs_must_be_given(tmp_path: Path) -> None:
    path = write(tmp_path / "a.shp")
    path.with_suffix(".prj").unlink()

    assert 'crs="EPSG:' in refused(path)
    assert inspect_source(str(path), crs="epsg:26913").crs == "EPSG:26913"
    assert "'EPSG:nonsense'" in refused(path, crs="EPSG:nonsense")


def test_a_relative_path_or_a_missing_file_is_refused() -> None:
    for source in ("a.gpkg", "/nowhere/a.gpkg", "https://example.com/a.gpkg"):
        with pytest.raises(InvalidSource):
            inspect_source(source)


def test_column_names_need_no_quoting_and_differ() -> None:
    assert launder(["Name", "NAME", "2nd", "a-b c", "fid", "Geom", "", "--", "geom_"]) == [
        "name",
        "name_2",
        "_2nd",
        "a_b_c",
        "fid_",
        "geom_",
        "column",
        "column_2",
        "geom__2",
    ]
    assert all(len(name.encode()) <= 60 for name in launder(["é" * 80, "é" * 80]))


@pytest.mark.parametrize(
    ("arrow_type", "sql_type"),
    [
        (pa.bool_(), "boolean"),
        (pa.uint8(), "smallint"),
        (pa.uint16(), "integer"),
        (pa.uint32(), "bigint"),
        (pa.uint64(), "numeric"),
        (pa.float32(), "real"),
        (pa.date64(), "date"),
        (pa.time32("s"), "time"),
        (pa.timestamp("ns"), "timestamp"),
        (pa.timestamp("ms", tz="UTC"), "timestamptz"),
        (pa.dictionary(pa.int8(), pa.string()), "text"),
        (pa.list_(pa.string()), "text[]"),
        (pa.list_(pa.list_(pa.int8())), "text"),
        (pa.struct({"a": pa.int8()}), "text"),
    ],
)
def test_each_arrow_type_has_a_sql_type(arrow_type: pa.DataType, sql_type: str) -> None:
    assert column_type(arrow_type)[1] == sql_type


@pytest.mark.parametrize("table", ["Roads", "1st", "a__b", "select", "a" * 41, "a-b", ""])
def test_a_table_name_that_will_not_do_is_refused(table: str) -> None:
    with pytest.raises(ValidationError, match="table"):
        ProcessVector(source="/a.gpkg", table=table)


def test_a_collection_may_have_dashes_and_a_time_without_zone_is_utc() -> None:
    parameters = ProcessVector.model_validate(
        {"source": "/a.gpkg", "table": "a", "collection": "land-cover", "observed_at": "2020-01-01"}
    )

    assert parameters.collection == "land-cover"
    assert parameters.observed_at == datetime(2020, 1, 1, tzinfo=UTC)
    with pytest.raises(ValidationError, match="collection"):
        ProcessVector(source="/a.gpkg", table="a", collection="Land Cover")


def test_sources_fingerprint_every_part_of_a_shapefile(tmp_path: Path) -> None:
    path = write(tmp_path / "a.shp")

    found = sources(ProcessVector(source=str(path), table="a"))

    assert {Path(name).suffix for name in found} >= {".shp", ".dbf", ".shx", ".prj"}
    assert json.loads(json.dumps(found)) == found
    assert found[str(path)]["size"] == path.stat().st_size
