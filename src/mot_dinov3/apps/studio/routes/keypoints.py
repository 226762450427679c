"""Labelling, following and correcting keypoints."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from mot_dinov3.apps.studio.jobs import Handle, Job
from mot_dinov3.apps.studio.label_store import Board
from mot_dinov3.apps.studio.requests import Ask, ConflictError
from mot_dinov3.apps.studio.routes.similarity import backend_job
from mot_dinov3.apps.studio.session import Studio
from mot_dinov3.apps.studio.shapes import MAX_ITEMS, Item
from mot_dinov3.core.errors import InputError
from mot_dinov3.keypoints.config import KeypointConfig, KeypointsOptions
from mot_dinov3.keypoints.job.files import Place, stem_of
from mot_dinov3.keypoints.job.gaps import plan_gaps
from mot_dinov3.video.images import list_images


def _board(studio: Studio, ask: Ask) -> Board:
    path, frames = studio.video(ask.text("video"))
    given = ask.text("folder", "")
    folder = studio.roots.check(given) if given else path.parent / stem_of(path)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"'{folder}' is a file", remedy="choose a folder for the labels and results")
    studio.roots.check(str(folder))
    size = frames.info.width, frames.info.height
    return studio.boards.get(folder, str(path), lambda: Board(Place(path, folder, size)))


def overview(studio: Studio, ask: Ask) -> dict[str, Any]:
    """What is labelled and what was tracked."""
    board = _board(studio, ask)
    return {**board.overview(), "running": studio.jobs.busy("keypoints", str(board.place.folder))}


def frame(studio: Studio, ask: Ask) -> dict[str, Any]:
    """The points and outlines of a frame."""
    return _board(studio, ask).frame(ask.whole("n"))


def series(studio: Studio, ask: Ask) -> dict[str, Any]:
    """Score and state of all keypoints over time."""
    return _board(studio, ask).results.series()


def save(studio: Studio, ask: Ask) -> dict[str, Any]:
    """Write what a person labelled in a frame."""
    board, number = _board(studio, ask), ask.whole("n")
    raw = ask.items("items")
    if len(raw) > MAX_ITEMS:
        raise InputError(f"a frame has at most {MAX_ITEMS} labels")
    items = [Item.parse(one, board.place.size) for one in raw]
    path, frames = studio.video(ask.text("video"))
    picture = frames.image(number)
    with studio.writing:
        if studio.jobs.busy("keypoints", str(board.place.folder)):
            raise ConflictError("the points are being followed right now", remedy="wait, or cancel that, then save")
        board.save(
            number,
            items,
            revision=ask.text("revision"),
            picture=list_images(path)[number] if path.is_dir() else picture,
        )
    return {**board.frame(number), "overview": board.overview()}


def follow(studio: Studio, ask: Ask) -> Handle:
    """Follow all labelled points through the video, in the background; what is known already is not done again."""
    board = _board(studio, ask)
    place = board.place
    wanted = backend_job(studio, ask)
    config = KeypointConfig(symmetry_pairs=ask.text("pairs", ""))
    job_config = dataclasses.replace(wanted, video=str(place.video), result_folder=str(place.folder))
    command = KeypointsOptions(job_config, studio.command.device, config)

    def work(job: Job) -> dict[str, Any]:
        from mot_dinov3.keypoints.job.wiring import build_keypoints

        job.message = "loading the model"
        run = build_keypoints(command)
        job.message = ""
        job.total = pictures_to_see(board, run.info.frame_count)
        run.run(job.tick)
        return {"summary": run.summary()}

    with studio.writing:
        return Handle(studio.jobs.start("keypoints", "Following the points", work, subject=str(place.folder)))


def pictures_to_see(board: Board, frames: int) -> int:
    """Return how many pictures a run looks at: those between two labelled frames twice; 0 where it is not known."""
    labelled = sorted(board.labels().frames)
    gaps = plan_gaps(labelled, 0, frames or None)
    spans = [(1 + (gap.before is not None and gap.after is not None)) * ((gap.stop or 0) - gap.first) for gap in gaps]
    return sum(spans) if frames else 0


ROUTES: dict[tuple[str, str], Callable[[Studio, Ask], Any]] = {
    ("GET", "/api/keypoints"): overview,
    ("GET", "/api/keypoints/frame"): frame,
    ("GET", "/api/keypoints/series"): series,
    ("POST", "/api/keypoints/save"): save,
    ("POST", "/api/keypoints/run"): follow,
}
