"""What `export` takes and refuses."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from mot_dinov3.apps.export.config import FORMATS, ExportConfig
from mot_dinov3.cli import main
from mot_dinov3.core.errors import MotError


def test_names_of_weights_and_folders() -> None:
    assert ExportConfig(embed_model="a/osnet_x1_0.v2.pt").name == "osnet_x1_0.v2"
    assert ExportConfig(embed_model="facebook/dinov2-base", embedder="dino").name == "dinov2-base"
    assert ExportConfig(embed_model="w.pt", run_name="mine").name == "mine"
    assert ExportConfig(embed_model="clip").network == ("clip", "")
    assert ExportConfig(embed_model="w.pt").network == ("osnet", "w.pt")
    assert ExportConfig(embed_model="some/folder", embedder="dino").network == ("dino", "some/folder")
    assert ExportConfig(embed_model="w", include="onnx, engine onnx").formats == ("onnx", "engine")


@pytest.mark.parametrize("words", [["--format", "onxx"], ["format=onxx"], ["--include", "torchscript", "onxx"]])
def test_the_formats_are_named_as_ultralytics_names_them_too(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", "--embed-model", "w.pt", *words]) == 2
    assert "unknown format 'onxx'; did you mean 'onnx'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"embed_model": ""}, "weights are missing"),
        ({"include": "onxx"}, "unknown format 'onxx'; did you mean 'onnx'"),
        ({"include": " , "}, "include must be some of"),
        ({"opset": 9}, "opset must be between 18 and 25"),
        ({"batch_size": 0}, "batch_size must be between 1 and 4096"),
        ({"run_name": "../evil"}, "run_name must be a plain name"),
        ({"embed_model": ".."}, "run_name must be a plain name"),
        ({"optimize": True, "include": "onnx"}, "--optimize is for torchscript"),
        ({"optimize": True, "half": True}, "--optimize is for mobile CPUs"),
        ({"simplify": True}, "--simplify is for onnx"),
        ({"embedder": "osnett"}, "unknown embedder 'osnett'"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(MotError, match=message) as caught:
        ExportConfig(**{"embed_model": "w.pt", **options})
    assert caught.value.exit_code == 2


def test_formats_without_their_library_are_named_before_anything_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = importlib.util.find_spec
    lacking = {"tensorrt", "litert_torch", "onnxscript"}
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name in lacking else found(name, *more)
    )
    words = ["export", "--weights", "nowhere.pt", "--include", "onnx", "engine", "tflite", "--out-dir", str(tmp_path)]
    assert main(words) == 4
    said = capsys.readouterr().err
    assert "format 'onnx' cannot be made without onnxscript\n  pip install 'mot-dinov3[export]'" in said
    assert "format 'engine' cannot be made without tensorrt" in said
    assert "format 'tflite' cannot be made without litert_torch" in said
    assert "nowhere.pt" not in said
    assert main(["export", "--list-formats"]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in listed] == list(FORMATS)
    assert listed[0].endswith("ready")
    assert "needs: pip install" in listed[1]


def test_lists(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "--list-reid-models"]) == 0
    assert {"osnet_x0_25", "osnet_ain_x1_0", "resnet50"} <= set(capsys.readouterr().out.split())
    assert main(["export", "--list-reid-weights"]) == 0
    assert "osnet_x0_25_msmt17.pt" in capsys.readouterr().out.split()


def test_weights_that_do_not_exist_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "--weights", "nowhere.pt", "--out-dir", str(tmp_path)]) == 4
    assert "weights 'nowhere.pt' do not exist, neither here nor in" in capsys.readouterr().err
