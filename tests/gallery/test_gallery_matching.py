"""Who is whom: decisions computed by hand."""

from __future__ import annotations

import numpy as np
import pytest

from mot_dinov3.core.errors import ConfigError
from mot_dinov3.gallery.config import GalleryConfig
from mot_dinov3.gallery.matching import MatchLimits, best_first, decide, identity_distances, margins

PLAIN = GalleryConfig(gallery_match_threshold=0.5, gallery_caution=0.0, gallery_keep=0.1, gallery_margin=0.0)


def who(distance: list[list[float]], *, held: list[int] | None = None, count: int = 1, config=PLAIN) -> list[int]:
    rows = np.array(distance, np.float32)
    owned = np.full(len(rows), -1) if held is None else np.array(held)
    return decide(rows, owned, np.full(len(rows), count), MatchLimits.of(config)).tolist()


def test_distance_is_half_the_nearest_and_half_the_mean_of_the_best_three() -> None:
    crop = np.array([[1.0, 0.0]], np.float32)
    angles = np.arccos([0.9, 0.8, 0.7, 0.1, 0.6])
    pictures = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    found = identity_distances(crop, pictures, np.array([0, 0, 0, 0, 1]))
    assert found[0] == pytest.approx([(0.1 + 0.2) / 2, 0.4], abs=1e-6)


def test_margin_is_how_much_farther_the_nearest_other_is() -> None:
    found = margins(np.array([[0.1, 0.4, 0.9]], np.float32))
    assert found[0] == pytest.approx([0.3, -0.3, -0.8])
    assert margins(np.array([[0.2, 0.2]], np.float32))[0] == pytest.approx([0, 0])
    assert np.isnan(margins(np.array([[0.1]], np.float32))).all()


def test_one_good_match_is_not_given_up_for_two_poor_ones() -> None:
    # Together the two crossed pairs would be worth more (0.25 + 0.25 below the threshold against 0.4).
    assert who([[0.1, 0.25], [0.25, 0.9]]) == [0, -1]


def test_nobody_gets_a_second_choice_because_the_first_is_taken() -> None:
    assert who([[0.1, 0.4], [0.2, 0.3]]) == [0, -1]


def test_each_identity_has_one_owner_whatever_the_distances() -> None:
    rng, owners = np.random.default_rng(0), 0
    for _ in range(200):
        distance = rng.uniform(0, 1, (rng.integers(1, 9), rng.integers(1, 6))).astype(np.float32)
        held = np.where(rng.random(len(distance)) < 0.5, rng.integers(0, distance.shape[1], len(distance)), -1)
        chosen = decide(distance, held, np.ones(len(distance), np.int64), MatchLimits.of(PLAIN))
        owned = chosen[chosen >= 0]
        assert len(set(owned.tolist())) == len(owned)
        owners += len(owned)
    assert owners > 200


def test_far_from_everyone_stays_unnamed() -> None:
    assert who([[0.51, 0.8]]) == [-1]
    assert who([[0.5, 0.8]]) == [0]


def test_an_identity_is_kept_a_little_beyond_the_threshold_and_lost_farther_off() -> None:
    assert who([[0.59, 0.9]]) == [-1]
    assert who([[0.59, 0.9]], held=[0]) == [0]
    assert who([[0.61, 0.9]], held=[0]) == [-1]


def test_a_holder_gives_way_only_to_somebody_clearly_nearer() -> None:
    assert who([[0.30, 0.9], [0.25, 0.9]], held=[0, -1]) == [0, -1]
    assert who([[0.30, 0.9], [0.15, 0.9]], held=[0, -1]) == [-1, 0]


def test_two_alike_identities_leave_a_newcomer_unnamed() -> None:
    careful = GalleryConfig(gallery_match_threshold=0.5, gallery_caution=0.0, gallery_margin=0.1)
    assert who([[0.2, 0.25]], config=careful) == [-1]
    assert who([[0.2, 0.35]], config=careful) == [0]


def test_few_looks_have_to_be_better() -> None:
    careful = GalleryConfig(gallery_match_threshold=0.5, gallery_caution=0.2, gallery_margin=0.0)
    assert who([[0.4, 0.9]], config=careful) == [-1]
    assert who([[0.39, 0.9]], config=careful, count=2) == [0]


def test_best_first_takes_the_lowest_claim_and_ties_in_order() -> None:
    claim = np.array([[0.2, 0.1], [0.1, 0.1]])
    assert best_first(claim, np.ones((2, 2), np.bool_)).tolist() == [1, 0]
    assert best_first(claim, np.zeros((2, 2), np.bool_)).tolist() == [-1, -1]


def test_settings_out_of_range_are_refused() -> None:
    for wrong in ({"gallery_match_threshold": -0.1}, {"gallery_keep": 3.0}, {"gallery": " "}):
        with pytest.raises(ConfigError):
            GalleryConfig(**wrong)
