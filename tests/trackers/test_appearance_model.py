from __future__ import annotations

import numpy as np
import pytest
from tracking_scene import boxes, feed, person, tracker

from mot_dinov3.trackers import appearance_model


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


@pytest.mark.parametrize(
    ("same", "different", "weight"),
    [((0.8, 0.1), (0.4, 0.1), 1.0), ((0.5, 0.1), (0.5, 0.1), 0.0), ((1.0, 0.0), (1.0, 0.0), 0.0)],
)
def test_appearance_counts_where_the_embedder_separates_objects(same, different, weight) -> None:
    rng = np.random.default_rng(1)
    trust = appearance_model.EmbedderTrust()
    assert (trust.separability, trust.weight) == (None, 1.0), "until the video has spoken"
    trust.same.observe(rng.normal(*same, 400))
    trust.different.observe(rng.normal(*different, 400))
    assert trust.weight == pytest.approx(weight)


@pytest.mark.parametrize("kind", ["noise", "constant", "noise in a cone"])
def test_an_embedder_that_separates_nothing_leaves_the_tracks_to_motion(kind: str) -> None:
    """Twelve people who walk through each other, every seventh box missing: the ids are those of motion alone."""
    rng = np.random.default_rng(5)
    plain, embedded = [], []
    for frame in range(150):
        people = [person(40 + (50 * k + 3 * frame) % 560, 130 + 90 * (k % 4)) for k in range(6)]
        people += [person(600 - (50 * k + 3 * frame) % 560, 130 + 90 * (k % 4)) for k in range(6)]
        kept = [row for k, row in enumerate(people) if (frame + 3 * k) % 7]
        vectors = rng.normal(size=(len(kept), 64))
        vectors = {"noise": vectors, "constant": np.ones_like(vectors), "noise in a cone": vectors + 3}[kind]
        unit_rows = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
        plain.append(boxes(*kept))
        embedded.append(boxes(*kept, embedding=unit_rows, fresh=np.ones(len(kept), np.bool_)))
    alone, _ = feed(tracker(), plain)
    wrong, _ = feed(tracker(), embedded)
    same = sum(a.track_id[: len(p)].tolist() == w.track_id[: len(p)].tolist() for a, w, p in zip(alone, wrong, plain))
    assert len({i for rows in wrong for i in rows.track_id.tolist()}) <= len(
        {i for r in alone for i in r.track_id.tolist()}
    )
    assert same >= 0.9 * len(plain)
