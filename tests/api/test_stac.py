"""The STAC API on published datasets."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

Published = dict[str, str]
COLORADO = [-109.1, 36.9, -102.0, 41.1]


@pytest.fixture(autouse=True)
def _on_published_data(published: Published) -> None:
    """Every test here reads what that fixture has published."""
    assert published


def hrefs(document: dict[str, Any], rel: str) -> list[str]:
    return [link["href"] for link in document["links"] if link["rel"] == rel]


def ids(document: dict[str, Any]) -> list[str]:
    return [feature["id"] for feature in document["features"]]


def test_the_landing_page_leads_everywhere(client: httpx.Client) -> None:
    landing = client.get("/api").raise_for_status().json()
    assert (landing["type"], landing["stac_version"]) == ("Catalog", "1.1.0")
    assert landing["conformsTo"] == client.get("/api/conformance").json()["conformsTo"]
    for rel in ("self", "root", "conformance", "data", "search", "service-desc", "child"):
        for href in hrefs(landing, rel):
            assert client.get(href).status_code == 200, href
    assert client.get("/api/", follow_redirects=True).json()["id"] == landing["id"]


def test_collections(client: httpx.Client) -> None:
    listed = client.get("/api/collections").json()
    (collection,) = [c for c in listed["collections"] if c["id"] == "vectors"]
    assert client.get("/api/collections/vectors").json() == collection
    assert collection["type"] == "Collection"
    assert client.get(hrefs(collection, "items")[0]).status_code == 200


def test_an_item_has_absolute_links_and_a_working_asset(
    client: httpx.Client, published: Published
) -> None:
    answer = client.get(f"/api/collections/vectors/items/{published['rmnp']}")
    assert answer.headers["content-type"] == "application/geo+json"
    item = answer.json()
    (own,) = hrefs(item, "self")
    assert client.get(own).json() == item
    assert client.get(item["assets"]["features"]["href"]).json()["numberMatched"] == 1


def test_paging_forth_and_back_sees_every_item_once(
    client: httpx.Client, published: Published
) -> None:
    page = client.get("/api/collections/vectors/items", params={"limit": 1}).json()
    first = ids(page)
    seen = list(first)
    while hrefs(page, "next"):
        page = client.get(hrefs(page, "next")[0]).raise_for_status().json()
        seen += ids(page)
    assert len(seen) == len(set(seen)) == page["numberMatched"]
    assert set(published.values()) <= set(seen)
    while hrefs(page, "prev"):
        page = client.get(hrefs(page, "prev")[0]).raise_for_status().json()
    assert ids(page) == first


def test_paging_by_post_repeats_the_question(client: httpx.Client, published: Published) -> None:
    body = {"limit": 1, "ids": sorted(published.values()), "collections": ["vectors"]}
    page = client.post("/api/search", json=body).raise_for_status().json()
    seen = ids(page)
    while following := [link for link in page["links"] if link["rel"] == "next"]:
        assert following[0]["method"] == "POST"
        page = client.post(following[0]["href"], json=following[0]["body"]).json()
        seen += ids(page)
    assert sorted(seen) == sorted(published.values())


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_search_by_area(client: httpx.Client, published: Published, method: str) -> None:
    def found(**asked: Any) -> list[str]:
        if method == "POST":
            return ids(client.post("/api/search", json=asked).raise_for_status().json())
        asked = {name: value if isinstance(value, str) else json.dumps(value).strip("[]")
                 for name, value in asked.items()}  # fmt: skip
        return ids(client.get("/api/search", params=asked).raise_for_status().json())

    everything = ",".join(published.values()) if method == "GET" else list(published.values())
    assert published["rmnp"] in found(bbox=COLORADO, ids=everything)
    assert found(bbox=[0, 0, 1, 1], ids=everything) == []
    assert found(bbox=[170, 30, -100, 50], ids=everything) != []
    assert found(bbox=[-100, 30, 170, 50], ids=everything) == []
    point = {"type": "Point", "coordinates": [-105.7, 40.3]}
    assert published["rmnp"] in found(intersects=point, ids=everything)


@pytest.mark.parametrize(
    ("interval", "matches"),
    [
        ("2000-01-01T00:00:00Z/..", True),
        ("../2000-01-01T00:00:00Z", False),
        ("/2000-01-01T00:00:00z", False),
        ("2000-01-01T00:00:00+02:00/2999-01-01T00:00:00.5Z", True),
        ("2000-01-01T00:00:00Z", False),
    ],
)
def test_search_by_time(
    client: httpx.Client, published: Published, interval: str, matches: bool
) -> None:
    asked = {"ids": published["rmnp"], "datetime": interval}
    found = ids(client.get("/api/search", params=asked).raise_for_status().json())
    assert bool(found) == matches


def test_null_means_not_asked(client: httpx.Client) -> None:
    body = {"bbox": None, "datetime": None, "ids": None, "intersects": None, "token": None}
    assert client.post("/api/search", json=body).json()["numberReturned"] > 0


def test_a_limit_over_the_largest_is_clamped(client: httpx.Client) -> None:
    assert client.get("/api/search", params={"limit": 10**9}).status_code == 200


WRONG: list[dict[str, Any]] = [
    {"limit": 0},
    {"limit": "x"},
    {"bbox": [1, 2]},
    {"bbox": [0, 10, 1, 5]},
    {"datetime": "2020"},
    {"datetime": "../.."},
    {"datetime": "2020-13-01T00:00:00Z"},
    {"datetime": "2021-01-01T00:00:00Z/2020-01-01T00:00:00Z"},
    {"intersects": {"type": "Point"}},
    {"intersects": {"type": "Nonsense", "coordinates": [0, 0]}},
    {"intersects": {"type": "Polygon", "coordinates": [[[0, 0], [1, 1]]]}},
    {"bbox": [0, 0, 1, 1], "intersects": {"type": "Point", "coordinates": [0, 0]}},
    {"token": "nonsense"},
    {"token": "next:6e6f:6e6f"},
    {"token": "next:vectors:rmnp"},
    {"unknown": 1},
]


@pytest.mark.parametrize("asked", WRONG, ids=str)
def test_what_cannot_be_asked_is_a_400(client: httpx.Client, asked: dict[str, Any]) -> None:
    query = {
        name: ",".join(map(str, value))
        if isinstance(value, list)
        else json.dumps(value)
        if isinstance(value, dict)
        else value
        for name, value in asked.items()
    }
    for answer in (
        client.get("/api/search", params=query),
        client.post("/api/search", json=asked),
    ):
        assert answer.status_code == 400, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["remedy"]


@pytest.mark.parametrize(
    "path",
    [
        "/api/collections/none",
        "/api/collections/none/items",
        "/api/collections/vectors/items/none",
        "/api/collections/none/items/none",
        "/api/collections/a%00b",
    ],
)
def test_what_is_not_there_is_a_404(client: httpx.Client, path: str) -> None:
    assert client.get(path).status_code == 404


def test_searching_writes_nothing(client: httpx.Client, published: Published) -> None:
    """A reader's search runs in a read-only transaction, also when nobody has asked it before."""
    asked = {"ids": f"{published['rmnp']},never-asked-before"}
    assert ids(client.get("/api/search", params=asked).json()) == [published["rmnp"]]
