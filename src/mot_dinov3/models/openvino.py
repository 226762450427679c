"""OpenVINO: the package without its telemetry, conversion of torch modules, and compiled networks."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import logging
import sys
import types
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mot_dinov3.core.compat import override
from mot_dinov3.core.errors import first_line
from mot_dinov3.models.devices import usable_cpus

if TYPE_CHECKING:
    import torch

HINTS = {"fp32": "f32", "bf16": "bf16"}
"""OpenVINO's names of the precisions that are used on a CPU; int8 is never among them."""

MIXED = "bf16+fp32"
"""Precision of a network in two parts: bf16, and fp32 from its cut on, where rounding shows most."""

log = logging.getLogger(__name__)


def openvino_module() -> types.ModuleType:
    """Return the openvino package, imported so that it does not report its use to its makers.

    Raises:
        ImportError: It is not installed.
    """
    # Its Python tools send an event as soon as they are imported, unless the package that sends it is missing.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    return importlib.import_module("openvino")


def core() -> Any:
    """Return the one `openvino.Core` of the process.

    Raises:
        ImportError: OpenVINO is not installed.
    """
    openvino_module()  # not only in the cached part: the package must be there each time
    return _core()


@functools.cache
def _core() -> Any:
    return openvino_module().Core()


@dataclasses.dataclass(frozen=True)
class Normalization:
    """Mean and standard deviation per channel (RGB) of pixels in 0…255; OpenVINO applies them inside the network."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


class ConversionError(Exception):
    """A network that OpenVINO cannot run; the message says why. Callers fall back to torch."""


def convert(
    module: torch.nn.Module, pixels: Normalization, *, example: tuple[int, int], size: tuple[int, int] | None
) -> Any:
    """Return the `openvino.Model` of a torch module that takes ``(n, 3, h, w)`` normalised images.

    The model takes ``(n, h, w, 3)`` uint8 BGR images, any number of them.

    Args:
        module: In evaluation mode, float32, on the CPU.
        pixels: Normalization of its input.
        example: ``(height, width)`` of the input that it is traced with.
        size: ``(height, width)`` of every input; None for any.

    Raises:
        ConversionError: Something in it cannot be traced or converted.
    """
    import torch

    ov = openvino_module()
    height, width = size or (-1, -1)
    # Not inference_mode: what a network computes once and keeps would be unusable outside of it.
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TracerWarning, and that tracing itself is to be replaced some day
            image = torch.zeros(2, 3, *example)
            module(image)  # a first call may fill caches, which the trace must find filled
            traced = torch.jit.trace(module, image, check_trace=False, strict=False)  # type: ignore[no-untyped-call]
            model = ov.convert_model(traced, example_input=image, input=[-1, 3, height, width])
    except RuntimeError as error:
        raise ConversionError(f"OpenVINO cannot convert it: {first_line(error)}") from error
    steps = ov.preprocess.PrePostProcessor(model)
    tensor = steps.input().tensor()
    tensor.set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
    tensor.set_color_format(ov.preprocess.ColorFormat.BGR)
    steps.input().model().set_layout(ov.Layout("NCHW"))
    process = steps.input().preprocess().convert_element_type(ov.Type.f32)
    process.convert_color(ov.preprocess.ColorFormat.RGB).mean(list(pixels.mean)).scale(list(pixels.std))
    return steps.build()


def compile_options(precision: str, compiled: Path | None = None) -> dict[str, Any]:
    """Return what a network is compiled with, in a precision of `HINTS`; `compiled` is a folder for the next start."""
    chosen: dict[str, Any] = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": HINTS[precision],
        "INFERENCE_NUM_THREADS": usable_cpus(),
        # Decoding and encoding have threads of their own: a network pinned to a core would wait for them there.
        "ENABLE_CPU_PINNING": False,
    }
    return chosen | ({"CACHE_DIR": str(compiled)} if compiled is not None else {})


class OpenVinoNetwork:
    """A compiled network, of an `openvino.Model` or the path of one; the other arguments are `compile_options`'.

    Raises:
        RuntimeError: It cannot be read or compiled.
    """

    def __init__(self, model: Any, precision: str, *, compiled: Path | None = None) -> None:
        source = str(model) if isinstance(model, Path) else model
        self.request = core().compile_model(source, "CPU", compile_options(precision, compiled)).create_infer_request()
        self._outputs = len(self.request.model_outputs)

    def run(self, images: np.ndarray) -> Sequence[np.ndarray]:
        """Return all outputs for ``(n, h, w, 3)`` uint8 BGR images; they are valid until the next call."""
        tensor = openvino_module().Tensor(np.ascontiguousarray(images), shared_memory=True)
        self.request.set_input_tensor(tensor)
        self.request.infer()
        return [self.request.get_output_tensor(i).data for i in range(self._outputs)]


class MixedNetwork(OpenVinoNetwork):
    """A network in two parts, the first in bf16, the second in fp32; `cut` names what the second part reads.

    Raises:
        RuntimeError: It cannot be read, cut or compiled.
    """

    def __init__(self, model: Any, cut: Sequence[str], *, compiled: Path | None = None) -> None:
        whole = core().read_model(str(model)) if isinstance(model, Path) else model
        first, second = split(whole, cut)
        super().__init__(first, "bf16", compiled=compiled)
        self._rest = OpenVinoNetwork(second, "fp32", compiled=compiled).request

    @override
    def run(self, images: np.ndarray) -> Sequence[np.ndarray]:
        super().run(images)
        for i in range(len(self._rest.model_inputs)):
            self._rest.set_input_tensor(i, self.request.get_output_tensor(i))
        self._rest.infer()
        return [self._rest.get_output_tensor(i).data for i in range(len(self._rest.model_outputs))]


def open_network(
    model: Any, precision: str, *, cut: Sequence[str] = (), compiled: Path | None = None
) -> OpenVinoNetwork:
    """Compile a network in a precision of `HINTS`, or in `MIXED` with the operations to cut it at.

    Raises:
        RuntimeError: It cannot be read or compiled.
    """
    if precision == MIXED:
        return MixedNetwork(model, cut, compiled=compiled)
    return OpenVinoNetwork(model, precision, compiled=compiled)


def cut_before(model: Any, part: str) -> list[str]:
    """Return the names of the operations whose results a part of a converted module reads, to cut it off there.

    `part` is the prefix of its convolutions' names; the result is empty where the model cannot be cut there. (An
    activation that several layers share is named after one of them, so that only convolutions can be trusted.)
    """
    behind: set[str] = set()  # operations that depend on one of the part's
    names = []
    for op in model.get_ordered_ops():
        name = op.get_friendly_name()
        sources = [value.get_source_output().get_node().get_friendly_name() for value in op.inputs()]
        if op.get_type_name() == "Convolution" and name.startswith(part):
            names += [source for source in sources[:1] if source not in behind]
            behind.add(name)
        elif behind.intersection(sources):
            behind.add(name)
    names = list(dict.fromkeys(names))
    try:
        split(model.clone(), names)
    except RuntimeError as error:
        log.info("no mixed precision: %s", first_line(error))
        return []
    return names


def split(model: Any, cut: Sequence[str]) -> tuple[Any, Any]:
    """Return the part of a model up to the operations that `cut` names, and the part from there on.

    Raises:
        RuntimeError: They do not separate it.
    """
    ov = openvino_module()
    first = _named(model, cut)
    rest = model.clone()
    inputs = []
    for output in _named(rest, cut):
        placeholder = ov.op.Parameter(output.get_element_type(), output.get_partial_shape())
        for target in output.get_target_inputs():
            target.replace_source_output(placeholder.output(0))
        inputs.append(placeholder)
    return ov.Model(first, model.get_parameters(), "first"), ov.Model(rest.get_results(), inputs, "rest")


def _named(model: Any, names: Sequence[str]) -> list[Any]:
    nodes = {op.get_friendly_name(): op for op in model.get_ops()}
    missing = [name for name in names if name not in nodes]
    if missing or not names:
        raise RuntimeError(f"it has no operation {', '.join(missing) or 'to be cut at'}")
    return [nodes[name].output(0) for name in names]
