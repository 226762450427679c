"""``--resume`` of a run that came to its end: complete only if the outputs are results of this very run."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from mot_dinov3 import Pipeline
from mot_dinov3.cli import main
from mot_dinov3.core.errors import UsageError
from mot_dinov3.pipeline.resume import resume_journal_path
from scenes import write_scene

OUTPUTS = ("--output", "t.mp4", "--save-json", "t.json", "--save-mot", "t.txt", "--report", "t.html")
WRITTEN = ("t.mp4", "t.json", "t.txt", "t.html", "t.summary.json")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with inputs, and the outputs of a run that came to its end."""
    folder = tmp_path_factory.mktemp("finished")
    write_scene(folder, 12)
    (folder / "zones.json").write_text('{"zone": [[0, 0], [80, 0], [80, 80]]}')
    for name in ("ann", "ben"):
        (folder / "people" / name).mkdir(parents=True)
        shade = np.full((40, 20, 3), 60 if name == "ann" else 200, np.uint8)
        cv2.imwrite(str(folder / "people" / name / "0.bmp"), shade)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(command()) == 0
    return folder


@pytest.fixture
def here(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the folder, in which the test works."""
    shutil.copytree(finished, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    return tmp_path / "copy"


def command(*more: str) -> list[str]:
    words = ["track", "--source", "scene.mp4", "--dets", "scene.json", "--embedder", "histogram", "--gallery", "people"]
    words += ["--zone", "zones.json", *OUTPUTS, "--save-summary", "t.summary.json"]
    return [*words, "--no-progress", *more]


def contents() -> dict[str, bytes]:
    return {name: Path(name).read_bytes() for name in WRITTEN}


def test_a_complete_run_is_left_alone(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {p: p.stat().st_mtime_ns for p in here.rglob("*")}
    assert main(command("--resume")) == 0
    assert "the run was complete: t.mp4, t.json, t.txt, t.summary.json, t.html" in capsys.readouterr().err
    assert {p: p.stat().st_mtime_ns for p in here.rglob("*")} == before
    assert not list(here.glob(".*"))


def rewrite(name: str, old: bytes, new: bytes) -> Callable[[], None]:
    def change() -> None:
        content = Path(name).read_bytes()
        assert old in content
        Path(name).write_bytes(content.replace(old, new))

    return change


def another_video() -> None:
    """Replace the source by another video under the same name."""
    other = Path("other")
    other.mkdir()
    shutil.copy(write_scene(other, 11).video, "scene.mp4")


def another_picture() -> None:
    """Replace an image of a known person by one of the same size in bytes."""
    before = Path("people/ann/0.bmp").stat().st_size
    cv2.imwrite("people/ann/0.bmp", np.full((40, 20, 3), 61, np.uint8))
    assert Path("people/ann/0.bmp").stat().st_size == before


DIFFERENCES: dict[str, tuple[list[str], Callable[[], None] | None, str]] = {
    "another source": (["--source", "zones.json"], None, "--source was scene.mp4, now it is zones.json"),
    "a source replaced under its name": ([], another_video, "the content of --source was"),
    "other detections": ([], rewrite("scene.json", b'"score": 0.9', b'"score": 0.8'), "the content of --dets was"),
    "another image of a person": ([], another_picture, "the content of --gallery was"),
    "other zones": ([], rewrite("zones.json", b"80, 80", b"80, 81"), "the content of --zone was"),
    "another option": (["--conf", "0.5"], None, "--conf was nothing, now it is 0.5"),
    "another drawing": (["--draw-lost"], None, "--draw-lost was False, now it is True"),
    "another embedder": (["--embedder", "none"], None, "--embedder was histogram, now it is none"),
    "another range": (["--end-frame", "5"], None, "--end-frame was nothing, now it is 5"),
}


@pytest.mark.parametrize("change", DIFFERENCES)
@pytest.mark.usefixtures("here")
def test_another_run_is_refused_with_the_difference(capsys: pytest.CaptureFixture[str], change: str) -> None:
    options, act, message = DIFFERENCES[change]
    if act is not None:
        act()
    before = contents()
    assert main(command(*options, "--resume")) == 2
    said = capsys.readouterr().err
    assert message in said.splitlines()[0]
    assert contents() == before
    assert not resume_journal_path(Path("t.mp4")).exists()
    assert "'t.mp4' belongs to another run" in said


@pytest.mark.parametrize("name", WRITTEN)
@pytest.mark.usefixtures("here")
def test_a_foreign_file_is_never_complete(capsys: pytest.CaptureFixture[str], name: str) -> None:
    Path(name).write_text("hello\n")
    assert main(command("--resume")) == 2
    assert f"'{name}' was changed after its run" in capsys.readouterr().err
    Path(name).unlink()
    Path(name).write_text("hello\n")
    assert main(command("--resume")) == 2
    assert f"'{name}' is not a complete result of this command" in capsys.readouterr().err
    assert Path(name).read_text() == "hello\n"
    Path(name).unlink()
    assert main(command("--resume")) == 0, "without it, the run starts from the beginning"
    assert main(command("--resume")) == 0
    assert "the run was complete" in capsys.readouterr().err


@pytest.mark.usefixtures("here")
def test_a_name_that_was_never_written_to_by_us(capsys: pytest.CaptureFixture[str]) -> None:
    Path("holiday.mp4").write_text("precious")
    words = ["track", "--source", "scene.mp4", "--dets", "scene.json", "--embedder", "none", "--no-progress"]
    assert main([*words, "--output", "holiday.mp4", "--resume"]) == 2
    assert "'holiday.mp4' is not a complete result of this command" in capsys.readouterr().err
    assert Path("holiday.mp4").read_text() == "precious"


@pytest.mark.usefixtures("here")
def test_the_python_api_knows_them_too() -> None:
    options = {"source": "scene.mp4", "dets": "scene.json", "embedder": "none", "save_mot": "api.txt"}
    for _ in Pipeline.from_options(**options):  # type: ignore[arg-type]
        pass
    with pytest.raises(UsageError, match=r"belongs to another run: --conf was nothing, now it is 0\.5"):
        Pipeline.from_options(**options, conf=0.5, resume=True)  # type: ignore[arg-type]
    assert sum(1 for _ in Pipeline.from_options(**options, resume=True)) == 12  # type: ignore[arg-type]


@pytest.mark.usefixtures("here")
def test_an_interrupted_run_is_not_complete_when_its_journal_is_lost(capsys: pytest.CaptureFixture[str]) -> None:
    options = {"source": "scene.mp4", "dets": "scene.json", "embedder": "none", "save_mot": "cut.txt"}
    frames = iter(Pipeline.from_options(**options))  # type: ignore[arg-type]
    for _ in range(5):
        next(frames)
    frames.close()  # type: ignore[attr-defined]
    resume_journal_path(Path("cut.txt")).unlink()
    words = ["track", "--source", "scene.mp4", "--dets", "scene.json", "--embedder", "none", "--no-video"]
    assert main([*words, "--save-mot", "cut.txt", "--resume", "--no-progress"]) == 2
    assert "is not a complete result" in capsys.readouterr().err


GALLERY = ("gallery", "--dets-json", "scene.json", "--video", "scene.mp4", "--json", "--frames", "--no-progress")


def gallery(*more: str) -> list[str]:
    return [*GALLERY, "--gallery", "people", "--embedder", "histogram", *more]


GALLERY_DIFFERENCES: dict[str, tuple[list[str], Callable[[], None] | None, str]] = {
    "another tracker": (["--tracker", "gallery_only"], None, "--tracker was gallery_hybrid, now it is gallery_only"),
    "another threshold": (["--gallery-match-threshold", "0.3"], None, "--gallery-match-threshold was"),
    "other detections": ([], rewrite("scene.json", b'"score": 0.9', b'"score": 0.8'), "the content of --dets was"),
    "a video replaced under its name": ([], another_video, "the content of --source was"),
    "another image of a person": ([], another_picture, "the content of --gallery was"),
}


@pytest.mark.parametrize("change", GALLERY_DIFFERENCES)
@pytest.mark.usefixtures("here")
def test_the_gallery_knows_what_it_resumes(capsys: pytest.CaptureFixture[str], change: str) -> None:
    options, act, message = GALLERY_DIFFERENCES[change]
    assert main(gallery("--resume")) == 0, "nothing is there: it starts from the beginning"
    assert main(gallery("--resume")) == 0
    assert "complete    out/scene/tracked.json" in capsys.readouterr().out
    if act is not None:
        act()
    before = Path("out/scene/tracked.json").read_bytes()
    assert main(gallery(*options, "--resume")) == 2
    assert f"tracked.json' belongs to another run: {message}" in capsys.readouterr().err
    assert Path("out/scene/tracked.json").read_bytes() == before
    assert not list(Path("out/scene").glob(".*"))


@pytest.mark.usefixtures("here")
def test_a_foreign_result_of_a_gallery_is_never_complete(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(gallery()) == 0
    next(Path("out/scene/frames").iterdir()).unlink()
    assert main(gallery("--resume")) == 2
    assert "frames' was changed after its run" in capsys.readouterr().err
    shutil.rmtree("out/scene/frames")
    Path("out/scene/tracked.json").write_text("{}")
    assert main(gallery("--resume")) == 2
    assert "tracked.json' was changed after its run" in capsys.readouterr().err


BATCH = ("batch", "scene.mp4", "--out-dir", "out", "--dets", "scene.json", "--embedder", "none", "--save-mot", "t.txt")


@pytest.mark.slow
@pytest.mark.usefixtures("here")
def test_a_batch_knows_what_it_resumes(capsys: pytest.CaptureFixture[str]) -> None:
    words = [*BATCH, "--no-progress"]
    assert main(words) == 0
    assert main([*words, "--resume"]) == 0
    assert "1 of 1 videos were completed" in capsys.readouterr().err
    dets = Path("scene.json").read_bytes()
    rewrite("scene.json", b'"score": 0.9', b'"score": 0.8')()
    assert main([*words, "--resume"]) == 2
    assert "belongs to another run: the content of --dets was" in capsys.readouterr().out
    Path("scene.json").write_bytes(dets)
    assert main([*words, "--resume"]) == 0
    Path("out/scene/t.txt").write_text("hello")
    assert main([*words, "--resume"]) == 2
    assert "t.txt' was changed after its run" in capsys.readouterr().out
