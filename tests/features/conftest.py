"""Small, randomly initialised checkpoints in the hub's own folder format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

VIT = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}


@pytest.fixture(scope="session")
def picture() -> np.ndarray:
    """A ``(90, 120, 3)`` picture of tiles in random colours, so that crops of different places differ."""
    tiles = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return tiles.repeat(15, axis=0).repeat(15, axis=1)


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of checkpoints: dinov2, dinov2_registers, dinov3_vit, dinov3_convnext, clip, resnet, osnet.pt."""
    import torch
    import transformers as t

    torch.set_num_threads(1)  # networks this small only lose time to more
    folder = tmp_path_factory.mktemp("checkpoints")
    torch.manual_seed(0)
    text = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    tower = VIT | {"intermediate_size": 64, "image_size": 32, "patch_size": 16}
    small = {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1]}
    networks = {
        "dinov2": t.Dinov2Model(t.Dinov2Config(**VIT, image_size=28, patch_size=14)),
        "dinov2_registers": t.Dinov2WithRegistersModel(
            t.Dinov2WithRegistersConfig(**VIT, image_size=28, patch_size=14, num_register_tokens=3)
        ),
        "dinov3_vit": t.DINOv3ViTModel(t.DINOv3ViTConfig(**tower, num_register_tokens=4)),
        "dinov3_convnext": t.DINOv3ConvNextModel(t.DINOv3ConvNextConfig(**small, image_size=64)),
        "clip": t.CLIPModel(
            t.CLIPConfig(
                text_config=text | {"vocab_size": 20, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0},
                vision_config=tower,
                projection_dim=24,
            )
        ),
        "resnet": t.ResNetForImageClassification(t.ResNetConfig(**small, embedding_size=8)),
    }
    for name, network in networks.items():
        # Fresh networks have biases of zero and tokens near it: drawn again, so that a forgotten one shows.
        for key, parameter in network.named_parameters():
            if key.endswith(("bias", "token", "tokens", "embedding", "embeddings")):
                torch.nn.init.normal_(parameter, std=0.15)
            elif "resnet" not in name and parameter.ndim == 2:
                torch.nn.init.normal_(parameter, std=0.2)
        network.save_pretrained(folder / name)
    t.BitImageProcessor(
        size={"shortest_edge": 96},
        crop_size={"height": 64, "width": 64},
        image_mean=[0.1, 0.2, 0.3],
        image_std=[0.4, 0.5, 0.6],
    ).save_pretrained(folder / "resnet")
    torch.save(_osnet_tensors(), folder / "osnet.pt")
    return folder


def _osnet_tensors(channels: tuple[int, int, int, int] = (16, 64, 96, 128)) -> dict[str, Any]:
    """Return random tensors as a training script stores them: wrapped for several GPUs, with a classifier."""
    import torch

    from mot_dinov3.features.osnet_network import OSNet

    torch.manual_seed(1)
    network = OSNet(channels, 64)
    for parameter in network.parameters():
        if parameter.ndim > 1:
            torch.nn.init.kaiming_normal_(parameter)
    for name, buffer in network.named_buffers():
        if name.endswith("running_mean"):
            torch.nn.init.normal_(buffer, std=0.1)
        elif name.endswith("running_var"):
            torch.nn.init.uniform_(buffer, 0.5, 1.5)
    tensors = {f"module.{name}": tensor for name, tensor in network.state_dict().items()}
    return {"state_dict": tensors | {"module.classifier.weight": torch.zeros(10, 64)}, "epoch": 3}


@pytest.fixture(scope="session")
def osnet_tensors() -> Callable[..., dict[str, Any]]:
    """The function that draws an OSNet checkpoint of the given channels."""
    return _osnet_tensors
