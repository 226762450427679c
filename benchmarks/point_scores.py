"""How far the scores of keypoints can be trusted, and the fit of their logistic model, as Markdown tables.

python benchmarks/point_scores.py --data ../shared/data/keypoints
python benchmarks/point_scores.py --data ../shared/data/keypoints --weights ../shared/models/yolov8n.pt
python benchmarks/point_scores.py --data ../shared/data/keypoints --videos horsejump cows --moved 12

Points are tracked from several labelled frames in turn, to both ends of the video, and compared with the ground truth.
With --moved N: from the given frame alone, N times, its labels moved at random by a normal deviation of half a pixel.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keypoints import RANGE, Places, command, prepare, read_regions
from mot_dinov3.apps.benchmark.keypoint_scores import TITLES, WRONG_PX, PointFigures, ScoredPoint, area_under_curve
from mot_dinov3.core.structures import PointState
from mot_dinov3.keypoints.config import MethodParts
from mot_dinov3.keypoints.instance import InstanceTracker
from mot_dinov3.keypoints.job.wiring import build_keypoints
from mot_dinov3.keypoints.point_flow import FlowFrame
from mot_dinov3.keypoints.point_score import right_radius
from mot_dinov3.keypoints.tracker import PointTracker
from mot_dinov3.video import SourceConfig, open_source

SEEDS = {"horsejump": (None, 18, 36), "cows": (None, 31, 67), "two_flies": (None, 1075)}
RIDGE = 1.0
MOVED_PX, MOST_POINTS = 0.5, 100
PARTS = ("lead", "deviation", "drift")  # the numbers that the score is linear in


@dataclasses.dataclass(frozen=True)
class Scored(ScoredPoint):
    """A tracked point beside its ground truth; a lost one has the error of the place where it was last assumed.

    Attributes:
        video: Its name.
        table: The three numbers that the score is linear in.
    """

    video: str
    table: tuple[float, ...]

    @property
    def placed(self) -> ScoredPoint:
        """The point as the table has it: a lost one without a place."""
        return dataclasses.replace(self, error=math.inf) if self.state == PointState.LOST else self


def track_from(
    name: str, seed: int | None, args: argparse.Namespace, truth: Places, *, variant: int = 0
) -> list[Scored]:
    """Return the points of all frames with ground truth, tracked from one labelled frame; 0 leaves its labels."""
    with tempfile.TemporaryDirectory() as folder:
        video = prepare(args.data, name, Path(folder) / "work", () if seed is None else (seed,), truth)
        if seed is not None:
            for path in video.with_suffix("").glob("*.json"):
                if not path.stem.endswith(f"_{seed:09d}"):
                    path.unlink()
        job = build_keypoints(command(video, name, args, masks="auto"))
        first, instances = min(job.pipeline.labels.frames.items())
        moved = np.random.default_rng(variant).normal(0, MOVED_PX if variant else 0, (len(instances), MOST_POINTS, 2))
        instances = [dataclasses.replace(i, xy=i.xy + m[: len(i.xy)]) for i, m in zip(instances, moved)]
        parts = MethodParts(colours=not args.without_colours)
        start, stop = RANGE[name]
        with open_source(SourceConfig(source=str(video), start_frame=start, end_frame=stop)) as source:
            frames = [FlowFrame.of(frame.index, frame.pixels()) for frame in source]
        at = first - start
        found: list[Scored] = []
        for way in (frames[at + 1 :], frames[:at][::-1]):
            trackers = [
                InstanceTracker(job.pipeline.passes.config, job.backend, frames[at], one, parts) for one in instances
            ]
            tracker = PointTracker(trackers, frames[at], key_every=job.backend.key_every)
            for frame in way:
                estimates = tracker.step(frame)
                for one, estimate in zip(trackers, estimates):
                    radius = right_radius(one.instance)
                    table = one.scorer.evidence.table(radius)
                    for row, keypoint in enumerate(one.instance.keypoints):
                        place = truth.get((frame.index, one.instance.name, keypoint))
                        if place is not None:
                            error = math.dist(place, estimate.xy[row])
                            numbers = tuple(map(float, table[row]))
                            score, state = float(estimate.score[row]), int(estimate.state[row])
                            found.append(Scored(error, error <= radius, score, state, name, numbers))
        return found


def fit(rows: Sequence[Scored]) -> np.ndarray:
    """Return bias and weights of the logistic model, each video counting alike; small weights are preferred."""
    from scipy.optimize import minimize

    table = np.column_stack([np.ones(len(rows)), [row.table for row in rows]])
    sign = np.where([row.right for row in rows], 1.0, -1.0)
    count = {name: sum(row.video == name for row in rows) for name in {row.video for row in rows}}
    weight = np.array([len(rows) / len(count) / count[row.video] for row in rows])

    def cost(w: np.ndarray) -> float:
        return float((weight * np.logaddexp(0, -sign * (table @ w))).sum() + RIDGE * (w[1:] ** 2).sum())

    return np.asarray(minimize(cost, np.zeros(table.shape[1])).x)


def cells(rows: Sequence[Scored]) -> str:
    """Return the figures of some points as the cells of a table."""
    return " | ".join(PointFigures.of([row.placed for row in rows]).cells())


def print_parts(rows: Sequence[Scored]) -> None:
    """Print for each video the AUC without each number of the score, and what a threshold of its own would reach.

    The models are fitted on the other videos.
    """
    print(f"\n| video | all | no {' | no '.join(PARTS)} | threshold for 25 % wrong | right called visible there |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name in sorted({row.video for row in rows}):
        rest = [row for row in rows if row.video == name]
        good = np.array([row.error <= WRONG_PX for row in rest])
        others = [row for row in rows if row.video != name]
        if good.all() or len({row.right for row in others}) < 2:
            continue
        cells = []
        for off in (None, *range(len(PARTS))):
            kept = np.array([part != off for part in range(len(PARTS))], float)
            w = fit([dataclasses.replace(row, table=tuple(kept * row.table)) for row in others])
            cells.append(f"{area_under_curve([float(w[1:] @ (kept * row.table)) for row in rest], good):.2f}")
        scores = np.array([row.score for row in rest])
        threshold = float(np.quantile(scores[~good], 0.75))
        print(f"| {name} | {' | '.join(cells)} | {threshold:.2f} | {(scores[good] > threshold).mean():.0%} |")


def print_fits(rows: Sequence[Scored]) -> None:
    """Print the reliability of the scores, and the model fitted with and without each video."""
    print("\n| score | points | right |\n| --- | --- | --- |")
    edges = np.linspace(0, 1, 6)
    place = np.clip(np.digitize([row.score for row in rows], edges) - 1, 0, 4)
    for low, high, number in zip(edges[:-1], edges[1:], range(5)):
        here = [row.right for row, at in zip(rows, place) if at == number]
        if here:
            print(f"| {low:.1f} to {high:.1f} | {len(here)} | {np.mean(here):.2f} |")
    heads = "fitted on | bias | lead | deviation | drift | AUC on the one left out"
    print(f"\n| {heads} |\n| {' | '.join(['---'] * 6)} |")
    names = sorted({row.video for row in rows})
    for left_out in ("", *names):
        others = [row for row in rows if row.video != left_out]
        if len({row.right for row in others}) < 2:
            continue
        w = fit(others)
        rest = [row for row in rows if row.video == left_out]
        auc = area_under_curve([float(w[1:] @ row.table) for row in rest], [row.error <= WRONG_PX for row in rest])
        cells = [f"all but {left_out}" if left_out else "all", *(f"{x:.2f}" for x in w), f"{auc:.2f}" if rest else "–"]
        print(f"| {' | '.join(cells)} |")


def print_moved(name: str, args: argparse.Namespace, truth: Places) -> None:
    """Print the figures of all variants of the given frame together, and how PCK@16 differs between them."""
    rows = [track_from(name, None, args, truth, variant=number) for number in range(args.moved)]
    shares = [np.mean([row.error <= WRONG_PX for row in one]) for one in rows]
    print(
        f"| {name}, PCK@16 of one: ± {np.std(shares):.3f} | {cells([row for one in rows for row in one])} |", flush=True
    )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with horsejump/, cows/ and two_flies/")
    parser.add_argument("--weights", help="weights of the convnet backend; without them: gradient")
    parser.add_argument("--backend", help="another backend")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--videos", nargs="+", default=list(SEEDS))
    parser.add_argument("--moved", type=int, default=0, metavar="N", help="the given frame, its labels moved N times")
    parser.add_argument("--without-colours", action="store_true")
    args = parser.parse_args()
    print(f"| video | {' | '.join(TITLES)} |\n| {' | '.join(['---'] * (1 + len(TITLES)))} |")
    everything: list[Scored] = []
    for name in args.videos:
        truth = read_regions(args.data / name / "truth.csv")
        rows: list[Scored] = []
        if args.moved:
            print_moved(name, args, truth)
            continue
        for seed in SEEDS[name]:
            one = track_from(name, seed, args, truth)
            print(f"| {name}, {'given frame' if seed is None else seed} | {cells(one)} |", flush=True)
            rows += one
        print(f"| {name}, all | {cells(rows)} |", flush=True)
        everything += rows
    if args.moved:
        return
    print_fits(everything)
    print_parts(everything)


if __name__ == "__main__":
    main()
