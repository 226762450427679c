r"""Race our tracker and the peers that are installed on the same recorded detections.

Scores (HOTA, DetA, AssA, MOTA, IDF1 in percent, ID switches) and the median milliseconds per frame of the association
step, as a Markdown table, best HOTA first::

    python benchmarks/race.py ../shared/data/association/dancetrack
    python benchmarks/race.py ../shared/data/tracking --sequences PETS09-S2L1 --det-name yolov8n_960.txt \
        --video ../shared/data/tracking/vtest.avi --embed-model ../shared/models/osnet_x0_25_msmt17.pt \
        --drop 0.05 --runs 8

A data folder holds ``SEQ/det/<det-name>``, ``SEQ/gt/gt.txt`` and ``SEQ/seqinfo.ini``; several folders are scored
together. The peers run with their own defaults through their Python classes, online and without pictures, which leaves
out their camera-motion compensation. Ours runs with its defaults in three rows: without coasted boxes (those that were
predicted, not detected), so that every tracker is judged by detected boxes alone; with them; and linked, which is what
`--link` makes of it after the last frame and no online tracker can be compared with.

`--video` and `--embed-model` give ours, and only ours, embeddings of the boxes of the one sequence: once all boxes
from the tracker's high score on, once only those that the scheduler asks for; the row says which share, and its time
includes the scheduler's. `--drop` leaves out that share of the boxes at random, `--double` has that share detected
twice, `--every 2` halves the frame rate; `--runs` runs have different random seeds, the table shows their medians.

Time of the association step on synthetic 1080p objects, CPU time on one thread, ours and the peers in turn::

    python benchmarks/race.py --association

needs: ultralytics with lap, trackers with supervision; whichever is missing is left out with a note.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import importlib.util
import itertools
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from recordings import Recording, add_options, embedded_boxes, load, strained

from mot_dinov3.evaluation import COMBINED, BoxTable, Scores, SequencePair, as_table, score
from mot_dinov3.linking import Tracklets, link
from mot_dinov3.pipeline.sinks import revised
from mot_dinov3.structures import Detections, Frame, TrackView

ULTRALYTICS = ("bytetrack", "botsort", "ocsort", "deepocsort", "fasttrack", "tracktrack")
ROBOFLOW = (
    "SORTTracker",
    "ByteTrackTracker",
    "OCSORTTracker",
    "BoTSORTTracker",
    "CBIoUTracker",
    "McByteTracker",
)
OURS = "ours"
OBJECT_COUNTS = (10, 50, 100, 200)
COLUMNS = ("HOTA", "DetA", "AssA", "MOTA", "IDF1", "switches", "ms/frame")

Racer = Callable[[int, Detections], Detections]  # frame index and its detections → identified rows


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
    racer: Racer


def main() -> None:
    """Run the race that the command line asks for and print its table."""
    args = parse()
    if os.environ.get("OMP_NUM_THREADS") != "1":  # libraries read it when they are loaded: start again with one thread
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, "OMP_NUM_THREADS": "1"})
    if args.association:
        makers = racers(args.only, embedded=True)
        print_association({name: make for name, make in makers.items() if name != OURS})  # without the scheduler
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


# --- trackers ---------------------------------------------------------------------------------------------------------


def racers(only: Sequence[str] | None, *, embedded: bool) -> dict[str, Callable[[Recording], Racer]]:
    """Return a maker per tracker: ours, and those whose package is installed."""
    makers: dict[str, Callable[[Recording], Racer]] = {OURS: Ours}
    if embedded:
        makers = {f"{OURS}, motion only": functools.partial(Ours, embed="nothing")}
        makers |= {f"{OURS}, all embedded": Ours, OURS: functools.partial(Ours, embed="scheduled")}
    packages = {"ultralytics": (ULTRALYTICS, ultralytics_tracker), "trackers": (ROBOFLOW, roboflow_tracker)}
    for package, (names, maker) in packages.items():
        if importlib.util.find_spec(package) is None:
            print(f"{package} is not installed: left out", file=sys.stderr)
            continue
        makers |= {f"{package} {name}": (lambda _, maker=maker, name=name: maker(name)) for name in names}
    return {
        name: maker
        for name, maker in makers.items()
        if not only or name.split()[-1] in only or (name.startswith(OURS) and OURS in only)
    }


class Ours:
    """Our tracker with its defaults; `history` holds all frames' rows, corrected by what became known later.

    Args:
        recording: What it is going to see.
        embed: ``all`` boxes from the high score on, those that are ``scheduled``, or ``nothing``.
    """

    def __init__(self, recording: Recording, *, embed: str = "all") -> None:
        from mot_dinov3.scheduler import EmbeddingScheduler, SchedulerConfig
        from mot_dinov3.trackers.appearance import AppearanceTracker, TrackerConfig

        config = TrackerConfig(coast=True)  # changes no identity: the rows without coasted boxes are as without it
        self.tracker = AppearanceTracker(
            config, fps=recording.fps, size=recording.size, same_floor=recording.same_floor
        )
        self.scheduler = EmbeddingScheduler(SchedulerConfig(), min_score=config.high_score)
        self.high_score = config.high_score
        self.embed = embed
        self.fps = recording.fps
        self.history: list[Detections] = []
        self.boxes = self.embedded = 0

    def __call__(self, index: int, detections: Detections) -> Detections:
        """Return the identified rows of one more frame."""
        view = self.tracker.predict(Frame(index, index / self.fps))
        rows = self.tracker.update(self._with_embeddings(detections, view, index))
        self.history.append(rows)
        for revision in self.tracker.revisions:
            earlier = self.history[revision.frame_index]
            self.history[revision.frame_index] = revised(earlier, revision.row, revision.track_id)
        self.boxes += len(detections)
        self.embedded += int(rows.fresh.sum())
        return rows

    def _with_embeddings(self, detections: Detections, view: TrackView, index: int) -> Detections:
        vectors = detections.embedding
        if vectors is None or self.embed == "nothing":
            return detections.replace(embedding=None)
        if self.embed == "all":
            high = detections.score >= self.high_score
            return detections.replace(embedding=vectors * high[:, None], fresh=high)
        plan = self.scheduler.plan(detections.replace(embedding=None), view, index)
        return self.scheduler.run(plan, detections.replace(embedding=None), view, lambda rows: vectors[rows])


def ultralytics_tracker(name: str) -> Racer:
    """Return a tracker of Ultralytics with its own settings, without camera motion."""
    import torch
    from ultralytics.engine.results import Boxes
    from ultralytics.trackers.track import TRACKER_MAP
    from ultralytics.utils import YAML, IterableSimpleNamespace
    from ultralytics.utils.checks import check_yaml

    torch.set_num_threads(1)
    settings = {**YAML.load(check_yaml(f"{name}.yaml")), "gmc_method": "none", "device": "cpu"}
    tracker = TRACKER_MAP[settings["tracker_type"]](args=IterableSimpleNamespace(**settings))
    picture = np.zeros((1080, 1920, 3), np.uint8)

    def step(index: int, detections: Detections) -> Detections:
        classes = np.zeros((len(detections), 1), np.float32)
        boxes = np.concatenate([detections.xyxy, detections.score[:, None], classes], axis=1)
        rows = np.asarray(tracker.update(Boxes(boxes, picture.shape[:2]), picture), np.float32).reshape(-1, 8)
        return identified(rows[:, :4], rows[:, 4])

    return step


def roboflow_tracker(name: str) -> Racer:
    """Return a tracker of roboflow's `trackers` with its own settings."""
    import supervision
    import trackers

    tracker = getattr(trackers, name)()

    def step(index: int, detections: Detections) -> Detections:
        classes = np.zeros(len(detections), np.int64)
        rows = tracker.update(supervision.Detections(detections.xyxy, confidence=detections.score, class_id=classes))
        ids = np.zeros(0) if rows.tracker_id is None else rows.tracker_id
        return identified(rows.xyxy[: len(ids)], np.asarray(ids, np.int64) + 1)  # theirs count from 0, −1 is none

    return step


def identified(xyxy: np.ndarray[Any, Any], ids: np.ndarray[Any, Any]) -> Detections:
    """Return a peer's rows in our form."""
    return Detections(np.asarray(xyxy, np.float32).reshape(-1, 4), track_id=ids, track_xyxy=xyxy)


# --- scores -----------------------------------------------------------------------------------------------------------


def race(name: str, make: Callable[[Recording], Racer], runs: list[list[Recording]]) -> dict[str, list[float]]:
    """Return the table's rows of one tracker: medians over the runs, ours with and without coasted boxes and linked."""
    variants: dict[str, list[Scores]] = {}
    ms: list[float] = []
    for recordings in runs:
        results = [track(make(recording), recording) for recording in recordings]
        ms += [value for result in results for value in result.ms]
        seen = [[rows[(rows.track_id >= 1) & ~rows.coasted] for rows in result.rows] for result in results]
        variants.setdefault("", []).append(judge(recordings, seen))
        if name.startswith(OURS):
            everything = [[rows[rows.track_id >= 1] for rows in result.rows] for result in results]
            variants.setdefault(", with coasted boxes", []).append(judge(recordings, everything))
            after = [linked(recording, rows) for recording, rows in zip(recordings, seen)]
            variants.setdefault(", linked", []).append(judge(recordings, after))
    ours = [result.racer for result in results if isinstance(result.racer, Ours)]
    if sum(racer.embedded for racer in ours):
        share = sum(racer.embedded for racer in ours) / sum(racer.boxes for racer in ours)
        name = f"{name.split(',')[0]}, {share:.0%} embedded"
    return {
        name + variant: [*np.median([dataclasses.astuple(s)[:6] for s in scores], axis=0), float(np.median(ms))]
        for variant, scores in variants.items()
    }


def track(racer: Racer, recording: Recording) -> Result:
    """Run a tracker over a recording and time each frame."""
    result = Result([], [], racer)
    for index, detections in enumerate(recording.frames):
        start = time.perf_counter()
        rows = racer(index, detections)
        result.ms.append(1e3 * (time.perf_counter() - start))
        result.rows.append(rows)
    return dataclasses.replace(result, rows=racer.history) if isinstance(racer, Ours) else result


def judge(recordings: list[Recording], results: list[list[Detections]]) -> Scores:
    """Score all sequences together."""
    pairs = [
        SequencePair(recording.name, recording.truth, as_table(dict(enumerate(rows)), recording.name))
        for recording, rows in zip(recordings, results)
    ]
    return score(pairs)[COMBINED]


def linked(recording: Recording, frames: list[Detections]) -> list[Detections]:
    """Return the rows after whole-video linking."""
    rows = Detections.concat(frames)
    frame = np.repeat(np.arange(len(frames)), [len(rows) for rows in frames])
    embedding = None if rows.embedding is None else rows.embedding * rows.fresh[:, None]
    tracklets = Tracklets(frame, frame / recording.fps, rows.track_id, rows.xyxy, rows.score, embedding)
    result = link(tracklets, same_floor=recording.same_floor, size=recording.size)
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


# --- time -------------------------------------------------------------------------------------------------------------


def print_association(makers: Mapping[str, Callable[[Recording], Racer]]) -> None:
    """Print the median CPU time per frame of each tracker at each number of objects."""
    print("association step, CPU ms per frame (median), one thread, synthetic 1080p objects, no pictures\n")
    print("| tracker | " + " | ".join(f"N={n}" for n in OBJECT_COUNTS) + " |")
    print("| --- " * (len(OBJECT_COUNTS) + 1) + "|")
    nothing = np.zeros(0, np.int64)
    truth = BoxTable(nothing, nothing, np.zeros((0, 4)), np.zeros(0, np.bool_))
    scenes = [Recording(str(n), 30.0, (1920, 1080), list(scene(n, 150)), truth) for n in OBJECT_COUNTS]
    for name, make in makers.items():
        cells = [f"{cpu_ms(make(recording), recording.frames):.2f}" for recording in scenes]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def scene(count: int, frames: int, *, seed: int = 0) -> Iterator[Detections]:
    """Yield the detections of `count` walkers on a 1920 × 1080 picture: they turn back at its edges, 5 % are missed.

    Every walker has a 512-d appearance of its own, to which each frame adds noise.
    """
    rng = np.random.default_rng(seed)
    size = np.stack([rng.uniform(40, 80, count), rng.uniform(100, 200, count)], axis=1)
    room = np.array([1920.0, 1080.0]) - size
    place, speed = rng.uniform(0, 1, (count, 2)) * room, rng.normal(0, 4, (count, 2))
    own = rng.normal(size=(count, 512))
    for _ in range(frames):
        place += speed
        speed = np.where((place < 0) | (place > room), -speed, speed)
        place = np.clip(place, 0, room)
        corner = place + rng.normal(0, 1.5, place.shape)
        boxes = np.concatenate([corner, corner + size * np.exp(rng.normal(0, 0.02, size.shape))], axis=1)
        seen = rng.permutation(np.flatnonzero(rng.random(count) > 0.05))
        score = np.clip(rng.normal(0.75, 0.15, count), 0.1, 0.99)
        look = own + rng.normal(0, 0.3, own.shape)
        look /= np.linalg.norm(look, axis=1, keepdims=True)
        yield Detections(boxes[seen], score=score[seen], class_id=np.zeros(len(seen)), embedding=look[seen])


def cpu_ms(racer: Racer, frames: Sequence[Detections]) -> float:
    """Return the median CPU milliseconds of a frame; the first third, in which tracks are born, is left out."""
    spent = []
    for index, rows in enumerate(frames):
        start = time.process_time()
        racer(index, rows)
        spent.append(1e3 * (time.process_time() - start))
    return float(np.median(spent[len(spent) // 3 :]))


if __name__ == "__main__":
    main()
