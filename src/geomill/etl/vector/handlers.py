"""The handlers of ``process_vector``: check, inspect, load, publish."""

from __future__ import annotations

import re
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from geomill import storage
from geomill.catalog.publish import publish_vector
from geomill.etl.vector.load import VectorLoadReport, load_source, staging_prefix
from geomill.etl.vector.source import Inspection, inspect_source
from geomill.model.dataset import Dataset
from geomill.repositories import datasets, tables

if TYPE_CHECKING:
    from psycopg import Connection

    from geomill.etl.context import TransactionContext, WorkContext
    from geomill.model.job import Json

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_COLLECTION = re.compile(r"[a-z][a-z0-9_-]{0,39}")
_RESERVED_WORDS = (
    "all analyse analyze and any array as asc asymmetric authorization binary both case cast check"
    " collate collation column concurrently constraint create cross current_catalog current_date"
    " current_role current_schema current_time current_timestamp current_user default deferrable"
    " desc distinct do else end except false fetch for foreign freeze from full grant group having"
    " ilike in initially inner intersect into is isnull join lateral leading left like limit"
    " localtime localtimestamp natural not notnull null offset on only or order outer overlaps"
    " placing primary references returning right select session_user similar some symmetric"
    " tablesample table then to trailing true union unique user using variadic verbose when where"
    " window with"
)
_RESERVED = frozenset(_RESERVED_WORDS.split())


class ProcessVector(BaseModel):
    """What to ingest, and under which name to publish it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str = Field(description="Path or file:// URL on the machine that runs geomill.")
    table: str = Field(description="Name of the table, the dataset and the STAC Item.")
    layer: str | None = Field(default=None, description="Which layer, if the file has several.")
    crs: str | None = Field(default=None, description="CRS to assume, e.g. EPSG:26913.")
    title: str | None = Field(default=None, description="Title to publish under.")
    description: str = Field(default="", description="What the data are, for the catalog.")
    collection: str = Field(default="vectors", description="STAC Collection to publish in.")
    observed_at: datetime | None = Field(
        default=None, description="When the data were true. Default: the file's mtime."
    )
    repair_geometry: bool = Field(default=True, description="Make invalid geometries valid.")

    @field_validator("table")
    @classmethod
    def _usable_table(cls, table: str) -> str:
        if not _NAME.fullmatch(table):
            msg = (
                f"table {table!r} cannot be a name: begin with a letter a-z, go on with letters"
                " a-z, digits and _, 40 characters at most, e.g. 'roads_2026'"
            )
            raise ValueError(msg)
        if "__" in table:
            msg = f"table {table!r} has a double underscore, which geomill reserves: use one"
            raise ValueError(msg)
        if table in _RESERVED:
            msg = f"table {table!r} is a reserved word of PostgreSQL: try '{table}_data'"
            raise ValueError(msg)
        return table

    @field_validator("collection")
    @classmethod
    def _usable_collection(cls, collection: str) -> str:
        if not _COLLECTION.fullmatch(collection):
            msg = (
                f"collection {collection!r} cannot be an id: begin with a letter a-z, go on with"
                " letters a-z, digits, - and _, 40 characters at most, e.g. 'land-cover'"
            )
            raise ValueError(msg)
        return collection

    @field_validator("observed_at")
    @classmethod
    def _zoned(cls, observed_at: datetime | None) -> datetime | None:
        """A time without a zone is UTC."""
        if observed_at is None or observed_at.tzinfo is not None:
            return observed_at
        return observed_at.replace(tzinfo=UTC)


def check(parameters: ProcessVector) -> Json:
    """Look into the source before the job is accepted; for a child process, as GDAL runs.

    Raises:
        InvalidSource: it cannot be ingested.
    """
    inspection = inspect_source(parameters.source, layer=parameters.layer, crs=parameters.crs)
    return inspection.model_dump(mode="json")


def sources(parameters: ProcessVector) -> Json:
    """Size and mtime of each file that will be read.

    Raises:
        InvalidSource: there is none, or it cannot be read.
    """
    path = storage.local_path(parameters.source)
    return {name: asdict(print_) for name, print_ in storage.fingerprints(path).items()}


def inspect(context: WorkContext, parameters: ProcessVector, input: Json) -> Json:  # noqa: A002, ARG001
    """Stage 1: the inspection."""
    return check(parameters)


def load(context: WorkContext, parameters: ProcessVector, input: Json) -> Json:  # noqa: A002
    """Stage 2: ``{"inspection"}`` → a load report; the rows lie in a staging table."""
    report = load_source(
        context.repository,
        context.task,
        Inspection.model_validate(input["inspection"]),
        table=parameters.table,
        repair=parameters.repair_geometry,
        progress=context.progress,
    )
    return report.model_dump(mode="json")


def publish(context: TransactionContext, parameters: ProcessVector, input: Json) -> Json:  # noqa: A002
    """Stage 3: ``{"inspection", "load"}`` → the dataset, live when the transaction commits."""
    inspection = Inspection.model_validate(input["inspection"])
    report = VectorLoadReport.model_validate(input["load"])
    dataset = publish_vector(
        context.connection,
        _dataset(context.task.job_id, parameters, inspection, report),
        report.staging_table,
    )
    discard(context.connection, context.task.job_id, parameters)  # what superseded attempts left
    return {
        "dataset_id": dataset.dataset_id,
        "collection_id": dataset.collection_id,
        "item_id": dataset.item_id,
        "row_count": dataset.row_count,
        "null_geometry_count": dataset.null_geometry_count,
        "repaired_count": dataset.repaired_count,
        "table": dataset.table_name,
    }


def stands(connection: Connection[tuple[Any, ...]], job_id: str, parameters: ProcessVector) -> bool:
    """Whether the dataset is still the one that job published."""
    dataset = datasets.find_dataset(connection, parameters.table)
    return dataset is not None and dataset.job_id == job_id


def discard(
    connection: Connection[tuple[Any, ...]], job_id: str, parameters: ProcessVector
) -> None:
    """Drop what a job loaded and did not publish."""
    tables.drop_staging(connection, staging_prefix(parameters.table, job_id))


def _dataset(
    job_id: str, parameters: ProcessVector, inspection: Inspection, report: VectorLoadReport
) -> Dataset:
    return Dataset(
        dataset_id=parameters.table,
        title=parameters.title or parameters.table,
        description=parameters.description,
        collection_id=parameters.collection,
        item_id=parameters.table,
        table_name=parameters.table,
        geometry_type=report.geometry_type,
        columns=inspection.columns,
        row_count=report.row_count,
        null_geometry_count=report.null_geometry_count,
        repaired_count=report.repaired_count,
        bbox_crs84=report.bbox_crs84,
        source=parameters.source,
        source_crs=inspection.crs,
        observed_at=parameters.observed_at or inspection.observed_at,
        job_id=job_id,
        version=1,
        published_at=datetime.now(UTC),
    )
