"""Edits of a video's keypoint labels that concern many frames: names exchanged from a frame on, and new names."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mot_dinov3.apps.studio.label_store import LabelStore
from mot_dinov3.apps.studio.relabelling import Relabelling, relabel_results
from mot_dinov3.apps.studio.requests import ConflictError
from mot_dinov3.apps.studio.shapes import STATES, LabelShape, label_name
from mot_dinov3.core import files
from mot_dinov3.core.errors import InputError
from mot_dinov3.core.json_text import read_object
from mot_dinov3.core.output_lock import OutputLocks
from mot_dinov3.core.structures import PointState
from mot_dinov3.keypoints.job.files import GapRecord

NAMED = ("instance", "keypoint")


class LabelEditor:
    """Swaps and renames in a video's labels and results; each is one step that can be undone.

    Label files that the command reads are written together or not at all, and their originals are kept. The results
    follow at once; what the labels then contradict is computed again by the next run.

    Args:
        store: The labels.
    """

    def __init__(self, store: LabelStore) -> None:
        self.store = store

    def stop(self, number: int) -> int | None:
        """Return the next labelled frame after one, or None."""
        return next((n for n in self._labelled() if n > number), None)

    def swap(self, number: int, relabelling: Relabelling, *, revision: str) -> str:
        """Exchange instances or keypoints in a range of frames, and label what is visible of them in its first one.

        Args:
            number: The first frame.
            relabelling: The exchange.
            revision: Of the first frame's file, when the page read it.

        Returns:
            Its title.

        Raises:
            ConflictError: The file changed since the page read it.
            InputError: Neither of the two is in the frame.
        """
        if revision != self.store.revision(number):
            raise ConflictError(
                f"frame {number} was changed elsewhere in the meantime",
                remedy="go to another frame and back, and try again",
            )
        one, other = relabelling.instances or relabelling.keypoints
        of = f" of '{relabelling.owner}'" if relabelling.owner else ""
        shown = [item for item in self.store.frame(number)["items"] if _is_certain(item, relabelling)]
        if not any(_is_concerned(item, relabelling) and item["points"] for item in shown):
            raise InputError(
                f"neither '{one}' nor '{other}'{of} is visible in frame {number}",
                remedy="go to a frame where one of them is",
            )
        items = {n: self._human(n) for n in self._labelled() if relabelling.covers(n)} | {number: shown}
        until = "on" if relabelling.stop is None else f"to {relabelling.stop - 1}"
        title = f"swap of '{one}' and '{other}'{of} from frame {number} {until}"
        self._apply(title, items, relabelling, self.store.groups())
        return title

    def rename(self, kind: str, old: str, new: str) -> tuple[str, Relabelling]:
        """Give an instance, or a keypoint of all instances, another name in all labels and results.

        Args:
            kind: One of `NAMED`.
            old: The present name.
            new: Another one, which none of the kind has.

        Returns:
            A title, and the new names.

        Raises:
            InputError: There is none of that name, or the new one is taken or no name.
            OutputError: A run writes the results; so for the others.
        """
        new = label_name(new, f"the {kind}")
        known = self._names(kind)
        if old not in known:
            raise InputError(f"there is no {kind} '{old}' in the saved labels", remedy="save the labels first")
        if new in known:
            raise InputError(f"there is another {kind} '{new}'", remedy="choose a name that is not used")
        relabelling = Relabelling({old: new}) if kind == "instance" else Relabelling(keypoints={old: new})
        groups = self.store.groups()
        if kind == "instance":
            groups[new] = groups[old]
        title = f"{kind} '{old}' renamed to '{new}'"
        self._apply(title, {n: self._human(n) for n in self._labelled()}, relabelling, groups)
        return title, relabelling

    def undo(self) -> tuple[str, Relabelling]:
        """Take the last edit back; return its title, and the names that changed.

        Raises:
            InputError: There is none.
            ConflictError: A label file was changed since.
        """
        history, state = self.store.history, self.store.paths.state
        edit = history.last()
        if edit is None:
            raise InputError("there is nothing to undo")
        inverse = Relabelling(**edit.details["names"]).inverse if edit.details else Relabelling()
        with OutputLocks([self.store.paths.table]):
            is_exact = history.undo(edit, optional=frozenset((state.name,)))
            if edit.details:
                restored = [one.name for one in edit.files]
                relabel_results(self.store.paths, inverse, self.store.groups(), skip=restored)
            if edit.details and not is_exact:  # a run came between: its results are those of other labels
                self._forget_gaps(inverse)
        return edit.title, inverse

    def _apply(
        self, title: str, items: Mapping[int, list[dict[str, Any]]], relabelling: Relabelling, groups: Mapping[str, int]
    ) -> None:
        contents: dict[Path, str | None] = {}
        for number, shown in items.items():
            if any(_is_concerned(item, relabelling) for item in shown):
                shapes = [_relabelled(item, relabelling) for item in shown]
                contents[self.store.path(number)] = self.store.document(number, shapes, groups)
        state = self._state_without(relabelling)
        if state is not None:
            contents[self.store.paths.state] = state
        with OutputLocks([self.store.paths.table]):
            self.store.history.apply(title, contents, {"names": dataclasses.asdict(relabelling)})
            relabel_results(self.store.paths, relabelling, groups)

    def _state_without(self, relabelling: Relabelling) -> str | None:
        """Return the finished gaps without those that are to be computed again; None where that changes nothing.

        Those are the gaps of which rows are exchanged; with new names, those whose notices mention names.
        """
        path = self.store.paths.state
        done = read_object(path).get("done") if path.is_file() else None
        if not done:
            return None
        gaps = {signature: GapRecord.parse(record) for signature, record in done.items()}
        kept = {signature: done[signature] for signature, gap in gaps.items() if gap and _stays(gap, relabelling)}
        return json.dumps({"done": kept}, indent=1) if len(kept) < len(done) else None

    def _forget_gaps(self, relabelling: Relabelling) -> None:
        text = self._state_without(relabelling)
        if text is not None:
            with files.replacing(self.store.paths.state) as part:
                part.write_text(text, encoding="utf-8")

    def _labelled(self) -> list[int]:
        return [frame.frame for frame in self.store.labelled()]

    def _human(self, number: int) -> list[dict[str, Any]]:
        return [item for item in self.store.frame(number)["items"] if item["source"] == "human"]

    def _names(self, kind: str) -> set[str]:
        overview = self.store.overview()
        if kind == "keypoint":
            return {*overview["names"]}
        return {one["name"] for one in overview["instances"]}


def _stays(gap: GapRecord, relabelling: Relabelling) -> bool:
    """Return whether the result of a gap is right with the new names."""
    if not relabelling.is_exchange:
        return not gap.doubts
    return gap.last < relabelling.first or (relabelling.stop is not None and gap.first >= relabelling.stop)


def _is_concerned(item: Mapping[str, Any], relabelling: Relabelling) -> bool:
    return relabelling.concerns(item["instance"], item["name"])


def _is_certain(item: Mapping[str, Any], relabelling: Relabelling) -> bool:
    """Return whether an item is to be a label: one of a person, or a visible point that is exchanged."""
    if item["source"] == "human":
        return True
    is_visible = item["kind"] == "point" and bool(item["points"]) and item["state"] == "visible"
    return is_visible and _is_concerned(item, relabelling)


def _relabelled(item: Mapping[str, Any], relabelling: Relabelling) -> LabelShape:
    instance, name = relabelling.named(item["instance"], item["name"])
    state = STATES[item["state"]] if "state" in item else PointState.VISIBLE
    return LabelShape(item["kind"], instance, name, item["points"], item["origin"], state)
