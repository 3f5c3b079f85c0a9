"""STAC metadata, with pystac's schemas as the oracle."""

from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pystac
import pystac.validation
import pytest

from geomill.catalog.metadata import StacMetadataService, served_collection, served_item
from geomill.model.dataset import Dataset, FeatureColumn

BASE = "http://127.0.0.1:8765"
SERVICE = StacMetadataService()


def dataset(**changes: Any) -> Dataset:
    values: dict[str, Any] = {
        "dataset_id": "roads",
        "title": "Roads",
        "description": "All roads",
        "collection_id": "vectors",
        "item_id": "roads",
        "table_name": "roads",
        "geometry_type": "MultiLineString",
        "columns": [
            FeatureColumn(name="name", source_name="Name", sql_type="text"),
            FeatureColumn(name="lanes", source_name="lanes", sql_type="integer"),
        ],
        "row_count": 7,
        "null_geometry_count": 1,
        "repaired_count": 2,
        "bbox_crs84": [-106.0, 39.0, -105.0, 40.0],
        "source": "/data/roads.gpkg",
        "source_crs": "EPSG:26913",
        "observed_at": datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC),
        "job_id": "0" * 64,
        "version": 1,
        "published_at": datetime(2026, 1, 1, tzinfo=UTC),
    }
    return Dataset(**{**values, **changes})


def links(document: dict[str, Any]) -> dict[str, str]:
    return {link["rel"]: link["href"] for link in document["links"]}


def test_an_item_says_what_the_dataset_is() -> None:
    item = SERVICE.item(dataset())

    properties = item["properties"]
    assert (item["id"], item["collection"], item["bbox"]) == (
        "roads",
        "vectors",
        [-106.0, 39.0, -105.0, 40.0],
    )
    assert properties["datetime"] == "2020-01-02T03:04:05Z"
    assert properties["table:row_count"] == 7
    assert properties["table:columns"] == [
        {"name": "name", "type": "text", "description": "Name"},
        {"name": "lanes", "type": "integer"},
        {"name": "geom", "type": "MultiLineString"},
    ]
    assert properties["proj:code"] == "EPSG:4326"
    assert properties["geomill:dataset"] == "roads"
    assert (properties["geomill:repaired_count"], properties["geomill:null_geometry_count"]) == (
        2,
        1,
    )


def test_the_footprint_runs_round_the_box_counter_clockwise() -> None:
    ring = SERVICE.item(dataset())["geometry"]["coordinates"][0]

    assert ring == [[-106, 39], [-105, 39], [-105, 40], [-106, 40], [-106, 39]]


def test_an_item_without_extent_has_no_geometry_and_no_bbox() -> None:
    item = SERVICE.item(dataset(bbox_crs84=None))

    assert item["geometry"] is None
    assert "bbox" not in item


@pytest.mark.parametrize("bbox", [[-106.0, 39.0, -105.0, 40.0], None])
def test_pystac_reads_the_item_as_served(bbox: list[float] | None) -> None:
    item = served_item(SERVICE.item(dataset(bbox_crs84=bbox)), BASE)

    read = pystac.Item.from_dict(item)
    assert read.datetime == datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert read.assets["features"].href == f"{BASE}/api/features/collections/roads/items"


def test_pystac_validates_the_item_and_the_collection() -> None:
    stored = SERVICE.collection("vectors", [dataset()], None)

    for document in (served_item(SERVICE.item(dataset()), BASE), served_collection(stored, BASE)):
        # The schemas of extensions are not bundled with pystac.
        pystac.validation.validate_dict({**document, "stac_extensions": []})


def test_times_are_written_in_utc() -> None:
    moment = datetime(2020, 1, 1, 1, tzinfo=timezone(timedelta(hours=2)))

    assert SERVICE.item(dataset(observed_at=moment))["properties"]["datetime"] == (
        "2019-12-31T23:00:00Z"
    )


def test_a_collection_spans_its_datasets() -> None:
    later = dataset(bbox_crs84=[10, 20, 30, 40], observed_at=datetime(2021, 1, 1, tzinfo=UTC))

    extent = SERVICE.collection("vectors", [later, dataset()], None)["extent"]

    assert extent["spatial"]["bbox"] == [[-106, 20, 30, 40]]
    assert extent["temporal"]["interval"] == [["2020-01-02T03:04:05Z", "2021-01-01T00:00:00Z"]]


def test_what_a_curator_wrote_is_kept() -> None:
    existing = {
        **SERVICE.collection("vectors", [], None),
        "title": "Our vectors",
        "license": "CC-BY-4.0",
        "keywords": ["x"],
    }
    before = copy.deepcopy(existing)

    updated = SERVICE.collection("vectors", [dataset()], existing)

    assert (updated["title"], updated["license"], updated["keywords"]) == (
        "Our vectors",
        "CC-BY-4.0",
        ["x"],
    )
    assert updated["extent"] != before["extent"]
    assert existing == before


def test_a_collection_without_datasets_keeps_its_extent() -> None:
    existing = SERVICE.collection("vectors", [dataset()], None)

    assert SERVICE.collection("vectors", [], existing)["extent"] == existing["extent"]


def test_served_documents_link_absolutely_and_leave_the_stored_alone() -> None:
    item, collection = SERVICE.item(dataset()), SERVICE.collection("vectors", [dataset()], None)
    stored = copy.deepcopy((item, collection))

    assert links(served_item(item, BASE)) == {
        "self": f"{BASE}/api/collections/vectors/items/roads",
        "root": f"{BASE}/api",
        "parent": f"{BASE}/api/collections/vectors",
        "collection": f"{BASE}/api/collections/vectors",
        "items": f"{BASE}/api/features/collections/roads/items",
    }
    assert links(served_collection(collection, BASE))["items"] == (
        f"{BASE}/api/collections/vectors/items"
    )
    assert (item, collection) == stored


def test_an_item_that_geomill_did_not_make_gets_no_features() -> None:
    item = SERVICE.item(dataset())
    del item["properties"]["geomill:dataset"]

    served = served_item(item, BASE)

    assert "items" not in links(served)
    assert served["assets"] == {}
