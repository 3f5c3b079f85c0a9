"""What a vector file holds, and every reason it cannot be ingested as it is."""

from __future__ import annotations

import struct
import warnings
import zipfile
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, cast

import pyogrio
import pyproj
from pydantic import BaseModel, ConfigDict
from pyogrio.errors import DataLayerError, DataSourceError, GeometryError
from pyproj.exceptions import CRSError

from geomill import storage
from geomill.errors import InvalidSource
from geomill.etl.vector.columns import feature_columns
from geomill.model.dataset import FeatureColumn

_gdal: Any = pyogrio  # has no types
_CRS: Any = pyproj.CRS  # has them in part
_DRIVERS = {".geojson": "GeoJSON", ".json": "GeoJSON", ".gpkg": "GPKG", ".shp": "ESRI Shapefile"}
_ZIP = ".zip"
_SUPPORTED = ".geojson, .json, .gpkg, .shp, and .zip that holds a Shapefile"
_REQUIRED_PARTS = (".dbf", ".shx")
_PROMOTED = {"Polygon": "MultiPolygon", "LineString": "MultiLineString"}
_KEPT = {"Point", "MultiPoint", "MultiLineString", "MultiPolygon", "GeometryCollection"}
_DAMAGED = "Open it in QGIS or with ogrinfo; if that fails too, get the file again."
_LINEARISE = "Linearise it first: ogr2ogr -nlt CONVERT_TO_LINEAR out.gpkg <source>."
_ENGINEERING = "Engineering CRS"


class Inspection(BaseModel):
    """What is in one layer of a source, as far as loading it needs to know.

    ``geometry_type`` is that of the table, PostGIS spelling: polygons and lines are Multi, "Z" is
    kept as a suffix, M is dropped; "Geometry" is mixed or unknown.
    """

    model_config = ConfigDict(frozen=True)

    path: str
    gdal_path: str
    layer: str
    driver: str
    crs: str
    feature_count: int
    geometry_type: str
    has_z: bool
    columns: list[FeatureColumn]
    observed_at: datetime

    @property
    def name(self) -> str:
        """The file and layer, as error messages call them."""
        return f"{self.path}, layer '{self.layer}'"


def inspect_source(source: str, *, layer: str | None = None, crs: str | None = None) -> Inspection:
    """Look into a vector file without reading its features.

    Args:
        source: A path or ``file://`` URL.
        layer: Which layer, where the file holds several; in a .zip, which Shapefile.
        crs: The CRS of the coordinates, in place of what the file says.

    Raises:
        InvalidSource: it cannot be ingested; the message says why, and what to do.
    """
    path = storage.local_path(source)
    _check_format(path)
    gdal_path = _gdal_path(path, layer)
    driver = "ESRI Shapefile" if path.suffix.lower() == _ZIP else _DRIVERS[path.suffix.lower()]
    with translated(path, layer):
        chosen = _layer(path, gdal_path, layer)
        info = _gdal.read_info(gdal_path, layer=chosen, force_feature_count=True)
        with _gdal.open_arrow(gdal_path, layer=chosen, use_pyarrow=True) as (meta, reader):
            geometry_column = meta["geometry_name"] or "wkb_geometry"
            fields = [field for field in reader.schema if field.name != geometry_column]
    _check_content(path, chosen, driver, info)
    geometry_type = _table_geometry_type(info["geometry_type"])
    return Inspection(
        path=str(path),
        gdal_path=gdal_path,
        layer=chosen,
        driver=driver,
        crs=_crs(path, chosen, info["crs"], crs),
        feature_count=int(info["features"]),
        geometry_type=geometry_type,
        has_z=geometry_type.endswith("Z"),
        columns=feature_columns(fields),
        observed_at=datetime.fromtimestamp(path.stat().st_mtime, UTC),
    )


@contextmanager
def translated(path: Path | str, layer: str | None) -> Generator[None]:
    """GDAL's errors as ours, its words included; its remarks on M values are not wanted."""
    name = str(path) if layer is None else f"{path}, layer '{layer}'"
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Measured")
            yield
    except GeometryError as error:
        raise InvalidSource(
            f"{name} has a geometry type that is not supported: {error}.", remedy=_LINEARISE
        ) from error
    except (DataSourceError, DataLayerError) as error:
        raise InvalidSource(
            f"{name} cannot be read. GDAL says: {_gdal_words(error)}", remedy=_DAMAGED
        ) from error


def _gdal_words(error: Exception) -> str:
    return str(error).split("; It might help")[0].rstrip(".") + "."


def _check_format(path: Path) -> None:
    suffix = path.suffix.lower()
    if suffix != _ZIP and suffix not in _DRIVERS:
        raise InvalidSource(
            f"{path} has the extension '{path.suffix}', which is not supported.",
            remedy=f"Supported are {_SUPPORTED}.",
        )
    if path.stat().st_size == 0:
        raise InvalidSource(f"{path} is empty (zero bytes).", remedy="Get the file again.")
    if suffix == ".shp":
        present = {
            part.suffix.lower() for part in path.parent.glob("*.*") if part.stem == path.stem
        }
        _check_shapefile_parts(str(path), present)
        _check_shapefile_length(path)
    if suffix in _DRIVERS:
        _check_signature(path, suffix)


def _check_shapefile_parts(name: str, present: set[str]) -> None:
    missing = [part for part in _REQUIRED_PARTS if part not in present]
    if missing:
        raise InvalidSource(
            f"{name} is a Shapefile without its {' and '.join(missing)} beside it.",
            remedy="Put the .shp, .dbf, .shx and .prj in one directory, or zip them together.",
        )


def _check_shapefile_length(path: Path) -> None:
    # GDAL reads the records beyond a truncation as features without a geometry.
    with path.open("rb") as file:
        header = file.read(100)
    size = path.stat().st_size
    if len(header) < 100 or struct.unpack(">i", header[24:28])[0] * 2 > size:
        raise InvalidSource(
            f"{path} is shorter than its header says: {size} bytes are there; it is truncated.",
            remedy="Get the file again.",
        )


_SHAPEFILE_CODE = b"\x00\x00\x27\x0a"


def _check_signature(path: Path, suffix: str) -> None:
    """Keep GDAL from trying other drivers: some, like VRT, read further files and URLs."""
    with path.open("rb") as file:
        head = file.read(4096)
    driver = _DRIVERS[suffix]
    good = {
        "GeoJSON": head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"{",
        "GPKG": head.startswith(b"SQLite format 3\x00"),
        "ESRI Shapefile": head.startswith(_SHAPEFILE_CODE),
    }[driver]
    if not good:
        raise InvalidSource(
            f"{path} is not a {driver} file, in spite of its extension.",
            remedy=f"Give it the extension of what it is, and supported are {_SUPPORTED}.",
        )


def _gdal_path(path: Path, layer: str | None) -> str:
    if path.suffix.lower() != _ZIP:
        return str(path)
    try:
        with zipfile.ZipFile(path) as archive:
            members = [PurePosixPath(name) for name in archive.namelist()]
            member = _zip_member(path, members, layer)
            with archive.open(str(member)) as file:
                head = file.read(4)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise InvalidSource(f"{path} is not a readable zip: {error}.", remedy=_DAMAGED) from error
    if head != _SHAPEFILE_CODE:  # a VRT, say, by which GDAL would read further files and URLs
        raise InvalidSource(
            f"{path}/{member} is not a Shapefile, in spite of its extension.", remedy=_DAMAGED
        )
    present = {
        other.suffix.lower()
        for other in members
        if other.parent == member.parent and other.stem == member.stem
    }
    _check_shapefile_parts(f"{path}/{member}", present)
    return f"/vsizip/{path}/{member}"


def _zip_member(path: Path, members: list[PurePosixPath], layer: str | None) -> PurePosixPath:
    shapefiles = [
        member
        for member in members
        if member.suffix.lower() == ".shp" and "__MACOSX" not in member.parts
    ]
    if not shapefiles:
        held = ", ".join(str(member) for member in members[:10]) or "nothing"
        raise InvalidSource(
            f"{path} has no .shp in it; it holds {held}.",
            remedy="Zip the parts of one Shapefile, or give the file itself.",
        )
    chosen = [member for member in shapefiles if layer is None or member.stem == layer]
    if len(chosen) == 1:
        return chosen[0]
    held = ", ".join(str(member) for member in shapefiles)
    if chosen:
        raise InvalidSource(
            f"{path} has {len(chosen)} Shapefiles to choose from: {held}.",
            remedy=f"Choose one by its name without .shp, e.g. layer={shapefiles[0].stem!r}.",
        )
    raise InvalidSource(
        f"{path} has no Shapefile '{layer}'; it holds {held}.",
        remedy=f"Choose one of them, e.g. layer={shapefiles[0].stem!r}.",
    )


def _layer(path: Path, gdal_path: str, layer: str | None) -> str:
    names = [str(name) for name, _ in _gdal.list_layers(gdal_path)]
    if not names:
        raise InvalidSource(f"{path} has no layers.", remedy="Give a file that holds features.")
    held = ", ".join(repr(name) for name in names)
    if layer is None and len(names) > 1:
        raise InvalidSource(
            f"{path} has {len(names)} layers: {held}.",
            remedy=f"Choose one, e.g. layer={names[0]!r}; each becomes a table of its own.",
        )
    if layer is not None and layer not in names:
        raise InvalidSource(
            f"{path} has no layer '{layer}'; it has {held}.",
            remedy=f"Choose one of them, e.g. layer={names[0]!r}.",
        )
    return names[0] if layer is None else layer


def _check_content(path: Path, layer: str, driver: str, info: dict[str, Any]) -> None:
    name = f"{path}, layer '{layer}'"
    if info["driver"] != driver:
        raise InvalidSource(
            f"{path} is {info['driver']}, not {driver}.", remedy=f"Supported are {_SUPPORTED}."
        )
    if info["geometry_type"] is None:
        raise InvalidSource(
            f"{name} has no geometry: it is a plain table.",
            remedy="Choose a layer with a geometry column.",
        )
    if info["features"] == 0:
        raise InvalidSource(
            f"{name} holds no features.", remedy="Give a file with at least one feature."
        )


def _table_geometry_type(geometry_type: str) -> str:
    words = geometry_type.replace("2.5D ", "").replace("3D ", "").split()
    has_z = len(words) > 1 or geometry_type.startswith(("2.5D", "3D"))
    promoted = _PROMOTED.get(words[0], words[0])
    return f"{promoted if promoted in _KEPT else 'Geometry'}{'Z' if has_z else ''}"


def _crs(path: Path, layer: str, found: str | None, override: str | None) -> str:
    if override is not None:
        return _authority(path, override)
    if found is None or _undefined(found):
        raise InvalidSource(
            f"{path}, layer '{layer}' does not say what CRS its coordinates are in.",
            remedy='Find out which it is and pass it, e.g. crs="EPSG:4326".',
        )
    return _authority(path, found)


def parsed_crs(text: str) -> pyproj.CRS:
    """The CRS that an authority code or WKT stands for.

    Raises:
        pyproj.exceptions.CRSError: none that PROJ knows.
    """
    return _CRS.from_user_input(text)


def _undefined(crs: str) -> bool:
    """GeoPackage writes "undefined" as a CRS of that name."""
    try:
        parsed = parsed_crs(crs)
    except CRSError:
        return False
    return parsed.name.lower().startswith("undefined") or parsed.type_name == _ENGINEERING


def _authority(path: Path, crs: str) -> str:
    try:
        parsed = parsed_crs(crs)
    except CRSError as error:
        raise InvalidSource(
            f"The CRS {crs!r} for {path} is not understood: {error}.",
            remedy='Write it as an authority and code, e.g. crs="EPSG:26913", or as WKT.',
        ) from error
    authority = cast("tuple[str, str] | None", parsed.to_authority(min_confidence=100))
    return crs if authority is None else ":".join(authority)
