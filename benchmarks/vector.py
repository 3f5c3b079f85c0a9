"""Loading a GeoPackage of polygons: geomill against ogr2ogr and against the COPY floor.

All contenders write logged tables of one freshly made cluster, none builds a spatial index in its
timed part, and rounds are interleaved. geomill is timed inside a process that has its libraries
loaded, as its workers have; ogr2ogr is timed as the program it is.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import pyogrio
from psycopg import sql

from benchmarks import geomill_load, polygons
from benchmarks.geomill_load import Load, in_process
from benchmarks.harness import Contender, Figure, measure, medians, report
from geomill.database.embedded import EmbeddedCluster
from geomill.database.pgstac_bootstrap import PgStacBootstrap
from geomill.database.postgresql import PostgreSQLRepository
from geomill.database.schema.deploy import deploy
from geomill.errors import ConfigurationError

ROWS = 1_000_000
QUICK_ROWS = 100_000
ROUNDS = 3
_CHUNK = 2**20
_PEER_TABLE = "peer"
_FLOOR_TABLE = "floor"
_AS_IS = "geomill, pass-through"
_CLEANED = "geomill, repairing"
_OGR2OGR = "ogr2ogr"
_OGR2OGR_MAKEVALID = "ogr2ogr -makevalid"
_FLOOR = "floor: COPY of ready bytes"


@dataclass
class Bench:
    """One run: a cluster, a file, and what was measured beside the times."""

    cluster: EmbeddedCluster
    repository: PostgreSQLRepository
    source: Path
    rows: int
    stream: Path
    loads: list[Load] = field(default_factory=list[Load])
    invalid_source: int = 0
    invalid_after: dict[str, int] = field(default_factory=dict[str, int])

    def pass_through(self) -> float:
        """Load geometries as they are; seconds from reading to the commit, without indexes."""
        load = self._geomill(repair=False)
        self._drop(load.staging_table)
        return load.seconds

    def cleaned(self) -> float:
        """Load and repair; seconds from reading to the commit, without indexes."""
        load = self._geomill(repair=True)
        self._count_invalid(_CLEANED, load.staging_table)
        self._drop(load.staging_table)
        return load.seconds

    def ogr2ogr(self) -> float:
        """Load with ogr2ogr; seconds of the whole program."""
        return self._ogr2ogr()

    def ogr2ogr_makevalid(self) -> float:
        """Load and repair with ogr2ogr; seconds of the whole program."""
        seconds = self._ogr2ogr("-makevalid")
        self._count_invalid(_OGR2OGR_MAKEVALID, _PEER_TABLE)
        return seconds

    def floor(self) -> float:
        """COPY bytes that are ready into a table of the same shape; seconds to the commit."""
        began = time.perf_counter()
        with self.repository.transaction() as connection:
            connection.execute(
                sql.SQL("DROP TABLE IF EXISTS geo.{0}; CREATE TABLE geo.{0} (LIKE geo.{1})").format(
                    sql.Identifier(_FLOOR_TABLE), sql.Identifier(f"{_FLOOR_TABLE}_shape")
                )
            )
            statement = sql.SQL("COPY geo.{} FROM STDIN (FORMAT binary, FREEZE)").format(
                sql.Identifier(_FLOOR_TABLE)
            )
            with (
                connection.cursor() as cursor,
                cursor.copy(statement) as copy,
                self.stream.open("rb") as stream,
            ):
                while chunk := stream.read(_CHUNK):
                    copy.write(chunk)
        seconds = time.perf_counter() - began
        self._check(_FLOOR_TABLE)
        return seconds

    def prepare_floor(self) -> Load:
        """Load once untimed and keep the rows as a COPY stream; then publish what was loaded."""
        load = in_process(self.cluster.credentials, self.source, geomill_load.load, repair=False)
        shape = sql.Identifier(f"{_FLOOR_TABLE}_shape")
        table = sql.Identifier(load.staging_table)
        with self.repository.transaction() as connection:
            connection.execute(sql.SQL("CREATE TABLE geo.{} (LIKE geo.{})").format(shape, table))
            statement = sql.SQL("COPY geo.{} TO STDOUT (FORMAT binary)").format(table)
            with (
                connection.cursor() as cursor,
                cursor.copy(statement) as copy,
                self.stream.open("wb") as stream,
            ):
                for chunk in copy:
                    stream.write(chunk)
        self.invalid_source = self._invalid_count(load.staging_table)
        self._drop(load.staging_table)
        return in_process(
            self.cluster.credentials, self.source, geomill_load.load_and_publish, repair=False
        )

    def key_s(self) -> float:
        """Seconds of building the primary key, which ogr2ogr's tables have from the beginning."""
        began = time.perf_counter()
        with self.repository.transaction() as connection:
            connection.execute("ALTER TABLE geo.floor ADD PRIMARY KEY (fid)")
        return time.perf_counter() - began

    def checkpoint(self) -> None:
        """Write out what earlier contenders left, so that none pays for another."""
        with self.repository.transaction() as connection:
            connection.execute("CHECKPOINT")

    def _geomill(self, *, repair: bool) -> Load:
        load = in_process(self.cluster.credentials, self.source, geomill_load.load, repair=repair)
        self.loads.append(load)
        self._check(load.staging_table)
        return load

    def _ogr2ogr(self, *options: str) -> float:
        self._drop(_PEER_TABLE)
        credentials = self.cluster.credentials
        target = (
            f"PG:host={credentials.socket_dir} user={credentials.user} "
            f"dbname={credentials.database}"
        )
        password = credentials.password_file.read_text(encoding="utf-8").strip()
        command = [
            "ogr2ogr", "-f", "PostgreSQL", target, str(self.source), polygons.LAYER,
            "--config", "PG_USE_COPY", "YES", "-gt", "unlimited",
            "-nln", _PEER_TABLE, "-nlt", "PROMOTE_TO_MULTI",
            "-lco", "SCHEMA=geo", "-lco", "SPATIAL_INDEX=NONE", "-lco", "GEOMETRY_NAME=geom",
            *options,
        ]  # fmt: skip
        began = time.perf_counter()
        subprocess.run(command, check=True, env={**os.environ, "PGPASSWORD": password})
        seconds = time.perf_counter() - began
        self._check(_PEER_TABLE)
        return seconds

    def _check(self, table: str) -> None:
        """Every contender has to end with all the rows, in a logged table."""
        with self.repository.transaction() as connection:
            row = connection.execute(
                sql.SQL(
                    "SELECT count(*), (SELECT relpersistence::text FROM pg_class"
                    " WHERE oid = {}::regclass) FROM geo.{}"
                ).format(sql.Literal(f"geo.{table}"), sql.Identifier(table))
            ).fetchone()
        if row != (self.rows, "p"):
            msg = f"geo.{table} is {row}: not {self.rows} rows in a logged table"
            raise RuntimeError(msg)

    def _count_invalid(self, contender: str, table: str) -> None:
        if contender not in self.invalid_after:
            self.invalid_after[contender] = self._invalid_count(table)

    def _invalid_count(self, table: str) -> int:
        with self.repository.transaction() as connection:
            row = connection.execute(
                sql.SQL("SELECT count(*) FROM geo.{} WHERE NOT ST_IsValid(geom)").format(
                    sql.Identifier(table)
                )
            ).fetchone()
        return -1 if row is None else row[0]

    def _drop(self, table: str) -> None:
        with self.repository.transaction() as connection:
            connection.execute(sql.SQL("DROP TABLE IF EXISTS geo.{}").format(sql.Identifier(table)))


def run(*, quick: bool) -> int:
    """Run the benchmark; 0 only when every figure meets its target."""
    with _bench(QUICK_ROWS if quick else ROWS) as bench:
        published = bench.prepare_floor()
        seconds = measure(
            [
                Contender(_AS_IS, bench.pass_through),
                Contender(_OGR2OGR, bench.ogr2ogr),
                Contender(_FLOOR, bench.floor),
                Contender(_CLEANED, bench.cleaned),
                Contender(_OGR2OGR_MAKEVALID, bench.ogr2ogr_makevalid),
            ],
            ROUNDS,
            bench.checkpoint,
        )
        typical = medians(seconds)
        return report(
            "vector", seconds, _figures(bench, typical), _notes(bench, published, typical)
        )


def _figures(bench: Bench, typical: dict[str, float]) -> list[Figure]:
    return [
        Figure(
            "passthrough_vs_ogr2ogr",
            typical[_OGR2OGR] / typical[_AS_IS],
            2.0,
            higher_is_better=True,
            meaning="times faster than ogr2ogr with COPY",
        ),
        Figure(
            "cleaned_vs_ogr2ogr_makevalid",
            typical[_OGR2OGR_MAKEVALID] / typical[_CLEANED],
            1.5,
            higher_is_better=True,
            meaning="times faster than ogr2ogr -makevalid",
        ),
        Figure(
            "passthrough_vs_floor",
            typical[_AS_IS] / typical[_FLOOR],
            1.4,
            higher_is_better=False,
            meaning="times the COPY of ready bytes",
        ),
        Figure(
            "peak_rss_mb",
            max(load.peak_rss_mb for load in bench.loads),
            400.0,
            higher_is_better=False,
            meaning="most memory a loading process held, MB",
        ),
    ]


def _notes(bench: Bench, published: Load, typical: dict[str, float]) -> list[str]:
    key_s = bench.key_s()
    with_key = typical[_OGR2OGR] / (typical[_AS_IS] + key_s)
    return [
        (
            f"{bench.rows} polygons of {polygons.VERTICES} vertices and 10 attributes, "
            f"{bench.source.stat().st_size / 1e6:.0f} MB GeoPackage; {ROUNDS} rounds."
        ),
        (
            f"Apart from the figures, geomill's key, GiST index and ANALYZE take "
            f"{published.index_s:.2f} s and publish "
            f"{published.publish_s:.2f} s."
        ),
        (
            f"ogr2ogr's table has its primary key from the beginning; building it afterwards takes "
            f"{key_s:.2f} s. With it, pass-through is {with_key:.2f} times faster than ogr2ogr."
        ),
        (
            f"Invalid geometries left of {bench.invalid_source}: geomill repairing "
            f"{bench.invalid_after[_CLEANED]}, ogr2ogr -makevalid "
            f"{bench.invalid_after[_OGR2OGR_MAKEVALID]}."
        ),
        _versions(bench),
    ]


def _versions(bench: Bench) -> str:
    with bench.repository.transaction() as connection:
        row = connection.execute("SHOW server_version").fetchone()
    ogr2ogr = subprocess.run(["ogr2ogr", "--version"], check=True, capture_output=True, text=True)
    return (
        f"Python {platform.python_version()}, PostgreSQL {row and row[0]}, psycopg "
        f"{version('psycopg')}, pyogrio {pyogrio.__version__} with GDAL "
        f"{pyogrio.__gdal_version_string__}, shapely {version('shapely')}; peer: "
        f"{ogr2ogr.stdout.split(',')[0]}; {os.cpu_count()} CPUs."
    )


@contextmanager
def _bench(rows: int) -> Generator[Bench]:
    if shutil.which("ogr2ogr") is None:
        raise ConfigurationError("ogr2ogr is not installed.", remedy="apt-get install gdal-bin")
    with tempfile.TemporaryDirectory(prefix="geomill-bench-") as name:
        directory = Path(name)
        directory.chmod(0o711)
        source = directory / "polygons.gpkg"
        polygons.write(source, rows)
        cluster = EmbeddedCluster(directory / "home")
        (directory / "home").mkdir(mode=0o711)
        cluster.start()
        repository = PostgreSQLRepository(cluster.credentials, role="bench")
        repository.open()
        try:
            with repository.transaction() as connection:
                deploy(connection)
            PgStacBootstrap(repository).install()
            yield Bench(cluster, repository, source, rows, directory / "rows.pgcopy")
        finally:
            repository.close()
            cluster.stop()
