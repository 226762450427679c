r"""Share of boxes that need an embedding: scores and share of embedded boxes for several scheduler settings.

Tracks sequences under each setting, in several runs that each drop a random share of the boxes, and prints the
means (with coasted boxes) as Markdown::

    python benchmarks/embedding.py ../shared/data/tracking --sequences PETS09-S2L1 --det-name yolov8n_960.txt \
        --video ../shared/data/tracking/vtest.avi --embed-model ../shared/models/osnet_x0_25_msmt17.onnx
    python benchmarks/embedding.py ../shared/data/tracking_pictures --only saver \
        --embed-model ../shared/models/omz/reid_0277_rgb_imagenet.xml

A sequence's video is `<sequence>/<sequence>.mp4`, or `--video`.

*all* embeds every high-score box in every frame. ``max 1`` allows one refresh per frame in addition to the
critical boxes (a budget with a fixed cost per crop, so that the results do not depend on the machine).
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from race import judge, scene_of, track
from recordings import Recording, dropped, embedded_boxes, load

from mot_dinov3.apps.benchmark.baselines import OwnTracker
from mot_dinov3.scheduler import EmbeddingScheduler, SchedulerConfig

ALL = "all"
MAX_1 = {"embed_budget_ms": 1.0, "embed_cost_ms": 1.0}
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "default (refresh 5)": {},
    "max 1": MAX_1,
    "refresh 20": {"embed_refresh": 20},
    "refresh 60": {"embed_refresh": 60},
    "ambiguous": {"embed_crowded": "ambiguous"},
    "ambiguous, max 1": {"embed_crowded": "ambiguous", **MAX_1},
    "ambiguous, refresh 20": {"embed_crowded": "ambiguous", "embed_refresh": 20},
    "ambiguous, refresh 60": {"embed_crowded": "ambiguous", "embed_refresh": 60},
    "saver": {"embed_saver": True},
    "ambiguous, refresh 60, gate 0.4": {"embed_crowded": "ambiguous", "embed_refresh": 60, "embed_iou_gate": 0.4},
}


def main() -> None:
    """Run every setting and print the table."""
    args = parse()
    found = [
        embedded_boxes(r, args.video or args.data[0] / r.name / f"{r.name}.mp4", args.embed_model) for r in load(args)
    ]
    print("| setting | HOTA | IDF1 | switches | share embedded |\n| --- | --- | --- | --- | --- |")
    for name in (ALL, *SETTINGS):
        if args.only and name not in (ALL, next(iter(SETTINGS)), *args.only):
            continue
        runs = [tracked([dropped(r, args.drop, seed) for r in found], name) for seed in range(args.runs)]
        hota, idf1, switches, share = np.mean(runs, axis=0)
        print(f"| {name} | {hota:.1f} | {idf1:.1f} | {switches:.3g} | {100 * share:.1f} % |", flush=True)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs=1, type=Path, help="folder of sequences")
    parser.add_argument("--sequences", nargs="+", help="only these")
    parser.add_argument("--video", type=Path, help="video of the one sequence")
    parser.add_argument("--only", nargs="+", metavar="SETTING", help="only these settings, all and the default")
    parser.add_argument("--embed-model", type=Path, required=True, help="weights of the osnet embedder")
    parser.add_argument("--det-name", default="det.txt", help="detection file inside SEQ/det (default: det.txt)")
    parser.add_argument("--drop", type=float, default=0.05, help="share of boxes left out by each run")
    parser.add_argument("--runs", type=int, default=8, help="runs with different seeds of --drop")
    return parser.parse_args()


def tracked(recordings: list[Recording], setting: str) -> tuple[float, float, float, float]:
    """Track the recordings under a setting; return HOTA, IDF1, switches and the share embedded."""
    racers = [made(recording, setting) for recording in recordings]
    for racer, recording in zip(racers, recordings):
        track(racer, recording)
    scores = judge(recordings, [racer.history for racer in racers])
    share = sum(racer.embedded for racer in racers) / sum(racer.boxes for racer in racers)
    return scores.hota, scores.idf1, scores.switches, share


def made(recording: Recording, setting: str) -> OwnTracker:
    """Return a tracker under a setting."""
    racer = OwnTracker(scene_of(recording), embed="all" if setting == ALL else "scheduled")
    if setting != ALL:
        learned = racer.tracker.appearance
        racer.scheduler = EmbeddingScheduler(
            SchedulerConfig(**SETTINGS[setting]), min_score=racer.high_score, calibrated=lambda: learned.calibrated
        )
    return racer


if __name__ == "__main__":
    main()
