"""One video of a batch: a separate process that runs `track`, for any engine."""

from __future__ import annotations

import dataclasses
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from mot_dinov3.core import files
from mot_dinov3.core.errors import EXIT_INTERRUPTED, EXIT_OK, MotError

LOG = "log.txt"
POLL_SECONDS = 0.2
LOG_TAIL = 1 << 16  # bytes of a log that are searched for the last error


@dataclasses.dataclass(frozen=True)
class VideoJob:
    """Input of one run.

    Attributes:
        name: The video's name in the batch.
        source: The video.
        folder: Its result folder.
        words: Arguments of `track`.
        files: Files that the run writes.
        cwd: Working directory, to which relative paths refer.
        threads: CPU threads for its networks and its decoder; 0 is their default.
    """

    name: str
    source: str
    folder: str
    words: tuple[str, ...]
    files: tuple[str, ...]
    cwd: str
    threads: int = 0

    def has_files(self) -> bool:
        """Return whether all files are there."""
        return all(Path(name).exists() for name in self.files)


@dataclasses.dataclass(frozen=True)
class VideoResult:
    """Exit code of one run, 128 + signal where one killed it, its error message of one line, and its duration."""

    exit_code: int
    message: str = ""
    seconds: float = 0.0


def run_video(job: VideoJob, stopped: Callable[[], int] = lambda: 0) -> VideoResult:
    """Run one video to its end, in a separate process; its output goes to ``log.txt`` in its folder.

    A second call for the same video waits until the first one's process has ended, even where the process that
    started it is gone, and resumes its run.

    Args:
        job: The run.
        stopped: Returns the number of a signal to pass to the process, 0 for none.
    """
    began = time.monotonic()
    try:
        code, message = _run(job, stopped)
    except MotError as error:
        code, message = error.exit_code, error.message
    return VideoResult(code, message, round(time.monotonic() - began, 3))


def _run(job: VideoJob, stopped: Callable[[], int]) -> tuple[int, str]:
    path = Path(job.folder) / LOG
    with files.writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        log = path.open("ab")
    with log:
        if not _lock(log, stopped):
            return EXIT_INTERRUPTED, "interrupted"
        start = path.stat().st_size
        code = _wait(_start(job, log), stopped)
        code = 128 - code if code < 0 else code
    return code, "" if code == EXIT_OK else _last_error(path, start, code)


def _lock(log: IO[bytes], stopped: Callable[[], int]) -> bool:
    """Wait until no other process writes this log; return False where a stop was requested before."""
    while True:
        try:
            fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the process inherits it with its output
        except BlockingIOError:
            if stopped():
                return False
            time.sleep(POLL_SECONDS)
        else:
            return True


def _start(job: VideoJob, log: IO[bytes]) -> subprocess.Popen[bytes]:
    package = str(Path(__file__).resolve().parents[3])
    paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    if job.threads:
        for name in ("OMP_NUM_THREADS", "OPENCV_FOR_THREADS_NUM"):  # `usable_cpus` follows the first, as torch does
            environment.setdefault(name, str(job.threads))
    words = [sys.executable, "-m", "mot_dinov3", "track", *job.words, "--no-progress"]
    # A session of its own: Ctrl-C on a terminal reaches the batch alone, which passes it on.
    return subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=job.cwd, env=environment, start_new_session=True
    )


def _wait(process: subprocess.Popen[bytes], stopped: Callable[[], int]) -> int:
    passed_on = 0
    try:
        while True:
            try:
                return process.wait(POLL_SECONDS)
            except subprocess.TimeoutExpired:
                if (number := stopped()) and number != passed_on:
                    process.send_signal(number)
                    passed_on = number
    except BaseException:  # a cancelled Ray task: the frame is finished, and all files, before the task ends
        process.send_signal(signal.SIGTERM)  # Ray's workers block SIGINT, and so does what they start
        process.wait()
        raise


def _last_error(path: Path, start: int, code: int) -> str:
    """Return the last error that the process logged, or else how it ended."""
    with path.open("rb") as log:
        log.seek(max(start, path.stat().st_size - LOG_TAIL))
        lines = log.read().decode("utf-8", "replace").splitlines()
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    if errors:
        return errors[-1]
    if code in (EXIT_INTERRUPTED, 128 + signal.SIGTERM):
        return "interrupted"
    killed = code - 128 if code > 128 else 0
    return f"killed by signal {killed}" if killed else f"ended with exit code {code}"
