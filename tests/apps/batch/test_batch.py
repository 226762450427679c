"""Many videos: what is refused before any work, what one failure leaves alone, what --resume runs again."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import pytest

from mot_dinov3.apps.batch.engines import LocalEngine
from mot_dinov3.apps.batch.loop import BatchRun, exclusive_lock, exit_code
from mot_dinov3.apps.batch.manifest import DONE, FAILED, INTERRUPTED, RUNNING, Manifest, VideoState
from mot_dinov3.apps.batch.plan import find_videos
from mot_dinov3.apps.batch.worker import VideoJob, VideoResult
from mot_dinov3.cli import main
from mot_dinov3.core.errors import InputError, OutputError
from scenes import Scene, write_scene

pytestmark = pytest.mark.usefixtures("elsewhere")


@pytest.fixture(scope="module")
def scene(tmp_path_factory) -> Scene:
    return write_scene(tmp_path_factory.mktemp("scene"), frames=12)


def lay_out(scene: Scene, *names: str) -> list[str]:
    """Copy the scene under other names into ``in/``, with its detections in ``dets/``."""
    for folder in ("in", "dets"):
        Path(folder).mkdir(exist_ok=True)
    for name in names:
        shutil.copy(scene.video, f"in/{name}.mp4")
        shutil.copy(scene.dets, f"dets/{name}.json")
    return [f"in/{name}.mp4" for name in names]


def job(name: str, folder: Path) -> VideoJob:
    return VideoJob(name, f"{name}.mp4", str(folder / name), words=(), files=(), cwd=str(folder))


class Fake:
    """An engine that ends the last of its tasks first, with the codes it is given; told to stop, it interrupts them."""

    def __init__(self, workers: int, codes: dict[str, int]) -> None:
        self.workers, self.codes, self.most, self.stopped = workers, codes, 0, 0

    def submit(self, job):
        return job.name

    def finished(self, tasks, seconds):
        self.most = max(self.most, len(tasks))
        return tasks[-1:]

    def result(self, task):
        return VideoResult(self.codes.get(task, 0) if not self.stopped else 128 + self.stopped, "why", 1.5)

    def stop(self, tasks, number):
        self.stopped = number

    def close(self):
        pass


def run_fake(folder: Path, engine: Fake, *names: str, stopped=lambda: 0) -> dict[str, str]:
    """Run jobs on the fake and return the states that are on disk at the end."""
    manifest = Manifest(folder, (), [VideoState(name, f"{name}.mp4") for name in names])
    BatchRun(manifest, [job(name, folder) for name in names], engine).run(stopped, lambda video: None)
    return {v["name"]: v["state"] for v in json.loads((folder / "batch.json").read_text())["videos"]}


def test_a_video_that_fails_leaves_the_others_alone(tmp_path):
    engine = Fake(2, {"b": 3, "c": 137})
    assert run_fake(tmp_path, engine, "a", "b", "c", "d") == {"a": "done", "b": "failed", "c": "failed", "d": "done"}
    assert engine.most == 2


def test_a_model_that_cannot_be_used_ends_the_batch_early(tmp_path):
    assert run_fake(tmp_path, Fake(1, {"a": 4}), "a", "b") == {"a": "failed", "b": "waiting"}


def test_a_signal_is_handed_on_and_nothing_new_is_begun(tmp_path):
    engine, asked = Fake(2, {}), iter([0])
    states = run_fake(tmp_path, engine, "a", "b", "c", stopped=lambda: next(asked, 2))
    assert engine.stopped == 2
    assert states == {"a": "interrupted", "b": "done", "c": "waiting"}


@pytest.mark.parametrize(
    ("ends", "code"),
    [
        ([(DONE, 0), (DONE, 0)], 0),
        ([(DONE, 0), (FAILED, 3), (FAILED, 4)], 3),
        ([(FAILED, 137)], 1),
        ([(INTERRUPTED, 130)], 130),
    ],
)
def test_the_exit_code_is_that_of_the_first_that_failed(ends, code):
    assert exit_code([VideoState("v", "v.mp4", state, number) for state, number in ends]) == code


def test_only_what_is_missing_runs_again(tmp_path):
    file = tmp_path / "a.txt"
    file.touch()
    whole = VideoJob("a", "a.mp4", str(tmp_path), words=(), files=(str(file),), cwd=".")
    states = [VideoState("a", "a.mp4", DONE, 0), VideoState("b", "b.mp4", RUNNING)]
    manifest = Manifest(tmp_path, (), states)
    assert manifest.missing([whole, job("b", tmp_path)]) == [job("b", tmp_path)]
    file.unlink()
    assert manifest.missing([whole]) == [whole]


def test_one_batch_at_a_time_works_in_a_folder(tmp_path):
    refused = pytest.raises(OutputError, match="another batch is running")
    with exclusive_lock(tmp_path), refused, exclusive_lock(tmp_path):
        pass
    with exclusive_lock(tmp_path):  # free again
        pass


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 2, "no input: name videos"),
        (["in", "twin"], 2, "two inputs would share the result folder 'A'"),
        (["nowhere.mp4"], 3, "input 'nowhere.mp4' does not exist"),
        (["rtsp://camera/1"], 3, "is an address"),
        (["dets"], 3, "contains neither videos nor images"),
        (["in", "--source", "x.mp4"], 2, "--source is given"),
        (["in", "--show"], 2, "--show is for one video"),
        (["in", "--dets", "dets/a.json"], 2, "is one file for 2 videos"),
        (["in", "--dets", "{name}.json"], 3, "'a.json' does not exist"),
        (["in", "--save-json", "/tmp/t.json"], 2, "is outside the video's result folder"),
        (["in", "--save-mot", "../t.txt"], 2, "is outside the video's result folder"),
        (["in", "--save-mot", "t.txt", "--save-csv", "t.txt"], 2, "two outputs have the same name"),
        (["in", "--conf", "7"], 2, "conf must be between 0 and 1"),
        (["in", "--workers", "0"], 2, "workers must be at least 1"),
        (["in", "--engine", "rya"], 2, "invalid choice: 'rya'"),
        (["in", "--gpus-per-video", "1.5"], 2, "gpus_per_video must be a fraction of 1, or a whole number"),
        (["in", "--out-dir", "in/a.mp4"], 2, "cannot be made"),
    ],
)
def test_what_cannot_work_is_refused_before_any_work(scene, words, code, said, capsys):
    lay_out(scene, "a", "b")
    Path("twin").mkdir()
    shutil.copy(scene.video, "twin/A.avi")
    assert main(["batch", "--out-dir", "out", "--no-progress", *words]) == code
    assert said in capsys.readouterr().err
    assert not list(Path().rglob("log.txt"))


def test_no_out_dir_is_said(scene, capsys):
    assert main(["batch", *lay_out(scene, "a")]) == 2
    assert "--out-dir" in capsys.readouterr().err


def test_a_folder_of_somebody_elses_is_not_written_to(scene, capsys):
    Path("out/a").mkdir(parents=True)
    Path("out/a/thesis.txt").write_text("mine")
    assert main(["batch", *lay_out(scene, "a"), "--out-dir", "out"]) == 2
    assert "result folder" in capsys.readouterr().err
    assert [p.name for p in Path("out/a").iterdir()] == ["thesis.txt"]


@pytest.mark.slow
def test_two_videos_and_a_broken_one_then_resume(scene, capsys):
    """The whole way, with real processes."""
    inputs = lay_out(scene, "a", "b")
    Path("in/broken.mp4").write_bytes(b"no video")
    shutil.copy("dets/a.json", "dets/broken.json")
    words = ["batch", *inputs, "in/broken.mp4", "--out-dir", "out", "--dets", "dets/{name}.json", "--embedder", "none",
             "--no-video", "--save-mot", "t.txt", "--workers", "3", "--no-progress"]  # fmt: skip
    assert main(words) == 3
    said = capsys.readouterr().out
    assert "3: 2 done, 1 failed" in said
    assert "written     out/index.html" in said
    videos = {v["name"]: v for v in json.loads(Path("out/batch.json").read_text())["videos"]}
    assert [v["state"] for v in videos.values()] == ["done", "done", "failed"]
    assert "cannot be opened" in videos["broken"]["message"]
    assert Path("out/a/t.txt").read_bytes() == Path("out/b/t.txt").read_bytes() != b""
    assert json.loads(Path("out/a/summary.json").read_text())["identities"] == 2

    page = Path("out/index.html").read_text()
    links = re.findall(r'href="([^"]+)"', page)
    assert {"a/t.txt", "a/log.txt", "b/summary.json", "broken/log.txt"} <= set(links)
    assert all((Path("out") / link).exists() for link in links)

    assert main(words) == 2
    assert "already contains a batch" in capsys.readouterr().err
    assert main([*words, "--resume", "--conf", "0.5"]) == 2
    assert "--conf=0.5 is new" in capsys.readouterr().err

    before = Path("out/a/t.txt").stat().st_mtime_ns
    Path("out/b/t.txt").unlink()
    shutil.copy(scene.video, "in/broken.mp4")
    assert main([*words, "--resume"]) == 0
    said = capsys.readouterr()
    assert "1 of 3 videos were completed" in said.err
    assert "3: 3 done" in said.out
    assert Path("out/a/t.txt").stat().st_mtime_ns == before
    assert Path("out/b/t.txt").read_bytes() == Path("out/broken/t.txt").read_bytes() == Path("out/a/t.txt").read_bytes()


@pytest.mark.slow
def test_options_that_were_refused_may_be_others_the_next_time(scene, capsys):
    """A model that is not to be had fails all videos; nothing that is there contradicts another choice."""
    inputs = lay_out(scene, "a")
    words = ["batch", *inputs, "--out-dir", "out", "--dets", "dets/{name}.json", "--no-video", "--save-mot", "t.txt",
             "--no-progress", "--resume"]  # fmt: skip
    assert main([*words, "--embedder", "osnet", "--embed-model", "missing.pt"]) == 4
    assert main([*words, "--embedder", "none"]) == 0
    assert Path("out/a/t.txt").stat().st_size
    capsys.readouterr()
    assert main([*words, "--embedder", "histogram"]) == 2
    assert "started with other options" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"schema_version": "batch-v1", "options": [], "videos": [{}]}', "{NaN"]
)
def test_a_damaged_manifest_is_said(scene, text, capsys):
    inputs = lay_out(scene, "a")
    Path("out").mkdir()
    Path("out/batch.json").write_text(text)
    assert main(["batch", *inputs, "--out-dir", "out", "--resume"]) == 3
    assert "batch.json'" in capsys.readouterr().err
    assert Path("out/batch.json").read_text() == text


def test_the_threads_of_a_worker_are_its_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "python"
    program.write_text('#!/bin/sh\necho "threads $OMP_NUM_THREADS $OPENCV_FOR_THREADS_NUM"\n')
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(8)), raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delenv("OPENCV_FOR_THREADS_NUM", raising=False)
    for workers, said in ((1, "threads  "), (3, "threads 2 2"), (9, "threads 1 1")):
        engine = LocalEngine(workers)
        name = f"v{workers}"
        engine.result(engine.submit(job(name, tmp_path)))
        engine.close()
        assert (tmp_path / name / "log.txt").read_text() == said + "\n"


def test_a_pattern_that_no_shell_replaced_names_its_videos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("a10.mp4", "a2.mp4", "b.mp4", "[a]1.mp4"):
        (tmp_path / name).touch()
    assert list(find_videos(["~/a*.mp4"])) == ["a2", "a10"]
    assert list(find_videos([str(tmp_path / "[a]1.mp4")])) == ["[a]1"], "a file of that very name comes first"
    with pytest.raises(InputError, match="does not exist"):
        find_videos([str(tmp_path / "c*.mp4")])
