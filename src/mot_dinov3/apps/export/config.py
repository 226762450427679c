"""Export formats and the options of `export`."""

from __future__ import annotations

import dataclasses
import importlib.util
from pathlib import Path

from mot_dinov3.core.compat import override
from mot_dinov3.core.errors import ConfigError, UsageError, unknown_name
from mot_dinov3.core.options import StageConfig, option, require
from mot_dinov3.core.registry import check_name
from mot_dinov3.features.factory import DEFAULT_MODELS, EMBEDDERS

OPSETS = (18, 25)  # that torch's exporter writes
PLAIN_SUFFIXES = (".pt", ".pth", ".safetensors")  # not part of a network's name


@dataclasses.dataclass(frozen=True)
class ExportFormat:
    """A format of exported networks: suffix of the run's name, modules that write and run it, and how to get these."""

    ending: str
    needs: tuple[str, ...]
    install: str

    def missing(self) -> list[str]:
        """Return the modules that are not installed."""
        return [name for name in self.needs if importlib.util.find_spec(name) is None]


FORMATS = {
    "torchscript": ExportFormat(".torchscript", (), ""),
    "onnx": ExportFormat(".onnx", ("onnx", "onnxscript", "onnxruntime"), "pip install 'mot-dinov3[export]'"),
    "openvino": ExportFormat("_openvino_model", ("openvino",), "pip install 'mot-dinov3[fast]'"),
    "engine": ExportFormat(
        ".engine", ("tensorrt", "onnx", "onnxscript"), "pip install tensorrt 'mot-dinov3[export]', on an NVIDIA GPU"
    ),
    "tflite": ExportFormat(".tflite", ("litert_torch", "ai_edge_litert"), "pip install 'mot-dinov3[tflite]'"),
}


@dataclasses.dataclass(frozen=True)
class ExportConfig(StageConfig):
    """Weights to export, formats and their options.

    Raises:
        ConfigError: A value is out of range, or options contradict each other.
        UsageError: No weights, or no such format.
    """

    group = "export"

    embed_model: str = option(
        "",
        f"weights, also searched for in --models-dir, or an embedder: {', '.join(DEFAULT_MODELS)}",
        metavar="MODEL",
        positional=True,
        aliases=("weights", "reid_weights"),
    )
    embedder: str = option("", "embedder that --embed-model belongs to (default osnet)", metavar="NAME")
    include: str = option("torchscript", f"formats: {', '.join(FORMATS)}", metavar="FORMAT", aliases=("format",))
    out_dir: str = option("models/exports", "parent folder of the run folders", metavar="DIR", writes=True)
    run_name: str | None = option(
        None, "name of the run folder and its files (default: the weights')", metavar="NAME", writes=True
    )
    device: str = option("cpu", "where the network runs while it is exported; engine needs cuda")
    half: bool = option(
        False, "half precision of the weights (torchscript, openvino, tflite) or of the whole network (onnx, engine)"
    )
    batch_size: int | None = option(
        None, "images per batch (default: any number; tflite 1)", metavar="N", low=1, high=4096
    )
    optimize: bool = option(False, "optimise torchscript for mobile CPUs")
    dynamic: bool = option(False, "also make height and width dynamic")
    simplify: bool = option(False, "simplify the onnx graph with onnxslim")
    opset: int = option(18, "version of the ONNX operator set", low=OPSETS[0], high=OPSETS[1])
    verbose: bool = option(False, "verbose output of TensorRT")
    models_dir: str = option("models", "folder that is searched for weights by name", metavar="DIR")
    trust_weights: bool = option(False, "allow weights files that contain code, which may run (.pt, .pth)")

    @override
    def check(self) -> None:
        if not self.embed_model:
            raise UsageError("no input: weights are missing", remedy="give --embed-model FILE, or an embedder's name")
        if self.embedder:
            check_name("embedder", EMBEDDERS, self.embedder)
        for name in self.formats:
            if name not in FORMATS:
                raise unknown_name("format", name, FORMATS)
        require(bool(self.formats), "include", repr(self.include), f"some of {', '.join(FORMATS)}")
        name = self.name
        plain = name == Path(name).name and name not in ("", ".", "..") and "\\" not in name
        require(plain, "run_name", repr(name), "a plain name without a slash")
        if self.optimize and "torchscript" not in self.formats:
            raise ConfigError("--optimize is for torchscript", remedy="add it: --include torchscript")
        if self.optimize and (self.half or self.device != "cpu"):
            raise ConfigError("--optimize is for mobile CPUs: it cannot be combined with --half or another --device")
        if self.simplify and not {"onnx", "engine"} & set(self.formats):
            raise ConfigError("--simplify is for onnx and engine", remedy="add it: --include onnx")

    @property
    def formats(self) -> tuple[str, ...]:
        """The formats wanted, each once."""
        return tuple(dict.fromkeys(self.include.replace(",", " ").split()))

    @property
    def network(self) -> tuple[str, str]:
        """The embedder, and the model as the user named it; an empty model is the embedder's own."""
        if not self.embedder and self.embed_model in DEFAULT_MODELS:
            return self.embed_model, ""
        return self.embedder or "osnet", self.embed_model

    @property
    def name(self) -> str:
        """Name of the run folder and of the files in it."""
        if self.run_name is not None:
            return self.run_name
        path = Path(self.embed_model)
        return path.stem if path.suffix in PLAIN_SUFFIXES else path.name


@dataclasses.dataclass(frozen=True)
class ExportOptions:
    """All options of the command `export`."""

    export_job: ExportConfig
