"""Two runs that write the same output: the second one is refused before any work, and harms nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mot_dinov3 import Pipeline, track_gallery
from mot_dinov3.cli import main
from mot_dinov3.core.errors import OutputError
from mot_dinov3.core.output_lock import OutputLocks
from scenes import Scene

pytestmark = pytest.mark.usefixtures("elsewhere")


def words(scene: Scene, *more: str) -> list[str]:
    return ["track", "--source", str(scene.video), "--dets", str(scene.dets), "--embedder", "none", *more]


def test_a_second_run_of_the_same_outputs_is_refused(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    outputs = ["--output", "a.mp4", "--save-json", "a.json", "--save-mot", "a.txt", "--no-progress"]
    options = {"source": scene.video, "dets": scene.dets, "embedder": "none"}
    first = Pipeline.from_options(**options, output="a.mp4", save_json="a.json", save_mot="a.txt")
    frames = iter(first)
    for _ in range(10):
        next(frames)
    during = {p.name for p in Path().iterdir()}
    assert during >= {"a.part.mp4", "a.json.part.jsonl", "a.part.txt", "a.mp4.part.record"}
    tries = (
        words(scene, *outputs),
        words(scene, *outputs, "--start-frame", "20"),
        words(scene, *outputs, "--resume"),
        words(scene, "--no-video", "--save-csv", "b.csv", "--save-mot", "./a.txt", "--no-progress"),
    )
    for command in tries:
        assert main(command) == 2
        said = capsys.readouterr().err.splitlines()
        assert said[0].startswith("error: another run is writing '")
        assert f"process {os.getpid()}, started 20" in said[0]
        assert len(said) == 2
    assert {p.name for p in Path().iterdir()} == during
    with pytest.raises(OutputError, match="another run is writing"):
        Pipeline.from_options(**options, output="a.mp4")
    assert sum(1 for _ in frames) == scene.frames - 10
    assert sorted(p.name for p in Path().iterdir()) == ["a.json", "a.mp4", "a.txt"]
    assert [f["frame"] for f in json.loads(Path("a.json").read_text())["frames"]] == list(range(scene.frames))
    assert main(words(scene, *outputs)) == 0, "free again"


@pytest.mark.parametrize("end", ["closed", "left early", "never begun", "failed"])
def test_however_a_pipeline_ends_its_outputs_are_free(scene: Scene, end: str) -> None:
    options = {"source": scene.video, "dets": scene.dets, "embedder": "none", "save_mot": "t.txt"}
    pipeline = Pipeline.from_options(**options)
    if end == "closed":
        pipeline.close()
    elif end == "never begun":
        del pipeline
    else:
        frames = iter(pipeline)
        next(frames)
        if end == "failed":
            with pytest.raises(ValueError, match="mine"):
                frames.throw(ValueError("mine"))
        frames.close()
    with OutputLocks([Path("t.txt")]):
        pass
    assert not list(Path().glob(".*"))


COMMANDS: dict[str, tuple[Callable[[Scene], list[str]], str]] = {
    "track": (lambda scene: words(scene, "--no-video", "--report", "r.html"), "r.html"),
    "detect": (lambda scene: ["detect", "--source", str(scene.video), "--det", "motion", "--json", "d.json"], "d.json"),
    "gallery": (
        lambda scene: ["gallery", "--dets-json", str(scene.dets), "--video", str(scene.video), "--json", "--frames"],
        "out/scene/frames",
    ),
    "convert": (lambda scene: ["convert", str(scene.gt), "t.csv"], "t.csv"),
    "convert to a folder": (lambda scene: ["convert", str(scene.dets), "labels", "--to", "yolo"], "labels"),
    "similarity": (
        lambda scene: ["similarity", "--video", str(scene.video), "--point", "5,5", "--npy", "s.npy"],
        "s.npy",
    ),
    "export": (
        lambda scene: ["export", "--weights", "none.pt", "--run-name", "x"],
        "models/exports/x/export_meta.json",
    ),
    "batch": (
        lambda scene: ["batch", str(scene.video), "--out-dir", "out", "--dets", str(scene.dets)],
        "out/batch.json",
    ),
    "demo": (lambda scene: ["demo", "--seconds", "1", "--out-dir", "out"], "out/demo.jpg"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_locks_what_it_writes(scene: Scene, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    command, output = COMMANDS[name]
    path = Path(output)
    path.parent.mkdir(parents=True, exist_ok=True)
    with OutputLocks([path]):
        assert main([*command(scene), "--no-progress"]) == 2
    assert f"process {os.getpid()}, started 20" in capsys.readouterr().err
    assert [p for p in Path().rglob("*") if p.is_file() and p.name != "log.txt"] == []


def test_a_gallery_run_locks_its_files_and_lets_go(scene: Scene) -> None:
    for _ in range(2):
        track_gallery(dets_json=scene.dets, video=scene.video, save_json_flag=True, save_video="v", out_dir="out")
    assert sorted(p.name for p in Path("out/scene").iterdir()) == ["tracked.json", "v.mp4"]
