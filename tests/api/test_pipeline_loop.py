"""`Pipeline` and `track`: the rows, files and errors of the command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mot_dinov3 import Pipeline, track
from mot_dinov3.cli import main
from mot_dinov3.core.errors import ConfigError, UsageError, VideoError
from scenes import write_scene


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scene(tmp_path_factory.mktemp("loop")).video


def built_in(video: Path, **options: object) -> Pipeline:
    return Pipeline.from_options(source=video, det="motion", embedder="histogram", **options)  # type: ignore[arg-type]


def test_track_runs_to_the_end_and_returns_the_summary(video: Path, tmp_path: Path) -> None:
    summary = track(source=video, det="motion", embedder="histogram", save_json=tmp_path / "tracks.json")
    assert summary.counts.frames == len(json.loads((tmp_path / "tracks.json").read_text())["frames"]) > 0
    assert [path.name for path in tmp_path.iterdir()] == ["tracks.json"]


def test_the_loop_gives_what_the_command_writes(video: Path, tmp_path: Path) -> None:
    words = ["--source", str(video), "--det", "motion", "--embedder", "histogram", "--no-video", "--no-coast"]
    assert main([*words, "--save-json", str(tmp_path / "command.json"), "--no-progress"]) == 0
    pipeline = built_in(video, coast=False, save_json=tmp_path / "loop.json")
    frames = list(pipeline)
    assert [frame.index for frame, _ in frames] == list(range(pipeline.info.frame_count))
    assert all(frame.pixels().shape == (pipeline.info.height, pipeline.info.width, 3) for frame, _ in frames)
    assert max(int(rows.track_id.max(initial=0)) for _, rows in frames) >= 2
    command, loop = (json.loads((tmp_path / name).read_text()) for name in ("command.json", "loop.json"))
    assert loop["frames"] == command["frames"]
    assert pipeline.summary().counts.frames == len(frames)


def test_supervision_gets_the_names_of_the_classes(tmp_path: Path) -> None:
    scene = write_scene(tmp_path)
    found = [
        rows.to_supervision().data["class_name"].tolist()
        for _, rows in Pipeline.from_options(source=scene.video, dets=scene.dets, embedder="none")
    ]
    assert found == [["box", "box"]] * scene.frames


def test_nothing_is_written_unless_named(video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in built_in(video, end_frame=3):
        pass
    assert list(tmp_path.iterdir()) == []


def test_leaving_early_finishes_the_files(video: Path, tmp_path: Path) -> None:
    frames = iter(built_in(video, save_json=tmp_path / "tracks.json", output=tmp_path / "out.mp4"))
    for _ in range(4):
        next(frames)
    frames.close()  # type: ignore[attr-defined]
    assert len(json.loads((tmp_path / "tracks.json").read_text())["frames"]) == 4
    assert (tmp_path / "out.mp4").stat().st_size > 0


def test_leaving_early_links_the_frames_so_far(video: Path, tmp_path: Path) -> None:
    frames = iter(built_in(video, link=True, save_json=tmp_path / "tracks.json"))
    for _ in range(4):
        next(frames)
    frames.close()  # type: ignore[attr-defined]
    assert len(json.loads((tmp_path / "tracks.json").read_text())["frames"]) == 4


def test_an_error_in_the_middle_leaves_an_earlier_result(video: Path, tmp_path: Path) -> None:
    earlier = tmp_path / "tracks.json"
    earlier.write_text("earlier")
    frames = iter(built_in(video, save_json=earlier))
    next(frames)
    with pytest.raises(VideoError, match="gone"):
        frames.throw(VideoError("gone"))  # type: ignore[attr-defined]
    assert earlier.read_text() == "earlier"


def test_a_run_is_iterated_once(video: Path) -> None:
    pipeline = built_in(video, end_frame=2)
    assert len(list(pipeline)) == 2
    with pytest.raises(UsageError, match="runs once"):
        iter(pipeline)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"conf": "0.3"}, ConfigError, "'conf' must be a float"),
        ({"conf": 7.0}, ConfigError, "conf must be between 0 and 1"),
        ({"line": 5}, ConfigError, "'line' must be"),
        ({"video": True}, UsageError, "needs an output file"),
        ({"det": "no_such.pt"}, Exception, "no_such.pt"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_mistakes_are_told_before_the_first_frame(
    video: Path, options: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        Pipeline.from_options(**{"source": video, "embedder": "none", "det": "motion"} | options)  # type: ignore[arg-type]


def test_no_input_is_told() -> None:
    with pytest.raises(UsageError, match="no input"):
        Pipeline.from_options(det="motion")


def test_recorded_detections_need_no_video(tmp_path: Path) -> None:
    rows = [f"{frame},-1,{10 + frame},20,30,60,0.9,-1,-1,-1" for frame in range(1, 11)]
    (tmp_path / "det.txt").write_text("\n".join(rows))
    found = [rows for _, rows in Pipeline.from_options(dets=tmp_path / "det.txt", fps=10)]
    assert len(found) == 10
    assert found[-1].track_id.tolist() == [1]
    np.testing.assert_allclose(found[-1].xyxy, [[20, 20, 50, 80]])
