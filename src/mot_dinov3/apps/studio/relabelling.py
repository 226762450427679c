"""New names of instances and keypoints in a range of frames, applied to labels and results. Pure, but for the files."""

from __future__ import annotations

import csv
import dataclasses
import itertools
import json
import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mot_dinov3.core import files
from mot_dinov3.core.json_text import dumps, read_object, whole_lines
from mot_dinov3.formats import labelme, labelme_edits
from mot_dinov3.formats.keypoints_csv import LONG_COLUMNS
from mot_dinov3.keypoints.job.files import KeypointPaths

INSTANCE, GROUP, KEYPOINT = (LONG_COLUMNS.index(name) for name in ("instance", "group_id", "keypoint"))


@dataclasses.dataclass(frozen=True)
class Relabelling:
    """Instances, or keypoints, that get each other's names, or a new one.

    Attributes:
        instances: Old → new name of instances.
        keypoints: Old → new name of keypoints.
        owner: The only instance whose `keypoints` are meant; empty for all of them.
        first: First frame.
        stop: Exclusive end, or None for the end of the video.
    """

    instances: Mapping[str, str] = dataclasses.field(default_factory=dict)
    keypoints: Mapping[str, str] = dataclasses.field(default_factory=dict)
    owner: str = ""
    first: int = 0
    stop: int | None = None

    @classmethod
    def swap_instances(cls, one: str, other: str, first: int, stop: int | None) -> Relabelling:
        """Exchange two instances."""
        return cls(instances={one: other, other: one}, first=first, stop=stop)

    @classmethod
    def swap_keypoints(cls, owner: str, names: tuple[str, str], first: int, stop: int | None) -> Relabelling:
        """Exchange two keypoints of an instance."""
        return cls(keypoints={names[0]: names[1], names[1]: names[0]}, owner=owner, first=first, stop=stop)

    @property
    def inverse(self) -> Relabelling:
        """What takes it back."""
        back = ({new: old for old, new in names.items()} for names in (self.instances, self.keypoints))
        return dataclasses.replace(self, instances=next(back), keypoints=next(back))

    @property
    def is_exchange(self) -> bool:
        """Whether names are exchanged, not replaced by new ones."""
        return all(names.keys() == set(names.values()) for names in (self.instances, self.keypoints))

    def covers(self, frame: int) -> bool:
        """Return whether a frame is in the range."""
        return self.first <= frame and (self.stop is None or frame < self.stop)

    def concerns(self, instance: str, keypoint: str) -> bool:
        """Return whether a point, or an outline with the keypoint "", gets another name."""
        return self.named(instance, keypoint) != (instance, keypoint)

    def named(self, instance: str, keypoint: str) -> tuple[str, str]:
        """Return the new names of a point."""
        name = self.keypoints.get(keypoint, keypoint) if self.owner in ("", instance) else keypoint
        return self.instances.get(instance, instance), name

    def mentioned(self, text: str) -> str:
        """Return points of the review list, ``keypoint`` or ``instance:keypoint`` with blanks between, renamed."""
        if self.instances:
            return re.sub(rf"(?<![^ ])({_any(self.instances)}):", lambda m: f"{self.instances[m[1]]}:", text)
        before = rf"(?<![^ ])((?:{re.escape(self.owner)}:)?)" if self.owner else r"(?<![^ :])()"
        return re.sub(rf"{before}({_any(self.keypoints)})(?![^ ])", lambda m: m[1] + self.keypoints[m[2]], text)


def _any(names: Iterable[str]) -> str:
    return "|".join(map(re.escape, sorted(names, key=len, reverse=True)))


def relabel_results(
    paths: KeypointPaths, relabelling: Relabelling, groups: Mapping[str, int], *, skip: Container[str] = ()
) -> None:
    """Rename in the table, the review list, the journal of uncertainties and the frame files that no person has edited.

    Args:
        paths: The video's files.
        relabelling: The new names.
        groups: Number of each instance: those that are exchanged keep their own.
        skip: Names of frame files that have the right names already.
    """
    if paths.table.is_file():
        with paths.table.open(encoding="utf-8", newline="") as file:
            reader = csv.reader(file)
            if tuple(next(reader, ())) == LONG_COLUMNS:
                _write_csv(paths.table, LONG_COLUMNS, relabelled_rows(reader, relabelling, groups))
    if paths.review.is_file():
        with paths.review.open(encoding="utf-8", newline="") as file:
            columns, *rows = csv.reader(file)
        _write_csv(paths.review, columns, (_review_row(columns, row, relabelling) for row in rows))
    if paths.uncertainties.is_file():
        with files.replacing(paths.uncertainties) as part, part.open("w", encoding="utf-8") as file:
            for _, record in whole_lines(paths.uncertainties):
                if relabelling.covers(record.get("frame", -1)):
                    record["keypoints"] = [relabelling.mentioned(name) for name in record.get("keypoints", ())]
                file.write(dumps(record) + "\n")
    for frame, path in labelme.frame_files(paths.folder, paths.stem).items():
        content = read_object(path) if relabelling.covers(frame) and path.name not in skip else {}
        if labelme_edits.is_generated(content):
            with files.replacing(path) as part:
                document = relabelled_document(content, frame, relabelling, groups)
                part.write_text(json.dumps(document, allow_nan=False), encoding="utf-8")


def _write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    with files.replacing(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def relabelled_rows(
    rows: Iterable[list[str]], relabelling: Relabelling, groups: Mapping[str, int]
) -> Iterator[list[str]]:
    """Yield the rows of a long table with the new names, those of a frame in the order of points that they had."""
    for frame, together in itertools.groupby(rows, key=lambda row: row[0]):
        before = list(together)
        if not frame.isdigit() or not relabelling.covers(int(frame)):
            yield from before
            continue
        place = {_names(row): i for i, row in enumerate(before)}
        after = [_row(row, relabelling, groups) for row in before]
        if set(map(_names, after)) == place.keys():
            after.sort(key=lambda row: place[_names(row)])
        yield from after


def _names(row: Sequence[str]) -> tuple[str, str]:
    return row[INSTANCE], row[KEYPOINT]


def _row(row: list[str], relabelling: Relabelling, groups: Mapping[str, int]) -> list[str]:
    instance, keypoint = relabelling.named(row[INSTANCE], row[KEYPOINT])
    changed = list(row)
    changed[INSTANCE], changed[KEYPOINT] = instance, keypoint
    if instance != row[INSTANCE]:
        changed[GROUP] = str(groups.get(instance, row[GROUP]))
    return changed


def _review_row(columns: Sequence[str], row: list[str], relabelling: Relabelling) -> list[str]:
    known = dict(zip(columns, row))
    if "keypoints" in known and relabelling.covers(int(known["frame"])):
        known["keypoints"] = relabelling.mentioned(known["keypoints"])
    return list(known.values())


def relabelled_document(
    content: Mapping[str, Any], frame: int, relabelling: Relabelling, groups: Mapping[str, int]
) -> dict[str, Any]:
    """Return the document of a tracked frame with the new names; it stays one that no person has edited."""
    shapes = []
    for shape in content["shapes"]:
        is_point = shape["shape_type"] == "point"
        old = shape["instance_label"]
        instance, keypoint = relabelling.named(old, shape["label"] if is_point else "")
        changed = {**shape, "instance_label": instance, "label": keypoint if is_point else instance}
        if "display_label" in shape:
            changed["display_label"] = changed["label"]
        if instance != old:
            changed["group_id"] = groups.get(instance, shape["group_id"])
        shapes.append(changed)
    return {**content, **labelme.marked_as_own(shapes, frame)}
