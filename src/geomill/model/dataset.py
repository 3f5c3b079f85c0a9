"""What is published."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict

from geomill.model.table import Column, Index, Row, Table

GEOMETRY_COLUMN = "geom"
KEY_COLUMN = "fid"
SRID = 4326


class FeatureColumn(BaseModel):
    """An attribute column: its name in the table, its name in the source and its SQL type."""

    model_config = ConfigDict(frozen=True)

    name: str
    source_name: str
    sql_type: str


class Dataset(Row):
    """One published dataset: the truth of which the STAC Item is a view."""

    __table__: ClassVar[Table] = Table(
        schema="app",
        name="datasets",
        primary_key=("dataset_id",),
        comment="One row per published dataset, from which source and job, and where it is served.",
        indexes=(Index("datasets_item", ("collection_id", "item_id"), unique=True),),
    )

    dataset_id: str
    title: str
    description: str
    collection_id: str
    item_id: str
    table_name: str
    geometry_type: str
    columns: Annotated[list[FeatureColumn], Column(sql_type="jsonb")]
    row_count: Annotated[int, Column(sql_type="bigint")]
    null_geometry_count: Annotated[int, Column(sql_type="bigint")]
    repaired_count: Annotated[int, Column(sql_type="bigint")]
    bbox_crs84: Annotated[list[float] | None, Column(sql_type="double precision[]")]
    source: str
    source_crs: str
    observed_at: datetime
    job_id: str
    version: Annotated[int, Column(default="1")]
    published_at: Annotated[datetime, Column(default="now()")]


class LoadReport(BaseModel):
    """What loading a source into a staging table did; counts are rows."""

    model_config = ConfigDict(frozen=True)

    staging_table: str
    row_count: int
    null_geometry_count: int
    repaired_count: int
    bbox_crs84: list[float] | None
    load_s: float
    index_s: float
