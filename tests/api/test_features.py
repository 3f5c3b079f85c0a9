"""OGC API Features on published datasets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pyogrio
import pytest
from shapely import box, from_wkb
from shapely.geometry import shape

Published = dict[str, str]
SOURCE = Path(__file__).parents[2] / "examples" / "data" / "counties.geojson"
DENVER = (-105.2, 39.5, -104.6, 40.0)


@pytest.fixture
def items(published: Published) -> str:
    return f"/api/features/collections/{published['counties']}/items"


def hrefs(document: dict[str, Any], rel: str) -> list[str]:
    return [link["href"] for link in document["links"] if link["rel"] == rel]


def pages(client: httpx.Client, path: str, **asked: Any) -> list[dict[str, Any]]:
    page = client.get(path, params=asked).raise_for_status().json()
    found = [page]
    while hrefs(page, "next"):
        page = client.get(hrefs(page, "next")[0]).raise_for_status().json()
        found.append(page)
    return found


def features(client: httpx.Client, path: str, **asked: Any) -> list[dict[str, Any]]:
    return [feature for page in pages(client, path, **asked) for feature in page["features"]]


def test_the_landing_page_leads_everywhere(client: httpx.Client) -> None:
    landing = client.get("/api/features").raise_for_status().json()
    for rel in ("self", "service-desc", "service-doc", "conformance", "data"):
        (href,) = hrefs(landing, rel)
        assert client.get(href).status_code == 200, href
    declared = client.get("/api/features/conformance").json()["conformsTo"]
    assert "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/core" in declared


def test_collections_describe_datasets(client: httpx.Client, published: Published) -> None:
    listed = client.get("/api/features/collections").json()["collections"]
    by_id = {collection["id"]: collection for collection in listed}
    assert set(published.values()) <= set(by_id)
    counties = by_id[published["counties"]]
    assert client.get(hrefs(counties, "self")[0]).json() == counties
    assert counties["geomill:rowCount"] == 64
    assert "Polygon" in counties["geomill:geometryType"]
    assert len(counties["extent"]["spatial"]["bbox"][0]) == 4
    assert client.get(hrefs(counties, "items")[0]).status_code == 200
    assert client.get(hrefs(counties, "stac-item")[0]).json()["type"] == "Feature"


def test_a_page_is_geojson_with_its_counts(client: httpx.Client, items: str) -> None:
    answer = client.get(items)
    assert answer.headers["content-type"] == "application/geo+json"
    assert answer.headers["content-crs"].endswith("/CRS84>")
    page = answer.json()
    assert (page["type"], page["numberReturned"], page["numberMatched"]) == (
        "FeatureCollection",
        10,
        64,
    )
    assert page["timeStamp"].endswith("Z")


@pytest.mark.parametrize("limit", [1, 7, 64, 10**6])
def test_paging_sees_every_feature_once(client: httpx.Client, items: str, limit: int) -> None:
    found = pages(client, items, limit=limit)
    keys = [feature["id"] for page in found for feature in page["features"]]
    assert keys == sorted(set(keys))
    assert len(keys) == 64
    assert all(len(page["features"]) == page["numberReturned"] for page in found)


def test_features_are_those_of_the_source(client: httpx.Client, items: str) -> None:
    _, _, geometries, _ = pyogrio.raw.read(SOURCE)
    expected = from_wkb(geometries)
    served = [shape(f["geometry"]) for f in features(client, items, limit=100)]
    for here, there in zip(served, expected, strict=True):
        assert here.symmetric_difference(there).area < 1e-9


def test_bbox_gives_the_features_whose_boxes_meet_it(client: httpx.Client, items: str) -> None:
    everything = features(client, items, limit=100)
    asked = box(*DENVER)
    expected = {f["id"] for f in everything if box(*shape(f["geometry"]).bounds).intersects(asked)}
    found = pages(client, items, limit=2, bbox=",".join(map(str, DENVER)))
    assert {f["id"] for page in found for f in page["features"]} == expected
    assert 0 < len(expected) < 64
    assert "numberMatched" not in found[0]


def test_bbox_may_cross_the_antimeridian_or_have_heights(client: httpx.Client, items: str) -> None:
    assert len(features(client, items, limit=100, bbox="170,-90,-100,90")) == 64
    assert features(client, items, limit=100, bbox="-100,-90,170,90") == []
    assert len(features(client, items, limit=100, bbox="-180,-90,0,180,90,100")) == 64


def test_datetime_is_that_of_the_dataset(
    client: httpx.Client, items: str, published: Published
) -> None:
    collection = client.get(f"/api/features/collections/{published['counties']}").json()
    instant = collection["extent"]["temporal"]["interval"][0][0]
    for interval, count in ((instant, 64), (f"{instant}/..", 64), ("../1990-01-01T00:00:00Z", 0)):
        page = client.get(items, params={"datetime": interval, "limit": 100}).json()
        assert (page["numberMatched"], page["numberReturned"]) == (count, count), interval


def test_one_feature(client: httpx.Client, items: str) -> None:
    first = client.get(items, params={"limit": 1}).json()["features"][0]
    answer = client.get(f"{items}/{first['id']}")
    assert answer.headers["content-type"] == "application/geo+json"
    feature = answer.json()
    assert {name: feature[name] for name in first} == first
    assert client.get(hrefs(feature, "self")[0]).json() == feature
    assert hrefs(feature, "collection")


@pytest.mark.parametrize(
    "asked",
    [
        {"limit": "0"},
        {"limit": "-1"},
        {"limit": "x"},
        {"after": "-1"},
        {"after": str(2**63)},
        {"bbox": "1,2,3"},
        {"bbox": "a,b,c,d"},
        {"bbox": ""},
        {"bbox": "0,10,1,5"},
        {"datetime": "yesterday"},
        {"colour": "red"},
    ],
    ids=str,
)
def test_wrong_parameters_are_a_400(
    client: httpx.Client, items: str, asked: dict[str, str]
) -> None:
    answer = client.get(items, params=asked)
    assert answer.status_code == 400, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert next(iter(asked)) in answer.json()["detail"]


def test_what_is_not_there_is_a_404(client: httpx.Client, items: str) -> None:
    for path in (
        "/api/features/collections/none",
        "/api/features/collections/none/items",
        f"{items}/999999",
        f"{items}/first",
        f"{items}/-1",
        f"{items}/{'9' * 40}",
    ):
        assert client.get(path).status_code == 404, path


def test_large_answers_are_compressed_when_asked(client: httpx.Client, items: str) -> None:
    answer = client.get(items, headers={"Accept-Encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.json()["numberReturned"] == 10
