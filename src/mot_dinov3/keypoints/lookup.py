"""Asks the dense descriptors where the keypoints of an instance are."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mot_dinov3.keypoints import masks, search
from mot_dinov3.keypoints.anchors import Measurement, fuse
from mot_dinov3.keypoints.backends import DenseBackend
from mot_dinov3.keypoints.config import KeypointConfig
from mot_dinov3.keypoints.geometry import Canvas, Points, apply
from mot_dinov3.keypoints.labels import Body
from mot_dinov3.keypoints.matching import DenseMap, centres, find_peak, unit
from mot_dinov3.keypoints.structure import expected_places, is_swapped, symmetry_pairs, tolerance
from mot_dinov3.structures import BoolArray, FloatArray, Image

Array = npt.NDArray[np.float64]

BELIEVED_BONUS = 0.08  # similarity that a believed place has ahead of others
RECENT_DISCOUNT = 0.1  # what a template of a tracked frame counts less than a person's
RECENT_RATE = 0.2  # how fast that template follows
LEARN_ABOVE = 0.95  # of the way from unrelated to same, similarity from which it does
CLEAR = 0.05  # by which the best peak must stand out from the second one to be called clear
PEAK_SIGMA = 0.5  # patches: error of a peak
ROUNDS = 2


@dataclasses.dataclass(frozen=True)
class Question:
    """What is known before the descriptors are asked; lengths in pixels of the canvas.

    Attributes:
        places: ``(n, 2)`` predicted places.
        variance: ``(n,)``.
        layout: ``(n, 2)`` usual places.
        believed: ``(n,)`` bool: motion found the point.
        fixed: ``(n,)`` bool: the labelled frame found it; descriptors do not move it.
        velocity: ``(n,)`` smoothed speed per frame.
        flow: ``(n,)`` how far the measured flow is from the prediction.
        misses: ``(n,)`` misses in a row.
        score: ``(n,)`` scores of the frame before.
        rivals: For each keypoint ``(r, 2)``.
        polygons: Outlines.
        factor: Canvas pixels per source pixel.
    """

    places: Points
    variance: Array
    layout: Points
    believed: BoolArray
    fixed: BoolArray
    velocity: Array
    flow: Array
    misses: Array
    score: Array
    rivals: Sequence[Points]
    polygons: Sequence[Points]
    factor: float


@dataclasses.dataclass(frozen=True)
class Answer:
    """What the descriptors say; polygons are None where they do not carry the mask on, empty where they lost it."""

    places: Points
    variance: Array
    score: Array
    missed: BoolArray
    swapped: BoolArray
    polygons: Sequence[Points] | None


@dataclasses.dataclass(frozen=True)
class _View:
    """The cells within a keypoint's search radius.

    Attributes:
        heights: ``(a, b)`` similarity less what speaks against each place.
        places: ``(a, b, 2)`` pixels of the canvas.
        corner: ``(2,)`` pixels where the first cell begins.
        patch: Pixels of a cell.
    """

    heights: Array
    places: Points
    corner: Points
    patch: float


class Lookup:
    """Templates of one instance's keypoints, and the search for them.

    Args:
        config: The settings.
        backend: Describes canvases.
        body: The instance in its labelled frame.
        canvas: How it is looked at.
        structured: Let keypoints say where their neighbours are.
    """

    def __init__(
        self, config: KeypointConfig, backend: DenseBackend, body: Body, canvas: Canvas, *, structured: bool
    ) -> None:
        self.config, self.backend, self.canvas = config, backend, canvas
        self.structured = structured
        self.points = apply(canvas.to_canvas, body.xy)
        low, high = self.points.min(0), self.points.max(0)
        self.extent = max(float((high - low).max()), 8.0)
        self.pairs = symmetry_pairs(body.keypoints, config.symmetry_pairs)
        self.human: list[FloatArray] = []
        self.contexts: list[masks.Context] = []
        self._carries_mask = config.masks == "dino"

    def begin(self, view: Image, polygons: Sequence[Points]) -> None:
        """Take the templates from the canvas of the labelled frame, at the exact clicks."""
        self.seed_map = self.backend.describe(view)
        self.human.append(self.seed_map.at(self.points))
        self.recent = self.human[0].copy()
        if self._carries_mask and polygons:
            drawn = [apply(self.canvas.to_canvas, p) for p in polygons]
            self.contexts.append(masks.Context(self.seed_map, self._share(drawn, self.seed_map)))

    def learn(self, view: Image, points: Points, known: BoolArray) -> None:
        """Take further templates that a person vouches for: they are never dropped."""
        rows = self.backend.describe(view).at(points)
        self.human.append(np.where(known[:, None], rows, 0.0).astype(np.float32))

    def ask(self, view: Image, question: Question) -> Answer:
        """Look for all keypoints in the canvas of the current frame."""
        dense = self.backend.describe(view)
        polygons = self._carry_mask(dense)
        outside = self._outside(polygons or question.polygons, dense)
        places, variance = question.places.copy(), question.variance.copy()
        usual = tolerance(question.layout, extent=self.extent)
        views = {i: self._heights(i, question, dense, outside) for i in np.flatnonzero(~question.fixed).tolist()}
        for _ in range(ROUNDS if self.structured else 1):
            expected = expected_places(places, question.layout, self._trust(question), extent=self.extent)
            for i, found in views.items():
                if found is not None:
                    heights = self._with_structure(found, expected[i], usual[i])
                    places[i], variance[i] = self._decide(i, found, heights, question)
        places, swapped = self._swap(places, question, dense)
        similar = self._similar(dense.at(places))
        score = self._score(similar)
        score = np.where(question.fixed, np.maximum(score, 0.9), score)
        missed = (score < 0.5) & ~question.fixed
        self._remember(dense, places, similar)
        return Answer(places, variance, score, missed, swapped, polygons)

    def _trust(self, question: Question) -> Array:
        return np.asarray(np.maximum(question.score, 0.05) * np.where(question.fixed, 2.0, 1.0))

    def _window(self, i: int, question: Question, dense: DenseMap) -> tuple[slice, slice] | None:
        """Return rows and columns of the map within the search radius of keypoint `i`."""
        patch = self.backend.unit_patch
        one = np.array([i])
        radius = float(
            search.search_radius(
                self.config, question.velocity[one] / patch, question.flow[one] / patch, question.misses[one]
            )[0]
        )
        cells = radius * patch / dense.patch
        at = question.places[i] / dense.patch - 0.5
        low, high = np.floor(at - cells).astype(int), np.ceil(at + cells).astype(int) + 1
        height, width = dense.cells.shape[:2]
        low, high = np.maximum(low, 0), np.minimum(high, (width, height))
        if (high <= low).any():
            return None
        return slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0]))

    def _heights(self, i: int, question: Question, dense: DenseMap, outside: Array | None) -> _View | None:
        """Return similarity less all but the structure that speaks against a place, within the search radius."""
        window = self._window(i, question, dense)
        if window is None:
            return None
        cells = dense.cells[window]
        corner = np.array([window[1].start, window[0].start]) * dense.patch
        places = centres(cells.shape[:2], dense.patch) + corner
        rows = cells.reshape(-1, cells.shape[2])
        heights = self._similar_to(i, rows).reshape(cells.shape[:2]).astype(np.float64)
        own = question.places[i]
        distance = np.linalg.norm(places - own, axis=2)
        radius = max(cells.shape[:2]) / 2 * dense.patch
        heights -= search.prior_penalty(
            self.config,
            distance / question.factor,
            radius_px=radius / question.factor,
            misses=float(question.misses[i]),
            speed_px=float(question.velocity[i]) / question.factor,
        )
        if outside is not None:
            heights -= search.mask_penalty(outside[window], self.extent)
        return _View(heights - search.rival_penalty(places, own, question.rivals[i]), places, corner, dense.patch)

    def _with_structure(self, view: _View, expected: Points, usual: float) -> Array:
        if not self.structured:
            return view.heights
        return view.heights - search.structure_penalty(np.linalg.norm(view.places - expected, axis=2), usual)

    def _decide(self, i: int, view: _View, heights: Array, question: Question) -> tuple[Points, float]:
        """Return place and variance: the peak where it beats the prediction, else both fused by precision."""
        peak = find_peak(heights, view.patch)
        found = peak.xy + view.corner
        own, variance = question.places[i], float(question.variance[i])
        column, row = np.rint((own - view.corner) / view.patch - 0.5).astype(int)
        row, column = int(np.clip(row, 0, heights.shape[0] - 1)), int(np.clip(column, 0, heights.shape[1] - 1))
        here = float(heights[row, column]) + (BELIEVED_BONUS if question.believed[i] else 0.0)
        sigma = PEAK_SIGMA * view.patch * (1.0 if peak.value - peak.second > CLEAR else 2.0)
        if peak.value > here:
            return found, max(variance, sigma**2)
        measured = Measurement(found[None], np.array([2 * sigma]))
        fused, better, _ = fuse(own[None], np.array([variance]), measured)
        return fused[0], float(better[0])

    def _similar_to(self, i: int, rows: FloatArray) -> FloatArray:
        """Return the ``(k,)`` similarity of descriptors to the templates of keypoint `i`: the best template counts."""
        templates = np.stack([t[i] for t in self.human])
        best = (rows @ templates.T).max(1)
        return np.asarray(np.maximum(best, rows @ self.recent[i] - RECENT_DISCOUNT))

    def _similar(self, rows: FloatArray) -> FloatArray:
        return np.array([self._similar_to(i, rows[i : i + 1])[0] for i in range(len(rows))], np.float32)

    def _score(self, similar: FloatArray) -> Array:
        unrelated, same = self.backend.unrelated, self.backend.same
        return np.clip((similar.astype(np.float64) - unrelated) / (same - unrelated), 0.0, 1.0)

    def _swap(self, places: Points, question: Question, dense: DenseMap) -> tuple[Points, BoolArray]:
        """Exchange the places of left/right pairs that fit better the other way round."""
        swapped = np.zeros(len(places), np.bool_)
        rows = dense.at(places)
        for left, right in self.pairs:
            if question.fixed[left] or question.fixed[right]:
                continue
            both = rows[[left, right]]
            if is_swapped(np.stack([self._similar_to(left, both), self._similar_to(right, both)])):
                places[[left, right]] = places[[right, left]]
                swapped[[left, right]] = True
        return places, swapped

    def _remember(self, dense: DenseMap, places: Points, similar: FloatArray) -> None:
        good = self._score(similar) >= LEARN_ABOVE
        rows = dense.at(places)
        self.recent = np.where(good[:, None], unit((1 - RECENT_RATE) * self.recent + RECENT_RATE * rows), self.recent)

    def _outside(self, polygons: Sequence[Points], dense: DenseMap) -> Array | None:
        if not len(polygons):
            return None
        return masks.outside_distance(self._share(polygons, dense) > 0.25) * dense.patch

    def _share(self, polygons: Sequence[Points], dense: DenseMap) -> Array:
        """Return how much of each cell polygons on the canvas cover."""
        import cv2

        mask = masks.rasterize(polygons, (self.canvas.side, self.canvas.side)).astype(np.float32)
        size = (dense.cells.shape[1], dense.cells.shape[0])
        return np.asarray(cv2.resize(mask, size, interpolation=cv2.INTER_AREA), np.float64)

    def _carry_mask(self, dense: DenseMap) -> Sequence[Points] | None:
        """Return the outlines that label propagation gives on the canvas, or None where something else carries them."""
        if not self.contexts:
            return None
        import cv2

        share = masks.propagate(self.contexts, dense)
        self.contexts = [self.contexts[0], *self.contexts[1:][-(masks.RECENT - 1) :], masks.Context(dense, share)]
        side = self.canvas.side
        full = cv2.resize(share, (side, side), interpolation=cv2.INTER_CUBIC) > 0.5
        return masks.outlines(full)
