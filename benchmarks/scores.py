r"""Tracking with detectors that are less sure: `--new-score auto` against the fixed threshold.

The scores of all boxes are changed: multiplied, moved into a range, or joined by false boxes anywhere in the image
(30 % of all). HOTA / IDF1 / ID switches, without coasted boxes and embeddings, as Markdown::

    python benchmarks/scores.py ../shared/data

A group is a folder of sequences as for `ablation.py`; yolov8n's boxes of PETS are one of their own.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from ablation import followed, recordings
from race import judge
from recordings import Recording

from mot_dinov3.core.structures import Detections
from mot_dinov3.trackers.config import NEW_SCORE, TrackerConfig

FALSE = 0.3  # share of false boxes among all
Scores = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class Change:
    """What a recording's scores become, and the highest score of false boxes; None adds none."""

    score: Callable[[Scores], Scores]
    false: float | None = None


CHANGES: Mapping[str, Change] = {
    "as they are": Change(lambda score: score),
    "halved": Change(lambda score: score / 2),
    "in 0.10 … 0.45": Change(lambda score: np.float32(0.1) + np.float32(0.35) * score),
    "× 0.4": Change(lambda score: np.float32(0.4) * score),
    "halved, 30 % false boxes up to 0.30": Change(lambda score: score / 2, 0.30),
    "as they are, 30 % false boxes up to 0.50": Change(lambda score: score, 0.50),
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with groups of sequences below it")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes (default: one per core)")
    args = parser.parse_args()
    if os.environ.get("OMP_NUM_THREADS") != "1":  # libraries read it when they are loaded: start again with one thread
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, "OMP_NUM_THREADS": "1"})
    found = sorted({(path.parents[2], path.name) for path in args.data.glob("**/det/*.txt")})
    groups = {f"{folder.name}, {name}": recordings(folder, name) for folder, name in found}
    print("| scores | threshold | " + " | ".join(groups) + " |\n" + "| --- " * (len(groups) + 2) + "|")
    for name in CHANGES:
        for new_score in (NEW_SCORE, TrackerConfig().new_score):
            with ProcessPoolExecutor(args.jobs) as pool:
                cells = list(pool.map(partial(cell, name, new_score), groups.values()))
            print(f"| {name} | {'auto' if new_score < 0 else new_score} | {' | '.join(cells)} |", flush=True)


def cell(name: str, new_score: float, group: list[Recording]) -> str:
    """Return the scores of a group after a change."""
    config = TrackerConfig(coast=False) if new_score < 0 else TrackerConfig(coast=False, new_score=new_score)
    made = [changed(recording, CHANGES[name]) for recording in group]
    score = judge(made, [followed(recording, config) for recording in made])
    return f"{score.hota:.1f} / {score.idf1:.1f} / {score.switches}"


def changed(recording: Recording, change: Change) -> Recording:
    """Return the recording with other scores, and with false boxes."""
    rng = np.random.default_rng(0)
    frames = []
    for rows in recording.frames:
        rows = rows.replace(score=change.score(rows.score))
        if change.false is not None:
            count = rng.binomial(max(len(rows), 1), FALSE / (1 - FALSE))
            rows = Detections.concat([rows, false_boxes(rng, count, recording.size, change.false)])
        frames.append(rows)
    return dataclasses.replace(recording, frames=frames)


def false_boxes(rng: np.random.Generator, count: int, size: tuple[int, int], high: float) -> Detections:
    """Return boxes of people's shape anywhere in the image, with scores from 0.05 to `high`."""
    width = rng.uniform(0.03, 0.1, (count, 1)) * size[0]
    sides = np.concatenate([width, width * rng.uniform(1.5, 3, (count, 1))], axis=1)
    corner = rng.uniform(0, 1, (count, 2)) * np.maximum(np.array(size) - sides, 0)
    xyxy = np.concatenate([corner, corner + sides], axis=1).astype(np.float32)
    return Detections(xyxy, score=rng.uniform(0.05, high, count).astype(np.float32), class_id=np.zeros(count))


if __name__ == "__main__":
    main()
