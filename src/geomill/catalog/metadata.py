"""Dataset → STAC 1.1.0: pure builders, for storing and for serving."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote

from geomill.model.dataset import GEOMETRY_COLUMN, SRID

if TYPE_CHECKING:
    from collections.abc import Sequence

    from geomill.model.dataset import Dataset
    from geomill.model.job import Json

STAC_VERSION = "1.1.0"
_TABLE = "https://stac-extensions.github.io/table/v1.2.0/schema.json"
_PROJECTION = "https://stac-extensions.github.io/projection/v2.0.0/schema.json"
_WORLD = [-180.0, -90.0, 180.0, 90.0]
_GEOJSON = "application/geo+json"
_JSON = "application/json"


class StacMetadataService:
    """Builds what is stored in pgSTAC; links are made when it is served."""

    def item(self, dataset: Dataset) -> Json:
        """The Item that describes a dataset; its footprint is the dataset's bounding box."""
        item: Json = {
            "type": "Feature",
            "stac_version": STAC_VERSION,
            "stac_extensions": [_TABLE, _PROJECTION],
            "id": dataset.item_id,
            "collection": dataset.collection_id,
            "geometry": _footprint(dataset.bbox_crs84),
            "properties": _properties(dataset),
            "links": [],
            "assets": {},
        }
        if dataset.bbox_crs84 is not None:
            item["bbox"] = dataset.bbox_crs84
        return item

    def collection(
        self, collection_id: str, datasets: Sequence[Dataset], existing: Json | None
    ) -> Json:
        """A Collection whose extent is that of its datasets; all else of ``existing`` is kept."""
        base: Json = existing or {
            "type": "Collection",
            "stac_version": STAC_VERSION,
            "id": collection_id,
            "title": collection_id,
            "description": f"Datasets published in '{collection_id}'.",
            "license": "other",
            "links": [],
        }
        if not datasets:
            return {"extent": _extent(datasets), **base}
        return {**base, "extent": _extent(datasets)}


def served_item(item: Json, base_url: str) -> Json:
    """An Item with absolute links, and its features as an asset if geomill serves them."""
    api = f"{base_url}/api"
    collection = f"{api}/collections/{quote(item['collection'], safe='')}"
    links = [
        _link("self", f"{collection}/items/{quote(item['id'], safe='')}", _GEOJSON),
        _link("root", api, _JSON),
        _link("parent", collection, _JSON),
        _link("collection", collection, _JSON),
    ]
    assets = dict(item.get("assets") or {})
    dataset_id = item["properties"].get("geomill:dataset")
    if dataset_id is not None:
        features = f"{api}/features/collections/{quote(dataset_id, safe='')}/items"
        links.append(_link("items", features, _GEOJSON))
        assets["features"] = {
            "href": features,
            "type": _GEOJSON,
            "title": "OGC API Features",
            "roles": ["data"],
        }
    return {**item, "links": links, "assets": assets}


def served_collection(collection: Json, base_url: str) -> Json:
    """A Collection with absolute links."""
    api = f"{base_url}/api"
    own = f"{api}/collections/{quote(collection['id'], safe='')}"
    links = [
        _link("self", own, _JSON),
        _link("root", api, _JSON),
        _link("parent", api, _JSON),
        _link("collection", own, _JSON),
        _link("items", f"{own}/items", _GEOJSON),
    ]
    return {**collection, "links": links}


def _properties(dataset: Dataset) -> Json:
    return {
        "datetime": _rfc3339(dataset.observed_at),
        "title": dataset.title,
        "description": dataset.description or dataset.title,
        "table:columns": _table_columns(dataset),
        "table:primary_geometry": GEOMETRY_COLUMN,
        "table:row_count": dataset.row_count,
        "proj:code": f"EPSG:{SRID}",
        "geomill:dataset": dataset.dataset_id,
        "geomill:source_crs": dataset.source_crs,
        "geomill:repaired_count": dataset.repaired_count,
        "geomill:null_geometry_count": dataset.null_geometry_count,
    }


def _table_columns(dataset: Dataset) -> list[Json]:
    columns: list[Json] = []
    for column in dataset.columns:
        described: Json = {"name": column.name, "type": column.sql_type}
        if column.source_name != column.name:
            described["description"] = column.source_name
        columns.append(described)
    return [*columns, {"name": GEOMETRY_COLUMN, "type": dataset.geometry_type}]


def _footprint(bbox: list[float] | None) -> Json | None:
    """The box as a polygon, counter-clockwise (RFC 7946 §3.1.6)."""
    if bbox is None:
        return None
    west, south, east, north = bbox
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}


def _extent(datasets: Sequence[Dataset]) -> Json:
    boxes = [dataset.bbox_crs84 for dataset in datasets if dataset.bbox_crs84 is not None]
    times = sorted(dataset.observed_at for dataset in datasets)
    interval = [_rfc3339(times[0]), _rfc3339(times[-1])] if times else [None, None]
    return {"spatial": {"bbox": [_union(boxes)]}, "temporal": {"interval": [interval]}}


def _union(boxes: list[list[float]]) -> list[float]:
    if not boxes:
        return _WORLD
    west, south, east, north = zip(*boxes, strict=True)
    return [min(west), min(south), max(east), max(north)]


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _link(rel: str, href: str, media_type: str) -> Json:
    return {"rel": rel, "href": href, "type": media_type}
