"""OSNet checkpoints, and person re-identification networks in other formats."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mot_dinov3.core.errors import ConfigError, ModelError, UsageError
from mot_dinov3.features.base import Embedder
from mot_dinov3.features.factory import EmbedderConfig, build_embedder
from mot_dinov3.models.devices import DeviceConfig

Tensors = Callable[..., dict[str, Any]]


def build(model: Path, *, precision: str = "fp32", **options: Any) -> Embedder:
    config = EmbedderConfig(embedder="osnet", embed_model=str(model), **options)
    return build_embedder(config, device=DeviceConfig("cpu", precision=precision, accel="torch"))


def pictures(count: int) -> list[np.ndarray]:
    return list(np.random.default_rng(2).integers(0, 256, (count, 64, 32, 3), dtype=np.uint8))


@pytest.mark.parametrize(
    ("channels", "width"),
    [
        ((16, 64, 96, 128), "x0_25"),
        ((32, 128, 192, 256), "x0_5"),
        ((48, 192, 288, 384), "x0_75"),
        ((64, 256, 384, 512), "x1_0"),
    ],
)
def test_the_width_is_read_from_the_tensors(
    channels: tuple[int, ...], width: str, osnet_tensors: Tensors, tmp_path: Path
) -> None:
    import torch

    torch.save(osnet_tensors(channels), tmp_path / "w.pt")
    embedder = build(tmp_path / "w.pt", crop_size="64x32")
    assert embedder.info.details["kind"] == f"osnet_{width}"
    assert embedder.dim == 64


def test_folding_the_normalisation_changes_nothing(osnet_tensors: Tensors, checkpoints: Path) -> None:
    import torch

    from mot_dinov3.features.osnet_network import OSNet
    from mot_dinov3.models.pretrained import Preprocessing

    plain = OSNet((16, 64, 96, 128), 64).eval()
    tensors = {name.removeprefix("module."): value for name, value in osnet_tensors()["state_dict"].items()}
    plain.load_state_dict({name: value for name, value in tensors.items() if "classifier" not in name})
    batch = pictures(2)
    with torch.inference_mode():
        wanted = plain(torch.from_numpy(Preprocessing(64, 32).batch(batch))).numpy()
    rows = build(checkpoints / "osnet.pt", crop_size="64x32").embed_images(batch)
    np.testing.assert_allclose(rows, wanted / np.linalg.norm(wanted, axis=1, keepdims=True), atol=1e-5)


def test_published_weights_agree_in_both_formats(shared: Path) -> None:
    pytest.importorskip("onnxruntime", reason="needs the extra [onnx]")
    people = gallery(shared)[::10]
    rows = [build(shared / f"models/osnet_x0_25_msmt17.{kind}").embed_images(people) for kind in ("pt", "onnx")]
    assert rows[0].shape == (len(people), 512)
    assert np.einsum("nd,nd->n", *rows).min() > 0.999


@pytest.mark.slow
def test_people_of_the_gallery_are_told_apart(shared: Path) -> None:
    embedder = build(shared / "models/osnet_x0_25_msmt17.pt")
    files = gallery_files(shared)
    rows = embedder.embed_images(gallery(shared))
    who = np.array([file.parent.name for file in files])
    first, second = np.triu_indices(len(files), 1)
    cosine, is_same = (rows @ rows.T)[first, second], who[first] == who[second]
    same, different = cosine[is_same], cosine[~is_same]
    assert (same[:, None] > different[None]).mean() > 0.92  # measured 0.94
    assert (same < embedder.same_floor).mean() < 0.1
    assert (different < embedder.same_floor).mean() > 0.5


def gallery_files(shared: Path) -> list[Path]:
    return sorted((shared / "data/gallery/crops_pets09_s2l1").glob("*/*.*"))


def gallery(shared: Path) -> list[np.ndarray]:
    return read(gallery_files(shared))


def read(files: list[Path]) -> list[np.ndarray]:
    import cv2

    return [cv2.imread(str(file)) for file in files]


@pytest.fixture(scope="module")
def mean_colour_onnx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of fixed batch 2 and input 32×16 that answers with the mean of each channel."""
    onnx = pytest.importorskip("onnx")
    picture = onnx.helper.make_tensor_value_info("picture", onnx.TensorProto.FLOAT, [2, 3, 32, 16])
    mean = onnx.helper.make_tensor_value_info("mean", onnx.TensorProto.FLOAT, [2, 3, 1, 1])
    node = onnx.helper.make_node("GlobalAveragePool", ["picture"], ["mean"])
    graph = onnx.helper.make_graph([node], "mean", [picture], [mean])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
    path = tmp_path_factory.mktemp("onnx") / "mean.onnx"
    onnx.save(model, path)
    return path


def assert_mean_colours(embedder: Embedder) -> None:
    colours = np.array([[200, 10, 30], [5, 250, 90], [60, 70, 220]], np.uint8)
    rows = embedder.embed_images([np.broadcast_to(colour, (20, 10, 3)) for colour in colours])
    rgb = (colours[:, ::-1] / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(rows, rgb / np.linalg.norm(rgb, axis=1, keepdims=True), atol=1e-4)


def test_onnx_runs_at_its_own_size_and_batch(mean_colour_onnx: Path) -> None:
    pytest.importorskip("onnxruntime", reason="needs the extra [onnx]")
    embedder = build(mean_colour_onnx)
    assert embedder.info.details == {"kind": "onnx", "size": [32, 16]}
    assert_mean_colours(embedder)
    with pytest.raises(ConfigError, match="takes 32x16 only"):
        build(mean_colour_onnx, crop_size="64x32")
    with pytest.raises(UsageError, match="precision 'bf16'"):
        build(mean_colour_onnx, precision="bf16")


def test_any_network_runs_by_the_name_reid_with_no_option_but_its_file(mean_colour_onnx: Path) -> None:
    pytest.importorskip("onnxruntime", reason="needs the extra [onnx]")
    config = EmbedderConfig(embedder="reid", embed_model=str(mean_colour_onnx))
    embedder = build_embedder(config, device=DeviceConfig("cpu"))
    assert embedder.dim == 3
    assert_mean_colours(embedder)


@pytest.mark.parametrize("name", ["0277", "0287"])
def test_networks_of_other_makers_run_by_the_name_reid(name: str, shared: Path) -> None:
    pytest.importorskip("openvino", reason="needs the extra [fast]")
    path = shared / f"models/omz/reid_{name}_rgb_imagenet.xml"
    embedder = build_embedder(EmbedderConfig(embedder="reid", embed_model=str(path)), device=DeviceConfig("cpu"))
    assert (embedder.dim, embedder.info.details["size"]) == (256, [256, 128])
    files = sorted((shared / "data/reid_two_cameras").glob("*/*.png"))[::4]
    rows = embedder.embed_images(read(files))
    alike = rows @ rows.T
    np.fill_diagonal(alike, -1)
    nearest = [files[column].parent for column in alike.argmax(1)]
    assert np.mean([near == file.parent for near, file in zip(nearest, files)]) > 0.9


def test_a_detector_is_no_embedder(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime", reason="needs the extra [onnx]")
    image = onnx.helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, ["n", 3, 32, 16])
    table = onnx.helper.make_tensor_value_info("table", onnx.TensorProto.FLOAT, ["n", 3, 16, 8])
    node = onnx.helper.make_node("MaxPool", ["image"], ["table"], kernel_shape=[2, 2], strides=[2, 2])
    graph = onnx.helper.make_graph([node], "boxes", [image], [table])
    onnx.save(
        onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9),
        tmp_path / "detector.onnx",
    )
    with pytest.raises(ModelError, match=r"shape \[1, 3, 16, 8\], and not one vector per image"):
        build(tmp_path / "detector.onnx")


def test_openvino_runs_from_a_folder_or_its_file(mean_colour_onnx: Path, tmp_path: Path) -> None:
    openvino = pytest.importorskip("openvino", reason="needs the extra [fast]")
    openvino.save_model(openvino.convert_model(mean_colour_onnx), tmp_path / "mean.xml")
    assert_mean_colours(build(tmp_path))
    assert_mean_colours(build(tmp_path / "mean.xml"))
    (tmp_path / "other.xml").write_text("")
    with pytest.raises(ModelError, match=r"holds 2 \.xml files"):
        build(tmp_path)
    with pytest.raises(ModelError, match="cannot be run"):
        build(tmp_path / "other.xml")


@pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning")
def test_torchscript_runs_whatever_its_ending(tmp_path: Path) -> None:
    import torch

    network = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    torch.jit.save(torch.jit.script(network), tmp_path / "reid.pt")
    embedder = build(tmp_path / "reid.pt", crop_size="32x16")
    assert embedder.info.details["kind"] == "torchscript"
    assert_mean_colours(embedder)


def test_an_engine_needs_tensorrt_and_a_gpu(tmp_path: Path) -> None:
    import torch

    (tmp_path / "w.engine").write_bytes(b"no engine")
    with pytest.raises(UsageError, match="runs on CUDA only"):
        build(tmp_path / "w.engine")
    config = EmbedderConfig(embedder="osnet", embed_model=str(tmp_path / "w.engine"))
    if torch.cuda.is_available():
        pytest.skip("what is said without a GPU")
    with pytest.raises(ModelError, match=r"w\.engine' needs (tensorrt|an NVIDIA GPU)") as caught:
        build_embedder(config, device=DeviceConfig("auto"))
    assert "pip install tensorrt" in caught.value.remedy


@pytest.mark.parametrize(
    ("file", "package", "extra"),
    [
        ("w.onnx", "onnxruntime", "onnx"),
        ("w.xml", "openvino", "fast"),
        ("w.tflite", "ai_edge_litert.interpreter", "tflite"),
    ],
)
def test_a_missing_package_names_its_extra(
    file: str, package: str, extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    (tmp_path / file).write_bytes(b"")
    with pytest.raises(ModelError, match=r"needs (onnxruntime|openvino|LiteRT)") as caught:
        build(tmp_path / file)
    assert caught.value.remedy == f"pip install 'mot-dinov3[{extra}]'"


def misfit(tensors: dict[str, Any]) -> str:
    del tensors["state_dict"]["module.conv3.1.gate.fc1.weight"]
    return "do not fit OSNet.*conv3.1.gate.fc1.weight"


def misshaped(tensors: dict[str, Any]) -> str:
    shrunk = tensors["state_dict"]["module.conv4.0.conv1.conv.weight"][:5]
    tensors["state_dict"]["module.conv4.0.conv1.conv.weight"] = shrunk.clone()
    return "do not fit OSNet.*conv4.0.conv1.conv.weight"


def surplus(tensors: dict[str, Any]) -> str:
    tensors["state_dict"]["module.conv2.0.IN.weight"] = tensors["state_dict"]["module.fc.0.bias"]
    return "do not fit OSNet.*conv2.0.IN.bias"


def other_network(tensors: dict[str, Any]) -> str:
    tensors["state_dict"] = {"layer1.weight": tensors["state_dict"]["module.fc.0.bias"]}
    return "of an unknown architecture"


def half_an_osnet(tensors: dict[str, Any]) -> str:
    del tensors["state_dict"]["module.fc.0.weight"]
    return "are not an OSNet"


def no_tensors(tensors: dict[str, Any]) -> str:
    tensors["state_dict"] = 5
    return "no state dict"


@pytest.mark.parametrize("spoil", [misfit, misshaped, surplus, other_network, half_an_osnet, no_tensors])
def test_tensors_that_do_not_fit_are_an_error(
    spoil: Callable[[dict[str, Any]], str], osnet_tensors: Tensors, tmp_path: Path
) -> None:
    import torch

    tensors = osnet_tensors()
    wanted = spoil(tensors)
    torch.save(tensors, tmp_path / "w.pt")
    with pytest.raises(ModelError, match=wanted) as caught:
        build(tmp_path / "w.pt")
    assert "w.pt" in caught.value.message
    assert "\n" not in caught.value.message


def as_ain(name: str) -> str:
    """Return the name that OSNet-AIN's checkpoints give a tensor of the plain OSNet."""
    for stage in "23":
        name = name.replace(f"conv{stage}.2.0.", f"pool{stage}.0.")
    for number, letter in enumerate("abcd"):
        layers = f".conv2.{number}.layers." + ("0." if letter == "a" else "")
        name = name.replace(f".conv2{letter}.", layers)
    return name


@pytest.mark.parametrize(("variant", "place"), [("ibn", "after"), ("ain", "before")])
def test_instance_normalisation_is_read_from_the_tensors(variant: str, place: str, tmp_path: Path) -> None:
    import torch

    from mot_dinov3.features.osnet_network import STEM, OSNet
    from mot_dinov3.features.reid_networks import build_network

    torch.manual_seed(1)
    blocks = {f"conv2.{block}": place for block in (0, 1)} | {STEM: STEM}
    network = OSNet((16, 64, 96, 128), 8, blocks).eval()
    tensors = {as_ain(key) if variant == "ain" else key: value for key, value in network.state_dict().items()}
    assert ("conv2.0.conv2.3.layers.2.bn.weight" in tensors) is (variant == "ain")
    built, name = build_network(tmp_path / "w.pt", {"state_dict": tensors})
    assert name == f"osnet_{variant}_x0_25"
    batch = torch.randn(2, 3, 64, 32)
    with torch.inference_mode():
        torch.testing.assert_close(built(batch), network(batch), atol=1e-5, rtol=1e-4)
        plain = OSNet((16, 64, 96, 128), 8).eval()
        plain.load_state_dict(network.state_dict(), strict=False)
        assert (plain(batch) - network(batch)).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("name", "dim"),
    [
        ("resnet18", 512),
        pytest.param("resnet50", 2048, marks=pytest.mark.slow),
        pytest.param("resnext50_32x4d", 2048, marks=pytest.mark.slow),
    ],
)
def test_resnets_are_read_from_their_tensors_and_pooled(name: str, dim: int, tmp_path: Path) -> None:
    import torch
    import torchvision

    network = getattr(torchvision.models, name)().eval()
    torch.save({"model": {f"backbone.{key}": value for key, value in network.state_dict().items()}}, tmp_path / "w.pth")
    embedder = build(tmp_path / "w.pth", crop_size="64x32")
    assert (embedder.info.details["kind"], embedder.dim) == (name, dim)
    network.fc = torch.nn.Identity()
    batch = pictures(1)
    from mot_dinov3.models.pretrained import Preprocessing

    with torch.inference_mode():
        wanted = network(torch.from_numpy(Preprocessing(64, 32).batch(batch))).numpy()
    np.testing.assert_allclose(embedder.embed_images(batch), wanted / np.linalg.norm(wanted), atol=1e-4)


def test_a_reduced_resnet_keeps_its_last_stage_large(tmp_path: Path) -> None:
    import torch
    import torchvision

    from mot_dinov3.features.reid_networks import build_network

    tensors = torchvision.models.resnet18().state_dict()
    del tensors["fc.weight"], tensors["fc.bias"]
    reduction = torch.nn.Sequential(torch.nn.Linear(512, 16), torch.nn.BatchNorm1d(16))
    tensors |= {f"fc.{key}": value for key, value in reduction.state_dict().items()}
    network, name = build_network(tmp_path / "w.pth", tensors)
    assert name == "resnet18_fc16"
    shapes = []
    network.layer4.register_forward_hook(lambda module, inputs, output: shapes.append(tuple(output.shape)))
    network(torch.zeros(1, 3, 64, 32))
    assert shapes == [(1, 512, 4, 2)]  # a sixteenth of the input, not a thirty-second


def test_the_files_name_helps_where_the_tensors_do_not_tell(tmp_path: Path) -> None:
    import torch

    from mot_dinov3.features.reid_networks import architecture_in

    assert architecture_in("osnet_ain_x0_5_msmt17") == "osnet_ain_x0_5"
    assert architecture_in("mine-resnet50_fc512-2") == "resnet50_fc512"
    assert architecture_in("myresnet50") is None
    torch.save({"stem.weight": torch.zeros(3)}, tmp_path / "resnet50_market.pth")
    with pytest.raises(ModelError, match="are no resnet50, as its name says"):
        build(tmp_path / "resnet50_market.pth")


@pytest.mark.parametrize("content", [b"", b"not weights", b"PK\x03\x04 a torn archive"])
@pytest.mark.parametrize("ending", ["pt", "pth"])
def test_a_damaged_file_is_named(content: bytes, ending: str, tmp_path: Path) -> None:
    (tmp_path / f"w.{ending}").write_bytes(content)
    with pytest.raises(ModelError, match=f"w.{ending}' cannot be read") as caught:
        build(tmp_path / f"w.{ending}")
    assert "\n" not in caught.value.message
    assert "weights_only" not in caught.value.message


def test_a_damaged_onnx_file_is_named(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="needs the extra [onnx]")
    (tmp_path / "w.onnx").write_bytes(b"not a graph")
    with pytest.raises(ModelError, match=r"w\.onnx' cannot be run"):
        build(tmp_path / "w.onnx")


def test_a_file_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"none\.pt' does not exist"):
        build(tmp_path / "none.pt")


def test_weights_are_found_in_the_models_folder(
    checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models/person.pt").write_bytes((checkpoints / "osnet.pt").read_bytes())
    monkeypatch.chdir(tmp_path)
    assert build(Path("person.pt"), crop_size="64x32").dim == 64
