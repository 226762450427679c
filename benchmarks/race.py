r"""Compare the tracker with the installed baselines on the same precomputed detections.

Scores (HOTA, DetA, AssA, MOTA, IDF1 in percent, ID switches) and the median milliseconds per frame of the association
step, as a Markdown table, best HOTA first::

    python benchmarks/race.py ../shared/data/association/dancetrack
    python benchmarks/race.py ../shared/data/tracking --sequences PETS09-S2L1 --det-name yolov8n_960.txt \
        --video ../shared/data/tracking/vtest.avi --embed-model ../shared/models/osnet_x0_25_msmt17.pt \
        --drop 0.05 --runs 8

A data folder contains ``SEQ/det/<det-name>``, ``SEQ/gt/gt.txt`` and ``SEQ/seqinfo.ini``; several folders are scored
together. The baselines run with their own defaults through their Python classes, online and without images, which
disables their camera-motion compensation. Ours runs with its defaults in three rows: without coasted boxes (those that
were predicted, not detected), so that every tracker is scored on detected boxes only; with them; and linked, after
`--link`, which is not comparable with an online tracker.

`--video` and `--embed-model` add embeddings to ours, and only to ours, in one sequence: once for all high-score boxes,
once for those that the scheduler selects; the row shows their share, and its time
includes the scheduler's. `--drop` removes that share of the boxes at random, `--double` duplicates that share,
`--every 2` halves the frame rate; `--runs` runs have different random seeds, the table shows their medians.

Time of the association step on synthetic 1080p objects, CPU time on one thread, ours and the baselines alternately, as
in ``mot-dinov3 benchmark --association``::

    python benchmarks/race.py --association

needs: ultralytics with lap, trackers with supervision; a missing one is skipped with a note.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from recordings import Recording, add_options, embedded_boxes, load, strained

from mot_dinov3.apps.benchmark.association_cost import association_table, sweep
from mot_dinov3.apps.benchmark.baselines import OURS, OwnTracker, TrackerFactories, TrackerStep, tracker_factories
from mot_dinov3.apps.evaluation import COMBINED, Scores, SequencePair, as_table, score
from mot_dinov3.core.structures import Detections
from mot_dinov3.linking import LinkConfig, Tracklets, link
from mot_dinov3.trackers.base import TrackerRequest

COLUMNS = ("HOTA", "DetA", "AssA", "MOTA", "IDF1", "switches", "ms/frame")


@dataclasses.dataclass(frozen=True)
class Result:
    """What a tracker made of a recording.

    Attributes:
        rows: Per frame the identified rows; `track_xyxy` is the box to be scored.
        ms: Milliseconds of each frame's association step.
        racer: The tracker after the last frame.
    """

    rows: list[Detections]
    ms: list[float]
    racer: TrackerStep


def main() -> None:
    """Run the race that the command line asks for and print its table."""
    args = parse()
    if os.environ.get("OMP_NUM_THREADS") != "1":  # libraries read it when they are loaded: start again with one thread
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, "OMP_NUM_THREADS": "1"})
    if args.association:
        timed = {name: make for name, make in racers(args.only, embedded=True).items() if name != OURS}
        print(*association_table(sweep(timed)), sep="\n")  # ours without the scheduler
        return
    recordings = list(load(args))
    if args.video:
        recordings = [embedded_boxes(recordings[0], args.video, args.embed_model)]
    makers = racers(args.only, embedded=bool(args.video))
    runs = [[strained(r, args, seed) for r in recordings] for seed in range(args.runs)]
    table: dict[str, list[float]] = {}
    for name, make in makers.items():
        table |= race(name, make, runs)
    print(f"{len(recordings)} sequences, {sum(len(r.frames) for r in recordings)} frames, {args.runs} runs")
    print_table(table)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="*", type=Path, help="folders of sequences")
    add_options(parser)
    parser.add_argument("--video", type=Path, help="video of the one sequence, for embeddings")
    parser.add_argument("--embed-model", type=Path, help="weights of the osnet embedder")
    parser.add_argument("--runs", type=int, default=1, help="runs with different random seeds (default: 1)")
    parser.add_argument("--only", nargs="+", help=f"only these trackers, for example {OURS} botsort SORTTracker")
    parser.add_argument("--association", action="store_true", help="time the association step instead")
    args = parser.parse_args()
    if bool(args.data) == args.association:
        parser.error("give folders of sequences, or --association")
    if bool(args.video) != bool(args.embed_model):
        parser.error("--video and --embed-model go together")
    return args


# --- scores -----------------------------------------------------------------------------------------------------------


def race(
    name: str, make: Callable[[TrackerRequest], TrackerStep], runs: list[list[Recording]]
) -> dict[str, list[float]]:
    """Return the table's rows of one tracker: medians over the runs, ours with and without coasted boxes and linked."""
    variants: dict[str, list[Scores]] = {}
    ms: list[float] = []
    for recordings in runs:
        results = [track(make(scene_of(recording)), recording) for recording in recordings]
        ms += [value for result in results for value in result.ms]
        seen = [[rows[(rows.track_id >= 1) & ~rows.coasted] for rows in result.rows] for result in results]
        variants.setdefault("", []).append(judge(recordings, seen))
        if name.startswith(OURS):
            everything = [[rows[rows.track_id >= 1] for rows in result.rows] for result in results]
            variants.setdefault(", with coasted boxes", []).append(judge(recordings, everything))
            after = [linked(recording, rows) for recording, rows in zip(recordings, seen)]
            variants.setdefault(", linked", []).append(judge(recordings, after))
    ours = [result.racer for result in results if isinstance(result.racer, OwnTracker)]
    if sum(racer.embedded for racer in ours):
        share = sum(racer.embedded for racer in ours) / sum(racer.boxes for racer in ours)
        name = f"{name.split(',')[0]}, {share:.0%} embedded"
    return {
        name + variant: [*np.median([dataclasses.astuple(s)[:6] for s in scores], axis=0), float(np.median(ms))]
        for variant, scores in variants.items()
    }


def racers(only: Sequence[str] | None, *, embedded: bool) -> TrackerFactories:
    """Return a maker per tracker; say which peers are not installed."""
    makers, notices = tracker_factories(only, embedded=embedded)
    for notice in notices:
        print(notice, file=sys.stderr)
    return makers


def scene_of(recording: Recording) -> TrackerRequest:
    """Return what a tracker may know of a recording."""
    return TrackerRequest(recording.fps, recording.size, recording.same_floor)


def track(racer: TrackerStep, recording: Recording) -> Result:
    """Run a tracker over a recording and time each frame."""
    result = Result([], [], racer)
    for index, detections in enumerate(recording.frames):
        start = time.perf_counter()
        rows = racer(index, detections)
        result.ms.append(1e3 * (time.perf_counter() - start))
        result.rows.append(rows)
    return dataclasses.replace(result, rows=racer.history) if isinstance(racer, OwnTracker) else result


def judge(recordings: list[Recording], results: list[list[Detections]]) -> Scores:
    """Score all sequences together."""
    pairs = [
        SequencePair(recording.name, recording.truth, as_table(dict(enumerate(rows)), recording.name))
        for recording, rows in zip(recordings, results)
    ]
    return score(pairs)[COMBINED]


def linked(recording: Recording, frames: list[Detections], config: LinkConfig | None = None) -> list[Detections]:
    """Return the rows after whole-video linking."""
    rows = Detections.concat(frames)
    frame = np.repeat(np.arange(len(frames)), [len(rows) for rows in frames])
    embedding = None if rows.embedding is None else rows.embedding * rows.fresh[:, None]
    tracklets = Tracklets(frame, frame / recording.fps, rows.track_id, rows.xyxy, rows.score, embedding)
    result = link(tracklets, config, size=recording.size)
    bounds = np.searchsorted(result.frame, np.arange(len(frames) + 1))
    return [
        Detections(result.xyxy[low:high], score=result.score[low:high], track_id=result.track_id[low:high])
        for low, high in itertools.pairwise(bounds)
    ]


def print_table(table: Mapping[str, Sequence[float]]) -> None:
    """Print Markdown, best HOTA first."""
    print("\n| tracker | " + " | ".join(COLUMNS) + " |")
    print("| --- " * (len(COLUMNS) + 1) + "|")
    for name, row in sorted(table.items(), key=lambda item: -item[1][0]):
        *percents, switches, ms = row
        print(f"| {name} | " + " | ".join(f"{v:.1f}" for v in percents) + f" | {switches:g} | {ms:.2f} |")


if __name__ == "__main__":
    main()
