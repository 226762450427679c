"""Disks that are full, folders that cannot be written, sources that go away: one clear line, and nothing is harmed."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import av
import pytest
from crowd import Crowd

from clips import write_clip
from loopback import serving
from mot_dinov3.cli import main
from mot_dinov3.video import media

Reliability = Callable[[str, str], None]
EARLIER = {"t.mp4": b"earlier video", "t.json": b"earlier tracks", "t.txt": b"1", "t.csv": b"2", "d.json": b"{}"}

LIMITED = """
import resource, sys
from mot_dinov3.cli import main
size = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
sys.exit(main(sys.argv[2:]))
"""


@pytest.fixture(autouse=True)
def earlier(elsewhere: None, tmp_path: Path) -> None:
    """A folder of its own with what an earlier run left."""
    for name, data in EARLIER.items():
        (tmp_path / name).write_bytes(data)


def unharmed(folder: Path) -> bool:
    return all((folder / name).read_bytes() == data for name, data in EARLIER.items())


def one_line(said: str) -> str:
    """Return the line that says what is wrong; there is one, and no traceback."""
    lines = [line for line in said.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, said
    assert "Traceback" not in said
    return lines[0]


@pytest.mark.slow
def test_a_full_disk_at_several_moments(crowd: Crowd, tmp_path: Path, reliability: Reliability) -> None:
    """No file may grow beyond a size: whichever output reaches it first ends the run; more room, and it goes on."""
    assert main(crowd.options("--output", "whole.mp4")) == 0
    whole = {name: (tmp_path / name).read_bytes() for name in ("t.json", "t.txt", "t.csv", "d.json")}
    sizes = (100, 3000, 30_000, 80_000)
    for size in sizes:
        folder = tmp_path / str(size)
        folder.mkdir()
        for name, data in EARLIER.items():
            (folder / name).write_bytes(data)
        command = [sys.executable, "-c", LIMITED, str(size), *crowd.options()]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 3, done.stderr
        assert "could not be written: File too large" in one_line(done.stderr)
        assert "free some disk space" in done.stderr
        assert unharmed(folder)
        for part in folder.glob("*.part.jsonl"):
            for line in part.read_text().splitlines()[:-1]:  # the last one is where the disk was full
                json.loads(line)
        os.chdir(folder)
        assert main(crowd.options("--resume")) == 0
        assert {name: (folder / name).read_bytes() for name in whole} == whole
    reliability(
        "a full disk ends the run with exit 3, changes no earlier result, and with more space --resume continues",
        f"{len(sizes)} limits tried, {len(sizes)} reported in one line, 0 earlier results lost, {len(sizes)} resumed",
    )


WITHOUT_RIGHTS = """
# Root may write everywhere; without this capability its own folders' modes hold for it, too.
import ctypes, os, sys
if os.getuid() == 0:
    libc = ctypes.CDLL(None, use_errno=True)
    head, data = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    assert libc.capget(head, data) == 0
    for held in (0, 1):  # effective and permitted
        data[held] &= ~0b110  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    assert libc.capset(head, data) == 0
from mot_dinov3.cli import main
sys.exit(main())
"""


@pytest.mark.skipif(os.getuid() == 0 and sys.platform != "linux", reason="root may write everywhere")
def test_a_folder_that_cannot_be_written(crowd: Crowd, tmp_path: Path, reliability: Reliability) -> None:
    folder = tmp_path / "locked"
    folder.mkdir()
    for name, data in EARLIER.items():
        (folder / name).write_bytes(data)
    folder.chmod(0o555)
    words = ["--dets", str(crowd.dets), "--save-mot", str(folder / "new.txt")]
    command = [sys.executable, "-c", WITHOUT_RIGHTS, *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    folder.chmod(0o755)
    assert done.returncode == 2, done.stderr
    assert "cannot be written: permission denied" in one_line(done.stderr)
    assert unharmed(folder)
    assert {p.name for p in folder.iterdir()} == set(EARLIER)
    reliability("a read-only folder is refused (exit 2) before any work", "1 tried, 1 reported in one line, 0 damaged")


def test_a_source_that_disappears(tmp_path: Path, capsys, reliability: Reliability) -> None:
    """Pictures vanish while they are read; what was tracked until then stays in the unfinished files."""
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    with av.open(str(write_clip(tmp_path / "clip.mp4", 40))) as container:
        for frame in container.decode(video=0):
            save(frame, pictures)
    taken = sorted(pictures.iterdir())
    from mot_dinov3.video.images import ImageFolder

    read = ImageFolder.to_image

    def vanishing(self, raw: Path):
        if raw == taken[20]:
            shutil.rmtree(pictures)
        return read(self, raw)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ImageFolder, "to_image", vanishing)
        words = ["--source", str(pictures), "--det", "motion", "--embedder", "none", "--no-progress"]
        assert main([*words, "--output", "t.mp4", "--save-json", "t.json"]) == 3
    said = capsys.readouterr().err
    assert "cannot be read: No such file" in one_line(said)
    assert "the partial output is in t.part.mp4, t.json.part.jsonl" in said
    assert unharmed(tmp_path)
    with av.open("t.part.mp4") as container:
        played = sum(1 for _ in container.decode(video=0))
    assert played == 20
    reliability(
        "a source that disappears ends the run with exit 3; the partial files hold the frames before it",
        f"20 frames read, {played} playable, 0 earlier results lost",
    )


def save(frame: av.VideoFrame, folder: Path) -> None:
    import cv2

    cv2.imwrite(str(folder / f"{len(list(folder.iterdir())):06d}.png"), frame.to_ndarray(format="bgr24"))


class Stalling:
    """Sends a second of a live stream, then nothing; every second connection is refused."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.seen = 0
        self.released = threading.Event()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        self.seen += 1
        sends = self.seen % 2 == 1
        request.send_response(200 if sends else 503)
        request.end_headers()
        if sends:
            request.wfile.write(self.data)
            request.wfile.flush()
            self.released.wait(20)


def test_a_stream_that_stalls_comes_back_or_is_told(
    tmp_path: Path, monkeypatch, capsys, reliability: Reliability
) -> None:
    monkeypatch.setattr(media, "TIMEOUT_S", (2.0, 0.3))
    monkeypatch.setattr("mot_dinov3.video.stream.FIRST_WAIT_S", 0.05)
    stalling = Stalling(write_clip(tmp_path / "live.ts", 60, codec="mpeg2video").read_bytes())
    words = ["--det", "motion", "--embedder", "none", "--no-progress", "--save-json", "t.json", "--output", "t.mp4"]
    with serving(stalling.answer) as host:
        words += ["--source", f"http://user:secret@{host}/live.ts"]
        try:
            assert main([*words, "--reconnect-seconds", "0"]) == 3
            said = capsys.readouterr().err
            assert re.search(r"stalled: no data for 0\.3 s", one_line(said))
            assert unharmed(tmp_path)
            stalling.seen = 0
            assert main([*words, "--end-frame", "120"]) == 0
        finally:
            stalling.released.set()
    said = capsys.readouterr()
    document = json.loads((tmp_path / "t.json").read_text())
    assert len(document["frames"]) == 120
    gaps = [notice for notice in document["notices"] if "was reconnected after" in notice]
    assert gaps
    assert all(gap in said.err + said.out for gap in gaps)
    assert "secret" not in (tmp_path / "t.json").read_text() + said.err + said.out
    reliability(
        "a network stream that stalls is reopened with back-off, the gap reported in summary and JSON; without "
        "reconnection the exit code is 3",
        f"{len(gaps)} gaps in 120 frames, {len(gaps)} reported, 0 earlier results lost",
    )
