"""Routes of the tracks page: a result is shown, corrected, reviewed, saved and scored."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from mot_dinov3.apps.studio.jobs import Job
from mot_dinov3.apps.studio.requests import ConflictError, Request
from mot_dinov3.apps.studio.session import Routes, Studio, file_stamp
from mot_dinov3.apps.track_editing import Edit, SwapTracks, TrackEditor, find_places, next_crossing
from mot_dinov3.apps.track_editing.edits import MergeTracks, SplitTrack, parse_edit
from mot_dinov3.apps.track_editing.report_moments import read_moments, with_moments
from mot_dinov3.apps.track_editing.tracked_boxes import ADDED, DETECTED, INTERPOLATED, PREDICTED, summarise
from mot_dinov3.core.errors import InputError

MAX_SPAN = 600  # frames whose boxes are sent together


def overview(studio: Studio, request: Request) -> dict[str, Any]:
    """All tracks of a result with their stretches, and the edits so far."""
    return _overview(_editor(studio, request))


def _editor(studio: Studio, request: Request) -> TrackEditor:
    path = studio.roots.check(request.text("tracks"))
    given = request.text("video", "")
    video = studio.video(given)[1].info if given else None
    stamp = f"{file_stamp(path)} {given}"
    with studio.writing:
        editor = studio.editors.get(path, lambda: TrackEditor(path, video), stamp=stamp)
        editor.catch_up()
        return editor


def _overview(editor: TrackEditor) -> dict[str, Any]:
    video, history = editor.recorded.video, editor.history
    tracks = [
        {
            "id": one.track,
            "count": one.count,
            "first": one.first,
            "last": one.last,
            "class": one.class_id,
            "name": one.name,
            "stretches": [value for stretch in one.stretches for value in stretch],
        }
        for one in summarise(editor.table)
    ]
    return {
        "path": str(editor.path),
        "format": editor.format,
        "revision": editor.revision,
        "size": [video.width, video.height],
        "frames": int(editor.table.frame.max(initial=-1)) + 1,
        "tracks": tracks,
        "classes": {str(number): name for number, name in editor.table.class_names.items()},
        "edits": [_step(edit) for edit in history.done],
        "redo": history.undone[-1].describe() if history.undone else "",
        "saved": editor.is_saved,
        "target": str(editor.target()),
        "notices": editor.notices,
    }


def _step(edit: Edit) -> dict[str, Any]:
    """Return an edit for the list of the page: its words, and where it was made."""
    values = edit.to_json()
    tracks = [values["track"], *([values["other"]] if "other" in values else [])]
    return {"text": edit.describe(), "frame": values.get("frame", values.get("first")), "tracks": tracks}


def boxes(studio: Studio, request: Request) -> dict[str, Any]:
    """The boxes of a span of frames: track, corners and kind of each."""
    editor, first = _editor(studio, request), request.whole("first")
    stop = request.whole("stop", low=first, high=first + MAX_SPAN)
    table = editor.table
    rows = table.within(first, stop)
    kind = [
        INTERPOLATED if source == ADDED else PREDICTED if coasted else DETECTED
        for source, coasted in zip(table.source[rows].tolist(), table.coasted[rows].tolist())
    ]
    frames: list[list[list[float]]] = [[] for _ in range(first, stop)]
    columns = table.frame[rows].tolist(), table.track_id[rows].tolist(), table.xyxy[rows].round(1).tolist(), kind
    for frame, track, box, of_kind in zip(*columns):
        frames[frame - first].append([track, *(round(v, 1) for v in box), of_kind])
    return {"revision": editor.revision, "first": first, "frames": frames}


def places(studio: Studio, request: Request) -> dict[str, Any]:
    """The places to review, the most urgent first: of the tracks, and of the run's report where one is given."""
    editor, given = _editor(studio, request), request.text("report", "")
    history, revision = editor.history, editor.revision
    found = find_places(history.table, editor.fps)
    if given:
        moments = read_moments(studio.roots.check(given), editor.recorded)
        found = with_moments(found, moments, (history.original, history.table), editor.fps)
    shown = [{**dataclasses.asdict(place), "reviewed": place.key in editor.reviewed} for place in found]
    return {"revision": revision, "places": shown}


def edit(studio: Studio, request: Request) -> dict[str, Any]:
    """Make an edit; a swap may end at the next crossing of its two tracks."""
    with studio.writing:
        editor = _current(studio, request)
        made = parse_edit(request.fields("edit"))
        if isinstance(made, SwapTracks) and request.flag("to_crossing"):
            stop = next_crossing(editor.table, made.track, made.other, made.first)
            made = dataclasses.replace(made, stop=stop)
        new_track = editor.table.next_id
        editor.do(made)
        return {"done": made.describe(), "select": _to_select(made, new_track), **_overview(editor)}


def _current(studio: Studio, request: Request) -> TrackEditor:
    """Return the editor of a request that was made on its latest revision.

    Raises:
        ConflictError: Another tab has made an edit in between.
    """
    editor = _editor(studio, request)
    if request.whole("revision") != editor.revision:
        raise ConflictError("the tracks were edited in another tab", remedy="its edits are shown now: try again")
    return editor


def _to_select(made: Edit, new_track: int) -> list[int] | None:
    """Return the tracks that are selected after an edit; None for those that are selected already."""
    if isinstance(made, SplitTrack):
        return [made.track, new_track]
    return [made.track] if isinstance(made, MergeTracks) else None


def undo(studio: Studio, request: Request) -> dict[str, Any]:
    """Take back the last edit."""
    with studio.writing:
        editor = _current(studio, request)
        done = editor.history.done
        editor.undo()
        return {"done": f"undone: {done[-1].describe()}", **_overview(editor)}


def redo(studio: Studio, request: Request) -> dict[str, Any]:
    """Make the edit again that was undone last."""
    with studio.writing:
        editor = _current(studio, request)
        editor.redo()
        return {"done": editor.history.done[-1].describe(), **_overview(editor)}


def mark_reviewed(studio: Studio, request: Request) -> dict[str, Any]:
    """Keep that a place was reviewed, or is to be reviewed again."""
    with studio.writing:
        editor = _editor(studio, request)
        editor.mark_reviewed(request.text("key"), reviewed=not request.flag("again"))
        return {"revision": editor.revision}


def save(studio: Studio, request: Request) -> dict[str, Any]:
    """Write the corrected tracks beside the original, or where the user says; ask before a file is replaced."""
    target = studio.roots.check(request.text("target"))
    with studio.writing:
        editor = _editor(studio, request)
        if not request.flag("overwrite") and target != editor.path and not editor.may_write(target):
            return {"exists": target.name}
        notices = editor.save(target, overwrite=request.flag("overwrite"))
        return {"written": str(target), "lost": notices, **_overview(editor)}


def evaluate(studio: Studio, request: Request) -> Job:
    """Score the original and the corrected tracks against a ground truth, in the background."""
    editor, truth = _editor(studio, request), studio.roots.check(request.text("truth"))
    if not truth.is_file():
        raise InputError(f"'{truth}' does not exist", remedy="choose a file of ground truth")

    def work(job: Job) -> dict[str, Any]:
        before, after = editor.evaluate(Path(truth))
        return {"before": _scores(before), "after": _scores(after)}

    subject = f"{editor.path}|{truth}|{editor.revision}"
    return studio.jobs.start("evaluate", f"Scoring against {truth.name}", work, subject=subject, wait_s=0.3)


def _scores(scores: Any) -> dict[str, float | None]:
    """Return scores as plain JSON; None for one that is not defined."""
    return {name: None if value != value else value for name, value in dataclasses.asdict(scores).items()}


ROUTES: Routes = {
    ("GET", "/api/correction"): overview,
    ("GET", "/api/correction/boxes"): boxes,
    ("GET", "/api/correction/places"): places,
    ("POST", "/api/correction/edit"): edit,
    ("POST", "/api/correction/undo"): undo,
    ("POST", "/api/correction/redo"): redo,
    ("POST", "/api/correction/reviewed"): mark_reviewed,
    ("POST", "/api/correction/save"): save,
    ("POST", "/api/correction/evaluate"): evaluate,
}
