"""Edits of a track table, their journal, the places to review, and the files that are written."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mot_dinov3.apps.track_editing import (
    ChangeClass,
    DeleteBoxes,
    Edit,
    FillGaps,
    MergeTracks,
    RenameTrack,
    SplitTrack,
    SwapTracks,
    TrackedBoxes,
    TrackEditor,
    find_places,
    next_crossing,
)
from mot_dinov3.apps.track_editing.crossings import find_crossings
from mot_dinov3.apps.track_editing.edits import EDITS, frame_words, parse_edit
from mot_dinov3.apps.track_editing.report_moments import read_moments, with_moments
from mot_dinov3.apps.track_editing.tracked_boxes import ADDED, recorded_of, summarise, table_of
from mot_dinov3.cli import main
from mot_dinov3.core.errors import FormatError, InputError, OutputError, UnknownNameError, UsageError
from mot_dinov3.core.structures import Detections, VideoInfo
from mot_dinov3.formats import format_registry
from mot_dinov3.formats.recorded_detections import RecordedDetections
from scenes import Scene

INFO = VideoInfo("in.mp4", 640, 480, 10.0, 100)
Place = tuple[int, float, float]  # track, left, top


def recorded(frames: dict[int, list[Place]], **columns: Callable[[int, int], Any]) -> RecordedDetections:
    """Boxes of 20×40 pixels; a further column's value is made from frame and track."""
    found = {}
    for frame, places in frames.items():
        xyxy = [[left, top, left + 20, top + 40] for _, left, top in places]
        more = {name: [make(frame, track) for track, _, _ in places] for name, make in columns.items()}
        track_id = [track for track, _, _ in places]
        found[frame] = Detections(np.array(xyxy, np.float32).reshape(-1, 4), track_id=track_id, **more)
    return RecordedDetections("tracks.json", found, INFO, fps_known=True, names={0: "person"})


def walk(track: int, first: int, stop: int, *, left: float = 0, top: float = 0, speed: float = 4) -> dict[int, Place]:
    """A track that moves to the right."""
    return {frame: (track, left + speed * (frame - first), top) for frame in range(first, stop)}


def together(*tracks: dict[int, Place]) -> dict[int, list[Place]]:
    frames: dict[int, list[Place]] = {}
    for one in tracks:
        for frame, place in one.items():
            frames.setdefault(frame, []).append(place)
    return frames


def frames_of(table: TrackedBoxes, track: int) -> list[int]:
    return table.frame[table.track_id == track].tolist()


CROSSING = together(walk(1, 0, 40), walk(2, 0, 40, left=100, top=10, speed=-1))


@pytest.fixture
def crossing() -> TrackedBoxes:
    """Tracks 1 and 2 pass each other once, around frame 20."""
    return table_of(recorded(CROSSING))


# -- edits -------------------------------------------------------------------------------------------------------------


def test_a_swap_exchanges_two_tracks_from_a_frame_on_or_up_to_one(crossing: TrackedBoxes) -> None:
    swapped = SwapTracks(1, 2, 20, 30).apply(crossing)
    expected = crossing.track_id.copy()
    inside = (crossing.frame >= 20) & (crossing.frame < 30)
    expected[inside] = 3 - expected[inside]
    assert swapped.track_id.tolist() == expected.tolist()
    assert SwapTracks(2, 1, 20, 30).apply(swapped).track_id.tolist() == crossing.track_id.tolist()
    to_end = SwapTracks(1, 2, 20).apply(crossing)
    assert (to_end.track_id[crossing.frame >= 20] == 3 - crossing.track_id[crossing.frame >= 20]).all()
    with pytest.raises(InputError, match="from frame 40 on"):
        SwapTracks(1, 2, 40).apply(crossing)
    with pytest.raises(InputError, match="both are track 1"):
        SwapTracks(1, 1, 3).apply(crossing)


def test_names_stay_with_their_track_when_two_are_swapped(crossing: TrackedBoxes) -> None:
    named = RenameTrack(2, "Bob").apply(RenameTrack(1, "Ann").apply(crossing))
    swapped = SwapTracks(1, 2, 20).apply(named)
    names = {(int(t), n) for t, n in zip(swapped.track_id, swapped.name)}
    assert names == {(1, "Ann"), (2, "Bob")}


def test_a_split_gives_the_later_part_an_id_that_no_track_had(crossing: TrackedBoxes) -> None:
    once = SplitTrack(1, 25).apply(crossing)
    assert (frames_of(once, 1), frames_of(once, 3)) == (list(range(25)), list(range(25, 40)))
    gone = DeleteBoxes(3).apply(once)
    assert frames_of(SplitTrack(1, 10).apply(gone), 4) == list(range(10, 25))
    for frame in (0, 40):
        with pytest.raises(InputError, match=f"on both sides of frame {frame}"):
            SplitTrack(1, frame).apply(crossing)


def test_a_merge_is_refused_where_both_are_in_a_frame_and_the_frames_are_named() -> None:
    table = table_of(recorded(together(walk(1, 0, 10), walk(2, 6, 9, top=90), walk(3, 12, 20))))
    with pytest.raises(InputError, match="tracks 1 and 2 both have a box in frames 6 to 8"):
        MergeTracks(1, 2).apply(table)
    merged = MergeTracks(1, 3).apply(RenameTrack(3, "Ann").apply(table))
    assert frames_of(merged, 1) == [*range(10), *range(12, 20)]
    assert set(merged.name[merged.track_id == 1]) == {"Ann"}
    assert MergeTracks(3, 1).apply(RenameTrack(1, "x").apply(RenameTrack(3, "y").apply(table))).name_of(
        np.arange(5)
    ) in ("y", None)
    with pytest.raises(InputError, match="there is no track 9"):
        MergeTracks(1, 9).apply(table)


def test_where_one_of_two_merged_boxes_is_predicted_the_detected_one_is_kept() -> None:
    frames = together(walk(1, 0, 10), walk(2, 7, 15, left=28))
    table = table_of(recorded(frames, coasted=lambda frame, track: track == 1 and frame >= 7))
    merged = MergeTracks(1, 2).apply(table)
    assert frames_of(merged, 1) == list(range(15))
    assert not merged.coasted.any()
    both = table.replace(coasted=table.coasted | (table.frame == 7))  # of two predicted boxes the first track's
    kept = MergeTracks(1, 2).apply(both)
    assert kept.source[kept.frame == 7].tolist() == both.source[(both.frame == 7) & (both.track_id == 1)].tolist()


def test_a_link_fills_the_gap_between_its_two_parts_and_no_other() -> None:
    first = {frame: place for frame, place in walk(1, 0, 10).items() if frame != 4}
    table = table_of(recorded(together(first, walk(2, 14, 20, left=56)), coasted=lambda f, t: f == 9))
    linked = MergeTracks(1, 2, fill=True).apply(table)
    assert frames_of(linked, 1) == [n for n in range(20) if n != 4]
    rows = linked.rows_of(1)
    assert linked.xyxy[rows, 0].tolist() == pytest.approx([4 * n for n in range(20) if n != 4])
    added = rows[linked.source[rows] == ADDED]
    assert linked.frame[added].tolist() == [9, 10, 11, 12, 13]  # the predicted box of frame 9 gave way
    assert linked.coasted[added].all()
    filled = FillGaps(1).apply(linked)
    assert frames_of(filled, 1) == list(range(20))
    with pytest.raises(InputError, match="has no gap"):
        FillGaps(1).apply(filled)


def test_boxes_tracks_names_and_classes_are_changed(crossing: TrackedBoxes) -> None:
    assert frames_of(DeleteBoxes(1, 10, 15).apply(crossing), 1) == [*range(10), *range(15, 40)]
    assert frames_of(DeleteBoxes(1).apply(crossing), 1) == []
    named = RenameTrack(1, "Ann").apply(crossing)
    assert named.name_of(named.rows_of(1)) == "Ann"
    assert RenameTrack(1, "").apply(named).name_of(named.rows_of(1)) is None
    changed = ChangeClass(2, 7, "dog").apply(crossing)
    assert set(changed.class_id[changed.track_id == 2]) == {7}
    assert changed.class_names == {0: "person", 7: "dog"}
    for edit in (RenameTrack(1, "a\nb"), RenameTrack(1, "x" * 101), ChangeClass(1, -1), DeleteBoxes(1, 50)):
        with pytest.raises(InputError):
            edit.apply(crossing)


def test_the_next_crossing_is_not_the_one_that_is_going_on() -> None:
    there = [0, 60, 40, 10, 0, 10, 40, 60, 30, 4, 30, 60]  # distance of track 2
    frames = {n: [(1, 100.0, 50.0), (2, 100.0 + gap, 50.0)] for n, gap in enumerate(there)}
    table = table_of(recorded(frames))
    assert next_crossing(table, 1, 2, 1) == 4
    assert [next_crossing(table, 2, 1, n) for n in (3, 4, 5, 6)] == [9, 9, 9, 9]
    assert next_crossing(table, 1, 2, 0) == 4
    with pytest.raises(InputError, match="do not cross after frame 9"):
        next_crossing(table, 1, 2, 9)
    assert [(c.tracks, c.first, c.last, c.peak) for c in find_crossings(table, least=0.1, fps=1.0)] == [
        ((1, 2), 0, 0, 0),
        ((1, 2), 3, 5, 4),
        ((1, 2), 9, 9, 9),
    ]


def test_edits_are_read_strictly() -> None:
    made: list[Edit] = [
        MergeTracks(1, 2, fill=True), SplitTrack(1, 5), SwapTracks(1, 2, 3), DeleteBoxes(4), RenameTrack(1, "Ann"),
        ChangeClass(1, 2, "dog"), FillGaps(3),
    ]  # fmt: skip
    assert {one.kind for one in made} == set(EDITS)
    assert [parse_edit(json.loads(json.dumps(one.to_json()))) for one in made] == made
    with pytest.raises(UnknownNameError):
        parse_edit({"kind": "explode"})
    with pytest.raises(InputError, match="must be an object"):
        parse_edit([])  # type: ignore[arg-type]
    for wrong in (
        {"kind": "split", "track": 1},
        {"kind": "split", "track": 1, "frame": 2.5},
        {"kind": "split", "track": True, "frame": 2},
        {"kind": "split", "track": -1, "frame": 2},
        {"kind": "split", "track": 1, "frame": None},
        {"kind": "delete", "track": 1, "stop": "2"},
        {"kind": "merge", "track": 1, "other": 2, "fill": 1},
        {"kind": "delete", "track": 1, "path": "/etc"},
    ):
        with pytest.raises(InputError):
            parse_edit(wrong)


def test_frames_in_words() -> None:
    assert frame_words([3]) == "frame 3"
    assert frame_words([3, 4, 5, 9]) == "frames 3 to 5, 9"
    assert frame_words(range(0, 20, 2)) == "frames 0, 2, 4, 6 and 6 more stretches"


# -- tables and files --------------------------------------------------------------------------------------------------


def test_a_table_without_edits_gives_the_same_detections_back() -> None:
    frames = {0: [(1, 0.0, 0.0), (-1, 50.0, 0.0)], 1: [], 3: [(2, 9.0, 0.0), (1, 4.0, 0.0)]}
    source = recorded(frames, class_id=lambda f, t: 0)
    back = recorded_of(table_of(source), source)
    assert list(back.frames) == [0, 1, 3]
    for number, rows in source.frames.items():
        assert back.frames[number].track_id.tolist() == rows.track_id.tolist()
        assert back.frames[number].xyxy.tolist() == rows.xyxy.tolist()
    edited = recorded_of(DeleteBoxes(1).apply(table_of(source)), source)
    assert [rows.track_id.tolist() for rows in edited.frames.values()] == [[-1], [], [2]]  # boxes of no track stay


def test_tracks_are_summarised_by_stretch() -> None:
    first = {frame: place for frame, place in walk(5, 2, 12).items() if frame not in (6, 7)}
    table = table_of(recorded(together(first, walk(3, 4, 6)), coasted=lambda f, t: t == 5 and f == 11))
    found = list(summarise(FillGaps(5).apply(table)))
    assert [(one.track, one.count, one.first, one.last) for one in found] == [(5, 10, 2, 11), (3, 2, 4, 5)]
    assert found[0].stretches == ((2, 5, 0), (6, 7, 2), (8, 10, 0), (11, 11, 1))
    assert list(summarise(table.keep(np.zeros(len(table), np.bool_)))) == []


def write_json(path: Path, source: RecordedDetections) -> Path:
    format_registry.FORMATS["track-v1"].write(path, source, "2026-01-01T00:00:00Z")
    return path


@pytest.fixture
def tracked(tmp_path: Path) -> Path:
    """A track-v1 file with a tracker of its own and a key that only its records have."""
    path = write_json(tmp_path / "tracked.json", recorded(CROSSING, class_id=lambda f, t: 0, score=lambda f, t: 0.5))
    document = json.loads(path.read_text())
    document["tracker"] = {"name": "appearance"}
    document["frames"][0]["detections"][0]["colour"] = "red"
    path.write_text(json.dumps(document))
    return path


def test_corrected_tracks_are_written_in_three_formats_and_the_original_stays(tracked: Path) -> None:
    before = tracked.read_bytes()
    editor = TrackEditor(tracked)
    for edit in (
        SwapTracks(1, 2, 20),
        ChangeClass(1, 3, "dog"),
        DeleteBoxes(2, 5, 8),
        FillGaps(2),
        RenameTrack(2, "B"),
    ):
        editor.do(edit)
    written = [editor.target(suffix) for suffix in (".json", ".txt", ".csv")]
    assert written[0].name == "tracked.corrected.json"
    lost = [editor.save(path) for path in written]
    assert (lost[0], "known identities" in lost[1][0]) == ([], True)
    tables = [table_of(format_registry.read_any(path)) for path in written]
    for table in tables:
        assert table.track_id.tolist() == editor.table.track_id.tolist()
        assert np.abs(table.xyxy - editor.table.xyxy).max() < 0.01
    for table in (tables[0], tables[2]):
        assert table.class_id.tolist() == editor.table.class_id.tolist()
        assert table.name.tolist() == editor.table.name.tolist()
        assert table.class_names[3] == "dog"
    document = json.loads(written[0].read_text())
    assert document["tracker"] == {"name": "appearance"}
    assert [step["kind"] for step in document["corrections"]] == ["swap", "class", "delete", "fill", "rename"]
    assert document["frames"][0]["detections"][0]["colour"] == "red"
    assert sum("coasted" in d for frame in document["frames"] for d in frame["detections"]) == 3
    assert tracked.read_bytes() == before
    editor.close()


def test_filling_a_gap_leaves_the_other_boxes_of_its_frames(tmp_path: Path) -> None:
    path = tmp_path / "tracks.txt"  # a format without smoothed boxes
    frames = together(walk(1, 0, 5), walk(2, 8, 12, left=32), walk(3, 0, 12, left=200, top=100))
    format_registry.FORMATS["motchallenge"].write(path, recorded(frames), "")
    editor = TrackEditor(path)
    editor.do(MergeTracks(1, 2, fill=True))
    editor.save(editor.target())
    editor.close()
    table = table_of(format_registry.read_any(editor.target()))
    assert table.xyxy[table.rows_of(1), 0].tolist() == [4.0 * n for n in range(12)]
    assert table.xyxy[table.rows_of(3), 0].tolist() == [200 + 4.0 * n for n in range(12)]


def test_no_file_is_replaced_unasked(tracked: Path) -> None:
    editor = TrackEditor(tracked)
    target = editor.target()
    for path in (tracked, tracked.with_name("link.json")):
        if path != tracked:
            path.symlink_to(tracked)
        with pytest.raises(OutputError, match="is the source itself"):
            editor.save(path, overwrite=True)
    target.write_text("somebody else's")
    assert not editor.may_write(target)
    with pytest.raises(OutputError, match="exists already"):
        editor.save(target)
    assert target.read_text() == "somebody else's"
    editor.save(target, overwrite=True)
    editor.do(SplitTrack(1, 5))
    assert not editor.is_saved
    editor.save(target)  # its own file, as it was written
    assert editor.is_saved
    target.write_text("changed since")
    with pytest.raises(OutputError, match="exists already"):
        editor.save(target)
    with pytest.raises(OutputError, match="none of the extensions"):
        editor.save(target.with_suffix(".mp4"))
    editor.close()


# -- history and journal -----------------------------------------------------------------------------------------------


def test_undo_and_redo_are_exact(tracked: Path) -> None:
    editor = TrackEditor(tracked)
    tables = [editor.table]
    for edit in (SwapTracks(1, 2, 20), SplitTrack(1, 30), MergeTracks(1, 3), DeleteBoxes(2, 3, 9), FillGaps(2)):
        editor.do(edit)
        tables.append(editor.table)

    def same(one: TrackedBoxes, other: TrackedBoxes) -> bool:
        columns = other.columns()
        return all(
            np.array_equal(column, columns[name], equal_nan=name == "margin") for name, column in one.columns().items()
        )

    for table in reversed(tables[:-1]):
        editor.undo()
        assert same(editor.table, table)
    with pytest.raises(InputError, match="nothing to undo"):
        editor.undo()
    for table in tables[1:]:
        editor.redo()
        assert same(editor.table, table)
    with pytest.raises(InputError, match="nothing to redo"):
        editor.redo()
    editor.undo()
    editor.do(RenameTrack(1, "Ann"))
    with pytest.raises(InputError, match="nothing to redo"):
        editor.redo()
    editor.close()


def test_edits_outlive_the_program_that_made_them(tracked: Path) -> None:
    editor = TrackEditor(tracked)
    assert not editor.journal_path.exists()  # viewing writes nothing
    editor.do(SwapTracks(1, 2, 20))
    editor.do(SplitTrack(1, 5))
    editor.undo()
    editor.mark_reviewed("jump 3")
    editor.save(editor.target())
    with editor.journal_path.open("ab") as file:
        file.write(b'{"do": {"kind": "spl')  # killed while it wrote
    again = TrackEditor(tracked)  # the first one was never closed
    assert again.history.done == (SwapTracks(1, 2, 20),)
    assert again.history.undone == (SplitTrack(1, 5),)
    assert (again.reviewed, again.revision, again.is_saved) == ({"jump 3"}, 5, True)
    again.redo()
    assert len(TrackEditor(tracked).history.done) == 2
    with pytest.raises(UsageError, match="used by another program"):
        editor.do(RenameTrack(1, "Ann"))
    assert editor.history.done == (SwapTracks(1, 2, 20),)
    editor.catch_up()
    assert editor.history.done == (SwapTracks(1, 2, 20), SplitTrack(1, 5))
    editor.do(RenameTrack(1, "Ann"))
    assert TrackEditor(tracked).history.done == editor.history.done


def test_edits_of_another_content_are_put_aside_and_not_applied(tracked: Path) -> None:
    editor = TrackEditor(tracked)
    editor.do(SwapTracks(1, 2, 20))
    editor.close()
    kept = editor.journal_path.read_bytes()
    write_json(tracked, recorded(together(walk(8, 0, 5))))
    again = TrackEditor(tracked)
    assert again.history.done == ()
    assert "has changed since it was corrected" in again.notices[-1]
    aside = tracked.with_name("tracked.json.edits.1.jsonl")
    assert aside.read_bytes() == kept
    again.do(RenameTrack(8, "Ann"))
    again.close()
    lines = again.journal_path.read_text().splitlines()
    again.journal_path.write_text("\n".join([lines[0], '{"do": {"kind": "split", "track": 77, "frame": 3}}', ""]))
    with pytest.raises(FormatError, match="step 1: there is no track 77"):
        TrackEditor(tracked)


def test_detections_without_tracks_cannot_be_corrected(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="has no tracks"):
        TrackEditor(write_json(tmp_path / "none.json", recorded({0: [(-1, 0.0, 0.0)]})))


def test_scores_before_and_after(tmp_path: Path) -> None:
    truth = tmp_path / "gt.txt"
    format_registry.FORMATS["motchallenge"].write(truth, recorded(CROSSING), "")
    damaged = tmp_path / "damaged.txt"
    swapped = recorded_of(SwapTracks(1, 2, 20).apply(table_of(recorded(CROSSING))), recorded(CROSSING))
    format_registry.FORMATS["motchallenge"].write(damaged, swapped, "")
    editor = TrackEditor(damaged, INFO)
    assert (editor.fps, editor.recorded.video.width) == (10.0, 640)
    editor.do(SwapTracks(1, 2, 20))
    before, after = editor.evaluate(truth)
    assert (before.switches, after.switches, after.idf1) == (2, 0, 100)
    editor.close()


# -- places to review --------------------------------------------------------------------------------------------------


def test_a_sound_result_has_nothing_urgent_and_a_swap_comes_first(crossing: TrackedBoxes) -> None:
    sound = find_places(crossing, 10.0)
    assert [(place.kind, place.tracks) for place in sound] == [("crossing", (1, 2))]
    assert sound[0].urgency < 0.4
    at_crossing = find_places(SwapTracks(1, 2, 20).apply(crossing), 10.0)
    assert at_crossing[0].urgency > 0.5
    assert 15 <= at_crossing[0].frame <= 25
    apart = find_places(SwapTracks(1, 2, 27).apply(crossing), 10.0)  # seven frames after it
    assert (apart[0].kind, apart[0].frame, set(apart[0].tracks)) == ("jump", 27, {1, 2})
    assert apart[0].urgency > 0.8
    assert find_places(crossing.keep(np.zeros(len(crossing), np.bool_)), 10.0) == []


def test_interrupted_short_and_uncertain_tracks_are_listed() -> None:
    one = {frame: place for frame, place in walk(1, 0, 30).items() if frame not in (10, 11)}
    two = walk(2, 36, 60, left=144)  # continues track 1
    three = walk(3, 20, 22, left=300, top=300)
    names = recorded(
        together(one, two, three),
        gallery_id=lambda f, t: ("Ann" if f < 15 else "Bob") if t == 1 else None,
        gallery_margin=lambda f, t: 0.01 if (f, t) == (5, 1) else 0.5 if t == 1 else np.nan,
    )
    found = {place.kind: place for place in find_places(table_of(names), 10.0)}
    assert (found["continued"].tracks, found["continued"].frame) == ((1, 2), 36)
    assert (found["gap"].tracks, found["gap"].frame) == ((1,), 12)
    assert (found["short"].tracks, found["short"].frame) == ((3,), 20)
    texts = [place.text for place in find_places(table_of(names), 10.0) if place.kind == "name"]
    assert texts == [
        "the name of track 1 changes from Ann to Bob",
        "the name of track 1, Ann, is uncertain (margin 0.010)",
    ]


def test_a_place_keeps_its_key_when_ids_change(crossing: TrackedBoxes) -> None:
    renumbered = SwapTracks(1, 2, 0).apply(crossing)
    assert [p.key for p in find_places(crossing, 10.0)] == [p.key for p in find_places(renumbered, 10.0)]


def test_an_hour_of_ten_people_is_edited_at_once() -> None:
    rng = np.random.default_rng(0)
    frames, people = 18_000, 10
    frame = np.repeat(np.arange(frames), people)
    track = np.tile(np.arange(1, people + 1), frames)
    corner = rng.uniform(0, 1800, (people, 2))[track - 1] + np.stack([frame % 900, frame % 300], 1)
    n = len(frame)
    table = TrackedBoxes(
        frame, track, np.hstack([corner, corner + np.array([40, 90])]).astype(np.float32), np.ones(n, np.float32),
        np.zeros(n, np.int64), np.zeros(n, np.bool_), np.full(n, None, np.object_), np.full(n, np.nan, np.float32),
        np.arange(n), people + 1,
    )  # fmt: skip
    edited = MergeTracks(1, 11).apply(SplitTrack(1, 9000).apply(SwapTracks(1, 2, 9000).apply(table)))
    assert len(edited) == n
    assert sum(one.count for one in summarise(edited)) == n
    assert find_places(edited, 25.0)


def write_report(path: Path, moments: object) -> Path:
    data = json.dumps({"run": {}, "moments": moments}).replace("<", "\\u003c")
    path.write_text(f'<!doctype html><script type="application/json" id="data">{data}</script><script>1</script>')
    return path


def test_the_moments_of_a_report_are_places_to_review(crossing: TrackedBoxes, tmp_path: Path) -> None:
    source = recorded(CROSSING)
    moment = {"risk": 0.9, "time": 2.0, "track_id": 1, "other_id": 2, "kind": "crossing", "text": "crosses track 2"}
    alone = {
        "risk": 0.3,
        "time": 3.5,
        "track_id": 2,
        "other_id": 0,
        "kind": "re-identified",
        "text": "is re-identified",
    }
    moments = read_moments(write_report(tmp_path / "report.html", [moment, alone]), source)
    assert [(m.frame, m.tracks) for m in moments] == [(20, (1, 2)), (35, (2,))]
    places = find_places(crossing, 10.0)
    found = with_moments(places, moments, (crossing, crossing), 10.0)
    assert [(p.kind, p.tracks, p.urgency) for p in found] == [("crossing", (1, 2), 0.9), ("report", (2,), 0.3)]
    assert found[0].key == places[0].key
    assert found[0].text.endswith("; in the report, track 1 crosses track 2")
    # Ids are those of the tracks that have the boxes now; deleted boxes have no place.
    split = SplitTrack(2, 30).apply(crossing)
    assert [p.tracks for p in with_moments([], moments, (crossing, split), 10.0)] == [(1, 2), (3,)]
    assert with_moments([], moments[1:], (crossing, DeleteBoxes(2).apply(crossing)), 10.0) == []
    timed = dataclasses.replace(source, times={frame: frame / 20 for frame in source.frames})
    assert [m.frame for m in read_moments(tmp_path / "report.html", timed)] == [39, 39]


def test_the_report_of_a_run_has_moments_of_its_tracks(scene: Scene, tmp_path: Path, elsewhere: None) -> None:
    words = ["--dets", str(scene.dets), "--embedder", "histogram", "--no-video"]
    files = ["--save-json", "tracks.json", "--report", "report.html", "--no-progress"]
    assert main(["track", "--source", str(scene.video), *words, *files]) == 0
    editor = TrackEditor(tmp_path / "tracks.json")
    moments = read_moments(tmp_path / "report.html", editor.recorded)
    assert [m.tracks for m in moments] == [(1, 2)]
    assert 20 <= moments[0].frame <= 30
    (place,) = with_moments(find_places(editor.table, editor.fps), moments, (editor.table, editor.table), editor.fps)
    assert "similarity" in place.text


@pytest.mark.parametrize("moments", [None, {}, [{"risk": "x"}], [{"risk": 1, "time": 2, "track_id": 1}], [3]])
def test_a_page_that_is_no_report_is_refused(moments: object, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"page\.html"):
        read_moments(write_report(tmp_path / "page.html", moments), recorded(CROSSING))
    (tmp_path / "page.html").write_text("<p>hello")
    with pytest.raises(FormatError, match="no report"):
        read_moments(tmp_path / "page.html", recorded(CROSSING))
