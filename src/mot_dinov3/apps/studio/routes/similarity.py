"""The similarity of a clicked patch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mot_dinov3.apps.studio.jobs import Handle, Job
from mot_dinov3.apps.studio.patch_similarity import Described, compare
from mot_dinov3.apps.studio.requests import Ask
from mot_dinov3.apps.studio.session import Studio, file_stamp
from mot_dinov3.core.errors import InputError
from mot_dinov3.keypoints.config import KeypointJobConfig
from mot_dinov3.keypoints.job.model_loading import BackendChoice, build_backend
from mot_dinov3.keypoints.job.similarity import describe


def similarity(studio: Studio, ask: Ask) -> Handle:
    """Compare a clicked place with a frame, in the background: the first click loads the model."""
    path, frames = studio.video(ask.text("video"))
    clicked, on = ask.whole("frame"), ask.whole("on")
    x, y = ask.numbers("place", 2)
    if not (0 <= x < frames.info.width and 0 <= y < frames.info.height):
        raise InputError(f"point ({x:g}, {y:g}) is outside the picture of {frames.info.width}×{frames.info.height}")
    side = ask.whole("side", 448, low=64, high=2048)
    wanted = backend_job(studio, ask)
    stamp = file_stamp(path)

    def described(number: int, choice: BackendChoice) -> Described:
        key = path, stamp, number, side, wanted
        return studio.features.get(key, lambda: Described(*describe(choice.backend, frames.image(number), side)))

    def work(job: Job) -> dict[str, Any]:
        job.message = "loading the model"
        choice = load_backend(studio, wanted)
        job.message = "describing the frame"
        job.check(0, 2)
        first = described(clicked, choice)
        job.check(1, 2)
        second = described(on, choice)
        job.check(2, 2)
        info = choice.backend.info
        model = f"{info.name} {info.weights}".strip()
        return {"model": model, "notices": list(choice.notices), "frame": on, **compare(first, second, (x, y))}

    subject = f"{path}|{clicked}|{on}|{x}|{y}|{side}|{wanted}"
    return Handle(studio.jobs.start("similarity", "Comparing", work, subject=subject, wait_s=0.3))


def backend_job(studio: Studio, ask: Ask) -> KeypointJobConfig:
    """Return which backend and model a request names.

    Raises:
        ConfigError: There is no such backend.
    """
    model = ask.text("model", "").strip()
    if model and (studio.roots.folders[0] / model).exists():
        model = str(studio.roots.check(model))
    backend = ask.text("backend", "auto")
    if backend == "convnet":
        return KeypointJobConfig(backend=backend, weights=model or None)
    return KeypointJobConfig(backend=backend, model=model or None)


def load_backend(studio: Studio, wanted: KeypointJobConfig) -> BackendChoice:
    """Return a backend, loaded once."""
    return studio.loaded(("backend", wanted), lambda: build_backend(wanted, studio.command.device))


ROUTES: dict[tuple[str, str], Callable[[Studio, Ask], Any]] = {("POST", "/api/similarity"): similarity}
