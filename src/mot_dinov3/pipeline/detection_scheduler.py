"""Detection scheduler (`--detect-every auto`): on which frames the detector runs, within a time budget.

`plan_detection` is the pure decision from the evidence of the images: *critical* frames are detected whatever it costs,
*refresh* frames as far as the budget allows. `DetectionScheduler.decide` gathers the evidence, decides and keeps the
reasons. It is the twin of the embedding scheduler.
"""

from __future__ import annotations

import dataclasses
import enum
from array import array
from collections import Counter
from collections.abc import Callable

import numpy as np

from mot_dinov3.core.compat import override
from mot_dinov3.core.errors import ConfigError
from mot_dinov3.core.options import StageConfig, option
from mot_dinov3.core.structures import FloatArray, Frame
from mot_dinov3.core.timing import StageTimer
from mot_dinov3.trackers.box_following import BoxFollower
from mot_dinov3.trackers.unexplained_motion import MotionEvidence, MotionWatch, SceneChange

AUTO = -1000  # frames; no interval is negative
SOURCE_RATE = -1.0  # frames per second to keep up with
LOW_RATE = 0.09  # s between frames from which every frame is detected: objects move far meanwhile
BORDER_CELLS, INSIDE_CELLS = 1, 3  # cells with unexplained motion from which a new object is expected
UNFOLLOWED = 2.0  # by how much faster the place of a box becomes uncertain while its flow is unknown


class DetectionReason(enum.IntEnum):
    """Reason why the detector ran, or did not run, on a frame."""

    FOLLOWED = 0
    DEFERRED = 1
    START = 2
    LOW_FRAME_RATE = 3
    SCENE_CUT = 4
    CAMERA_MOTION = 5
    UNEXPLAINED_MOTION = 6
    NEW_OBJECT = 7
    FLOW_LOST = 8
    CONTACT = 9
    LONGEST_INTERVAL = 10
    REFRESH = 11

    @property
    def text(self) -> str:
        """The reason in words: ``scene cut``."""
        return self.name.lower().replace("_", " ")


SKIPPED = (DetectionReason.FOLLOWED, DetectionReason.DEFERRED)
"""Reasons of a frame that the detector does not run on: the boxes are followed; a refresh exceeds the budget."""

DEFERRABLE = (DetectionReason.LOW_FRAME_RATE, DetectionReason.REFRESH)
"""Reasons that yield to a budget; the other ones of a detected frame are critical."""


@dataclasses.dataclass(frozen=True)
class DetectionIntervalConfig(StageConfig):
    """Detection interval, fixed or planned frame by frame."""

    group = "detector"

    detect_every: int = option(
        1,
        "detection interval: run the detector on every Nth frame, or (auto) where the images require it; in between, "
        "boxes follow the optical flow",
        metavar="N",
        auto=AUTO,
        low=1,
        high=1000,
        common=True,
    )
    detect_refresh: float = option(
        0.16, "auto: seconds after which well-followed boxes are detected again", low=0, high=60
    )
    detect_shortest: float = option(
        0.11,
        "auto: shortest time between two detections of known boxes, in seconds; 0 (dense crowds): every "
        "contact is detected",
        low=0,
        high=60,
    )
    detect_longest: float = option(0.4, "auto: longest time without a detection, in seconds", low=0, high=60)
    realtime: float = option(
        0.0,
        "frames per second to keep up with (auto, or no number: the source's; 0: no target): like --detect-every "
        "auto, and refreshes are deferred while the run is behind; no frame is left out",
        metavar="FPS",
        auto=SOURCE_RATE,
        bare=True,
        low=0,
        high=1000,
        common=True,
    )
    detect_budget_ms: float = option(
        0.0,
        "budget of the detector in ms per frame, on average: like --detect-every auto, and refreshes beyond it are "
        "deferred; 0: unlimited (> 0: runs may differ)",
        low=0,
    )
    detect_cost_ms: float | None = option(
        None, "fixed cost of a detector run in ms instead of the clock: reproducible runs", above=0
    )
    drop_frames: bool = option(
        False, "live sources: leave out the frames that come while the run is behind; by default all are processed"
    )

    @override
    def check(self) -> None:
        budgets = {"--realtime": self.realtime, "--detect-budget-ms": self.detect_budget_ms}
        limited = [flag for flag, value in budgets.items() if value]
        if len(limited) == 2:
            raise ConfigError(f"{' and '.join(limited)} are two budgets for one detector", remedy="give one of them")
        if limited and self.detect_every > 1:
            raise ConfigError(
                f"{limited[0]} plans the frames to detect, and --detect-every {self.detect_every} fixes them",
                remedy="leave out one of them",
            )

    @property
    def is_auto(self) -> bool:
        """Whether the frames to detect are planned."""
        return self.detect_every == AUTO or self.realtime != 0 or self.detect_budget_ms > 0

    @property
    def skips(self) -> bool:
        """Whether there may be frames that the detector does not run on."""
        return self.detect_every > 1 or self.is_auto

    def target_fps(self, fps: float) -> float:
        """Return the frames per second to keep up with, `fps` being the source's; 0 for none."""
        return fps if self.realtime == SOURCE_RATE else self.realtime


@dataclasses.dataclass(frozen=True)
class DetectionEvidence:
    """All that the decision on a frame rests on.

    Attributes:
        age: Seconds since the last detected frame; None before the first one.
        step: Seconds since the frame before.
        tentative: Boxes in the last detected frame that are no track yet.
        motion: What changed in the image.
        lost_flow: Boxes whose flow has just become unknown.
        contacts: Pairs of boxes that have come near each other, or parted, since the last detected frame.
        uncertainty: The same as `age`, longer for boxes whose flow is unknown; the greatest of all boxes, 0 without.
    """

    age: float | None
    step: float
    tentative: int = 0
    motion: MotionEvidence = dataclasses.field(default_factory=MotionEvidence)
    lost_flow: int = 0
    contacts: int = 0
    uncertainty: float = 0.0


def plan_detection(evidence: DetectionEvidence, config: DetectionIntervalConfig) -> DetectionReason:
    """Decide whether the detector runs on a frame, and why; the most important reason counts."""
    if evidence.age is None:
        return DetectionReason.START
    if evidence.step >= LOW_RATE:
        return DetectionReason.LOW_FRAME_RATE
    whole = _plan_for_image(evidence.motion)
    if whole is not None:
        return whole
    elapsed = evidence.age + evidence.step / 2  # of the two frames around a time the nearer one is detected
    if elapsed >= config.detect_shortest:
        event = _plan_for_boxes(evidence)
        if event is not None:
            return event
    if elapsed >= config.detect_longest:
        return DetectionReason.LONGEST_INTERVAL
    if elapsed >= config.detect_shortest and evidence.uncertainty + evidence.step / 2 >= config.detect_refresh:
        return DetectionReason.REFRESH
    return DetectionReason.FOLLOWED


def _plan_for_image(motion: MotionEvidence) -> DetectionReason | None:
    """Return the reason that the image gives for a detection: what may be in it is not known from earlier ones."""
    if motion.scene is SceneChange.CUT:
        return DetectionReason.SCENE_CUT
    if motion.scene is SceneChange.CAMERA:
        return DetectionReason.CAMERA_MOTION
    if motion.border >= BORDER_CELLS or motion.inside >= INSIDE_CELLS:
        return DetectionReason.UNEXPLAINED_MOTION
    return None


def _plan_for_boxes(evidence: DetectionEvidence) -> DetectionReason | None:
    """Return the reason that the known boxes give for a detection."""
    if evidence.tentative:
        return DetectionReason.NEW_OBJECT
    if evidence.lost_flow:
        return DetectionReason.FLOW_LOST
    return DetectionReason.CONTACT if evidence.contacts else None


class DetectionAllowance:
    """Milliseconds that a run may spend, so many for each frame; what it overspends is missing in the next frames.

    Args:
        per_frame: Milliseconds.
        spent: Returns the milliseconds spent so far.
    """

    def __init__(self, per_frame: float, spent: Callable[[], float]) -> None:
        self._per_frame = per_frame
        self._spent = spent
        self._last: float | None = None
        self._credit = 0.0

    def next_frame(self) -> bool:
        """Go on to the next frame; return whether its refresh may run: nothing is overspent.

        Credit is not saved up for later: a second without objects does not pay for a late one.
        """
        spent = self._spent()
        used = 0.0 if self._last is None else spent - self._last
        self._credit = min(self._credit + self._per_frame - used, self._per_frame)
        self._last = spent
        return self._credit >= 0


def spending(config: DetectionIntervalConfig, timer: StageTimer, *, is_live: bool = False) -> Callable[[], float]:
    """Return what measures the milliseconds that count against the budget: the detector's, or with `--realtime` all.

    A run that waits for the next frame of a live source is not behind; one that waits for a decoder may be.
    """
    if not config.realtime:
        return lambda: timer.stage_ms.get("detect", 0.0)
    return lambda: 1e3 * timer.clock() - (timer.asked_ms if is_live else 0.0)


class DetectionScheduler:
    """Decides frame by frame whether the detector runs; call it with a frame's index to learn what was decided.

    Args:
        config: Intervals and budget.
        follower: Moves the boxes of the last detected frame.
        spent: Returns the milliseconds so far that count against the budget; see `spending`.
        fps: The source's frame rate.
        start: Index of the first frame.

    Attributes:
        counts: Frames by reason.
        target_fps: Frames per second to keep up with; 0 for none.
    """

    def __init__(
        self,
        config: DetectionIntervalConfig,
        follower: BoxFollower,
        spent: Callable[[], float],
        *,
        fps: float = 0.0,
        start: int = 0,
    ) -> None:
        self._config = config
        self._follower = follower
        self._spent = spent
        self._start = start
        self._watch = MotionWatch()
        self._reasons = array("b")
        self._detected_at: float | None = None
        self._time = 0.0
        self.counts: Counter[DetectionReason] = Counter()
        self.target_fps = config.target_fps(fps)
        per_frame = 1e3 / self.target_fps if self.target_fps else config.detect_budget_ms
        self._allowance = DetectionAllowance(per_frame, self._spent_ms) if per_frame else None

    def __call__(self, index: int) -> bool:
        """Return whether the detector runs on frame `index`, which has been decided."""
        return self.reason(index) not in SKIPPED

    def reason(self, index: int) -> DetectionReason:
        """Return why it does or does not."""
        return DetectionReason(self._reasons[index - self._start])

    @property
    def detected(self) -> int:
        """Frames so far that the detector ran on."""
        return sum(count for reason, count in self.counts.items() if reason not in SKIPPED)

    def decide(self, frame: Frame, known: DetectionReason | None = None) -> None:
        """Decide on the next frame; `known` is what an interrupted run decided."""
        reason = plan_detection(self._gather(frame), self._config)
        may_refresh = self._allowance is None or self._allowance.next_frame()
        if reason in DEFERRABLE and not may_refresh:
            reason = DetectionReason.DEFERRED
        reason = reason if known is None else known
        self._reasons.append(reason)
        self.counts[reason] += 1
        if reason not in SKIPPED:
            self._detected_at = frame.time

    def _spent_ms(self) -> float:
        """Return what counts against the budget, of all frames so far."""
        cost = self._config.detect_cost_ms
        return self._spent() if cost is None else cost * self.detected

    def _gather(self, frame: Frame) -> DetectionEvidence:
        """Move the boxes to the frame, and return the evidence."""
        follower, last = self._follower, self._detected_at
        if last is not None and last == self._time and frame.image is not None:
            self._watch.explain(last, _shares(follower.found, frame))
        follower.advance(frame)
        step, self._time = frame.time - self._time, frame.time
        if last is None:
            step = 0.0
        motion = MotionEvidence()
        if frame.grey is not None:
            known = np.concatenate([follower.rows.xyxy, follower.found])
            motion = self._watch.observe(frame.grey.levels, frame.time, _shares(known, frame))
        age = None if last is None else frame.time - last
        return DetectionEvidence(
            age,
            step,
            tentative=int(np.count_nonzero(follower.rows.track_id < 1)),
            motion=motion,
            lost_flow=int(np.count_nonzero(follower.just_lost)),
            contacts=follower.contacts,
            uncertainty=_uncertainty(follower, age or 0.0),
        )


def most_frequent(detection: DetectionScheduler, number: int = 3) -> str:
    """Return the most frequent reasons for a detection, for a person: ``refresh 20, contact 4``."""
    found = [(reason, count) for reason, count in detection.counts.most_common() if reason not in SKIPPED]
    return ", ".join(f"{reason.text} {count}" for reason, count in found[:number])


def _uncertainty(follower: BoxFollower, age: float) -> float:
    """Return the age of the least certain box, in seconds of a box that is followed well."""
    if not len(follower.rows):
        return 0.0
    unknown = 1 - follower.frames / max(follower.steps, 1)
    return float(age * (1 + UNFOLLOWED * unknown.max()))


def _shares(xyxy: FloatArray, frame: Frame) -> FloatArray:
    """Return boxes as shares of the frame's width and height."""
    if frame.image is None:
        return xyxy
    return np.asarray(xyxy / np.tile(frame.image.shape[1::-1], 2), np.float32)
