"""Whole-video linking: hand-made trajectories whose joints, curves and gaps are known."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from mot_dinov3.core.errors import ConfigError
from mot_dinov3.linking import LinkConfig, Tracklets, link
from mot_dinov3.linking.smoothing import smooth
from mot_dinov3.linking.track_appearance import AppearanceScale
from mot_dinov3.trackers.appearance_model import CosineDistribution

FPS = 10.0
SIZE = (1000, 500)


def walk(track_id: int, frames: range | list[int], x: float, speed: float, *, y: float = 100, look: int | None = None):
    """A box 20 × 50 whose centre is at `x` in frame 0 and moves right by `speed` px a frame."""
    frame = np.array(list(frames), np.int64)
    centre = x + speed * frame
    embedding = np.zeros((len(frame), 8), np.float32)
    if look is not None:
        embedding[:, look] = 1
    return Tracklets(
        frame=frame,
        time=frame / FPS,
        track_id=np.full(len(frame), track_id),
        xyxy=np.stack([centre - 10, 0 * centre + y, centre + 10, 0 * centre + y + 50], axis=1).astype(np.float32),
        score=np.full(len(frame), 0.8, np.float32),
        embedding=embedding,
    )


def video(*parts: Tracklets, embedded: bool = False) -> Tracklets:
    def column(name: str):
        return np.concatenate([getattr(p, name) for p in parts])

    names = ("frame", "time", "track_id", "xyxy", "score")
    return Tracklets(**{name: column(name) for name in names}, embedding=column("embedding") if embedded else None)


def run(tracklets: Tracklets, **settings: object) -> Tracklets:
    return link(tracklets, LinkConfig(**settings), size=SIZE)


def ids(result: Tracklets) -> list[int]:
    return sorted(set(result.track_id.tolist()))


# --- joining


def test_a_broken_walk_is_joined_by_motion_and_keeps_the_first_id():
    result = run(video(walk(7, range(0, 20), 200, 5), walk(3, range(24, 50), 200, 5)))
    assert ids(result) == [7]
    assert result.frame.tolist() == list(range(50))
    assert result.interpolated.sum() == 4


def test_motion_alone_does_not_join_over_a_long_gap_or_in_another_direction():
    assert ids(run(video(walk(1, range(0, 20), 200, 5), walk(2, range(60, 80), 200, 5)))) == [1, 2]
    assert ids(run(video(walk(1, range(0, 20), 200, 5), walk(2, range(24, 50), 440, -5)))) == [1, 2]
    broken = video(walk(1, range(0, 20), 200, 5), walk(2, range(24, 50), 200, 5))
    assert ids(run(broken, motion_seconds=0.0)) == [1, 2]


def test_what_is_there_at_the_same_time_is_never_joined():
    assert ids(run(video(walk(1, range(0, 21), 200, 5), walk(2, range(20, 50), 200, 5)))) == [1, 2]


def test_a_chain_of_three_gets_one_id_in_any_order_of_the_rows():
    parts = walk(5, range(0, 15), 200, 5), walk(2, range(18, 33), 200, 5), walk(9, range(36, 50), 200, 5)
    rows = video(*parts)
    result = run(rows)
    assert ids(result) == [5]
    order = np.random.default_rng(0).permutation(len(rows))
    names = ("frame", "time", "track_id", "xyxy", "score")
    shuffled = run(Tracklets(**{name: getattr(rows, name)[order] for name in names}))
    np.testing.assert_array_equal(shuffled.xyxy, result.xyxy)
    np.testing.assert_array_equal(order[shuffled.row[shuffled.row >= 0]], result.row[result.row >= 0])


def test_each_part_continues_in_one_other_the_nearer_one():
    result = run(video(walk(1, range(0, 20), 200, 5), walk(2, range(24, 50), 203, 5), walk(3, range(25, 50), 190, 5)))
    assert set(result.track_id[result.frame == 40].tolist()) == {1, 3}


ADVERSARIAL = {
    "noise": lambda rng, n: rng.normal(size=(n, 32)),
    "constant": lambda rng, n: np.ones((n, 32)),
    "noise in a cone": lambda rng, n: 3 + rng.normal(size=(n, 32)),
    "half of the rows zero": lambda rng, n: rng.normal(size=(n, 32)) * (rng.random((n, 1)) < 0.5),
}


@pytest.mark.parametrize("kind", ADVERSARIAL)
def test_embeddings_that_separate_nothing_leave_linking_to_motion(kind: str) -> None:
    """Eight walks in lanes, each broken for 0.4 s, after 3 s, and again for good: wrong appearance joins nothing."""
    rng = np.random.default_rng(3)
    parts = []
    for lane in range(8):
        for k, frames in enumerate((range(0, 30), range(34, 60), range(90, 120))):
            parts.append(walk(1 + lane * 3 + k, frames, 100 + 20 * lane, 2, y=30 + 50 * lane))
    plain = video(*parts)
    vectors = ADVERSARIAL[kind](rng, len(plain))
    length = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    embedded = dataclasses.replace(plain, embedding=(vectors / length).astype(np.float32))
    motion = run(plain)
    assert len(ids(motion)) == 16, "the short gaps are joined by motion, the long ones are not"
    result = run(embedded)
    np.testing.assert_array_equal(result.track_id, motion.track_id)


def test_evidence_grows_with_the_cosine_and_ends_at_the_means() -> None:
    scale = AppearanceScale(different=CosineDistribution(0.2, 0.1), same=CosineDistribution(0.8, 0.1))
    assert scale.separability == pytest.approx(6.0)
    evidence = scale.evidence(np.array([-0.5, 0.2, 0.5, 0.8, 1.0]))
    np.testing.assert_allclose(evidence, [-18.0, -18.0, 0.0, 18.0, 18.0], atol=1e-9)


def test_appearance_joins_over_seconds_and_forbids_over_moments():
    strangers = [walk(i, range(0, 90), 100 + 100 * i, 0, y=300, look=i) for i in (5, 6, 7)]
    same = walk(1, range(0, 20), 200, 1, look=0), walk(2, range(60, 80), 200, 1, look=0)
    assert ids(run(video(*strangers, *same, embedded=True))) == [1, 5, 6, 7]
    other = walk(1, range(0, 20), 200, 1, look=0), walk(2, range(24, 50), 200, 1, look=1)
    assert ids(run(video(*strangers, *other, embedded=True))) == [1, 2, 5, 6, 7]
    assert ids(run(video(*strangers, *same, embedded=True), appearance_seconds=2.0)) == [1, 2, 5, 6, 7]


def test_how_alike_is_enough_is_learned_from_who_is_there_together():
    # All embeddings share a large common part, as those of a weak embedder do: the cosine of strangers is 0.8.
    def looks(part: Tracklets, own: int) -> Tracklets:
        embedding = np.zeros((len(part), 8), np.float32)
        embedding[:, 0], embedding[:, own] = 0.8**0.5, 0.2**0.5
        return Tracklets(part.frame, part.time, part.track_id, part.xyxy, part.score, embedding)

    strangers = [looks(walk(i, range(0, 90), 100 + 100 * i, 0, y=300), i) for i in (5, 6, 7)]
    other = looks(walk(1, range(0, 20), 200, 1), 1), looks(walk(2, range(40, 60), 200, 1), 2)
    assert ids(run(video(*strangers, *other, embedded=True))) == [1, 2, 5, 6, 7]
    same = looks(walk(1, range(0, 20), 200, 1), 1), looks(walk(2, range(40, 60), 200, 1), 1)
    assert ids(run(video(*strangers, *same, embedded=True))) == [1, 5, 6, 7]


def test_who_has_left_the_picture_does_not_come_back_as_the_same():
    strangers = [walk(i, range(0, 90), 100 + 100 * i, 0, y=300, look=i) for i in (5, 6, 7)]
    gone = walk(1, range(0, 20), 895, 5, look=0)  # its last box ends at x = 1000
    back = walk(2, range(50, 70), 1240, -5, look=0)
    assert ids(run(video(*strangers, gone, back, embedded=True))) == [1, 2, 5, 6, 7]


# --- uncrossing


def crossing(*, swapped: bool, ends: bool = False, embedded_every: int = 1) -> Tracklets:
    """Two people walk towards each other and meet in frame 30; from then on `swapped` ids have the other's look."""
    strangers = [walk(i, range(0, 61), 100 + 100 * i, 0, y=300, look=i) for i in (5, 6, 7)]
    first, second = (1, 2) if swapped else (2, 1)
    pieces = [
        walk(1, range(0, 31), 200, 5, look=0),
        walk(2, range(0, 31), 503, -5, look=1),
        walk(first, range(31, 61), 503, -5, look=1),
        *([] if ends else [walk(second, range(31, 61), 200, 5, look=0)]),
    ]
    for piece in pieces + strangers:
        piece.embedding[piece.frame % embedded_every != 0] = 0
    return video(*strangers, *pieces, embedded=True)


def place(result: Tracklets, track_id: int, frame: int) -> float:
    row = (result.track_id == track_id) & (result.frame == frame)
    return float(result.xyxy[row, [0, 2]].mean()) if row.any() else float("nan")


@pytest.mark.parametrize("every", [1, 10])
def test_identities_swapped_at_a_meeting_are_swapped_back(every: int):
    result = run(crossing(swapped=True, embedded_every=every))
    assert place(result, 1, 50) == pytest.approx(450, abs=10)
    assert place(result, 2, 50) == pytest.approx(253, abs=10)
    assert place(run(crossing(swapped=True), uncross=False), 1, 50) == pytest.approx(253, abs=10)


def test_a_meeting_without_a_swap_changes_nothing():
    for ends in (False, True):
        result = run(crossing(swapped=False, ends=ends))
        assert place(result, 2, 50) == pytest.approx(253, abs=10)


def test_an_identity_stolen_at_a_meeting_is_given_back():
    result = run(crossing(swapped=True, ends=True))  # 1 goes on with the look of 2, who is not seen again
    assert place(result, 2, 50) == pytest.approx(253, abs=10)
    assert np.isnan(place(result, 1, 50))


@pytest.mark.parametrize("unknown", [1, 2])
def test_one_who_was_not_embedded_before_the_meeting_is_told_by_the_other(unknown: int):
    rows = crossing(swapped=True)
    rows.embedding[(rows.track_id == unknown) & (rows.frame <= 30)] = 0
    result = run(rows)
    assert place(result, 1, 50) == pytest.approx(450, abs=10)
    assert place(result, 2, 50) == pytest.approx(253, abs=10)


@pytest.mark.parametrize(("embedded", "exchanged"), [(1, False), (5, True)])
def test_a_single_box_before_the_meeting_does_not_exchange_identities(embedded: int, exchanged: bool):
    rows = crossing(swapped=False)
    early = rows.frame <= 30
    look = rows.embedding[(rows.track_id == 2) & (rows.frame == 0)]
    rows.embedding[early & (rows.track_id <= 2)] = 0
    rows.embedding[(rows.frame < embedded) & (rows.track_id == 1)] = look  # of the person who is in front
    assert place(run(rows), 2, 50) == pytest.approx(450 if exchanged else 253, abs=10)


# --- smoothing


def test_the_smoother_solves_its_least_squares_problem():
    rng = np.random.default_rng(1)
    time = np.cumsum(rng.uniform(0.02, 0.3, 12))
    track = np.array([0] * 7 + [1] * 5)
    values = rng.normal(size=(12, 2))
    weight = rng.uniform(0.2, 1, 12)
    weight[[2, 9]] = 0
    stiffness = np.array([0.01, 0.3])
    bend = []
    for i in range(10):
        if track[i] == track[i + 2]:
            h0, h1 = time[i + 1] - time[i], time[i + 2] - time[i + 1]
            row = np.zeros(12)
            row[i : i + 3] = np.array([1 / h0, -1 / h0 - 1 / h1, 1 / h1]) * (2 / (h0 + h1)) ** 0.5
            bend.append(row)
    penalty = np.array(bend).T @ np.array(bend)
    expected = [
        np.linalg.solve(np.diag(weight) + s * penalty, weight * v) for s, v in zip(stiffness, values.T, strict=True)
    ]
    result = smooth(time, values, track, weight, stiffness=stiffness)
    np.testing.assert_allclose(result, np.stack(expected, axis=1), atol=1e-9)


def test_a_straight_walk_stays_where_it_is():
    rows = walk(1, range(30), 200, 7)
    np.testing.assert_allclose(run(rows).xyxy, rows.xyxy, atol=0.05)


@pytest.mark.parametrize("stretch", [1.0, 30.0])
def test_noise_is_taken_away_at_any_frame_rate(stretch: float):
    rng = np.random.default_rng(0)
    frame = np.arange(300)
    x = 300 + 100 * np.sin(frame / 40)
    true = np.stack([x, 0 * x + 100, x + 40, 0 * x + 200], axis=1)
    noisy = true + rng.normal(0, 4, true.shape)
    noisy[50] += 40  # a box that is plainly wrong
    rows = Tracklets(frame, frame / 30 * stretch, np.ones(300, np.int64), noisy.astype(np.float32), np.ones(300))
    error = run(rows).xyxy - true
    assert np.sqrt((error**2).mean()) < 2
    assert np.abs(error[50]).max() < 8
    np.testing.assert_array_equal(run(rows, smooth=False).xyxy, rows.xyxy)


# --- filling


@pytest.mark.parametrize(
    ("missing", "seconds", "filled"),
    [(range(20, 24), 1.0, 4), (range(20, 24), 0.4, 0), (range(2, 6), 1.0, 0), (range(20, 35), 1.0, 0)],
    ids=["short gap", "longer than allowed", "longer than the run before it", "longer than a second"],
)
def test_which_gaps_are_filled(missing: range, seconds: float, filled: int):
    seen = [f for f in range(50) if f not in missing]
    result = run(walk(4, seen, 200, 6), fill_seconds=seconds)
    assert result.frame[result.interpolated].tolist() == (list(missing) if filled else [])
    assert result.row[~result.interpolated].tolist() == list(range(len(seen)))
    np.testing.assert_allclose(result.xyxy, walk(4, result.frame.tolist(), 200, 6).xyxy, atol=0.05)
    np.testing.assert_allclose(result.time, result.frame / FPS, atol=1e-6)
    np.testing.assert_allclose(result.score, 0.8, atol=1e-6)


# --- contract


@pytest.mark.parametrize("embedded", [False, True])
def test_few_rows_are_survived(embedded: bool):
    assert len(link(video(walk(1, range(0), 200, 5), embedded=embedded))) == 0
    one = link(video(walk(1, range(1), 200, 5, look=0), embedded=embedded))
    assert (one.track_id.tolist(), one.row.tolist()) == ([1], [0])
    two = link(video(walk(1, range(1), 200, 5, look=0), walk(2, range(1), 400, 5, look=1), embedded=embedded))
    assert (two.track_id.tolist(), two.row.tolist()) == ([1, 2], [0, 1])


def test_every_row_comes_back_once_and_no_id_twice_in_a_frame():
    rng = np.random.default_rng(3)
    parts = []
    for i in range(1, 40):
        start = int(rng.integers(0, 150))
        kept = [f for f in range(start, start + int(rng.integers(1, 60))) if rng.random() < 0.7]
        parts.append(walk(i, kept, rng.uniform(0, 900), rng.normal(0, 3), y=rng.uniform(0, 400), look=i % 8))
    rows = video(*parts, embedded=True)
    result = link(rows, size=SIZE)
    assert sorted(result.row[result.row >= 0].tolist()) == list(range(len(rows)))
    np.testing.assert_array_equal(result.frame[result.row >= 0], rows.frame[result.row[result.row >= 0]])
    assert len(np.unique(np.stack([result.frame, result.track_id]), axis=1).T) == len(result)
    assert np.isfinite(result.xyxy).all()
    assert (result.xyxy[:, 2:] > result.xyxy[:, :2]).all()


def test_settings_are_checked():
    with pytest.raises(ConfigError, match="fill_seconds must be between"):
        LinkConfig(fill_seconds=-1.0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sequence", "gain"), [("tracking/TUD-Campus", 1.0), ("association/mot17/MOT17-09-FRCNN", 4.0)]
)
def test_linking_raises_the_score_of_real_sequences(shared: Path, sequence: str, gain: float):
    from mot_dinov3.apps.evaluation import SequencePair, as_table, read_truth, score
    from mot_dinov3.core.structures import Detections, Frame
    from mot_dinov3.formats.motchallenge import read_detections
    from mot_dinov3.trackers.appearance import AppearanceTracker
    from mot_dinov3.trackers.base import TrackerRequest

    folder = shared / "data" / sequence
    recorded = read_detections(folder / "det" / "det.txt")
    tracker = AppearanceTracker(TrackerRequest(fps=recorded.video.fps))
    frames: list[Detections] = []
    for index in range(max(recorded.frames) + 1):
        tracker.predict(Frame(index, index / recorded.video.fps))
        frames.append(tracker.update(recorded.frames.get(index, Detections.empty())))
        for revision in tracker.revisions:
            frames[revision.frame_index].track_id[revision.row] = revision.track_id
    online = {index: rows[(rows.track_id >= 1) & ~rows.coasted] for index, rows in enumerate(frames)}
    seen = list(online.values())
    frame = np.repeat(np.arange(len(seen)), [len(rows) for rows in seen])
    rows = Detections.concat(seen)
    linked = link(Tracklets(frame, frame / recorded.video.fps, rows.track_id, rows.xyxy, rows.score))
    offline = {
        index: Detections(linked.xyxy[linked.frame == index], track_id=linked.track_id[linked.frame == index])
        for index in range(len(seen))
    }
    truth = read_truth(folder / "gt" / "gt.txt")
    scores = score([SequencePair(n, truth, as_table(t)) for n, t in (("online", online), ("linked", offline))])
    assert scores["linked"].hota > scores["online"].hota + gain
    assert scores["linked"].idf1 > scores["online"].idf1 - 0.1
