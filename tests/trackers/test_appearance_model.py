from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from tracking_scene import boxes, feed, person, tracker

from mot_dinov3.trackers import appearance_model
from mot_dinov3.trackers.appearance_model import AppearanceCalibration, CosineDistribution, log_likelihood_ratio


def unit(rng: np.random.Generator, n: int, d: int = 8) -> np.ndarray:
    rows = rng.normal(size=(n, d)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_a_look_turns_the_known_one_by_its_share() -> None:
    known = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)
    new = np.array([[0.6, 0.8], [0.0, 1.0], [1.0, 0.0]], np.float32)
    appearance_model.absorb(known, new, np.array([0, 1]), np.array([2, 0]), np.array([0.9, 0.75]))
    np.testing.assert_allclose(known[0], [1.0, 0.0])
    mixed = np.array([0.15, 0.95])  # ¾ · (0, 1) + ¼ · (0.6, 0.8)
    np.testing.assert_allclose(known[1], mixed / np.hypot(*mixed), rtol=1e-6)


def test_no_share_takes_the_new_look_and_so_do_two_that_cancel_out() -> None:
    known = np.array([[0.0, 0.0], [1.0, 0.0]], np.float32)
    new = np.array([[0.6, 0.8], [-1.0, 0.0]], np.float32)
    appearance_model.absorb(known, new, np.array([0, 1]), np.array([0, 1]), np.array([0.0, 0.5]))
    np.testing.assert_allclose(known, [[0.6, 0.8], [-1.0, 0.0]], rtol=1e-6)


@pytest.mark.parametrize("count", [0, 1, appearance_model.CHUNK, 2 * appearance_model.CHUNK + 3])
def test_any_number_is_absorbed_and_compared_at_once(count: int) -> None:
    rng = np.random.default_rng(0)
    known, new, share = unit(rng, count), unit(rng, count), rng.uniform(0.1, 0.9, count)
    track, box = rng.permutation(count), rng.permutation(count)
    expected = known.copy()
    mixed = share[:, None] * known[track] + (1 - share[:, None]) * new[box]
    expected[track] = mixed / np.linalg.norm(mixed, axis=1, keepdims=True)
    np.testing.assert_allclose(
        appearance_model.cosine(known, new, track, box), (known[track] * new[box]).sum(1), atol=1e-6
    )
    appearance_model.absorb(known, new, track, box, share)
    np.testing.assert_allclose(known, expected, atol=1e-6)


def test_means_and_variances_are_those_of_all_cosines_until_old_ones_fade() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(0.4, 0.2, 500)
    statistics = appearance_model.CosineStatistics()
    for part in np.split(values, [3, 3, 40, 200]):
        statistics.observe(part)
    assert statistics.count == 500
    np.testing.assert_allclose([statistics.mean, statistics.variance], [values.mean(), values.var()], rtol=1e-9)


def calibrated(same: tuple[float, float], rivals: tuple[float, float], *, after: float = 0.5) -> AppearanceCalibration:
    """Return a calibration that has seen 400 pairs of each kind, of these means and deviations."""
    rng = np.random.default_rng(1)
    found = AppearanceCalibration()
    found.observe_same(rng.normal(*same, 400), np.full(400, after))
    found.observe_rivals(rng.normal(*rivals, 400))
    found.observe_strangers(rng.normal(*rivals, 400))
    return found


@pytest.mark.parametrize(
    ("same", "rivals", "weight"),
    [((0.8, 0.1), (0.4, 0.1), 1.0), ((0.5, 0.1), (0.5, 0.1), 0.0), ((1.0, 0.0), (1.0, 0.0), 0.0)],
)
def test_appearance_counts_where_the_embedder_separates_objects(same, rivals, weight) -> None:
    found = calibrated(same, rivals)
    assert found.weight == pytest.approx(weight)
    assert found.useless == (weight == 0)
    evidence = found.evidence(np.array([0.1, 0.4, 0.6, 0.8, 1.0]), np.full(5, 0.5))
    if weight:
        assert evidence[0] < -2
        np.testing.assert_allclose(evidence[[0, 4]], evidence[[1, 3]], atol=0.01)  # beyond the means nothing is added
        assert evidence[2] == pytest.approx(0, abs=0.5), "half way between the two"
        assert evidence[4] > 3
    else:
        np.testing.assert_array_equal(evidence, 0)


def test_until_the_video_has_spoken_appearance_says_nothing() -> None:
    fresh = AppearanceCalibration()
    assert (fresh.separability, fresh.weight, fresh.useless) == (None, 0.0, False)
    np.testing.assert_array_equal(fresh.evidence(np.array([0.2, 1.0]), np.zeros(2)), 0)
    np.testing.assert_array_equal(fresh.recovery_evidence(np.array([0.2, 1.0])), 0)


def test_a_scale_of_its_own_changes_nothing() -> None:
    """A constant c added to unit vectors makes a cosine x (x + c²) / (1 + c²): the evidence stays."""
    plain, cone = calibrated((0.8, 0.1), (0.4, 0.1)), calibrated((0.98, 0.01), (0.94, 0.01))
    cosine, gap = np.linspace(0, 1, 11), np.full(11, 0.5)
    np.testing.assert_allclose(cone.evidence((cosine + 9) / 10, gap), plain.evidence(cosine, gap), atol=1e-6)
    np.testing.assert_allclose(cone.recovery_evidence((cosine + 9) / 10), plain.recovery_evidence(cosine), atol=1e-6)


def test_less_likeness_is_expected_after_a_longer_time() -> None:
    found = calibrated((0.9, 0.05), (0.4, 0.1), after=0.1)
    found.observe_same(np.random.default_rng(2).normal(0.65, 0.1, 400), np.full(400, 5.0))
    at_once, later = found.evidence(np.array([0.65, 0.65]), np.array([0.1, 5.0]))
    assert at_once < 0 < 1 < later


def test_the_ratio_of_two_normal_distributions() -> None:
    """Half way between two of the same width it is that of the shares that look like the other kind: nearly nothing."""
    two, one = CosineDistribution(0.2, 0.1), CosineDistribution(0.6, 0.1)
    low, middle, high = log_likelihood_ratio(np.array([0.2, 0.4, 0.6]), two, one)
    assert low == pytest.approx(
        np.log((0.95 * np.exp(-8) + 0.05) / (0.98 + 0.02 * (0.95 * np.exp(-8) + 0.05))), abs=0.01
    )
    assert middle == pytest.approx(0, abs=0.05)
    assert 3 < high < np.log(1 / 0.02)
    np.testing.assert_array_equal(log_likelihood_ratio(np.array([0.2, 0.9]), one, two), 0)


def test_somebody_alone_is_recognised_by_the_embedders_own_scale() -> None:
    alone = AppearanceCalibration(0.5)
    stranger, same = alone.recovery_evidence(np.array([0.5, 0.9]))
    assert stranger < 0 < 2 < same
    alone.observe_strangers(np.array([0.8]))
    np.testing.assert_array_equal(alone.recovery_evidence(np.array([0.5, 0.9])), 0)


def crossing(frame: int) -> list[tuple[int, np.ndarray]]:
    """Return the people of a frame by number: twelve who walk through each other, every seventh box missing."""
    people = [person(40 + (50 * k + 3 * frame) % 560, 130 + 90 * (k % 4)) for k in range(6)]
    people += [person(600 - (50 * k + 3 * frame) % 560, 130 + 90 * (k % 4)) for k in range(6)]
    return [(k, row) for k, row in enumerate(people) if (frame + 3 * k) % 7]


def ids_of(change: Callable[[np.ndarray, int], np.ndarray] | None) -> list[list[int]]:
    """Return the ids of all frames, with the embeddings that `change` makes of those of the people."""
    rng = np.random.default_rng(5)
    looks, frames = rng.normal(size=(12, 64)), []
    for frame in range(150):
        kept = crossing(frame)
        rows = boxes(*(row for _, row in kept))
        if change is not None:
            true = looks[[k for k, _ in kept]] + 0.3 * rng.normal(size=(len(kept), 64))
            vectors = change(true / np.linalg.norm(true, axis=1, keepdims=True), frame)
            length = np.linalg.norm(vectors, axis=1, keepdims=True)
            has = length[:, 0] > 0
            vectors = (vectors / np.where(length > 0, length, 1)).astype(np.float32)
            rows = rows.replace(embedding=vectors, fresh=has)
        frames.append(rows)
    found, _ = feed(tracker(), frames)
    return [rows.track_id[: len(frame)].tolist() for rows, frame in zip(found, frames)]


NOISE = np.random.default_rng(7)
ADVERSE = {
    "noise": lambda rows, _: NOISE.normal(size=rows.shape),
    "constant": lambda rows, _: np.ones_like(rows),
    "noise in a cone": lambda rows, _: NOISE.normal(size=rows.shape) + 3,
    "of the next person": lambda rows, _: np.roll(rows, 1, axis=0),
    "half of them zero": lambda rows, frame: rows * (np.arange(len(rows)) % 2 == frame % 2)[:, None],
    "another scale midway": lambda rows, frame: rows + (frame >= 75) * 3 / 8,
}


@pytest.mark.parametrize("kind", list(ADVERSE))
def test_no_embedder_makes_the_tracks_worse_than_motion_alone(kind: str) -> None:
    alone, found = ids_of(None), ids_of(ADVERSE[kind])
    same = sum(a == b for a, b in zip(alone, found))
    assert len({i for rows in found for i in rows}) <= len({i for rows in alone for i in rows})
    assert kind in ("half of them zero", "another scale midway") or same >= 0.9 * len(alone)


def test_embeddings_in_a_cone_give_the_same_tracks() -> None:
    assert ids_of(lambda rows, _: rows) == ids_of(lambda rows, _: rows + 3 / 8)


def test_cosines_that_neither_kind_explains_give_no_undefined_ratio() -> None:
    different, same = CosineDistribution(0.1, 1e-3), CosineDistribution(0.9, 1e-3)
    cosine = np.linspace(-1, 1, 201)
    for unknown in (0.0, 0.5):
        with np.errstate(all="raise", under="ignore"):
            ratio = log_likelihood_ratio(cosine, different, same, unknown=unknown)
        assert np.isfinite(ratio).all()
        assert ratio[0] < 0 < ratio[-1]
