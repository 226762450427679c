"""A run whose watcher is interrupted, as Ray does with a cancelled task."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from mot_dinov3.apps.batch.worker import VideoJob, run_video
from scenes import write_scene


def test_a_cancelled_run_finishes_its_files_though_sigint_is_blocked(tmp_path):
    scene, folder = write_scene(tmp_path, frames=600), tmp_path / "out"
    options = {"source": scene.video, "det": "motion", "embedder": "histogram", "output": folder / "t.mp4",
               "save-mot": folder / "t.txt"}  # fmt: skip
    words = tuple(f"--{key}={value}" for key, value in options.items())
    job = VideoJob("scene", str(scene.video), str(folder), words=words, files=(), cwd=str(tmp_path))

    def cancelled_at_work() -> int:
        part = folder / "t.part.txt"
        if part.exists() and part.stat().st_size:
            raise KeyboardInterrupt
        return 0

    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # as Ray's workers do, and children inherit
    try:
        with pytest.raises(KeyboardInterrupt):
            run_video(job, cancelled_at_work)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    assert "stopping after this frame" in (folder / "log.txt").read_text()
    assert sorted(path.name for path in Path(folder).iterdir()) == ["log.txt", "t.mp4", "t.mp4.part.record", "t.txt"]
