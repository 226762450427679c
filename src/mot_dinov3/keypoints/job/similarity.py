"""The similarity job: from a click to a heatmap."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mot_dinov3.core import files
from mot_dinov3.core.errors import InputError, UsageError
from mot_dinov3.core.structures import Image
from mot_dinov3.keypoints.backends.counted import CountedBackend
from mot_dinov3.keypoints.config import KeypointJobConfig, SimilarityConfig, SimilarityOptions
from mot_dinov3.keypoints.descriptor_maps import DenseMap, find_peaks, similarity_maps
from mot_dinov3.keypoints.job.model_loading import build_backend
from mot_dinov3.keypoints.rendering import MainComponents, draw_heatmap, draw_pca
from mot_dinov3.video import SourceConfig, VideoWriter, open_source
from mot_dinov3.video.open import VIDEO_SUFFIXES
from mot_dinov3.video.threads import PrefetchSource


@dataclasses.dataclass(frozen=True)
class SimilarityResult:
    """What was found and written, as lines for a person."""

    lines: tuple[str, ...]
    notices: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Shown:
    """A picture with what it is compared by.

    Attributes:
        image: ``(h, w, 3)`` uint8 BGR with colours over it.
        heights: ``(gh, gw)`` cosines; None for the main components.
        lines: What to say of it.
    """

    image: Image
    heights: npt.NDArray[np.float32] | None = None
    lines: tuple[str, ...] = ()


class Comparison:
    """Compares pictures with a click in one of them, or shows the main components of that one in all.

    Args:
        backend: Describes pictures.
        job: What was asked for.
        clicked: The picture that is clicked on.
        point: ``(2,)`` pixels; None for the main components.
    """

    def __init__(
        self, backend: CountedBackend, job: SimilarityConfig, clicked: Image, point: npt.NDArray[np.float64] | None
    ) -> None:
        self._backend, self._job, self._point = backend, job, point
        dense, factor = describe(backend, clicked, job.short_side)
        self._components = MainComponents.of(dense.cells) if point is None else None
        self._template = None if point is None else dense.at(point[None] * factor)
        self._scale: tuple[float, float] | None = None

    def show(self, image: Image, *, same_scale: bool = False) -> Shown:
        """Return `image` with its heatmap; `same_scale` keeps the first picture's colours for all."""
        dense, factor = describe(self._backend, image, self._job.short_side)
        if self._components is not None:
            return Shown(draw_pca(image, dense.cells, self._components, opacity=self._job.opacity))
        assert self._template is not None
        heights = similarity_maps(dense, self._template)[0]
        peaks = find_peaks(heights[None], dense.patch)
        best, rival = peaks.xy[0] / factor, peaks.rival[0] / factor
        if self._scale is None or not same_scale:
            self._scale = float(heights.min()), float(heights.max())
        drawn = draw_heatmap(image, heights, marks=(best, rival), opacity=self._job.opacity, scale=self._scale)
        lines = (
            f"best        {best[0]:.1f},{best[1]:.1f} cosine {peaks.value[0]:.3f}",
            f"second      {rival[0]:.1f},{rival[1]:.1f} cosine {peaks.second[0]:.3f}",
            f"range       {heights.min():.3f} to {heights.max():.3f}",
        )
        return Shown(drawn, heights, lines)


def show_similarity(command: SimilarityOptions, tick: Callable[[], bool] = lambda: False) -> SimilarityResult:
    """Describe the pictures, compare, and write what was asked for; `tick` ends a video early when true.

    Raises:
        UsageError: The source or the point is missing or makes no sense.
        InputError: The point lies outside the picture.
    """
    job = command.similarity_job
    output = Path(job.output)
    moving = output.suffix.lower() in VIDEO_SUFFIXES
    if moving and (job.image or job.npy):
        raise UsageError("a heatmap video needs --video, and has no --npy", remedy="give an image as --output")
    if job.end_frame is not None and not moving:
        raise UsageError("--end-frame is for a heatmap video", remedy="use the extension .mp4 for --output")
    files.check_output(output, source=job.image or job.video)
    clicked = _picture(job, job.frame)
    point = None if job.pca and job.point is None else _point(job.point, clicked)
    shared = KeypointJobConfig(backend=job.backend, model=job.model, weights=job.weights)
    choice = build_backend(shared, command.keypoint_device)
    comparison = Comparison(choice.backend, job, clicked, None if job.pca else point)
    if moving:
        written = _write_video(output, job, comparison, tick)
        return SimilarityResult((f"frames      {written}", f"video       {output}"), choice.notices)
    shown = comparison.show(clicked if job.on_frame is None else _picture(job, job.on_frame))
    _write_image(output, shown.image)
    lines = [*shown.lines, f"picture     {output}"]
    if job.npy and shown.heights is not None:
        path = Path(job.npy)
        files.check_output(path)
        with files.replacing(path) as part, part.open("wb") as file:
            np.save(file, shown.heights)
        lines.append(f"cosines     {path}")
    return SimilarityResult(tuple(lines), choice.notices)


def _write_video(path: Path, job: SimilarityConfig, comparison: Comparison, tick: Callable[[], bool]) -> int:
    """Write the heatmaps of a range of frames; return how many."""
    source = SourceConfig(source=job.video, start_frame=job.first_shown, end_frame=job.end_frame)
    written = 0
    with PrefetchSource(open_source(source)) as frames, VideoWriter(path, info=frames.info) as writer:
        for frame in frames:
            writer.write(comparison.show(frame.pixels(), same_scale=True).image, frame.time)
            written += 1
            if tick():
                break
    return written


def describe(backend: CountedBackend, image: Image, short_side: int) -> tuple[DenseMap, npt.NDArray[np.float64]]:
    """Return the descriptors of a picture at its working size, and working pixels per source pixel in x and y."""
    import cv2

    height, width = image.shape[:2]
    factor = short_side / min(height, width)
    size = tuple(max(32, round(side * factor / 32) * 32) for side in (width, height))
    shown = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR))
    return backend.describe(shown.astype(np.uint8)), np.array(size) / (width, height)


def _picture(job: SimilarityConfig, frame: int) -> Image:
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
        raise InputError(f"point ({x:g}, {y:g}) is outside the image of {width}×{height}")
    return np.array([x, y])


def _write_image(path: Path, image: Image) -> None:
    import cv2

    ok, data = cv2.imencode(path.suffix or ".png", image)
    if not ok:
        raise UsageError(f"'{path}' cannot be written as an image", remedy="use the extension .png or .jpg")
    with files.replacing(path) as part:
        part.write_bytes(data.tobytes())
