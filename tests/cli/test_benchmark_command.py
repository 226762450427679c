"""The command `benchmark`, on a small real video."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from keypoints import scene as keypoint_scene
from mot_dinov3.cli import main
from scenes import Scene

pytestmark = pytest.mark.usefixtures("elsewhere")


def benchmark(scene: Scene, *options: str) -> int:
    given = ("--source", str(scene.video), "--dets", str(scene.dets), "--embedder", "histogram", "--no-progress")
    return main(["benchmark", *given, *options])


def test_a_run_is_measured_and_leaves_nothing_behind(
    scene: Scene, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert benchmark(scene, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["frames"], found["detections"], found["identities"]) == (scene.frames, 80, 2)
    assert found["embedded"] / 80 == found["share_embedded"] > 0
    assert found["fps"] > 0
    assert found["peak_mb"] > 10
    assert found["time_to_first_frame_s"] > 0
    stages = found["stage_ms"]
    assert stages["draw"] > 0
    assert stages["write"] > 0
    main_thread = sum(ms for name, ms in stages.items() if name not in ("read", "write"))
    assert main_thread == pytest.approx(found["latency_ms"]["mean"])
    assert list(tmp_path.iterdir()) == []


def test_the_encoder_is_that_of_track(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    assert benchmark(scene, "--preset", "auto") == 0
    assert capsys.readouterr().err.count("--preset auto: ") == 1
    assert benchmark(scene, "--preset", "slow") == 2
    assert "ultrafast" in capsys.readouterr().err
    assert benchmark(scene, "--keypoints", "--preset", "auto") == 2
    assert "not with --keypoints: --dets, --embedder, --preset" in capsys.readouterr().err


def test_as_text_it_is_the_summary(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    assert benchmark(scene, "--no-video", "--end-frame", "10") == 0
    out = capsys.readouterr().out
    assert "frames      10, 20 detections" in out
    assert "MB peak" in out
    assert "written" not in out


def test_budgets_are_tried_one_by_one(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    budget = ("--budget", "5,20", "--embed-cost-ms", "4", "--embed-refresh", "1", "--no-video")
    assert benchmark(scene, *budget, "--json") == 0
    found = json.loads(capsys.readouterr().out)["budgets"]
    assert [one["budget_ms"] for one in found] == [5, 20]
    assert found[0]["deferred"] > found[1]["deferred"]  # 5 ms are one crop of 4 ms
    assert all(one["overshoot_ms"]["max"] == 0 for one in found)
    assert benchmark(scene, *budget) == 0
    assert "| 5 |" in capsys.readouterr().out


def test_memory_is_read_while_the_source_begins_again(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    assert benchmark(scene, "--memory", "100", "--no-video", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found["resident_mb"]) == ["50", "100"]
    assert found["grown_mb"] < 100


def test_the_association_step_needs_no_source(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from mot_dinov3.apps.benchmark import association_cost, baselines

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(association_cost, "OBJECT_COUNTS", (3,))
    monkeypatch.setattr(association_cost, "PASSES", 1)
    monkeypatch.setattr(baselines, "ULTRALYTICS", ())
    monkeypatch.setattr(baselines, "ROBOFLOW", ())
    assert main(["benchmark", "--association", "--json", "--no-progress"]) == 0
    found = json.loads(capsys.readouterr().out)["association_ms"]
    assert set(found) == {"ours, motion only", "ours, all embedded"}


def test_detection_intervals_are_compared_by_speed_and_accuracy(
    scene: Scene, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--realtime", "--fps", "30", "--repeats", "1", "--end-frame", "30", "--gt", str(scene.gt))
    assert benchmark(scene, *words, "--json") == 0
    (found,) = json.loads(capsys.readouterr().out)["videos"]
    assert (found["video"], found["frames"], found["target_fps"]) == (scene.video.name, 30, 30)
    runs = {name: one["detector_runs"] for name, one in found["settings"].items()}
    fixed = {name: round(30 * share) for name, share in runs.items() if name.startswith("every")}
    assert fixed == {"every frame": 30, "every 2": 15, "every 3": 10, "every 4": 8, "every 6": 5}
    assert 0 < runs["auto"] < 0.5
    assert 0 < runs["realtime"] < 0.5
    assert found["settings"]["every frame"]["hota"] > 90  # the truth behind frame 30 is not missed
    for one in found["settings"].values():
        assert one["fps"]["lowest"] <= one["fps"]["median"] <= one["fps"]["highest"]
        assert {share["stage"] for share in one["cpu_ms"]} >= {"decode", "detect", "embed", "track", "draw", "encode"}
    assert list(tmp_path.iterdir()) == []


def test_each_video_has_its_tables(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--realtime", "25", "--detect-cost-ms", "8", "--repeats", "1", "--end-frame", "4", "--no-video")
    assert benchmark(scene, *words, "--videos", str(scene.video), "--gt", "-", str(scene.gt)) == 0
    first, second = capsys.readouterr().out.split(f"{scene.video.name}: ")[1:]
    assert "4 frames, 1 run of each setting; target 25 fps; a detector run takes 8.0 ms" in first
    assert "| realtime 25 |" in first
    assert "HOTA" not in first
    assert "| HOTA | IDF1 |" in second
    assert "| detect | main thread |" in second
    assert "encode" not in second


def test_keypoint_backends_are_compared_on_a_folder_of_labelled_videos(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "videos"
    video = keypoint_scene.write_video(folder / "v.mp4", 6)
    for frame in (0, 5):
        keypoint_scene.label(video.with_suffix(""), "v", frame)
    keypoint_scene.write_video(folder / "unlabelled.mp4", 6).with_suffix("").mkdir()
    words = ["benchmark", "--keypoints", str(folder), "--backend", "gradient", "--no-progress", "--cpu"]
    assert main([*words, "--json"]) == 0
    said = capsys.readouterr()
    assert f"notice: 'unlabelled' is left out: no labels: '{folder / 'unlabelled'}' holds no" in said.err
    (row,) = json.loads(said.out)["keypoints"]
    assert (row["video"], row["backend"], row["given"], row["points"]) == ("v", "gradient", [0], 4)
    assert row["pck"] == {"8": 1, "16": 1}
    assert row["fps"] > 0
    assert main(words) == 0
    assert "| v | gradient | 1 | 4 | " in capsys.readouterr().out
    assert main([*words, "--given-every", "1"]) == 2
    assert "leaves no labelled frame to compare with" in capsys.readouterr().err
    assert main([*words, "--no-video", "--gt", "g.txt"]) == 2
    assert "not with --keypoints: --gt, --no-video" in capsys.readouterr().err
    left = sorted(path.name for path in folder.rglob("*") if "unlabelled" not in path.name)
    assert left == ["v", "v.mp4", "v_000000000.json", "v_000000005.json"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--gt", "a.txt"), "--videos, --gt and --repeats are for the comparison of detection intervals"),
        (("--repeats", "2"), "--videos, --gt and --repeats are for the comparison of detection intervals"),
        (("--realtime", "25", "--gt", "a.txt", "b.txt"), "--gt names 2 files for 1 videos"),
        (("--realtime", "25", "--repeats", "0"), "--repeats must be at least 1"),
        (("--keypoints",), "not with --keypoints: --dets, --embedder"),
        (("--weights", "x.pt"), "only with --keypoints: --weights"),
        (("--budget", "5,x"), "--budget"),
        (("--budget", "0"), "positive numbers"),
        (("--peers",), "needs a video and YOLO weights"),
        (("--memory", "1"), "at least 2 frames"),
        (("--peers", "--association"), "not allowed with"),
    ],
)
def test_what_cannot_be_measured_is_one_clear_line(
    scene: Scene, options: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert benchmark(scene, *options) == 2
    err = capsys.readouterr().err
    assert said in err
    assert "Traceback" not in err


@pytest.mark.slow
def test_yolo_track_runs_beside_ours_on_the_same_frames(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("lap", reason="Ultralytics' trackers need lap")
    video, weights = shared / "data/tracking/vtest.avi", shared / "models/yolov8n.pt"
    words = ["benchmark", "--source", str(video), "--det", str(weights), "--classes", "0", "--embedder", "none"]
    words += ["--imgsz", "160", "--end-frame", "41", "--peers", "--json", "--no-progress", "--cpu"]
    assert main(words) == 0
    found = json.loads(capsys.readouterr().out)["peers"]
    assert found["ours"]["slower"] == 1
    assert len(found) == 3
    assert all(pace["wall_ms"] > 0 and pace["fps"] > 0 for pace in found.values())
