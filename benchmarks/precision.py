"""Effect of a detector's number format on identities: paired differences of scores to fp32.

    python benchmarks/precision.py --shared ../shared --runs 24

yolov8n at 960 on vtest.avi (PETS09-S2L1) in OpenVINO: fp32, bf16, and bf16 with the detection head in fp32. Each run
removes a random 5 % of the boxes, in all formats those of the same objects: otherwise the difference of two runs would
be that of what was removed. The boxes are tracked with scheduled OSNet embeddings and with motion alone.

Printed are the mean score in fp32, and per format the mean difference with its standard error, and the time of the
detector relative to fp32. A control, fp32 with random noise of about bf16's size, another one in each run, shows how
much of a difference is chance: a track that is lost or kept by a hair.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from race import judge, linked, racers, scene_of, track
from recordings import Recording, embedded_boxes, load

from mot_dinov3.apps.benchmark.baselines import TrackerStep
from mot_dinov3.apps.evaluation import Scores
from mot_dinov3.core import boxes
from mot_dinov3.core.structures import Detections, ModelInfo
from mot_dinov3.detectors.base import Detector, DetectorConfig
from mot_dinov3.detectors.fast_yolo import FastYolo, YoloConversion
from mot_dinov3.detectors.heads import OpenVinoHead
from mot_dinov3.models.conversion import CUT, Samples
from mot_dinov3.models.openvino import MIXED, open_network
from mot_dinov3.trackers.base import TrackerRequest
from mot_dinov3.video import SourceConfig, open_source

PRECISIONS = ("fp32", "bf16", MIXED)
CONTROL = "fp32 with noise"
NOISE = 0.0015, 0.003  # standard deviations: of a side's place, in box sizes, and of a score
DROP = 0.05
CONF = 0.1
COLUMNS = ("HOTA", "IDF1", "HOTA with coasted boxes", "IDF1 with coasted boxes", "HOTA linked", "IDF1 linked")


def main() -> None:
    """Detect, track and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="folder of videos and weights")
    parser.add_argument("--runs", type=int, default=24, help="runs with different random seeds (default: 24)")
    args = parser.parse_args()
    recordings, seconds = detect(args.shared)
    for precision in PRECISIONS[1:]:
        print(f"{precision}: {seconds[precision] / seconds['fp32']:.2f} of fp32's CPU time")
    makers = racers(["ours"], embedded=True)
    for name in ("ours", "ours, motion only"):
        scores = {
            precision: np.array(
                [table(makers[name], dropped(recordings, precision, seed)) for seed in range(args.runs)]
            )
            for precision in (*PRECISIONS, CONTROL)
        }
        print(f"\n{name}\n\n| | {' | '.join(COLUMNS)} |\n{'| --- ' * (len(COLUMNS) + 1)}|")
        print(row("fp32", [f"{value:.2f}" for value in scores["fp32"].mean(0)]))
        for precision in (*PRECISIONS[1:], CONTROL):
            apart = scores[precision] - scores["fp32"]
            error = apart.std(0, ddof=1) / np.sqrt(len(apart))
            print(row(precision, [f"{mean:+.2f} ± {se:.2f}" for mean, se in zip(apart.mean(0), error)]))


def row(name: str, cells: Sequence[str]) -> str:
    """Return a row of a Markdown table."""
    return f"| {name} | {' | '.join(cells)} |"


def detect(shared: Path) -> tuple[dict[str, Recording], dict[str, float]]:
    """Return the recording as each format sees it, with embeddings, and the median seconds of its detector."""
    weights, folder = shared / "models/yolov8n.pt", shared / "data/tracking"
    video = folder / "vtest.avi"
    wanted = argparse.Namespace(data=[folder], sequences=["PETS09-S2L1"], det_name="yolov8n_960.txt")
    recording = next(load(wanted))
    detectors = build(weights)
    frames: dict[str, list[Detections]] = {precision: [] for precision in PRECISIONS}
    spent: dict[str, list[float]] = {precision: [] for precision in PRECISIONS}
    with open_source(SourceConfig(source=str(video))) as source:
        for frame in source:
            for precision, detector in detectors.items():
                start = time.process_time()
                frames[precision].append(detector.detect(frame))
                spent[precision].append(time.process_time() - start)
    recordings = {}
    for precision, found in frames.items():
        own = dataclasses.replace(recording, frames=found)
        recordings[precision] = embedded_boxes(own, video, shared / "models/osnet_x0_25_msmt17.pt")
    return recordings, {precision: statistics.median(values) for precision, values in spent.items()}


def build(weights: Path) -> dict[str, Detector]:
    """Return the detector in each format, whatever its check would say."""
    config = DetectorConfig(conf=CONF, imgsz=960, classes="0")
    made = YoloConversion(weights, config.side, Samples(), trust=False).convert()
    info = ModelInfo("ultralytics", str(weights), "cpu", "", runtime="openvino")
    networks = {p: open_network(made.model, p, cut=made.facts[CUT]) for p in PRECISIONS}
    return {p: FastYolo(OpenVinoHead(network), made.facts, config, info=info) for p, network in networks.items()}


def dropped(recordings: dict[str, Recording], precision: str, seed: int) -> Recording:
    """Return a recording without a random share of its boxes: those of the objects that fp32 loses, too."""
    recording, frames = recordings["fp32" if precision == CONTROL else precision], []
    for index, (rows, original) in enumerate(zip(recording.frames, recordings["fp32"].frames)):
        drawn = np.random.default_rng((seed, index)).random(len(original))
        own = np.random.default_rng((seed, index, 1)).random(len(rows))
        if len(rows) and len(original):
            overlap = boxes.iou(rows.xyxy, original.xyxy)
            nearest = overlap.argmax(axis=1)
            own = np.where(overlap.max(axis=1) > 0.5, drawn[nearest], own)
        kept = rows[own >= DROP]
        frames.append(noisy(kept, np.random.default_rng((seed, index, 2))) if precision == CONTROL else kept)
    return dataclasses.replace(recording, frames=frames)


def noisy(rows: Detections, rng: np.random.Generator) -> Detections:
    """Return the boxes with `NOISE`."""
    size = np.tile(rows.xyxy[:, 2:] - rows.xyxy[:, :2], 2)
    xyxy = (rows.xyxy + NOISE[0] * size * rng.standard_normal(size.shape)).astype(np.float32)
    score = np.clip(rows.score + NOISE[1] * rng.standard_normal(len(rows)), 0, 1).astype(np.float32)
    moved = rows.replace(xyxy=xyxy, score=score)
    return moved[moved.score >= CONF]


def table(make: Callable[[TrackerRequest], TrackerStep], recording: Recording) -> list[float]:
    """Return the scores of one run, in the order of `COLUMNS`."""
    result = track(make(scene_of(recording)), recording)
    owned = [rows[rows.track_id >= 1] for rows in result.rows]
    seen = [rows[~rows.coasted] for rows in owned]
    scores: list[Scores] = [judge([recording], [rows]) for rows in (seen, owned, linked(recording, seen))]
    return [value for score in scores for value in (score.hota, score.idf1)]


if __name__ == "__main__":
    main()
