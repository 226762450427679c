"""The pure decisions: geometry, search, peaks, structure, fusion, both sides of time."""

from __future__ import annotations

import numpy as np
import pytest

from mot_dinov3.core.errors import ConfigError
from mot_dinov3.core.structures import Keypoints, PointState
from mot_dinov3.keypoints import geometry, masks, search_windows
from mot_dinov3.keypoints.config import KeypointConfig
from mot_dinov3.keypoints.descriptor_maps import DenseMap, find_peaks
from mot_dinov3.keypoints.fusion import Estimate, combine, interpolate
from mot_dinov3.keypoints.skeleton import is_swapped, limb_outliers, symmetry_pairs
from mot_dinov3.keypoints.template_alignment import Measurement, fuse

TURN = np.array([[0.0, -2.0, 5.0], [2.0, 0.0, 1.0]])  # a quarter turn, twice as large


def test_the_documented_defaults() -> None:
    c = KeypointConfig()
    assert (c.mask_enforce_position, c.mask_enforce_snap_radius, c.motion_search_tighten) == (True, 12, 0.85)
    assert (c.motion_search_gain, c.flow_gain, c.motion_search_miss_boost) == (0.9, 0.9, 1.0)
    assert (c.motion_search_min_radius, c.motion_search_max_radius) == (2.5, 12)
    assert (c.motion_prior_penalty_weight, c.motion_prior_soft_radius_px, c.motion_prior_radius_factor) == (
        0.3,
        20,
        1.5,
    )
    assert (c.motion_prior_miss_relief, c.motion_prior_flow_relief, c.velocity_smoothing) == (1.0, 0, 0.3)
    assert (c.max_mask_fallback_frames, c.short_side) == (5, 768)


@pytest.mark.parametrize(
    "wrong",
    [
        {"motion_search_min_radius": 5.0, "motion_search_max_radius": 4.0},
        {"motion_prior_penalty_weight": 1.5},
        {"masks": "magic"},
        {"short_side": 3},
    ],
    ids=str,
)
def test_settings_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        KeypointConfig(**wrong)  # type: ignore[arg-type]


def test_a_similarity_is_found_although_a_third_of_the_points_moved_otherwise() -> None:
    rng = np.random.default_rng(0)
    source = rng.uniform(0, 50, (30, 2))
    target = geometry.apply(TURN, source)
    target[:10] += 25
    found = geometry.robust_similarity(source, target, np.ones(30))
    assert found is not None
    np.testing.assert_allclose(found, TURN, atol=0.1)
    np.testing.assert_allclose(geometry.compose(geometry.invert(TURN), TURN), geometry.IDENTITY, atol=1e-12)


def test_the_search_radius_follows_the_documented_formula() -> None:
    config = KeypointConfig()
    speed, flow, misses = np.array([0.0, 4.0, 0.0, 50.0]), np.zeros(4), np.array([0.0, 0.0, 3.0, 0.0])
    # base 2 × 0.85 = 1.7, floor 2.5; + 0.9 × 4; + 3 misses; ceiling 12
    np.testing.assert_allclose(search_windows.search_radius(config, speed, flow, misses), [2.5, 5.3, 4.7, 12])
    measured = search_windows.search_radius(config, np.zeros(1), np.array([4.0]), np.zeros(1))
    np.testing.assert_allclose(measured, [5.3])


def test_the_motion_prior_grows_to_its_weight_and_is_relieved_by_misses() -> None:
    config = KeypointConfig(motion_prior_flow_relief=0.5)

    def penalty(distance: float, misses: float = 0, speed: float = 0, radius: float = 10) -> float:
        at = np.array([distance])
        return float(search_windows.prior_penalty(config, at, radius_px=radius, misses=misses, speed_px=speed)[0])

    assert penalty(0) == 0
    assert penalty(20) == pytest.approx(0.3)
    assert penalty(200) == pytest.approx(0.3)
    assert penalty(10) == pytest.approx(0.3 / 4)
    assert penalty(200, misses=2) == pytest.approx(0.1)
    assert penalty(200, speed=2) == pytest.approx(0.15)
    assert penalty(30, radius=40) == pytest.approx(0.3 / 4)  # the soft radius is 40 × 1.5


def test_places_nearer_to_another_animal_s_point_are_held_back() -> None:
    places = np.array([[[[0.0, 0.0], [9.0, 0.0]]]] * 2)
    rivals = np.array([[[10.0, 0.0]], [[np.nan, np.nan]]])
    held = search_windows.rival_penalty(places, np.array([[1.0, 0.0]] * 2), rivals)
    assert np.asarray(held).tolist() == [[[0.0, search_windows.RIVAL_WEIGHT]], [[0.0, 0.0]]]


def test_search_windows_stay_in_the_map_and_within_the_radius() -> None:
    places = np.array([[20.0, 36.0], [4.0, 4.0], [-90.0, 4.0]])
    windows = search_windows.windows_around(places, np.array([8.0, 16.0, 8.0]), (10, 12), 8.0)
    numbers = np.broadcast_to(np.arange(120.0).reshape(10, 12), (3, 10, 12))
    cells = [set(found[np.isfinite(found)].astype(int).tolist()) for found in windows.of(numbers)]
    assert cells[0] == {12 * row + column for row in (3, 4, 5) for column in (1, 2, 3)}
    assert cells[1] == {12 * row + column for row in (0, 1, 2) for column in (0, 1, 2)}
    assert cells[2] == set()
    np.testing.assert_array_equal(windows.centres[0, 0, 0], (12, 28))
    np.testing.assert_array_equal(windows.corner[0], (8, 24))


def test_the_peak_is_finer_than_a_cell_and_knows_its_rival() -> None:
    ys, xs = np.mgrid[:20, :20] + 0.5
    heights = np.exp(-((xs - 6.8) ** 2 + (ys - 10.3) ** 2) / 4) + 0.5 * np.exp(-((xs - 15.5) ** 2 + (ys - 3.5) ** 2))
    alone = np.full((20, 20), -np.inf)
    alone[0, 19] = 1.0
    peaks = find_peaks(np.stack([heights, alone]), 8.0)
    assert np.linalg.norm(peaks.xy[0] / 8 - (6.8, 10.3)) < 0.15
    assert peaks.second[0] == pytest.approx(0.5, abs=0.02)
    assert (peaks.rival[0] / 8).tolist() == [15.5, 3.5]
    assert (peaks.xy[1] / 8).tolist() == [19.5, 0.5]
    assert peaks.second[1] == -1


def test_templates_are_sampled_at_the_exact_click() -> None:
    cells = np.zeros((1, 2, 2), np.float32)
    cells[0, 0], cells[0, 1] = (1, 0), (0, 1)
    between = DenseMap(cells, 8.0).at(np.array([[8.0, 4.0]]))  # half way between the two centres
    np.testing.assert_allclose(between, [[0.7071, 0.7071]], atol=1e-3)


@pytest.mark.parametrize(
    ("left", "right"),
    [("leftear", "rightear"), ("l_ear", "r_ear"), ("eyeL", "eyeR"), ("ear_left", "ear_right"), ("LeftPaw", "RightPaw")],
)
def test_left_and_right_are_found_by_name(left: str, right: str) -> None:
    assert symmetry_pairs(["nose", right, left, "lip", "rip", "label"]) == [(2, 1)]


def test_pairs_can_be_named_and_turned_off() -> None:
    assert symmetry_pairs(["a", "b", "eyeL", "eyeR"], "a:b") == [(2, 3), (0, 1)]
    assert symmetry_pairs(["eyeL", "eyeR"], "none") == []
    with pytest.raises(ConfigError, match="a:b"):
        symmetry_pairs(["a"], "a-b")


def test_a_pair_is_swapped_only_when_it_fits_clearly_better() -> None:
    assert is_swapped(np.array([[0.4, 0.8], [0.8, 0.4]]))
    assert not is_swapped(np.array([[0.75, 0.8], [0.8, 0.75]]))


def test_a_limb_of_unusual_length_is_found() -> None:
    layout = np.array([[0.0, 0.0], [10.0, 0.0], [20.0, 0.0], [30.0, 0.0]])
    places = layout.copy()
    assert limb_outliers(places, layout).tolist() == [0, 0, 0, 0]
    places[3] = (90.0, 0.0)
    assert limb_outliers(places, layout)[3] == 1.0


def test_measurements_weigh_by_precision_and_are_gated() -> None:
    xy, variance = np.zeros((3, 2)), np.ones(3)
    measured = Measurement(np.array([[2.0, 0.0], [100.0, 0.0], [2.0, 0.0]]), np.array([1.0, 1.0, np.inf]))
    fused, better, taken = fuse(xy, variance, measured)
    assert fused[:, 0].tolist() == [1.0, 0.0, 0.0]
    assert taken.tolist() == [True, False, False]
    assert better[0] == pytest.approx(0.5)
    assert better[1] > 1  # refused: the point is doubted
    assert better[2] == 1


def estimate(x: float, variance: float, score: float = 1.0, state: PointState = PointState.VISIBLE) -> Estimate:
    one = np.array([variance]), np.array([score]), np.array([int(state)])
    return Estimate(np.array([[x, 0.0]]), *one, (), np.zeros(1, bool))


def test_both_sides_weigh_by_what_they_accumulated() -> None:
    near, far = estimate(0, 0.5), estimate(4, 0.5)
    assert combine(near, far, share=0.5).estimate.xy[0, 0] == pytest.approx(2)
    assert combine(near, far, share=0.1).estimate.xy[0, 0] < 1.5
    doubtful = combine(estimate(0, 9.0), far, share=0.5)
    assert doubtful.estimate.xy[0, 0] > 3
    assert doubtful.disagreement[0] == pytest.approx(4)


def test_sides_that_mean_different_places_are_not_averaged() -> None:
    apart = combine(estimate(0, 1.0), estimate(100, 4.0), share=0.5)
    assert apart.estimate.xy[0, 0] == 0
    assert apart.estimate.score[0] < 0.1
    gone = combine(estimate(0, 1.0, state=PointState.LOST), estimate(100, 4.0), share=0.5)
    assert gone.estimate.xy[0, 0] == 100


def test_skipped_frames_are_interpolated_and_lost_points_stay_lost() -> None:
    def rows(x: float, state: PointState) -> Keypoints:
        xy = np.array([[x, 0.0], [x, x]])
        states = np.array([0, int(state)])
        return Keypoints(("a", "a"), np.ones(2, int), ("n", "t"), xy, np.ones(2), states, np.ones(2, int))

    between = interpolate(rows(0, PointState.VISIBLE), rows(10, PointState.LOST), 0.3)
    assert between.xy[0].tolist() == [3, 0]
    assert np.isnan(between.xy[1]).all()
    assert between.state.tolist() == [0, 2]
    assert between.source.tolist() == [2, 2]


def test_points_snap_into_the_mask_from_near_and_not_from_far() -> None:
    mask = np.zeros((40, 40), bool)
    mask[10:20, 10:20] = True
    snapped, far = masks.snap(np.array([[12.0, 12.0], [25.0, 15.0], [39.0, 39.0]]), mask, radius=12)
    assert snapped.tolist() == [[12, 12], [19, 15], [39, 39]]
    assert far.tolist() == [False, False, True]


def test_label_propagation_follows_similar_patches() -> None:
    cells = np.zeros((6, 6, 2), np.float32)
    cells[..., 0] = 1
    cells[1:3, 1:3] = (0, 1)
    share = (cells[..., 1] > 0).astype(float)
    moved = np.roll(cells, (2, 1), (0, 1))
    found = masks.propagate([masks.MaskContext(DenseMap(cells, 16.0), share)], DenseMap(moved, 16.0))
    np.testing.assert_array_equal(found > 0.5, np.roll(share, (2, 1), (0, 1)) > 0.5)
