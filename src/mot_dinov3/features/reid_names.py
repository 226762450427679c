"""Names of re-identification networks and of their weights; nothing heavy is imported for them."""

from __future__ import annotations

from pathlib import Path

from mot_dinov3.core.errors import ModelError

WIDTHS = {
    (64, 256, 384, 512): "x1_0",
    (48, 192, 288, 384): "x0_75",
    (32, 128, 192, 256): "x0_5",
    (16, 64, 96, 128): "x0_25",
}
"""Channels of an OSNet's stem and stages, and what its authors call them."""

RESNETS: dict[tuple[int | bool, ...], str] = {
    (2, 2, 2, 2, 1, 64, False): "resnet18",
    (3, 4, 6, 3, 1, 64, False): "resnet34",
    (3, 4, 6, 3, 1, 64, True): "resnet50",
    (3, 4, 23, 3, 1, 64, True): "resnet101",
    (3, 8, 36, 3, 1, 64, True): "resnet152",
    (3, 4, 6, 3, 32, 4, True): "resnext50_32x4d",
    (3, 4, 6, 3, 1, 128, True): "wide_resnet50_2",
}
"""Blocks of the four stages, groups, width of a group, and whether the blocks are bottlenecks."""

ARCHITECTURES = (
    *(f"osnet_{variant}{width}" for variant in ("", "ibn_", "ain_") for width in WIDTHS.values()),
    *RESNETS.values(),
    "resnet50_fc512",
)
"""Architectures whose checkpoints load."""

TRAINED_ON = ("msmt17", "market1501", "dukemtmcreid")
WEIGHTS = tuple(f"{name}_{data}.pt" for name in ARCHITECTURES if "osnet_x" in name for data in TRAINED_ON)
"""Published weights, by the names they are known under."""

ENDINGS = ("", ".pt", ".pth", ".safetensors", ".torchscript", ".onnx", "_openvino_model", ".engine", ".tflite")


def find_weights(name: str, folder: Path) -> str:
    """Return the weights' path: as written, or by name under `folder`, with or without its ending.

    Raises:
        ModelError: There is no such file or folder.
    """
    for path in (Path(name).expanduser(), *(folder / f"{name}{ending}" for ending in ENDINGS)):
        if path.exists():
            return str(path)
    there = sorted(p.name for p in folder.iterdir() if not p.name.startswith(".")) if folder.is_dir() else []
    raise ModelError(
        f"weights '{name}' do not exist, neither here nor in '{folder}'",
        remedy=f"available: {', '.join(there[:20])}" if there else "give the path of an existing file, or --models-dir",
    )
