"""What holds for an embedder's network in torch holds for it converted to OpenVINO."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from mot_dinov3.core.errors import ModelError
from mot_dinov3.features.base import Embedder
from mot_dinov3.features.factory import EmbedderConfig, build_embedder
from mot_dinov3.models.devices import DeviceConfig, plan_run

pytest.importorskip("openvino", reason="the extra 'fast' is not installed")

OSNET, DINO = ("osnet", "osnet.pt"), ("dino", "dinov3_vit")
SLOW = [
    OSNET,
    ("resnet", "resnet"),
    ("clip", "clip"),
    ("dino", "dinov2"),
    ("dino", "dinov2_registers"),
    ("dino", "dinov3_convnext"),
]
CONVOLUTIONAL = [("resnet", "resnet"), ("dino", "dinov3_convnext")]
CASES = [DINO, *(pytest.param(case, marks=pytest.mark.slow) for case in SLOW)]
BOXES = np.array([[5, 5, 35, 80], [40, 10, 70, 85], [70, 0, 119, 40], [100, 60, 140, 100], [2, 2, 30, 30]], np.float32)


def build(
    case: tuple[str, str],
    checkpoints: Path,
    accel: str,
    *,
    precision: str = "fp32",
    size: str | None = None,
    pooling: str = "cls",
) -> Embedder:
    size = size or ("64x32" if case[0] == "osnet" else None)
    config = EmbedderConfig(embedder=case[0], embed_model=str(checkpoints / case[1]), crop_size=size, pooling=pooling)
    return build_embedder(config, device=DeviceConfig("cpu", precision=precision, accel=accel))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[1])
def test_embeddings_are_those_of_torch(case: tuple[str, str], checkpoints: Path, picture: np.ndarray) -> None:
    built = build(case, checkpoints, "openvino")
    assert built.info.runtime == "openvino"
    assert built.notices == ()
    wanted = build(case, checkpoints, "torch").embed(picture, BOXES)
    rows = built.embed(picture, BOXES)
    assert np.einsum("nd,nd->n", rows, wanted).min() > 0.99999
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    # Five crops run as four and one: a row knows nothing of its neighbours.
    np.testing.assert_allclose(built.embed(picture, BOXES[::-1])[::-1], rows, atol=1e-4)
    np.testing.assert_array_equal(built.embed(picture, BOXES), rows)


@pytest.mark.parametrize("case", [OSNET, *(pytest.param(case, marks=pytest.mark.slow) for case in CONVOLUTIONAL)])
def test_a_convolutional_network_is_converted_once_for_all_sizes(
    case: tuple[str, str], checkpoints: Path, picture: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for size, shape in (("64x32", [64, 32]), ("96x64", [96, 64]), ("64x64", [64, 64])):
        built = build(case, checkpoints, "openvino", size=size)
        assert (built.info.runtime, built.info.details["size"]) == ("openvino", shape)
        wanted = build(case, checkpoints, "torch", size=size).embed(picture, BOXES)
        assert np.einsum("nd,nd->n", built.embed(picture, BOXES), wanted).min() > 0.99999
        assert len(list(tmp_path.rglob("network.xml"))) == 1
    assert sorted(json.loads(next(tmp_path.rglob("entry.json")).read_text())["verdicts"]) == [
        "fp32 size 64x32",
        "fp32 size 64x64",
        "fp32 size 96x64",
    ]


def test_the_inputs_size_is_part_of_what_is_kept(checkpoints: Path, picture: np.ndarray) -> None:
    own = build(DINO, checkpoints, "auto")
    person = build(DINO, checkpoints, "auto", size="64x32")
    assert own.info.details["size"] == [256, 128]
    assert person.info.details["size"] == [64, 32]
    wanted = build(DINO, checkpoints, "torch", size="64x32").embed(picture, BOXES)
    assert np.einsum("nd,nd->n", person.embed(picture, BOXES), wanted).min() > 0.99999


def test_the_pooling_is_part_of_what_is_kept(checkpoints: Path, picture: np.ndarray) -> None:
    clip = ("clip", "clip")
    built = {name: build(clip, checkpoints, "openvino", size="64x32", pooling=name) for name in ("cls", "cls+parts4")}
    assert {name: (one.info.runtime, one.dim) for name, one in built.items()} == {
        "cls": ("openvino", 24),
        "cls+parts4": ("openvino", 120),
    }
    wanted = build(clip, checkpoints, "torch", size="64x32", pooling="cls+parts4").embed(picture, BOXES)
    assert np.einsum("nd,nd->n", built["cls+parts4"].embed(picture, BOXES), wanted).min() > 0.99999


def test_damaged_weights_are_the_same_error(tmp_path: Path) -> None:
    (tmp_path / "osnet.pt").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(ModelError, match=r"osnet\.pt"):
        build(OSNET, tmp_path, "auto")


def test_without_openvino_torch_runs_and_says_how_to_go_faster(
    checkpoints: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    built = build(OSNET, checkpoints, "auto")
    assert built.info.runtime == "torch"
    assert any("mot-dinov3[fast]" in notice for notice in built.notices)


@pytest.mark.slow
def test_real_osnet_is_run_in_bf16_on_request_alone(shared: Path) -> None:
    config = EmbedderConfig(embedder="osnet", embed_model=str(shared / "models/osnet_x0_25_msmt17.pt"))
    if "bf16" not in plan_run(DeviceConfig("cpu")).openvino:
        pytest.skip("this processor does not compute in bf16")
    built = build_embedder(config, device=DeviceConfig("cpu"))
    assert (built.info.runtime, built.info.precision) == ("openvino", "fp32")
    built = build_embedder(config, device=DeviceConfig("cpu", precision="bf16"))
    assert (built.info.runtime, built.info.precision) == ("openvino", "bf16")
    assert any("OpenVINO's bf16 as requested: the cosine" in notice for notice in built.notices)
