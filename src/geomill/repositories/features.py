"""HTTP reads of published features: async, and out as bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg import sql
from psycopg.rows import class_row

from geomill.errors import NotFound
from geomill.model.dataset import GEOMETRY_COLUMN, KEY_COLUMN, SRID, Dataset

if TYPE_CHECKING:
    from psycopg import AsyncConnection

    from geomill.model.bbox import BBox


@dataclass(frozen=True)
class FeaturePage:
    """Features as GeoJSON text, and the key to ask for the next page with, if there is one."""

    features: list[bytes]
    next_after: int | None


async def list_datasets(connection: AsyncConnection[tuple[Any, ...]]) -> list[Dataset]:
    """Every published dataset, by id."""
    async with connection.cursor(row_factory=class_row(Dataset)) as cursor:
        await cursor.execute("SELECT * FROM app.datasets ORDER BY dataset_id")
        return await cursor.fetchall()


async def get_dataset(connection: AsyncConnection[tuple[Any, ...]], dataset_id: str) -> Dataset:
    """A published dataset.

    Raises:
        NotFound: there is none with this id.
    """
    async with connection.cursor(row_factory=class_row(Dataset)) as cursor:
        await cursor.execute("SELECT * FROM app.datasets WHERE dataset_id = %s", (dataset_id,))
        dataset = await cursor.fetchone()
    if dataset is None:
        raise NotFound(
            f"There is no collection '{dataset_id}'.",
            remedy="GET /api/features/collections lists what is published.",
        )
    return dataset


async def feature_page(
    connection: AsyncConnection[tuple[Any, ...]],
    dataset: Dataset,
    *,
    limit: int,
    after: int,
    bbox: BBox | None,
) -> FeaturePage:
    """Features in key order, beginning behind ``after``.

    Args:
        connection: A reading connection.
        dataset: Which dataset.
        limit: Features at most.
        after: The last key of the page before; 0 for the first page.
        bbox: Only features whose bounding box meets this one (CRS84 degrees).
    """
    where = sql.SQL("{key} > {after}").format(
        key=sql.Identifier(KEY_COLUMN), after=sql.Literal(after)
    )
    if bbox is not None:
        boxes = [_meets(*box) for box in bbox.boxes()]
        where = sql.SQL("{} AND ({})").format(where, sql.SQL(" OR ").join(boxes))
    cursor = await connection.execute(
        sql.SQL("SELECT {key}, {feature} FROM {table} AS t WHERE {where} ORDER BY {key} LIMIT {n}")
        .format(
            key=sql.Identifier(KEY_COLUMN),
            feature=_feature(),
            table=sql.Identifier("geo", dataset.table_name),
            where=where,
            n=sql.Literal(limit + 1),
        ),
        binary=True,
    )  # fmt: skip
    rows = await cursor.fetchall()
    page = rows[:limit]
    return FeaturePage(
        features=[row[1] for row in page],
        next_after=page[-1][0] if len(rows) > limit else None,
    )


async def find_feature(
    connection: AsyncConnection[tuple[Any, ...]], dataset: Dataset, key: int
) -> bytes | None:
    """One feature as GeoJSON text, or None."""
    cursor = await connection.execute(
        sql.SQL("SELECT {feature} FROM {table} AS t WHERE {key} = {value}").format(
            feature=_feature(),
            table=sql.Identifier("geo", dataset.table_name),
            key=sql.Identifier(KEY_COLUMN),
            value=sql.Literal(key),
        ),
        binary=True,
    )
    row = await cursor.fetchone()
    return None if row is None else row[0]


def _feature() -> sql.Composed:
    """PostGIS writes the Feature; only the ``id`` member has to be put in front (PostGIS < 3.5)."""
    return sql.SQL(
        "convert_to('{{\"id\": ' || {key} || ', ' || substr(ST_AsGeoJSON(t.*, {geom}), 2), 'UTF8')"
    ).format(key=sql.Identifier(KEY_COLUMN), geom=sql.Literal(GEOMETRY_COLUMN))


def _meets(west: float, south: float, east: float, north: float) -> sql.Composed:
    return sql.SQL("{} && ST_MakeEnvelope({}, {}, {}, {}, {})").format(
        sql.Identifier(GEOMETRY_COLUMN), *map(sql.Literal, (west, south, east, north, SRID))
    )
