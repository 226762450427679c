from __future__ import annotations

import numpy as np
import pytest

from mot_dinov3.trackers import kalman
from mot_dinov3.trackers.kalman import PP, PV, VV, Noise

NOISE = Noise(position=0.2, velocity=0.5, measurement=0.05, start_velocity=2.0)
BOX = np.array([[100.0], [200.0], [40.0], [80.0]])  # boxes are columns


def test_start_stands_still_with_variances_by_size() -> None:
    motion = kalman.start(BOX, NOISE)[..., 0]
    np.testing.assert_array_equal(motion[kalman.POS], BOX[:, 0])
    np.testing.assert_array_equal(motion[kalman.VEL], 0)
    np.testing.assert_allclose(motion[PP], [4, 16, 4, 16])  # (0.05 · 40)², (0.05 · 80)²
    np.testing.assert_allclose(motion[VV], [6400, 25600, 6400, 25600])  # (2 · 40)², (2 · 80)²


def test_predict_by_hand() -> None:
    motion = kalman.start(BOX, NOISE)
    motion[kalman.VEL, :, 0] = [10, -20, 0, 0]
    moved = kalman.predict(motion, 0.5, NOISE)[..., 0]
    np.testing.assert_allclose(moved[kalman.POS], [105, 190, 40, 80])
    walk, shake = (0.2 * 40) ** 2, (0.5 * 40) ** 2
    assert moved[PP, 0] == pytest.approx(4 + 0.25 * 6400 + walk * 0.5 + shake * 0.125 / 3)
    assert moved[PV, 0] == pytest.approx(0.5 * 6400 + shake * 0.125)
    assert moved[VV, 0] == pytest.approx(6400 + shake * 0.5)


def test_update_by_hand() -> None:
    motion = np.zeros((5, 4, 1))
    motion[kalman.POS], motion[PP], motion[PV], motion[VV] = 100.0, 3.0, 2.0, 5.0
    corrected = kalman.update(motion, np.full((4, 1), 108.0), np.full((4, 1), 1.0))[..., 0]
    np.testing.assert_allclose(corrected[kalman.POS], 106)  # gain 3 / (3 + 1)
    np.testing.assert_allclose(corrected[kalman.VEL], 4)  # gain 2 / 4
    np.testing.assert_allclose(corrected[PP], 0.75)
    np.testing.assert_allclose(corrected[PV], 0.5)
    np.testing.assert_allclose(corrected[VV], 4)


def test_equals_the_textbook_filter_with_full_matrices() -> None:
    """Splitting the filter by component loses nothing: same result as 8×8 matrices."""
    rng = np.random.default_rng(1)
    motion = kalman.start(BOX, NOISE)
    mean, cov = np.r_[BOX[:, 0], np.zeros(4)], np.diag(np.r_[motion[PP, :, 0], motion[VV, :, 0]])
    observe = np.eye(4, 8)
    for dt in (0.04, 0.2, 0.04):
        size = mean[[2, 3, 2, 3]]
        step = np.eye(8) + dt * np.eye(8, k=4)
        walk, shake = np.diag((0.2 * size) ** 2), np.diag((0.5 * size) ** 2)
        process = np.block([[walk * dt + shake * dt**3 / 3, shake * dt**2 / 2], [shake * dt**2 / 2, shake * dt]])
        mean, cov = step @ mean, step @ cov @ step.T + process
        motion = kalman.predict(motion, dt, NOISE)
        measured = mean[:4] + rng.normal(0, 3, 4)
        spread = kalman.deviation(measured[:, None], NOISE)
        gain = cov @ observe.T @ np.linalg.inv(observe @ cov @ observe.T + np.diag(spread[:, 0] ** 2))
        mean, cov = mean + gain @ (measured - mean[:4]), (np.eye(8) - gain @ observe) @ cov
        motion = kalman.update(motion, measured[:, None], spread)
        np.testing.assert_allclose(np.r_[motion[kalman.POS, :, 0], motion[kalman.VEL, :, 0]], mean, rtol=1e-9)
        np.testing.assert_allclose(np.r_[motion[PP, :, 0], motion[VV, :, 0]], np.diag(cov), rtol=1e-9)


def test_two_short_steps_are_one_long_step() -> None:
    """The noise is integrated over time, so that the frame rate does not matter (to the box's change of size)."""
    motion = kalman.start(BOX, NOISE)
    twice = kalman.predict(kalman.predict(motion, 0.1, NOISE), 0.1, NOISE)
    np.testing.assert_allclose(kalman.predict(motion, 0.2, NOISE), twice, rtol=1e-9)


def test_sizes_stay_positive() -> None:
    motion = kalman.start(BOX, NOISE)
    motion[kalman.VEL, :, 0] = [0, 0, -100, -100]
    assert (kalman.predict(motion, 5.0, NOISE)[kalman.POS, 2:] > 0).all()


def test_camera_shift_turn_and_zoom() -> None:
    motion = kalman.start(BOX, NOISE)
    motion[kalman.VEL, :2, 0] = [10, 0]
    quarter = np.array([[0.0, -2.0, 5.0], [2.0, 0.0, 7.0]])  # turn by 90°, zoom 2, shift
    seen = kalman.transform(motion, quarter)[..., 0]
    np.testing.assert_allclose(seen[kalman.POS], [-395, 207, 80, 160], atol=1e-9)
    np.testing.assert_allclose(seen[kalman.VEL], [0, 20, 0, 0], atol=1e-9)
    np.testing.assert_allclose(seen[PP:], 4 * motion[PP:, :, 0])


def test_calibration_learns_how_far_a_detector_strays() -> None:
    """A stream that strays twice as far as believed calibrates its variances by four."""
    calibration = kalman.Calibration()
    rng = np.random.default_rng(0)
    for _ in range(300):
        calibration.observe(rng.normal(0, 2.0, (4, 500)) ** 2)
    np.testing.assert_allclose(calibration.scale, 4.0, rtol=0.25)


def test_likelihood_does_not_depend_on_size() -> None:
    small, large = BOX / 10, BOX
    values = []
    for box in (small, large):
        motion = kalman.start(box, NOISE)
        measured = box + 0.03 * box[[2, 3, 2, 3]]
        terms = kalman.innovation2(motion, measured, kalman.deviation(measured, NOISE))
        values.append(kalman.Calibration().likelihood(*terms, measured)[0])
    assert values[0] == pytest.approx(values[1])
