"""A run that is killed anywhere loses nothing: its files can be read, and --resume goes on to the same end."""

from __future__ import annotations

import csv
import json
import os
import random
import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from crowd import ALL_OUTPUTS, Crowd, pictures, run_killed, same_videos

from mot_dinov3.cli import main
from mot_dinov3.pipeline.resume import ResumeJournal, resume_journal_path
from mot_dinov3.video import SourceConfig, open_source

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("elsewhere")]
NAMES = {"t.mp4", "t.json", "t.txt", "t.csv", "d.json"}
TEXTS = NAMES - {"t.mp4"}
KILLS = 20 if "MOT_RELIABILITY_TABLE" in os.environ else 8
Reliability = Callable[[str, str], None]
Words = Callable[[Crowd], list[str]]


def run(folder: Path, words: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    folder.mkdir(exist_ok=True)
    monkeypatch.chdir(folder)
    return main(words)


def same_texts(folder: Path, whole: Path) -> bool:
    return all((folder / name).read_bytes() == (whole / name).read_bytes() for name in TEXTS)


def check_parts(folder: Path, killed_at: int) -> int:
    """Check what a killed run has left; return how many pictures of its video play."""
    assert not NAMES & {p.name for p in folder.iterdir()}, "nothing unfinished has a finished name"
    for name in ("t.json.part.jsonl", "d.json.part.jsonl"):
        records = [json.loads(line) for line in (folder / name).read_text().splitlines()]
        assert [record["frame"] for record in records] == list(range(len(records)))
    assert len(records) == killed_at + 1, "detections are written frame by frame"
    assert all(len(line.split(",")) == 10 for line in (folder / "t.part.txt").read_text().splitlines())
    rows = list(csv.reader((folder / "t.part.csv").read_text().splitlines()))
    assert len({len(row) for row in rows}) <= 1
    assert resume_journal_path(folder / "t.mp4").stat().st_mode & 0o077 == 0, "nobody else reads what is on record"
    part = folder / "t.part.mp4"
    return len(pictures(part)[0]) if part.stat().st_size > 200 else 0


def test_killed_at_random_frames(
    crowd: Crowd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reliability: Reliability
) -> None:
    assert run(tmp_path / "whole", crowd.options(), monkeypatch) == 0
    frames = sorted(random.Random(8).sample(range(1, crowd.frames), KILLS))
    runs = [(tmp_path / f"at{number}", number) for number in frames]
    for folder, _ in runs:
        folder.mkdir()
    assert run_killed(runs, crowd.options(), number=signal.SIGKILL) == [-signal.SIGKILL] * KILLS
    played = []
    for folder, number in runs:
        played.append(check_parts(folder, number))
        (folder / "said.txt").unlink()
        assert run(folder, crowd.options("--resume"), monkeypatch) == 0
        assert {p.name for p in folder.iterdir()} == NAMES, "nothing temporary is left"
        assert same_texts(folder, tmp_path / "whole")
        assert same_videos(folder / "t.mp4", tmp_path / "whole" / "t.mp4")
    lost = max(number - count for number, count in zip(frames, played))
    assert lost <= 45, "a key frame's distance and what the encoder looks ahead"
    reliability(
        f"SIGKILL at {KILLS} random frames: every file so far can be read; --resume ends with the same bytes of JSON, "
        "MOT, CSV and det-v1, and a video with the same frames",
        f"{KILLS} killed, {KILLS} readable, {KILLS} equal, 0 lost; the partial video lacked at most {lost} "
        f"frames of {frames[-1]}",
    )


WAYS = {
    "wall-clock budget": ("--embed-budget-ms", "0.3"),
    "gallery_hybrid": ("--tracker", "gallery_hybrid"),
    "gallery_only": ("--tracker", "gallery_only"),
    "detect-every": ("--detect-every", "3"),
    "detect-every auto": ("--fps", "30", "--detect-every", "auto"),
    "detector budget": ("--fps", "30", "--detect-budget-ms", "10", "--detect-cost-ms", "50"),
    "class vote, lost drawn": ("--class-mode", "vote", "--draw-lost"),
    "range": ("--start-frame", "5", "--end-frame", "80"),
}


@pytest.mark.parametrize("way", [*WAYS, "motion detector", "gallery", "link", "link, second pass"])
def test_killed_in_every_way_of_tracking(
    crowd: Crowd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str, reliability: Reliability
) -> None:
    words = crowd.options(*WAYS.get(way, ()))
    if way == "motion detector":
        words = ["--source", str(crowd.video), "--det", "motion", *ALL_OUTPUTS]
    elif way == "gallery":
        words += ["--gallery", str(write_gallery(tmp_path / "people"))]
    elif way.startswith("link"):
        words += ["--link"]
    # what was found before the kill is what the whole run has to agree with: a clock decides differently every time
    (tmp_path / "killed").mkdir()
    place = "video" if way == "link, second pass" else "detections"
    runs = [(tmp_path / "killed", 40)]
    assert run_killed(runs, words, number=signal.SIGKILL, place=place) == [-signal.SIGKILL]
    before = {p.name: p.read_bytes() for p in (tmp_path / "killed").glob("*.part.*")}
    assert run(tmp_path / "killed", [*words, "--resume"], monkeypatch) == 0
    if way == "wall-clock budget":
        after = {frame["frame"]: frame for frame in json.loads((tmp_path / "killed" / "t.json").read_text())["frames"]}
        lines = [json.loads(line) for line in before["t.json.part.jsonl"].splitlines()]
        assert len(lines) > 20
        for line in lines:
            line.pop("time", None)  # it is in the finished file only where the rate varies
            assert after[line["frame"]] == line
    else:
        assert run(tmp_path / "whole", words, monkeypatch) == 0
        assert same_texts(tmp_path / "killed", tmp_path / "whole")
        assert same_videos(tmp_path / "killed" / "t.mp4", tmp_path / "whole" / "t.mp4")
    held = "what was decided before the kill holds" if way == "wall-clock budget" else "1 equal"
    reliability(f"killed and resumed: {way}", f"1 killed, {held}")


@pytest.mark.parametrize("link", [(), ("--link",)], ids=["one pass", "linked"])
def test_crops_and_embeddings_of_a_killed_run_are_those_of_the_whole(
    crowd: Crowd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, link: tuple[str, ...]
) -> None:
    words = crowd.options("--save-crops", "crops", "--save-embeddings", "e.npz", "--embeddings-per-box", *link)
    (tmp_path / "killed").mkdir()
    assert run_killed([(tmp_path / "killed", 40)], words, number=signal.SIGKILL, place="video") == [-signal.SIGKILL]
    assert not (tmp_path / "killed" / "crops").exists()
    assert run(tmp_path / "killed", [*words, "--resume"], monkeypatch) == 0
    (tmp_path / "killed" / "said.txt").unlink()
    assert run(tmp_path / "whole", words, monkeypatch) == 0
    contents = [
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.jpg")}
        for folder in (tmp_path / "killed", tmp_path / "whole")
    ]
    assert contents[0]
    assert contents[0] == contents[1]
    assert (tmp_path / "killed" / "e.npz").read_bytes() == (tmp_path / "whole" / "e.npz").read_bytes()
    assert {p.name for p in (tmp_path / "killed").iterdir()} == {p.name for p in (tmp_path / "whole").iterdir()}


def write_gallery(folder: Path) -> Path:
    import cv2

    rng = np.random.default_rng(1)
    for name in ("ann", "ben"):
        (folder / name).mkdir(parents=True)
        picture = np.full((36, 16, 3), rng.integers(0, 255, 3), np.uint8)
        cv2.imwrite(str(folder / name / f"{name}_00000.png"), picture)
    return folder


def test_killed_twice_interrupted_and_complete(
    crowd: Crowd, tmp_path: Path, monkeypatch, capsys, reliability: Reliability
) -> None:
    """A second kill while catching up loses nothing of the first run; a complete run is left alone."""
    words = crowd.options()
    assert run(tmp_path / "whole", words, monkeypatch) == 0
    folder = tmp_path / "again"
    folder.mkdir()
    assert run_killed([(folder, 80)], words, number=signal.SIGKILL) == [-9]
    record = resume_journal_path(folder / "t.mp4").read_bytes()
    assert run_killed([(folder, 10)], [*words, "--resume"], number=signal.SIGKILL) == [-9]
    assert resume_journal_path(folder / "t.mp4").read_bytes() == record
    # Ctrl-C while catching up: nothing finished is replaced by less
    assert run_killed([(folder, 30)], [*words, "--resume"], number=signal.SIGINT) == [130]
    assert "--resume continues from there" in (folder / "said.txt").read_text()
    assert not (folder / "t.mp4").exists()
    # Ctrl-C beyond: finished as far as it came, and still to be gone on with
    assert run_killed([(folder, 84)], [*words, "--resume"], number=signal.SIGTERM) == [143]
    assert len(json.loads((folder / "t.json").read_text())["frames"]) == 85
    assert len(pictures(folder / "t.mp4")[0]) == 85
    assert "frames      85" in (folder / "said.txt").read_text()
    finished = pictures(folder / "t.mp4")[1][:80]
    assert run(folder, [*words, "--resume"], monkeypatch) == 0
    assert same_texts(folder, tmp_path / "whole")
    assert same_videos(folder / "t.mp4", tmp_path / "whole" / "t.mp4")
    kept = pictures(folder / "t.mp4")[1][:80]
    assert all((a == b).all() for a, b in zip(kept, finished, strict=True)), (
        "finished pictures are taken over, not coded anew"
    )
    before = {p.name: p.stat().st_mtime_ns for p in folder.iterdir()}
    capsys.readouterr()
    assert run(folder, [*words, "--resume"], monkeypatch) == 0
    assert "the run was complete" in capsys.readouterr().err
    assert {p.name: p.stat().st_mtime_ns for p in folder.iterdir()} == before
    reliability(
        "killed twice, Ctrl-C (130) while catching up, SIGTERM (143) later, each time resumed: the same result; a "
        "complete run is not repeated",
        "4 interruptions, 0 lost; the first 80 frames copied bit by bit",
    )


def test_an_interruption_finishes_what_was_done(
    crowd: Crowd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reliability: Reliability
) -> None:
    """Ctrl-C and SIGTERM: the frame is finished, all files are closed, the summary tells what was done."""
    codes = {signal.SIGINT: 130, signal.SIGTERM: 143}
    for number, code in codes.items():
        folder = tmp_path / number.name
        folder.mkdir()
        assert run_killed([(folder, 30)], crowd.options(), number=number) == [code]
        assert {p.name for p in folder.iterdir()} == NAMES | {"said.txt", "t.mp4.part.record"}
        assert "frames      31" in (folder / "said.txt").read_text()
        assert len(pictures(folder / "t.mp4")[0]) == 31
        for name in ("t.json", "d.json"):
            assert len(json.loads((folder / name).read_text())["frames"]) == 31
    # in the second pass of --link everything is on record: results are whole, or they are the earlier ones
    folder = tmp_path / "second pass"
    folder.mkdir()
    for name in NAMES:
        (folder / name).write_text("earlier")
    words = crowd.options("--link")
    assert run_killed([(folder, 30)], words, number=signal.SIGINT, place="video") == [130]
    assert all((folder / name).read_text() == "earlier" for name in NAMES - {"d.json"})
    assert run(folder, [*words, "--resume"], monkeypatch) == 0
    assert run(tmp_path / "whole", words, monkeypatch) == 0
    assert same_texts(folder, tmp_path / "whole")
    reliability(
        "Ctrl-C and SIGTERM finish the frame and all files and print the summary; exit 130 and 143",
        "2 tried, 31 frames in each of 5 files; 1 in the second pass of --link: earlier results kept, resumed",
    )


CHANGES = {
    "another option": (["--conf", "0.5"], "--conf was nothing, now it is 0.5"),
    "another embedder": (["--embedder", "none"], "--embedder was histogram, now it is none"),
    "other detections": ([], "the content of --dets"),
}


@pytest.fixture(scope="module")
def killed(crowd: Crowd, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a run of `crowd` was killed after 50 frames."""
    folder = tmp_path_factory.mktemp("killed")
    assert run_killed([(folder, 50)], crowd.options(), number=signal.SIGKILL) == [-9]
    return folder


@pytest.mark.parametrize("change", CHANGES)
def test_another_run_is_not_continued(crowd: Crowd, killed: Path, tmp_path: Path, monkeypatch, capsys, change) -> None:
    options, told = CHANGES[change]
    shutil.copytree(killed, tmp_path / "run")
    dets = crowd.dets.read_text()
    if not options:
        crowd.dets.write_text(dets.replace('"score": 0.3', '"score": 0.4'))
    try:
        assert run(tmp_path / "run", crowd.options(*options, "--resume"), monkeypatch) == 2
    finally:
        crowd.dets.write_text(dets)
    said = capsys.readouterr().err
    assert "belongs to another run" in said
    assert told in said
    left = [path for path in killed.iterdir() if path.suffix != ".lock"]  # no obstacle, and tidied up
    assert len(left) >= len(NAMES)
    for path in left:
        assert (tmp_path / "run" / path.name).read_bytes() == path.read_bytes()


@pytest.fixture(scope="module")
def whole(crowd: Crowd, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a run of `crowd` came to its end."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOURCE_DATE_EPOCH", "0")
        assert run(folder, crowd.options(), patch) == 0
    return folder


@pytest.mark.parametrize("share", [0.0, 0.4, 0.999, 1.0])
def test_a_record_and_a_video_cut_off_anywhere_are_gone_on_from(
    crowd: Crowd, killed: Path, whole: Path, tmp_path: Path, monkeypatch, share: float
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(killed, folder)
    for path in (resume_journal_path(folder / "t.mp4"), folder / "t.part.mp4"):
        data = path.read_bytes()
        path.write_bytes(data[: int(share * len(data))] or data[: data.index(b"\n") + 1])
    assert run(folder, crowd.options("--resume"), monkeypatch) == 0
    assert same_texts(folder, whole)
    assert same_videos(folder / "t.mp4", whole / "t.mp4")


def test_resuming_what_never_began_begins(crowd: Crowd, tmp_path: Path, monkeypatch, capsys) -> None:
    words = crowd.options("--no-video", "--end-frame", "10", "--resume")
    assert run(tmp_path / "run", words, monkeypatch) == 0
    assert "frames      10" in capsys.readouterr().out
    assert main(["--source", "rtsp://127.0.0.1:9/x", "--det", "motion", "--embedder", "none", "--resume"]) == 2
    assert "is a live source" in capsys.readouterr().err


def test_what_a_network_found_is_not_looked_for_again(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reliability: Reliability
) -> None:
    weights, video = shared / "models" / "yolov8n.pt", shared / "data" / "tracking" / "vtest.avi"
    words = ["--source", str(video), "--det", str(weights), "--classes", "0", "--imgsz", "320", "--end-frame", "24"]
    words += [
        "--embedder",
        "histogram",
        "--device",
        "cpu",
        "--no-progress",
        "--no-video",
        "--save-json",
        "t.json",
        "--accel",
        "torch",
    ]
    assert run(tmp_path / "whole", words, monkeypatch) == 0
    folder = tmp_path / "run"
    folder.mkdir()
    assert run_killed([(folder, 16)], words, number=signal.SIGKILL) == [-9]
    seen: list[int] = []
    write = ResumeJournal.write
    monkeypatch.setattr(
        ResumeJournal, "write", lambda self, frame, record: (seen.append(frame), write(self, frame, record))[1]
    )
    assert run(folder, [*words, "--resume"], monkeypatch) == 0
    assert (folder / "t.json").read_bytes() == (tmp_path / "whole" / "t.json").read_bytes()
    assert seen == list(range(17, 24))
    reliability("a resumed run with YOLO detects only in frames that the killed one had not reached", "17 of 24 reused")


def test_readable_means_our_reader_too(killed: Path) -> None:
    with open_source(SourceConfig(source=str(killed / "t.part.mp4"))) as source:
        assert 10 <= sum(1 for _ in source) <= 50


def page(path: Path) -> tuple[dict[str, Any], str]:
    """Return what a report shows, and its text."""
    text = path.read_text()
    found = re.search(r'id="data">(.*?)</script>', text, re.S)
    assert found is not None
    return json.loads(found[1]), text


EMBEDDINGS = {"critical: new", "critical: weak IoU", "critical: crowded", "refresh", "reused"}


@pytest.mark.parametrize("linked", [[], ["--link"]], ids=["one pass", "linked"])
def test_report_counts_and_overlays_of_a_resumed_run_are_those_of_the_whole(
    crowd: Crowd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, linked: list[str], reliability: Reliability
) -> None:
    words = crowd.options("--hud", "--trails", "2", "--line", "80,0,80,119", "--line", "40,0,40,119", *linked)
    words += ["--save-counts", "c.csv"]
    folder = tmp_path / "killed"
    folder.mkdir()
    assert run_killed([(folder, 50)], words, number=signal.SIGKILL) == [-9]  # without a report, which is asked for now
    assert run(folder, [*words, "--report", "r.html", "--resume"], monkeypatch) == 0
    assert run(tmp_path / "whole", [*words, "--report", "r.html"], monkeypatch) == 0
    assert same_texts(folder, tmp_path / "whole")
    (times, shown), (wanted_times, wanted) = pictures(folder / "t.mp4"), pictures(tmp_path / "whole" / "t.mp4")
    assert times == wanted_times
    beside_the_hud = [
        np.abs(a.astype(int) - b)[:, 80:].mean() for a, b in zip(shown, wanted)
    ]  # it shows the clock's fps
    assert max(beside_the_hud) < 3
    counts = (folder / "c.csv").read_text()
    assert counts == (tmp_path / "whole" / "c.csv").read_text()
    lines = {row["place"]: int(row["in"]) + int(row["out"]) for row in csv.DictReader(counts.splitlines()) if row["in"]}
    assert sum(lines.values()) >= 2, "somebody did cross"
    (resumed, text), (whole, uninterrupted) = page(folder / "r.html"), page(tmp_path / "whole" / "r.html")
    for part in ("tracks", "crops", "boxes", "moments", "trajectories", "heatmap"):
        assert resumed[part] == whole[part]
    done = [
        {one["name"]: one["values"] for one in data["charts"]["embeddings"]["layers"] if one["name"] in EMBEDDINGS}
        for data in (resumed, whole)
    ]
    assert done[0] == done[1]
    assert len(done[0]["reused"]) == crowd.frames
    assert "resumed: boxes and embeddings of 51 frames" in text
    assert "resumed:" not in uninterrupted
    way = "linked" if linked else "one pass"
    reliability(
        f"killed and resumed with --report, --hud, --trails, --line ({way}): report and counts are of the whole run",
        f"1 killed after 51 of {crowd.frames} frames, 1 equal; {sum(lines.values())} crossings",
    )
