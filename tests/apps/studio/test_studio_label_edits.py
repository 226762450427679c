"""Swaps and renames in many label files at once, and taking them back."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mot_dinov3.apps.studio import label_history
from mot_dinov3.apps.studio.label_edits import LabelEditor
from mot_dinov3.apps.studio.label_store import LabelStore
from mot_dinov3.apps.studio.relabelling import Relabelling
from mot_dinov3.apps.studio.requests import ConflictError
from mot_dinov3.apps.studio.shapes import LabelShape
from mot_dinov3.core.errors import InputError
from mot_dinov3.formats import labelme_edits
from mot_dinov3.keypoints.config import KeypointConfig
from mot_dinov3.keypoints.job.config import BackendConfig, KeypointJobConfig, KeypointsOptions
from mot_dinov3.keypoints.job.wiring import build_keypoints
from mot_dinov3.models.devices import DeviceChoice


def track(clip: Any) -> list[str]:
    """Run the command `keypoints` on a clip; return its summary."""
    job = KeypointJobConfig(source=str(clip.video))
    run = build_keypoints(
        KeypointsOptions(job, BackendConfig(backend="gradient"), DeviceChoice(device="cpu"), KeypointConfig())
    )
    run.run()
    return run.summary()


def table(clip: Any) -> dict[int, dict[tuple[str, str], tuple[str, ...]]]:
    """The rows of the result by frame, instance and keypoint: group, position and source."""
    found: dict[int, dict[tuple[str, str], tuple[str, ...]]] = {}
    with clip.store.paths.table.open() as file:
        for row in csv.DictReader(file):
            key = row["instance"], row["keypoint"]
            found.setdefault(int(row["frame"]), {})[key] = tuple(row[k] for k in ("group_id", "x", "y", "source"))
    return found


def content(folder: Path) -> dict[str, bytes]:
    """All files that another program or a run reads; the trash and the journal of edits are the page's own."""
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file() and ".edits." not in p.name}


def test_two_animals_swap_up_to_the_next_labelled_frame_and_back(clip: Any) -> None:
    track(clip)
    store, before, rows = clip.store, content(clip.store.paths.folder), table(clip)
    editor = LabelEditor(store)
    swap = Relabelling.swap_instances("ant", "bee", 5, editor.stop(5))
    assert editor.swap(5, swap, revision=store.revision(5)) == "swap of 'ant' and 'bee' from frame 5 to 7"
    after = table(clip)
    other = {"ant": "bee", "bee": "ant"}
    for n in range(clip.frames):
        swapped = {(other[i], k): (after[n][other[i], k][0], *row[1:]) for (i, k), row in rows[n].items()}
        assert after[n] == (swapped if 5 <= n < 8 else rows[n])
        assert {(i, row[0]) for (i, _), row in after[n].items()} == {("ant", "1"), ("bee", "2")}
    labelled = {f.frame for f in store.labelled()}
    assert labelled == {0, 5, 8}
    moved = [float(v) for v in rows[5]["bee", "head"][1:3]]
    assert clip.shapes(5)["ant", "head"]["points"][0] == pytest.approx(moved, abs=0.01)
    assert clip.file(8).read_bytes() == before[clip.file(8).name]
    six = json.loads(clip.file(6).read_text())
    assert labelme_edits.is_generated(six), "what no person touched stays a prediction"
    # the next run takes the labels, and tracks only what they touch
    assert "of which 4 reused" in track(clip)[0]
    editor.undo()
    assert {f.frame for f in store.labelled()} == {0, 8}
    track(clip)
    assert table(clip) == rows


def test_undo_restores_every_byte(clip: Any) -> None:
    track(clip)
    before = content(clip.store.paths.folder)
    editor = LabelEditor(clip.store)
    swap = Relabelling.swap_instances("ant", "bee", 3, None)
    editor.swap(3, swap, revision=clip.store.revision(3))
    assert clip.shapes(8)["ant", "head"]["points"] == [[float(v) for v in clip.place("bee", "head", 8)]]
    editor.rename("instance", "ant", "Camponotus")
    editor.rename("keypoint", "head", "x" * 100)
    assert content(clip.store.paths.folder) != before
    for _ in range(3):
        editor.undo()
    assert content(clip.store.paths.folder) == before
    assert clip.store.history.last().title == "labels of frame 8"
    assert "of which 12 reused" in track(clip)[0]


def test_two_points_of_one_animal_swap(clip: Any) -> None:
    track(clip)
    rows, editor = table(clip), LabelEditor(clip.store)
    editor.swap(9, Relabelling.swap_keypoints("ant", ("head", "tail"), 9, None), revision=clip.store.revision(9))
    after = table(clip)
    for n in range(clip.frames):
        assert after[n]["bee", "head"] == rows[n]["bee", "head"]
        assert after[n]["ant", "head"] == rows[n]["ant", "tail" if n >= 9 else "head"]
    assert set(clip.shapes(9)) == {("ant", "head"), ("ant", "tail")}, "the other animal stays a prediction"


def test_a_name_is_changed_everywhere_and_never_to_one_that_is_taken(clip: Any) -> None:
    track(clip)
    editor, paths = LabelEditor(clip.store), clip.store.paths
    for kind, old, new, why in (
        ("instance", "ant", "bee", "another instance 'bee'"),
        ("keypoint", "head", "tail", "another keypoint 'tail'"),
        ("keypoint", "wing", "arm", "no keypoint 'wing'"),
        ("keypoint", "head", "a/b", "slash"),
        ("keypoint", "head", " ", "needs a name"),
    ):
        with pytest.raises(InputError, match=why):
            editor.rename(kind, old, new)
    long = "mandibles and antennae of the one without a mark"
    editor.rename("keypoint", "head", long)
    editor.rename("instance", "ant", "ant two")
    texts = {name: text for name, text in content(paths.folder).items() if name.endswith((".json", ".csv", ".jsonl"))}
    for name, text in texts.items():
        assert b"head" not in text, name
        assert b'"ant"' not in text, name
        assert b",ant," not in text, name
    assert set(table(clip)[4]) == {(i, k) for i in ("ant two", "bee") for k in (long, "tail")}
    assert {i.name for i in clip.store.labels().frames[0]} == {"ant two", "bee"}
    assert [one.group_id for one in clip.store.labels().frames[0]] == [1, 2]
    assert labelme_edits.is_generated(json.loads(clip.file(4).read_text()))
    before = table(clip)
    assert f"of which {clip.frames} reused" in track(clip)[0], "nothing is tracked again for a name"
    assert table(clip) == before


def test_a_run_after_a_new_name_gives_what_one_from_scratch_does(clip: Any) -> None:
    shown = clip.store.frame(4)
    corrected = LabelShape("point", "ant", "head", [[41.0, 43.0]], -1)  # its other points are tracked through frame 4
    clip.store.save(4, [corrected], revision=shown["revision"], image=np.zeros((128, 192, 3), np.uint8))
    track(clip)
    LabelEditor(clip.store).rename("keypoint", "tail", "end")
    LabelEditor(clip.store).rename("instance", "bee", "wasp")
    track(clip)
    after = table(clip)
    for path in (clip.store.paths.state, clip.store.paths.table):
        path.unlink()
    assert "of which 0 reused" in track(clip)[0]
    assert table(clip) == after


def test_names_changed_in_another_program_are_those_of_the_next_result(clip: Any) -> None:
    track(clip)
    for n in (0, 8):
        clip.file(n).write_text(clip.file(n).read_text().replace('"tail"', '"end"'))
    assert "of which 0 reused" in track(clip)[0]
    assert set(table(clip)[4]) == {(i, k) for i in ("ant", "bee") for k in ("head", "end")}


def test_a_swap_is_refused_where_nothing_is_to_be_seen(clip: Any) -> None:
    swap = Relabelling.swap_instances("ant", "bee", 4, None)
    with pytest.raises(InputError, match="neither 'ant' nor 'bee' is visible in frame 4"):
        LabelEditor(clip.store).swap(4, swap, revision="")
    with pytest.raises(ConflictError, match="changed elsewhere"):
        LabelEditor(clip.store).swap(0, Relabelling.swap_instances("ant", "bee", 0, None), revision="other")


def test_an_edit_that_cannot_be_written_changes_nothing(clip: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    before = content(clip.store.paths.folder)
    put, calls = label_history._put, []

    def full(path: Path, text: bytes | None) -> None:
        calls.append(path)
        if len(calls) == 2:
            raise InputError("the disk is full")
        put(path, text)

    monkeypatch.setattr(label_history, "_put", full)
    with pytest.raises(InputError, match="full"):
        LabelEditor(clip.store).rename("keypoint", "head", "jaw")
    assert content(clip.store.paths.folder) == before
    assert clip.store.history.last().title == "labels of frame 8"


def test_a_file_that_was_changed_since_is_not_undone(clip: Any) -> None:
    editor = LabelEditor(clip.store)
    editor.rename("keypoint", "head", "jaw")
    clip.file(8).write_text(clip.file(8).read_text().replace("jaw", "mouth"))
    with pytest.raises(ConflictError, match=r"clip_000000008\.json' was changed since"):
        editor.undo()
    assert ("ant", "jaw") in clip.shapes(0), "no file is restored alone"


def test_saved_labels_are_undone_too(clip: Any) -> None:
    editor = LabelEditor(clip.store)
    assert clip.store.overview()["undoable"] == "labels of frame 8"
    editor.undo()
    assert not clip.file(8).exists()
    editor.undo()
    with pytest.raises(InputError, match="nothing to undo"):
        editor.undo()
    clip.label(0)
    assert [f.frame for f in LabelStore(clip.store.paths).labelled()] == [0]
