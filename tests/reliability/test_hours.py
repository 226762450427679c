"""Hours of video: thousands of frames of a looped clip, hundreds of short-lived tracks, and memory that stays put."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from mot_dinov3.core.structures import VideoInfo
from mot_dinov3.video import VideoWriter

# A slope shows in minutes what a total shows in hours; docs/reliability.py measures the longer run.
FRAMES = 60_000 if "MOT_RELIABILITY_TABLE" in os.environ else 12_000
SETTLED = 2_000
BYTES_PER_FRAME = 200  # 25 are measured, of which 8 are the latency that is kept for the summary
WIDTH, HEIGHT, LOOP, OBJECTS = 96, 64, 240, 8

LOOPED = """
# The main job over a clip that begins anew whenever it ends; tells what it holds at two moments.
import itertools, json, sys, time
import cv2
from pathlib import Path
from mot_dinov3.pipeline import inputs, outputs
from mot_dinov3.cli import main
from mot_dinov3.pipeline.loop import TrackingLoop
from mot_dinov3.video import SourceConfig, open_source
from mot_dinov3.video.source import BaseSource

frames, settled, words = json.loads(sys.argv[1])
cv2.setNumThreads(1)  # threads cost more than such small pictures do

class Looped(BaseSource):
    def __init__(self, config):
        super().__init__(config)
        with open_source(SourceConfig(source=config.source)) as clip:
            self.taken = [frame.pixels() for frame in clip]
            self._ready(clip.info, frames)
    def _raw_frames(self):
        return ((None, image) for image in itertools.cycle(self.taken))
    def to_image(self, raw):
        return raw
    def _release(self):
        pass

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20

held = []
most = {}
step = TrackingLoop.step
def stepping(self, frame):
    rows = step(self, frame)
    stages = self.stages
    kept = {
        "tracks": len(stages.tracker._tracks),
        "frames held back": len(self.sinks._sinks[0].held),
        "backlog": stages.scheduler.stats.backlog,
        "remembered by the gallery": stages.gallery.remembered,
        "notices": len(stages.source.notices),
    }
    for name, count in kept.items():
        most[name] = max(most.get(name, 0), count)
    if frame.index + 1 in (settled, frames):
        held.append({"mib": resident(), "most": dict(most), "cpu_s": time.process_time(), "tracks": self.counts.tracks})
        most.clear()
    return rows

inputs.open_source = Looped
TrackingLoop.step = stepping
code = main(words)
print(json.dumps(held))
sys.exit(code)
"""


def write_loop(folder: Path) -> Path:
    """Write a clip of squares that appear, cross the picture in a second or two, and are gone."""
    rng = np.random.default_rng(3)
    street = rng.integers(90, 110, (HEIGHT, WIDTH, 3), np.uint8)
    starts, rows = rng.integers(0, LOOP - 40, OBJECTS), rng.integers(4, HEIGHT - 16, OBJECTS)
    speeds, colours = rng.uniform(2, 5, OBJECTS), rng.integers(150, 255, (OBJECTS, 3))
    with VideoWriter(folder / "loop.mp4", info=VideoInfo("loop", WIDTH, HEIGHT, 25.0)) as writer:
        for index in range(LOOP):
            image = street.copy()
            for start, row, speed, colour in zip(starts.tolist(), rows.tolist(), speeds.tolist(), colours.tolist()):
                left = round((index - start) * speed) - 10
                if -10 < left < WIDTH:
                    cv2.rectangle(image, (left, row), (left + 9, row + 13), colour, -1)
            writer.write(image, index / 25)
    return folder / "loop.mp4"


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="resident memory is read from /proc")
def test_memory_and_state_stay_bounded(tmp_path: Path, reliability: Callable[[str, str], None]) -> None:
    clip = write_loop(tmp_path)
    people = tmp_path / "people" / "ann"
    people.mkdir(parents=True)
    cv2.imwrite(str(people / "ann_00000.png"), np.full((14, 10, 3), 200, np.uint8))
    words = ["--source", str(clip), "--end-frame", str(FRAMES), "--det", "motion", "--motion-min-area", "0.005"]
    words += ["--embedder", "histogram", "--embed-budget-ms", "0.3", "--embed-cost-ms", "0.1", "--gallery"]
    words += [str(tmp_path / "people"), "--save-json", "t.json", "--save-mot", "t.txt", "--no-video", "--no-progress"]
    words += ["--no-camera-motion"]
    command = [sys.executable, "-c", LOOPED, json.dumps([FRAMES, SETTLED, words])]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=1800, check=False)
    assert done.returncode == 0, done.stderr
    early, late = json.loads(done.stdout.splitlines()[-1])
    assert late["tracks"] > FRAMES / 40
    grown = late["mib"] - early["mib"]
    assert grown * 2**20 < BYTES_PER_FRAME * (FRAMES - SETTLED)
    for name, count in late["most"].items():
        assert count <= 1.5 * early["most"][name] + 5, name
    ms = 1e3 * (late["cpu_s"] - early["cpu_s"]) / (FRAMES - SETTLED)
    reliability(
        f"{FRAMES:,} frames, gallery, JSON and MOT written: resident memory and state stay what they were at frame "
        f"{SETTLED:,}",
        f"{late['tracks']} tracks started and ended; {early['mib']:.0f} MiB at frame {SETTLED:,}, {grown:+.1f} MiB at "
        f"the end; at most {', '.join(f'{count} {name}' for name, count in late['most'].items())}; {ms:.2f} ms of "
        "processor time a frame",
    )
