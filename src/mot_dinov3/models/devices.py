"""Devices and precisions that models run with. torch is imported only when asked."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mot_dinov3.core.errors import UsageError
from mot_dinov3.core.options import StageConfig, option

if TYPE_CHECKING:
    import numpy.typing as npt
    import torch

ACCELERATORS = ("auto", "torch", "openvino")
GPU_NODES = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/nvmap", "/dev/dxg", "/dev/kfd")  # NVIDIA, Jetson, WSL, AMD
CPU_UNITS = {
    "avx2": "AVX2",
    "avx512f": "AVX-512",
    "avx512_vnni": "AVX512-VNNI",
    "avx512_bf16": "AVX512-BF16",
    "amx_bf16": "AMX-BF16",
}
"""Flag of a processor that makes networks fast → its name."""
EXTRA = "pip install 'mot-dinov3[fast]'"


@dataclasses.dataclass(frozen=True)
class DeviceChoice(StageConfig):
    """Device of the models, and trust in their files."""

    group = "device"

    device: str = option("auto", "auto (CUDA, then MPS, then CPU), cpu, cuda, mps or a CUDA index", common=True)
    trust_weights: bool = option(False, "allow weights files that contain code, which may run (.pt, .pth)")

    def notices(self) -> tuple[str, ...]:
        """Return lines for a user of models that run here."""
        return ("--trust-weights: the weights files may have run code",) if self.trust_weights else ()


@dataclasses.dataclass(frozen=True)
class DeviceConfig(DeviceChoice):
    """Device, precision and runtime of the models."""

    precision: str = option("auto", "number format of the networks", choices=("auto", "fp32", "bf16", "fp16"))
    accel: str = option(
        "auto", "runtime of the networks on a CPU: OpenVINO if installed, or torch", choices=ACCELERATORS
    )


@dataclasses.dataclass(frozen=True)
class DevicePlan:
    """Device of a torch network, and precisions to try in OpenVINO, best first; none where torch is to run it."""

    device: str
    openvino: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()


def usable_cpus() -> int:
    """Return how many processors this process may use: those it may run on, at most ``OMP_NUM_THREADS``."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return min(allowed, int(limit)) if limit.isdecimal() and int(limit) else allowed


def cpu_description() -> str:
    """Return the processor's name, how many of them may be used, and which vector and matrix units they have."""
    fields = _cpu_fields()
    name = fields.get("model name") or platform.machine()
    units = [unit for flag, unit in CPU_UNITS.items() if flag in _cpu_flags()]
    return ", ".join([name, f"{usable_cpus()} processors", *units])


def plan_run(config: DeviceConfig) -> DevicePlan:
    """Return how torch networks are to be run with `config`.

    Raises:
        UsageError: The device does not exist here, has no such precision, or OpenVINO is not available on it.
    """
    device = resolve_device(config.device)
    precision = resolve_precision(config.precision, device)
    if config.accel == "torch" or (config.accel == "auto" and device != "cpu"):
        return DevicePlan(device)
    if device != "cpu":
        raise UsageError(
            f"--accel openvino runs on the CPU, not on {device}", remedy="add --cpu, or leave --accel to auto"
        )
    if importlib.util.find_spec("openvino") is None:
        if config.accel == "openvino":
            raise UsageError("--accel openvino needs OpenVINO, which is not installed", remedy=EXTRA)
        return DevicePlan(
            device, notices=(f"OpenVINO is not installed; networks run faster on this CPU with it: {EXTRA}",)
        )
    tried = (precision, "fp32") if config.precision == "auto" else (precision,)
    native = tuple(dict.fromkeys(p for p in tried if p == "fp32" or _has_bf16()))
    if config.accel == "openvino" and not native:
        raise UsageError(
            f"precision '{precision}' is not available in OpenVINO on this CPU", remedy="valid here: auto, fp32"
        )
    return DevicePlan(device, native)


def resolve_device(name: str) -> str:
    """Return ``cpu``, ``mps`` or ``cuda:N`` for what the user wrote.

    Raises:
        UsageError: The device does not exist here; the message lists those that do.
    """
    if name == "cpu" or (name == "auto" and not _may_have_gpu()):
        return "cpu"
    import torch

    cuda, mps = torch.cuda.device_count(), torch.backends.mps.is_available()
    if name == "auto":
        return "cuda:0" if cuda else "mps" if mps else "cpu"
    valid = {"cpu": "cpu"} | ({"mps": "mps"} if mps else {}) | ({"cuda": "cuda:0"} if cuda else {})
    for index in range(cuda):
        valid |= {str(index): f"cuda:{index}", f"cuda:{index}": f"cuda:{index}"}
    if name not in valid:
        raise UsageError(
            f"device '{name}' is not available on this machine", remedy=f"valid here: auto, {', '.join(valid)}"
        )
    return valid[name]


def resolve_precision(name: str, device: str) -> str:
    """Return ``fp32``, ``bf16`` or ``fp16`` for `name` on a resolved `device`; ``auto`` takes what is fast there.

    Raises:
        UsageError: The device does not have it; the message lists what it has.
    """
    fast, valid = _precisions(device)
    if name != "auto" and name not in valid:
        raise UsageError(
            f"precision '{name}' is not available on {device}", remedy=f"valid here: auto, {', '.join(valid)}"
        )
    return fast if name == "auto" else name


def torch_dtype(precision: str) -> torch.dtype:
    """Return torch's number format of a precision: ``fp32``, ``bf16`` or ``fp16``."""
    import torch

    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]


def is_gpu(device: str) -> bool:
    """Tell whether a resolved device is one that crops are prepared on, and half precision is tried on: CUDA alone.

    Neither was tested on Apple's GPU.
    """
    return device.startswith("cuda")


def gpu_precisions(device: str) -> tuple[str, ...]:
    """Return the precisions of a CUDA device, to be tried in this order.

    bf16 comes first, because nothing overflows in it; fp16 is as fast and rounds to an eighth of its steps.
    """
    return tuple(dict.fromkeys((resolve_precision("auto", device), "fp16", "fp32")))


def upload(array: npt.NDArray[Any], device: torch.device) -> torch.Tensor:
    """Return an array on a device; the copy to a GPU goes on while the caller does.

    torch keeps the page-locked memory for the next array, and reuses it only when the copy is done.
    """
    import numpy as np
    import torch

    kind = torch.from_numpy(np.empty(0, array.dtype)).dtype
    cuda = device.type == "cuda"
    buffer = torch.empty(array.shape, dtype=kind, pin_memory=cuda)
    buffer.numpy()[...] = array
    return buffer.to(device, non_blocking=cuda)


def _may_have_gpu() -> bool:
    """Tell whether torch is worth the second or more that asking it costs: it is loaded already, or a driver is."""
    return sys.platform != "linux" or "torch" in sys.modules or any(Path(node).exists() for node in GPU_NODES)


def _precisions(device: str) -> tuple[str, tuple[str, ...]]:
    """Return the precision that is fast on `device`, and all that it computes in."""
    if device.startswith("cuda"):
        import torch

        bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
        return ("bf16", ("fp32", "bf16", "fp16")) if bf16 else ("fp16", ("fp32", "fp16"))
    if device == "mps":
        return "fp32", ("fp32", "fp16")
    return "bf16" if _has_bf16() else "fp32", ("fp32", "bf16")


def _has_bf16() -> bool:
    """Tell whether the CPU multiplies in bf16 itself; torch can without that, but not fast."""
    return bool({"avx512_bf16", "amx_bf16"} & _cpu_flags())


def _cpu_flags() -> set[str]:
    return set(_cpu_fields().get("flags", "").split())


def _cpu_fields() -> dict[str, str]:
    """Return what Linux tells of the first processor, by name; nothing elsewhere."""
    try:
        first = Path("/proc/cpuinfo").read_text().split("\n\n")[0]
    except OSError:
        return {}
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in first.splitlines())}
