"""Bounding boxes in CRS84 degrees, as STAC and OGC API clients write them."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

from geomill.errors import InvalidParameter

_REMEDY = "Write it as west,south,east,north in degrees, e.g. bbox=-106,40,-105,41."


@dataclass(frozen=True)
class BBox:
    """west, south, east, north in degrees; west > east crosses the antimeridian (RFC 7946 §5.2)."""

    west: float
    south: float
    east: float
    north: float

    def boxes(self) -> list[tuple[float, float, float, float]]:
        """The one or two boxes that do not cross the antimeridian."""
        if self.west <= self.east:
            return [(self.west, self.south, self.east, self.north)]
        return [
            (self.west, self.south, 180.0, self.north),
            (-180.0, self.south, self.east, self.north),
        ]


def parse_bbox(text: str) -> BBox:
    """Read a ``bbox`` query parameter of four numbers, or six with heights that are ignored.

    Raises:
        InvalidParameter: not numbers, not four or six, out of range, or south above north.
    """
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        raise InvalidParameter(
            f"bbox={text!r} has a part that is no number.", remedy=_REMEDY
        ) from None
    if len(numbers) == 6:
        numbers = [numbers[0], numbers[1], numbers[3], numbers[4]]
    if len(numbers) != 4 or not all(map(isfinite, numbers)):
        raise InvalidParameter(f"bbox={text!r} has not four numbers.", remedy=_REMEDY)
    west, south, east, north = numbers
    if south > north:
        raise InvalidParameter(f"bbox={text!r} has its south above its north.", remedy=_REMEDY)
    return BBox(west, south, east, north)
