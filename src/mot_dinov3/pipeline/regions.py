"""Lines and zones of an image in which objects are counted: options, reading and checking."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from mot_dinov3.core.errors import FormatError, UsageError
from mot_dinov3.core.json_text import is_number, kind_of, read_object
from mot_dinov3.core.options import StageConfig, option
from mot_dinov3.core.structures import Float64Array, VideoInfo
from mot_dinov3.formats.labelme import read_frame

MAX_COORDINATE = 8192  # px; a coordinate beyond it is a mistake where the size of the image is unknown
MAX_CORNERS = 10_000


@dataclasses.dataclass(frozen=True)
class CountConfig(StageConfig):
    """Lines and zones."""

    group = "counting lines and zones"

    line: tuple[str, ...] = option(
        (),
        "count tracks that cross a line with the midpoint of their lower edge: in is from its right to its "
        "left, seen from the first point towards the second; may be given more than once",
        metavar="X1,Y1,X2,Y2",
        common=True,
    )
    zone: str | None = option(
        None,
        'count tracks that enter and leave zones: JSON, {"name": [[x, y], …], …} or a LabelMe file with polygons',
        metavar="FILE",
        common=True,
    )

    @property
    def wanted(self) -> bool:
        """Tell whether anything is counted."""
        return bool(self.line) or self.zone is not None


@dataclasses.dataclass(frozen=True)
class Region:
    """A line or zone in which objects are counted.

    Attributes:
        name: Name, unique or not.
        points: ``(k, 2)`` pixels: two ends of a line, or the corners of a zone.
    """

    name: str
    points: Float64Array

    @property
    def is_line(self) -> bool:
        """Tell whether it is a line, not a zone."""
        return len(self.points) == 2


def read_regions(config: CountConfig) -> tuple[Region, ...]:
    """Return the lines and zones that are asked for.

    Raises:
        UsageError: A line is none.
        FormatError: The file of zones breaks its format.
    """
    lines = [Region(f"line {number}", parse_line(text)) for number, text in enumerate(config.line, start=1)]
    zones = read_zones(Path(config.zone)) if config.zone is not None else []
    return (*lines, *zones)


def parse_line(text: str) -> Float64Array:
    """Return the two ends of a line written as ``x1,y1,x2,y2``."""
    remedy = "for example: --line 0,300,640,300"
    try:
        numbers = [float(word) for word in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != 4 or not np.isfinite(numbers).all():
        raise UsageError(f"--line must be four numbers x1,y1,x2,y2, got '{text}'", remedy=remedy)
    points = np.array(numbers).reshape(2, 2)
    if (points[0] == points[1]).all():
        raise UsageError(f"--line {text} has no length: both ends are the same point", remedy=remedy)
    return points


def read_zones(path: Path) -> list[Region]:
    """Return the zones of a JSON file: names with corners, or LabelMe shapes.

    Raises:
        FormatError: The file breaks the format; the message names the zone.
    """
    content = read_object(path)
    if isinstance(content.get("shapes"), list):
        return _labelme_zones(path, content)
    zones = [Region(name, _polygon(f"'{path}', zone '{name}'", corners)) for name, corners in content.items()]
    return _not_empty(path, zones)


def _labelme_zones(path: Path, content: dict[str, Any]) -> list[Region]:
    width, height = content.get("imageWidth"), content.get("imageHeight")
    size = (width, height) if isinstance(width, int) and isinstance(height, int) else (0, 0)
    labelled = read_frame(path, 0, content, size)
    if labelled.notices:
        raise FormatError(labelled.notices[0].removesuffix("; skipped"))
    used: dict[str, int] = {}
    zones = []
    for shape in labelled.shapes:
        if shape.is_point:
            raise FormatError(f"'{path}', shape '{shape.label}' is a point, not a polygon")
        used[shape.label] = used.get(shape.label, 0) + 1
        name = shape.label if used[shape.label] == 1 else f"{shape.label} {used[shape.label]}"
        zones.append(Region(name, _polygon(f"'{path}', shape '{shape.label}'", shape.points.tolist())))
    return _not_empty(path, zones)


def _not_empty(path: Path, zones: list[Region]) -> list[Region]:
    if not zones:
        raise FormatError(f"'{path}' contains no zone", remedy='{"door": [[10, 10], [200, 10], [200, 150]]} is a zone')
    return zones


def _polygon(where: str, corners: object) -> Float64Array:
    remedy = "a zone is a list of three or more corners [x, y] in pixels"
    if not isinstance(corners, list):
        raise FormatError(f"{where} is a {kind_of(corners)}, not a polygon", remedy=remedy)
    if not 3 <= len(corners) <= MAX_CORNERS:
        raise FormatError(f"{where} has {len(corners)} corners: no polygon", remedy=remedy)
    for number, corner in enumerate(corners):
        if not isinstance(corner, list) or len(corner) != 2 or not all(map(is_number, corner)):
            raise FormatError(f"{where}, corner {number}: not two numbers", remedy=remedy)
    points = np.array(corners, np.float64)
    x, y = (points - points[0]).T
    if abs(x @ np.roll(y, 1) - y @ np.roll(x, 1)) < 2:  # the shoelace formula: twice the area
        raise FormatError(f"{where} encloses no area: its corners lie on a line", remedy=remedy)
    return points


def check_regions(regions: tuple[Region, ...], info: VideoInfo) -> None:
    """Refuse lines and zones outside the image: they could never count anything.

    Raises:
        UsageError: A line or zone leaves the image.
    """
    width, height = (info.width, info.height) if info.width else (MAX_COORDINATE, MAX_COORDINATE)
    for region in regions:
        outside = ((region.points < 0) | (region.points > [width, height])).any(1)
        if outside.any():
            x, y = region.points[outside][0]
            what = region.name if region.is_line else f"zone '{region.name}'"
            raise UsageError(
                f"{what} leaves the frame: ({x:g}, {y:g}) is not within {width:g}×{height:g}",
                remedy="give pixels of the source frame, from 0,0 at the top left",
            )
