"""Contract checks for plug-ins, to be run by their authors.

In a test file of your own::

    from mot_dinov3.testing import check_detector, check_embedder, check_tracker

    def test_my_classes_keep_their_contracts():
        check_detector("my_package.my_module:MyDetector", model="weights.pt")
        check_embedder("my_package.my_module:MyEmbedder", model="weights.pt")
        check_tracker("my_package.my_module:MyTracker")

The detectors, embedders and trackers of this project are held to the same checks.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import numpy.typing as npt

from mot_dinov3.core import boxes
from mot_dinov3.core.errors import InputError
from mot_dinov3.core.registry import resolve
from mot_dinov3.core.structures import Detections, FloatArray, Frame, Image, TrackState, TrackView, VideoInfo
from mot_dinov3.detectors import DETECTORS
from mot_dinov3.detectors import base as detectors
from mot_dinov3.detectors.base import DEFAULT_MODELS, Detector, DetectorConfig, DetectorRequest
from mot_dinov3.features import base as features
from mot_dinov3.features.base import Embedder, EmbedderRequest
from mot_dinov3.features.factory import EMBEDDERS
from mot_dinov3.models.devices import DeviceConfig
from mot_dinov3.models.hub import locate
from mot_dinov3.trackers import TRACKERS
from mot_dinov3.trackers import base as trackers
from mot_dinov3.trackers.base import Tracker, TrackerRequest

CPU = DeviceConfig("cpu", precision="fp32", accel="torch")
BOXES = np.array([[5, 5, 35, 80], [40, 10, 70, 85], [70, 0, 119, 40], [100, 60, 140, 100]], np.float32)
CLOSE = 1e-5


def check_embedder(
    embedder: str | Callable[[EmbedderRequest], Embedder], *, model: str = "", size: tuple[int, int] | None = None
) -> None:
    """Check the contract of an embedder.

    Args:
        embedder: ``package.module:Class``, a listed name, or the class itself.
        model: Hub id, folder or file.
        size: ``(height, width)`` of the network's input, or None for the model's own.

    Raises:
        AssertionError: The contract is broken; the message names the rule.
        UsageError: The reference cannot be imported.
    """
    make = resolve("embedder", EMBEDDERS, embedder) if isinstance(embedder, str) else embedder

    def build(batch: int) -> Embedder:
        return make(EmbedderRequest(model, CPU, 0.12, None, size, "cls", batch, locate))

    whole, single = build(32), build(1)
    _check_description(whole)
    _check_unit_rows(whole)
    _check_any_box(whole)
    _check_crops_are_independent(whole, single)
    _check_whole_images(whole)


def check_detector(
    detector: str | Callable[[DetectorRequest], Detector], *, model: str = "", config: DetectorConfig | None = None
) -> None:
    """Check the contract of a detector.

    It runs on the twenty frames of `sample_clip`; precomputed boxes should include some for these.

    Args:
        detector: ``package.module:Class``, a listed name, or the class itself.
        model: Weights, hub id or file.
        config: Confidence threshold and input size.

    Raises:
        AssertionError: The contract is broken; the message names the rule.
        UsageError: The reference cannot be imported.
    """
    make = resolve("detector", DETECTORS, detector) if isinstance(detector, str) else detector
    model = model or DEFAULT_MODELS.get(str(detector), "")

    def build(**options: object) -> Detector:
        wanted = dataclasses.replace(config or DetectorConfig(), **options)  # type: ignore[arg-type]
        return make(DetectorRequest(wanted, CPU, model))

    first, second = build(), build()
    least = (config or DetectorConfig()).conf or 0.0
    _has(first, detectors.MEMBERS)
    _require(bool(first.info.name), "info.name must not be empty")
    _require(first.info.device == "cpu", "info.device must be the requested device, 'cpu'")
    _require(all(isinstance(key, int) for key in first.names), "names must map class ids to names")
    clip = sample_clip()
    found = [_detected(first, frame) for frame in clip]
    again = [_detected(second, frame) for frame in clip]
    _require(all(map(_same, found, again)), "the same frames must give bit-identical boxes")
    low = min((float(rows.score.min(initial=1)) for rows in found), default=1.0)
    _require(low >= np.float32(least), f"no score may be below config.conf, {least:g}, got {low:g}")
    if not first.is_stateful:
        backwards = [_detected(build(), frame) for frame in reversed(clip[-2:])][::-1]
        _require(all(map(_same, found[-2:], backwards)), "boxes depend on earlier frames: is_stateful must be True")
    if first.names:
        kept = min(first.names)
        filtered = build(classes=str(kept))
        only = all((_detected(filtered, frame).class_id == kept).all() for frame in clip)
        _require(only, "only the classes that config.classes names may be returned")
    notice = first.check_against(VideoInfo("", 0, 0, 10.0), None)
    _require(isinstance(notice, str), "check_against must return a notice, empty for none")


def check_tracker(tracker: str | Callable[[TrackerRequest], Tracker]) -> None:
    """Check the contract of a tracker.

    It tracks two walkers, of whom one is not detected in some frames, and boxes of low score.

    Args:
        tracker: ``package.module:Class``, a listed name, or the class itself.

    Raises:
        AssertionError: The contract is broken; the message names the rule.
        UsageError: The reference cannot be imported.
    """
    make = resolve("tracker", TRACKERS, tracker) if isinstance(tracker, str) else tracker
    first, second = (make(TrackerRequest(10.0, (640, 480))) for _ in range(2))
    _has(first, trackers.MEMBERS)
    _require(0 <= first.min_score <= 1, f"min_score must be between 0 and 1, got {first.min_score!r}")
    found = [_tracked(first, index, rows) for index, rows in enumerate(_walkers())]
    again = [_tracked(second, index, rows) for index, rows in enumerate(_walkers())]
    _require(all(map(_same, found, again)), "the same boxes must get the same ids")
    if first.keeps_tracks:
        ids = {(row, int(rows.track_id[row])) for rows in found[10:20] for row in (0, 1)}
        _require(len(ids) == 2, "an object without occlusion must keep its id, or keeps_tracks must be False")


def sample_clip() -> list[Frame]:
    """Return twenty frames of 160 × 120 pixels: a light rectangle that crosses a noisy background."""
    rng, frames = np.random.default_rng(3), []
    for index in range(20):
        image = rng.normal(100, 4, (120, 160, 3)).clip(0, 255).astype(np.uint8)
        image[30:90, 5 * index : 5 * index + 25] = 240
        frames.append(Frame(index, index / 10, image))
    return frames


def sample_image() -> Image:
    """Return a ``(90, 120, 3)`` image of tiles in random colours, so that crops of different places differ."""
    tiles = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return tiles.repeat(15, axis=0).repeat(15, axis=1)


def _walkers() -> Iterator[Detections]:
    """Yield the boxes of thirty frames; the second walker is missed in five of them, and some frames are empty."""
    for index in range(30):
        xyxy = np.array([[10, 10, 50, 110], [500, 300, 540, 400], [300, 50, 330, 90]], np.float32)
        xyxy[:, [0, 2]] += np.array([[6], [-6], [0]]) * index
        rows = Detections(xyxy, np.array([0.9, 0.8, 0.05], np.float32), np.zeros(3, np.int64))
        yield rows[:0] if index in (27, 28) else rows[[0, 2]] if 20 <= index < 25 else rows


def _detected(detector: Detector, frame: Frame) -> Detections:
    """Return the boxes of a frame, checked."""
    before = frame.pixels().copy()
    found = detector.detect(dataclasses.replace(frame, image=None) if detector.is_recorded else frame)
    _require(np.array_equal(frame.pixels(), before), "detect must not change the image")
    _require(isinstance(found, Detections), f"detect must return Detections, got {type(found).__name__}")
    _require(boxes.usable(found.xyxy).all(), "boxes must be finite and of positive size")
    _require(((found.score >= 0) & (found.score <= 1)).all(), "scores must lie between 0 and 1")
    descending = detector.is_recorded or (np.diff(found.score) <= 0).all()
    _require(descending, "rows must be sorted by descending score")
    _require((found.track_id == -1).all(), "a detector must not assign ids")
    return found


def _tracked(tracker: Tracker, index: int, rows: Detections) -> Detections:
    """Return the rows of one more frame with their ids, checked."""
    settled = tracker.settled
    view = tracker.predict(Frame(index, index / 10))
    _require(isinstance(view, TrackView), "predict must return a TrackView")
    found = tracker.update(rows)
    own = np.arange(len(found)) < len(rows)
    same_rows = "update must return the same rows, in order, before any other"
    _require(len(found) >= len(rows) and _same(found[own].replace(track_id=rows.track_id), rows), same_rows)
    _require(found.coasted[~own].all(), "rows beyond those detected must be marked as coasted")
    _require(found.track_xyxy is not None or not len(found), "track_xyxy must be set")
    ids = found.track_id[found.track_id >= (1 if tracker.keeps_tracks else 0)]
    _require(len(np.unique(ids)) == len(ids), "an id must be unique in a frame")
    states = np.isin(found.state, [int(state) for state in TrackState])
    _require(states.all(), "state must be one of TrackState")
    _require(isinstance(tracker.lost(), TrackView), "lost must return a TrackView")
    past = all(settled <= revision.frame_index < index for revision in tracker.revisions)
    _require(past, "a revision must not change frames before settled, nor future frames")
    _require(settled <= tracker.settled <= index + 1, "settled must never fall, nor pass the next frame")
    return found


def _same(one: Detections, other: Detections) -> bool:
    """Tell whether two frames' boxes, scores, classes and ids are equal to the bit."""
    columns = ("xyxy", "score", "class_id", "track_id")
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in columns)


def _has(made: object, members: Iterable[str]) -> None:
    for name in members:
        _require(hasattr(made, name), f"it must have '{name}'")


def _require(holds: bool | np.bool_, rule: str) -> None:
    if not holds:
        raise AssertionError(f"the contract is broken: {rule}")


def _check_description(embedder: Embedder) -> None:
    _has(embedder, features.MEMBERS)
    _require(bool(embedder.info.name), "info.name must not be empty")
    _require(isinstance(embedder.dim, int) and embedder.dim >= 0, f"dim must be a whole number, got {embedder.dim!r}")
    floor = getattr(embedder, "same_floor", None)
    _require(floor is None or -1 <= floor < 1, f"same_floor must be a cosine below 1 or None, got {floor!r}")


def _check_unit_rows(embedder: Embedder) -> None:
    image = sample_image()
    before = image.copy()
    rows = embedder.embed(image, BOXES)
    embedder.synchronize()
    _unit(embedder, rows, len(BOXES), "embed")
    _require(np.array_equal(image, before), "embed must not change the image")
    _require(np.array_equal(embedder.embed(image, BOXES), rows), "the same input must give bit-identical rows")
    _unit(embedder, embedder.embed(image, np.zeros((0, 4), np.float32)), 0, "embed without boxes")
    if embedder.dim:
        alike = (rows @ rows.T)[~np.eye(len(rows), dtype=bool)].max()
        _require(alike < 1 - CLOSE, "different crops must have different vectors")


def _check_any_box(embedder: Embedder) -> None:
    inf, nan = np.inf, np.nan
    odd = [[nan] * 4, [5, 5, 5, 5], [50, 50, 10, 10], [900, 900, 950, 990], [-inf, -inf, inf, inf], [0, nan, 9, 9]]
    rows = embedder.embed(sample_image(), np.array([*odd, BOXES[0]], np.float32))
    _unit(embedder, rows, 7, "embed with boxes that are NaN, inverted, empty or outside")
    alone = embedder.embed(sample_image(), BOXES[:1])
    _require(np.allclose(rows[6:], alone, atol=CLOSE), "invalid boxes must not change the rows of valid ones")


def _check_crops_are_independent(embedder: Embedder, single: Embedder) -> None:
    rows = embedder.embed(sample_image(), BOXES)
    turned = embedder.embed(sample_image(), BOXES[::-1])[::-1]
    _require(np.allclose(turned, rows, atol=CLOSE), "rows must be in the order of the boxes")
    one_by_one = single.embed(sample_image(), BOXES)
    _require(np.allclose(one_by_one, rows, atol=CLOSE), "a row must not depend on the batch size")


def _check_whole_images(embedder: Embedder) -> None:
    image = sample_image()
    rows = embedder.embed_images([image, image[:40, :60], image[:1, :1]])
    _unit(embedder, rows, 3, "embed_images with images of different sizes")
    _unit(embedder, embedder.embed_images([]), 0, "embed_images without images")
    if not embedder.dim:
        return
    try:
        embedder.embed_images([image, image[:0]])
    except InputError:
        return
    _require(False, "embed_images must raise InputError for an image without pixels")


def _unit(embedder: Embedder, rows: FloatArray | npt.NDArray[np.generic], count: int, what: str) -> None:
    shape, wanted = getattr(rows, "shape", None), (count, embedder.dim)
    _require(shape == wanted, f"{what} must return {wanted} rows, got {shape}")
    _require(rows.dtype == np.float32, f"{what} must return float32, got {rows.dtype}")
    if embedder.dim and count:
        norms = np.linalg.norm(np.asarray(rows, np.float64), axis=1)
        _require(np.allclose(norms, 1, atol=CLOSE), f"{what} must return rows of length 1")
