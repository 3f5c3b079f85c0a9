"""Real clients read what was published: GDAL's OAPIF driver, pystac-client and curl."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pystac
import pystac_client
import pytest

COUNTS = {"rmnp": 1, "counties": 64, "glaciers": 134, "trail": 1}


def run(*command: str) -> str:
    finished = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def test_ogrinfo_lists_every_dataset(published_server: Any) -> None:
    listed = run("ogrinfo", "-ro", f"OAPIF:{published_server.url}/api/features")
    for name in COUNTS:
        assert name in listed


@pytest.mark.parametrize("name", sorted(COUNTS))
def test_ogrinfo_reads_every_feature_through_paging(published_server: Any, name: str) -> None:
    source = f"OAPIF:{published_server.url}/api/features"
    summary = run("ogrinfo", "-ro", "-so", "-oo", "PAGE_SIZE=50", source, name, "-nomd")
    assert f"Feature Count: {COUNTS[name]}" in summary
    features = run("ogrinfo", "-ro", "-q", "-oo", "PAGE_SIZE=50", source, name)
    assert features.count("OGRFeature(") == COUNTS[name]


def test_ogrinfo_filters_by_space(published_server: Any) -> None:
    source = f"OAPIF:{published_server.url}/api/features"
    west, south, east, north = "-105.9", "40.0", "-105.5", "40.6"
    found = run("ogrinfo", "-ro", "-q", "-spat", west, south, east, north, source, "counties")
    assert 0 < found.count("OGRFeature(") < COUNTS["counties"]


def test_pystac_client_walks_searches_and_validates(published_server: Any) -> None:
    catalog = pystac_client.Client.open(f"{published_server.url}/api")
    collection = catalog.get_collection("vectors")
    assert {item.id for item in collection.get_items()} >= set(COUNTS)
    search = catalog.search(collections=["vectors"], bbox=[-106, 40, -105, 41], limit=2)
    items = list(search.items())
    assert {"rmnp", "counties", "trail"} <= {item.id for item in items}
    for item in items:
        assert item.assets["features"].href.startswith(published_server.url)
        pystac.Item.from_dict(item.to_dict()).to_dict()
    paged = list(catalog.search(collections=["vectors"], limit=1, method="GET").items())
    assert len({item.id for item in paged}) == len(paged) >= len(COUNTS)


def test_curl_reads_features_as_geojson(published_server: Any) -> None:
    url = f"{published_server.url}/api/features/collections/glaciers/items?limit=5"
    page = json.loads(run("curl", "-sS", "-f", url))
    assert page["numberReturned"] == 5
    assert page["numberMatched"] == COUNTS["glaciers"]
