"""``app.datasets``: what is published."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from geomill.model.dataset import Dataset

if TYPE_CHECKING:
    from psycopg import Connection


def find_dataset(connection: Connection[tuple[Any, ...]], dataset_id: str) -> Dataset | None:
    """The dataset, or None."""
    with connection.cursor(row_factory=class_row(Dataset)) as cursor:
        return cursor.execute(
            "SELECT * FROM app.datasets WHERE dataset_id = %s", (dataset_id,)
        ).fetchone()


def list_in_collection(
    connection: Connection[tuple[Any, ...]], collection_id: str
) -> list[Dataset]:
    """The datasets whose Items lie in a STAC Collection."""
    with connection.cursor(row_factory=class_row(Dataset)) as cursor:
        return cursor.execute(
            "SELECT * FROM app.datasets WHERE collection_id = %s ORDER BY dataset_id",
            (collection_id,),
        ).fetchall()


def upsert_dataset(connection: Connection[tuple[Any, ...]], dataset: Dataset) -> Dataset:
    """Record what is now live; a republished dataset's ``version`` goes up by one."""
    values = dataset.model_dump(exclude={"version", "published_at", "columns"})
    values["columns"] = Jsonb([column.model_dump() for column in dataset.columns])
    with connection.cursor(row_factory=class_row(Dataset)) as cursor:
        stored = cursor.execute(
            "INSERT INTO app.datasets (dataset_id, title, description, collection_id, item_id,"
            " table_name, geometry_type, columns, row_count, null_geometry_count, repaired_count,"
            " bbox_crs84, source, source_crs, observed_at, job_id)"
            " VALUES (%(dataset_id)s, %(title)s, %(description)s, %(collection_id)s, %(item_id)s,"
            " %(table_name)s, %(geometry_type)s, %(columns)s, %(row_count)s,"
            " %(null_geometry_count)s, %(repaired_count)s, %(bbox_crs84)s, %(source)s,"
            " %(source_crs)s, %(observed_at)s, %(job_id)s)"
            " ON CONFLICT (dataset_id) DO UPDATE SET (title, description, collection_id, item_id,"
            " table_name, geometry_type, columns, row_count, null_geometry_count, repaired_count,"
            " bbox_crs84, source, source_crs, observed_at, job_id, version, published_at)"
            " = (excluded.title, excluded.description, excluded.collection_id, excluded.item_id,"
            " excluded.table_name, excluded.geometry_type, excluded.columns, excluded.row_count,"
            " excluded.null_geometry_count, excluded.repaired_count, excluded.bbox_crs84,"
            " excluded.source, excluded.source_crs, excluded.observed_at, excluded.job_id,"
            " datasets.version + 1, now()) RETURNING *",
            values,
        ).fetchone()
    if stored is None:
        msg = "INSERT ... RETURNING gave no row"
        raise RuntimeError(msg)
    return stored
