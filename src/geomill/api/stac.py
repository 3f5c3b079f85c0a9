"""STAC API 1.0 (Core, Item Search, Features, Collections) over pgSTAC."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import orjson
import shapely
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field
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
from geomill.catalog.metadata import served_collection, served_item
from geomill.errors import InvalidParameter, NotFound
from geomill.model.bbox import parse_bbox
from geomill.repositories.pgstac import (
    read_collection,
    read_collections,
    read_item,
    read_search,
)

if TYPE_CHECKING:
    from psycopg import AsyncConnection

    from geomill.model.job import Json

CONFORMANCE = [
    "https://api.stacspec.org/v1.0.0/core",
    "https://api.stacspec.org/v1.0.0/collections",
    "https://api.stacspec.org/v1.0.0/ogcapi-features",
    "https://api.stacspec.org/v1.0.0/item-search",
    "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/core",
    "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/geojson",
    "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/oas30",
]
LARGEST_PAGE = 10_000
_GEOMETRY_TYPES = (
    "Point",
    "MultiPoint",
    "LineString",
    "MultiLineString",
    "Polygon",
    "MultiPolygon",
    "GeometryCollection",
)

Text = str | SkipJsonSchema[None]
Limit = Annotated[int, Query(ge=1, description=f"Items at most; over {LARGEST_PAGE} is that.")]
BBoxText = Annotated[Text, Query(alias="bbox", description="west,south,east,north in degrees.")]
DatetimeText = Annotated[Text, Query(alias="datetime", description="RFC 3339 instant or interval.")]
Token = Annotated[Text, Query(description="From a next or prev link.")]
Names = Annotated[Text, Query(description="Comma-separated.")]
GeometryText = Annotated[Text, Query(description="A GeoJSON geometry.")]

router = APIRouter(
    prefix="/api",
    tags=["STAC API"],
    dependencies=[READER, Depends(answers_400), Depends(only_known)],
)


class Search(BaseModel):
    """What Item Search may ask."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: Annotated[int, Field(ge=1)] = 10
    bbox: list[float] | SkipJsonSchema[None] = None
    datetime: Text = None
    ids: list[str] | SkipJsonSchema[None] = None
    collections: list[str] | SkipJsonSchema[None] = None
    intersects: dict[str, Any] | SkipJsonSchema[None] = None
    token: Text = None

    def for_pgstac(self) -> Json:
        """The search as ``pgstac.search`` takes it.

        Raises:
            InvalidParameter: a value that cannot be used, or bbox and intersects at once.
        """
        asked = self.model_dump(exclude_none=True, exclude={"bbox", "limit"})
        asked["limit"] = min(self.limit, LARGEST_PAGE)
        # Exact counts for small catalogs, PostgreSQL's estimate for large ones.
        asked["conf"] = {"context": "auto"}
        if self.datetime is not None:
            parse_interval(self.datetime)
            asked["datetime"] = self.datetime.upper()
        if self.intersects is not None:
            _check_geometry(self.intersects)
        if self.bbox is not None:
            if self.intersects is not None:
                raise InvalidParameter(
                    "bbox and intersects are both given.", remedy="Give one of them."
                )
            asked["intersects"] = _area(self.bbox)
        return asked


@router.get("")
async def landing(request: Request) -> Response:
    """The catalog: where everything is."""
    root = root_url(request)
    api = f"{root}/api"
    async with services_of(request).repository.reading() as connection:
        found = await read_collections(connection)
    children = [
        link("child", f"{api}/collections/{quote(stored['id'])}", title=stored.get("title"))
        for stored in _by_id(found)
    ]
    return json_response(
        {
            "type": "Catalog",
            "stac_version": "1.1.0",
            "id": "geomill",
            "title": "geomill",
            "description": "Everything published by this geomill.",
            "conformsTo": CONFORMANCE,
            "links": [
                link("self", api),
                link("root", api),
                link("conformance", f"{api}/conformance"),
                link("data", f"{api}/collections"),
                link("search", f"{api}/search", GEOJSON, method="GET"),
                link("search", f"{api}/search", GEOJSON, method="POST"),
                link("service-desc", f"{api}/openapi.json", OPENAPI),
                link("service-doc", f"{api}/docs", "text/html"),
                *children,
            ],
        }
    )


@router.get("/conformance")
async def conformance() -> Response:
    """Which classes of the standards hold here."""
    return json_response({"conformsTo": CONFORMANCE})


@router.get("/collections")
async def collections(request: Request) -> Response:
    """Every Collection."""
    root = root_url(request)
    async with services_of(request).repository.reading() as connection:
        found = await read_collections(connection)
    links = [link("self", f"{root}/api/collections"), link("root", f"{root}/api")]
    return json_response(
        {
            "collections": [served_collection(stored, root) for stored in _by_id(found)],
            "links": links,
            "numberMatched": len(found),
            "numberReturned": len(found),
        }
    )


@router.get("/collections/{collection_id}")
async def collection(request: Request, collection_id: str) -> Response:
    """A Collection."""
    async with services_of(request).repository.reading() as connection:
        stored = await _existing_collection(connection, collection_id)
    return json_response(served_collection(stored, root_url(request)))


@router.get("/collections/{collection_id}/items", response_class=GeoJsonResponse)
async def items(
    request: Request,
    collection_id: str,
    *,
    limit: Limit = 10,
    bbox_text: BBoxText = None,
    datetime_text: DatetimeText = None,
    collections: Names = None,
    token: Token = None,
) -> Response:
    """A page of a Collection's Items; follow the links ``next`` for the others."""
    search = Search(
        limit=limit,
        bbox=_numbers(bbox_text),
        datetime=datetime_text,
        collections=[collection_id],
        token=token,
    ).for_pgstac()
    if collections not in {None, collection_id}:  # pystac-client repeats the path's Collection
        raise InvalidParameter(
            f"collections={collections!r} is not the Collection of this path.",
            remedy="Leave it out here, or ask GET /api/search.",
        )
    async with services_of(request).repository.reading() as connection:
        await _existing_collection(connection, collection_id)
        page = await read_search(connection, search)
    root = root_url(request)
    url = f"{root}/api/collections/{quote(collection_id)}"
    links = [link("collection", url), *_get_links(request, f"{url}/items", page)]
    return _item_collection(root, page, links)


@router.get("/collections/{collection_id}/items/{item_id}", response_class=GeoJsonResponse)
async def item(request: Request, collection_id: str, item_id: str) -> Response:
    """An Item."""
    async with services_of(request).repository.reading() as connection:
        stored = await read_item(connection, collection_id, item_id)
    if stored is None:
        raise NotFound(
            f"Collection '{collection_id}' has no Item '{item_id}'.",
            remedy=f"GET /api/collections/{collection_id}/items lists them.",
        )
    return json_response(served_item(stored, root_url(request)), GEOJSON)


@router.get("/search", response_class=GeoJsonResponse)
async def search_by_get(
    request: Request,
    *,
    limit: Limit = 10,
    bbox_text: BBoxText = None,
    datetime_text: DatetimeText = None,
    ids: Names = None,
    collections: Names = None,
    intersects: GeometryText = None,
    token: Token = None,
) -> Response:
    """Items of any Collection."""
    search = Search(
        limit=limit,
        bbox=_numbers(bbox_text),
        datetime=datetime_text,
        ids=_names(ids),
        collections=_names(collections),
        intersects=_geometry(intersects),
        token=token,
    ).for_pgstac()
    async with services_of(request).repository.reading() as connection:
        page = await read_search(connection, search)
    root = root_url(request)
    return _item_collection(root, page, _get_links(request, f"{root}/api/search", page))


@router.post("/search", response_class=GeoJsonResponse)
async def search_by_post(request: Request, search: Search) -> Response:
    """Items of any Collection, asked in JSON."""
    async with services_of(request).repository.reading() as connection:
        page = await read_search(connection, search.for_pgstac())
    root = root_url(request)
    url = f"{root}/api/search"
    body = search.model_dump(exclude_none=True)
    links = [link("root", f"{root}/api")]
    links += [
        link(rel, url, GEOJSON, method="POST", body={**body, "token": token})
        for rel, token in _tokens(page)
    ]
    return _item_collection(root, page, links)


async def _existing_collection(
    connection: AsyncConnection[tuple[Any, ...]], collection_id: str
) -> Json:
    stored = await read_collection(connection, collection_id)
    if stored is None:
        raise NotFound(
            f"There is no Collection '{collection_id}'.",
            remedy="GET /api/collections lists them.",
        )
    return stored


def _by_id(collections: list[Json]) -> list[Json]:
    return sorted(collections, key=lambda stored: stored["id"])


def _item_collection(root: str, page: Json, links: list[Json]) -> Response:
    features = [served_item(stored, root) for stored in page["features"]]
    counts = {name: page[name] for name in ("numberMatched", "numberReturned") if name in page}
    return json_response(
        {"type": "FeatureCollection", **counts, "links": links, "features": features}, GEOJSON
    )


def _get_links(request: Request, url: str, page: Json) -> list[Json]:
    asked = dict(request.query_params)
    links = [link("self", with_query(url, asked), GEOJSON)]
    links.append(link("root", f"{root_url(request)}/api"))
    links += [
        link(rel, with_query(url, {**asked, "token": token}), GEOJSON, method="GET")
        for rel, token in _tokens(page)
    ]
    return links


def _tokens(page: Json) -> list[tuple[str, str]]:
    """The paging tokens pgSTAC put into its links, by ``rel``."""
    return [
        (found["rel"], found["href"].partition("token=")[2])
        for found in page["links"]
        if found["rel"] in {"next", "prev"}
    ]


def _names(text: str | None) -> list[str] | None:
    return None if text is None else text.split(",")


def _numbers(text: str | None) -> list[float] | None:
    if text is None:
        return None
    parse_bbox(text)
    return [float(part) for part in text.split(",")]


def _geometry(text: str | None) -> Json | None:
    if text is None:
        return None
    try:
        geometry = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise _no_geometry() from error
    if not isinstance(geometry, dict):
        raise _no_geometry()
    return geometry


def _check_geometry(geometry: Json) -> None:
    """Refuse what PostGIS would take and quietly match nothing with, such as an open ring."""
    if geometry.get("type") not in _GEOMETRY_TYPES:
        raise _no_geometry()
    try:
        shapely.from_geojson(orjson.dumps(geometry))
    except (shapely.errors.GEOSException, TypeError) as error:
        raise _no_geometry() from error


def _no_geometry() -> InvalidParameter:
    return InvalidParameter(
        "intersects is no GeoJSON geometry.", remedy="Give an object with type and coordinates."
    )


def _area(bbox: list[float]) -> Json:
    """A bbox as a geometry, which unlike pgSTAC's bbox may cross the antimeridian."""
    boxes = parse_bbox(",".join(map(str, bbox))).boxes()
    return {
        "type": "MultiPolygon",
        "coordinates": [
            [[[west, south], [east, south], [east, north], [west, north], [west, south]]]
            for west, south, east, north in boxes
        ],
    }
