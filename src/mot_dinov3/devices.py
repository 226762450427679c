"""Which device and which precision a model runs with. torch is imported only when asked."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from mot_dinov3.errors import UsageError
from mot_dinov3.settings import require_choice, setting


@dataclasses.dataclass(frozen=True)
class DeviceConfig:
    """Where models run, and how far their files are trusted."""

    device: str = setting("auto", "auto (CUDA, then MPS, then CPU), cpu, cuda, mps or a CUDA index")
    precision: str = setting("auto", "number format of the embedder", choices=("auto", "fp32", "bf16", "fp16"))
    trust_weights: bool = setting(False, "open weights files that are more than data and may run code (.pt, .pth)")

    def __post_init__(self) -> None:
        require_choice(self, "precision")

    def notices(self) -> tuple[str, ...]:
        """Return what a user of models that run here should be told."""
        return ("--trust-weights: the weights files were allowed to run code",) if self.trust_weights else ()


def resolve_device(name: str) -> str:
    """Return ``cpu``, ``mps`` or ``cuda:N`` for what the user wrote.

    Raises:
        UsageError: The device does not exist here; the message lists those that do.
    """
    if name == "cpu":
        return name
    import torch

    cuda, mps = torch.cuda.device_count(), torch.backends.mps.is_available()
    if name == "auto":
        return "cuda:0" if cuda else "mps" if mps else "cpu"
    valid = {"cpu": "cpu"} | ({"mps": "mps"} if mps else {}) | ({"cuda": "cuda:0"} if cuda else {})
    for index in range(cuda):
        valid |= {str(index): f"cuda:{index}", f"cuda:{index}": f"cuda:{index}"}
    if name not in valid:
        raise UsageError(f"device '{name}' is not to be had here", remedy=f"valid here: auto, {', '.join(valid)}")
    return valid[name]


def resolve_precision(name: str, device: str) -> str:
    """Return ``fp32``, ``bf16`` or ``fp16`` for `name` on a resolved `device`; ``auto`` takes what is fast there.

    Raises:
        UsageError: The device does not have it; the message lists what it has.
    """
    fast, valid = _precisions(device)
    if name != "auto" and name not in valid:
        raise UsageError(
            f"precision '{name}' is not to be had on {device}", remedy=f"valid here: auto, {', '.join(valid)}"
        )
    return fast if name == "auto" else name


def _precisions(device: str) -> tuple[str, tuple[str, ...]]:
    """Return the precision that is fast on `device`, and all that it computes in."""
    if device.startswith("cuda"):
        import torch

        bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
        return ("bf16", ("fp32", "bf16", "fp16")) if bf16 else ("fp16", ("fp32", "fp16"))
    if device == "mps":
        return "fp32", ("fp32", "fp16")
    return "bf16" if {"avx512_bf16", "amx_bf16"} & _cpu_flags() else "fp32", ("fp32", "bf16")


def _cpu_flags() -> set[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return set()
    return {flag for line in lines if line.startswith("flags") for flag in line.split()}
