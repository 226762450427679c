"""Writers of the export formats. Imports torch; each format's own library is imported where it is used.

Every file takes ImageNet-normalised RGB as float32, independent of its network's training, so that it loads wherever
re-identification weights do.
"""

from __future__ import annotations

import copy
import dataclasses
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mot_dinov3.apps.export.config import ExportConfig
from mot_dinov3.core.errors import ModelError, UsageError
from mot_dinov3.features.osnet import SIZE_NOTE
from mot_dinov3.models.pretrained import IMAGENET_MEAN, IMAGENET_STD, Preprocessing

INPUT, OUTPUT = "images", "features"
ENGINE_BATCH = (1, 16, 64)  # minimum, usual and maximum batch of an engine with a variable batch
ENGINE_SCALE = (0.5, 1.0, 2.0)  # the same of its height and width, of the network's own


@dataclasses.dataclass(frozen=True)
class ExportSource:
    """A torch network to export, ``(n, 3, h, w)`` to ``(n, d)`` float32, in evaluation mode, and its options."""

    module: nn.Module
    size: tuple[int, int]
    device: str
    config: ExportConfig

    def example(self, *, batch: int = 2) -> torch.Tensor:
        """Return an input to trace with: of two images where the batch is variable, since 1 would become a constant."""
        shape = (self.config.batch_size or batch, 3, *self.size)
        return torch.rand(shape, generator=torch.Generator().manual_seed(0)).to(self.device)

    @property
    def variable_axes(self) -> tuple[int, ...]:
        """Axes of the input without a fixed length."""
        return (*((0,) if self.config.batch_size is None else ()), *((2, 3) if self.config.dynamic else ()))


class Renormalised(nn.Module):
    """A network with ImageNet-normalised input, independent of the `preprocessing` that it was trained with."""

    def __init__(self, network: nn.Module, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.network = network
        std, mean, usual_std, usual_mean = (
            torch.tensor(values, dtype=torch.float64).reshape(1, 3, 1, 1)
            for values in (preprocessing.std, preprocessing.mean, IMAGENET_STD, IMAGENET_MEAN)
        )
        factor = 255 * preprocessing.scale * usual_std / std
        shift = (255 * preprocessing.scale * usual_mean - mean) / std
        self.usual = bool((factor - 1).abs().max() < 1e-6 and shift.abs().max() < 1e-6)
        self.factor: torch.Tensor
        self.shift: torch.Tensor
        self.register_buffer("factor", factor.float())
        self.register_buffer("shift", shift.float())

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return ``(n, d)`` for ``(n, 3, h, w)``."""
        features: torch.Tensor = self.network(pixels if self.usual else pixels * self.factor + self.shift)
        return features


class HalfPrecision(nn.Module):
    """A network that computes in half precision, with float32 input and output."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).half()

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return ``(n, d)`` for ``(n, 3, h, w)``."""
        features: torch.Tensor = self.network(pixels.half())
        return features.float()


def write_torchscript(source: ExportSource, path: Path) -> None:
    """Trace the network; the archive contains the size of its input. It takes any number of images."""
    module, example = source.module, source.example()
    if source.config.half:
        module, example = copy.deepcopy(module).half(), example.half()
    script: Any = torch.jit.trace(module, (example,), check_trace=False)  # type: ignore[no-untyped-call]
    if source.config.optimize:
        from torch.utils.mobile_optimizer import optimize_for_mobile

        try:
            script = optimize_for_mobile(script)
        except RuntimeError as error:
            raise ModelError(
                "this build of torch cannot optimise for mobile CPUs (it has no XNNPACK)",
                remedy="leave out --optimize, or use another build of torch",
            ) from error
    torch.jit.save(script, str(path), {SIZE_NOTE: "x".join(map(str, source.size))})


def write_onnx(source: ExportSource, path: Path) -> None:
    """Write a graph with torch's exporter."""
    module = HalfPrecision(source.module).eval() if source.config.half else source.module
    sides = {0: torch.export.Dim("batch"), 2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
    torch.onnx.export(
        module,
        (source.example(),),
        str(path),
        input_names=[INPUT],
        output_names=[OUTPUT],
        opset_version=source.config.opset,
        dynamo=True,
        dynamic_shapes=({axis: sides[axis] for axis in source.variable_axes},),
        external_data=False,
        verbose=False,
    )
    if source.config.simplify:
        try:
            import onnx
            import onnxslim
        except ImportError as error:
            raise ModelError("--simplify needs onnxslim", remedy="pip install 'mot-dinov3[export]'") from error
        onnx.save(onnxslim.slim(str(path)), str(path))


def write_openvino(source: ExportSource, path: Path) -> None:
    """Write an ``.xml`` and its ``.bin`` into the new folder `path`."""
    import openvino

    example = source.example()
    shape = [-1 if axis in source.variable_axes else side for axis, side in enumerate(example.shape)]
    model = openvino.convert_model(source.module, example_input=example, input=[openvino.PartialShape(shape)])
    path.mkdir()
    openvino.save_model(model, path / "model.xml", compress_to_fp16=source.config.half)


def write_engine(source: ExportSource, path: Path) -> None:
    """Build an engine for the local GPU from the network's ONNX graph, whose number formats it keeps."""
    from mot_dinov3.features.tensorrt import load_tensorrt

    if source.device == "cpu":
        raise UsageError("format 'engine' is built on a GPU", remedy="add --device cuda")
    tensorrt = load_tensorrt("format 'engine'")
    logger = tensorrt.Logger(tensorrt.Logger.VERBOSE if source.config.verbose else tensorrt.Logger.WARNING)
    builder = tensorrt.Builder(logger)
    network = builder.create_network(1 << int(tensorrt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = tensorrt.OnnxParser(network, logger)
    with tempfile.TemporaryDirectory() as folder:
        graph = Path(folder) / "network.onnx"
        write_onnx(source, graph)
        if not parser.parse(graph.read_bytes()):
            problems = "; ".join(str(parser.get_error(number)) for number in range(parser.num_errors))
            raise ModelError(f"TensorRT does not accept the network: {problems[:300]}")
    settings = builder.create_builder_config()
    if source.variable_axes:
        profile = builder.create_optimization_profile()
        profile.set_shape(INPUT, *_engine_shapes(source))
        settings.add_optimization_profile(profile)
    plan = builder.build_serialized_network(network, settings)
    if plan is None:
        raise ModelError("TensorRT could not build the engine", remedy="--verbose shows its output")
    path.write_bytes(plan)


def _engine_shapes(source: ExportSource) -> list[tuple[int, ...]]:
    """Return the minimum, usual and maximum shape of an engine's input."""
    shapes: list[tuple[int, ...]] = []
    for batch, scale in zip(ENGINE_BATCH, ENGINE_SCALE if source.config.dynamic else (1.0, 1.0, 1.0)):
        height, width = (int(side * scale) for side in source.size)
        shapes.append((source.config.batch_size or batch, 3, height, width))
    return shapes


def write_tflite(source: ExportSource, path: Path) -> None:
    """Convert with LiteRT's converter; the batch is fixed, by default to 1."""
    if source.config.dynamic:
        raise UsageError("format 'tflite' has a fixed height and width", remedy="export it without --dynamic")
    import litert_torch

    module = copy.deepcopy(source.module).cpu()
    litert_torch.convert(module, (source.example(batch=1).cpu(),)).export(str(path))
    if source.config.half:
        _halve_tflite(path)


def _halve_tflite(path: Path) -> None:
    """Store the weights of a ``.tflite`` file in half precision."""
    from ai_edge_quantizer import qtyping, quantizer, recipe_manager  # comes with litert_torch

    casting = qtyping.OpQuantizationConfig(
        weight_tensor_config=qtyping.TensorQuantizationConfig(num_bits=16, dtype=qtyping.TensorDataType.FLOAT),
        compute_precision=qtyping.ComputePrecision.FLOAT,
        explicit_dequantize=True,
    )
    quantized = quantizer.Quantizer(str(path))
    quantized.update_quantization_recipe(
        regex=".*",
        operation_name=qtyping.TFLOperationName.ALL_SUPPORTED,
        op_config=casting,
        algorithm_key=recipe_manager.AlgorithmName.FLOAT_CASTING,
    )
    quantized.quantize().export_model(str(path), overwrite=True)


WRITERS: dict[str, Callable[[ExportSource, Path], None]] = {
    "torchscript": write_torchscript,
    "onnx": write_onnx,
    "openvino": write_openvino,
    "engine": write_engine,
    "tflite": write_tflite,
}


def write(name: str, source: ExportSource, path: Path) -> None:
    """Write the format `name`.

    Raises:
        ModelError: The network, or the library, does not allow it.
        UsageError: The format does not support an option.
    """
    with torch.no_grad():
        WRITERS[name](source, path)
