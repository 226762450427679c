"""Ablation of the tracker: one component disabled, or replaced by its alternative, at a time.

HOTA / IDF1 / ID switches over all sequences of a group, online, without coasted boxes except in the row that includes
them, as a Markdown table::

    python benchmarks/ablation.py ../shared/data
    python benchmarks/ablation.py ../shared/data --video ../shared/data/tracking/vtest.avi \
        --embed-model ../shared/models/osnet_x0_25_msmt17.pt

A group is a folder of sequences ``SEQ/{det/det.txt, gt/gt.txt, seqinfo.ini}`` at any depth below the given one. A video
and a model add two groups: the sequence that has ``det/yolov8n_960.txt``, with embeddings of all its boxes, as the
median of runs that each drop 5 % of the boxes; and the same boxes seen by a camera that swings and shakes over the
video, with images but without embeddings. `--drop`, `--double` and `--every` make the groups without embeddings harder.
A single random event changes HOTA by up to 1, so smaller differences between single rows are not significant; check
whether a row is lower in all columns.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import os
import sys
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from race import judge
from recordings import Recording, add_strains, dropped, embedded_boxes, load, panned, strained

from mot_dinov3.apps.evaluation import Scores
from mot_dinov3.core.structures import Detections, Frame
from mot_dinov3.sinks.base import revised
from mot_dinov3.trackers.appearance import AppearanceTracker
from mot_dinov3.trackers.base import TrackerRequest
from mot_dinov3.trackers.config import TrackerConfig

VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "all components": {},
    "with coasted boxes (the default)": {"coast": True},
    "greedy instead of optimal assignment": {"hungarian": False},
    "no second round for low scores": {"low_match": False},
    "overlap not multiplied by score": {"score_fusion": False},
    "plain IoU, heights ignored": {"height_power": 0.0},
    "boxes do not grow with uncertainty": {"growth": 0.0},
    "no motion likelihood": {"likelihood": 0.0},
    "no penalty for lost tracks": {"lost_penalty": 0.0},
    "full update by contested boxes": {"contest_noise": 1.0},
    "no size damping of lost tracks": {"size_damping": 0.0},
    "no shorter limit at the frame edge": {"edge_seconds": 0.0},
    "lost tracks kept for 1 s": {"lost_seconds": 1.0},
    "confirmed by the first box": {"confirm_hits": 1},
    "confirmed at once from score 0.8": {"confirm_score": 0.8},
    "tracks start on active ones": {"new_overlap": 1.0},
    "no camera motion compensation": {"camera_motion": False},
    "no appearance in the similarity": {"appearance": 0.0},
    "last embedding instead of a running mean": {"ema": 0.0},
    "no re-identification": {"recovery": False},
    "motion only": {"appearance": 0.0, "recovery": False},
}

Group = tuple[str, list[list[Recording]]]  # name, and per run its recordings


def main() -> None:
    """Print the table."""
    args = parse()
    if os.environ.get("OMP_NUM_THREADS") != "1":  # libraries read it when they are loaded: start again with one thread
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, "OMP_NUM_THREADS": "1"})
    groups = list(find(args))
    print("| HOTA / IDF1 / switches | " + " | ".join(name for name, _ in groups) + " |")
    print("| --- " * (len(groups) + 1) + "|")
    chosen = {name: changes for name, changes in VARIANTS.items() if not args.only or name in args.only}
    with ProcessPoolExecutor(args.jobs) as pool:
        for name, cells in zip(chosen, pool.map(partial(row, groups), chosen.values())):
            print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with groups of sequences below it")
    parser.add_argument("--video", type=Path, help="video of the sequence with embeddings")
    parser.add_argument("--embed-model", type=Path, help="weights of the osnet embedder")
    parser.add_argument("--runs", type=int, default=8, help="runs of the sequence with embeddings (default: 8)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes (default: one per core)")
    parser.add_argument("--only", nargs="+", metavar="ROW", help="only these rows of the table")
    add_strains(parser)
    args = parser.parse_args()
    if bool(args.video) != bool(args.embed_model):
        parser.error("--video and --embed-model go together")
    return args


def find(args: argparse.Namespace) -> list[Group]:
    """Return the groups of sequences below the data folder."""
    folders = sorted({path.parents[2] for path in args.data.glob("**/det/det.txt")})
    groups: list[Group] = []
    for folder in folders:
        groups.append((folder.name, [[strained(r, args, 0) for r in recordings(folder, "det.txt")]]))
    if args.video:
        folder = next(path.parents[2] for path in args.data.glob("**/det/yolov8n_960.txt"))
        (recording,) = recordings(folder, "yolov8n_960.txt")
        swinging = panned(recording, args.video)
        recording = embedded_boxes(recording, args.video, args.embed_model)
        runs = [[dropped(recording, 0.05, seed)] for seed in range(args.runs)]
        groups += [(f"{recording.name} + osnet", runs), (swinging.name, [[swinging]])]
    return groups


def recordings(folder: Path, det_name: str) -> list[Recording]:
    """Read the sequences of one folder."""
    return list(load(argparse.Namespace(data=[folder], det_name=det_name, sequences=None)))


def row(groups: list[Group], changes: Mapping[str, Any]) -> list[str]:
    """Return one variant's cells."""
    config = dataclasses.replace(TrackerConfig(coast=False), **changes)
    cells = []
    for _, runs in groups:
        scores: list[Scores] = [judge(run, [followed(recording, config) for recording in run]) for run in runs]
        hota, idf1, switches = np.median([[s.hota, s.idf1, s.switches] for s in scores], axis=0)
        cells.append(f"{hota:.1f} / {idf1:.1f} / {switches:g}")
    return cells


def followed(recording: Recording, config: TrackerConfig) -> list[Detections]:
    """Return the identified rows of a recording, frame by frame, as the file outputs get them."""
    tracker = AppearanceTracker(TrackerRequest(recording.fps, recording.size, recording.same_floor, config))
    history: list[Detections] = []
    pictures = recording.pictures or itertools.repeat(None)
    for index, (rows, picture) in enumerate(zip(recording.frames, pictures)):
        tracker.predict(Frame(index, index / recording.fps, picture))
        history.append(tracker.update(rows.replace(fresh=rows.has_embedding & (rows.score >= config.high_score))))
        for revision in tracker.revisions:
            earlier = history[revision.frame_index]
            history[revision.frame_index] = revised(earlier, revision.row, revision.track_id)
    return [rows[rows.track_id >= 1] for rows in history]


if __name__ == "__main__":
    main()
