"""Exported files: what they give, what is told of them, and what is left when one fails."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mot_dinov3.apps.export import ExportOptions, ExportResult, export
from mot_dinov3.apps.export.config import ExportConfig
from mot_dinov3.cli import main
from mot_dinov3.features.base import Embedder
from mot_dinov3.features.factory import EmbedderConfig, build_embedder
from mot_dinov3.models.devices import DeviceConfig
from mot_dinov3.models.pretrained import Preprocessing

PICTURES = list(np.random.default_rng(3).integers(0, 256, (4, 70, 40, 3), np.uint8))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An OSNet of random weights."""
    import torch

    from mot_dinov3.features.osnet_network import OSNet

    torch.set_num_threads(1)
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "person.pt"
    torch.save(OSNet((16, 64, 96, 128), 32).state_dict(), path)
    return path


@pytest.fixture(scope="module")
def exported(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> ExportResult:
    """The weights as TorchScript, in a folder of their own."""
    return run(weights, tmp_path_factory.mktemp("exported"))


def run(weights: Path | str, folder: Path, **options: Any) -> ExportResult:
    return export(ExportOptions(ExportConfig(embed_model=str(weights), out_dir=str(folder), **options)))


def load(path: Path, **options: Any) -> Embedder:
    config = EmbedderConfig(embedder="osnet", embed_model=str(path), crop_pad=0.0, **options)
    return build_embedder(config, device=DeviceConfig("auto", precision="fp32", accel="torch"))


def cosines(one: Embedder, other: Embedder) -> np.ndarray:
    return np.einsum("nd,nd->n", one.embed_images(PICTURES), other.embed_images(PICTURES))


def test_torchscript_gives_what_its_source_gives_and_is_told_of(weights: Path, exported: ExportResult) -> None:
    (artefact,) = exported.exported
    folder = artefact.path.parent
    assert (folder.name, artefact.path.name) == ("person", "person.torchscript")
    assert not exported.failures
    assert artefact.max_cosine_error < 1e-5
    assert cosines(load(weights), load(artefact.path)).min() > 1 - 1e-5
    meta = json.loads((folder / "export_meta.json").read_text())
    assert list(meta)[:14] == [
        "schema_version", "source_weights", "model_name", "device", "half", "dynamic", "simplify", "opset", "imgsz",
        "batch_size", "dynamic_batch", "include", "elapsed_sec", "outputs",
    ]  # fmt: skip
    assert (meta["schema_version"], meta["model_name"], meta["imgsz"]) == ("export-v1", "osnet_x0_25", [256, 128])
    assert meta["outputs"] == {"torchscript": "person.torchscript"}
    assert meta["max_cosine_error"]["torchscript"] == artefact.max_cosine_error
    assert sorted(path.name for path in folder.iterdir()) == ["export_meta.json", "person.torchscript"]


@pytest.mark.slow
def test_half_precision_halves_the_file(weights: Path, exported: ExportResult, tmp_path: Path) -> None:
    whole, half = exported.exported[0], run(weights, tmp_path, half=True).exported[0]
    assert half.bytes < 0.8 * whole.bytes
    assert 0 < half.max_cosine_error < 1e-2


@pytest.mark.slow
def test_one_format_that_fails_leaves_the_others_and_what_was_there(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from mot_dinov3.apps.export import writers
    from mot_dinov3.apps.export.config import FORMATS

    def spoilt(source: Any, path: Path) -> None:
        source.module.network.fc[0].weight.data.neg_()
        writers.write_torchscript(source, path)
        source.module.network.fc[0].weight.data.neg_()

    def refused(source: Any, path: Path) -> None:
        path.write_text("half of it")
        raise ValueError("no such operator\nand much more")

    monkeypatch.setitem(writers.WRITERS, "onnx", refused)
    monkeypatch.setitem(writers.WRITERS, "tflite", spoilt)
    for name in ("onnx", "tflite"):
        monkeypatch.setitem(FORMATS, name, FORMATS["torchscript"])
    folder = tmp_path / "person"
    folder.mkdir()
    (folder / "person.torchscript").write_text("an earlier one")
    words = ["export", "--weights", str(weights), "--out-dir", str(tmp_path)]
    assert main([*words, "--include", "onnx", "tflite"]) == 4
    said = capsys.readouterr().err
    assert "format 'onnx' cannot be made of this network: no such operator\n" in said
    assert "format 'tflite' is not accurate: cosine error" in said
    assert (folder / "person.torchscript").read_text() == "an earlier one"
    assert set(json.loads((folder / "export_meta.json").read_text())["failed"]) == {"onnx", "tflite"}
    assert sorted(path.name for path in folder.iterdir()) == ["export_meta.json", "person.torchscript"]
    assert main([*words, "--include", "onnx", "torchscript"]) == 4
    assert cosines(load(weights), load(folder / "person.torchscript")).min() > 1 - 1e-5


def test_every_file_takes_pictures_normalised_in_one_way() -> None:
    import torch

    from mot_dinov3.apps.export.writers import Renormalised

    network = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    for own in (
        Preprocessing(20, 10),
        Preprocessing(20, 10, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4)),
        Preprocessing(20, 10, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), scale=1.0),
    ):
        given = Renormalised(network, own)(torch.from_numpy(Preprocessing(20, 10).batch(PICTURES)))
        wanted = network(torch.from_numpy(own.batch(PICTURES)))
        torch.testing.assert_close(given, wanted, rtol=1e-4, atol=1e-4)


def test_what_is_no_torch_network_is_refused(
    exported: ExportResult, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = exported.exported[0].path
    assert main(["export", "--weights", str(script), "--out-dir", str(tmp_path)]) == 4
    assert "is not a torch network that can be exported (torchscript)" in capsys.readouterr().err
    assert main(["export", "--weights", "any", "--embedder", "histogram", "--out-dir", str(tmp_path)]) == 4
    assert "is not a torch network" in capsys.readouterr().err


@pytest.mark.slow
def test_onnx_and_openvino_take_any_number_of_pictures_and_any_size(weights: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="needs the extra [export]")
    pytest.importorskip("openvino", reason="needs the extra [fast]")
    result = run(weights, tmp_path, include="onnx openvino", dynamic=True, simplify=True)
    assert not result.failures
    for artefact in result.exported:
        assert artefact.max_cosine_error < 1e-5
        other = {"crop_size": "128x96"}
        assert cosines(load(weights, **other), load(artefact.path, **other)).min() > 1 - 1e-5


@pytest.mark.slow
def test_a_fixed_batch_and_half_precision_in_onnx(weights: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="needs the extra [export]")
    import onnx

    result = run(weights, tmp_path, include="onnx", batch_size=3, half=True)
    assert not result.failures
    graph = onnx.load(str(result.exported[0].path)).graph
    assert [side.dim_value for side in graph.input[0].type.tensor_type.shape.dim] == [3, 3, 256, 128]
    assert graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    assert cosines(load(weights), load(result.exported[0].path)).min() > 0.99


@pytest.mark.slow
def test_a_transformer_is_exported_with_its_own_size(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="needs the extra [export]")
    import torch
    import transformers

    torch.manual_seed(0)
    config = transformers.Dinov2Config(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, image_size=28, patch_size=14
    )
    transformers.Dinov2Model(config).save_pretrained(tmp_path / "tiny")
    result = run(tmp_path / "tiny", tmp_path / "out", embedder="dino", include="torchscript onnx")
    assert not result.failures
    for artefact in result.exported:
        embedder = load(artefact.path)
        assert embedder.dim == 32
        assert embedder.embed_images(PICTURES).shape == (4, 32)


@pytest.mark.slow
def test_tflite_gives_what_its_source_gives(weights: Path, tmp_path: Path) -> None:
    pytest.importorskip("litert_torch", reason="needs the extra [tflite]")
    result = run(weights, tmp_path, include="tflite")
    assert not result.failures
    assert cosines(load(weights), load(result.exported[0].path)).min() > 1 - 1e-5
