"""Networks of re-identification checkpoints; the architecture is derived from the tensors, or from the file's name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mot_dinov3.core.errors import ModelError
from mot_dinov3.features.osnet import ARCHITECTURES, RESNETS, WIDTHS
from mot_dinov3.features.osnet_network import AFTER, BEFORE, STEM, OSNet
from mot_dinov3.features.reid_checkpoint import (
    STEMS,
    PowerMean,
    ReidCheckpoint,
    Tensors,
    build_neck,
    check_whole,
    sort_checkpoint,
)

TRIAL = (64, 32)  # pixels of the image that shows the length of a network's feature


def build_network(path: Path, content: Any) -> tuple[nn.Module, str]:
    """Return the network of a checkpoint, ``(n, 3, h, w)`` to ``(n, d)``, and the name of its architecture.

    `content` is a state dict, or a dict that has one; the architecture may be named in the file's name.

    Raises:
        ModelError: No state dict, an architecture that is not known, tensors that do not fit it, or that are not used.
    """
    checkpoint = sort_checkpoint(path, content)
    tensors = checkpoint.network
    if "conv1.conv.weight" in tensors:
        network, name = _osnet(path, tensors)
    elif "conv1.weight" in tensors and "layer1.0.conv1.weight" in tensors:
        network, name = _resnet(path, checkpoint)
    else:
        named = architecture_in(path.stem)
        said = f"no {named}, as its name says" if named else "of an unknown architecture"
        raise ModelError(
            f"weights '{path}' are {said}: they contain no tensor {' or '.join(STEMS)}",
            remedy=f"known: {', '.join(ARCHITECTURES)}\ngive another network as .onnx, TorchScript or OpenVINO",
        )
    check_whole(path, checkpoint, name)
    if not checkpoint.neck:
        return network, name
    with torch.inference_mode():
        dim = network(torch.zeros(1, 3, *TRIAL)).shape[1]
    return nn.Sequential(network, build_neck(path, checkpoint.neck, dim)).eval(), f"{name}_bnneck"


def architecture_in(stem: str) -> str | None:
    """Return the known architecture that is a word of a file's name, None for none."""
    name = stem.lower()
    found = [known for known in ARCHITECTURES if re.search(rf"(?<![a-z0-9]){known}(?![a-z0-9])", name)]
    return max(found, key=len, default=None)


def _osnet(path: Path, tensors: Tensors) -> tuple[nn.Module, str]:
    tensors = {_plain_osnet(name): value for name, value in tensors.items()}
    try:
        stem, *stages = (
            tensors[f"{name}.weight"].shape[0] for name in ("conv1.conv", *(f"conv{i}.0.conv3.conv" for i in (2, 3, 4)))
        )
        feature = tensors["fc.0.weight"].shape[0]
    except KeyError as error:
        raise ModelError(
            f"weights '{path}' are not an OSNet: they contain no tensor {error}",
            remedy="give another network as .onnx, TorchScript or OpenVINO",
        ) from error
    channels = (stem, stages[0], stages[1], stages[2])
    instance = _instance_norms(tensors)
    network = OSNet(channels, feature, instance)
    _fill(network, tensors, path, "OSNet")
    variant = "ain_" if BEFORE in instance.values() else "ibn_" if AFTER in instance.values() else ""
    own = f"osnet_{variant}{WIDTHS[channels]}" if channels in WIDTHS else None
    return network.fold(), own or architecture_in(path.stem) or "osnet_custom"


def _plain_osnet(name: str) -> str:
    """Return the plain OSNet's name of a tensor of the AIN variant, whose streams and pools are numbered."""
    name = re.sub(r"^pool([23])\.0\.", r"conv\1.2.0.", name)
    name = re.sub(r"^(conv\d\.\d)\.conv2\.0\.layers\.0\.", r"\1.conv2a.", name)
    return re.sub(r"^(conv\d\.\d)\.conv2\.([1-3])\.layers\.", lambda m: f"{m[1]}.conv2{'abcd'[int(m[2])]}.", name)


def _instance_norms(tensors: Tensors) -> dict[str, str]:
    """Return where instances are normalised, as `OSNet` wants it."""
    blocks = [name.removesuffix(".IN.weight") for name in tensors if name.endswith(".IN.weight")]
    found = {block: AFTER if f"{block}.conv3.bn.weight" in tensors else BEFORE for block in blocks}
    return found | ({} if "conv1.bn.running_mean" in tensors else {STEM: STEM})


def _resnet(path: Path, checkpoint: ReidCheckpoint) -> tuple[nn.Module, str]:
    """Return a ResNet (He et al. 2016) as torchvision and torchreid write it, pooled; a classifier is left out.

    With torchreid's reduction behind the pool (``fc.0``) the last stage keeps the size, as in that library; so it does
    before a neck, as in the networks of the bag of tricks and of fast-reid.
    """
    from torchvision.models import resnet

    tensors = checkpoint.network

    deep = "layer1.0.conv3.weight" in tensors
    depths = [len({name.split(".")[1] for name in tensors if name.startswith(f"layer{i}.")}) for i in (1, 2, 3, 4)]
    groups, width = 1, 64
    if deep and "layer1.0.conv2.weight" in tensors:
        outputs, each = tensors["layer1.0.conv2.weight"].shape[:2]
        groups = max(outputs // each, 1)
        width = outputs // groups
    name = RESNETS.get((*depths, groups, width, deep)) or architecture_in(path.stem) or "resnet_custom"
    network = resnet.ResNet(
        resnet.Bottleneck if deep else resnet.BasicBlock, depths, groups=groups, width_per_group=width
    )
    network.fc = nn.Identity()
    if "fc.0.weight" in tensors:
        reduced, wide = tensors["fc.0.weight"].shape
        network.fc = nn.Sequential(nn.Linear(wide, reduced), nn.BatchNorm1d(reduced), nn.ReLU())
        name += f"_fc{reduced}"
    else:
        tensors = {key: value for key, value in tensors.items() if key not in ("fc.weight", "fc.bias")}
    if "fc.0.weight" in tensors or checkpoint.neck:
        first: Any = network.layer4[0]
        (first.conv2 if deep else first.conv1).stride = (1, 1)
        if first.downsample is not None:
            first.downsample[0].stride = (1, 1)
    _fill(network, tensors, path, name)
    if checkpoint.power is not None:
        network.avgpool = PowerMean(checkpoint.power)
    return network.eval(), name


def _fill(network: nn.Module, tensors: Tensors, path: Path, name: str) -> None:
    try:
        network.load_state_dict(tensors, strict=True)
    except RuntimeError as error:
        problems = "; ".join(line.strip() for line in str(error).splitlines()[1:3])
        raise ModelError(
            f"weights '{path}' do not fit {name}: {problems}"[:400],
            remedy=f"supported: {', '.join(ARCHITECTURES)}\ngive a variant of one as .onnx or TorchScript",
        ) from error
