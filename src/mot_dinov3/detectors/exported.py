"""Networks in exported formats (ONNX, OpenVINO, TorchScript, …): the size of their input, the layout of their output.

Files that Ultralytics did not write lack its notes on size, classes and task. What they lack is read from the graph,
and the network is run once on a grey image: it is a detector, in a layout that is known, or it is refused.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from mot_dinov3.core.errors import ModelError, first_line
from mot_dinov3.detectors.output_layout import REMEDY, OutputLayout, find_layout
from mot_dinov3.models.checkpoints import DAMAGE

GREY = 114 / 255


class ExportedNetwork:
    """An exported network: what its file and one run of it tell, and its output in the layout that Ultralytics reads.

    Attributes:
        size: ``(height, width)`` of its input; None where any is accepted.
        names: Class id → name; numbered ones where the file has none.
        layout: Of its output, None where Ultralytics' own notes say that it is finished.

    Raises:
        ModelError: It is no detector, does not run, or its output cannot be read.
    """

    def __init__(self, weights: Path, device: str, *, side: int, task: str) -> None:
        import torch
        from ultralytics.nn.autobackend import AutoBackend

        self.weights = weights
        network = AutoBackend(str(weights), device=torch.device(device), verbose=False)
        self.size = fixed_size(network)
        self._notes = dict(getattr(network, "metadata", None) or {})
        self.names = {int(c): str(name) for c, name in network.names.items()}
        self._check_input(network)
        self.layout = self._find_layout(network, task, self.size or (_whole_strides(side, network.stride),) * 2)
        if "names" not in self._notes and self.layout is not None:
            self.names = {c: f"class{c}" for c in range(self.layout.classes or len(self.names))}
        self._attached: Any = None

    def attach(self, network: Any) -> None:
        """Let a network of the same file, as the predictor opens it, give its output in the layout that this reads."""
        if self.layout is not None and network is not self._attached:
            network.register_forward_hook(self._rearrange)
            self._attached = network

    def _check_input(self, network: Any) -> None:
        inputs = _inputs(network)
        if len(inputs) > 1:
            self._refuse(f"it has {len(inputs)} inputs")
        for shape in inputs:
            if len(shape) != 4 or (isinstance(shape[1], int) and shape[1] not in (1, 3)):
                self._refuse(f"an input of shape {_shown(shape)} is not an image, (1, 3, height, width)")
            if isinstance(shape[0], int) and shape[0] > int(getattr(network, "batch", 1)):
                raise ModelError(
                    f"detector weights '{self.weights}' take {shape[0]} images at once",
                    remedy="export them for one image (batch=1)",
                )

    def _find_layout(self, network: Any, task: str, size: tuple[int, int]) -> OutputLayout | None:
        if self._notes.get("end2end"):
            return None
        shapes = self._output_shapes(network, size)
        extra = _extra_columns(task, self._notes, shapes)
        classes = len(self.names) if "names" in self._notes else None
        try:
            return find_layout(shapes[0], size, classes=classes, extra=extra)
        except ValueError as error:
            self._refuse(str(error))

    def _output_shapes(self, network: Any, size: tuple[int, int]) -> list[tuple[int, ...]]:
        """Return the shapes of the outputs for a grey image."""
        import torch

        channels = int(getattr(network, "channels", 3))
        with running(self.weights, size), torch.inference_mode():
            output = network(torch.full((1, channels, *size), GREY, device=network.device))
        tensors = output if isinstance(output, list | tuple) else [output]
        return [tuple(getattr(tensor, "shape", ())) for tensor in tensors]

    def _rearrange(self, network: Any, given: Any, output: Any) -> Any:
        """Return the output in the layout that Ultralytics reads: a hook of `torch.nn.Module`."""
        assert self.layout is not None
        first, rest = (output[0], list(output[1:])) if isinstance(output, list | tuple) else (output, [])
        columns = self.layout.to_columns(first)
        if "task" not in self._notes or self.layout.objectness or self.layout.rows:
            self.layout.check_values(columns, str(self.weights))
        return [columns, *rest] if rest else columns

    def _refuse(self, reason: str) -> NoReturn:
        raise ModelError(f"'{self.weights}' is no detector, or is exported in an unknown way: {reason}", remedy=REMEDY)


@contextlib.contextmanager
def running(weights: Path, size: tuple[int, int]) -> Iterator[None]:
    """Turn what a runtime raises for an image of ``(height, width)`` into an error that names weights and size.

    Raises:
        ModelError: The network does not run on it.
    """
    try:
        yield
    except ModelError:
        raise
    except runtime_errors(weights) as error:
        raise ModelError(
            f"detector weights '{weights}' do not run on an image of {size[1]}×{size[0]} pixels: {first_line(error)}",
            remedy="give the size that they were exported for with --imgsz, or export them again",
        ) from error


def runtime_errors(weights: Path) -> tuple[type[Exception], ...]:
    """Return what loaders and runtimes raise for files that they cannot use: each format has its own ways."""
    errors: tuple[type[Exception], ...] = (*DAMAGE, SyntaxError)
    if weights.suffix.lower() == ".onnx":
        # ONNX Runtime's errors derive from nothing more special than Exception.
        from onnxruntime.capi import onnxruntime_pybind11_state as state

        errors += tuple(v for v in vars(state).values() if isinstance(v, type) and issubclass(v, Exception))
    return errors


def fixed_size(network: Any) -> tuple[int, int] | None:
    """Return ``(height, width)`` of an exported network's input, by its notes or its graph; None where any is taken."""
    notes = getattr(network, "metadata", None) or {}
    if "imgsz" in notes and not getattr(network, "dynamic", False):
        sides = notes["imgsz"]
        height, width = (sides, sides) if isinstance(sides, int) else (sides[0], sides[-1])
        return int(height), int(width)
    for shape in _inputs(network):
        if len(shape) == 4 and isinstance(shape[2], int) and isinstance(shape[3], int):
            return shape[2], shape[3]
    return None


def _inputs(network: Any) -> list[tuple[int | None, ...]]:
    """Return the shapes of the inputs, as far as the runtime tells; None for a side that is not fixed."""
    session, compiled = (getattr(network, name, None) for name in ("session", "ov_compiled_model"))
    if session is not None:
        return [tuple(side if isinstance(side, int) else None for side in i.shape) for i in session.get_inputs()]
    if compiled is not None:
        shapes = [given.get_partial_shape() for given in compiled.inputs]
        return [tuple(side.get_length() if side.is_static else None for side in shape) for shape in shapes]
    return []


def _extra_columns(task: str, notes: dict[str, Any], shapes: list[tuple[int, ...]]) -> int:
    """Return the columns of an output that follow those of the classes."""
    if task == "obb":
        return 1
    if task == "pose" and "kpt_shape" in notes:
        return math.prod(notes["kpt_shape"])
    if task == "segment" and len(shapes) > 1 and len(shapes[1]) == 4:
        return shapes[1][1]
    return 0


def _whole_strides(side: int, stride: int) -> int:
    return max(math.ceil(side / stride), 1) * stride


def _shown(shape: tuple[int | None, ...]) -> str:
    return f"({', '.join('?' if side is None else str(side) for side in shape)})"
