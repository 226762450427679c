"""Constant-velocity Kalman filter on (centre x, centre y, width, height), all tracks at once.

Transition, measurement and noises of SORT-like filters (1602.00763, 2206.14651) never mix the four components, so the
8×8 filter falls apart into four filters of two numbers each, and its update needs no matrix inverse. The motion of
``m`` tracks is one ``(5, 4, m)`` float64 array; along its first axis lie, for each of the four components: position
(px), velocity (px/s), and the covariance's entries position–position, position–velocity, velocity–velocity. Boxes are
columns too, ``(4, n)``: each number of all boxes lies together in memory, which halves the time of the arithmetic.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from mot_dinov3.core.structures import Float64Array

POS, VEL, PP, PV, VV = range(5)
CHI2_MEDIAN = 0.455  # of a squared standard normal variable
_WIDTH_HEIGHT = np.array([2, 3, 2, 3])
# One product with a constant: at few boxes a call to numpy costs more than the arithmetic in it.
_TO_CENTRE = np.array([[0.5, 0, 0.5, 0], [0, 0.5, 0, 0.5], [-1, 0, 1, 0], [0, -1, 0, 1]])
_TO_CORNERS = np.array([[1, 0, -0.5, 0], [0, 1, 0, -0.5], [1, 0, 0.5, 0], [0, 1, 0, 0.5]])
_STILL = np.eye(5)


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


def start(boxes: Float64Array, noise: Noise) -> Float64Array:
    """Return the ``(5, 4, n)`` motion of new tracks that stand still at ``(4, n)`` centre boxes."""
    size = _size(boxes)
    motion = np.zeros((5, *boxes.shape))
    motion[POS] = boxes
    motion[PP] = (noise.measurement * size) ** 2
    motion[VV] = (noise.start_velocity * size) ** 2
    return motion


def predict(motion: Float64Array, dt: float, noise: Noise) -> Float64Array:
    """Return the motion `dt` seconds later; variances grow with `dt`, so any frame rate means the same thing.

    Position and velocity both walk randomly: the process noise is the continuous white-noise-acceleration model
    (Bar-Shalom) plus a white noise of the position itself, integrated over `dt`.
    """
    walk, shake = noise.position**2, noise.velocity**2
    step = _STILL.copy()
    step[POS, VEL] = step[PV, VV] = dt
    step[PP, PV], step[PP, VV] = 2 * dt, dt**2
    grown = np.array([0, 0, walk * dt + shake * dt**3 / 3, shake * dt**2 / 2, shake * dt])
    moved: Float64Array = step.dot(motion.reshape(5, -1)).reshape(motion.shape)
    moved += grown[:, None, None] * _size(motion[POS]) ** 2
    # A long wait must not turn a shrinking box inside out.
    np.maximum(moved[POS, 2:], 1.0, out=moved[POS, 2:])
    return moved


def update(motion: Float64Array, boxes: Float64Array, deviation: Float64Array) -> Float64Array:
    """Return the motion corrected by measured boxes.

    Args:
        motion: ``(5, 4, m)`` predicted to the time of the measurement.
        boxes: ``(4, m)`` measured centre boxes.
        deviation: ``(4, m)`` standard deviation of the measurement, px.
    """
    place, spread = motion[POS : VEL + 1], motion[PP : PV + 1]
    gain = spread / (motion[PP] + deviation**2)  # (2, 4, m): of position and velocity
    corrected = np.empty_like(motion)
    np.multiply(gain, boxes - motion[POS], out=corrected[POS : VEL + 1])
    corrected[POS : VEL + 1] += place
    np.multiply(gain[0], spread, out=corrected[PP : PV + 1])
    np.multiply(gain[1], motion[PV], out=corrected[VV])
    np.subtract(motion[PP:], corrected[PP:], out=corrected[PP:])
    np.maximum(corrected[POS, 2:], 1.0, out=corrected[POS, 2:])
    return corrected


def deviation(boxes: Float64Array, noise: Noise) -> Float64Array:
    """Return ``(4, n)`` standard deviations of measured centre boxes, px."""
    return noise.measurement * _size(boxes)


class Calibration:
    """Statistics of a stream's prediction errors, relative to the filter's own variances.

    Detectors differ: one jitters by a tenth of the box, another by a hundredth. The median of the squared normalised
    innovations of sure matches, followed over time, tells by how much to widen the filter's variances before two
    matches are compared. The filter itself needs no correction: its gain depends on ratios of noises alone.
    """

    def __init__(self) -> None:
        self.scale = np.ones(4)

    def observe(self, innovation2: Float64Array) -> None:
        """Take in ``(4, k)`` squared normalised innovations of one frame's sure matches."""
        n = innovation2.shape[1]
        if n:
            rate = min(0.02 * n, 0.3)
            ordered = innovation2.copy()
            ordered.sort(axis=1)
            median = (ordered[:, (n - 1) // 2] + ordered[:, n // 2]) / 2  # np.median takes ten times as long
            self.scale = self.scale + rate * (median / CHI2_MEDIAN - self.scale)
            self.scale = np.minimum(np.maximum(self.scale, 0.05), 100.0)

    def likelihood(self, innovation2: Float64Array, variance: Float64Array, boxes: Float64Array) -> Float64Array:
        """Return the ``(k,)`` log-likelihood of innovations, in units that do not depend on the objects' size."""
        scale = self.scale[:, None]
        spread = np.log(variance * scale / _size(boxes) ** 2)
        spread += innovation2 / scale
        return np.asarray(-0.5 * np.add.reduce(spread, axis=0))


def innovation2(motion: Float64Array, boxes: Float64Array, spread: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Return ``(4, k)`` squared innovations in units of their variance, and that variance (px²)."""
    variance = motion[PP] + spread**2
    return (boxes - motion[POS]) ** 2 / variance, variance


def _size(boxes: Float64Array) -> Float64Array:
    """Return (w, h, w, h) of centre boxes."""
    return boxes.take(_WIDTH_HEIGHT, axis=0)


def centre_boxes(corners: npt.NDArray[np.floating]) -> Float64Array:
    """Return (centre x, centre y, width, height) float64 of ``(4, n)`` finite corner boxes."""
    return np.asarray(_TO_CENTRE.dot(corners))


def corner_boxes(boxes: Float64Array) -> Float64Array:
    """Return (x1, y1, x2, y2) float64 of ``(4, n)`` centre boxes."""
    return np.asarray(_TO_CORNERS.dot(boxes))


def transform(motion: Float64Array, affine: Float64Array) -> Float64Array:
    """Return the motion as a camera sees it that moved by `affine`, a ``(2, 3)`` rotation, scale and shift.

    Rotations are small between two frames, so that the covariances only scale.
    """
    turn, zoom = affine[:, :2], np.sqrt(abs(np.linalg.det(affine[:, :2])))
    moved = motion.copy()
    shifts = motion[: VEL + 1, :2].swapaxes(0, 1)  # x and y first
    moved[: VEL + 1, :2] = turn.dot(shifts.reshape(2, -1)).reshape(shifts.shape).swapaxes(0, 1)
    moved[POS, :2] += affine[:, 2:]
    moved[: VEL + 1, 2:] *= zoom
    moved[PP:] *= zoom**2
    return moved
