"""The main job from the command line, on a small real video."""

from __future__ import annotations

import csv
import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import av
import pytest

from mot_dinov3.apps.evaluation import load_pairs, score
from mot_dinov3.cli import main
from mot_dinov3.cli.track import next_steps
from mot_dinov3.pipeline.config import track_config
from scenes import HEIGHT, WIDTH

pytestmark = pytest.mark.usefixtures("elsewhere")
WEIGHT_FREE = ("--embedder", "histogram", "--no-progress")


def track(scene, *options):
    return main(["--source", str(scene.video), "--dets", str(scene.dets), *WEIGHT_FREE, *options])


def test_the_summary_ends_with_commands_that_work(scene, capsys):
    assert track(scene, "--output", "t.mp4", "--save-mot", "t.txt", "--resume") == 0
    steps = [line[12:] for line in capsys.readouterr().out.splitlines() if line.startswith(("next", " " * 12))]
    commands = {name: shlex.split(words) for name, words in (step.split(maxsplit=1) for step in steps)}
    assert commands["open"][1:] == ["t.mp4"]
    more = commands["more"][commands["more"].index("--source") :]
    assert "--resume" not in more
    assert main(more) == 0
    assert Path("outputs/report.html").exists()
    steps = [line[12:] for line in capsys.readouterr().out.splitlines() if line.startswith(("next", " " * 12))]
    assert [step.split()[0] for step in steps] == ["open", "open", "correct", "evaluate"]
    gt = ["evaluate", "--gt", str(scene.gt), *commands["evaluate"][commands["evaluate"].index("--tracks") :]]
    assert main(gt) == 0


def test_the_summary_says_which_preset_was_chosen(scene, capsys):
    assert track(scene, "--output", "t.mp4", "--preset", "auto", "--save-json", "t.json") == 0
    assert capsys.readouterr().err.count("--preset auto: ") == 1
    assert "--preset" not in Path("t.json").read_text(encoding="utf-8")  # equal runs write equal tracks
    assert frames_of("t.mp4")[-1] == scene.frames


def test_a_password_is_not_repeated_and_a_live_source_not_tracked_again():
    config = track_config({"source": "rtsp://me:s3cret@host/x", "save_json": "t.json"})
    (opened, correct, evaluate) = next_steps(config, ["--source", "rtsp://me:s3cret@host/x"])
    assert "me:***@host" in correct
    assert "s3cret" not in opened + correct + evaluate


def test_what_the_detector_lacks_is_said_before_the_embedder_loads(scene, capsys, monkeypatch):
    monkeypatch.setattr("mot_dinov3.pipeline.wiring.build_embedder", lambda *_, **__: pytest.fail("it was loaded"))
    for det in ("nowhere/y.pt", "yolov8m-typo.pt"):
        assert main(["--source", str(scene.video), "--det", det, "--no-progress"]) == 4
        assert f"'{det}'" in capsys.readouterr().err


def frames_of(path):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return stream.codec_context.name, stream.width, stream.height, sum(1 for _ in container.decode(stream))


def test_the_whole_job(scene, tmp_path, capsys):
    code = track(
        scene, "--output", "t.mp4", "--save-json", "t.json", "--save-mot", "t.txt", "--save-csv", "t.csv",
        "--save-dets", "d.json",
    )  # fmt: skip
    assert code == 0
    summary = capsys.readouterr().out
    assert "tracks      2 in 0:03.9\n" in summary
    assert "frames      40, 80 detections" in summary
    assert frames_of("t.mp4") == ("h264", WIDTH, HEIGHT, scene.frames)

    scores = score(load_pairs([scene.gt], [Path("t.txt")]))["COMBINED"]
    assert scores.idf1 > 95
    assert scores.switches == 0

    tracked = json.loads(Path("t.json").read_text())
    assert tracked["schema_version"] == "track-v1"
    first = tracked["frames"][0]["detections"]
    assert [d["track_id"] for d in first] == ["1", "2"], "a track's rows start at its first box"
    assert all(d["embedded"] for d in first)
    assert tracked["frames"][0]["detections"][0]["bbox"] == [4.0, 30, 24.0, 80]

    rows = list(csv.DictReader(Path("t.csv").read_text().splitlines()))
    assert len(rows) == len(Path("t.txt").read_text().splitlines()) == 80
    assert {row["track_id"] for row in rows} == {"1", "2"}
    assert rows[0]["class_name"] == "box"

    again = json.loads(Path("d.json").read_text())
    assert again["frames"] == json.loads(scene.dets.read_text())["frames"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["d.json", "t.csv", "t.json", "t.mp4", "t.txt"]


EMPTY = {"det.txt": "", "d.json": '{"schema_version": "det-v1", "frames": []}'}


@pytest.mark.parametrize("dets", EMPTY)
def test_nothing_found_can_be_tracked_and_tracked_again(scene, dets):
    """An empty file of detections gives empty results, each of which can be given as detections."""
    Path(dets).write_text(EMPTY[dets])
    outputs = ["--save-json", "t.json", "--save-mot", "t.txt", "--save-csv", "t.csv", "--save-dets", "again.json"]
    assert main(["--source", str(scene.video), "--dets", dets, "--no-video", *WEIGHT_FREE, *outputs]) == 0
    assert main(["convert", "t.json", "labels", "--to", "yolo"]) == 0
    for written in ("t.json", "t.txt", "t.csv", "again.json", "labels"):
        words = ["--source", str(scene.video), "--dets", written, "--no-video", "--save-mot", "end.txt"]
        assert main([*words, *WEIGHT_FREE]) == 0
        assert Path("end.txt").read_bytes() == b""
    assert main(["--dets", dets, "--save-mot", "alone.txt", "--no-progress"]) == 0
    assert Path("alone.txt").read_bytes() == b""


def test_looking_at_every_third_frame_still_shows_everybody_in_every_frame(scene):
    options = ("--detect-every", "3", "--save-json", "t.json", "--save-mot", "t.txt", "--save-dets", "d.json")
    assert track(scene, *options) == 0
    assert frames_of("outputs/tracked.mp4")[3] == scene.frames
    scores = score(load_pairs([scene.gt], [Path("t.txt")]))["COMBINED"]
    assert (scores.mota, scores.idf1, scores.switches) == (100, 100, 0)
    for frame in json.loads(Path("t.json").read_text())["frames"]:
        assert {row["track_id"] for row in frame["detections"]} == {"1", "2"}
        assert [row.get("coasted", False) for row in frame["detections"]] == [frame["frame"] % 3 != 0] * 2
    looked_at = [frame["frame"] for frame in json.loads(Path("d.json").read_text())["frames"]]
    assert looked_at == list(range(0, scene.frames, 3))


def test_linking_takes_the_boxes_between_looks_as_seen(scene):
    assert track(scene, "--detect-every", "4", "--link", "--no-video", "--save-mot", "t.txt") == 0
    scores = score(load_pairs([scene.gt], [Path("t.txt")]))["COMBINED"]
    assert (scores.mota, scores.idf1) == (100, 100)


def test_a_tracker_that_follows_nobody_cannot_skip_frames(scene, capsys):
    assert track(scene, "--detect-every", "2", "--tracker", "gallery_only", "--no-video") == 2
    assert "'gallery_only' does not" in capsys.readouterr().err


def test_the_same_run_twice_gives_the_same_bytes(scene):
    for name in ("a", "b"):
        budget = ("--embed-budget-ms", "10", "--embed-cost-ms", "4")
        assert track(scene, "--no-video", "--save-json", f"{name}.json", "--save-mot", f"{name}.txt", *budget) == 0
    assert Path("a.json").read_bytes() == Path("b.json").read_bytes()
    assert Path("a.txt").read_bytes() == Path("b.txt").read_bytes()


def test_motion_needs_nothing_but_the_video(scene, capsys):
    assert main(["--source", str(scene.video), "--det", "motion", *WEIGHT_FREE, "--save-mot", "m.txt"]) == 0
    assert Path("outputs/tracked.mp4").is_file()
    assert "motion" in capsys.readouterr().out


def test_a_range_keeps_the_sources_numbers(scene):
    assert track(scene, "--start-frame", "10", "--end-frame", "15", "--output", "t.mp4", "--save-json", "t.json") == 0
    assert [f["frame"] for f in json.loads(Path("t.json").read_text())["frames"]] == [10, 11, 12, 13, 14]
    assert frames_of("t.mp4")[3] == 5


def test_recorded_detections_alone_need_no_pictures(scene):
    assert main(["--dets", str(scene.dets), "--save-mot", "t.txt"]) == 0
    assert score(load_pairs([scene.gt], [Path("t.txt")]))["COMBINED"].mota > 90
    assert not Path("outputs").exists()


def test_a_mot_file_has_its_frame_rate_from_seqinfo(scene, capsys):
    Path("det").mkdir()
    Path("det/det.txt").write_text(scene.gt.read_text())
    assert main(["--dets", "det/det.txt", "--save-mot", "a.txt"]) == 0
    assert "30 fps assumed" in capsys.readouterr().err
    Path("seqinfo.ini").write_text("[Sequence]\nname=s\nframeRate=10\nseqLength=40\nimWidth=160\nimHeight=120\n")
    assert main(["--dets", "det/det.txt", "--save-mot", "b.txt"]) == 0
    assert "fps assumed" not in capsys.readouterr().err


def test_a_config_file_is_read_and_the_command_line_wins(scene):
    Path("run.toml").write_text('output = "from_toml.mp4"\nsave_mot = "from_toml.txt"\n')
    assert track(scene, "--config", "run.toml", "--save-mot", "from_cli.txt") == 0
    assert sorted(p.name for p in Path().iterdir()) == ["from_cli.txt", "from_toml.mp4", "run.toml"]


BAD = [
    (["--source", "none.mp4"], 3, "none.mp4"),
    (["--source", "empty.mp4"], 3, "empty.mp4"),
    (["--source", "text.mp4"], 3, "text.mp4"),
    (["--source", "folder"], 3, "folder"),
    (["--start-frame", "500"], 3, "no frames"),
    (["--start-frame", "5", "--end-frame", "5"], 2, "end_frame"),
    (["--output", "folder"], 2, "folder"),
    (["--output", "text.mp4/x.mp4"], 2, "text.mp4"),
    (["--save-mot", "same", "--save-csv", "same"], 2, "same"),
    (["--det", "none.pt"], 4, "none.pt"),
    (["--det", "corrupt.pt"], 4, "corrupt.pt"),
    (["--det", "motion", "--classes", "7"], 2, "7"),
    (["--embedder", "histogramm"], 2, "did you mean 'histogram'"),
    (["--embedder", "osnet"], 2, "osnet"),
    (["--embedder", "osnet", "--embed-model", "corrupt.pt"], 4, "corrupt.pt"),
    (["--embedder", "osnet", "--embed-model", "none.pt"], 4, "none.pt"),
    (["--embedder", "dino", "--embed-model", "folder"], 4, "folder"),
    (["--tracker", "apearance"], 2, "did you mean 'appearance'"),
    (["--config", "bad.toml"], 2, "did you mean 'conf'"),
    (["--config", "none.toml"], 2, "none.toml"),
    (["--device", "cuda:99"], 2, "cuda:99"),
    (["--dets", "zero.json", "--config", "strict.toml"], 3, "zero.json"),
    (["--dets", "nan.json", "--config", "strict.toml"], 3, "nan.json"),
    (["--dets", "negative.txt", "--config", "strict.toml"], 3, "line 2"),
    (["--dets", "size.json"], 3, "size.json"),
    (["--dets", "late.json"], 3, "late.json"),
    (["--dets", "none.json"], 3, "none.json"),
    (["--dets", "folder"], 3, "folder"),
    (["--conf", "7"], 2, "conf"),
    (["--imgsz", "big"], 2, "imgsz"),
]


def det_v1(box="[1, 2, 30, 40]", *, frame=0, width=WIDTH):
    video = f'{{"path": "x", "fps": 10, "frame_count": 1, "width": {width}, "height": {HEIGHT}}}'
    record = f'{{"bbox": {box}, "score": 0.9, "class_id": 0}}'
    frames = f'[{{"frame": {frame}, "detections": [{record}]}}]'
    return f'{{"schema_version": "det-v1", "video": {video}, "frames": {frames}}}'


@pytest.mark.parametrize(("options", "code", "named"), BAD, ids=lambda v: " ".join(v) if isinstance(v, list) else None)
def test_bad_input_is_one_clear_line_and_harms_nothing(scene, capsys, options, code, named):
    Path("folder").mkdir()
    Path("empty.mp4").touch()
    Path("text.mp4").write_text("no video\n" * 100)
    Path("corrupt.pt").write_bytes(b"\x00\x01 not weights")
    Path("bad.toml").write_text("cnof = 0.2\n")
    Path("strict.toml").write_text("strict = true\n")
    Path("zero.json").write_text(det_v1("[5, 5, 5, 9]"))
    Path("nan.json").write_text(det_v1("[NaN, 5, 9, 9]"))
    Path("size.json").write_text(det_v1(width=WIDTH * 2))
    Path("late.json").write_text(det_v1(frame=4000))
    Path("negative.txt").write_text("1,-1,2,2,9,9,0.9\n1,-1,2,2,-3,9,0.9\n")
    earlier = {"out.mp4": "earlier video", "out.json": "earlier tracks"}
    for name, text in earlier.items():
        Path(name).write_text(text)
    given = {"--source": str(scene.video), "--det": "motion", "--embedder": "none", "--output": "out.mp4"}
    given |= {"--save-json": "out.json"} | dict(zip(options[::2], options[1::2]))
    assert main([word for pair in given.items() for word in pair]) == code
    said = capsys.readouterr()
    assert said.err.startswith("error: ") or "\nerror: " in said.err
    line = next(line for line in said.err.splitlines() if line.startswith("error: "))
    assert named in line
    assert "Traceback" not in said.err
    for name, text in earlier.items():
        assert Path(name).read_text() == text


def test_output_equal_to_source_is_refused(scene, capsys):
    before = scene.video.read_bytes()
    assert track(scene, "--output", str(scene.video)) == 2
    assert "source itself" in capsys.readouterr().err
    assert scene.video.read_bytes() == before


def test_pictures_that_are_not_there_cannot_be_asked_for(scene, capsys):
    assert main(["--dets", str(scene.dets), "--output", "x.mp4"]) == 2
    assert main(["--dets", str(scene.dets), "--embedder", "histogram"]) == 2
    assert capsys.readouterr().err.count("needs frames") == 2


def test_a_truncated_video_is_tracked_as_far_as_it_goes(scene, capsys):
    data = scene.video.read_bytes()
    Path("cut.mkv").write_bytes(data)
    Path("cut.mp4").write_bytes(data[: len(data) * 2 // 3])
    code = main(["--source", "cut.mp4", "--det", "motion", "--embedder", "none", "--save-mot", "t.txt", "--no-video"])
    said = capsys.readouterr().err
    assert code in (0, 3)
    assert said, "either the frames that came are counted in a notice, or the file is refused in one line"
    assert "Traceback" not in said


INTERRUPTED = """
import os, signal, sys
from mot_dinov3.cli import main
from mot_dinov3.pipeline import loop
step, kill = loop.TrackingLoop.step, getattr(signal, sys.argv[1])
def stepping(self, frame):
    if frame.index == 7:
        os.kill(os.getpid(), kill)
    return step(self, frame)
loop.TrackingLoop.step = stepping
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_an_interruption_finishes_the_frame_and_the_files(scene, name, code):
    options = ["--source", str(scene.video), "--det", "motion", "--embedder", "none"]
    result = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, name, *options, "--output", "t.mp4", "--save-json", "t.json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == code, result.stderr
    assert frames_of("t.mp4")[3] == 8
    assert len(json.loads(Path("t.json").read_text())["frames"]) == 8
    assert "frames      8" in result.stdout


def test_evaluate_and_detect_from_the_command_line(scene, capsys):
    assert main(["detect", "--source", str(scene.video), "--det", "motion", "--json", "d.json"]) == 0
    found = json.loads(Path("d.json").read_text())
    assert [f["frame"] for f in found["frames"]] == list(range(scene.frames))
    assert "written     d.json" in capsys.readouterr().out
    assert main(["detect", "--source", str(scene.video), "--det", "motion", "--end-frame", "3"]) == 0
    assert len(json.loads(capsys.readouterr().out)["frames"]) == 3
    assert main(["--dets", "d.json", "--save-mot", "t.txt"]) == 0
    capsys.readouterr()
    assert main(["evaluate", "--gt", str(scene.gt), "--tracks", "t.txt", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["COMBINED"]["hota"] > 0


def test_a_token_in_env_reaches_the_environment_and_is_never_printed(scene, capsys, monkeypatch):
    monkeypatch.delenv("HF_TOKEN", raising=False)
    Path(".env").write_text("HF_TOKEN=hf_secret_of_mine\n")
    assert track(scene, "--no-video", "--debug") == 0
    said = capsys.readouterr()
    assert os.environ.get("HF_TOKEN") == "hf_secret_of_mine"
    monkeypatch.delenv("HF_TOKEN")
    assert "hf_secret" not in said.out + said.err


def test_signals_are_given_back(scene):
    before = signal.getsignal(signal.SIGINT)
    assert track(scene, "--no-video") == 0
    assert signal.getsignal(signal.SIGINT) is before


def test_linked_results_come_from_a_second_pass(scene, capsys):
    """A gap in which nothing was detected is filled, marked, and drawn over the right pictures."""
    recorded = json.loads(scene.dets.read_text())
    for index in (20, 21):
        recorded["frames"][index]["detections"] = []
    Path("gap.json").write_text(json.dumps(recorded))
    outputs = ["--save-mot", "t.txt", "--save-json", "t.json", "--save-csv", "t.csv", "--output", "t.mp4"]
    given = ["--source", str(scene.video), "--dets", "gap.json", *WEIGHT_FREE]
    assert main([*given, *outputs, "--link"]) == 0
    assert "tracks      2 in " in capsys.readouterr().out
    filled = json.loads(Path("t.json").read_text())["frames"][20]["detections"]
    assert [(d["track_id"], d["coasted"]) for d in filled] == [("1", True), ("2", True)]
    assert len(Path("t.txt").read_text().splitlines()) == 80
    assert [row["coasted"] for row in csv.DictReader(Path("t.csv").read_text().splitlines())].count("1") == 4
    assert frames_of("t.mp4")[3] == scene.frames
    scores = score(load_pairs([scene.gt], [Path("t.txt")]))["COMBINED"]
    assert scores.mota > 99


def test_linking_draws_the_frames_of_a_range(scene):
    assert track(scene, "--link", "--start-frame", "5", "--end-frame", "25", "--output", "t.mp4") == 0
    assert frames_of("t.mp4")[3] == 20


def test_a_live_source_cannot_be_linked_and_drawn(scene, capsys):
    assert main(["--source", "rtsp://camera/1", "--det", "motion", "--link", "--embedder", "none"]) == 2
    assert "live" in capsys.readouterr().err


def test_a_reader_that_has_had_enough_is_no_error(scene):
    command = [sys.executable, "-m", "mot_dinov3", "detect", "--source", str(scene.video), "--det", "motion"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    child.stdout.close()
    said = child.stderr.read()
    child.stderr.close()
    assert child.wait() == 0, said
    assert said == ""
