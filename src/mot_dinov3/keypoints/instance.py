"""Follows the keypoints of one instance from one picture to the next, in either direction of time.

For each picture: Lucas-Kanade from the picture before (`motion`), then the labelled frame itself
(`anchors`), then descriptors where there is doubt (`search`), fused by precision; what that leaves open, the other
keypoints say (`structure`).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mot_dinov3.core.structures import BoolArray, PointState
from mot_dinov3.keypoints import masks
from mot_dinov3.keypoints.backends import DenseBackend
from mot_dinov3.keypoints.config import KeypointConfig
from mot_dinov3.keypoints.descriptor_search import Lookup, Question
from mot_dinov3.keypoints.estimate import Estimate
from mot_dinov3.keypoints.geometry import (
    IDENTITY,
    Canvas,
    Matrix,
    Points,
    apply,
    compose,
    invert,
    robust_similarity,
    scale_of,
)
from mot_dinov3.keypoints.labels import Body
from mot_dinov3.keypoints.outline import CarriedOutline
from mot_dinov3.keypoints.point_flow import Flow, Picture, carried, pick_supports
from mot_dinov3.keypoints.redetect import FrameSearch
from mot_dinov3.keypoints.template_alignment import SeedView, fuse

Array = npt.NDArray[np.float64]

BACK_ERROR = 1.5  # pixels of forward-backward error up to which Lucas-Kanade is believed
SUPPORTS = 50
STEP_SIGMA = 0.15  # pixels of error per believed step
BLIND_SIGMA = 0.03  # of the instance's extent: error per step without a measurement
LAYOUT_RATE = 0.1  # how fast the usual layout follows what is seen
POSE_RATE = 0.2  # how fast the pose follows the keypoints' layout; and the anchored supports:
ANCHORED_POSE_RATE = 0.5
OCCLUDED_AFTER = 3  # frames in a row unseen
LOST_AFTER = 30
GONE = 0.7  # of an instance's points unseen: it is looked for all over the frame


class InstanceTracker:
    """Follows one instance.

    Args:
        config: The settings.
        backend: Describes canvases; None follows motion alone.
        picture: The labelled frame.
        body: The instance in it; only keypoints that are labelled here are followed.
        anchored: Measure against the labelled frame (an ablation turns it off).
        structured: Let keypoints say where their neighbours are (an ablation turns it off).
    """

    def __init__(
        self,
        config: KeypointConfig,
        backend: DenseBackend | None,
        picture: Picture,
        body: Body,
        *,
        anchored: bool = True,
        structured: bool = True,
    ) -> None:
        self.config, self.body = config, body
        self.xy = body.xy.copy()
        n = len(self.xy)
        outline = np.vstack([self.xy, *body.polygons])
        self.extent = max(float((outline.max(0) - outline.min(0)).max()), 8.0)
        self.canvas = Canvas.around(outline, limit=config.working_side)
        self.pose: Matrix = IDENTITY.copy()
        self.seen_pose = self.pose  # when most of it was seen
        self.outline = CarriedOutline(config, body, extent=self.extent, size=picture.grey.shape)
        self.variance = np.full(n, 0.25)
        self.velocity, self.score, self.likeness = np.zeros((n, 2)), np.ones(n), np.ones(n)
        self.misses, self.unseen = np.zeros(n), np.zeros(n)
        self.layout = self.xy.copy()
        self.supports = self._new_supports(picture, SUPPORTS)
        self.lookup: Lookup | None = None
        if backend is not None:
            self.lookup = Lookup(config, backend, body, self.canvas, structured=structured)
            self.lookup.begin(self.canvas.view(picture.image, self.pose), self.outline.polygons)
            points = body.xy
            self.everywhere = FrameSearch(self.lookup.origin, backend, self.canvas, points=points, extent=self.extent)
        self.seed: SeedView | None = None
        if anchored:
            to_canvas = self.canvas.to_canvas
            points, supports = apply(to_canvas, self.xy), apply(to_canvas, self.supports)
            view = self.canvas.view(picture.grey, self.pose)
            self.seed = SeedView(
                view, points, supports, extent=self.extent * self.canvas.factor, factor=self.canvas.factor
            )
        self._size = picture.grey.shape

    def also_labelled(self, picture: Picture, body: Body) -> None:
        """Learn templates from another labelled frame of the same instance."""
        both = self.body.known & body.known
        if self.lookup is None or both.sum() < 1:
            return
        pose = robust_similarity(self.body.xy[both], body.xy[both], np.ones(both.sum()), width=0.03 * self.extent)
        if pose is None:
            shift = (body.xy[both] - self.body.xy[both]).mean(0)
            pose = np.hstack([np.eye(2), shift[:, None]])
        points = apply(self.canvas.matrix(pose), np.where(both[:, None], body.xy, self.body.xy))
        self.lookup.learn(self.canvas.view(picture.image, pose), points, both)

    def jump(self, picture: Picture, xy: Points, polygons: tuple[Points, ...]) -> None:
        """Go on from a later picture: what was known of it is taken over, the rest follows from the labelled frame.

        Args:
            picture: The later picture.
            xy: ``(n, 2)`` places in it; NaN where a point was lost.
            polygons: The instance's outlines in it; none for those of the labelled frame, moved along.
        """
        known: BoolArray = np.asarray(np.isfinite(xy).all(1), np.bool_)
        pose = None
        if known.sum() >= 2:
            source, target = self.body.xy[known], xy[known]
            pose = robust_similarity(source, target, np.ones(len(source)), width=0.03 * self.extent)
        self.pose = self.pose if pose is None else pose
        self.xy = np.where(known[:, None], xy, apply(self.pose, self.body.xy))
        self.outline.jump(self.pose, polygons)
        self.layout = apply(invert(self.pose), self.xy)
        self.misses = np.where(known, 0.0, float(OCCLUDED_AFTER))
        self.unseen = self.misses.copy()
        self.supports = self._new_supports(picture, SUPPORTS)

    def points(self) -> Points:
        """Return the ``(n + m, 2)`` keypoints and supports to follow into the next picture."""
        return np.vstack([self.xy, self.supports])

    def step(
        self,
        picture: Picture,
        flow: Flow,
        rivals: Points,
        *,
        key: bool,
        outline: tuple[Points, ...] | None = None,
    ) -> Estimate:
        """Move on to the next picture.

        Args:
            picture: The next picture.
            flow: Where Lucas-Kanade found `points` in it.
            rivals: ``(n, r, 2)`` where other instances have the keypoint of that name; NaN where they have none.
            key: It is a key frame: ask the descriptors even without doubt.
            outline: Where something else carries the mask on: its outlines here, none where it lost the instance.
        """
        n = len(self.xy)
        before = self.xy
        predicted, believed = self._move(flow)
        if outline is not None:
            self.outline.take(outline)
        self.variance = self.variance + np.where(
            believed, STEP_SIGMA**2 + 0.25 * np.minimum(flow.error[:n], 3.0) ** 2, (BLIND_SIGMA * self.extent) ** 2
        )
        matrix = self.canvas.matrix(self.pose)
        factor = scale_of(matrix)
        places, variance = apply(matrix, predicted), self.variance * factor**2
        places, variance, fine, correction = self._anchor(picture, places, variance)
        believed = believed | fine
        swapped = np.zeros(n, np.bool_)
        if self.lookup is not None and (key or not believed.all() or self.unseen.any()):
            question = Question(
                places=places,
                variance=variance,
                layout=apply(self.canvas.to_canvas, self.layout),
                believed=believed,
                fixed=fine,
                velocity=np.linalg.norm(self.velocity, axis=1) * factor,
                flow=np.linalg.norm(apply(matrix, flow.xy[:n]) - places, axis=1) * np.isfinite(flow.error[:n]),
                misses=self.misses,
                unseen=self.unseen,
                score=self.score,
                rivals=apply(matrix, rivals),
                polygons=[apply(matrix, p) for p in self.outline.polygons],
                factor=factor,
            )
            answer = self.lookup.ask(self.canvas.view(picture.image, self.pose), question)
            places, variance, swapped = answer.places, answer.variance, answer.swapped
            self.score, self.likeness = answer.score, answer.likeness
            self.misses = np.where(self.score < 0.5, self.misses + 1, 0)
            self.unseen = np.where(np.minimum(self.score, self.likeness) < 0.5, self.unseen + 1, 0)
            if answer.polygons is not None:
                self.outline.take([apply(invert(matrix), p) for p in answer.polygons])
        else:
            self.score = np.where(believed, self.score, 0.9 * self.score)
        self.outline.give_up(self.pose)
        self.xy, far = self.outline.snap(apply(invert(matrix), places))
        self.misses = np.where(far, self.misses + 1, self.misses)
        self.unseen = np.where(far, np.maximum(self.unseen, self.misses), self.unseen)
        self.variance = variance / factor**2
        if (self.unseen == 0).mean() > 0.5:
            self.seen_pose = self.pose
        if not (key and self._back_again(picture)):
            self._follow_up(before, fine, correction)
            self._renew_supports(picture)
        score = np.minimum(self.score, self.likeness)
        return Estimate(self.xy, self.variance, score, self._states(), self.outline.polygons, swapped)

    def _move(self, flow: Flow) -> tuple[Points, BoolArray]:
        """Carry pose, polygons and supports on; return where the points went and which of them are believed."""
        n = len(self.xy)
        ok = flow.good(BACK_ERROR)
        weight = np.where(ok, 1 / (1 + np.where(ok, flow.error, 0.0) ** 2), 0.0)
        start, moves = self.points(), flow.xy - self.points()
        whole = self._whole(start, flow.xy, weight)
        self.pose = compose(whole, self.pose)
        beyond = flow.xy[n:] - apply(whole, self.supports)
        trusted = weight[n:] * (np.linalg.norm(beyond, axis=1) < 0.1 * self.extent)
        around = apply(whole, self.xy) - self.xy + carried(self.xy, self.supports, beyond, trusted, 0.06 * self.extent)
        believed = ok[:n] & (np.linalg.norm(moves[:n] - around, axis=1) < 0.15 * self.extent)
        predicted = np.where(believed[:, None], flow.xy[:n], self.xy + around)
        self.outline.carry(self.pose, whole, self.supports, beyond, trusted)
        self.supports = flow.xy[n:][ok[n:] & (np.linalg.norm(beyond, axis=1) < 0.08 * self.extent)]
        return predicted, believed

    def _whole(self, start: Points, end: Points, weight: Array) -> Matrix:
        n = len(self.xy)
        rows = np.flatnonzero(weight > 0)
        of_supports = rows[rows >= n]
        chosen = of_supports if len(of_supports) >= 4 else rows
        if len(chosen) < 3:
            return IDENTITY.copy()
        whole = robust_similarity(start[chosen], end[chosen], weight[chosen])
        return IDENTITY.copy() if whole is None or not 0.7 < scale_of(whole) < 1.4 else whole

    def _anchor(
        self, picture: Picture, places: Points, variance: Array
    ) -> tuple[Points, Array, BoolArray, Matrix | None]:
        """Measure against the labelled frame, on the canvas."""
        if self.seed is None:
            return places, variance, np.zeros(len(places), np.bool_), None
        anchored = self.seed.find(self.canvas.view(picture.grey, self.pose), places)
        taken = np.zeros(len(places), np.bool_)
        for measurement in anchored.measurements:
            places, variance, taken = fuse(places, variance, measurement)
        return places, variance, taken, anchored.correction

    def _follow_up(self, before: Points, fine: BoolArray, correction: Matrix | None) -> None:
        """Update velocity, usual layout and pose."""
        newest = self.config.velocity_smoothing
        self.velocity = (1 - newest) * self.velocity + newest * (self.xy - before)
        upright = apply(invert(self.pose), self.xy)
        rate = np.where(self.unseen == 0, LAYOUT_RATE, 0.0)[:, None]
        self.layout = (1 - rate) * self.layout + rate * upright
        if correction is not None:
            to_canvas = self.canvas.to_canvas
            asked = compose(self.pose, compose(invert(to_canvas), compose(correction, to_canvas)))
            self.pose = (1 - ANCHORED_POSE_RATE) * self.pose + ANCHORED_POSE_RATE * asked
            return
        self._hand_over_to_pose()
        weights = self.score * np.where(fine, 3.0, 1.0)
        asked_by_layout = robust_similarity(self.layout, self.xy, weights, width=0.03 * self.extent)
        if asked_by_layout is not None:
            self.pose = (1 - POSE_RATE) * self.pose + POSE_RATE * asked_by_layout

    def _hand_over_to_pose(self) -> None:
        """Give the pose what the usual layout has changed as a whole: an animal that walks away shrinks altogether."""
        seen = self.unseen == 0
        if seen.sum() < 4:
            return
        weights = np.ones(int(seen.sum()))
        whole = robust_similarity(self.body.xy[seen], self.layout[seen], weights, width=0.1 * self.extent)
        if whole is not None and 0.5 < scale_of(whole) < 2:
            self.layout = apply(invert(whole), self.layout)
            self.pose = compose(self.pose, whole)

    def _back_again(self, picture: Picture) -> bool:
        """Look for the instance all over the frame if it is gone; tell whether it was found."""
        if self.lookup is None or (self.unseen >= OCCLUDED_AFTER).mean() < GONE:
            return False
        found = self.everywhere.look(picture.image, self.seen_pose, self.lookup.usual)
        if found is None:
            return False
        self.jump(picture, found, ())
        self.velocity = np.zeros_like(self.velocity)
        patch = self.lookup.backend.unit_patch / self.canvas.factor * scale_of(self.pose)
        self.variance = np.full(len(self.xy), patch**2)
        self.score = np.where(self.unseen == 0, 0.7, self.score)
        return True

    def _new_supports(self, picture: Picture, count: int) -> Points:
        polygons = self.outline.polygons
        mask = masks.rasterize(polygons, picture.grey.shape) if polygons else None
        return pick_supports(picture.grey, mask, self.xy, count=count, reach=0.05 * self.extent)

    def _renew_supports(self, picture: Picture) -> None:
        if len(self.supports) < 0.6 * SUPPORTS:
            fresh = self._new_supports(picture, SUPPORTS - len(self.supports))
            self.supports = np.vstack([self.supports, fresh])

    def _states(self) -> npt.NDArray[np.int64]:
        height, width = self._size
        inside = ((self.xy >= 0) & (self.xy <= (width - 1, height - 1))).all(1)
        state = np.where(self.unseen >= OCCLUDED_AFTER, PointState.OCCLUDED, PointState.VISIBLE)
        return np.where(inside & (self.unseen < LOST_AFTER), state, PointState.LOST).astype(np.int64)
