"""TensorRT engines: built for one GPU by `export`, run on the same kind of GPU. Needs NVIDIA's tensorrt and CUDA."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mot_dinov3.core.compat import override
from mot_dinov3.core.errors import ModelError, UsageError
from mot_dinov3.core.structures import FloatArray
from mot_dinov3.features.runtimes import FileRuntime, check_precision, damaged, image_input, in_batches, vectors
from mot_dinov3.models.devices import DeviceConfig

REMEDY = "pip install tensorrt (on a machine with an NVIDIA GPU), or give the .pt, .torchscript, .onnx or OpenVINO form"


def load_tensorrt(what: str) -> Any:
    """Return the module tensorrt, which the model or format `what` needs.

    Raises:
        ModelError: It is not installed, or there is no CUDA device.
    """
    try:
        import tensorrt
    except (ImportError, OSError) as error:  # OSError: its libraries are there and do not load
        raise ModelError(f"{what} needs tensorrt, which is not installed here", remedy=REMEDY) from error
    import torch

    if not torch.cuda.is_available():
        raise ModelError(f"{what} requires an NVIDIA GPU, and torch finds none", remedy=REMEDY)
    return tensorrt


class TensorRtRuntime(FileRuntime):
    """Executes an ``.engine`` file on the current CUDA device; torch holds the memory.

    Raises:
        ModelError: tensorrt or CUDA is missing, or the engine is damaged, of another version or GPU, or not an image
            network.
        UsageError: A precision is requested, or the CPU.
    """

    kind = "engine"

    def __init__(self, path: Path, device: DeviceConfig) -> None:
        check_precision(path, device)
        if device.device in ("cpu", "mps"):
            raise UsageError(f"'{path}' runs on CUDA only, not on {device.device}", remedy="valid here: auto, cuda")
        tensorrt = load_tensorrt(f"model '{path}'")
        import torch

        self._path = path
        runtime = tensorrt.Runtime(tensorrt.Logger(tensorrt.Logger.ERROR))
        engine = runtime.deserialize_cuda_engine(path.read_bytes())
        if engine is None:
            raise ModelError(
                f"model '{path}' is not an engine that TensorRT {tensorrt.__version__} can run on this GPU",
                remedy="an engine is specific to a version and a GPU model: export it again on this machine",
            )
        names = [engine.get_tensor_name(number) for number in range(engine.num_io_tensors)]
        inputs = [name for name in names if engine.get_tensor_mode(name) == tensorrt.TensorIOMode.INPUT]
        shape = tuple(engine.get_tensor_shape(inputs[0])) if len(inputs) == 1 and len(names) == 2 else ()
        # its memory is laid out by torch as float32, in the order of the shape
        self.input = image_input(path, shape)
        self._input, self._output = inputs[0], next(name for name in names if name not in inputs)
        self._largest = engine.get_tensor_profile_shape(self._input, 0)[2][0]
        self._engine = engine  # a context outlives neither its engine
        self._runtime = runtime  # nor the runtime
        self._context = engine.create_execution_context()
        self._stream: Any = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self.device = f"cuda:{torch.cuda.current_device()}"

    @override
    def run(self, batch: FloatArray) -> FloatArray:
        if self.input.batch is not None or len(batch) <= self._largest:
            return in_batches(batch, self.input.batch, self._call)
        parts = [self._call(batch[at : at + self._largest]) for at in range(0, len(batch), self._largest)]
        return np.concatenate(parts)

    def _call(self, rows: FloatArray) -> FloatArray:
        import torch

        pixels = torch.from_numpy(self.input.fit(rows)).to(self.device)
        if not self._context.set_input_shape(self._input, tuple(pixels.shape)):
            raise damaged(self._path, ValueError(f"it does not accept input of shape {tuple(pixels.shape)}"))
        features = torch.empty(tuple(self._context.get_tensor_shape(self._output)), device=self.device)
        self._context.set_tensor_address(self._input, pixels.data_ptr())
        self._context.set_tensor_address(self._output, features.data_ptr())
        self._stream.wait_stream(torch.cuda.current_stream())  # the copy of the pixels
        if not self._context.execute_async_v3(self._stream.cuda_stream):
            raise damaged(self._path, RuntimeError("TensorRT could not execute it"))
        self._stream.synchronize()
        return vectors(features.cpu().numpy(), len(rows))
