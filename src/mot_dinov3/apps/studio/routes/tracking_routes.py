"""Routes that start tracking: a video becomes a file of tracks, in the background."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from mot_dinov3.apps.studio.jobs import Job
from mot_dinov3.apps.studio.requests import Request
from mot_dinov3.apps.studio.session import Routes, Studio
from mot_dinov3.core.errors import unknown_name
from mot_dinov3.detectors import DETECTORS
from mot_dinov3.features.factory import EMBEDDERS
from mot_dinov3.pipeline.config import track_config

MAX_BUDGET_MS = 10_000
DEFAULT_DETECTOR, DEFAULT_EMBEDDER = "yolo", "dino"


def start(studio: Studio, request: Request) -> Job:
    """Track a video; the result is written beside it, never over another file. Cancelling keeps the frames so far."""
    path, frames = studio.video(request.text("video"))
    result = studio.roots.check(str(free_result(path)))
    config = track_config({**_choices(studio, request), "source": str(path), "save_json": str(result)})
    frame_count = frames.info.frame_count

    def work(job: Job) -> dict[str, Any]:
        from mot_dinov3.pipeline.wiring import build_tracking

        job.message = "loading the models"
        with build_tracking(config) as run:
            job.message, job.total = "", frame_count
            run.loop.stages.source.interrupt_when(job.cancelled.is_set)
            run.loop.run(job.tick)
            summary = run.summary()
        found = {
            "video": str(path),
            "tracks": str(result),
            "count": summary.counts.tracks,
            "frames": summary.counts.frames,
        }
        return {**found, "notices": list(summary.notices)}

    return studio.jobs.start("track", f"Tracking {path.name}", work, subject=str(path))


def free_result(video: Path) -> Path:
    """Return the first free name beside a video, or a folder of images: ``in.tracks.json``, ``in.tracks-2.json``."""
    stem = video.name if video.is_dir() else video.stem
    path, number = video.with_name(f"{stem}.tracks.json"), 1
    while path.exists():
        number += 1
        path = video.with_name(f"{stem}.tracks-{number}.json")
    return path


def _choices(studio: Studio, request: Request) -> dict[str, Any]:
    """Return the options of `TrackConfig` that the page chooses; a page must not name code to run."""
    detector, embedder = request.text("detector"), request.text("embedder")
    for kind, name, known in (("detector", detector, DETECTORS), ("embedder", embedder, EMBEDDERS)):
        if name not in known:
            raise unknown_name(kind, name, known)
    values: dict[str, Any] = dataclasses.asdict(studio.options.device)
    values |= {"video": False, "record": False, "classes": request.text("classes", "")}
    weights = studio.model(request, "weights")
    if weights or detector != DEFAULT_DETECTOR:  # else the default, with its open stand-ins
        values["det"] = f"{detector}:{weights}" if weights else detector
    if detector == "recorded":
        values["dets"] = str(studio.roots.check(request.text("dets")))
    model = studio.model(request)
    if model or embedder != DEFAULT_EMBEDDER:
        values["embedder"] = embedder
    if model:
        values["embed_model"] = model
    return values | {"embed_budget_ms": float(request.whole("budget", 0, high=MAX_BUDGET_MS))}


ROUTES: Routes = {("POST", "/api/track"): start}
