"""The `similarity` command: from a clicked position to a heatmap."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mot_dinov3.core import files
from mot_dinov3.core.errors import InputError, OutputError, UsageError
from mot_dinov3.core.output_lock import OutputLocks
from mot_dinov3.core.structures import Image
from mot_dinov3.keypoints.backends.base import DenseBackend
from mot_dinov3.keypoints.descriptor_maps import DenseMap, find_peaks, similarity_maps
from mot_dinov3.keypoints.geometry import Array
from mot_dinov3.keypoints.job.config import SimilarityConfig, SimilarityOptions
from mot_dinov3.keypoints.job.model_loading import build_backend
from mot_dinov3.keypoints.rendering import PrincipalComponents, draw_heatmap, draw_pca
from mot_dinov3.video import SourceConfig, VideoWriter, open_source
from mot_dinov3.video.encoders import container_of
from mot_dinov3.video.image_files import read_image, write_image
from mot_dinov3.video.opening import refuse_live
from mot_dinov3.video.source import VIDEO_SUFFIXES
from mot_dinov3.video.threads import PrefetchSource


@dataclasses.dataclass(frozen=True)
class SimilarityResult:
    """Summary lines and notices of a run."""

    lines: tuple[str, ...]
    notices: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class ComparisonImage:
    """An image overlaid with its comparison.

    Attributes:
        image: ``(h, w, 3)`` uint8 BGR with colours over it.
        heights: ``(gh, gw)`` cosines; None for the principal components.
        lines: Summary lines.
    """

    image: Image
    heights: npt.NDArray[np.float32] | None = None
    lines: tuple[str, ...] = ()


class Comparison:
    """Compares images with a clicked position in one of them, or shows the principal components of that one in all.

    Args:
        backend: Describes images.
        clicked: The image that is clicked on.
        point: ``(2,)`` pixels; None for the principal components.
        short_side: Working short side of the images in pixels.
        opacity: Of the colours over the image, 0…1.
    """

    def __init__(
        self, backend: DenseBackend, clicked: Image, point: Array | None, *, short_side: int, opacity: float
    ) -> None:
        self._backend, self._short_side, self._opacity = backend, short_side, opacity
        dense, factor = describe(backend, clicked, short_side)
        self._components = PrincipalComponents.of(dense.cells) if point is None else None
        self._template = None if point is None else dense.at(point[None] * factor)
        self._scale: tuple[float, float] | None = None

    def show(self, image: Image, *, same_scale: bool = False) -> ComparisonImage:
        """Return `image` with its heatmap; `same_scale` keeps the first image's colours for all."""
        dense, factor = describe(self._backend, image, self._short_side)
        if self._components is not None:
            return ComparisonImage(draw_pca(image, dense.cells, self._components, opacity=self._opacity))
        assert self._template is not None
        heights = similarity_maps(dense, self._template)[0]
        peaks = find_peaks(heights[None], dense.patch)
        best, rival = peaks.xy[0] / factor, peaks.rival[0] / factor
        if self._scale is None or not same_scale:
            self._scale = float(heights.min()), float(heights.max())
        drawn = draw_heatmap(image, heights, marks=(best, rival), opacity=self._opacity, scale=self._scale)
        lines = (
            f"best        {best[0]:.1f},{best[1]:.1f} cosine {peaks.value[0]:.3f}",
            f"second      {rival[0]:.1f},{rival[1]:.1f} cosine {peaks.second[0]:.3f}",
            f"range       {heights.min():.3f} to {heights.max():.3f}",
        )
        return ComparisonImage(drawn, heights, lines)


def show_similarity(command: SimilarityOptions, tick: Callable[[], bool] = lambda: False) -> SimilarityResult:
    """Describe the images, compare them, and write the outputs; `tick` ends a video early when true.

    Raises:
        UsageError: The source or the point is missing or makes no sense.
        InputError: The point lies outside the image.
    """
    job = command.similarity_job
    output = Path(job.output)
    moving = output.suffix.lower() in VIDEO_SUFFIXES
    if moving and (job.image or job.npy):
        raise UsageError("a heatmap video needs --source, and has no --npy", remedy="give an image as --output")
    if job.end_frame is not None and not moving:
        raise UsageError("--end-frame is for a heatmap video", remedy="use the extension .mp4 for --output")
    _check_outputs(job, output, moving=moving)
    with OutputLocks([output, *([Path(job.npy)] if job.npy else [])]):
        return _compare(command, output, tick, moving=moving)


def _compare(command: SimilarityOptions, output: Path, tick: Callable[[], bool], *, moving: bool) -> SimilarityResult:
    job = command.similarity_job
    clicked = _image(job, job.frame)
    point = None if job.pca and job.point is None else _point(job.point, clicked)
    loaded = build_backend(command.keypoint_backend, command.keypoint_device)
    comparison = Comparison(
        loaded.backend, clicked, None if job.pca else point, short_side=job.short_side, opacity=job.opacity
    )
    if moving:
        written = _write_video(output, job, comparison, tick)
        return SimilarityResult((f"frames      {written}", f"video       {output}"), loaded.notices)
    shown = comparison.show(clicked if job.on_frame is None else _image(job, job.on_frame))
    write_image(output, shown.image)
    lines = [*shown.lines, f"image       {output}"]
    if job.npy and shown.heights is not None:
        path = Path(job.npy)
        with files.replacing(path) as part, part.open("wb") as file:
            np.save(file, shown.heights)
        lines.append(f"cosines     {path}")
    return SimilarityResult(tuple(lines), loaded.notices)


def _check_outputs(job: SimilarityConfig, output: Path, *, moving: bool) -> None:
    """Refuse outputs that cannot be written, or not as what their extension says."""
    import cv2

    if moving:
        container_of(output)
    elif not cv2.haveImageWriter(f"image{output.suffix or '.png'}"):
        raise OutputError(
            f"output '{output}': an image cannot be written as {output.suffix}", remedy="use the extension .png or .jpg"
        )
    if moving or job.on_frame is not None:
        refuse_live(job.source, "similarity")
    files.check_output(output, source=job.image or job.source)
    if job.npy:
        files.check_extension(Path(job.npy), "an array", (".npy",))
        files.check_output(Path(job.npy), source=job.image or job.source)


def _write_video(path: Path, job: SimilarityConfig, comparison: Comparison, tick: Callable[[], bool]) -> int:
    """Write the heatmaps of a range of frames; return how many."""
    source = SourceConfig(source=job.source, start_frame=job.first_shown, end_frame=job.end_frame)
    written = 0
    with (
        PrefetchSource(open_source(source)) as frames,
        VideoWriter(path, info=frames.info, pixel_aspect=frames.pixel_aspect) as writer,
    ):
        for frame in frames:
            writer.write(comparison.show(frame.pixels(), same_scale=True).image, frame.time)
            written += 1
            if tick():
                break
    return written


def describe(backend: DenseBackend, image: Image, short_side: int) -> tuple[DenseMap, Array]:
    """Return the descriptors of an image at its working size, and working pixels per source pixel in x and y."""
    import cv2

    height, width = image.shape[:2]
    factor = short_side / min(height, width)
    size = tuple(max(32, round(side * factor / 32) * 32) for side in (width, height))
    shown = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR))
    return backend.describe(shown.astype(np.uint8)), np.array(size) / (width, height)


def _image(job: SimilarityConfig, frame: int) -> Image:
    if (job.image is None) == (job.source is None):
        raise UsageError(
            "give either --image or --source", remedy="for example: --source in.mp4 --frame 10 --point 5,7"
        )
    if job.image is not None:
        return read_image(Path(job.image))
    with open_source(SourceConfig(source=job.source, start_frame=frame, end_frame=frame + 1)) as frames:
        return next(iter(frames)).pixels()


def _point(text: str | None, image: Image) -> Array:
    try:
        x, y = (float(part) for part in (text or "").split(","))
    except ValueError:
        raise UsageError(f"--point must be X,Y in pixels, got '{text or ''}'") from None
    height, width = image.shape[:2]
    if not (0 <= x < width and 0 <= y < height):
        raise InputError(f"point ({x:g}, {y:g}) is outside the image of {width}×{height}")
    return np.array([x, y])
