"""Columns of tables of boxes, recognised by the names that people and programs give them.

Names are compared without case, spaces and punctuation. A box is two corners, or a corner and a size (``x``, ``y`` are
the top-left corner), or a centre and a size.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence

from mot_dinov3.formats.rows import Corners, parse_number

FIELDS: Mapping[str, tuple[str, ...]] = {
    "frame": (
        "frame", "frame_id", "frame_index", "frame_idx", "frame_number", "frame_no", "frame_num", "frame_nr", "frames",
    ),
    "image": ("file_name", "filename", "image_name", "image", "image_path", "image_id", "img", "file_path", "path"),
    "track": (
        "track_id", "tracker_id", "tracking_id", "track", "track_no", "id", "object_id", "obj_id", "instance_id",
        "target_id", "identity", "person_id", "animal_id", "vehicle_id", "player_id", "tracklet_id",
    ),
    "score": ("score", "conf", "confidence", "confidence_score", "probability", "prob", "det_score", "class_score"),
    "class": ("class_id", "cls", "class", "category_id", "label_id", "class_index", "class_no"),
    "name": (
        "class_name", "label", "category", "category_name", "object_class", "label_name", "cls_name", "instance_name",
    ),
    "coasted": ("coasted",),
    "gallery": ("gallery_id",),
    "video": ("video_id", "video", "video_name", "video_path", "sequence", "sequence_id", "sequence_name", "seq"),
}  # fmt: skip
"""Field → the names of its column, the surest first."""

LAYOUTS: Mapping[str, tuple[tuple[str, str, str, str], ...]] = {
    "corners": (
        ("x1", "y1", "x2", "y2"),
        ("x_min", "y_min", "x_max", "y_max"),
        ("xtl", "ytl", "xbr", "ybr"),
        ("left", "top", "right", "bottom"),
        ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2"),
        ("bb_x1", "bb_y1", "bb_x2", "bb_y2"),
        ("x0", "y0", "x1", "y1"),
        ("bbox_xmin", "bbox_ymin", "bbox_xmax", "bbox_ymax"),
        ("min_x", "min_y", "max_x", "max_y"),
        ("x_left", "y_top", "x_right", "y_bottom"),
    ),
    "corner and size": (
        ("x", "y", "w", "h"),
        ("x", "y", "width", "height"),
        ("left", "top", "width", "height"),
        ("bb_left", "bb_top", "bb_width", "bb_height"),
        ("bbox_left", "bbox_top", "bbox_width", "bbox_height"),
        ("bbox_x", "bbox_y", "bbox_w", "bbox_h"),
        ("bbox_x", "bbox_y", "bbox_width", "bbox_height"),
        ("x1", "y1", "w", "h"),
        ("x1", "y1", "width", "height"),
        ("x_min", "y_min", "width", "height"),
        ("x_min", "y_min", "w", "h"),
        ("min_x", "min_y", "width", "height"),
        ("left", "top", "w", "h"),
        ("bbox_left", "bbox_top", "bbox_w", "bbox_h"),
        ("top_left_x", "top_left_y", "width", "height"),
    ),
    "centre and size": (
        ("cx", "cy", "w", "h"),
        ("cx", "cy", "width", "height"),
        ("x_center", "y_center", "width", "height"),
        ("x_center", "y_center", "w", "h"),
        ("x_centre", "y_centre", "width", "height"),
        ("center_x", "center_y", "width", "height"),
        ("center_x", "center_y", "w", "h"),
        ("xc", "yc", "w", "h"),
        ("xc", "yc", "width", "height"),
    ),
}  # fmt: skip
"""Layout of a box → the names of its four columns."""

NEEDED = "a table needs a column for the frame (frame, frame_id, file_name …) and four for the box (x1, y1, x2, y2, …)"
_KNOWN = frozenset(
    (
        *(name for layouts in LAYOUTS.values() for names in layouts for name in names),
        *(name for aliases in FIELDS.values() for name in aliases),
    )
)
_JOINED = {name.replace("_", ""): name for name in sorted(_KNOWN, key=lambda name: "_" in name)}
"""Names without underscores → as they are listed, so that ``xmin`` and ``FrameId`` are known, too."""

_MOT_NAMES: Mapping[tuple[str, ...], str] = {
    ("bb_left", "bb_top", "bb_width", "bb_height"): "",
    ("x", "y", "w", "h"): "id",
    ("left", "top", "width", "height"): "id",
}
"""Columns of a box in MOTChallenge's files → the column that its tracks have then."""


@dataclasses.dataclass(frozen=True)
class TableColumns:
    """Columns of a table.

    Attributes:
        fields: Field (`FIELDS`) → the column's name in the file.
        box: The four columns of the box, empty where they are not recognised.
        layout: Which of the `LAYOUTS` they are.
        others: Columns that are not recognised.
        counts_from_one: The names are those of MOTChallenge, whose frames count from 1.
    """

    fields: Mapping[str, str]
    box: tuple[str, ...]
    layout: str
    others: tuple[str, ...]
    counts_from_one: bool = False

    @property
    def recognised(self) -> tuple[str, ...]:
        """The columns that are read."""
        return (*self.fields.values(), *self.box)

    @property
    def missing(self) -> str:
        """What is missing to read boxes; empty where nothing is."""
        if not {"frame", "image"} & self.fields.keys():
            return "the column 'frame' is missing"
        return "" if self.box else "the columns of the box are missing"

    def get(self, record: Mapping[str, str], field: str) -> str:
        """Return a record's text in the column of a field; empty where it has none."""
        name = self.fields.get(field)
        return "" if name is None else record.get(name, "").strip()

    def corners(self, record: Mapping[str, str], *, comma: bool) -> Corners:
        """Return the corners of a record's box; with `comma`, decimals may follow a comma.

        Raises:
            ValueError: A number is missing or is none.
        """
        a, b, c, d = (cell_number(record.get(name, ""), name, comma=comma) for name in self.box)
        if self.layout == "corners":
            return a, b, c, d
        if self.layout == "corner and size":
            return a, b, a + c, b + d
        return a - c / 2, b - d / 2, a + c / 2, b + d / 2


def cell_number(text: str, name: str, *, comma: bool) -> float:
    """Return the number in a cell."""
    is_decimal = comma and re.fullmatch(r"\s*[-+]?[0-9]+,[0-9]+\s*", text)
    return parse_number(text.replace(",", ".") if is_decimal else text, name)


def plain_name(name: str) -> str:
    """Return the name of a column as it is compared: lower case, words joined by underscores."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name.strip().strip("\ufeff\"'"))
    plain = re.sub(r"[^0-9a-z]+", "_", words.casefold()).strip("_")
    return _JOINED.get(plain.replace("_", ""), plain)


def recognise(header: Sequence[str]) -> TableColumns:
    """Return the columns of a table by the names in its header."""
    known: dict[str, str] = {}
    for name in header:
        known.setdefault(plain_name(name), name)
    boxes = ((layout, names) for layout, several in LAYOUTS.items() for names in several)
    layout, names = next(((layout, names) for layout, names in boxes if known.keys() >= set(names)), ("", ()))
    fields: dict[str, str] = {}
    for field, aliases in FIELDS.items():
        found = next((alias for alias in aliases if alias in known and alias not in names), None)
        if found is not None:
            fields[field] = known[found]
    if "class" in fields and "name" not in fields and "name" in known:  # as Ultralytics has it
        fields["name"] = known["name"]
    used = {*fields.values(), *(known[name] for name in names)}
    others = tuple(name for name in header if name not in used)
    mot = _MOT_NAMES.get(names)
    from_one = mot is not None and mot in ("", plain_name(fields.get("track", "")))
    return TableColumns(fields, tuple(known[name] for name in names), layout, others, from_one)


def count_known(header: Iterable[str]) -> int:
    """Return how many names of a header are those of columns that can be read."""
    return sum(plain_name(name) in _KNOWN for name in header)
