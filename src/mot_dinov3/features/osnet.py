"""Person re-identification networks: OSNet and ResNet checkpoints, and any network as ONNX, OpenVINO and the like."""

from __future__ import annotations

import dataclasses
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from mot_dinov3.core.errors import ConfigError, ModelError, first_line
from mot_dinov3.core.structures import ModelInfo
from mot_dinov3.features.base import REID_REMEDY, CropEmbedder, EmbedderRequest, parse_size
from mot_dinov3.features.loading import LoadedNetwork, NetworkSource, OpenedNetwork, open_network
from mot_dinov3.features.network import NetworkExtractor
from mot_dinov3.models.checkpoints import open_checkpoint, open_script
from mot_dinov3.models.devices import DeviceConfig
from mot_dinov3.models.pretrained import Preprocessing
from mot_dinov3.models.weights import find_local

if TYPE_CHECKING:
    import torch

    from mot_dinov3.features.runtimes import FileRuntime

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

SIZE_NOTE = "imgsz"  # file in a TorchScript archive
SIZE = (256, 128)  # height × width that person re-identification networks are trained with

# Measured with osnet_x0_25 (MSMT17) on people of a fixed camera (PETS09-S2L1, crops padded by 12 %, taken 25 frames
# and more apart): 5 % of the pairs of one person lie below, and more than half of the pairs of two.
SAME_FLOOR = 0.5


class OsnetEmbedder(CropEmbedder):
    """Embeds with a network trained for re-identification; it is listed as ``osnet`` and as ``reid``.

    A ``.pt``, ``.pth`` or ``.safetensors`` file is the state dict of an OSNet or a ResNet as torchreid and torchvision
    write it (the first two may be TorchScript, too); ``.onnx`` runs in ONNX Runtime; ``.xml``, or a folder with
    one, in OpenVINO; ``.engine`` in TensorRT; ``.tflite`` in LiteRT. Input is ``(n, 3, h, w)`` or ``(n, h, w, 3)``
    ImageNet-normalised RGB, or levels where it takes whole numbers, 256×128 where the file leaves the size open; the
    output has a vector per image.

    Raises:
        ConfigError: No model is named, or the network's fixed input contradicts the wanted size.
        ModelError: The file is missing, damaged, of another kind, or needs a package that is not installed.
    """

    def __init__(self, request: EmbedderRequest) -> None:
        if not request.model:
            raise ConfigError("a re-identification embedder needs weights", remedy=REID_REMEDY)
        path = find_local(request.model)
        if path.is_dir() or path.suffix in (".xml", ".onnx", ".tflite", ".engine"):
            opened = _open_exported(path, request)
        else:
            size = None if _is_torchscript(path) else request.size or SIZE
            # bf16 turns its embeddings by up to 0.002 in cosine (gallery crops): only what was checked may do that.
            source = NetworkSource("osnet", [path], lambda: _load(path, request), torch_precision="fp32", size=size)
            opened = open_network(source, request)
        super().__init__(opened.extractor, request, info=opened.info, same_floor=SAME_FLOOR, square=False)
        self.notices = opened.notices


def _load(path: Path, request: EmbedderRequest) -> LoadedNetwork:
    from mot_dinov3.features.reid_networks import build_network  # needs torch

    size, trust = request.size, request.device.trust_weights
    if path.suffix == ".safetensors":
        module, kind = build_network(path, _safe_tensors(path))
    elif _is_torchscript(path):
        module, kind = open_script(path, trust=trust), "torchscript"
        size = size or script_size(path)
    else:
        module, kind = build_network(path, open_checkpoint(path, trust=trust))
    return LoadedNetwork(module, Preprocessing(*(size or SIZE)), kind, channels_last=True)


def _open_exported(path: Path, request: EmbedderRequest) -> OpenedNetwork:
    """Open a network in a form that a runtime other than torch executes."""
    runtime = _file_runtime(path, request.device)
    fixed, size, kind = runtime.input.size, request.size, runtime.kind
    if fixed and size and fixed != size:
        raise ConfigError(f"crop_size is {size[0]}x{size[1]}, but '{request.model}' takes {fixed[0]}x{fixed[1]} only")
    height, width = size or fixed or SIZE
    preprocessing = Preprocessing(height, width)
    if runtime.input.dtype.kind == "u":  # levels: the network normalises them itself
        preprocessing = dataclasses.replace(preprocessing, mean=(0, 0, 0), std=(1, 1, 1), scale=1)
    extractor = NetworkExtractor(request.model, preprocessing, runtime)
    details = {"kind": kind, "size": [height, width]}
    info = ModelInfo("osnet", request.model, runtime.device, runtime.precision, details, kind)
    return OpenedNetwork(extractor, info)


def _file_runtime(path: Path, device: DeviceConfig) -> FileRuntime:
    from mot_dinov3.features import runtimes

    if path.suffix == ".onnx":
        return runtimes.OnnxRuntime(path, device)
    if path.suffix == ".tflite":
        return runtimes.LiteRuntime(path, device)
    if path.suffix == ".engine":
        from mot_dinov3.features.tensorrt import TensorRtRuntime

        return TensorRtRuntime(path, device)
    return runtimes.OpenVinoRuntime(path, device.precision)


def _safe_tensors(path: Path) -> dict[str, torch.Tensor]:
    import safetensors.torch

    try:
        return safetensors.torch.load_file(path)
    except (OSError, ValueError, safetensors.SafetensorError) as error:
        raise ModelError(
            f"weights '{path}' cannot be read: {first_line(error)}", remedy="the file is damaged; download it again"
        ) from error


def script_size(path: Path) -> tuple[int, int] | None:
    """Return the input's ``(height, width)`` that `export` wrote into a TorchScript archive, or None."""
    with zipfile.ZipFile(path) as archive:
        notes = [name for name in archive.namelist() if name.endswith(f"/extra/{SIZE_NOTE}")]
        return parse_size(archive.read(notes[0]).decode("ascii", "replace")) if notes else None


def _is_torchscript(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())
