"""Runtimes other than torch, each behind its extra: ONNX Runtime, OpenVINO, LiteRT."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from mot_dinov3.core.compat import override
from mot_dinov3.core.errors import ModelError, UsageError, first_line
from mot_dinov3.core.structures import FloatArray
from mot_dinov3.features.network import Runtime
from mot_dinov3.models import openvino
from mot_dinov3.models.devices import DeviceConfig, resolve_precision

INPUT_TYPES = ("float32", "float16", "uint8")
LEAST_WIDTH = 32  # numbers of an embedding, where a network has several outputs


@dataclasses.dataclass(frozen=True)
class ImageInput:
    """The input of an exported network.

    Attributes:
        batch: Images that it takes at once, None for any number.
        size: ``(height, width)``, or None where the file leaves it open.
        dtype: Numbers that it takes; whole ones are levels from 0 to 255, not normalised.
        channels_last: The order is ``(n, height, width, 3)``.
    """

    batch: int | None
    size: tuple[int, int] | None
    dtype: np.dtype[Any]
    channels_last: bool

    def fit(self, batch: FloatArray) -> npt.NDArray[Any]:
        """Return a preprocessed ``(n, 3, h, w)`` batch as the network takes it."""
        if self.dtype.kind == "u":
            batch = np.rint(batch)
        if self.channels_last:
            batch = batch.transpose(0, 2, 3, 1)
        return np.ascontiguousarray(batch, self.dtype)


class FileRuntime(Runtime):
    """A `Runtime` that executes an exported network in the format `kind`."""

    kind: ClassVar[str]
    input: ImageInput
    device: str = "cpu"
    precision: str = "fp32"


class OnnxRuntime(FileRuntime):
    """Executes an ``.onnx`` file with ONNX Runtime, on CUDA where it is requested and built in, else on the CPU.

    Raises:
        ModelError: ONNX Runtime is missing, or the file is damaged or not an image network.
        UsageError: A precision is requested (an ONNX file has its own), or a device that it cannot use.
    """

    kind = "onnx"

    def __init__(self, path: Path, device: DeviceConfig) -> None:
        try:
            import onnxruntime
            from onnxruntime.capi import onnxruntime_pybind11_state as state
        except ImportError as error:
            raise missing_extra(path, "onnxruntime", "onnx") from error
        check_precision(path, device)
        # These derive from Exception alone.
        names = ("Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "NoSuchFile", "NotImplemented")
        self._errors = tuple(getattr(state, name) for name in (*names, "RuntimeException"))
        cuda = "CUDAExecutionProvider" in onnxruntime.get_available_providers()
        if device.device not in ("auto", "cpu") and not cuda:
            raise UsageError(
                f"device '{device.device}' is not available for '{path}': this onnxruntime runs on the CPU only",
                remedy="valid here: auto, cpu",
            )
        self.device = "cuda" if cuda and device.device != "cpu" else "cpu"
        providers = ["CUDAExecutionProvider"] if self.device == "cuda" else []
        self._path = path
        try:
            self._session = onnxruntime.InferenceSession(str(path), providers=[*providers, "CPUExecutionProvider"])
        except self._errors as error:
            raise damaged(path, error) from error
        inputs = self._session.get_inputs()
        self._name = inputs[0].name
        dtype = inputs[0].type.removeprefix("tensor(").removesuffix(")")
        dtype = "float32" if dtype == "float" else dtype
        self.input = image_input(path, inputs[0].shape if len(inputs) == 1 else (), dtype)
        outputs = self._session.get_outputs()
        self._output = outputs[embedding_output(path, [(output.name, output.shape) for output in outputs])].name

    @override
    def run(self, batch: FloatArray) -> FloatArray:
        try:
            return in_batches(batch, self.input.batch, self._call)
        except self._errors as error:
            raise damaged(self._path, error) from error

    def _call(self, rows: FloatArray) -> FloatArray:
        found: FloatArray = self._session.run([self._output], {self._name: self.input.fit(rows)})[0]
        return found


class OpenVinoRuntime(FileRuntime):
    """Executes an OpenVINO network on the CPU.

    Raises:
        ModelError: OpenVINO is missing, or the network is missing, damaged or not an image network.
        UsageError: OpenVINO's CPU plugin has no such precision.
    """

    kind = "openvino"

    def __init__(self, path: Path, precision: str) -> None:
        try:
            core = openvino.core()
        except ImportError as error:
            raise missing_extra(path, "openvino", "fast") from error
        self.precision = "fp32" if precision == "auto" else resolve_precision(precision, "cpu")
        if self.precision not in openvino.HINTS:
            raise UsageError(f"precision '{precision}' is not available for '{path}'", remedy="valid here: fp32, bf16")
        try:
            self._network = core.compile_model(str(network_file(path)), "CPU", openvino.compile_options(self.precision))
            port = self._network.input()
        except RuntimeError as error:
            raise damaged(path, error) from error
        self.input = image_input(path, _sides(port), port.element_type.to_dtype().name)
        outputs = [(next(iter(output.names), str(n)), _sides(output)) for n, output in enumerate(self._network.outputs)]
        self._output = embedding_output(path, outputs)

    @override
    def run(self, batch: FloatArray) -> FloatArray:
        return in_batches(batch, self.input.batch, lambda rows: self._network(self.input.fit(rows))[self._output])


class LiteRuntime(FileRuntime):
    """Executes a ``.tflite`` network with LiteRT on the CPU.

    Raises:
        ModelError: LiteRT is missing, or the file is damaged or not an image network.
        UsageError: A precision is requested.
    """

    kind = "tflite"

    def __init__(self, path: Path, device: DeviceConfig) -> None:
        check_precision(path, device)
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise missing_extra(path, "LiteRT", "tflite") from error
        self._path = path
        try:
            self._network = Interpreter(model_path=str(path), num_threads=1)
            self._network.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise damaged(path, error) from error
        inputs, outputs = self._network.get_input_details(), self._network.get_output_details()
        shape = inputs[0]["shape"].tolist() if len(inputs) == 1 else ()
        self.input = image_input(path, shape, np.dtype(inputs[0]["dtype"]).name)
        output = embedding_output(path, [(found["name"], found["shape"].tolist()) for found in outputs])
        self._input, self._output = inputs[0]["index"], outputs[output]["index"]

    @override
    def run(self, batch: FloatArray) -> FloatArray:
        try:
            return in_batches(batch, self.input.batch, self._call)
        except (RuntimeError, ValueError) as error:
            raise damaged(self._path, error) from error

    def _call(self, rows: FloatArray) -> FloatArray:
        self._network.set_tensor(self._input, self.input.fit(rows))
        self._network.invoke()
        return np.asarray(self._network.get_tensor(self._output))


def check_precision(path: Path, device: DeviceConfig) -> None:
    """Raise `UsageError` where a precision is requested: such a file has its own."""
    if device.precision not in ("auto", "fp32"):
        raise UsageError(
            f"precision '{device.precision}' cannot be chosen for '{path}'", remedy="valid here: auto, fp32"
        )


def network_file(path: Path) -> Path:
    """Return the ``.xml`` of an OpenVINO folder, or `path` itself."""
    if not path.is_dir():
        return path
    files = sorted(path.glob("*.xml"))
    if len(files) != 1:
        raise ModelError(
            f"folder '{path}' holds {len(files)} .xml files, not one OpenVINO network",
            remedy="give the .xml file itself, or a folder written by an export to OpenVINO",
        )
    return files[0]


def image_input(path: Path, shape: Sequence[object], dtype: str = "float32") -> ImageInput:
    """Return what an input of a shape and a type of number takes; raise `ModelError` unless it takes RGB images."""
    sides = [side if isinstance(side, int) and side > 0 else None for side in shape]
    last = len(sides) == 4 and sides[3] == 3 and sides[1] != 3
    if len(sides) != 4 or (sides[1] not in (3, None) and not last):
        raise ModelError(
            f"model '{path}' does not take (n, 3, height, width) or (n, height, width, 3) images: its input is "
            f"{list(shape)}"
        )
    if dtype not in INPUT_TYPES:
        raise ModelError(
            f"model '{path}' takes {dtype} numbers, not {', '.join(INPUT_TYPES)}",
            remedy="export it with such an input; quantised networks need one that is not quantised",
        )
    height, width = sides[1:3] if last else sides[2:]
    size = (height, width) if height and width else None
    return ImageInput(sides[0], size, np.dtype(dtype), last)


def embedding_output(path: Path, outputs: Sequence[tuple[str, Sequence[object]]]) -> int:
    """Return which of the named outputs is the embedding: the only one, or the only one of vectors of some length.

    Raises:
        ModelError: Several could be, or none; the message lists them.
    """
    if len(outputs) == 1:
        return 0
    fitting = [number for number, (_, shape) in enumerate(outputs) if _is_embedding(shape)]
    if len(fitting) == 1:
        return fitting[0]
    listed = ", ".join(f"{name} {list(shape)}" for name, shape in outputs)
    which = "several" if fitting else "none"
    raise ModelError(
        f"model '{path}' has {len(outputs)} outputs, of which {which} can be the embedding: {listed}",
        remedy=f"export it with the embedding alone: one vector of {LEAST_WIDTH} or more numbers per image",
    )


def _is_embedding(shape: Sequence[object]) -> bool:
    sides = list(shape)
    while len(sides) > 2 and sides[-1] == 1:
        sides.pop()
    return len(sides) == 2 and (not isinstance(sides[1], int) or sides[1] < 1 or sides[1] >= LEAST_WIDTH)


def _sides(port: Any) -> list[int | None]:
    """Return the sides of OpenVINO's tensor, None where open."""
    return [side.get_length() if side.is_static else None for side in port.partial_shape]


def in_batches(batch: FloatArray, fixed: int | None, run: Callable[[FloatArray], FloatArray]) -> FloatArray:
    """Return ``(n, d)`` rows of `run`, called with `fixed` rows at a time where a network takes no other number."""
    count = len(batch)
    if fixed is None or fixed == count:
        return vectors(run(batch), count)
    filled = np.concatenate([batch, np.zeros((-count % fixed, *batch.shape[1:]), np.float32)])
    parts = [vectors(run(filled[i : i + fixed]), fixed).copy() for i in range(0, len(filled), fixed)]
    return np.concatenate(parts)[:count]


def vectors(output: npt.ArrayLike, count: int) -> FloatArray:
    """Return a network's output for `count` images as ``(count, d)`` float32; sides of length 1 are left out.

    Raises:
        ValueError: It is a map or a table per image, as a detector's, and no vector.
    """
    found = np.asarray(output, np.float32)
    if found.ndim > 2 and sum(side > 1 for side in found.shape[1:]) > 1:
        raise ValueError(f"its output has the shape {list(found.shape)}, and not one vector per image")
    return found.reshape(count, -1)


def missing_extra(path: Path, package: str, extra: str) -> ModelError:
    """Build the error for a file whose package is not installed."""
    return ModelError(f"model '{path}' needs {package}", remedy=f"pip install 'mot-dinov3[{extra}]'")


def damaged(path: Path, error: BaseException) -> ModelError:
    """Build the error for a file that its runtime refuses."""
    return ModelError(
        f"model '{path}' cannot be run: {first_line(error)}", remedy="the file is damaged or has another format"
    )
