"""Whatever a video file is: its frames come out and are counted, or one clear line says why not."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hostile_videos import CASES, Case, bomb

from mot_dinov3.cli import main
from mot_dinov3.video import SourceConfig, open_source

CHILD = """
import re, sys
from pathlib import Path
from mot_dinov3.cli import main
code = main(["--source", sys.argv[1], "--det", "motion", "--embedder", "none", "--no-video"])
# not getrusage: what it tells begins with the memory of the process that started this one
print(code, re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_hostile_video(name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source = CASES[name].make(tmp_path)
    outputs = [tmp_path / "out" / file for file in ("v.mp4", "t.json", "t.txt")]
    files = [str(v) for pair in zip(("--output", "--save-json", "--save-mot"), outputs) for v in pair]
    code = main(["--source", str(source), "--det", "motion", "--embedder", "none", "--no-progress", *files])
    out, err = capfd.readouterr()
    assert "Traceback" not in err
    (_survives if CASES[name].frames else _is_one_line)(CASES[name], code, out, err, outputs)


def _survives(case: Case, code: int, out: str, err: str, outputs: list[Path]) -> None:
    assert code == 0, err
    frames = int(re.search(r"^frames\s+(\d+)", out, re.MULTILINE)[1])  # type: ignore[index]
    least, most = case.frames or (0, 0)
    assert least <= frames <= most
    assert re.search(case.says, out + err)
    with open_source(SourceConfig(source=str(outputs[0]))) as video:
        assert len(list(video)) == frames


def _is_one_line(case: Case, code: int, out: str, err: str, outputs: list[Path]) -> None:
    assert code == 3
    errors = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert re.search(case.says, errors[0]), err
    assert [line for line in err.splitlines() if not line.startswith(("error: ", "  ", "notice: "))] == []
    assert not any(path.exists() for path in outputs)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the memory is read from Linux's /proc")
def test_a_picture_cannot_exhaust_the_memory(tmp_path: Path) -> None:
    (tmp_path / "0.png").write_bytes(bomb(20_000))  # 50 KB that would become 1.2 GB
    done = subprocess.run([sys.executable, "-c", CHILD, str(tmp_path)], capture_output=True, text=True, check=False)
    assert "0.png' cannot be decoded" in done.stderr
    code, kilobytes = done.stdout.split()
    assert code == "3"
    assert int(kilobytes) < 700_000


def test_there_are_enough_of_them(reliability: Callable[[str, str], None]) -> None:
    survive = sum(case.frames is not None for case in CASES.values())
    reliability("Hostile video", f"{len(CASES)} files: {survive} tracked to their end, {len(CASES) - survive} refused")
    assert len(CASES) >= 60
