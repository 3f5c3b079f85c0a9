"""Where sources lie: objects by URL, described without opening them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from geomill.errors import InvalidSource

_SHAPEFILE_PARTS = (".dbf", ".shx", ".prj", ".cpg")


@dataclass(frozen=True)
class Fingerprint:
    """What tells a changed object from an unchanged one: size in bytes, mtime in nanoseconds."""

    size: int
    mtime_ns: int


def local_path(source: str) -> Path:
    """The file a source names, as a path or a ``file://`` URL.

    Raises:
        InvalidSource: another scheme, no such file, a directory, or one that may not be read.
    """
    try:
        parts = urlsplit(source)
    except ValueError as error:
        raise InvalidSource(
            f"source {source!r} is no URL: {error}.", remedy="Give a path or a file:// URL."
        ) from error
    if parts.scheme == "file":
        path = Path(unquote(parts.path))
    elif "://" in source:
        raise InvalidSource(
            f"source {source!r} has the scheme '{parts.scheme}', which is not supported.",
            remedy="Give a path or a file:// URL on the machine that runs geomill.",
        )
    else:
        path = Path(source)
    if not path.is_absolute():
        raise InvalidSource(
            f"source {source!r} is a relative path.",
            remedy="Give an absolute path, as the server's working directory is not yours.",
        )
    _check_readable(path)
    return path


def _check_readable(path: Path) -> None:
    try:
        if not path.exists():
            raise InvalidSource(f"source {path} does not exist.", remedy="Check the path.")
        if not path.is_file():
            raise InvalidSource(f"source {path} is not a file.", remedy="Name the file itself.")
        with path.open("rb"):
            pass
    except OSError as error:
        raise InvalidSource(
            f"source {path} cannot be read: {error.strerror}.",
            remedy="Give the user that runs geomill permission to read it.",
        ) from error


def fingerprints(path: Path) -> dict[str, Fingerprint]:
    """The fingerprint of a file and, for a Shapefile, of each part beside it."""
    parts = [path]
    if path.suffix.lower() == ".shp":
        parts += [
            sibling
            for sibling in sorted(path.parent.iterdir())
            if sibling.stem == path.stem and sibling.suffix.lower() in _SHAPEFILE_PARTS
        ]
    described: dict[str, Fingerprint] = {}
    for part in parts:
        status = part.stat()
        described[str(part)] = Fingerprint(status.st_size, status.st_mtime_ns)
    return described
