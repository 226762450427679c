"""Re-identification checkpoints are loaded whole or refused, whatever wraps the network; so are exported networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mot_dinov3.core.errors import ModelError
from mot_dinov3.features.base import Embedder
from mot_dinov3.features.factory import EmbedderConfig, build_embedder
from mot_dinov3.models.devices import DeviceConfig
from mot_dinov3.models.pretrained import Preprocessing

SIZE = (64, 32)


def build(path: Path, **options: Any) -> Embedder:
    config = EmbedderConfig(embedder="osnet", embed_model=str(path), **options)
    return build_embedder(config, device=DeviceConfig("cpu", precision="fp32", accel="torch"))


def pictures(count: int = 3) -> list[np.ndarray]:
    return list(np.random.default_rng(2).integers(0, 256, (count, 80, 40, 3), dtype=np.uint8))


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


class Strong:
    """The network of "Bag of Tricks" with a ResNet-18: last stride 1, BNNeck with statistics that are not trivial."""

    def __init__(self, *, reduced: int = 0, power: float = 0) -> None:
        import torch
        import torchvision

        torch.manual_seed(3)
        self.base = torchvision.models.resnet18().eval()
        self.base.layer4[0].conv1.stride = self.base.layer4[0].downsample[0].stride = (1, 1)
        del self.base.fc
        self.reduction = torch.nn.Conv2d(512, reduced, 1, bias=False) if reduced else None
        dim = reduced or 512
        self.neck = torch.nn.BatchNorm1d(dim).eval()
        for name in ("weight", "bias", "running_mean"):
            getattr(self.neck, name).data.normal_()
        self.neck.running_var.uniform_(0.5, 4)
        self.power = power

    def embed(self) -> np.ndarray:
        """Return the embeddings of `pictures`, computed layer by layer."""
        import torch

        net = self.base
        with torch.inference_mode():
            x = torch.from_numpy(Preprocessing(*SIZE).batch(pictures()))
            x = net.maxpool(net.relu(net.bn1(net.conv1(x))))
            x = net.layer4(net.layer3(net.layer2(net.layer1(x))))
            if self.power:
                x = x.clamp(min=1e-6).pow(self.power).mean((2, 3), keepdim=True).pow(1 / self.power)
            else:
                x = x.mean((2, 3), keepdim=True)
            x = x if self.reduction is None else self.reduction(x)
            return unit(self.neck(x[..., 0, 0]).numpy())

    def baseline(self) -> dict[str, Any]:
        """Return the tensors as reid-strong-baseline names them."""
        import torch

        base = {f"base.{key}": value for key, value in self.base.state_dict().items()}
        neck = {f"bottleneck.{key}": value for key, value in self.neck.state_dict().items()}
        return {**base, **neck, "classifier.weight": torch.zeros(7, 512)}

    def fast_reid(self) -> dict[str, Any]:
        """Return the tensors as fast-reid names them."""
        import torch

        tensors = {f"backbone.{key}": value for key, value in self.base.state_dict().items()}
        place = 0
        if self.reduction is not None:
            tensors["heads.bottleneck.0.weight"], place = self.reduction.weight.data, 1
        tensors |= {f"heads.bottleneck.{place}.{key}": value for key, value in self.neck.state_dict().items()}
        tensors |= {"heads.pool_layer.p": torch.tensor([self.power])} if self.power else {}
        mean = 255 * torch.tensor([0.485, 0.456, 0.406])
        return {**tensors, "heads.weight": torch.zeros(7, 512), "pixel_mean": mean.reshape(3, 1, 1)}


def prefixed(tensors: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {prefix + key: value for key, value in tensors.items()}


def wrappers(tensors: dict[str, Any]) -> dict[str, Any]:
    worse = {key: value * 0 for key, value in tensors.items()}
    return {
        "bare": tensors,
        "net": {"net": tensors, "epoch": 3},
        "model": {"model": tensors, "optimizer": {"state": {}}},
        "compiled": prefixed(tensors, "_orig_mod."),
        "parallel and compiled": prefixed(tensors, "module._orig_mod."),
        "Lightning": {"state_dict": prefixed(tensors, "model."), "pytorch-lightning_version": "2.5", "epoch": 1},
        "averaged only": {"state_dict_ema": prefixed(tensors, "module.")},
        "averaged beside": {"state_dict": tensors, "state_dict_ema": worse},
        "averaged inside": {"state_dict": {**tensors, **prefixed(worse, "ema_model.")}},
        "a loss with centres": {**tensors, "criterion.centers": tensors["classifier.weight"]},
    }


WRAPPERS = tuple(wrappers({"classifier.weight": 0}))


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_a_bnneck_and_the_last_stride_are_those_of_the_trained_network(tmp_path: Path, wrapper: str) -> None:
    import torch

    strong = Strong()
    torch.save(wrappers(strong.baseline())[wrapper], tmp_path / "w.pth")
    embedder = build(tmp_path / "w.pth", crop_size="64x32")
    assert embedder.info.details["kind"] == "resnet18_bnneck"
    np.testing.assert_allclose(embedder.embed_images(pictures()), strong.embed(), atol=1e-5)


@pytest.mark.parametrize("options", [{}, {"reduced": 48}, {"power": 3.0}, {"reduced": 48, "power": 2.5}])
def test_heads_of_fast_reid_are_those_of_the_trained_network(tmp_path: Path, options: dict[str, Any]) -> None:
    import torch

    strong = Strong(**options)
    torch.save({"model": strong.fast_reid(), "iteration": 1}, tmp_path / "w.pth")
    rows = build(tmp_path / "w.pth", crop_size="64x32").embed_images(pictures())
    np.testing.assert_allclose(rows, strong.embed(), atol=1e-5)


@pytest.mark.parametrize(
    "name",
    ["backbone.NL_2.0.g.weight", "heads.attention.weight", "fpn.conv.weight", "pixel_mean", "base2.conv1.weight"],
)
def test_a_tensor_that_is_not_used_refuses_the_file_and_is_named(tmp_path: Path, name: str) -> None:
    import torch

    torch.save({"model": {**Strong().fast_reid(), name: torch.ones(3)}}, tmp_path / "w.pth")
    with pytest.raises(ModelError, match=name.removeprefix("backbone.")):
        build(tmp_path / "w.pth", crop_size="64x32")


def test_a_neck_of_other_layers_is_refused(tmp_path: Path) -> None:
    import torch

    torch.save({**Strong().baseline(), "bottleneck.1.scale": torch.ones(512)}, tmp_path / "w.pth")
    with pytest.raises(ModelError, match="neck of other layers"):
        build(tmp_path / "w.pth", crop_size="64x32")


def test_clip_reid_is_named(tmp_path: Path) -> None:
    import torch

    tensors = {"image_encoder.conv1.weight": torch.ones(2), "prompt_learner.cls_ctx": torch.ones(2)}
    torch.save(tensors, tmp_path / "w.pth")
    with pytest.raises(ModelError, match="are of CLIP-ReID"):
        build(tmp_path / "w.pth")


def exported(path: Path, *, dtype: str = "FLOAT", last: bool = False, outputs: tuple[tuple[str, int], ...]) -> Path:
    """Save a network whose outputs repeat the mean colour of the image to a width each."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime", reason="needs the extra [onnx]")
    helper, kinds = onnx.helper, onnx.TensorProto
    shape = ["n", 32, 16, 3] if last else ["n", 3, 32, 16]
    image = helper.make_tensor_value_info("image", getattr(kinds, dtype), shape)
    nodes = [helper.make_node("Cast", ["image"], ["plain"], to=kinds.FLOAT)]
    nodes.append(helper.make_node("ReduceMean", ["plain"], ["mean"], axes=[1, 2] if last else [2, 3], keepdims=0))
    found = []
    for name, width in outputs:
        nodes.append(helper.make_node("Concat", ["mean"] * (width // 3), [name], axis=1))
        found.append(helper.make_tensor_value_info(name, kinds.FLOAT, ["n", width // 3 * 3]))
    graph = helper.make_graph(nodes, "g", [image], found)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=9), path)
    return path


def colours() -> tuple[list[np.ndarray], np.ndarray]:
    rgb = np.array([[30, 10, 200], [90, 250, 5]], np.uint8)
    return [np.broadcast_to(colour[::-1], (20, 10, 3)) for colour in rgb], rgb.astype(np.float64)


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("dtype", ["FLOAT", "FLOAT16", "UINT8"])
def test_an_exported_network_gets_numbers_and_order_that_it_takes(tmp_path: Path, dtype: str, last: bool) -> None:
    path = exported(tmp_path / "n.onnx", dtype=dtype, last=last, outputs=(("embedding", 33),))
    images, rgb = colours()
    embedder = build(path)
    wanted = rgb if dtype == "UINT8" else (rgb / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    assert embedder.info.details["size"] == [32, 16]
    np.testing.assert_allclose(embedder.embed_images(images), unit(np.tile(wanted, (1, 11))), atol=2e-3)


def test_of_several_outputs_the_one_of_long_vectors_is_the_embedding(tmp_path: Path) -> None:
    path = exported(tmp_path / "n.onnx", outputs=(("gender", 3), ("embedding", 33), ("age", 6)))
    assert build(path).dim == 33


@pytest.mark.parametrize(
    ("outputs", "said"),
    [
        ((("a", 33), ("b", 66)), r"several can be the embedding: a \['n', 33\], b \['n', 66\]"),
        ((("a", 3), ("b", 6)), "none can be the embedding"),
    ],
)
def test_outputs_that_leave_it_open_are_listed(tmp_path: Path, outputs: tuple[tuple[str, int], ...], said: str) -> None:
    with pytest.raises(ModelError, match=said):
        build(exported(tmp_path / "n.onnx", outputs=outputs))


def test_other_numbers_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="takes int64 numbers"):
        build(exported(tmp_path / "n.onnx", dtype="INT64", outputs=(("a", 33),)))
