"""Accuracy of the GPU code path, measured on the CPU: crops, number formats, and the time of cropping.

    python benchmarks/closeness.py --shared ../shared

- crops: the lowest cosine between embeddings of a crop by OpenCV and by `features.device_crops`, and the CPU time of
  the latter as a multiple of OpenCV's; PETS, osnet_x0_25 and DINOv3 ViT-S (random weights), fp32
- half precision: the first of bf16 and fp16 in which the network passes its check
- boxes: the distance of yolov8n's confident boxes from those of Ultralytics' own predictor in fp32
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from acceleration import random_vit_s

from mot_dinov3.core.structures import Frame
from mot_dinov3.core.structures.arrays import unit_rows
from mot_dinov3.detectors.agreement import LEVELS
from mot_dinov3.detectors.base import DetectorConfig
from mot_dinov3.detectors.fast_yolo import FastYolo, YoloConversion, to_half
from mot_dinov3.detectors.yolo import YoloDetector
from mot_dinov3.features.base import CropEmbedder, crop_windows, cut
from mot_dinov3.features.device_crops import DeviceExtractor
from mot_dinov3.features.factory import EmbedderConfig, build_embedder
from mot_dinov3.features.loading import sample_crops
from mot_dinov3.features.network import NetworkExtractor, TorchRuntime, lowest_safe_precision
from mot_dinov3.models.conversion import Samples
from mot_dinov3.models.devices import DeviceConfig, upload
from mot_dinov3.video import SourceConfig, open_source

IMGSZ = 960
ROUNDS = 5


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="folder of videos and weights")
    parser.add_argument("--frames", type=int, default=5, help="of each video")
    parser.add_argument("--step", type=int, default=20, help="from one of them to the next")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        random_vit_s(Path(folder))
        for name, model in (("osnet", args.shared / "models/osnet_x0_25_msmt17.pt"), ("dino", Path(folder))):
            crops(name, model, args)
    boxes(args)


def pictures(video: Path, args: argparse.Namespace) -> Iterator[Frame]:
    """Yield the frames to look at."""
    with open_source(SourceConfig(source=str(video))) as frames:
        yield from itertools.islice(frames, 0, args.frames * args.step, args.step)


def crops(name: str, model: Path, args: argparse.Namespace) -> None:
    """Compare embeddings of crops, and what it takes to cut them."""
    config = EmbedderConfig(embedder=name, embed_model=str(model), crop_size="224x224" if name == "dino" else None)
    device = DeviceConfig("cpu", precision="fp32", accel="torch")
    embedder = build_embedder(config, device=device)
    assert isinstance(embedder, CropEmbedder)
    here = embedder.extractor
    assert isinstance(here, NetworkExtractor)
    assert isinstance(here.runtime, TorchRuntime)
    there = DeviceExtractor(name, here.preprocessing, here.runtime, batch=32)
    data = args.shared / "data/tracking"
    found = np.loadtxt(data / "PETS09-S2L1/det/yolov8n_960.txt", delimiter=",")
    cosines, spent = [], {"opencv": 0.0, "torch": 0.0}
    for frame in pictures(data / "vtest.avi", args):
        image, rows = frame.pixels(), found[found[:, 0] == frame.index + 1, 2:6]
        xyxy = np.concatenate([rows[:, :2], rows[:, :2] + rows[:, 2:]], axis=1)
        windows = crop_windows(xyxy, *image.shape[1::-1], pad=config.crop_pad, square=name == "dino")
        opencv = unit_rows(here.extract(cut(image, windows)))
        cosines += np.einsum("nd,nd->n", opencv, unit_rows(there.prepare(image)(windows))).tolist()
        for _ in range(ROUNDS):
            start = time.process_time()
            here.preprocessing.batch(cut(image, windows))
            between = time.process_time()
            with torch.inference_mode():
                there.crops(upload(image, there.runtime.device), windows)
            spent["opencv"] += between - start
            spent["torch"] += time.process_time() - between
    _, precision = lowest_safe_precision(here.runtime, ("bf16", "fp16"), here.preprocessing.batch(sample_crops()))
    print(
        f"{name}: cosine {min(cosines):.5f} at worst of {len(cosines)} crops, which take "
        f"{spent['torch'] / spent['opencv']:.1f} times as long as with OpenCV; runs in {precision}"
    )


def in_torch(spec: YoloConversion, config: DetectorConfig, precision: str) -> FastYolo:
    """Return the detector in a number format of torch."""
    return to_half(spec, config, device="cpu", precision=precision, obeyed=True)[0]


def boxes(args: argparse.Namespace) -> None:
    """Compare boxes."""
    weights, config = args.shared / "models/yolov8n.pt", DetectorConfig(conf=LEVELS[1], imgsz=IMGSZ)
    spec = YoloConversion(weights, IMGSZ, Samples(), trust=False)
    original = YoloDetector(weights, config, device="cpu")
    others = {p: in_torch(spec, config, p) for p in ("fp32", "fp16", "bf16")}
    apart: dict[str, list[float]] = {precision: [] for precision in others}
    for video in ("videos/people_1080p.mp4", "tracking/vtest.avi"):
        for frame in pictures(args.shared / "data" / video, args):
            sure = original.detect(frame)
            sure = sure[sure.score >= LEVELS[0]]
            for precision, detector in others.items():
                found = detector.detect(frame)
                sides = np.abs(sure.xyxy[:, None] - found.xyxy[None]).max(axis=2)
                apart[precision] += sides.min(axis=1, initial=np.inf).tolist()
    for precision, pixels in apart.items():
        within = sum(distance <= 1 for distance in pixels)
        print(
            f"yolov8n in {precision}: {within} of {len(pixels)} boxes within 1 px, median {np.median(pixels):.2f}, "
            f"worst {max(pixels):.2f}"
        )


if __name__ == "__main__":
    main()
