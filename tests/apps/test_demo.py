"""The demo's clip: pictures and truth agree, and are the same each time."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from mot_dinov3.apps.demo.street_clip import FPS, LENGTH, MIN_VISIBLE, STORY, Actor, StreetScene, compose, gt_lines
from mot_dinov3.cli import main
from mot_dinov3.core import boxes
from mot_dinov3.core.errors import UsageError
from mot_dinov3.core.structures import Detections

# Asked without importing it: that would load torch.
pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("ultralytics") is None, reason="the photographs come with ultralytics"
)


@pytest.fixture(scope="module")
def scene() -> StreetScene:
    return StreetScene.load()


def at(seconds: float) -> int:
    return round(seconds * FPS)


def alone(scene: StreetScene, actor: Actor) -> StreetScene:
    return StreetScene(scene.background, scene.column, scene.figures, (actor,))


def test_the_street_is_empty_at_first_and_does_not_flicker(scene: StreetScene) -> None:
    pictures = [scene.frame(index) for index in range(0, at(0.7), 3)]
    assert all(len(rows) == 0 for _, rows in pictures)
    assert all((image == pictures[0][0]).all() for image, _ in pictures)


def test_a_box_is_where_the_picture_changed(scene: StreetScene) -> None:
    empty, _ = scene.frame(0)
    for number, actor in enumerate(STORY, 1):
        one = alone(scene, actor)
        start, end = actor.path[0][0], min(actor.path[-1][0], LENGTH)
        seconds = start + 0.35 * (end - start) if actor.near else start + 0.17 * (end - start)
        image, rows = one.frame(at(seconds))
        assert len(rows) == 1, f"actor {number}"
        differs = np.abs(image.astype(int) - empty).max(2) > 25
        ys, xs = np.nonzero(differs)
        seen = np.array([[xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]], np.float32)
        assert boxes.iou(rows.xyxy, seen)[0, 0] > 0.8, f"actor {number}"


def test_who_is_hidden_has_no_row_and_comes_back_under_the_same_identity(scene: StreetScene) -> None:
    visible = [3 in scene.frame(at(second))[1].track_id for second in (5.0, 7.5, 10.0)]
    assert visible == [True, False, True]


def test_boxes_lie_in_the_picture_one_for_an_identity(scene: StreetScene) -> None:
    for second in (4, 5.5, 8, 9.5, 11, 13.5, 16, 18):
        _, rows = scene.frame(at(second))
        assert (boxes.clip(rows.xyxy, 768, 432) == rows.xyxy).all()
        assert boxes.usable(rows.xyxy).all()
        assert len(set(rows.track_id.tolist())) == len(rows) > 0


def test_somebody_in_full_view_moves_smoothly(scene: StreetScene) -> None:
    one = alone(scene, STORY[3])
    path = np.concatenate([one.frame(index)[1].xyxy for index in range(at(6), at(8))])
    assert len(path) == at(8) - at(6)
    assert np.abs(np.diff(path[:, [1, 3]], axis=0)).max() <= 4
    middle = path[:, [0, 2]].mean(1)
    assert 2 < np.diff(middle).min() <= np.diff(middle).max() < 14


def test_identities_are_the_actors(scene: StreetScene) -> None:
    seen = {int(i) for second in range(1, 20) for i in scene.frame(at(second))[1].track_id}
    assert seen == set(range(1, len(STORY) + 1))
    assert len(STORY) >= 6
    assert len({actor.figure for actor in STORY}) == len(STORY)  # no twins


def test_what_stands_in_front_hides_what_is_behind(scene: StreetScene) -> None:
    behind = alone(scene, Actor("beige", ((0, 384, 340), (2, 384, 340))))
    before = alone(scene, Actor("beige", ((0, 384, 390), (2, 384, 390))))
    beside = alone(scene, Actor("beige", ((0, 384 - 46 - 20, 340), (2, 384 - 46 - 20, 340))))
    assert len(behind.frame(5)[1]) == 0
    assert len(before.frame(5)[1]) == 1
    _, rows = beside.frame(5)
    assert rows.xyxy[0, 2] <= 384 - 46 + 1  # the box ends at the column
    assert 0 < MIN_VISIBLE < 1


def test_a_figure_looks_where_it_goes_and_stands_still_in_a_pause() -> None:
    actor = Actor("beige", ((0, 0, 340), (1, 100, 340), (2, 100, 340), (3, 0, 340)))
    assert [actor.faces_left(t) for t in (0.5, 1.5, 2.5)] == [False, True, True]
    assert [actor.walks(t) for t in (0.5, 1.5, 2.5)] == [True, False, True]
    assert actor.position(0.25) == (25, 340)


def test_the_same_pixels_each_time(scene: StreetScene) -> None:
    again = StreetScene.load()
    for index in (at(3), at(9)):
        (image, rows), (other, other_rows) = scene.frame(index), again.frame(index)
        assert (image == other).all()
        assert (rows.xyxy == other_rows.xyxy).all()


def test_truth_lines_count_frames_from_one() -> None:
    row = Detections(np.array([[10, 20, 40, 80]], np.float32), track_id=np.array([3]))
    assert list(gt_lines([Detections.empty(), row])) == ["2,3,10.00,20.00,30.00,60.00,1.0000,-1,-1,-1"]


@pytest.mark.parametrize("seconds", [0, -1, LENGTH + 1, float("nan")])
def test_a_length_the_story_does_not_have_is_refused(tmp_path: Path, seconds: float) -> None:
    with pytest.raises(UsageError, match="seconds"):
        compose(tmp_path, seconds=seconds)


def test_the_clip_and_its_truth_are_written(tmp_path: Path) -> None:
    import av

    clip = compose(tmp_path / "new", seconds=1.6)
    with av.open(str(clip.video)) as container:
        frames = [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]
    assert len(frames) == len(clip.truth) == clip.info.frame_count == 24
    assert frames[0].shape == (432, 768, 3)
    lines = clip.gt.read_text().splitlines()
    assert lines == list(gt_lines(clip.truth))
    assert len(lines) > 0


@pytest.mark.usefixtures("elsewhere")
def test_the_demo_says_when_its_scores_are_those_of_the_built_in_parts(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["demo", "--seconds", "3", "--det", "motion", "--embedder", "histogram", "--out-dir", ".", "--no-progress"]
    assert main(words) == 0
    told = capsys.readouterr().out
    assert "demo, motion + histogram" in told
    assert "scores of the built-in parts, which need no weights" in told
    assert Path("demo.jpg").stat().st_size > 0
