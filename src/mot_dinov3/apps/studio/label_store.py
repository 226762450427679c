"""Keypoint labels of a video and what was tracked, frame by frame, as the page displays and edits them."""

from __future__ import annotations

import contextlib
import copy
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mot_dinov3.apps.studio.label_history import LabelHistory
from mot_dinov3.apps.studio.requests import ConflictError
from mot_dinov3.apps.studio.result_tables import ResultTable
from mot_dinov3.apps.studio.shapes import LabelShape, check_unique
from mot_dinov3.core import files
from mot_dinov3.core.errors import FormatError
from mot_dinov3.core.json_text import read_object
from mot_dinov3.core.structures import Image, PointState
from mot_dinov3.formats import labelme, labelme_edits
from mot_dinov3.formats.labelme import LabelledFrame
from mot_dinov3.formats.labelme_shapes import ABSENT_FLAGS, HIDDEN_FLAGS, OWN_KEY, Shape, read_shape
from mot_dinov3.keypoints.job.files import KeypointPaths
from mot_dinov3.keypoints.labels import Labels, resolve_instances
from mot_dinov3.keypoints.skeleton import symmetry_pairs
from mot_dinov3.video.image_files import list_images, write_image

PREDICTED_KEYS = ("score", "state", "source", OWN_KEY)  # of tracked points; labels of a person lack them
VISIBILITY_KEYS = ("visible", "kp_visible", "visibility", "kp_visibility", *ABSENT_FLAGS, *HIDDEN_FLAGS)

Stamp = tuple[int, int]
"""Time of change and size of a file."""


class LabelStore:
    """The labels and results of one video. Calls that write come one at a time: the caller holds a lock.

    Args:
        paths: The video's keypoint files.
    """

    def __init__(self, paths: KeypointPaths) -> None:
        self.paths = paths
        self.results = ResultTable(paths.table)
        self.history = LabelHistory(paths.folder, paths.stem)
        self._read_files: dict[Path, tuple[Stamp, LabelledFrame | None]] = {}
        self._compared: dict[int, tuple[tuple[Stamp, Stamp], bool]] = {}  # frame → files, and whether the other counts

    def labelled(self) -> list[LabelledFrame]:
        """Return the frames that a person labelled; unchanged files are not read again."""
        paths = self.paths
        if (paths.folder / f"{paths.stem}_annotations.ndjson").exists():
            return labelme.read_labels(paths.folder, paths.stem, paths.size)
        seen: dict[Path, tuple[Stamp, LabelledFrame | None]] = {}
        for number, path in sorted(self._files().items()):
            try:
                stamp = _stamp(path)
                known = self._read_files.get(path)
                seen[path] = known if known and known[0] == stamp else (stamp, self._read(path, number))
            except FileNotFoundError:
                continue
        self._read_files = seen
        return [frame for _, frame in seen.values() if frame is not None]

    def _files(self) -> dict[int, Path]:
        """Return the file with each frame's labels; of two, unchanged ones are not compared again."""
        paths = self.paths
        beside = labelme.files_beside(dict(enumerate(list_images(paths.video)))) if paths.video.is_dir() else {}
        chosen = beside | (labelme.frame_files(paths.folder, paths.stem) if paths.folder.is_dir() else {})
        compared: dict[int, tuple[tuple[Stamp, Stamp], bool]] = {}
        for number, other in beside.items():
            own = chosen[number]
            if own == other:
                continue
            with contextlib.suppress(FileNotFoundError):
                stamps, known = (_stamp(own), _stamp(other)), self._compared.get(number)
                if known is None or known[0] != stamps:
                    known = stamps, labelme.is_overruled(read_object(own), number, other, read_object(other))
                compared[number] = known
                chosen[number] = other if known[1] else own
        self._compared = compared
        return chosen

    def _read(self, path: Path, number: int) -> LabelledFrame | None:
        content = read_object(path)
        is_predicted = labelme_edits.is_generated(content) or labelme.is_annolid_frame(content, path, number)
        return None if is_predicted else labelme.read_frame(path, number, content, self.paths.size)

    def labels(self) -> Labels:
        """Return the resolved labels; none where no point is labelled yet, or where they contradict each other."""
        labelled = self.labelled()
        try:
            return resolve_instances(labelled)
        except FormatError as error:
            has_points = any(shape.is_point for frame in labelled for shape in frame.shapes)
            return Labels({}, (f"{error.message}: {error.remedy}",) if has_points else ())

    def overview(self) -> dict[str, Any]:
        """Return labelled frames, instances, keypoints, left/right pairs and results."""
        labelled, labels = self.labelled(), self.labels()
        groups: dict[str, int] = {}
        names: dict[str, None] = {}
        for instance in (one for instances in labels.frames.values() for one in instances):
            groups[instance.name] = instance.group_id
            names |= dict.fromkeys(instance.keypoints)
        for frame in labelled:
            for shape in frame.shapes:
                if not shape.is_point and frame.frame not in labels.frames:
                    groups.setdefault(shape.instance or shape.label, shape.group_id or 0)
        known = list(names)
        return {
            "folder": str(self.paths.folder),
            "labelled": [frame.frame for frame in labelled],
            "instances": [{"name": name, "group": group} for name, group in groups.items()],
            "names": known,
            "pairs": [[known[a], known[b]] for a, b in symmetry_pairs(known)],
            "notices": list(labels.notices),
            "tracked": self.results.frames(),
            "review": self.results.review(self.paths.review),
            "undoable": last.title if (last := self.history.last()) else "",
        }

    def frame(self, number: int) -> dict[str, Any]:
        """Return the points and outlines of a frame: the labelled ones, and where there is none, the tracked ones."""
        items = self._labelled_items(number)
        held = {(i["kind"], i["instance"], i["name"]) for i in items}
        tracked = [row for row in self.results.rows(number) if ("point", row["instance"], row["name"]) not in held]
        outlines = labelme.read_outlines(self.path(number))
        for instance, polygons in outlines.items():
            if ("polygon", instance, "") not in held:
                tracked += [_item("polygon", instance, "", p.tolist()) | {"source": "tracked"} for p in polygons]
        return {"frame": number, "revision": self.revision(number), "items": [*items, *tracked]}

    def _labelled_items(self, number: int) -> list[dict[str, Any]]:
        frame = next((f for f in self.labelled() if f.frame == number), None)
        if frame is None:
            return []
        instances = self.labels().frames.get(number, ())
        items = []
        for instance in instances:
            for name, xy in zip(instance.keypoints, instance.xy):
                if name in instance.absent:
                    items.append(_item("point", instance.name, name, []) | {"state": "lost"})
                elif np.isfinite(xy).all():
                    state = "occluded" if name in instance.occluded else "visible"
                    items.append(_item("point", instance.name, name, [xy.tolist()]) | {"state": state})
            items += [_item("polygon", instance.name, "", polygon.tolist()) for polygon in instance.polygons]
        if not instances:
            outlines = [shape for shape in frame.shapes if not shape.is_point]
            items = [_item("polygon", shape.instance or shape.label, "", shape.points.tolist()) for shape in outlines]
        free = dict(enumerate(self._raw_shapes(number)))
        for item in items:
            item["origin"] = next((i for i, raw in free.items() if _is_same_shape(raw, item)), -1)
            free.pop(item["origin"], None)
        return items

    def _raw_shapes(self, number: int) -> list[Any]:
        path = self.path(number)
        content = read_object(path) if path.is_file() else {}
        shapes = content.get("shapes")
        return shapes if isinstance(shapes, list) and not labelme_edits.is_generated(content) else []

    def path(self, number: int) -> Path:
        """Return the file of a frame."""
        return labelme.frame_path(self.paths.folder, self.paths.stem, number)

    def revision(self, number: int) -> str:
        """Return a text that changes when the file of a frame does."""
        try:
            return files.file_hash(self.path(number))[:16]
        except FileNotFoundError:
            return ""

    def save(self, number: int, shapes: Sequence[LabelShape], *, revision: str, image: Image | Path) -> None:
        """Write the labels of a frame, and its image beside them where there is none.

        What the file contained is kept in the trash; so is the file of a frame without any label.

        Args:
            number: Of the frame.
            shapes: All of its labels.
            revision: `revision` at the time when the page read them.
            image: The frame; or its file, in a folder of images: nothing is written then.

        Raises:
            ConflictError: The file changed since the page read it.
            InputError: A keypoint occurs twice.
        """
        if revision != self.revision(number):
            raise ConflictError(
                f"frame {number} was changed elsewhere in the meantime",
                remedy="go to another frame and back, and try again",
            )
        check_unique(shapes)
        path, text = self.path(number), self.document(number, shapes, self.groups(shapes))
        if text is not None and not isinstance(image, Path):
            with files.writing(self.paths.folder):
                self.paths.folder.mkdir(parents=True, exist_ok=True)
            if not path.with_suffix(".png").exists():  # LabelMe opens it with the labels
                write_image(path.with_suffix(".png"), image)
        if text is not None or path.is_file():
            self.history.apply(f"labels of frame {number}", {path: text})

    def document(self, number: int, shapes: Sequence[LabelShape], groups: Mapping[str, int]) -> str | None:
        """Return the file of a frame with these labels, None for one without any.

        Shapes of other programs that the page does not display are kept as they are.

        Args:
            number: Of the frame.
            shapes: All of its labels.
            groups: Number of each instance.
        """
        raws = self._raw_shapes(number)
        shown = {item["origin"] for item in self._labelled_items(number)}
        held = {(shape.instance, shape.name) for shape in shapes if shape.kind == "point"}
        kept = [*self._unshown(number, [raw for i, raw in enumerate(raws) if i not in shown], held)]
        if not shapes and not kept:
            return None
        document = self._document(number)
        document["shapes"] = [*(_written(shape, raws, groups) for shape in shapes), *kept]
        return json.dumps(document, indent=1, allow_nan=False, ensure_ascii=False)

    def _unshown(self, number: int, raws: Sequence[Any], held: set[tuple[str, str]]) -> Iterator[Any]:
        """Yield shapes of the file that stay though the page does not display them.

        Untouched predictions are left out: the result has newer ones. So is another shape of a point that is among
        those `held` now.
        """
        frame = next((f for f in self.labelled() if f.frame == number), None)
        predicted = {(s.label, s.points.tobytes()) for s in frame.predicted} if frame is not None else set()
        for raw in raws:
            shape = read_shape(raw)
            if isinstance(shape, str):
                yield raw
                continue
            is_predicted = (shape.label, shape.points.tobytes()) in predicted
            if not is_predicted and (shape.instance, shape.label) not in held:
                yield raw

    def _document(self, number: int) -> dict[str, Any]:
        path, video = self.path(number), self.paths.video
        content = read_object(path) if path.is_file() else {}
        is_own = not content or labelme_edits.is_generated(content)
        image = list_images(video)[number] if is_own and video.is_dir() else path.with_suffix(".png")
        fresh: dict[str, Any] = {"version": labelme.VERSION, "flags": {}, "shapes": []}
        fresh |= {"imagePath": os.path.relpath(image, self.paths.folder), "imageData": None}
        fresh |= {"imageHeight": self.paths.size[1], "imageWidth": self.paths.size[0]}
        # What is not in the file is as predicted: the page writes absent points. No prediction is left to recognise.
        mark = {OWN_KEY: {labelme.CORRECTIONS: True}}
        if is_own:
            return {**fresh, "otherData": mark}
        other = content.get("otherData")
        return {**fresh, **content, "otherData": {**(other if isinstance(other, dict) else {}), **mark}}

    def groups(self, shapes: Sequence[LabelShape] = ()) -> dict[str, int]:
        """Return the number of every instance, those of `shapes` included."""
        groups = {one.name: one.group_id for instances in self.labels().frames.values() for one in instances}
        for shape in shapes:
            groups.setdefault(shape.instance, max(groups.values(), default=0) + 1)
        return groups


def _stamp(path: Path) -> Stamp:
    status = path.stat()
    return status.st_mtime_ns, status.st_size


def _item(kind: str, instance: str, name: str, points: list[list[float]]) -> dict[str, Any]:
    return {"kind": kind, "instance": instance, "name": name, "points": points, "source": "human", "origin": -1}


def _is_same_shape(raw: object, item: Mapping[str, Any]) -> bool:
    """Return whether an item was read from a raw shape: of the same kind and points, or name where it is absent."""
    if not isinstance(raw, dict) or raw.get("shape_type", "polygon") != item["kind"]:
        return False
    if not item["points"]:
        shape = read_shape(raw)
        if not isinstance(shape, Shape) or shape.state != PointState.LOST:
            return False
        return shape.label == item["name"] and shape.instance in ("", item["instance"])
    try:
        points = np.array(raw.get("points"), np.float64).reshape(-1, 2)
    except (TypeError, ValueError):
        return False
    return points.shape == np.shape(item["points"]) and bool(np.allclose(points, item["points"], atol=1e-6))


def _written(label: LabelShape, raws: Sequence[Any], groups: Mapping[str, int]) -> dict[str, Any]:
    raw = raws[label.origin] if 0 <= label.origin < len(raws) and isinstance(raws[label.origin], dict) else {}
    same_kind = raw.get("shape_type", "polygon") == label.kind
    shape: dict[str, Any] = copy.deepcopy(raw) if same_kind else {}
    for key in (*PREDICTED_KEYS, *(VISIBILITY_KEYS if label.kind == "point" else ())):
        shape.pop(key, None)
    drawn = shape.get("label") or label.instance  # an outline's may be a class that several instances share
    name = label.name if label.kind == "point" else label.instance if drawn in groups else drawn
    return {
        **shape,
        "label": name,
        "points": label.points or shape.get("points") or [[0.0, 0.0]],
        "group_id": groups[label.instance],
        "shape_type": label.kind,
        "flags": _flags(shape.get("flags"), label),
        "description": shape.get("description") or "",
        "instance_label": label.instance,
    }


def _flags(raw: object, label: LabelShape) -> dict[str, bool]:
    """Return a shape's flags: those that it has, and in the documented form whether a point is hidden or absent."""
    flags = {k: v for k, v in raw.items() if isinstance(v, bool)} if isinstance(raw, dict) else {}
    if label.kind != "point":
        return flags
    boxes = (*ABSENT_FLAGS, *HIDDEN_FLAGS)
    flags = {k: v and k not in boxes for k, v in flags.items() if k in boxes or k not in VISIBILITY_KEYS}
    said = {PointState.OCCLUDED: {"occluded": True}, PointState.LOST: {"absent": True}}
    return flags | said.get(label.state, {})
