"""What a shell is told: the script is read by the shell itself, and asked as a press of Tab asks."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from mot_dinov3.cli import COMMANDS, main
from mot_dinov3.features.factory import EMBEDDERS
from mot_dinov3.trackers import TRACKERS

ASK = """
source ./bash
COMP_WORDS=(mot-dinov3 "$@"); COMP_CWORD=$#
_shtab_mot_dinov3
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the scripts and with something to complete."""
    folder = tmp_path_factory.mktemp("completion")
    for shell in ("bash", "zsh", "fish"):
        with pytest.MonkeyPatch.context() as patch, (folder / shell).open("w") as file:
            patch.setattr("sys.stdout", file)
            assert main(["completion", shell]) == 0
    (folder / "people").mkdir()
    (folder / "in my.mp4").touch()
    return folder


def tab(folder: Path, *words: str) -> list[str]:
    """What bash offers for the last of the words that follow the program's name."""
    ask = ["bash", "--noprofile", "--norc", "-c", ASK, "bash", *words]
    done = subprocess.run(ask, cwd=folder, capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == ""
    return [line for line in done.stdout.splitlines() if line]


def test_commands_complete(folder):
    assert tab(folder, "de") == ["detect", "demo"]
    assert sorted(set(COMMANDS) - set(tab(folder, ""))) == []


def test_options_complete_with_and_without_a_command(folder):
    assert tab(folder, "--sour") == tab(folder, "track", "--sour") == ["--source"]
    assert tab(folder, "evaluate", "--g") == ["--gt"]
    assert tab(folder, "evaluate", "--debu") == ["--debug"]
    assert "--no-video" in tab(folder, "--hud", "--no-v")


def test_names_of_registries_and_choices_complete(folder):
    assert tab(folder, "--embedder", "") == list(EMBEDDERS)
    assert tab(folder, "track", "--tracker", "") == list(TRACKERS)
    assert tab(folder, "--accel", "o") == ["openvino"]
    assert tab(folder, "completion", "f") == ["fish"]


def test_files_and_folders_complete_where_they_are_wanted(folder):
    assert tab(folder, "--source", "in") == tab(folder, "track", "in") == ["in my.mp4"]
    assert tab(folder, "gallery", "--gallery", "") == ["people"]
    assert tab(folder, "batch", "in my.mp4", "peo") == ["people"]
    assert tab(folder, "evaluate", "--gt", "a.txt", "peo") == ["people"]
    assert tab(folder, "--embed-refresh", "") == []


def test_weights_complete_by_name_and_by_file(folder):
    offered = tab(folder, "--det", "")
    assert {"motion", "in my.mp4"} <= set(offered)
    assert "osnet_x0_25_msmt17.pt" in tab(folder, "gallery", "--embed-model", "osnet_x0_2")


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_take_their_script(folder, shell):
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    done = subprocess.run([shell, "-n", folder / shell], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_fish_offers_the_same(folder):
    if shutil.which("fish") is None:
        pytest.skip("fish is not installed")
    words = f"source fish; complete -C {shlex.quote('mot-dinov3 track --tracker ')}"
    done = subprocess.run(
        ["fish", "-N", "-c", words], cwd=folder, capture_output=True, text=True, timeout=60, check=True
    )
    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == list(TRACKERS)


def test_a_shell_that_is_not_known_is_an_error(capsys):
    assert main(["completion", "csh"]) == 2
    assert "invalid choice: 'csh'" in capsys.readouterr().err
