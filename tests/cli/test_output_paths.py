"""Where results go: devices and pipes stay, extensions are kept, ~ is the home folder, bad names are refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from mot_dinov3.cli import main
from scenes import Scene

pytestmark = pytest.mark.usefixtures("elsewhere")
QUIET = ("--embedder", "none", "--no-progress")


def words(scene: Scene, *more: str) -> list[str]:
    return ["track", "--source", str(scene.video), "--dets", str(scene.dets), *QUIET, *more]


def test_devices_and_pipes_stay_what_they_are(scene: Scene) -> None:
    Path("null").symlink_to(os.devnull)
    os.mkfifo("pipe.csv")
    got: list[str] = []
    reader = threading.Thread(target=lambda: got.append(Path("pipe.csv").read_text()))
    reader.start()
    options = ["--no-video", "--save-mot", "null", "--save-json", os.devnull, "--save-csv", "pipe.csv"]
    assert main(words(scene, *options)) == 0
    reader.join()
    assert len(got[0].splitlines()) == 81
    assert sorted(p.name for p in Path().iterdir()) == ["null", "pipe.csv"]
    assert Path("null").is_symlink()
    assert Path(os.devnull).is_char_device()
    assert Path("pipe.csv").is_fifo()


def test_results_on_standard_output_are_not_mixed_with_the_summary(scene: Scene) -> None:
    command = [sys.executable, "-m", "mot_dinov3"]
    mot = subprocess.run(
        [*command, *words(scene, "--no-video", "--save-mot", "/dev/stdout")], capture_output=True, check=True, text=True
    )
    assert len(mot.stdout.splitlines()) == 80
    assert "frames      40, 80 detections" in mot.stderr
    with Path("redirected.json").open("wb") as file:  # a regular file behind the descriptor
        subprocess.run([*command, *words(scene, "--no-video", "--save-json", "/dev/stdout")], stdout=file, check=True)
    assert len(json.loads(Path("redirected.json").read_text())["frames"]) == 40
    assert Path("/dev/stdout").is_symlink()


def test_a_run_whose_first_output_is_a_pipe_can_be_resumed_and_is_never_complete(scene: Scene) -> None:
    options = ["--no-video", "--save-json", os.devnull, "--save-mot", "t.txt"]
    assert main(words(scene, *options)) == 0
    os.mkfifo("pipe")
    for _ in range(2):
        got: list[bytes] = []
        reader = threading.Thread(target=lambda got=got: got.append(Path("pipe").read_bytes()))
        reader.start()
        assert main(words(scene, "--no-video", "--save-mot", "pipe", "--save-csv", "t.csv", "--resume")) == 0
        reader.join()
        assert len(got[0].splitlines()) == 80
        Path("t.csv").unlink()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--output", "x.avi"], "a video '.avi' cannot be written"),
        (["--output", "x.png"], "a video '.png' cannot be written"),
        (["--output", "newfolder/"], "'newfolder/' is a folder"),
        (["--output", "x"], "without an extension"),
        (["--no-video", "--save-json", "x.mp4"], "track-v1 cannot be written as .mp4"),
        (["--no-video", "--save-mot", "x.json"], "MOTChallenge text cannot be written as .json"),
        (["--no-video", "--report", "x.pdf"], "an HTML report cannot be written as .pdf"),
        (["--no-video", "--save-csv", "deep/"], "'deep/' is a folder"),
        (["--no-video", "--save-mot", "x" * 300], "bytes, more than"),
        (["--no-video", "--save-mot", "x.part.txt"], "temporary file"),
        (["--no-video", "--save-mot", "x.txt", "--save-csv", "./x.txt"], "two outputs have the same name"),
        (["--no-video", "--save-mot", "x.txt", "--zone", "z" * 300], "too long for the file system"),
    ],
)
def test_an_output_that_cannot_be_is_refused_before_any_work(scene: Scene, capsys, options, message) -> None:
    assert main(words(scene, *options)) == 2
    lines = capsys.readouterr().err.splitlines()
    assert message in lines[0]
    assert len(lines[0]) < 220
    assert list(Path().iterdir()) == []


def test_one_file_by_way_of_a_linked_folder_is_refused_twice(scene: Scene, capsys) -> None:
    Path("real").mkdir()
    Path("link").symlink_to("real")
    assert main(words(scene, "--no-video", "--save-mot", "real/t.txt", "--save-csv", "link/t.txt")) == 2
    assert "two outputs have the same name" in capsys.readouterr().err


def test_other_commands_refuse_them_too(scene: Scene, capsys) -> None:
    tries = [
        (["detect", "--source", str(scene.video), "--det", "motion", "--json", "d.csv"], "det-v1 cannot be written"),
        (["detect", "--source", str(scene.video), "--det", "motion", "--json", "new/"], "is a folder"),
        (["convert", str(scene.gt), "out/", "--to", "csv"], "is a folder"),
        (["convert", str(scene.gt), "out.mp4", "--to", "csv"], "csv cannot be written as .mp4"),
        (["similarity", "--video", str(scene.video), "--point", "1,1", "--output", "s.xyz"], "cannot be written as"),
        (["similarity", "--video", str(scene.video), "--point", "1,1", "--output", "s.avi"], "video '.avi'"),
        (["similarity", "--video", str(scene.video), "--point", "1,1", "--npy", "s.mp4"], "an array cannot be written"),
        (["keypoints", "--video", str(scene.video), "--output", "k.avi"], "video '.avi'"),
        (
            ["gallery", "--dets-json", str(scene.dets), "--video", str(scene.video), "--save-video", "g.avi"],
            "the drawn video cannot be written as .avi",
        ),
    ]
    for command, message in tries:
        assert main([*command, "--no-progress"]) == 2
        assert message in capsys.readouterr().err
    assert [p for p in Path().rglob("*") if p.is_file()] == []


def test_the_home_folder_in_toml_and_behind_an_equals_sign(scene: Scene, tmp_path: Path, monkeypatch) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    (home / "in.mp4").write_bytes(scene.video.read_bytes())
    (home / "d.json").write_bytes(scene.dets.read_bytes())
    toml = 'source = "~/in.mp4"\ndets = "~/d.json"\nembedder = "none"\nvideo = false\nsave-mot = "~/toml/t.txt"\n'
    (home / "run.toml").write_text(toml)
    assert main(["track", "--config=~/run.toml", "--no-progress"]) == 0
    assert main(["track", "--source=~/in.mp4", "--dets=~/d.json", *QUIET, "--output=~/word/t.mp4"]) == 0
    assert main(["detect", "--source=~/in.mp4", "--det", "motion", "--json=~/detect.json", "--no-progress"]) == 0
    assert main(["convert", "~/toml/t.txt", "~/convert.csv"]) == 0
    assert main(["evaluate", "--gt=~/toml/t.txt", "--tracks=~/toml/t.txt"]) == 0
    gallery = ["gallery", "--dets-json=~/d.json", "--video=~/in.mp4", "--json", "--out-dir=~/gallery"]
    assert main([*gallery, "--no-progress"]) == 0
    written = ("toml/t.txt", "word/t.mp4", "detect.json", "convert.csv", "gallery/in/tracked.json")
    assert all((home / name).is_file() for name in written)
    assert not list(tmp_path.rglob("~*"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--save-mot", "-"), "output '-' is no file"),
        (("--save-json", "t.json.gz"), "track-v1 cannot be written as .gz"),
        (("--save-csv", "circle"), "output 'circle' is a link in a circle"),
        (("--save-csv", "circle/t.csv"), "output 'circle' is a link in a circle"),
    ],
)
def test_what_is_no_file_of_ours_is_refused(scene: Scene, capsys, options: tuple[str, str], message: str) -> None:
    Path("circle").symlink_to("elcric")
    Path("elcric").symlink_to("circle")
    assert main(words(scene, "--no-video", *options)) == 2
    assert message in capsys.readouterr().err
