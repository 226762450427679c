from __future__ import annotations

import itertools

import numpy as np
import pytest

from mot_dinov3.core import boxes
from mot_dinov3.trackers import appearance_labels, association
from mot_dinov3.trackers.association import Pairs


def pairs(*triples: tuple[int, int, float]) -> Pairs:
    track, box, value = zip(*triples)
    return Pairs(np.array(track), np.array(box), np.array(value, float))


def chosen(result: Pairs) -> set[tuple[int, int]]:
    return set(zip(result.track.tolist(), result.box.tolist()))


def random_boxes(rng: np.random.Generator, n: int) -> np.ndarray:
    corner = rng.uniform(0, 200, (n, 2))
    return np.concatenate([corner, corner + rng.uniform(10, 80, (n, 2))], axis=1)


def test_touching_finds_exactly_the_overlapping_pairs() -> None:
    rng = np.random.default_rng(0)
    a, b = random_boxes(rng, 30), random_boxes(rng, 40)
    expected = np.nonzero(boxes.iou(a, b) > 0)  # in the same order
    found = association.touching(a.T, b.T)
    np.testing.assert_array_equal(found, expected)


def test_nothing_touches_nothing() -> None:
    some, none = np.array([[0.0], [0.0], [5.0], [5.0]]), np.zeros((4, 0))
    for a, b in ((some, none), (none, some), (none, none)):
        assert [len(rows) for rows in association.touching(a, b)] == [0, 0]


def test_overlap_is_iou_times_height_overlap() -> None:
    a, b = np.array([[0.0, 0, 10, 20]]).T, np.array([[0.0, 0, 10, 10]]).T
    assert association.overlap(a, b)[0] == pytest.approx(0.5)
    assert association.overlap(a, b, 1.0)[0] == pytest.approx(0.25)
    rng = np.random.default_rng(1)
    many = random_boxes(rng, 20), random_boxes(rng, 20)
    i, j = association.touching(many[0].T, many[1].T)
    np.testing.assert_allclose(association.overlap(many[0][i].T, many[1][j].T), boxes.iou(*many)[i, j])


def test_grow_adds_a_share_on_each_side() -> None:
    grown = association.grow(np.array([[10.0, 10, 20, 30], [0, 0, 2, 2]]).T, np.array([0.5, 0.0]))
    np.testing.assert_allclose(grown.T, [[5, 0, 25, 40], [0, 0, 2, 2]])


def test_a_box_is_hidden_by_the_largest_box_that_ends_lower() -> None:
    behind, front, beside = [0.0, 0, 10, 20], [5, 10, 15, 30], [0, 15, 2, 40]  # 5 × 10 and 2 × 5 of 200 px² covered
    boxes_ = np.array([behind, front, beside]).T
    every = np.ones(3, np.bool_)
    np.testing.assert_allclose(association.visible_share(boxes_, every), [0.75, 1, 1])
    np.testing.assert_allclose(association.visible_share(boxes_, np.array([True, False, True])), [0.95, 1, 1])
    level = np.array([[0.0, 0, 10, 20], [5, 0, 15, 20]]).T
    np.testing.assert_array_equal(association.visible_share(level, every[:2]), 1, "neither is in front")
    inside = np.array([[2.0, 2, 8, 18], [0, 0, 10, 20]]).T
    np.testing.assert_allclose(association.visible_share(inside, every[:2]), [0, 1], atol=1e-12)
    assert association.visible_share(np.zeros((4, 0)), every[:0]).shape == (0,)
    rng = np.random.default_rng(3)
    many = random_boxes(rng, 30)
    lower = many[:, 3] > many[:, None, 3]
    hidden = (lower * boxes.intersection(many, many)).max(axis=1) / boxes.area(many)
    np.testing.assert_allclose(association.visible_share(many.T, np.ones(30, np.bool_)), 1 - hidden)


def test_optimal_beats_greedy_where_the_best_pair_costs_more_than_it_gives() -> None:
    contested = pairs((0, 0, 0.9), (0, 1, 0.8), (1, 0, 0.8))
    assert chosen(association.assign(contested, 0.1)) == {(0, 1), (1, 0)}
    assert chosen(association.assign(contested, 0.1, optimal=False)) == {(0, 0)}


def test_one_good_pair_is_not_given_up_for_two_that_barely_pass() -> None:
    contested = pairs((0, 0, 0.9), (0, 1, 0.5), (1, 0, 0.5))
    assert chosen(association.assign(contested, 0.4)) == {(0, 0)}


@pytest.mark.parametrize("optimal", [True, False])
def test_nothing_below_the_floor_and_nobody_twice(optimal: bool) -> None:
    rng = np.random.default_rng(2)
    track, box = (x.ravel() for x in np.meshgrid(np.arange(12), np.arange(9), indexing="ij"))
    result = association.assign(Pairs(track, box, rng.random(len(track))), 0.6, optimal=optimal)
    assert len(result) > 4
    assert (result.value > 0.6).all()
    assert len(set(result.track)) == len(set(result.box)) == len(result)


@pytest.mark.parametrize("seed", range(5))
def test_optimal_equals_trying_every_permutation(seed: int) -> None:
    rng = np.random.default_rng(seed)
    value = rng.random((5, 5)) * (rng.random((5, 5)) < 0.6)
    t, b = np.nonzero(value)
    result = association.assign(Pairs(t, b, value[t, b]), 0.2)
    gain = np.maximum(value - 0.2, 0)
    best = max(sum(gain[i, p[i]] for i in range(5)) for p in itertools.permutations(range(5)))
    assert (result.value - 0.2).sum() == pytest.approx(best)


def test_greedy_takes_the_best_pair_first() -> None:
    rng = np.random.default_rng(3)
    value = rng.random((6, 7))
    t, b = (x.ravel() for x in np.indices(value.shape))
    result = association.assign(Pairs(t, b, value.ravel()), 0.0, optimal=False)
    left, expected = value.copy(), set()
    for _ in range(6):
        i, j = np.unravel_index(left.argmax(), left.shape)
        expected.add((int(i), int(j)))
        left[i], left[:, j] = -1, -1
    assert chosen(result) == expected


def test_nothing_to_assign() -> None:
    none = Pairs(np.zeros(0, int), np.zeros(0, int), np.zeros(0))
    assert len(association.assign(none, 0.1)) == 0
    assert len(association.assign(pairs((0, 0, 0.05)), 0.1)) == 0


def test_a_box_is_contested_when_a_loser_wanted_it_almost_as_much() -> None:
    wanted = pairs((0, 0, 0.8), (1, 0, 0.6), (2, 1, 0.9), (1, 1, 0.3))
    owner = np.array([0, 2, -1])
    loser = np.array([False, True, False])
    assert association.contested(wanted, owner, loser, 0.3).tolist() == [True, False, False]
    assert association.contested(wanted, owner, loser, 0.1).tolist() == [False, False, False]
    assert association.contested(wanted, owner, np.zeros(3, bool), 0.9).tolist() == [False, False, False]


def test_a_pair_is_certain_where_all_others_of_its_track_and_box_are_far_below() -> None:
    found = pairs((0, 0, 0.9), (0, 1, 0.5), (1, 1, 0.7), (2, 2, 0.8), (2, 3, 0.8), (3, 4, 0.35), (4, 5, 0.2))
    assert chosen(found[appearance_labels.certain(found, 0.3)]) == {(0, 0), (3, 4)}
    assert chosen(found[appearance_labels.certain(found, 0.15)]) == {(0, 0), (1, 1), (3, 4), (4, 5)}
    assert not len(appearance_labels.certain(found[np.zeros(len(found), np.bool_)], 0.3))


def test_what_shares_its_track_or_box_with_a_certain_pair_is_of_two_objects() -> None:
    found = pairs((0, 0, 0.9), (0, 1, 0.5), (1, 0, 0.4), (1, 1, 0.6), (2, 2, 0.8), (2, 3, 0.8))
    same, rivals = appearance_labels.labels(found, np.array([0, 1, 2, 3, 5]))
    assert same.tolist() == [True, False, False, False, False]
    assert rivals.tolist() == [False, True, True, False, False], "nothing is said of pairs that are not certain"
