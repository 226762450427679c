"""What a person labelled and what was tracked, frame by frame, as the page shows and changes it."""

from __future__ import annotations

import copy
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mot_dinov3.apps.studio.gallery_editor import TRASH
from mot_dinov3.apps.studio.requests import ConflictError
from mot_dinov3.apps.studio.result_tables import Results
from mot_dinov3.apps.studio.shapes import Item, refuse_doubles
from mot_dinov3.core import files
from mot_dinov3.core.errors import FormatError
from mot_dinov3.core.json_text import read_object
from mot_dinov3.core.structures import Image
from mot_dinov3.formats import labelme
from mot_dinov3.formats.labelme import LabelledFrame
from mot_dinov3.keypoints.job.files import Place
from mot_dinov3.keypoints.labels import Labels, sort_out
from mot_dinov3.keypoints.skeleton import symmetry_pairs

PREDICTED = ("score", "state", "source", "visible")  # keys of ours that a person's label does not have


class Board:
    """The labels and results of one video. Calls that write come one at a time: the caller holds a lock.

    Args:
        place: The video's keypoint files.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self.results = Results(place.table)
        self._seen: dict[Path, tuple[tuple[int, int], LabelledFrame | None]] = {}

    # -- reading -----------------------------------------------------------------------------------------------

    def labelled(self) -> list[LabelledFrame]:
        """Return the frames that a person labelled; files that did not change are not read again."""
        place = self.place
        if (place.folder / f"{place.stem}_annotations.ndjson").exists():
            return labelme.read_labels(place.folder, place.stem, place.size)
        seen: dict[Path, tuple[tuple[int, int], LabelledFrame | None]] = {}
        files = labelme.frame_files(place.folder, place.stem) if place.folder.is_dir() else {}
        for number, path in sorted(files.items()):
            try:
                status = path.stat()
                stamp = (status.st_mtime_ns, status.st_size)
                known = self._seen.get(path)
                seen[path] = known if known and known[0] == stamp else (stamp, self._read(path, number))
            except FileNotFoundError:
                continue
        self._seen = seen
        return [frame for _, frame in seen.values() if frame is not None]

    def _read(self, path: Path, number: int) -> LabelledFrame | None:
        content = read_object(path)
        return None if labelme.is_ours(content) else labelme.read_frame(path, number, content, self.place.size)

    def labels(self) -> Labels:
        """Return the labels, sorted out; none where no point is labelled yet."""
        try:
            return sort_out(self.labelled())
        except FormatError:
            return Labels({}, ())

    def overview(self) -> dict[str, Any]:
        """Return what exists: labelled frames, instances, keypoints, left/right pairs, results."""
        labelled, labels = self.labelled(), self.labels()
        groups: dict[str, int] = {}
        names: dict[str, None] = {}
        for body in (b for bodies in labels.frames.values() for b in bodies):
            groups[body.name] = body.group_id
            names |= dict.fromkeys(body.keypoints)
        for frame in labelled:
            for shape in frame.shapes:
                if not shape.is_point and frame.frame not in labels.frames:
                    groups.setdefault(shape.instance or shape.label, shape.group_id or 0)
        known = list(names)
        return {
            "folder": str(self.place.folder),
            "labelled": [frame.frame for frame in labelled],
            "instances": [{"name": name, "group": group} for name, group in groups.items()],
            "names": known,
            "pairs": [[known[a], known[b]] for a, b in symmetry_pairs(known)],
            "notices": list(labels.notices),
            "tracked": self.results.frames(),
            "review": self.results.review(self.place.review),
        }

    def frame(self, number: int) -> dict[str, Any]:
        """Return the points and outlines of a frame: a person's, and where there is none, the tracked ones."""
        items = self._human(number)
        held = {(i["kind"], i["instance"], i["name"]) for i in items}
        tracked = [row for row in self.results.rows(number) if ("point", row["instance"], row["name"]) not in held]
        outlines = labelme.read_outlines(self.path(number))
        for instance, polygons in outlines.items():
            if ("polygon", instance, "") not in held:
                tracked += [_item("polygon", instance, "", p.tolist()) | {"source": "tracked"} for p in polygons]
        return {"frame": number, "revision": self.revision(number), "items": [*items, *tracked]}

    def _human(self, number: int) -> list[dict[str, Any]]:
        frame = next((f for f in self.labelled() if f.frame == number), None)
        if frame is None:
            return []
        bodies = self.labels().frames.get(number, ())
        raws = self._raw_shapes(number)
        items = []
        for body in bodies:
            for name, place in zip(body.keypoints, body.xy):
                if np.isfinite(place).all():
                    items.append(_item("point", body.name, name, [place.tolist()]))
            items += [_item("polygon", body.name, "", polygon.tolist()) for polygon in body.polygons]
        if not bodies:
            items = [
                _item("polygon", shape.instance or shape.label, "", shape.points.tolist()) for shape in frame.shapes
            ]
        free = dict(enumerate(raws))
        for item in items:
            item["origin"] = next((i for i, raw in free.items() if _is_of(raw, item)), -1)
            free.pop(item["origin"], None)
        return items

    def _raw_shapes(self, number: int) -> list[Any]:
        path = self.path(number)
        content = read_object(path) if path.is_file() else {}
        shapes = content.get("shapes")
        return shapes if isinstance(shapes, list) and not labelme.is_ours(content) else []

    def path(self, number: int) -> Path:
        """Return the file of a frame."""
        return labelme.frame_path(self.place.folder, self.place.stem, number)

    def revision(self, number: int) -> str:
        """Return what changes when the file of a frame does."""
        try:
            return hashlib.sha256(self.path(number).read_bytes()).hexdigest()[:16]
        except FileNotFoundError:
            return ""

    # -- writing -----------------------------------------------------------------------------------------------

    def save(self, number: int, items: Sequence[Item], *, revision: str, picture: Image | Path) -> None:
        """Write what a person labelled in a frame, and its picture beside it where there is none.

        Shapes of other programs that the page does not show are kept as they are. A frame without any label is no
        longer a labelled one: its file goes to the trash.

        Args:
            number: Of the frame.
            items: All of its labels.
            revision: What `revision` was when the page read them.
            picture: The frame; or the file that it is, in a folder of images: nothing is added to those.

        Raises:
            ConflictError: The file changed since the page read it.
            InputError: A keypoint is there twice.
        """
        if revision != self.revision(number):
            raise ConflictError(
                f"frame {number} was changed elsewhere meanwhile", remedy="go to another frame and back, and try again"
            )
        refuse_doubles(items)
        place, path = self.place, self.path(number)
        raws = self._raw_shapes(number)
        shown = {item["origin"] for item in self._human(number)}
        kept = [raw for i, raw in enumerate(raws) if i not in shown]
        with files.writing(place.folder):
            place.folder.mkdir(parents=True, exist_ok=True)
        if not items and not kept:
            self._unlabel(path)
            return
        image = picture if isinstance(picture, Path) else path.with_suffix(".png")
        document = self._document(path, os.path.relpath(image, place.folder))
        groups = self._groups(items)
        document["shapes"] = [*(_written(item, raws, groups) for item in items), *kept]
        if not isinstance(picture, Path):
            _write_picture(image, picture)
        with files.replacing(path) as part:
            part.write_text(json.dumps(document, indent=1, allow_nan=False, ensure_ascii=False), encoding="utf-8")

    def _document(self, path: Path, image: str) -> dict[str, Any]:
        content = read_object(path) if path.is_file() else {}
        fresh: dict[str, Any] = {"version": labelme.VERSION, "flags": {}, "shapes": [], "imagePath": image}
        fresh |= {"imageData": None, "imageHeight": self.place.size[1], "imageWidth": self.place.size[0]}
        if not content or labelme.is_ours(content):
            return fresh
        if isinstance(content.get("otherData"), dict):
            content["otherData"].pop(labelme.OURS, None)
        return {**fresh, **content}

    def _groups(self, items: Sequence[Item]) -> dict[str, int]:
        groups = {body.name: body.group_id for bodies in self.labels().frames.values() for body in bodies}
        for item in items:
            groups.setdefault(item.instance, max(groups.values(), default=0) + 1)
        return groups

    def _unlabel(self, path: Path) -> None:
        if not path.is_file():
            return
        trash = path.parent / TRASH
        with files.writing(trash):
            trash.mkdir(exist_ok=True)
            taken = sum(1 for _ in trash.glob(f"{path.stem}*"))
            path.replace(trash / f"{path.stem}.{taken}.json")


def _item(kind: str, instance: str, name: str, points: list[list[float]]) -> dict[str, Any]:
    return {"kind": kind, "instance": instance, "name": name, "points": points, "source": "human", "origin": -1}


def _is_of(raw: object, item: Mapping[str, Any]) -> bool:
    """Tell whether a raw shape is what an item was read from: of its kind, at its places."""
    if not isinstance(raw, dict) or raw.get("shape_type", "polygon") != item["kind"]:
        return False
    try:
        points = np.array(raw.get("points"), np.float64).reshape(-1, 2)
    except (TypeError, ValueError):
        return False
    return points.shape == np.shape(item["points"]) and bool(np.allclose(points, item["points"], atol=1e-6))


def _written(item: Item, raws: Sequence[Any], groups: Mapping[str, int]) -> dict[str, Any]:
    raw = raws[item.origin] if 0 <= item.origin < len(raws) and isinstance(raws[item.origin], dict) else {}
    same_kind = raw.get("shape_type", "polygon") == item.kind
    shape: dict[str, Any] = copy.deepcopy(raw) if same_kind else {}
    for key in PREDICTED:
        shape.pop(key, None)
    label = item.name if item.kind == "point" else shape.get("label") or item.instance
    flags = shape.get("flags")
    return {
        **shape,
        "label": label,
        "points": item.points,
        "group_id": groups[item.instance],
        "shape_type": item.kind,
        "flags": {k: v for k, v in flags.items() if isinstance(v, bool)} if isinstance(flags, dict) else {},
        "description": shape.get("description") or "",
        "instance_label": item.instance,
    }


def _write_picture(path: Path, picture: Image) -> None:
    """Write a frame beside its labels, so that LabelMe can open them."""
    if path.exists():
        return
    import cv2

    ok, data = cv2.imencode(".png", picture)
    if ok:
        with files.replacing(path) as part:
            part.write_bytes(data.tobytes())
