"""OGC API - Features Part 1 (17-069r4) over the published datasets."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from pydantic.json_schema import SkipJsonSchema

from geomill.api.auth import READER, services_of
from geomill.api.parameters import (
    GEOJSON,
    OPENAPI,
    GeoJsonResponse,
    json_response,
    link,
    only_known,
    parse_interval,
    root_url,
    with_query,
)
from geomill.api.problems import answers_400
from geomill.errors import NotFound
from geomill.model.bbox import parse_bbox
from geomill.repositories.features import (
    FeaturePage,
    feature_page,
    find_feature,
    get_dataset,
    list_datasets,
)

if TYPE_CHECKING:
    from geomill.model.dataset import Dataset
    from geomill.model.job import Json

CRS84 = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"
CONFORMANCE = [
    "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/core",
    "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/oas30",
    "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/geojson",
]
LARGEST_PAGE = 10_000
_LARGEST_KEY = 2**63 - 1
_KEY = re.compile(r"\d{1,18}")
_EMPTY_PAGE = FeaturePage(features=[], next_after=None)

Limit = Annotated[int, Query(ge=1, description=f"Features at most; over {LARGEST_PAGE} is that.")]
After = Annotated[int, Query(ge=0, le=_LARGEST_KEY, description="From a next link.")]
BBoxText = Annotated[
    str | SkipJsonSchema[None], Query(alias="bbox", description="west,south,east,north in degrees.")
]
DatetimeText = Annotated[
    str | SkipJsonSchema[None], Query(alias="datetime", description="RFC 3339 instant or interval.")
]

router = APIRouter(
    prefix="/api/features",
    tags=["OGC API Features"],
    dependencies=[READER, Depends(answers_400), Depends(only_known)],
)


@router.get("")
async def landing(request: Request) -> Response:
    """Where everything is."""
    base = _base(request)
    return json_response(
        {
            "title": "geomill features",
            "description": "The published datasets, by OGC API - Features.",
            "links": [
                link("self", base, title="This document"),
                link("service-desc", f"{root_url(request)}/api/openapi.json", OPENAPI),
                link("service-doc", f"{root_url(request)}/api/docs", "text/html"),
                link("conformance", f"{base}/conformance"),
                link("data", f"{base}/collections"),
            ],
        }
    )


@router.get("/conformance")
async def conformance() -> Response:
    """Which classes of the standard hold here."""
    return json_response({"conformsTo": CONFORMANCE})


@router.get("/collections")
async def collections(request: Request) -> Response:
    """What is published: one collection per dataset."""
    async with services_of(request).repository.reading() as connection:
        datasets = await list_datasets(connection)
    return json_response(
        {
            "links": [link("self", f"{_base(request)}/collections")],
            "collections": [_collection(request, dataset) for dataset in datasets],
        }
    )


@router.get("/collections/{collection_id}")
async def collection(request: Request, collection_id: str) -> Response:
    """A dataset as a collection."""
    async with services_of(request).repository.reading() as connection:
        dataset = await get_dataset(connection, collection_id)
    return json_response(_collection(request, dataset))


@router.get("/collections/{collection_id}/items", response_class=GeoJsonResponse)
async def items(
    request: Request,
    collection_id: str,
    *,
    limit: Limit = 10,
    after: After = 0,
    bbox_text: BBoxText = None,
    datetime_text: DatetimeText = None,
) -> Response:
    """A page of features; follow the links ``next`` for the others."""
    limit = min(limit, LARGEST_PAGE)
    bbox = None if bbox_text is None else parse_bbox(bbox_text)
    interval = None if datetime_text is None else parse_interval(datetime_text)
    async with services_of(request).repository.reading() as connection:
        dataset = await get_dataset(connection, collection_id)
        # A dataset was observed at one instant, so all its features match or none.
        matches = interval is None or interval.contains(dataset.observed_at)
        page = _EMPTY_PAGE
        if matches:
            page = await feature_page(connection, dataset, limit=limit, after=after, bbox=bbox)
    matched = dataset.row_count if matches else 0
    url = f"{_base(request)}/collections/{collection_id}/items"
    asked = {"limit": limit, "bbox": bbox_text, "datetime": datetime_text}
    links = [
        link("self", with_query(url, {**asked, "after": after or None}), GEOJSON),
        link("collection", url.removesuffix("/items")),
    ]
    if page.next_after is not None:
        links.append(link("next", with_query(url, {**asked, "after": page.next_after}), GEOJSON))
    members: Json = {"type": "FeatureCollection", "numberReturned": len(page.features)}
    if bbox is None or not matches:
        members["numberMatched"] = matched
    return _geojson({**members, "timeStamp": _now(), "links": links}, page.features)


@router.get("/collections/{collection_id}/items/{feature_id}", response_class=GeoJsonResponse)
async def item(request: Request, collection_id: str, feature_id: str) -> Response:
    """One feature."""
    async with services_of(request).repository.reading() as connection:
        dataset = await get_dataset(connection, collection_id)
        feature = None
        if _KEY.fullmatch(feature_id):
            feature = await find_feature(connection, dataset, int(feature_id))
    if feature is None:
        raise NotFound(
            f"Collection '{collection_id}' has no feature '{feature_id}'.",
            remedy=f"GET /api/features/collections/{collection_id}/items lists them.",
        )
    url = f"{_base(request)}/collections/{collection_id}"
    links = [link("self", f"{url}/items/{feature_id}", GEOJSON), link("collection", url)]
    return _respond(feature[:-1] + b', "links":' + orjson.dumps(links) + b"}")


def _base(request: Request) -> str:
    return f"{root_url(request)}/api/features"


def _collection(request: Request, dataset: Dataset) -> dict[str, Any]:
    url = f"{_base(request)}/collections/{dataset.dataset_id}"
    stac = f"{root_url(request)}/api/collections/{dataset.collection_id}/items/{dataset.item_id}"
    instant = _timestamp(dataset.observed_at)
    extent: Json = {"temporal": {"interval": [[instant, instant]]}}
    if dataset.bbox_crs84 is not None:
        extent["spatial"] = {"bbox": [dataset.bbox_crs84], "crs": CRS84}
    return {
        "id": dataset.dataset_id,
        "title": dataset.title,
        "description": dataset.description,
        "itemType": "feature",
        "extent": extent,
        "crs": [CRS84],
        "storageCrs": CRS84,
        "geomill:geometryType": dataset.geometry_type,
        "geomill:rowCount": dataset.row_count,
        "geomill:publishedAt": _timestamp(dataset.published_at),
        "links": [
            link("self", url),
            link("items", f"{url}/items", GEOJSON, title=dataset.title),
            link("stac-item", stac, GEOJSON),
        ],
    }


def _geojson(members: Json, features: list[bytes]) -> Response:
    """A FeatureCollection around features that are GeoJSON text already."""
    opened = orjson.dumps(members)[:-1]
    return _respond(b"".join((opened, b',"features":[', b",".join(features), b"]}")))


def _respond(body: bytes) -> Response:
    return GeoJsonResponse(body, headers={"Content-Crs": f"<{CRS84}>"})


def _now() -> str:
    return _timestamp(datetime.now(UTC))


def _timestamp(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")
