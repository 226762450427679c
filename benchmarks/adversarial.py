r"""Tracking and linking with embeddings that separate nothing, against motion alone.

The embeddings of all boxes are computed once and then replaced: by noise, a constant vector, noise in a cone, the
embeddings in a cone, or those of the nearest other box. HOTA / IDF1 / ID switches, medians over the runs, as Markdown::

    python benchmarks/adversarial.py ../shared/data/tracking_pictures \
        --embed-model ../shared/models/osnet_x0_25_msmt17.onnx
    python benchmarks/adversarial.py ../shared/data/tracking --sequences PETS09-S2L1 --det-name yolov8n_960.txt \
        --video ../shared/data/tracking/vtest.avi --embed-model ../shared/models/osnet_x0_25_msmt17.onnx \
        --drop 0.05 --runs 4

`--consumers` leaves the embeddings as they are and disables one use of them at a time, or all but one.
A sequence's video is `<sequence>/<sequence>.mp4`, or `--video`.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from race import judge, linked, scene_of, track
from recordings import Recording, add_options, embedded_boxes, load, strained

from mot_dinov3.apps.benchmark.baselines import OwnTracker
from mot_dinov3.core.structures import Detections
from mot_dinov3.linking import LinkConfig
from mot_dinov3.trackers.config import TrackerConfig

Array = npt.NDArray[np.float64]
CONE = 3.0
"""Length of the vector that is common to all embeddings in a cone."""


def main() -> None:
    """Print the table."""
    args = parse()
    found = [
        embedded_boxes(r, args.video or args.data[0] / r.name / f"{r.name}.mp4", args.embed_model) for r in load(args)
    ]
    print(f"| {'uses' if args.consumers else 'embeddings'} | online | linked |\n| --- | --- | --- |")
    if args.consumers:
        runs = [[strained(r, args, seed) for r in found] for seed in range(args.runs)]
        for name, (tracker, linking) in CONSUMERS.items():
            print(f"| {name} | {' | '.join(scores(runs, tracker, linking))} |", flush=True)
        return
    for name, change in CHANGES.items():
        runs = [[changed(strained(r, args, seed), change) for r in found] for seed in range(args.runs)]
        print(f"| {name} | {' | '.join(scores(runs))} |", flush=True)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs=1, type=Path, help="folder of sequences")
    add_options(parser)
    parser.add_argument("--video", type=Path, help="video of the one sequence")
    parser.add_argument("--embed-model", type=Path, required=True, help="weights of the osnet embedder")
    parser.add_argument("--runs", type=int, default=1, help="runs with different random seeds (default: 1)")
    parser.add_argument("--consumers", action="store_true", help="ablation of what uses the embeddings")
    return parser.parse_args()


def neighbours(rows: Detections, vectors: Array) -> Array:
    """Return the embeddings of the nearest other box of each box."""
    if len(rows) < 2:
        return vectors
    centre = (rows.xyxy[:, :2] + rows.xyxy[:, 2:]) / 2
    distance = np.hypot(*(centre[:, None] - centre).transpose(2, 0, 1))
    np.fill_diagonal(distance, np.inf)
    return vectors[distance.argmin(axis=1)]


RNG = np.random.default_rng(1)
CHANGES: dict[str, Callable[[Detections, Array], Array] | None] = {
    "none (motion only)": None,
    "as computed": lambda rows, vectors: vectors,
    "as computed, in a cone": lambda rows, vectors: vectors + CONE / np.sqrt(vectors.shape[1]),
    "noise": lambda rows, vectors: RNG.normal(size=vectors.shape),
    "noise in a cone": lambda rows, vectors: CONE + RNG.normal(size=vectors.shape),
    "constant": lambda rows, vectors: np.ones(vectors.shape),
    "of the nearest other box": neighbours,
}

NO_JOINS = LinkConfig(appearance_seconds=0.0)
NO_LINKING = LinkConfig(appearance_seconds=0.0, uncross=False)
CONSUMERS = {
    "all": (TrackerConfig(), LinkConfig()),
    "no matching": (TrackerConfig(appearance=0.0), LinkConfig()),
    "no re-identification": (TrackerConfig(recovery=False), LinkConfig()),
    "no joins by appearance alone": (TrackerConfig(), NO_JOINS),
    "no id swaps resolved": (TrackerConfig(), LinkConfig(uncross=False)),
    "matching alone": (TrackerConfig(recovery=False), NO_LINKING),
    "re-identification alone": (TrackerConfig(appearance=0.0), NO_LINKING),
    "linking alone": (TrackerConfig(appearance=0.0, recovery=False), LinkConfig()),
}


def changed(recording: Recording, change: Callable[[Detections, Array], Array] | None) -> Recording:
    """Return the recording with other embeddings, of length 1."""

    def frame(rows: Detections) -> Detections:
        if change is None or rows.embedding is None:
            return rows.replace(embedding=None)
        vectors = change(rows, rows.embedding.astype(np.float64))
        return rows.replace(embedding=vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9))

    return dataclasses.replace(recording, frames=[frame(rows) for rows in recording.frames])


def scores(
    runs: list[list[Recording]], tracker: TrackerConfig | None = None, linking: LinkConfig | None = None
) -> list[str]:
    """Return the scores online, with predicted boxes, and linked."""
    online, after = [], []
    for recordings in runs:
        results = [track(OwnTracker(scene_of(r), embed="scheduled", config=tracker), r).rows for r in recordings]
        online.append(judge(recordings, [[rows[rows.track_id >= 1] for rows in frames] for frames in results]))
        seen = [[rows[(rows.track_id >= 1) & ~rows.coasted] for rows in frames] for frames in results]
        after.append(judge(recordings, [linked(r, rows, linking) for r, rows in zip(recordings, seen)]))
    return [
        " / ".join(f"{np.median([getattr(s, key) for s in group]):.3g}" for key in ("hota", "idf1", "switches"))
        for group in (online, after)
    ]


if __name__ == "__main__":
    main()
