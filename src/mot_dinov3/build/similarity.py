"""The similarity job: from a click to a heatmap."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mot_dinov3 import outputs
from mot_dinov3.build.backends import build_backend
from mot_dinov3.errors import InputError, UsageError
from mot_dinov3.keypoints.backends.counted import CountedBackend
from mot_dinov3.keypoints.config import KeypointJob, SimilarityCommand, SimilarityJob
from mot_dinov3.keypoints.drawing import draw_heatmap, draw_pca
from mot_dinov3.keypoints.matching import DenseMap, find_peaks, similarity_maps
from mot_dinov3.structures import Image
from mot_dinov3.video import SourceConfig, open_source


@dataclasses.dataclass(frozen=True)
class SimilarityResult:
    """What was found and written, as lines for a person."""

    lines: tuple[str, ...]
    notices: tuple[str, ...]


def show_similarity(command: SimilarityCommand) -> SimilarityResult:
    """Describe the picture, compare, and write what was asked for.

    Raises:
        UsageError: The source or the point is missing or makes no sense.
        InputError: The point lies outside the picture.
    """
    job = command.similarity_job
    output = Path(job.output)
    outputs.check_output(output, source=job.image or job.video)
    clicked = _picture(job, job.frame)
    point = None if job.pca and job.point is None else _point(job.point, clicked)
    target = clicked if job.on_frame is None else _picture(job, job.on_frame)
    shared = KeypointJob(backend=job.backend, model=job.model, weights=job.weights)
    choice = build_backend(shared, command.keypoint_device)
    dense, factor = describe(choice.backend, target, job.short_side)
    if job.pca:
        _write_image(output, draw_pca(target, dense.cells, opacity=job.opacity))
        return SimilarityResult((f"picture     {output}",), choice.notices)
    assert point is not None
    source, source_factor = describe(choice.backend, clicked, job.short_side)
    template = source.at(point[None] * source_factor)
    heights = similarity_maps(dense, template)[0]
    peaks = find_peaks(heights[None], dense.patch)
    best, rival = peaks.xy[0] / factor, peaks.rival[0] / factor
    _write_image(output, draw_heatmap(target, heights, best=best, rival=rival, opacity=job.opacity))
    lines = [
        f"best        {best[0]:.1f},{best[1]:.1f} cosine {peaks.value[0]:.3f}",
        f"second      {rival[0]:.1f},{rival[1]:.1f} cosine {peaks.second[0]:.3f}",
        f"range       {heights.min():.3f} to {heights.max():.3f}",
        f"picture     {output}",
    ]
    if job.npy:
        path = Path(job.npy)
        outputs.check_output(path)
        with outputs.replacing(path) as part, part.open("wb") as file:
            np.save(file, heights)
        lines.append(f"cosines     {path}")
    return SimilarityResult(tuple(lines), choice.notices)


def describe(backend: CountedBackend, image: Image, short_side: int) -> tuple[DenseMap, npt.NDArray[np.float64]]:
    """Return the descriptors of a picture at its working size, and working pixels per source pixel in x and y."""
    import cv2

    height, width = image.shape[:2]
    factor = short_side / min(height, width)
    size = tuple(max(32, round(side * factor / 32) * 32) for side in (width, height))
    shown = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR))
    return backend.describe(shown.astype(np.uint8)), np.array(size) / (width, height)


def _picture(job: SimilarityJob, frame: int) -> Image:
    if (job.image is None) == (job.video is None):
        raise UsageError("give either --image or --video", remedy="for example: --video in.mp4 --frame 10 --point 5,7")
    if job.image is not None:
        from mot_dinov3.video.images import read_image

        return read_image(Path(job.image))
    with open_source(SourceConfig(source=job.video, start_frame=frame, end_frame=frame + 1)) as frames:
        return next(iter(frames)).pixels()


def _point(text: str | None, image: Image) -> npt.NDArray[np.float64]:
    try:
        x, y = (float(part) for part in (text or "").split(","))
    except ValueError:
        raise UsageError(f"--point must be X,Y in pixels, got '{text or ''}'") from None
    height, width = image.shape[:2]
    if not (0 <= x < width and 0 <= y < height):
        raise InputError(f"point ({x:g}, {y:g}) is outside the picture of {width}×{height}")
    return np.array([x, y])


def _write_image(path: Path, image: Image) -> None:
    import cv2

    ok, data = cv2.imencode(path.suffix or ".png", image)
    if not ok:
        raise UsageError(f"'{path}' cannot be written as a picture", remedy="end its name in .png or .jpg")
    with outputs.replacing(path) as part:
        part.write_bytes(data.tobytes())
