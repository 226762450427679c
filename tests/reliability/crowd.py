"""A small video of boxes that come, cross, hide and go, its detections, and a run of it that kills itself."""

from __future__ import annotations

import atexit
import dataclasses
import functools
import json
import os
import select
import subprocess
import sys
from pathlib import Path

import av
import numpy as np

from mot_dinov3.core.structures import VideoInfo
from mot_dinov3.video import VideoWriter

WIDTH, HEIGHT, FPS = 160, 120, 10.0
TESTS = Path(__file__).resolve().parents[1]

ZYGOTE = """
# Runs the main job once per entry in a child of its own, which a sink kills; one process pays for all the imports.
import json, os, signal, sys
import av, cv2, scipy.optimize
from mot_dinov3.pipeline.wiring import build_tracking
from mot_dinov3.pipeline.outputs import SinkFactory
from mot_dinov3.cli import main

class Kill:
    def __init__(self, number, left):
        self.number, self.left = number, left
    def write(self, frame, detections):
        self.left -= 1
        if self.left < 0:
            os.kill(os.getpid(), self.number)
    def close(self):
        pass
    abort = close
    stage = None

for line in sys.stdin:
    kills, words, environment = json.loads(line)
    codes = []
    for folder, frames in kills["runs"]:
        child = os.fork()
        if child == 0:
            os.environ.clear()
            os.environ.update(environment)
            os.chdir(folder)
            place = getattr(SinkFactory, kills["place"])
            sinks = Kill(kills["signal"], frames)
            setattr(SinkFactory, kills["place"], lambda self, *given: [*place(self, *given), sinks])
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(os.open("said.txt", os.O_CREAT | os.O_WRONLY), 1)
            os.dup2(1, 2)
            code = main(words)
            sys.stdout.flush()
            os._exit(code)
        codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    print(json.dumps(codes), flush=True)
"""


@dataclasses.dataclass(frozen=True)
class Crowd:
    """Where the files are."""

    video: Path
    dets: Path
    frames: int

    def options(self, *more: str) -> list[str]:
        """Return the words of a run on recorded detections, writing all kinds of outputs."""
        return ["--source", str(self.video), "--dets", str(self.dets), *ALL_OUTPUTS, *more]


ALL_OUTPUTS = (
    "--embedder", "histogram", "--no-progress", "--output", "t.mp4", "--save-json", "t.json", "--save-mot", "t.txt",
    "--save-csv", "t.csv", "--save-dets", "d.json",
)  # fmt: skip


def write_crowd(folder: Path, frames: int = 90, objects: int = 8) -> Crowd:
    """Write ``crowd.mp4`` and its det-v1 file: jittered boxes of varying score, a tenth of them missing."""
    rng = np.random.default_rng(8)
    street = rng.integers(90, 130, (HEIGHT, WIDTH, 3), np.uint8)
    start, speed = rng.uniform(0, WIDTH, objects), rng.uniform(-4, 4, objects)
    feet, colour = rng.uniform(40, HEIGHT, objects), rng.integers(0, 255, (objects, 3))
    video, records = folder / "crowd.mp4", []
    with VideoWriter(video, info=VideoInfo(str(video), WIDTH, HEIGHT, FPS, frames)) as writer:
        for index in range(frames):
            image, found = street.copy(), []
            for number in range(objects):
                left = (start[number] + speed[number] * index) % (WIDTH + 40) - 20
                box = np.array([left, feet[number] - 36, left + 16, feet[number]])
                x1, y1, x2, y2 = np.clip(box, 0, [WIDTH, HEIGHT] * 2).astype(int)
                image[y1:y2, x1:x2] = colour[number]
                if x2 - x1 > 3 and rng.random() > 0.1:
                    bbox = [round(float(v), 2) for v in box + rng.normal(0, 0.7, 4)]
                    found.append({"bbox": bbox, "score": round(rng.uniform(0.3, 0.99), 3), "class_id": 0})
            writer.write(image, index / FPS)
            records.append({"frame": index, "file": f"{index:06d}.jpg", "detections": found})
    header = {"path": "crowd.mp4", "fps": FPS, "frame_count": frames, "width": WIDTH, "height": HEIGHT}
    dets = folder / "crowd.json"
    dets.write_text(json.dumps({"schema_version": "det-v1", "video": header, "frames": records}))
    return Crowd(video, dets, frames)


def run_killed(runs: list[tuple[Path, int]], words: list[str], *, number: int, place: str = "detections") -> list[int]:
    """Run the main job once per ``(folder, frames)``, each run killed after so many frames; return the exit codes.

    Args:
        runs: Folders to work in, and the number of whole frames before the signal.
        words: The command line.
        number: The signal.
        place: Method of `SinkFactory` whose sinks the killing one follows.
    """
    kills = {"signal": number, "place": place, "runs": [(str(folder), frames) for folder, frames in runs]}
    zygote = _zygote()
    assert zygote.stdin is not None
    assert zygote.stdout is not None
    zygote.stdin.write(json.dumps([kills, words, dict(os.environ)]) + "\n")
    zygote.stdin.flush()
    assert select.select([zygote.stdout], [], [], 300)[0], "killed runs hang"
    codes: list[int] = json.loads(zygote.stdout.readline())
    return codes


@functools.cache
def _zygote() -> subprocess.Popen[str]:
    """The process that all killed runs are children of; it ends with the tests."""
    process = subprocess.Popen(
        [sys.executable, "-c", ZYGOTE], cwd=TESTS, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    atexit.register(process.communicate)
    return process


def pictures(path: Path) -> tuple[list[float], list[np.ndarray]]:
    """Return what a player shows of a video, strictly: damage is an error."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    return [frame.time for frame in frames], [frame.to_ndarray(format="gray") for frame in frames]


def same_videos(path: Path, whole: Path) -> bool:
    """Tell whether two videos show the same at the same times, up to what coding anew changes."""
    (times, shown), (wanted_times, wanted) = pictures(path), pictures(whole)
    differ = [np.abs(a.astype(int) - b).mean() for a, b in zip(shown, wanted)]
    return times == wanted_times and max(differ) < 3
