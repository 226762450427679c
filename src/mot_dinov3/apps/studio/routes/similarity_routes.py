"""Routes of the similarity view: a clicked patch is compared with a frame."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import numpy.typing as npt

from mot_dinov3.apps.studio.backend_choices import choices
from mot_dinov3.apps.studio.jobs import Job
from mot_dinov3.apps.studio.keypoint_settings import page_terms
from mot_dinov3.apps.studio.requests import Request
from mot_dinov3.apps.studio.session import Routes, Studio, file_stamp
from mot_dinov3.core.errors import InputError
from mot_dinov3.keypoints.descriptor_maps import DenseMap, find_peaks, similarity_maps
from mot_dinov3.keypoints.job.config import BackendConfig
from mot_dinov3.keypoints.job.model_loading import LoadedBackend, build_backend
from mot_dinov3.keypoints.job.similarity import describe

Described = tuple[DenseMap, npt.NDArray[np.float64]]
"""Dense descriptors of a frame, and working pixels per source pixel in x and y."""


def backends(studio: Studio, request: Request) -> dict[str, Any]:
    """Backends with their models, and sources of masks."""
    return choices()


def similarity(studio: Studio, request: Request) -> Job:
    """Compare a clicked place with a frame, in the background: the first click loads the model."""
    path, frames = studio.video(request.text("video"))
    clicked, on = request.whole("frame"), request.whole("on")
    x, y = request.numbers("place", 2)
    if not (0 <= x < frames.info.width and 0 <= y < frames.info.height):
        raise InputError(f"point ({x:g}, {y:g}) is outside the image of {frames.info.width}×{frames.info.height}")
    side = request.whole("side", 448, low=64, high=2048)
    with page_terms():
        wanted = BackendConfig(**backend_values(studio, request))
    stamp = file_stamp(path)

    def described(number: int, loaded: LoadedBackend) -> Described:
        key = path, stamp, number, side, wanted
        return studio.descriptors.get(key, lambda: describe(loaded.backend, frames.image(number), side))

    def work(job: Job) -> dict[str, Any]:
        job.message = "loading the model"
        with page_terms():
            loaded = studio.models.get(("backend", wanted), lambda: build_backend(wanted, studio.options.device))
        job.message = "computing the descriptors"
        job.check(0, 2)
        first = described(clicked, loaded)
        job.check(1, 2)
        second = described(on, loaded)
        job.check(2, 2)
        info = loaded.backend.info
        model = f"{info.name} {info.weights}".strip()
        return {"model": model, "notices": list(loaded.notices), "frame": on, **compare(first, second, (x, y))}

    subject = f"{path}|{clicked}|{on}|{x}|{y}|{side}|{wanted}"
    return studio.jobs.start("similarity", "Comparing", work, subject=subject, wait_s=0.3)


def compare(clicked: Described, target: Described, place: tuple[float, float]) -> dict[str, Any]:
    """Return the similarity of every cell of `target` to a place of `clicked`, for the page.

    The map goes as little-endian float32 in base64, row by row; `cell` is the size of a cell in source pixels.
    """
    (template_map, template_factor), (dense, factor) = clicked, target
    heights = similarity_maps(dense, template_map.at(np.array([place]) * template_factor))[0]
    peaks = find_peaks(heights[None], dense.patch)
    best, rival = peaks.xy[0] / factor, peaks.rival[0] / factor
    return {
        "shape": list(heights.shape),
        "map": base64.b64encode(heights.astype("<f4").tobytes()).decode(),
        "cell": (dense.patch / factor).tolist(),
        "low": float(heights.min()),
        "high": float(heights.max()),
        "best": {"place": best.tolist(), "value": float(peaks.value[0])},
        "rival": {"place": rival.tolist(), "value": float(peaks.second[0])},
    }


def backend_values(studio: Studio, request: Request) -> dict[str, Any]:
    """Return the options that name the backend and the model of a request."""
    backend, model = request.text("backend", "auto"), studio.model(request)
    return {"backend": backend, "weights" if backend == "convnet" else "model": model}


ROUTES: Routes = {("GET", "/api/backends"): backends, ("POST", "/api/similarity"): similarity}
