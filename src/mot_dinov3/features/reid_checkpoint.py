"""Tensors of a re-identification checkpoint, sorted into network, neck and what only training needs.

Training scripts wrap a network in various ways: `reid-strong-baseline` has ``base.`` and ``bottleneck.``, `fast-reid`
``backbone.`` and ``heads.``, Lightning ``state_dict`` with ``model.``, `torch.compile` ``_orig_mod.``. The network is
where its first convolution is; whatever else a file has is either understood or named, and then the file is refused:
a network without one of its layers gives embeddings that look right and are wrong.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mot_dinov3.core.errors import ModelError
from mot_dinov3.models.pretrained import IMAGENET_MEAN

Tensors = dict[str, torch.Tensor]

CONTENT = (
    *("state_dict", "model_state_dict", "model", "net", "net_dict", "network", "params"),
    *("state_dict_ema", "ema_state_dict", "model_ema", "ema", "params_ema"),
)
"""Keys under which checkpoints have their tensors; averaged ones only where there are no others."""

STEMS = ("conv1.conv.weight", "conv1.weight")
HEADS = ("heads", "head", "bottleneck", "bnneck", "classifier")
_NECK = re.compile(r"(?:heads?\.)?(?:bottleneck|bnneck)\.(?:(\d+)\.)?(\w+)")
_CLASSIFIER = re.compile(r"(?:heads?\.)?(?:classifier\w*(?:\..*)?|weight|bias|fc\..*|cls\w*\..*)")
_POWER = re.compile(r"(?:heads?\.)?pool_layer\.p")
_TRAINING = re.compile(r"(?:.*\.)?(?:n_averaged|num_batches_tracked)|(?:.*\.)?(?:criterion|loss\w*|centers?)(?:\..*)?")
_AVERAGED = re.compile(r"(?:^|[._])(?:ema|teacher|averaged)(?:[._]|$)")
_CLIP_REID = ("prompt_learner.", "image_encoder.", "text_encoder.")
SHOWN = 5  # tensors named in a message


@dataclasses.dataclass(frozen=True)
class ReidCheckpoint:
    """Tensors of a checkpoint by their part.

    Attributes:
        network: Those of the network by its own names, without a classifier.
        neck: Those behind the pool, by position in the neck and name: ``(0, "weight")``.
        power: Exponent of a generalised mean pool, None where the mean is plain.
        unknown: Names of the tensors that are none of these and not of the training alone.
    """

    network: Tensors
    neck: Mapping[tuple[int, str], torch.Tensor]
    power: torch.Tensor | None
    unknown: tuple[str, ...]


def sort_checkpoint(path: Path, content: Any) -> ReidCheckpoint:
    """Return the parts of a checkpoint: a state dict, or a dict that has one.

    Raises:
        ModelError: It contains no state dict, or it is of CLIP-ReID.
    """
    tensors = {str(name): value for name, value in _state_dict(path, content).items()}
    plain = [re.sub(r"^(?:module\.|model\.|_orig_mod\.|net\.)+", "", name) for name in tensors]
    if any(name.startswith(_CLIP_REID) for name in plain):
        raise ModelError(
            f"weights '{path}' are of CLIP-ReID, whose network is not supported",
            remedy="export its image encoder as .onnx, or give another network",
        )
    prefix = _prefix(tensors)
    network: Tensors = {}
    neck: dict[tuple[int, str], torch.Tensor] = {}
    power, unknown = None, []
    averaged = bool(_AVERAGED.search(prefix))
    for name, value in tensors.items():
        if not averaged and _AVERAGED.search(name):  # a running average beside the network
            continue
        own = name.removeprefix(prefix) if name.startswith(prefix) else ""
        part = own if own.partition(".")[0] in HEADS else _of_head(name)
        if own and not part:
            network[own] = value
        elif found := _NECK.fullmatch(part):
            neck[int(found[1] or 0), found[2]] = value
        elif _POWER.fullmatch(part):
            power = value
        elif not (_CLASSIFIER.fullmatch(part) or _is_known(name, value)):
            unknown.append(name)
    return ReidCheckpoint(network, neck, power, tuple(unknown))


def _state_dict(path: Path, content: Any) -> Mapping[Any, torch.Tensor]:
    while isinstance(content, Mapping):
        inner = next((content[key] for key in CONTENT if isinstance(content.get(key), Mapping)), None)
        if inner is None:
            break
        content = inner
    if not isinstance(content, Mapping) or not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise ModelError(f"weights '{path}' contain no state dict of tensors", remedy="give a checkpoint's state dict")
    return content


def _prefix(tensors: Tensors) -> str:
    """Return what stands before the network's names; of several networks, the shortest that is no running average."""
    found = []
    for stem in STEMS:
        ends = [name.removesuffix(stem) for name in tensors if name == stem or name.endswith(f".{stem}")]
        stage = "conv2.0." if stem == STEMS[0] else "layer1.0."
        found += [end for end in ends if any(name.startswith(end + stage) for name in tensors)]
    return min(found, key=lambda prefix: (bool(_AVERAGED.search(prefix)), len(prefix)), default="")


def _of_head(name: str) -> str:
    """Return a tensor's name from the head's on; empty where it is of none."""
    parts = name.split(".")
    start = next((place for place, part in enumerate(parts) if part in HEADS), None)
    return "" if start is None else ".".join(parts[start:])


def _is_known(name: str, value: torch.Tensor) -> bool:
    """Return whether a tensor is of the training alone, or the normalisation that is applied."""
    if name.endswith("pixel_mean"):
        mean = torch.tensor(IMAGENET_MEAN) * 255
        return value.numel() == 3 and torch.allclose(value.flatten().float(), mean, atol=1)
    return name.endswith("pixel_std") or bool(_TRAINING.fullmatch(name))


class PowerMean(nn.Module):
    """Generalised mean pool of a map (Radenović et al.: Fine-tuning CNN Image Retrieval, 2018), as fast-reid has it."""

    def __init__(self, power: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("power", power.detach().clone().float().reshape(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``(n, c, 1, 1)`` for ``(n, c, h, w)``."""
        power = self.get_buffer("power")
        return x.clamp(min=1e-6).pow(power).mean((2, 3), keepdim=True).pow(1 / power)


def build_neck(path: Path, neck: Mapping[tuple[int, str], torch.Tensor], dim: int) -> nn.Sequential:
    """Return the layers behind the pool, ``(n, dim)`` to ``(n, d)``: a reduction, and the batch norm of BNNeck.

    Luo et al.: Bag of Tricks and a Strong Baseline for Deep Person Re-identification, CVPR Workshops 2019.

    Raises:
        ModelError: They are other layers, or do not follow a feature of `dim`.
    """
    layers: list[nn.Module] = []
    for place in sorted({place for place, _ in neck}):
        tensors = {name: value for (at, name), value in neck.items() if at == place}
        if "running_mean" in tensors:
            layer: nn.Module = nn.BatchNorm1d(dim)
            missing = {"weight": torch.ones(dim), "bias": torch.zeros(dim), "num_batches_tracked": torch.tensor(0)}
            tensors = missing | tensors
        else:
            weight = tensors.get("weight", torch.zeros(dim, dim))
            tensors["weight"] = weight.flatten(1) if weight.ndim == 4 and weight[0, 0].numel() == 1 else weight
            layer = nn.Linear(dim, len(weight), bias="bias" in tensors)
            dim = len(weight)
        try:
            layer.load_state_dict(tensors, strict=True)
        except RuntimeError as error:
            problem = str(error).splitlines()[-1].strip()
            raise ModelError(
                f"weights '{path}' have a neck of other layers than a reduction and a batch norm: {problem}"[:400],
                remedy="export the network as .onnx",
            ) from error
        layers.append(layer)
    return nn.Sequential(*layers)


def check_whole(path: Path, checkpoint: ReidCheckpoint, name: str) -> None:
    """Raise `ModelError` where a checkpoint has tensors that the network `name` does not use."""
    if not checkpoint.unknown:
        return
    more = len(checkpoint.unknown) - SHOWN
    listed = ", ".join(checkpoint.unknown[:SHOWN]) + (f" and {more} more" if more > 0 else "")
    raise ModelError(
        f"weights '{path}' contain tensors that {name} does not use: {listed}",
        remedy="without them the embeddings would be others; export the whole network as .onnx or TorchScript",
    )
