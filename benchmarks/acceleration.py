"""Speed-up of the fast path on this CPU: paired ratios of CPU time, robust on a machine that is not idle.

    python benchmarks/acceleration.py --shared ../shared

- detector: ``detect`` (letterbox, network, boxes) relative to the inference of the whole exported network in OpenVINO
  in the same precision, yolov8n at 960 on vtest.avi
- osnet_x0_25 at batch 8: an embedding in OpenVINO relative to torch in fp32, both the published network (separate batch
  normalisation, channels first, forward pass only) and the program's own torch path, and relative to the same
  FLOPs at torch's fp32 matrix rate
- DINOv3 ViT-S (random weights, 224) at batch 8: relative to the same FLOPs at torch's bf16 matrix rate
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from mot_dinov3.detectors.base import DetectorConfig, build_detector
from mot_dinov3.detectors.yolo import load_network
from mot_dinov3.features.base import Embedder
from mot_dinov3.features.factory import EmbedderConfig, build_embedder
from mot_dinov3.models import devices, openvino
from mot_dinov3.models.devices import DeviceConfig
from mot_dinov3.pipeline.inputs import sample_source
from mot_dinov3.video import SourceConfig, open_source

ROUNDS = 15
OSNET_MACS = 82.3e6
"""Multiplications of osnet_x0_25 for one crop of 256 × 128: counted over its convolutions and linear layers."""
VIT_S = {"hidden_size": 384, "intermediate_size": 1536, "num_hidden_layers": 12, "num_attention_heads": 6}


def paired(jobs: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """Return the median ms of processor time of each job; the jobs take turns."""
    spent: dict[str, list[float]] = {name: [] for name in jobs}
    for round_ in range(-2, ROUNDS):
        for name, job in jobs.items():
            job()  # threads of the job before, of another library, still spin for a moment, and the caches are its
            start = time.process_time()
            job()
            if round_ >= 0:
                spent[name].append(1e3 * (time.process_time() - start))
    return {name: statistics.median(values) for name, values in spent.items()}


def detector(shared: Path) -> None:
    """Compare the detector with the bare network."""
    import torch

    weights = shared / "models/yolov8n.pt"
    source = SourceConfig(source=str(shared / "data/tracking/vtest.avi"))
    with open_source(source) as frames:
        samples, frame = sample_source(source, frames.info), next(iter(frames))
    config = DetectorConfig(det=str(weights), imgsz=960)
    built = build_detector(config, device=DeviceConfig("cpu", accel="openvino"), samples=samples)
    original = build_detector(config, device=DeviceConfig("cpu", precision="fp32", accel="torch"))
    network, _ = load_network(weights, trust=False)
    network.model[-1].export = True
    picture = torch.zeros(1, 3, 736, 960)
    with torch.no_grad():
        network(picture)
        traced = torch.jit.trace(network, picture, check_trace=False)
    model = openvino.openvino_module().convert_model(traced, example_input=picture, input=[1, 3, 736, 960])
    bare = (
        openvino.core()
        .compile_model(model, "CPU", openvino.compile_options(built.info.precision))
        .create_infer_request()
    )
    pixels = np.random.default_rng(0).random((1, 3, 736, 960), np.float32)
    ms = paired(
        {
            "bare": lambda: bare.infer({0: pixels}),
            "ours": lambda: built.detect(frame),
            "torch": lambda: original.detect(frame),
        }
    )
    print(
        f"detector in {built.info.precision}: {ms['ours']:.1f} ms, {ms['ours'] / ms['bare']:.2f} of the bare network's"
    )
    print(f"  torch fp32 takes {ms['torch'] / ms['ours']:.1f} times as long")


def crops() -> list[np.ndarray]:
    """Return eight crops of different sizes."""
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (90 + 9 * i, 40 + 4 * i, 3), dtype=np.uint8) for i in range(8)]


def embedders(model: Path, name: str, size: str | None = None) -> tuple[Embedder, Embedder]:
    """Return an embedder on the fast path, and as torch runs it in fp32."""
    config = EmbedderConfig(embedder=name, embed_model=str(model), crop_size=size)
    fast = build_embedder(config, device=DeviceConfig("cpu", accel="openvino"))
    return fast, build_embedder(config, device=DeviceConfig("cpu", precision="fp32", accel="torch"))


def osnet(shared: Path) -> None:
    """Compare OSNet with torch."""
    import torch

    from mot_dinov3.features.osnet_network import OSNet

    torch.set_num_threads(devices.usable_cpus())  # as many as OpenVINO takes; Ultralytics leaves it one less
    fast, torch_fp32 = embedders(shared / "models/osnet_x0_25_msmt17.pt", "osnet")
    published = OSNet((16, 64, 96, 128), 512).eval()
    batch, eight, square = torch.randn(8, 3, 256, 128), crops(), torch.randn(1024, 1024)
    with torch.inference_mode():
        ms = paired(
            {
                "fast": lambda: fast.embed_images(eight),
                "torch": lambda: torch_fp32.embed_images(eight),
                "published": lambda: published(batch),
                "product": lambda: square @ square,
            }
        )
    floor = ms["product"] * OSNET_MACS / 1024**3
    print(f"osnet_x0_25 in {fast.info.precision}: {ms['fast'] / 8:.2f} ms per crop")
    print(f"  torch fp32 takes {ms['published'] / ms['fast']:.1f} times as long as published (forward pass alone)")
    print(f"  and {ms['torch'] / ms['fast']:.1f} times as long as this program runs it")
    print(f"  it takes {ms['fast'] / 8 / floor:.2f} of what the FLOPs take as fp32 products")


def random_vit_s(folder: Path) -> None:
    """Write a DINOv3 ViT-S with random weights into a folder."""
    import torch
    import transformers

    torch.manual_seed(0)
    config = transformers.DINOv3ViTConfig(**VIT_S, num_register_tokens=4, image_size=224, patch_size=16)
    transformers.DINOv3ViTModel(config).save_pretrained(folder)


def dino() -> None:
    """Compare DINOv3 ViT-S with the rate of torch's bf16 matrix product."""
    import torch

    with tempfile.TemporaryDirectory() as folder:
        random_vit_s(Path(folder))
        fast, _ = embedders(Path(folder), "dino", "224x224")
    tokens, width, layers = 8 * (1 + 4 + 196), 384, 12
    # Per layer: query, key, value and output 4·d², the two of the feed-forward 8·d², attention 2·n·d a token; ×2 FLOPs.
    flops = 2 * layers * tokens * (12 * width**2 + 2 * (tokens // 8) * width) + 2 * 8 * 196 * 768 * width
    left = torch.randn(tokens, 4 * width).bfloat16()
    right = torch.randn(4 * width, width).bfloat16()
    eight = crops()
    ms = paired({"fast": lambda: fast.embed_images(eight), "product": lambda: [left @ right for _ in range(20)]})
    ideal = ms["product"] / 20 * flops / (2 * tokens * 4 * width * width)
    print(
        f"DINOv3 ViT-S in {fast.info.precision}: {ms['fast'] / 8:.1f} ms per crop, "
        f"{ms['fast'] / ideal:.2f} of what the FLOPs take as bf16 products"
    )


def main() -> None:
    """Print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="folder of videos and weights")
    shared = parser.parse_args().shared
    detector(shared)
    osnet(shared)
    dino()


if __name__ == "__main__":
    main()
