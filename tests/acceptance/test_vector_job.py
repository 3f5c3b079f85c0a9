"""The vector path as a user meets it: what is published, what is refused, what is kept."""

from __future__ import annotations

import json
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyogrio
import pytest
import shapely
from pyogrio.raw import write

from geomill.database.postgresql import PostgreSQLRepository

Run = Callable[..., dict[str, Any]]
SQUARE = shapely.box(-106, 40, -105, 41)
BOWTIE = shapely.Polygon([(0, 0), (1, 1), (1, 0), (0, 1), (0, 0)])


@pytest.fixture
def run(operator: httpx.Client) -> Run:
    """Submits process_vector and returns the job once it has ended."""

    def submit(source: Path, table: str, **parameters: Any) -> dict[str, Any]:
        answer = operator.post(
            "/api/jobs/submit/process_vector",
            json={"source": str(source), "table": table, **parameters},
        )
        assert answer.status_code in {200, 202}, answer.text
        job_id = answer.json()["job_id"]
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            job = operator.get(f"/api/jobs/{job_id}").json()
            if job["status"] not in {"queued", "running"}:
                return job
            time.sleep(0.05)
        pytest.fail(f"job did not end: {job}")

    return submit


def write_layer(
    path: Path, geometries: list[Any], crs: str | None = "EPSG:4326", **options: Any
) -> Path:
    write(
        path,
        geometry=np.array([None if g is None else shapely.to_wkb(g) for g in geometries], object),
        field_data=[np.arange(len(geometries), dtype=np.int64)],
        fields=["Number It"],
        geometry_type=options.pop("geometry_type", "Unknown"),
        crs=crs,
        **options,
    )
    return path


def collection(*geometries: Any) -> str:
    features = [
        {
            "type": "Feature",
            "properties": {"n": n},
            "geometry": None if g is None else shapely.geometry.mapping(g),
        }
        for n, g in enumerate(geometries)
    ]
    return json.dumps({"type": "FeatureCollection", "features": features})


def test_publishes_a_geopackage_reprojected(
    run: Run, database: PostgreSQLRepository, client: httpx.Client, tmp_path: Path
) -> None:
    point = shapely.Point(500_000, 4_427_757)
    source = write_layer(tmp_path / "utm.gpkg", [point], crs="EPSG:26913", geometry_type="Point")
    job = run(source, "utm_point")
    assert job["status"] == "succeeded", job
    page = client.get("/api/features/collections/utm_point/items").json()
    longitude, latitude = page["features"][0]["geometry"]["coordinates"]
    assert longitude == pytest.approx(-105.0, abs=1e-6)
    assert latitude == pytest.approx(40.0, abs=1e-2)
    assert page["features"][0]["properties"]["number_it"] == 0
    item = client.get("/api/collections/vectors/items/utm_point").json()
    assert item["properties"]["geomill:source_crs"] == "EPSG:26913"
    with database.transaction() as connection:
        row = connection.execute(
            "SELECT type, srid FROM geometry_columns"
            " WHERE f_table_schema = 'geo' AND f_table_name = 'utm_point'"
        ).fetchone()
    assert row == ("POINT", 4326)


def test_repairs_and_counts(run: Run, database: PostgreSQLRepository, tmp_path: Path) -> None:
    source = tmp_path / "mixed.geojson"
    source.write_text(collection(SQUARE, BOWTIE, None))
    job = run(source, "repaired")
    assert job["status"] == "succeeded", job
    assert (job["result"]["row_count"], job["result"]["repaired_count"]) == (3, 1)
    assert job["result"]["null_geometry_count"] == 1
    with database.transaction() as connection:
        row = connection.execute(
            "SELECT count(*) FILTER (WHERE ST_IsValid(geom)),"
            " count(DISTINCT GeometryType(geom)), count(*) FROM geo.repaired"
        ).fetchone()
    assert row == (2, 1, 3)


def test_reads_a_zipped_shapefile(run: Run, client: httpx.Client, tmp_path: Path) -> None:
    write_layer(tmp_path / "boxes.shp", [SQUARE, SQUARE], geometry_type="Polygon")
    archive = tmp_path / "boxes.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        for part in tmp_path.glob("boxes.*"):
            if part != archive:
                zipped.write(part, f"folder/{part.name}")
    assert run(archive, "zipped")["status"] == "succeeded"
    assert client.get("/api/features/collections/zipped/items").json()["numberMatched"] == 2


def test_an_unchanged_file_is_not_ingested_again_and_a_changed_one_is(
    run: Run, client: httpx.Client, tmp_path: Path
) -> None:
    source = tmp_path / "changing.geojson"
    source.write_text(collection(SQUARE))
    first = run(source, "changing")
    assert run(source, "changing")["job_id"] == first["job_id"]
    source.write_text(collection(SQUARE, SQUARE))
    second = run(source, "changing")
    assert second["job_id"] != first["job_id"]
    assert client.get("/api/features/collections/changing/items").json()["numberMatched"] == 2


def test_a_file_that_fails_half_way_changes_nothing(
    run: Run, database: PostgreSQLRepository, client: httpx.Client, tmp_path: Path
) -> None:
    good = tmp_path / "good.geojson"
    good.write_text(collection(SQUARE))
    assert run(good, "kept")["status"] == "succeeded"
    before = client.get("/api/collections/vectors/items/kept").json()
    points = [shapely.Point(500_000, 4_400_000 + n) for n in range(40_000)]
    points[-1] = shapely.Point(1e30, 1e30)
    damaged = write_layer(
        tmp_path / "damaged.gpkg", points, crs="EPSG:26913", geometry_type="Point"
    )
    job = run(damaged, "kept")
    assert job["status"] == "failed", job
    assert "damaged.gpkg" in job["error"]["message"]
    assert "row 40000" in job["error"]["message"]
    assert job["error"]["remedy"]
    assert client.get("/api/collections/vectors/items/kept").json() == before
    assert client.get("/api/features/collections/kept/items").json()["numberMatched"] == 1
    with database.transaction() as connection:
        left = connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'geo'::regnamespace"
            " AND relname LIKE 'kept\\_\\_%'"
        ).fetchall()
    assert left == []


def test_a_table_that_is_not_ours_is_left_alone(
    run: Run, database: PostgreSQLRepository, tmp_path: Path
) -> None:
    with database.transaction() as connection:
        connection.execute("CREATE TABLE geo.somebody_elses AS SELECT 1 AS n")
    source = tmp_path / "a.geojson"
    source.write_text(collection(SQUARE))
    job = run(source, "somebody_elses")
    assert job["status"] == "failed"
    assert job["error"]["type"] == "AlreadyExists"
    with database.transaction() as connection:
        assert connection.execute("SELECT n FROM geo.somebody_elses").fetchone() == (1,)


def _no_crs(folder: Path) -> Path:
    return write_layer(folder / "nocrs.gpkg", [SQUARE], crs=None)


def _empty(folder: Path) -> Path:
    path = folder / "empty.geojson"
    path.touch()
    return path


def _unreadable(folder: Path) -> Path:
    path = folder / "rubbish.gpkg"
    path.write_bytes(b"this is not a GeoPackage" * 100)
    return path


def _no_features(folder: Path) -> Path:
    path = folder / "none.geojson"
    path.write_text(collection())
    return path


def _truncated(folder: Path) -> Path:
    path = write_layer(folder / "cut.shp", [SQUARE] * 5000, geometry_type="Polygon")
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    return path


def _alone(folder: Path) -> Path:
    write_layer(folder / "alone.shp", [SQUARE], geometry_type="Polygon")
    (folder / "alone.dbf").unlink()
    return folder / "alone.shp"


@pytest.mark.parametrize(
    "make",
    [_no_crs, _empty, _unreadable, _no_features, _alone, _truncated, lambda f: f / "missing.gpkg"],
)
@pytest.mark.filterwarnings("ignore:'crs' was not provided:UserWarning")
def test_bad_files_are_refused_before_a_job_exists(
    operator: httpx.Client, tmp_path: Path, make: Callable[[Path], Path]
) -> None:
    source = make(tmp_path)
    before = operator.get("/api/jobs", params={"limit": 1}).json()
    answer = operator.post(
        "/api/jobs/submit/process_vector", json={"source": str(source), "table": "never"}
    )
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"].startswith("application/problem+json")
    problem = answer.json()
    assert source.name in problem["detail"]
    assert problem["remedy"]
    assert operator.get("/api/jobs", params={"limit": 1}).json() == before


def test_a_layer_without_crs_is_taken_with_one_given(run: Run, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="crs"):
        source = _no_crs(tmp_path)
    assert run(source, "given_crs", crs="EPSG:4326")["status"] == "succeeded"
    assert pyogrio.read_info(source)["crs"] is None


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"table": "1; drop table app.jobs"}, "table"),
        ({"table": "select"}, "table"),
        ({"table": "a__b"}, "table"),
        ({"table": "ok", "nonsense": 1}, "nonsense"),
        ({}, "table"),
    ],
)
def test_wrong_parameters_are_named(
    operator: httpx.Client, tmp_path: Path, parameters: dict[str, Any], named: str
) -> None:
    source = tmp_path / "a.geojson"
    source.write_text(collection(SQUARE))
    answer = operator.post(
        "/api/jobs/submit/process_vector", json={"source": str(source), **parameters}
    )
    assert answer.status_code == 422
    assert named in answer.json()["detail"]


def test_an_unknown_job_type_names_those_there_are(operator: httpx.Client) -> None:
    answer = operator.post("/api/jobs/submit/no_such_type", json={})
    assert answer.status_code == 404
    assert "process_vector" in answer.json()["remedy"]


def test_hello_world_runs_through_the_engine(operator: httpx.Client) -> None:
    answer = operator.post("/api/jobs/submit/hello_world", json={"n": 25, "name": "engine"})
    assert answer.status_code == 202
    job: dict[str, Any] = {}
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and job.get("status") != "succeeded":
        job = operator.get(f"/api/jobs/{answer.json()['job_id']}").json()
        time.sleep(0.05)
    assert job["status"] == "succeeded"
    assert (
        operator.post("/api/jobs/submit/hello_world", json={"n": 25, "name": "engine"}).status_code
        == 200
    )


def test_every_session_of_the_platform_says_who_it_is(
    published_server: Any, database: PostgreSQLRepository
) -> None:
    assert published_server
    with database.transaction() as connection:
        names = {
            name
            for (name,) in connection.execute(
                "SELECT application_name FROM pg_stat_activity"
                " WHERE datname = current_database() AND backend_type = 'client backend'"
            )
        }
    assert {"geomill/api", "geomill/worker"} <= names
    assert all(name.startswith("geomill/") for name in names), names


def test_columns_with_names_of_postgresql_are_renamed(
    run: Run, client: httpx.Client, tmp_path: Path
) -> None:
    source = tmp_path / "bounds.geojson"
    properties = {"xmin": 1.5, "ctid": "a", "fid": 7, "geom": "b"}
    feature = {
        "type": "Feature",
        "properties": properties,
        "geometry": shapely.geometry.mapping(SQUARE),
    }
    source.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    assert run(source, "system_names")["status"] == "succeeded"
    page = client.get("/api/features/collections/system_names/items").json()
    assert page["features"][0]["properties"]["xmin_"] == 1.5


def test_an_open_ring_is_closed_and_counted(run: Run, tmp_path: Path) -> None:
    ring = [[0, 0], [0, 1], [1, 1], [1, 0]]
    feature = {
        "type": "Feature",
        "properties": {"n": 1},
        "geometry": {"type": "Polygon", "coordinates": [ring]},
    }
    source = tmp_path / "open.geojson"
    source.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    job = run(source, "open_ring")
    assert job["status"] == "succeeded", job
    assert job["result"]["repaired_count"] == 1


def test_an_earlier_file_can_be_published_again(
    run: Run, client: httpx.Client, tmp_path: Path
) -> None:
    first, second = tmp_path / "first.geojson", tmp_path / "second.geojson"
    first.write_text(collection(SQUARE))
    second.write_text(collection(SQUARE, SQUARE))
    for source, count in ((first, 1), (second, 2), (first, 1)):
        assert run(source, "back_and_forth")["status"] == "succeeded"
        page = client.get("/api/features/collections/back_and_forth/items").json()
        assert page["numberMatched"] == count


def test_what_a_superseded_attempt_left_goes_with_the_publish(
    run: Run, database: PostgreSQLRepository, operator: httpx.Client, tmp_path: Path
) -> None:
    source = tmp_path / "leftover.geojson"
    source.write_text(collection(SQUARE))
    job = run(source, "leftover")
    stale = f"leftover__s_{job['job_id'][:8]}_999_1"
    with database.transaction() as connection:
        connection.execute(f'CREATE TABLE geo."{stale}" (n int)')
        connection.execute(
            "UPDATE app.jobs SET status = 'failed' WHERE job_id = %s", (job["job_id"],)
        )
    operator.post(f"/api/jobs/{job['job_id']}/resubmit").raise_for_status()
    assert run(source, "leftover")["status"] == "succeeded"
    with database.transaction() as connection:
        row = connection.execute("SELECT to_regclass(%s)", (f'geo."{stale}"',)).fetchone()
    assert row == (None,)


def test_a_view_on_a_published_table_is_named_and_kept(
    run: Run, database: PostgreSQLRepository, tmp_path: Path
) -> None:
    source = tmp_path / "viewed.geojson"
    source.write_text(collection(SQUARE))
    assert run(source, "viewed")["status"] == "succeeded"
    with database.transaction() as connection:
        connection.execute("CREATE VIEW public.on_viewed AS SELECT fid FROM geo.viewed")
    source.write_text(collection(SQUARE, SQUARE))
    job = run(source, "viewed")
    assert job["status"] == "failed"
    assert "on_viewed" in job["error"]["message"]


def test_a_zip_cannot_smuggle_in_another_format(operator: httpx.Client, tmp_path: Path) -> None:
    archive = tmp_path / "smuggled.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("x.shp", "<OGRVRTDataSource/>")
        zipped.writestr("x.dbf", "x")
        zipped.writestr("x.shx", "x")
    answer = operator.post(
        "/api/jobs/submit/process_vector", json={"source": str(archive), "table": "never"}
    )
    assert answer.status_code == 422
    assert "not a Shapefile" in answer.json()["detail"]


@pytest.mark.parametrize(
    "parameters", [{"source": "file://[x", "table": "a"}, {"source": "/x", "title": "a\x00b"}]
)
def test_what_no_system_could_take_is_a_wrong_parameter(
    operator: httpx.Client, parameters: dict[str, Any]
) -> None:
    answer = operator.post("/api/jobs/submit/process_vector", json={"table": "a", **parameters})
    assert answer.status_code == 422
