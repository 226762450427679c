r"""Race our tracker and the peers that are installed on the same recorded detections.

Scores (HOTA, DetA, AssA, MOTA, IDF1 in percent, ID switches) and the median milliseconds per frame of the association
step, as a Markdown table, best HOTA first::

    python benchmarks/race.py ../shared/data/association/dancetrack
    python benchmarks/race.py ../shared/data/tracking --sequences PETS09-S2L1 --det-name yolov8n_960.txt \
        --embeddings pets.npz --drop 0.05 --runs 8

A data folder holds ``SEQ/det/<det-name>``, ``SEQ/gt/gt.txt`` and ``SEQ/seqinfo.ini``; several folders are scored
together. The peers run with their own defaults through their Python classes, online and without pictures, which leaves
out their camera-motion compensation. Ours runs with its defaults; rows without coasted boxes leave out what was
predicted but not detected, so that every tracker is judged by detected boxes alone. `--embeddings` is for us only: an
``.npz`` with one array per sequence, named like it, a row for each line of its detection file (`--sequences` of which
none are in it run without). `--drop` leaves out that share of the boxes at random, in `--runs` runs with different
seeds, and the table shows the median of the runs.

Time of the association step on synthetic 1080p objects, CPU time on one thread, ours and the peers in turn::

    python benchmarks/race.py --association

needs: ultralytics with lap, trackers with supervision; whichever is missing is left out with a note.
"""

from __future__ import annotations

import argparse
import configparser
import dataclasses
import importlib.util
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mot_dinov3.evaluation import COMBINED, BoxTable, Scores, SequencePair, as_table, read_truth, score
from mot_dinov3.structures import Detections, Frame

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
class Recording:
    """One sequence: its detections frame by frame, frame rate and truth."""

    name: str
    fps: float
    frames: list[Detections]
    truth: BoxTable


@dataclasses.dataclass(frozen=True)
class Result:
    """What a tracker made of a recording.

    Attributes:
        rows: Per frame the identified rows; `track_xyxy` is the box to be scored.
        ms: Milliseconds of each frame's association step.
    """

    rows: list[Detections]
    ms: list[float]


def main() -> None:
    """Run the race that the command line asks for and print its table."""
    args = parse()
    if os.environ.get("OMP_NUM_THREADS") != "1":  # libraries read it when they are loaded: start again with one thread
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, "OMP_NUM_THREADS": "1"})
    makers = racers(args.only)
    if args.association:
        print_association(makers)
        return
    recordings = list(load(args))
    runs = [[dropped(r, args.drop, seed) for r in recordings] for seed in range(args.runs)]
    table: dict[str, list[float]] = {}
    for name, make in makers.items():
        table |= race(name, make, runs)
    print(f"{len(recordings)} sequences, {sum(len(r.frames) for r in recordings)} frames")
    print_table(table)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="*", type=Path, help="folders of sequences")
    parser.add_argument("--sequences", nargs="+", help="only these")
    parser.add_argument("--det-name", default="det.txt", help="detection file inside each SEQ/det (default: det.txt)")
    parser.add_argument("--embeddings", type=Path, help=".npz with an array of embeddings per sequence")
    parser.add_argument("--drop", type=float, default=0.0, help="share of boxes to drop at random (default: 0)")
    parser.add_argument("--runs", type=int, default=1, help="runs with different seeds of --drop (default: 1)")
    parser.add_argument("--only", nargs="+", help=f"only these trackers, for example {OURS} botsort SORTTracker")
    parser.add_argument("--association", action="store_true", help="time the association step instead")
    args = parser.parse_args()
    if bool(args.data) == args.association:
        parser.error("give folders of sequences, or --association")
    return args


# --- trackers ---------------------------------------------------------------------------------------------------------


def racers(only: Sequence[str] | None) -> dict[str, Callable[[float], Racer]]:
    """Return a maker per tracker, which takes the frame rate: ours, and those whose package is installed."""
    makers: dict[str, Callable[[float], Racer]] = {OURS: our_tracker}
    packages = {"ultralytics": (ULTRALYTICS, ultralytics_tracker), "trackers": (ROBOFLOW, roboflow_tracker)}
    for package, (names, maker) in packages.items():
        if importlib.util.find_spec(package) is None:
            print(f"{package} is not installed: left out", file=sys.stderr)
            continue
        makers |= {f"{package} {name}": (lambda fps, maker=maker, name=name: maker(name)) for name in names}
    return {name: maker for name, maker in makers.items() if not only or name.split()[-1] in only}


def our_tracker(fps: float) -> Racer:
    """Return our tracker with its defaults; rows it confirms later are corrected in what it gave before."""
    from mot_dinov3.trackers.appearance import AppearanceTracker, TrackerConfig

    tracker = AppearanceTracker(TrackerConfig())
    history: list[Detections] = []

    def step(index: int, detections: Detections) -> Detections:
        tracker.predict(Frame(index, index / fps))
        rows = tracker.update(detections)
        history.append(rows)
        for revision in tracker.revisions:  # in place: the caller holds the same objects
            history[revision.frame_index].track_id[revision.row] = revision.track_id
        return rows

    return step


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


def load(args: argparse.Namespace) -> Iterator[Recording]:
    """Read the sequences that have a detection file of the wanted name."""
    embeddings: Mapping[str, Any] = np.load(args.embeddings) if args.embeddings else {}
    found = sorted(path for folder in args.data for path in folder.glob(f"*/det/{args.det_name}"))
    for path in found:
        folder = path.parents[1]
        if args.sequences and folder.name not in args.sequences:
            continue
        info = configparser.ConfigParser()
        info.read(folder / "seqinfo.ini")
        rows = np.loadtxt(path, delimiter=",", ndmin=2, usecols=range(7))
        rows[:, 4:6] += rows[:, 2:4]
        frame = rows[:, 0].astype(np.int64) - 1
        boxes = Detections(
            rows[:, 2:6],
            score=np.clip(rows[:, 6], 0, 1),
            class_id=np.zeros(len(rows)),
            embedding=embeddings.get(folder.name),
        )
        count = max(info.getint("Sequence", "seqLength"), int(frame.max()) + 1)
        frames = [boxes[np.flatnonzero(frame == index)] for index in range(count)]
        truth = read_truth(folder / "gt" / "gt.txt")
        yield Recording(folder.name, info.getfloat("Sequence", "frameRate"), frames, truth)


def dropped(recording: Recording, share: float, seed: int) -> Recording:
    """Return the recording without a random `share` of its boxes."""
    rng = np.random.default_rng(seed)
    frames = [rows[rng.random(len(rows)) >= share] for rows in recording.frames]
    return dataclasses.replace(recording, frames=frames)


def race(name: str, make: Callable[[float], Racer], runs: list[list[Recording]]) -> dict[str, list[float]]:
    """Return the table's rows of one tracker: medians over the runs, ours with and without coasted boxes."""
    variants: dict[str, list[Scores]] = {}
    ms: list[float] = []
    for recordings in runs:
        results = [track(make(recording.fps), recording) for recording in recordings]
        ms += [value for result in results for value in result.ms]
        if name == OURS:
            variants.setdefault(f"{name}, with coasted boxes", []).append(judge(recordings, results, coasted=True))
        variants.setdefault(name, []).append(judge(recordings, results, coasted=False))
    return {
        variant: [*np.median([dataclasses.astuple(s)[:6] for s in scores], axis=0), float(np.median(ms))]
        for variant, scores in variants.items()
    }


def track(racer: Racer, recording: Recording) -> Result:
    """Run a tracker over a recording and time each frame."""
    result = Result([], [])
    for index, detections in enumerate(recording.frames):
        start = time.perf_counter()
        rows = racer(index, detections)
        result.ms.append(1e3 * (time.perf_counter() - start))
        result.rows.append(rows)
    return result


def judge(recordings: list[Recording], results: list[Result], *, coasted: bool) -> Scores:
    """Score all sequences together."""
    pairs = []
    for recording, result in zip(recordings, results):
        kept = [rows[(rows.track_id >= 1) & (coasted | ~rows.coasted)] for rows in result.rows]
        pairs.append(SequencePair(recording.name, recording.truth, as_table(dict(enumerate(kept)), recording.name)))
    return score(pairs)[COMBINED]


def print_table(table: Mapping[str, Sequence[float]]) -> None:
    """Print Markdown, best HOTA first."""
    print("\n| tracker | " + " | ".join(COLUMNS) + " |")
    print("| --- " * (len(COLUMNS) + 1) + "|")
    for name, row in sorted(table.items(), key=lambda item: -item[1][0]):
        *percents, switches, ms = row
        print(f"| {name} | " + " | ".join(f"{v:.1f}" for v in percents) + f" | {switches:g} | {ms:.2f} |")


# --- time -------------------------------------------------------------------------------------------------------------


def print_association(makers: Mapping[str, Callable[[float], Racer]]) -> None:
    """Print the median CPU time per frame of each tracker at each number of objects."""
    print("association step, CPU ms per frame (median), one thread, synthetic 1080p objects, no pictures\n")
    print("| tracker | " + " | ".join(f"N={n}" for n in OBJECT_COUNTS) + " |")
    print("| --- " * (len(OBJECT_COUNTS) + 1) + "|")
    scenes = {n: list(scene(n, 150)) for n in OBJECT_COUNTS}
    embedded = {n: [with_embeddings(rows) for rows in frames] for n, frames in scenes.items()}
    for name, make in makers.items():
        print(
            f"| {name} | " + " | ".join(f"{cpu_ms(make(30.0), scenes[n]):.2f}" for n in OBJECT_COUNTS) + " |",
            flush=True,
        )
        if name == OURS:
            cells = [f"{cpu_ms(make(30.0), embedded[n]):.2f}" for n in OBJECT_COUNTS]
            print(f"| {name} + 512-d embeddings | " + " | ".join(cells) + " |", flush=True)


def scene(count: int, frames: int, *, seed: int = 0) -> Iterator[Detections]:
    """Yield the detections of `count` walkers on a 1920 × 1080 picture: they turn back at its edges, 5 % are missed.

    `extra` holds each detection's walker.
    """
    rng = np.random.default_rng(seed)
    size = np.stack([rng.uniform(40, 80, count), rng.uniform(100, 200, count)], axis=1)
    room = np.array([1920.0, 1080.0]) - size
    place, speed = rng.uniform(0, 1, (count, 2)) * room, rng.normal(0, 4, (count, 2))
    for _ in range(frames):
        place += speed
        speed = np.where((place < 0) | (place > room), -speed, speed)
        place = np.clip(place, 0, room)
        corner = place + rng.normal(0, 1.5, place.shape)
        boxes = np.concatenate([corner, corner + size * np.exp(rng.normal(0, 0.02, size.shape))], axis=1)
        seen = rng.permutation(np.flatnonzero(rng.random(count) > 0.05))
        score = np.clip(rng.normal(0.75, 0.15, count), 0.1, 0.99)
        yield Detections(boxes[seen], score=score[seen], class_id=np.zeros(len(seen)), extra=seen)


def with_embeddings(rows: Detections) -> Detections:
    """Return the rows with a noisy unit vector that is each walker's own."""
    walkers = rows.extra.astype(np.int64)
    own = np.random.default_rng(1).normal(size=(walkers.max(initial=0) + 1, 512))
    noisy = own[walkers] + np.random.default_rng(2).normal(0, 0.3, (len(rows), 512))
    return rows.replace(embedding=noisy / np.linalg.norm(noisy, axis=1, keepdims=True), fresh=np.ones(len(rows)))


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
