"""What setup.sh would do, what clean.sh removes, what .ci/run calls: in a copy, without network or installs."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

WHEELS = "https://download.pytorch.org/whl"
PIP = "+ .venv/bin/python -m pip install"
PAIR = "'torch>=2.10' 'torchvision>=0.25'"
FILES = ("setup.sh", "clean.sh", "cli.py", "pyproject.toml", "constraints.txt")

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the scripts are for bash")


@pytest.fixture
def checkout(tmp_path: Path, repo: Path) -> Path:
    """A copy of the scripts, so that nothing here can touch the real checkout."""
    folder = tmp_path / "a checkout"
    folder.mkdir()
    for name in FILES:
        shutil.copy(repo / name, folder / name)
    return folder


def call(script: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a script away from its folder, with this Python and no terminal."""
    environment = {k: v for k, v in os.environ.items() if k not in ("TORCH_CHANNEL", "CI")}
    return subprocess.run(
        ["bash", str(script), *words],
        cwd="/",
        env=environment | {"PYTHON": sys.executable} | variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def planned(checkout: Path, *words: str, **variables: str) -> list[str]:
    """The commands of a dry run, each one line."""
    done = call(checkout / "setup.sh", *words, "--dry-run", **variables)
    assert done.returncode == 0, done.stderr
    return [line for line in done.stdout.splitlines() if line.startswith(("+ ", "# + "))]


def test_cpu_installs_one_pair_and_then_the_project(checkout: Path) -> None:
    commands = planned(checkout, "cpu")
    assert commands[0] == f"+ {sys.executable} -m venv .venv"
    assert commands[1] == f"{PIP} --index-url {WHEELS}/cpu {PAIR}"
    assert commands[2] == f"# {PIP} {PAIR}"  # where PyTorch's index cannot be reached
    assert f"{PIP} -c .venv/torch-pair.txt -c constraints.txt -e '.[fast]'" in commands
    assert "imports torch, torchvision, cv2, av, transformers, ultralytics" in commands[-1]


def test_a_dry_run_makes_nothing(checkout: Path) -> None:
    before = sorted(checkout.rglob("*"))
    planned(checkout, "t4_gpu", "--dinov3-edge", "--test", "--demo", "--extras", "fast")
    assert sorted(checkout.rglob("*")) == before


def test_t4_takes_cuda_wheels(checkout: Path) -> None:
    commands = planned(checkout, "t4_gpu")
    assert commands[1] == f"{PIP} --index-url {WHEELS}/cu126 {PAIR}"
    assert f"{PIP} -c .venv/torch-pair.txt -c constraints.txt -e ." in commands  # OpenVINO is for processors


@pytest.mark.parametrize("target", ["cpu", "t4_gpu"])
def test_a_named_channel_is_taken_without_a_way_round(checkout: Path, target: str) -> None:
    commands = planned(checkout, target, TORCH_CHANNEL="cu130")
    assert commands[1] == f"{PIP} --index-url {WHEELS}/cu130 {PAIR}"
    assert not any(command.startswith("# ") for command in commands)


def test_edge_takes_transformers_from_its_repository(checkout: Path) -> None:
    source = "git+https://github.com/huggingface/transformers"
    commands = planned(checkout, "cpu", "--dinov3-edge")
    assert f"{PIP} -c .venv/torch-pair.txt {source}" in commands
    assert commands.index(f"{PIP} -c .venv/torch-pair.txt {source}") > commands.index(
        f"{PIP} -c .venv/torch-pair.txt -c constraints.txt -e '.[fast]'"
    )
    for words in ([], ["--dinov3-stable"]):
        assert not any(source in command for command in planned(checkout, "cpu", *words))


@pytest.mark.parametrize("words", [["--extras", "onnx,fast"], ["--extras=fast", "--extras", "onnx"]])
def test_extras_are_installed_together(checkout: Path, words: list[str]) -> None:
    assert f"{PIP} -c .venv/torch-pair.txt -c constraints.txt -e '.[fast,onnx]'" in planned(checkout, "cpu", *words)


def test_demo_runs_the_demo_last(checkout: Path) -> None:
    assert planned(checkout, "cpu", "--demo")[-1] == "+ .venv/bin/python cli.py demo"


def test_the_tests_come_last_after_every_check(checkout: Path) -> None:
    commands = planned(checkout, "cpu", "--test")
    assert f"{PIP} -c .venv/torch-pair.txt -c constraints.txt -e '.[fast,test]'" in commands
    names = ["ruff check", "ruff format --check", "mypy", "lint-imports", "pytest"]
    assert [next(n for n in names if n in command) for command in commands[-5:]] == names


def test_quick_tests_are_the_same_checks_without_the_slow_tests(checkout: Path) -> None:
    quick, whole = planned(checkout, "cpu", "--quick-test"), planned(checkout, "cpu", "--test")
    assert quick == [*whole[:-1], f"{whole[-1]} -m 'not slow'"]
    for words in (["--test", "--quick-test"], ["--quick-test", "--test"]):
        assert planned(checkout, "cpu", *words) == whole


def test_the_order_of_the_words_is_free(checkout: Path) -> None:
    assert planned(checkout, "--test", "cpu", "--yes") == planned(checkout, "cpu", "--test", "--yes")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "cpu or t4_gpu"),
        (["gpu"], "unknown argument 'gpu'"),
        (["cpu", "--bogus"], "unknown argument '--bogus'"),
        (["cpu", "t4_gpu"], "not both"),
        (["cpu", "--extras", "fast,fsat"], "unknown extra 'fsat'; valid: fast,onnx,"),
        (["cpu", "--extras"], "--extras requires names"),
        (["cpu", "--dinov3-edge", "--dinov3-stable"], "not both"),
    ],
)
def test_a_wrong_command_line_exits_2(checkout: Path, words: list[str], said: str) -> None:
    done = call(checkout / "setup.sh", *words)
    assert done.returncode == 2
    assert said in done.stderr
    assert not (checkout / ".venv").exists()


def test_a_channel_that_is_no_name_exits_2(checkout: Path) -> None:
    done = call(checkout / "setup.sh", "cpu", "--dry-run", TORCH_CHANNEL="cu126; rm -rf x")
    assert done.returncode == 2
    assert "is not a valid channel" in done.stderr


def test_help_exits_0(checkout: Path) -> None:
    for name in ("setup.sh", "clean.sh"):
        done = call(checkout / name, "--help")
        assert done.returncode == 0
        assert done.stdout.startswith(f"usage: bash {name}")


def test_without_yes_and_without_a_terminal_nothing_is_installed(checkout: Path) -> None:
    done = call(checkout / "setup.sh", "cpu")
    assert done.returncode == 2
    assert "--yes" in done.stderr
    assert not (checkout / ".venv").exists()


def test_a_python_that_does_not_run_is_named(checkout: Path) -> None:
    done = call(checkout / "setup.sh", "cpu", "--yes", PYTHON="/nowhere/python3")
    assert done.returncode == 1
    assert "PYTHON=/nowhere/python3 does not run" in done.stderr


def test_a_shim_for_nothing_is_passed_over(checkout: Path, tmp_path: Path) -> None:
    shims = tmp_path / "shims"
    shims.mkdir()
    tool(shims / "python3.13", "exit 127")
    (shims / "python3.12").symlink_to(sys.executable)
    search = f"{shims}{os.pathsep}{os.environ['PATH']}"
    assert planned(checkout, "cpu", PYTHON="", PATH=search)[0] == f"+ {shims}/python3.12 -m venv .venv"


def test_edge_without_its_host_is_said_before_anything_is_installed(checkout: Path, tmp_path: Path) -> None:
    tools = offline(tmp_path)
    done = call(checkout / "setup.sh", "cpu", "--yes", "--dinov3-edge", PATH=tools)
    assert done.returncode == 1
    assert "--dinov3-edge: https://github.com cannot be reached" in done.stderr
    assert not (checkout / ".venv").exists()


def test_yes_does_not_answer_a_root_question(checkout: Path, tmp_path: Path) -> None:
    """A Debian Python without its venv module: the command is shown, not run."""
    python = tmp_path / "python"
    tool(python, f'case "$*" in *ensurepip*) exit 1 ;; esac; exec {sys.executable} "$@"')
    tools = offline(tmp_path)
    tool(tmp_path / "tools" / "apt-get", f"touch {tmp_path}/installed")
    done = call(checkout / "setup.sh", "cpu", "--yes", PYTHON=str(python), PATH=tools)
    assert done.returncode == 1
    assert "apt-get install -y python3." in done.stderr
    assert not (tmp_path / "installed").exists()


@pytest.fixture
def installed(checkout: Path, tmp_path: Path) -> Path:
    """A checkout whose .venv notes what pip is asked for; its pair is broken while a file `broken` is there."""
    (checkout / ".venv" / "bin").mkdir(parents=True)
    tool(
        checkout / ".venv" / "bin" / "python",
        f"""case "$1" in
          -c) exec {sys.executable} "$@" ;;
          -) cat >/dev/null; test ! -e broken || exit 3 ;;
          -m) echo "$*" >>asked; case "$*" in *"install torch>="*) test -e hopeless || rm -f broken ;; esac ;;
        esac""",
    )
    return checkout


def asked(checkout: Path, tmp_path: Path, *words: str) -> tuple[int, list[str]]:
    """Really run setup.sh without a network; returns the exit code and what pip was asked to install."""
    log = checkout / "asked"
    log.unlink(missing_ok=True)
    (tmp_path / "tools").mkdir(exist_ok=True)
    tool(tmp_path / "tools" / "curl", "exit 6")
    search = f"{tmp_path / 'tools'}{os.pathsep}{os.environ['PATH']}"
    done = call(checkout / "setup.sh", "cpu", "--yes", *words, PATH=search)
    lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    return done.returncode, [line.removeprefix("-m pip ") for line in lines if "install" in line]


@pytest.mark.slow
def test_a_complete_venv_is_reused_and_extras_add_up(installed: Path, tmp_path: Path) -> None:
    install = "install -c .venv/torch-pair.txt -c constraints.txt -e ."
    assert asked(installed, tmp_path) == (0, [f"{install}[fast]"])  # the pair was there and works: it stays
    assert asked(installed, tmp_path) == (0, [])
    assert asked(installed, tmp_path, "--extras", "onnx") == (0, [f"{install}[fast,onnx]"])
    assert asked(installed, tmp_path, "--extras", "onnx") == (0, [])
    project = installed / "pyproject.toml"
    project.write_text(project.read_text(encoding="utf-8") + "\n[tool.other]\n", encoding="utf-8")
    assert asked(installed, tmp_path) == (0, [])  # no dependency has changed
    project.write_text(project.read_text(encoding="utf-8").replace("scipy>=", "scipy>=1."), encoding="utf-8")
    assert asked(installed, tmp_path) == (0, [f"{install}[fast,onnx]"])


@pytest.mark.slow
def test_a_broken_pair_is_replaced_whole(installed: Path, tmp_path: Path) -> None:
    assert asked(installed, tmp_path)[0] == 0
    (installed / "broken").touch()
    code, commands = asked(installed, tmp_path)
    assert code == 0
    assert commands[:2] == ["uninstall -q -y torch torchvision", "install torch>=2.10 torchvision>=0.25"]
    (installed / "broken").touch()
    (installed / "hopeless").touch()
    code, commands = asked(installed, tmp_path)
    assert code == 1  # tried again once, then said
    assert commands.count("install torch>=2.10 torchvision>=0.25") == 2


def test_a_channel_out_of_reach_changes_nothing(installed: Path, tmp_path: Path) -> None:
    (installed / "broken").touch()
    before = sorted(installed.rglob("*"))
    done = call(installed / "setup.sh", "cpu", "--yes", TORCH_CHANNEL="cu130", PATH=offline(tmp_path))
    assert done.returncode == 1
    assert "TORCH_CHANNEL=cu130" in done.stderr
    assert sorted(installed.rglob("*")) == before


def test_a_moved_venv_is_made_anew(installed: Path) -> None:
    (installed / ".venv" / "mot-dinov3.stamp").write_text("root=/somewhere/else\n", encoding="utf-8")
    assert planned(installed, "cpu")[:2] == ["+ rm -rf .venv", f"+ {sys.executable} -m venv .venv"]
    assert (installed / ".venv").exists()


def test_clean_removes_caches_and_venv_and_keeps_what_was_made(checkout: Path) -> None:
    gone = [".venv/bin/python", ".pytest_cache/x", ".ruff_cache/x", ".mypy_cache/x", "src/p/__pycache__/x.pyc"]
    kept = ["outputs/tracked.mp4", "outputs/__pycache__/x", "data/v.mp4", "models/w.pt", ".env", "src/p/x.py"]
    for name in gone + kept:
        path = checkout / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert call(checkout / "clean.sh", "--dry-run").returncode == 0
    assert all((checkout / name).exists() for name in gone + kept)
    done = call(checkout / "clean.sh")
    assert done.returncode == 0, done.stderr
    assert [name for name in gone if (checkout / name).exists()] == []
    assert [name for name in kept if not (checkout / name).exists()] == []
    assert call(checkout / "clean.sh", "--everything").returncode == 2


def test_ci_runs_the_test_command(checkout: Path, repo: Path, tmp_path: Path) -> None:
    (checkout / ".ci").mkdir()
    shutil.copy(repo / ".ci" / "run", checkout / ".ci" / "run")
    (checkout / "setup.sh").write_text('echo "setup.sh $*"; pwd; exit 7\n', encoding="utf-8")
    tools = offline(tmp_path)
    tool(tmp_path / "tools" / "apt-get", "exit 0")
    done = call(checkout / ".ci" / "run", PATH=tools)
    assert done.stdout.splitlines()[-2:] == ["setup.sh cpu --yes --test", str(checkout)]
    assert done.returncode == 7  # a failing test fails CI


def tool(path: Path, body: str) -> None:
    """Write an executable shell script."""
    path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def offline(tmp_path: Path) -> str:
    """A PATH whose curl reaches nothing."""
    tools = tmp_path / "tools"
    tools.mkdir()
    tool(tools / "curl", "exit 6")
    return f"{tools}{os.pathsep}{os.environ['PATH']}"
