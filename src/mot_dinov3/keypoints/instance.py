"""Keypoint tracking of one instance from frame to frame, in either direction of time.

In each frame: Lucas-Kanade from the frame before (`point_flow`), alignment with the labelled frame itself
(`template_alignment`), descriptors where those are not enough (`descriptor_search`), fused by precision; points that
none of them finds are placed by their neighbours (`skeleton`).
"""

from __future__ import annotations

import numpy as np

from mot_dinov3.core.structures import BoolArray
from mot_dinov3.keypoints import masks
from mot_dinov3.keypoints.backends.base import DenseBackend
from mot_dinov3.keypoints.colour_pose import ColourPose
from mot_dinov3.keypoints.config import ALL_PARTS, KeypointConfig, MethodParts
from mot_dinov3.keypoints.descriptor_search import DescriptorMatcher, DescriptorQuery, DescriptorResult
from mot_dinov3.keypoints.fusion import Estimate
from mot_dinov3.keypoints.geometry import (
    IDENTITY,
    Array,
    Canvas,
    Matrix,
    Points,
    apply,
    compose,
    hull_of,
    invert,
    robust_similarity,
    scale_of,
    similarity_or_shift,
)
from mot_dinov3.keypoints.labels import LabelledInstance
from mot_dinov3.keypoints.mask_tracking import OutlineTracker
from mot_dinov3.keypoints.point_flow import (
    BACK_ERROR,
    Flow,
    FlowFrame,
    SupportMotion,
    follows_background,
    pick_supports,
    whole_motion,
)
from mot_dinov3.keypoints.point_score import PointScorer, states
from mot_dinov3.keypoints.redetect import FrameSearch
from mot_dinov3.keypoints.template_alignment import ReferenceAlignment, ReferenceView

SUPPORTS = 50
ASTRAY_WEIGHT = 0.05  # of points that follow the background
STEP_SIGMA = 0.15  # pixels of error per trusted step
BLIND_SIGMA = 0.03  # of the instance's extent: error per step without a measurement
LAYOUT_RATE = 0.1  # weight of the newest frame in the typical layout
POSE_RATE = 0.2  # weight in the pose of the keypoints' layout; and of the aligned supports:
ALIGNED_POSE_RATE = 0.5
LAYOUT_POINTS = 6  # visible ones, from which their layout moves the pose of an instance that is followed by its colours
OCCLUDED_AFTER = 3  # frames in a row not visible
GONE_SHARE = 0.7  # of an instance's points not visible: the whole frame is searched


class InstanceTracker:
    """Tracks the keypoints of one instance.

    Args:
        config: The stage's options.
        backend: Describes canvases; None tracks by motion alone.
        frame: The labelled frame.
        instance: The instance in it; only keypoints that are labelled here are tracked.
        parts: The parts of the method in use.
    """

    def __init__(
        self,
        config: KeypointConfig,
        backend: DenseBackend | None,
        frame: FlowFrame,
        instance: LabelledInstance,
        parts: MethodParts = ALL_PARTS,
    ) -> None:
        self.instance = instance
        self.xy = instance.xy.copy()
        n = len(self.xy)
        corners = np.vstack([self.xy, *instance.polygons])
        self._config, self._size = config, frame.grey.shape
        self._extent = max(float(np.ptp(corners, axis=0).max()), 8.0)
        limit, enlarge = min(config.short_side, config.crop_side), 2.0 if backend is None else backend.enlarge
        self._canvas = Canvas.around(corners, limit=limit, enlarge=enlarge)
        self._pose: Matrix = IDENTITY.copy()
        self._motion: Matrix = self._pose  # since the frame before
        self._seen_pose = self._pose  # when most of it was visible
        self._outline = OutlineTracker(config, instance, extent=self._extent, size=self._size)
        colours = ColourPose(frame.image, instance.polygons) if parts.colours and self._outline.polygons else None
        self._colours = colours if colours and colours.distinct else None
        self._variance, self._velocity = np.full(n, 0.25), np.zeros((n, 2))
        self._score, self._visibility = np.ones(n), np.ones(n)
        self._misses, self._unseen = np.zeros(n), np.zeros(n)
        self.scorer = PointScorer(instance, self._canvas, extent=self._extent)
        self._layout = self.xy.copy()
        self._supports = self._new_supports(frame, SUPPORTS)
        self._reference = self._reference_view(frame) if parts.alignment else None
        self._matcher: DescriptorMatcher | None = None
        if backend is not None:
            self._matcher = DescriptorMatcher(config, backend, instance, self._canvas, skeleton=parts.skeleton)
            self._matcher.begin(self._canvas.view(frame.image, self._pose), self._outline.polygons)
            reference, points = self._matcher.reference, instance.xy
            self._frame_search = FrameSearch(reference, backend, self._canvas, points=points, extent=self._extent)

    def _reference_view(self, frame: FlowFrame) -> ReferenceView:
        to_canvas, factor = self._canvas.to_canvas, self._canvas.factor
        points, supports = apply(to_canvas, self.xy), apply(to_canvas, self._supports)
        view = self._canvas.view(frame.grey, self._pose)
        return ReferenceView(view, points, supports, extent=self._extent * factor, factor=factor)

    def learn(self, frame: FlowFrame, instance: LabelledInstance) -> None:
        """Learn templates from another labelled frame of the same instance."""
        both = self.instance.known & instance.known
        if self._matcher is None or both.sum() < 1:
            return
        pose = similarity_or_shift(self.instance.xy[both], instance.xy[both], width=0.03 * self._extent)
        points = apply(self._canvas.matrix(pose), np.where(both[:, None], instance.xy, self.instance.xy))
        self._matcher.learn(self._canvas.view(frame.image, pose), points, both)

    def restart(self, frame: FlowFrame, xy: Points, polygons: tuple[Points, ...]) -> None:
        """Continue from another frame with ``(n, 2)`` positions, NaN where a point was lost, and outlines.

        Lost points, and outlines where there are none, follow from the labelled frame under the new pose.
        """
        known: BoolArray = np.asarray(np.isfinite(xy).all(1), np.bool_)
        pose = None
        if known.sum() >= 2:
            source, target = self.instance.xy[known], xy[known]
            pose = robust_similarity(source, target, np.ones(len(source)), width=0.03 * self._extent)
        self._pose = self._pose if pose is None else pose
        self.xy = np.where(known[:, None], xy, apply(self._pose, self.instance.xy))
        self._outline.restart(self._pose, polygons)
        self._layout = apply(invert(self._pose), self.xy)
        self._misses = np.where(known, 0.0, float(OCCLUDED_AFTER))
        self._unseen = self._misses.copy()
        self._supports = self._new_supports(frame, SUPPORTS)

    def points(self) -> Points:
        """Return the ``(n + m, 2)`` keypoints and supports to track into the next frame."""
        return np.vstack([self.xy, self._supports])

    def bodies(self) -> tuple[Points, ...]:
        """Return the outlines, without any the hull of the keypoints; each ``(k, 2)``."""
        return self._outline.polygons or (hull_of(self.xy),)

    def step(
        self, frame: FlowFrame, flow: Flow, rivals: Points, *, key: bool, outline: tuple[Points, ...] | None = None
    ) -> Estimate:
        """Move on to the next frame.

        Args:
            frame: The next frame.
            flow: New positions of `points` by Lucas-Kanade.
            rivals: ``(n, r, 2)`` positions of the keypoint of that name in other instances; NaN where they have none.
            key: It is a key frame: descriptors are used in any case.
            outline: Where something else tracks the mask: its outlines here, empty where it lost the instance.
        """
        before = self.xy

        # Motion: optical flow moves pose, outline and supports, and predicts the keypoints.
        predicted, trusted = self._predict(flow)
        if key and self._colours is not None:
            predicted = self._follow_colours(self._colours, frame, predicted, trusted)
        if outline is not None:
            self._outline.update(outline)

        # Alignment: measured on the canvas against the labelled frame, which removes drift.
        matrix = self._canvas.matrix(self._pose)
        factor = scale_of(matrix)
        aligned = self._align(frame, apply(matrix, predicted), self._variance * factor**2)
        trusted = trusted | aligned.fixed
        self.scorer.follow(flow.error[: len(before)], aligned.fixed)
        xy, variance, swapped = aligned.xy, aligned.variance, np.zeros(len(before), np.bool_)

        # Descriptors: at key frames, and where motion and alignment are not enough.
        if self._matcher is not None and (key or not trusted.all() or self._unseen.any()):
            view = self._canvas.view(frame.image, self._pose)
            result = self._matcher.match(view, self._query(flow, trusted, aligned, matrix, rivals))
            xy, variance, swapped = result.xy, result.variance, result.swapped
            self._take(result, matrix)
        else:
            self._score = np.where(trusted, self._score, 0.9 * self._score)

        # Mask: points a little outside are moved into it, others count as missed.
        self._variance = variance / factor**2
        self._snap(apply(invert(matrix), xy))

        # Update of velocity, layout, pose and supports, unless the instance was re-detected elsewhere.
        if (self._unseen == 0).mean() > 0.5:
            self._seen_pose = self._pose
        if not (key and self._redetect(frame)):
            self._update(before, aligned)
            self._renew_supports(frame)
        score = np.minimum(self._score, self._visibility)
        if self._matcher is not None:
            score = self.scorer.score(apply(self._canvas.matrix(self._pose), self.xy))
        state = states(score, self.xy, self._unseen, self._size)
        return Estimate(self.xy, self._variance, score, state, self._outline.polygons, swapped)

    def _predict(self, flow: Flow) -> tuple[Points, BoolArray]:
        """Move pose, outline and supports by optical flow; return predicted keypoints, and whose flow is trusted."""
        n = len(self.xy)
        ok = flow.error <= BACK_ERROR
        weight = np.where(ok, 1 / (1 + np.where(ok, flow.error, 0.0) ** 2), 0.0)
        start, moves = self.points(), flow.xy - self.points()

        # The instance as a whole, and the supports' motion beyond it.
        astray = follows_background(start, flow.xy, own=self._motion, background=flow.background)
        whole = self._motion = whole_motion(start, flow.xy, np.where(astray, ASTRAY_WEIGHT, 1.0) * weight, n)
        astray = follows_background(start, flow.xy, own=whole, background=flow.background)
        self._pose = compose(whole, self._pose)
        beyond = flow.xy[n:] - apply(whole, self._supports)
        trusted_supports = (
            np.where(astray, ASTRAY_WEIGHT, 1.0)[n:]
            * weight[n:]
            * (np.linalg.norm(beyond, axis=1) < 0.1 * self._extent)
        )
        motion = SupportMotion(self._supports, beyond, trusted_supports)

        # Keypoints: their own flow where it agrees with the supports around them, else the supports' motion.
        around = apply(whole, self.xy) - self.xy + motion.at(self.xy, reach=0.06 * self._extent)
        trusted = ok[:n] & (np.linalg.norm(moves[:n] - around, axis=1) < 0.15 * self._extent)
        predicted = np.where(trusted[:, None], flow.xy[:n], self.xy + around)
        seen = STEP_SIGMA**2 + 0.25 * np.minimum(flow.error[:n], 3.0) ** 2
        self._variance = self._variance + np.where(trusted, seen, (BLIND_SIGMA * self._extent) ** 2)

        self._outline.move(self._pose, whole, motion)
        self._supports = flow.xy[n:][ok[n:] & ~astray[n:] & (np.linalg.norm(beyond, axis=1) < 0.08 * self._extent)]
        return predicted, trusted

    def _follow_colours(self, colours: ColourPose, frame: FlowFrame, xy: Points, trusted: BoolArray) -> Points:
        """Move pose and outline to the colours; return points, those whose flow is not trusted moved as well."""
        before, self._pose = self._pose, colours.fit(frame.image, self._pose)
        change = compose(self._pose, invert(before))
        self._outline.polygons = tuple(apply(change, polygon) for polygon in self._outline.polygons)
        self._supports = self._supports[colours.covers(self._supports, self._pose)]
        return np.where(trusted[:, None], xy, apply(change, xy))

    def _align(self, frame: FlowFrame, xy: Points, variance: Array) -> ReferenceAlignment:
        """Measure against the labelled frame, on the canvas."""
        if self._reference is None:
            return ReferenceAlignment(xy, variance, np.zeros(len(xy), np.bool_), None)
        return self._reference.align(self._canvas.view(frame.grey, self._pose), xy, variance)

    def _query(
        self, flow: Flow, trusted: BoolArray, aligned: ReferenceAlignment, matrix: Matrix, rivals: Points
    ) -> DescriptorQuery:
        n, factor = len(self.xy), scale_of(matrix)
        off_flow = np.linalg.norm(apply(matrix, flow.xy[:n]) - aligned.xy, axis=1)
        return DescriptorQuery(
            xy=aligned.xy,
            variance=aligned.variance,
            layout=apply(self._canvas.to_canvas, self._layout),
            trusted=trusted,
            fixed=aligned.fixed,
            speed=np.linalg.norm(self._velocity, axis=1) * factor,
            flow=off_flow * np.isfinite(flow.error[:n]),
            misses=self._misses,
            unseen=self._unseen,
            score=self._score,
            rivals=apply(matrix, rivals),
            polygons=[apply(matrix, p) for p in self._outline.polygons],
            factor=factor,
        )

    def _take(self, result: DescriptorResult, matrix: Matrix) -> None:
        """Take over scores and outlines that the descriptors found."""
        self._score, self._visibility = result.score, result.visibility
        self.scorer.compare(result.lead)
        self._misses = np.where(self._score < 0.5, self._misses + 1, 0)
        self._unseen = np.where(np.minimum(self._score, self._visibility) < 0.5, self._unseen + 1, 0)
        if result.polygons is not None:
            self._outline.update([apply(invert(matrix), p) for p in result.polygons])

    def _snap(self, xy: Points) -> None:
        """Take positions over, those a little outside of the mask moved into it."""
        self._outline.expire(self._pose)
        snapped, far = self._outline.snap(xy)
        if self._config.outline_drifts:  # a point that resembles its label most is surer
            sure = self.scorer.evidence.lead > 0
            snapped, far = np.where(sure[:, None], xy, snapped), far & ~sure
        self.xy = snapped
        self._misses = np.where(far, self._misses + 1, self._misses)
        self._unseen = np.where(far, np.maximum(self._unseen, self._misses), self._unseen)

    def _update(self, before: Points, aligned: ReferenceAlignment) -> None:
        """Update velocity, typical layout and pose."""
        newest = self._config.velocity_smoothing
        self._velocity = (1 - newest) * self._velocity + newest * (self.xy - before)
        upright = apply(invert(self._pose), self.xy)
        rate = np.where(self._unseen == 0, LAYOUT_RATE, 0.0)[:, None]
        self._layout = (1 - rate) * self._layout + rate * upright
        if aligned.correction is not None:
            wanted = self._canvas.moved(self._pose, aligned.correction)
            self._pose = (1 - ALIGNED_POSE_RATE) * self._pose + ALIGNED_POSE_RATE * wanted
            return
        weights = self._score * np.where(aligned.fixed, 3.0, 1.0)
        if self._colours is None:
            self._absorb_layout()
        elif (self._unseen == 0).sum() < LAYOUT_POINTS:
            return  # the colours know better
        else:
            weights = np.where(self._unseen == 0, weights, 0.0)
        by_layout = robust_similarity(self._layout, self.xy, weights, width=0.03 * self._extent)
        if by_layout is not None:
            self._pose = (1 - POSE_RATE) * self._pose + POSE_RATE * by_layout

    def _absorb_layout(self) -> None:
        """Move the common change of the typical layout into the pose: an animal that walks away shrinks as a whole."""
        seen = self._unseen == 0
        if seen.sum() < 4:
            return
        weights = np.ones(int(seen.sum()))
        whole = robust_similarity(self.instance.xy[seen], self._layout[seen], weights, width=0.1 * self._extent)
        if whole is not None and 0.5 < scale_of(whole) < 2:
            self._layout = apply(invert(whole), self._layout)
            self._pose = compose(self._pose, whole)

    def _redetect(self, frame: FlowFrame) -> bool:
        """Search the frame for the instance if most of it is not visible; return whether it was found."""
        if self._matcher is None or (self._unseen >= OCCLUDED_AFTER).mean() < GONE_SHARE:
            return False
        found = self._frame_search.search(frame.image, self._seen_pose, self._matcher.typical)
        if found is None:
            return False
        self.restart(frame, found, ())
        self._velocity = np.zeros_like(self._velocity)
        patch = self._matcher.backend.unit_patch / self._canvas.factor * scale_of(self._pose)
        self._variance = np.full(len(self.xy), patch**2)
        self._score = np.where(self._unseen == 0, 0.7, self._score)
        return True

    def _new_supports(self, frame: FlowFrame, count: int) -> Points:
        polygons = self._outline.polygons
        mask = masks.rasterize(polygons, frame.grey.shape) if polygons else None
        return pick_supports(frame.grey, mask, self.xy, count=count, reach=0.05 * self._extent)

    def _renew_supports(self, frame: FlowFrame) -> None:
        if len(self._supports) < 0.6 * SUPPORTS:
            fresh = self._new_supports(frame, SUPPORTS - len(self._supports))
            self._supports = np.vstack([self._supports, fresh])
