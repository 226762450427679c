"""Single shapes in LabelMe and Annolid files: JSON to points and outlines, and back.

A point that is not in the frame is a shape with the flag ``absent``; its coordinates do not count. A hidden point has
the flag ``occluded``, or ``visible`` false, or Annolid's visibility 1, or is ``difficult`` as in X-AnyLabeling.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import hashlib
import math
import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from mot_dinov3.core.json_text import is_number
from mot_dinov3.core.structures import Keypoints, PointSource, PointState

CIRCLE_CORNERS = 32
MAX_GROUP = 2**53  # the largest group id: all programs that read tables keep it
_LONGEST_NUMBER = 20  # characters of a group id
OWN_KEY = "mot_dinov3"  # of what this program writes about a file, in `otherData`, and about a shape
ABSENT_FLAGS = ("absent", "missing", "not_here")
HIDDEN_FLAGS = ("occluded", "hidden")
_CORNERS = ("polygon", "rotation", "quadrilateral")  # outlines by their corners, the last two of X-AnyLabeling
_LINES = ("line", "linestrip", "points", "cuboid")  # of LabelMe and X-AnyLabeling: neither a point nor an outline
_ANNOLID_VISIBILITIES = ("kp_visibility", "visibility")  # of COCO: 0 absent, 1 occluded, 2 visible
_ANNOLID_MEASURES = ("quality", "velocity", "misses", "motion_index")
_ANNOLID_METHODS = re.compile(
    r"(cutie|dino|cotracker|grounding[ _]?(dino|sam)|sam|efficientvit_sam|yolo)\w*([+;, ].*)?|motion_index.*",
    re.IGNORECASE,
)

Points = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Shape:
    """A labelled point or outline.

    Attributes:
        label: As written in the file.
        points: ``(n, 2)`` float64 pixels: one row for a point, three or more for an outline.
        group_id: LabelMe's number of the group, or None.
        instance: Explicit instance label, or "".
        display: Annolid's display label, or "".
        state: Visible, occluded, or lost: absent from this frame.
    """

    label: str
    points: Points
    group_id: int | None = None
    instance: str = ""
    display: str = ""
    state: PointState = PointState.VISIBLE

    @property
    def is_point(self) -> bool:
        """True for a point, false for an outline."""
        return len(self.points) == 1


def read_shape(raw: object) -> Shape | str:
    """Return a shape, or a description of its defect."""
    if not isinstance(raw, dict) or not isinstance(raw.get("label"), str) or not raw["label"].strip():
        return "no label"
    try:
        points = np.array(raw.get("points"), np.float64).reshape(-1, 2)
    except (TypeError, ValueError, OverflowError):
        points = np.zeros((0, 2))
    if not np.isfinite(points).all() or not len(points):
        return f"'{raw['label']}' has unreadable points"
    kind = raw.get("shape_type") or "polygon"
    if kind == "polygon" and len(points) == 1:
        kind = "point"  # files of old versions of LabelMe have no types
    if kind in _LINES:
        return f"'{raw['label']}' is a {kind}, neither a point nor an outline"
    outline = _outline(kind, points, raw)
    if outline is None:
        return f"'{raw['label']}' is an unreadable {kind}"
    flags = flags_of(raw)
    explicit = raw.get("instance_label") or flags.get("instance_label")
    shown = raw.get("display_label") or flags.get("display_label")
    return Shape(
        label=_plain_text(raw["label"]),
        points=outline,
        group_id=group_number(raw.get("group_id")),
        instance=_plain_text(explicit) if isinstance(explicit, str) else "",
        display=_plain_text(shown) if isinstance(shown, str) else "",
        state=_state(raw, flags),
    )


def _plain_text(text: str) -> str:
    """Return a name without spaces around, accents composed: some systems write them as characters of their own."""
    return unicodedata.normalize("NFC", text.strip())


def group_number(value: object) -> int | None:
    """Return a group id, which programs also write as a text or a float; None for what is no whole number."""
    if isinstance(value, str):
        text = value.strip()
        value = int(text) if len(text) <= _LONGEST_NUMBER and re.fullmatch(r"-?[0-9]+", text) else None
    if value is None or not is_number(value):
        return None
    number = float(value)  # type: ignore[arg-type]
    return int(number) if number.is_integer() and abs(number) <= MAX_GROUP else None


def flags_of(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the flags of a shape; none where they are no object."""
    flags = raw.get("flags")
    return flags if isinstance(flags, dict) else {}


def _state(raw: Mapping[str, Any], flags: Mapping[str, Any]) -> PointState:
    """Return what a person, LabelMe or Annolid says about the visibility of a shape."""
    if any(_is_set(known.get(name)) for known in (flags, raw) for name in ABSENT_FLAGS):
        return PointState.LOST
    numbers = [flags.get(name) for name in _ANNOLID_VISIBILITIES] + [raw.get(name) for name in _ANNOLID_VISIBILITIES]
    number = next((n for n in numbers if n in (0, 1, 2) and type(n) is not bool), None)
    if number is not None:
        return (PointState.LOST, PointState.OCCLUDED, PointState.VISIBLE)[int(number)]
    as_written = raw.get("visible") in (None, raw.get("state") == "visible")
    if OWN_KEY in raw and "occluded" in flags and as_written:  # the box that a person can tick decides
        is_hidden = raw.get("difficult") is True or any(_is_set(flags.get(name)) for name in HIDDEN_FLAGS)
        return PointState.OCCLUDED if is_hidden else PointState.VISIBLE
    hidden = any(_is_set(known.get(name)) for known in (flags, raw) for name in (*HIDDEN_FLAGS, "difficult"))
    unseen = any(known.get(name) in (False, "false") for known in (flags, raw) for name in ("visible", "kp_visible"))
    return PointState.OCCLUDED if hidden or unseen else PointState.VISIBLE


def _is_set(flag: object) -> bool:
    return flag is True or flag == 1 or (isinstance(flag, str) and flag.strip().lower() in ("true", "yes", "1"))


def touched_shape(raw: Mapping[str, Any], shape: Shape) -> Shape:
    """Return a shape that a person changed: a point that was predicted as hidden and was moved is seen there.

    The prediction's own flag says nothing about the new place; the flag ``hidden`` does.
    """
    is_flag_ours = OWN_KEY in raw and raw.get("state") == "occluded" and not _is_set(flags_of(raw).get("hidden"))
    is_seen = shape.state == PointState.OCCLUDED and is_flag_ours
    return dataclasses.replace(shape, state=PointState.VISIBLE) if is_seen else shape


def is_annolid_prediction(raw: object) -> bool:
    """Return whether a shape has a mark that only Annolid's own tracking leaves: a measure, or a method's name."""
    if not isinstance(raw, dict):
        return False
    flags, description = flags_of(raw), raw.get("description")
    measured = any(name in known for known in (raw, flags) for name in _ANNOLID_MEASURES)
    return measured or (isinstance(description, str) and bool(_ANNOLID_METHODS.fullmatch(description.strip())))


def shape_digest(raw: object, frame: int) -> str:
    """Return a digest of what a person can change: label, place, owner and visibility; empty for an unusable shape.

    A shape that is copied to another `frame` has another one there.
    """
    shape = read_shape(raw)
    if isinstance(shape, str):
        return ""
    places = " ".join(f"{x:.2f},{y:.2f}" for x, y in shape.points.tolist())
    known = (str(frame), shape.label, str(shape.group_id), shape.instance, str(int(shape.state)), places)
    return hashlib.sha256("\n".join(known).encode()).hexdigest()[:16]


def _outline(kind: object, points: Points, raw: Mapping[str, Any]) -> Points | None:
    """Return a point as one row, any other shape as the corners of its outline, or None where it is invalid."""
    if kind == "point":
        return points[:1]
    if kind in _CORNERS or (kind == "rectangle" and len(points) == 4):  # X-AnyLabeling's has four corners
        return points if len(points) >= 3 and np.ptp(points, axis=0).min() > 0 else None
    if len(points) != 2:
        return None
    (x1, y1), (x2, y2) = points
    if kind == "rectangle":
        return np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]]) if x1 != x2 and y1 != y2 else None
    if kind == "circle":
        angle = np.arange(CIRCLE_CORNERS) * 2 * math.pi / CIRCLE_CORNERS
        return points[0] + math.dist(points[0], points[1]) * np.stack([np.cos(angle), np.sin(angle)], 1)
    return _mask_outline(points, raw.get("mask")) if kind == "mask" else None


def _mask_outline(box: Points, encoded: object) -> Points | None:
    """Return the largest outline of a LabelMe mask: a PNG in base64, placed at the corner of its box."""
    if not isinstance(encoded, str):
        return None
    import cv2

    try:
        data = np.frombuffer(base64.b64decode(encoded, validate=True), np.uint8)
        mask = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE) if data.size else None
    except (binascii.Error, cv2.error):
        return None
    if mask is None:
        return None
    found, _ = cv2.findContours((np.asarray(mask) > 0).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    largest = max(found, key=cv2.contourArea, default=None)
    return None if largest is None or len(largest) < 3 else largest[:, 0].astype(np.float64) + box.min(0)


def outline_shapes(keypoints: Keypoints) -> Iterator[dict[str, Any]]:
    """Yield the shapes of a frame's outlines."""
    groups = dict(zip(keypoints.instance, keypoints.group_id.tolist()))
    for name, polygons in keypoints.outlines.items():
        for polygon in polygons:
            yield _shape_record(name, polygon, groups.get(name), "polygon") | {"instance_label": name}


def point_shapes(keypoints: Keypoints) -> Iterator[dict[str, Any]]:
    """Yield the shapes of a frame's keypoints; lost ones have none."""
    for row, name in enumerate(keypoints.name):
        state = PointState(int(keypoints.state[row]))
        if state == PointState.LOST or not np.isfinite(keypoints.xy[row]).all():
            continue
        seen = state == PointState.VISIBLE
        shape = _shape_record(name, keypoints.xy[row : row + 1], int(keypoints.group_id[row]), "point")
        yield shape | {
            "flags": {"occluded": not seen},
            "instance_label": keypoints.instance[row],
            "display_label": name,
            "visible": seen,
            "score": round(float(keypoints.score[row]), 4),
            "state": state.name.lower(),
            "source": PointSource(int(keypoints.source[row])).name.lower(),
        }


def _shape_record(label: str, points: Points, group_id: int | None, kind: str) -> dict[str, Any]:
    record = {"label": label, "points": np.round(points, 2).tolist(), "group_id": group_id, "shape_type": kind}
    return record | {"flags": {}, "description": ""}
