from __future__ import annotations

import numpy as np
import pytest

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
