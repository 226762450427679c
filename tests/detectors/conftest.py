"""Small, randomly initialised detectors."""

from __future__ import annotations

from pathlib import Path

import pytest

NAMES = {0: "person", 1: "car", 2: "dog"}


@pytest.fixture(scope="session")
def rtdetr(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an RT-DETR of three classes with its processor, 64 pixels wide."""
    import torch
    import transformers as t

    torch.set_num_threads(1)
    torch.manual_seed(0)
    backbone = t.RTDetrResNetConfig(
        embedding_size=8, hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 1, 1], out_features=["stage2", "stage3", "stage4"]
    )
    config = t.RTDetrConfig(
        backbone_config=backbone,
        encoder_hidden_dim=16,
        encoder_in_channels=[8, 16, 16],
        encoder_ffn_dim=16,
        encoder_attention_heads=2,
        d_model=16,
        num_queries=20,
        decoder_in_channels=[16, 16, 16],
        decoder_ffn_dim=16,
        decoder_layers=2,
        decoder_attention_heads=2,
        id2label=NAMES,
        label2id={name: class_id for class_id, name in NAMES.items()},
    )
    network = t.RTDetrForObjectDetection(config)
    for key, parameter in network.named_parameters():
        if "class_embed" in key or "bbox_embed" in key:  # fresh ones give every query the same score
            torch.nn.init.normal_(parameter, std=0.3)
    folder = tmp_path_factory.mktemp("rtdetr")
    network.save_pretrained(folder)
    t.RTDetrImageProcessor(size={"height": 64, "width": 64}).save_pretrained(folder)
    return folder


@pytest.fixture
def segmenter(tmp_path: Path) -> Path:
    """The weights of a YOLO whose head is of another kind than those that can be taken apart."""
    from mot_dinov3.models.weights import ultralytics_module

    (tmp_path / "tiny.yaml").write_text(
        "nc: 3\nscales: {n: [0.33, 0.125, 64]}\n"
        "backbone:\n  - [-1, 1, Conv, [16, 3, 2]]\n  - [-1, 1, Conv, [32, 3, 2]]\n"
        "head:\n  - [[-1], 1, Segment, [nc, 8, 16]]\n"
    )
    weights = tmp_path / "tiny.pt"
    ultralytics_module().YOLO(str(tmp_path / "tiny.yaml"), task="segment").save(str(weights))
    return weights
