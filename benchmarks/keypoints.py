"""Ablation of keypoint tracking, as a Markdown table.

python benchmarks/keypoints.py --data ../shared/data/keypoints --weights ../shared/models/yolov8n.pt

With --seeds: all components, one-sided, from several labelled frames, with an outline only for the given one.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from mot_dinov3.formats.keypoints_csv import read_truth
from mot_dinov3.keypoints.config import KeypointConfig, MethodParts
from mot_dinov3.keypoints.descriptor_maps import find_peaks, similarity_maps
from mot_dinov3.keypoints.job.config import BackendConfig, KeypointJobConfig, KeypointsOptions
from mot_dinov3.keypoints.job.wiring import KeypointRun, build_keypoints
from mot_dinov3.keypoints.point_flow import FlowFrame, lucas_kanade
from mot_dinov3.models.devices import DeviceConfig
from mot_dinov3.video import SourceConfig, open_source

Places = dict[tuple[int, str, str], tuple[float, float]]
GIVEN = {
    "horsejump": (18, 47),
    "cows": (26, 48, 72, 94),
    "two_flies": (1100, 1200),
}  # every fourth labelled frame of horsejump, from 0 on
SEEDS = {"horsejump": (2, 7, 8, 18, 26, 36, 39, 47, 49), "cows": (31, 67), "two_flies": (1075, 1150, 1225, 1299)}
RANGE = {"horsejump": (0, None), "cows": (0, None), "two_flies": (1000, 1300)}
STAGES = (
    "NN",
    "LK",
    "LK+FB",
    "+anchors",
    "+descriptors",
    "+masks",
    "+colours",
    "+structure",
    "+two-sided (more labels)",
)


def read_regions(path: Path) -> Places:
    """Return (frame, instance, keypoint) → place of a CSV; lost points are left out."""
    return {(frame, instance, name): (x, y) for frame, instance, name, x, y in read_truth(path)}


def score(truth: Places, result: Places, skip: tuple[int, ...]) -> list[float]:
    """Return median error and PCK at 8, 16, 32 px; misses count as wrong."""
    wanted = {k: v for k, v in truth.items() if k[0] not in skip}
    errors = [math.dist(v, result[k]) for k, v in wanted.items() if k in result]
    shares = [sum(e <= r for e in errors) / len(wanted) for r in (8, 16, 32)]
    return [statistics.median(errors) if errors else math.inf, *shares]


def cells(figures: list[float]) -> str:
    """Return median and shares as cells of a table."""
    return " | ".join([f"{figures[0]:.2f}", *(f"{share:.3f}" for share in figures[1:])])


def prepare(data: Path, name: str, folder: Path, given: tuple[int, ...], truth: Places) -> Path:
    """Copy a video with its seed into `folder`, and write the given frames' truth as a person's labels."""
    shutil.copytree(data / name, folder, dirs_exist_ok=True, copy_function=shutil.copyfile)
    labels = folder / name
    labels.chmod(0o755)
    for frame in given:
        shapes = [
            {"label": k, "points": [list(xy)], "shape_type": "point", "flags": {}, "instance_label": i}
            for (f, i, k), xy in truth.items()
            if f == frame
        ]
        (labels / f"{name}_{frame:09d}.json").write_text(json.dumps({"shapes": shapes}))
    return folder / f"{name}.mp4"


def command(video: Path, name: str, args: argparse.Namespace, *, masks: str) -> KeypointsOptions:
    """Return the job for one video."""
    start, stop = RANGE[name]
    backend = args.backend or ("convnet" if args.weights else "gradient")
    job = KeypointJobConfig(source=str(video), start_frame=start, end_frame=stop)
    return KeypointsOptions(
        job,
        BackendConfig(backend=backend, weights=args.weights),
        DeviceConfig(device=args.device),
        KeypointConfig(masks=masks),
    )


def run_stage(stage: str, name: str, args: argparse.Namespace, truth: Places) -> str:
    """Run one row of the table and return its cells."""
    given = GIVEN[name] if stage.startswith("+two-sided") else ()
    with tempfile.TemporaryDirectory() as folder:
        video = prepare(args.data, name, Path(folder) / "work", given, truth)
        level = STAGES.index(stage)
        job = build_keypoints(command(video, name, args, masks="auto" if level >= STAGES.index("+masks") else "none"))
        start = time.perf_counter()
        if stage in ("NN", "LK"):
            result = plain(job, stage)
        else:
            passes = job.pipeline.passes
            if level < STAGES.index("+descriptors"):
                passes.backend = None
            passes.parts = MethodParts(
                alignment=level >= STAGES.index("+anchors"),
                colours=level >= STAGES.index("+colours"),
                skeleton=level >= STAGES.index("+structure"),
            )
            job.run()
            result = read_regions(job.paths.table)
        seconds = time.perf_counter() - start
    frames = len({k[0] for k in result})
    return f"{cells(score(truth, result, given))} | {frames / seconds:.1f}"


def run_seeds(name: str, args: argparse.Namespace, truth: Places) -> None:
    """Print a row for the given seed and each of `SEEDS`, and their mean."""
    rows = []
    for seed in (None, *SEEDS[name]):
        with tempfile.TemporaryDirectory() as folder:
            given = () if seed is None else (seed,)
            video = prepare(args.data, name, Path(folder) / "work", given, truth)
            if seed is not None:  # its own points alone, in place of the given frame's
                for path in video.with_suffix("").glob("*.json"):
                    if not path.stem.endswith(f"_{seed:09d}"):
                        path.unlink()
            job = build_keypoints(command(video, name, args, masks="auto"))
            job.run()
            followed = {k[1:] for k in truth if seed is None or k[0] == seed}
            wanted = {k: v for k, v in truth.items() if k[1:] in followed}
            rows.append(score(wanted, read_regions(job.paths.table), given))
            print(f"| {'given' if seed is None else seed} | {cells(rows[-1])} |", flush=True)
    print(f"| mean | {cells([statistics.mean(column) for column in zip(*rows)])} |", flush=True)


def plain(run: KeypointRun, stage: str) -> Places:
    """Follow by nearest neighbour over the whole picture, or by Lucas-Kanade without any check."""
    first, bodies = min(run.pipeline.labels.frames.items())
    keys = [(b.name, k) for b in bodies for k in b.keypoints]
    xy = np.vstack([b.xy for b in bodies])
    backend = run.backend
    result: Places = {}
    before = templates = None
    config = SourceConfig(source=run.job.source or "", start_frame=first, end_frame=run.job.end_frame)
    with open_source(config) as frames:
        for frame in frames:
            picture = FlowFrame.of(frame.index, frame.pixels())
            if stage == "NN":
                height, width = (s // 32 * 32 for s in picture.grey.shape)
                dense = backend.describe(np.ascontiguousarray(picture.image[:height, :width]))
                if templates is None:
                    templates = dense.at(xy)
                else:
                    xy = find_peaks(similarity_maps(dense, templates), dense.patch).xy
            elif before is not None:
                xy = lucas_kanade(before.grey, picture.grey, xy, window=21).xy
            before = picture
            result |= {(frame.index, *key): (float(x), float(y)) for key, (x, y) in zip(keys, xy)}
    return result


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with horsejump/, cows/ and two_flies/")
    parser.add_argument("--weights", help="weights of the convnet backend; without them: gradient")
    parser.add_argument("--backend", help="another backend")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--videos", nargs="+", default=list(RANGE))
    parser.add_argument("--stages", nargs="+", default=list(STAGES), choices=STAGES)
    parser.add_argument("--seeds", action="store_true", help="from several labelled frames in turn")
    args = parser.parse_args()
    for name in args.videos:
        truth = read_regions(args.data / name / "truth.csv")
        if args.seeds:
            print(f"\n| {name}, labelled frame | median px | PCK@8 | @16 | @32 |\n| --- | --- | --- | --- | --- |")
            run_seeds(name, args, truth)
            continue
        print(f"\n| {name} | median px | PCK@8 | @16 | @32 | fps |\n| --- | --- | --- | --- | --- | --- |")
        for stage in args.stages:
            print(f"| {stage} | {run_stage(stage, name, args, truth)} |", flush=True)


if __name__ == "__main__":
    main()
