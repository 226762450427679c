"""Constant-velocity Kalman filter on (centre x, centre y, width, height), all tracks at once.

Transition, measurement and noises of SORT-like filters (1602.00763, 2206.14651) never mix the four components, so the
8×8 filter falls apart into four filters of two numbers each, and its update needs no matrix inverse. The motion of
``m`` tracks is one ``(m, 5, 4)`` float64 array; along its second axis lie, for each of the four components: position
(px), velocity (px/s), and the covariance's entries position–position, position–velocity, velocity–velocity.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

POS, VEL, PP, PV, VV = range(5)
CHI2_MEDIAN = 0.455  # of a squared standard normal variable
_WIDTH_HEIGHT = np.array([2, 3, 2, 3])
# One product with a constant: at few boxes a call to numpy costs more than the arithmetic in it.
_TO_CENTRE = np.array([[0.5, 0, -1, 0], [0, 0.5, 0, -1], [0.5, 0, 1, 0], [0, 0.5, 0, 1]])
_TO_CORNERS = np.array([[1, 0, 1, 0], [0, 1, 0, 1], [-0.5, 0, 0.5, 0], [0, -0.5, 0, 0.5]])


@dataclasses.dataclass(frozen=True)
class Noise:
    """Standard deviations of the filter, as fractions of the object's size (width for x and w, height for y and h).

    Attributes:
        position: Random walk of the position, per square root of a second.
        velocity: Random walk of the velocity (size/s), per square root of a second.
        measurement: Of a measured box.
        start_velocity: Of the unknown velocity of a new track (size/s).
    """

    position: float
    velocity: float
    measurement: float
    start_velocity: float


def start(boxes: Array, noise: Noise) -> Array:
    """Return the ``(n, 5, 4)`` motion of new tracks that stand still at ``(n, 4)`` centre boxes."""
    size = _size(boxes)
    motion = np.zeros((len(boxes), 5, 4))
    motion[:, POS] = boxes
    motion[:, PP] = (noise.measurement * size) ** 2
    motion[:, VV] = (noise.start_velocity * size) ** 2
    return motion


def predict(motion: Array, dt: float, noise: Noise) -> Array:
    """Return the motion `dt` seconds later; variances grow with `dt`, so any frame rate means the same thing.

    Position and velocity both walk randomly: the process noise is the continuous white-noise-acceleration model
    (Bar-Shalom) plus a white noise of the position itself, integrated over `dt`.
    """
    walk, shake = noise.position**2, noise.velocity**2
    step = np.eye(5)
    step[POS, VEL] = step[PV, VV] = dt
    step[PP, PV], step[PP, VV] = 2 * dt, dt**2
    grown = np.array([0, 0, walk * dt + shake * dt**3 / 3, shake * dt**2 / 2, shake * dt])
    moved: Array = step @ motion + grown[:, None] * (_size(motion[:, POS]) ** 2)[:, None]
    # A long wait must not turn a shrinking box inside out.
    np.maximum(moved[:, POS, 2:], 1.0, out=moved[:, POS, 2:])
    return moved


def update(motion: Array, boxes: Array, deviation: Array) -> Array:
    """Return the motion corrected by measured boxes.

    Args:
        motion: ``(m, 5, 4)`` predicted to the time of the measurement.
        boxes: ``(m, 4)`` measured centre boxes.
        deviation: ``(m, 4)`` standard deviation of the measurement, px.
    """
    place, spread = motion[:, POS : VEL + 1], motion[:, PP : PV + 1]
    gain = spread / (motion[:, PP] + deviation**2)[:, None]  # (m, 2, 4): of position and velocity
    corrected = np.empty_like(motion)
    corrected[:, POS : VEL + 1] = place + gain * (boxes - motion[:, POS])[:, None]
    corrected[:, PP : PV + 1] = spread - gain[:, :1] * spread
    corrected[:, VV] = motion[:, VV] - gain[:, 1] * motion[:, PV]
    np.maximum(corrected[:, POS, 2:], 1.0, out=corrected[:, POS, 2:])
    return corrected


def deviation(boxes: Array, noise: Noise) -> Array:
    """Return ``(n, 4)`` standard deviations of measured centre boxes, px."""
    return noise.measurement * _size(boxes)


class Calibration:
    """How much a stream's boxes stray from the predictions, against what the filter believes.

    Detectors differ: one jitters by a tenth of the box, another by a hundredth. The median of the squared normalised
    innovations of sure matches, followed over time, tells by how much to widen the filter's variances before two
    matches are compared. The filter itself needs no correction: its gain depends on ratios of noises alone.
    """

    def __init__(self) -> None:
        self.scale = np.ones(4)

    def observe(self, innovation2: Array) -> None:
        """Take in ``(k, 4)`` squared normalised innovations of one frame's sure matches."""
        if len(innovation2):
            rate = min(0.02 * len(innovation2), 0.3)
            ordered, n = np.sort(innovation2, axis=0), len(innovation2)
            median = (ordered[(n - 1) // 2] + ordered[n // 2]) / 2  # np.median takes ten times as long
            self.scale = self.scale + rate * (median / CHI2_MEDIAN - self.scale)
            self.scale = np.minimum(np.maximum(self.scale, 0.05), 100.0)

    def likelihood(self, innovation2: Array, variance: Array, boxes: Array) -> Array:
        """Return the ``(k,)`` log-likelihood of innovations, in units that do not depend on the objects' size."""
        spread = np.log(variance * self.scale / _size(boxes) ** 2)
        return np.asarray(-0.5 * (innovation2 / self.scale + spread).sum(axis=1))


def innovation2(motion: Array, boxes: Array, deviation: Array) -> tuple[Array, Array]:
    """Return ``(k, 4)`` squared innovations in units of their variance, and that variance (px²)."""
    variance = motion[:, PP] + deviation**2
    return (boxes - motion[:, POS]) ** 2 / variance, variance


def _size(boxes: Array) -> Array:
    """Return (w, h, w, h) of centre boxes."""
    return boxes.take(_WIDTH_HEIGHT, axis=1)


def centre_boxes(xyxy: npt.NDArray[np.floating]) -> Array:
    """Return (centre x, centre y, width, height) float64 of finite corner boxes."""
    return np.asarray(xyxy @ _TO_CENTRE)


def corner_boxes(boxes: Array) -> Array:
    """Return (x1, y1, x2, y2) float64 of centre boxes."""
    return np.asarray(boxes @ _TO_CORNERS)


def transform(motion: Array, affine: Array) -> Array:
    """Return the motion as a camera sees it that moved by `affine`, a ``(2, 3)`` rotation, scale and shift.

    Rotations are small between two frames, so that the covariances only scale.
    """
    turn, zoom = affine[:, :2], np.sqrt(abs(np.linalg.det(affine[:, :2])))
    moved = motion.copy()
    moved[:, [POS, VEL], :2] = motion[:, [POS, VEL], :2] @ turn.T
    moved[:, POS, :2] += affine[:, 2]
    moved[:, [POS, VEL], 2:] *= zoom
    moved[:, PP:] *= zoom**2
    return moved
