"""Figures of tracked keypoints: computed by hand, and from a small labelled video."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import numpy as np
import pytest

from keypoints import scene
from mot_dinov3.apps.benchmark.keypoint_runs import BackendComparison, find_videos
from mot_dinov3.apps.benchmark.keypoint_scores import PointFigures, ScoredPoint, area_under_curve, score_points
from mot_dinov3.core.errors import FormatError, InputError, NoLabelsError
from mot_dinov3.core.structures import Keypoints, PointState
from mot_dinov3.keypoints.job.config import BackendConfig
from mot_dinov3.keypoints.labels import LabelledInstance
from mot_dinov3.models.devices import DeviceChoice

VISIBLE, OCCLUDED, LOST = map(int, (PointState.VISIBLE, PointState.OCCLUDED, PointState.LOST))


def test_the_area_under_the_curve_counts_pairs_in_the_right_order() -> None:
    good = [True, True, False, False]
    assert area_under_curve([0.9, 0.8, 0.2, 0.1], good) == 1
    assert area_under_curve([0.1, 0.2, 0.8, 0.9], good) == 0
    assert area_under_curve([0.9, 0.3, 0.5, 0.1], good) == 3 / 4  # of the four pairs only 0.3, 0.5 is wrong
    assert area_under_curve([0.5, 0.5, 0.5, 0.5], good) == 1 / 2
    assert math.isnan(area_under_curve([0.5, 0.5], [True, True]))


def test_figures_of_five_points() -> None:
    found = PointFigures.of(
        [
            ScoredPoint(2.0, True, 0.9, VISIBLE),
            ScoredPoint(8.0, True, 0.6, VISIBLE),
            ScoredPoint(16.0, False, 0.4, OCCLUDED),
            ScoredPoint(17.0, False, 0.7, VISIBLE),
            ScoredPoint(math.inf, False, 0.0, LOST),
        ]
    )
    assert (found.points, found.median_px, found.pck, found.right) == (5, 16, {8: 0.4, 16: 0.6}, 0.4)
    assert found.auc == 4 / 6  # 0.9 > 0.7, 0.6 < 0.7, 0.4 < 0.7; all three > 0
    assert (found.wrong_visible, found.right_visible) == (1 / 2, 2 / 3)
    assert found.cells() == ["5", "16.0", "0.400", "0.600", "0.400", "0.67", "50%", "67%"]


def test_what_cannot_be_computed_is_a_dash_and_null() -> None:
    all_right = PointFigures.of([ScoredPoint(1.0, True, 0.9, VISIBLE)])
    assert all_right.cells()[-3:] == ["–", "–", "100%"]
    assert (all_right.numbers()["auc"], all_right.numbers()["wrong_visible"]) == (None, None)
    lost = PointFigures.of([ScoredPoint(math.inf, False, 0.0, LOST)])
    assert lost.cells()[1] == "lost"
    assert lost.numbers()["median_px"] is None
    assert PointFigures.of([]).cells() == ["0", *["–"] * 7]


def labelled(places: dict[str, tuple[float, float]], *, occluded: frozenset[str] = frozenset()) -> LabelledInstance:
    xy = np.array(list(places.values()), np.float64)
    return LabelledInstance("mouse", 1, tuple(places), xy, occluded=occluded)


def test_points_are_compared_by_name_and_lost_ones_are_wrong() -> None:
    nowhere = (math.nan, math.nan)
    given = labelled({"nose": (0, 0), "tail": (200, 0), "ear": nowhere})  # 5 % of its size are 10 px
    truth = {
        3: (labelled({"nose": (10, 10), "tail": (210, 10), "ear": (50, 50)}),),
        4: (labelled({"nose": (10, 10), "tail": (210, 10), "ear": (50, 50)}, occluded=frozenset({"nose"})),),
        5: (labelled({"nose": (10, 10), "tail": nowhere, "ear": nowhere}),),
    }
    xy = np.array([(nowhere), (210, 19)], np.float64)
    frame = Keypoints(
        instance=("mouse", "mouse"),
        group_id=np.array([1, 1]),
        name=("nose", "tail"),
        xy=xy,
        score=np.array([0.0, 0.7]),
        state=np.array([LOST, VISIBLE]),
        source=np.array([1, 1]),
    )
    found = score_points([(2, frame), (3, frame), (4, frame)], truth, [(given,)])
    assert found == [
        ScoredPoint(math.inf, False, 0.0, LOST),
        ScoredPoint(9.0, True, 0.7, VISIBLE),
        ScoredPoint(9.0, True, 0.7, VISIBLE),  # the hidden nose is left out, and the ear, which is given nowhere
        ScoredPoint(math.inf, False, 0.0, LOST),  # the run has no such frame
    ]


GRADIENT = BackendComparison([BackendConfig("gradient")], DeviceChoice(device="cpu"))


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    """A folder with a labelled video, and one in a folder of its own with a table of places."""
    made = scene.write_video(tmp_path / "videos" / "one.mp4", 9)
    for frame in (0, 4, 8):
        scene.label(made.with_suffix(""), "one", frame)
    (tmp_path / "videos" / "unlabelled.mp4").write_bytes(b"")
    own = tmp_path / "videos" / "more"
    own.mkdir()
    shutil.copyfile(made, own / "two.mp4")
    scene.label(own / "two", "two", 0)
    rows = [f"{f},mouse,{k},{x},{y}\n" for f in (0, 3, 30) for k, (x, y) in scene.truth(f).items()]
    (own / "truth.csv").write_text("frame,instance,keypoint,x,y\n" + "".join(rows))
    return tmp_path / "videos"


def test_every_labelled_frame_but_the_given_ones_is_compared(videos: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in videos.rglob("*") if path.is_file()}
    found, notices = find_videos(videos)
    assert notices == []
    assert {one.name: sorted(one.labels.frames) for one in found} == {"one": [0, 4, 8], "two": [0, 3]}
    (tmp_path / "out").mkdir()
    rows = {row.video: row for row in GRADIENT.rows(found, tmp_path / "out")}
    assert {name: (row.given, row.figures.points) for name, row in rows.items()} == {"one": ((0,), 8), "two": ((0,), 4)}
    assert all(row.figures.pck[8] == row.figures.right == 1 and row.fps > 0 for row in rows.values())
    assert {path: path.read_bytes() for path in videos.rglob("*") if path.is_file()} == before


def test_every_second_labelled_frame_can_be_given(videos: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    comparison = BackendComparison(GRADIENT.backends, GRADIENT.device, every=2)
    (row,) = comparison.rows(find_videos(videos / "one.mp4")[0], tmp_path / "out")
    assert (row.given, row.figures.points, row.figures.pck[8]) == ((0, 8), 4, 1)


def test_a_video_without_labels_of_a_person_is_left_out(videos: Path) -> None:
    shutil.rmtree(videos / "more" / "two")
    (videos / "more" / "two").mkdir()
    found, notices = find_videos(videos)
    assert [one.name for one in found] == ["one"]
    assert [notice[: notice.index(":")] for notice in notices] == ["'two' is left out"]
    assert "holds no two_#########.json labelled by a person" in notices[0]
    with pytest.raises(NoLabelsError, match="holds no two_"):
        find_videos(videos / "more")


def test_a_folder_with_nothing_to_compare_says_what_is_missing(videos: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no labelled video"):
        find_videos(tmp_path / "videos" / "one")
    with pytest.raises(InputError, match="does not exist"):
        find_videos(tmp_path / "nowhere")
    (videos / "more" / "truth.csv").unlink()
    ((only,), _) = find_videos(videos / "more")
    with pytest.raises(InputError, match="no labelled frame is left"):
        list(GRADIENT.rows([only], tmp_path))
    (videos / "more" / "truth.csv").write_text("frame,x,y\n")
    with pytest.raises(FormatError, match="no column instance, keypoint"):
        find_videos(videos)
