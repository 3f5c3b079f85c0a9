"""A layer into a staging table: read, cleaned and copied side by side, in one transaction."""

from __future__ import annotations

import queue
import re
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import psycopg
import pyarrow as pa
import pyogrio
import pyproj
from pgpq import ArrowToPostgresBinaryEncoder
from pyogrio.errors import FeatureError
from pyproj.exceptions import ProjError

from geomill.errors import InvalidSource
from geomill.etl.vector import wkb
from geomill.etl.vector.clean import Cleaned, CleaningPlan, clean
from geomill.etl.vector.source import Inspection, parsed_crs, translated
from geomill.model.dataset import KEY_COLUMN, SRID, LoadReport
from geomill.repositories import jobs, tables

if TYPE_CHECKING:
    from psycopg import Connection

    from geomill.database.postgresql import PostgreSQLRepository
    from geomill.model.job import Task

_gdal: Any = pyogrio  # has no types
_BATCH_ROWS = 16_384
_READ_AHEAD = 2
_POLL_S = 0.1
_TABLE_PART = 26
_LATITUDE_LIMIT = 90.001
_LONGITUDE_LIMIT = 360.001
_FAMILIES = {
    frozenset({wkb.POINT}): "Point",
    frozenset({wkb.MULTI_POINT}): "MultiPoint",
    frozenset({wkb.MULTI_LINE}): "MultiLineString",
    frozenset({wkb.MULTI_POLYGON}): "MultiPolygon",
}
_Item = TypeVar("_Item")
Progress = Callable[[int, int | None, str], None]


class VectorLoadReport(LoadReport):
    """Adds what the geometry column turned out to be."""

    geometry_type: str


@dataclass
class _Tally:
    """What has been written so far."""

    row_count: int = 0
    null_geometry_count: int = 0
    repaired_count: int = 0
    codes: set[int] = field(default_factory=set[int])

    def add(self, cleaned: Cleaned) -> None:
        self.row_count += cleaned.batch.num_rows
        self.null_geometry_count += cleaned.null_geometry_count
        self.repaired_count += cleaned.repaired_count
        self.codes |= cleaned.codes


def staging_prefix(table: str, job_id: str) -> str:
    """What the names of a job's staging tables begin with.

    Cut so that the longest derived name, that of the GiST index, stays below PostgreSQL's 63 bytes.
    """
    return f"{table[:_TABLE_PART]}__s_{job_id[:8]}_"


def load_source(
    repository: PostgreSQLRepository,
    task: Task,
    inspection: Inspection,
    *,
    table: str,
    repair: bool,
    progress: Progress,
) -> VectorLoadReport:
    """Load a layer into a staging table of this attempt's own, all or nothing.

    Raises:
        InvalidSource: the file turned out truncated, damaged, or not to fit its own schema.
        Superseded: another attempt of the task has taken over; nothing is left behind.
    """
    staging = f"{staging_prefix(table, task.job_id)}{task.task_id}_{task.attempt}"
    tally = _Tally()
    with repository.transaction() as connection:
        started_s = time.monotonic()
        tables.create_staging(connection, staging, inspection.columns, inspection.geometry_type)
        cleaned = _ahead(_cleaned(inspection, repair=repair))
        with closing(cleaned), _refusals(inspection):
            chunks = _encoded(cleaned, tally, inspection, progress)
            tables.copy_binary(connection, staging, inspection.columns, chunks)
        _require_complete(inspection, tally)
        geometry_type = _settled(connection, staging, inspection, tally)
        loaded_s = time.monotonic()
        progress(tally.row_count, inspection.feature_count, "indexing")
        tables.index_staging(connection, staging)
        bounds = tables.bounds_crs84(connection, staging)
        _require_extent(inspection, bounds)
        jobs.require_current(connection, task)
    return VectorLoadReport(
        staging_table=staging,
        row_count=tally.row_count,
        null_geometry_count=tally.null_geometry_count,
        repaired_count=tally.repaired_count,
        bbox_crs84=bounds,
        load_s=loaded_s - started_s,
        index_s=time.monotonic() - loaded_s,
        geometry_type=geometry_type,
    )


def _batches(inspection: Inspection) -> Generator[tuple[str, pa.RecordBatch]]:
    """The batches of the layer, each with the name of its geometry column."""
    read = 0
    try:
        with (
            translated(inspection.path, inspection.layer),
            _gdal.open_arrow(
                inspection.gdal_path,
                layer=inspection.layer,
                batch_size=_BATCH_ROWS,
                use_pyarrow=True,
            ) as (meta, reader),
        ):
            for batch in reader:
                yield meta["geometry_name"] or "wkb_geometry", batch
                read += batch.num_rows
    except (pa.ArrowException, OSError, FeatureError) as error:
        raise InvalidSource(
            f"{inspection.name} cannot be read beyond row {read}. GDAL says: {error}",
            remedy="It may be truncated or damaged: get the file again.",
        ) from error


def _cleaned(inspection: Inspection, *, repair: bool) -> Generator[Cleaned]:
    transformer = _transformer(inspection)
    first_row = 1
    with closing(_ahead(_batches(inspection))) as batches:
        for geometry_column, batch in batches:
            plan = CleaningPlan(
                source=inspection.name,
                geometry_column=geometry_column,
                columns=inspection.columns,
                transformer=transformer,
                has_z=inspection.has_z,
                repair=repair,
            )
            yield clean(batch, plan, first_row=first_row)
            first_row += batch.num_rows


def _transformer(inspection: Inspection) -> pyproj.Transformer | None:
    source, target = parsed_crs(inspection.crs), pyproj.CRS.from_epsg(SRID)
    if source.equals(target, ignore_axis_order=True):
        return None
    try:
        return pyproj.Transformer.from_crs(source, target, always_xy=True)
    except ProjError as error:
        raise InvalidSource(
            f"{inspection.name} is in {source.name}, which cannot be reprojected: {error}.",
            remedy='Pass the CRS its coordinates are in, e.g. crs="EPSG:26913".',
        ) from error


def _encoded(
    batches: Iterator[Cleaned], tally: _Tally, inspection: Inspection, progress: Progress
) -> Iterator[bytes]:
    """PostgreSQL's binary COPY stream, ``fid`` first."""
    encoder: ArrowToPostgresBinaryEncoder | None = None
    for cleaned in batches:
        batch = _keyed(cleaned.batch, tally.row_count)
        if encoder is None:
            encoder = ArrowToPostgresBinaryEncoder(batch.schema)
            yield encoder.write_header()
        yield encoder.write_batch(batch)
        tally.add(cleaned)
        progress(tally.row_count, inspection.feature_count, "loading")
    if encoder is not None:
        yield encoder.finish()


def _keyed(batch: pa.RecordBatch, before: int) -> pa.RecordBatch:
    untyped: Any = batch
    keys = pa.array(np.arange(before + 1, before + 1 + batch.num_rows, dtype=np.int64))
    return untyped.add_column(0, KEY_COLUMN, keys)


@contextmanager
def _refusals(inspection: Inspection) -> Generator[None]:
    """What PostgreSQL says of a value it does not take, with the row it stands in."""
    try:
        yield
    except (psycopg.DataError, psycopg.errors.InternalError_) as error:
        place = re.search(r"line (\d+)(?:, column (\w+))?", error.diag.context or "")
        row = f", row {place[1]}" if place else ""
        column = f", column '{place[2]}'" if place and place[2] else ""
        said = error.diag.message_primary or str(error)
        raise InvalidSource(
            f"{inspection.name}{row}{column} has a value that PostgreSQL refuses: {said}.",
            remedy="Mend that feature in the source.",
        ) from error


def _require_complete(inspection: Inspection, tally: _Tally) -> None:
    if tally.row_count != inspection.feature_count:
        raise InvalidSource(
            f"{inspection.name} holds {inspection.feature_count} features, only"
            f" {tally.row_count} could be read: it is truncated or damaged.",
            remedy="Get the file again, or submit it again if it was being written.",
        )


def _require_extent(inspection: Inspection, bounds: list[float] | None) -> None:
    if bounds is None:
        raise InvalidSource(
            f"{inspection.name} has {inspection.feature_count} features, none with a geometry.",
            remedy="Give a file whose features lie somewhere: the catalog needs an extent.",
        )
    west, south, east, north = bounds
    if max(-south, north) > _LATITUDE_LIMIT or max(-west, east) > _LONGITUDE_LIMIT:
        raise InvalidSource(
            f"{inspection.name} has coordinates from ({west}, {south}) to ({east}, {north}), which"
            f" are no degrees, though its CRS is taken to be {inspection.crs}.",
            remedy='Find out which CRS it is in and pass it, e.g. crs="EPSG:26913".',
        )


def _settled(
    connection: Connection[tuple[Any, ...]], staging: str, inspection: Inspection, tally: _Tally
) -> str:
    """Narrow a generic geometry column to the one type all its rows have."""
    suffix = "Z" if inspection.has_z else ""
    family = _FAMILIES.get(frozenset(code % 1000 for code in tally.codes))
    if inspection.geometry_type != f"Geometry{suffix}" or family is None:
        return inspection.geometry_type
    tables.settle_geometry_type(connection, staging, f"{family}{suffix}")
    return f"{family}{suffix}"


@dataclass(frozen=True)
class _Raised:
    error: BaseException


def _ahead(items: Generator[_Item]) -> Generator[_Item]:
    """The same items, produced by a thread that stays at most two ahead; its errors come too."""
    ready: queue.Queue[_Item | _Raised | None] = queue.Queue(_READ_AHEAD)
    stopped = threading.Event()
    producer = threading.Thread(target=_produce, args=(items, ready, stopped), daemon=True)
    producer.start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, _Raised):
                raise item.error
            yield item
    finally:
        stopped.set()
        producer.join()


def _produce(
    items: Generator[_Item], ready: queue.Queue[_Item | _Raised | None], stopped: threading.Event
) -> None:
    last: _Raised | None = None
    try:
        for item in items:
            if not _put(ready, item, stopped):
                break
    except BaseException as error:  # noqa: BLE001  (raised again by the consumer)
        last = _Raised(error)
    items.close()
    _put(ready, last, stopped)


def _put(
    ready: queue.Queue[_Item | _Raised | None],
    item: _Item | _Raised | None,
    stopped: threading.Event,
) -> bool:
    while not stopped.is_set():
        try:
            ready.put(item, timeout=_POLL_S)
        except queue.Full:
            continue
        return True
    return False
