"""Checkpoints are data: opening one fills tensors and layers, and never runs what the file asks for.

torch's restricted unpickler (``weights_only=True``) knows tensors. A checkpoint that holds a whole network needs its
layers' classes too; they are let in as *shells*: classes whose objects can be filled, but which cannot be called, since
a constructor with the file's arguments is code of the file's choice (Ultralytics' evaluates parts of its model yaml).
"""

from __future__ import annotations

import contextlib
import functools
import logging
import pathlib
import pickle
import re
import struct
import threading
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from mot_dinov3.core.compat import PROTOCOL_MAY_LACK, SCRIPTS_GO, without_warning
from mot_dinov3.core.errors import ModelError, UntrustedModelError, first_line

Allow = Callable[[str], object | None]
"""Returns what stands for a name (``module.Class``) in a checkpoint, or None for what has no business there."""

DAMAGE = (
    RuntimeError,
    TypeError,
    ValueError,
    LookupError,
    AttributeError,
    AssertionError,
    ArithmeticError,
    MemoryError,
    OSError,
    EOFError,
    StopIteration,
    struct.error,
    zipfile.BadZipFile,
    pickle.UnpicklingError,
)
"""Exceptions that unpicklers raise for broken files."""

SAFER = (
    "safer formats contain no code: .safetensors, .onnx, or an OpenVINO folder\nor, only if you trust the "
    "author of the file: --trust-weights"
)
# Operators of TorchScript that reach files or libraries; all others only compute.
_SCRIPT_REACHES_OUT = re.compile(
    r"\b(from_file|torch\.(?:save|load|import_ir_module)|ops\.(?!prim\b|aten\b|quantized\b)\w+)"
)

_lock = threading.Lock()  # torch keeps its list of allowed classes per process
log = logging.getLogger(__name__)


def plain_value(name: str) -> object | None:
    """Return what stands for the few names beside tensors that a training script's own figures bring along."""
    if name in ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar"):
        return _scalar
    if name == "numpy.dtype":
        return _Kind
    match = re.fullmatch(r"pathlib(?:\._local)?\.(?:Pure)?(Posix|Windows)Path", name)
    if match:
        return pathlib.PurePosixPath if match[1] == "Posix" else pathlib.PureWindowsPath
    return None


def open_checkpoint(
    path: Path, *, trust: bool = False, allow: Allow = plain_value, as_code: Callable[[Path], Any] | None = None
) -> Any:
    """Return the content of a ``.pt`` or ``.pth`` file.

    Args:
        path: A file that `torch.save` wrote.
        trust: Open it even if it is more than data, with a warning.
        allow: Returns the names that it may use beside tensors.
        as_code: Opens a trusted file; None for torch's unrestricted loader.

    Raises:
        UntrustedModelError: It names something that is not allowed; nothing of it has run.
        ModelError: It is damaged or no checkpoint.
    """
    try:
        return _open_as_data(path, allow)
    except UntrustedModelError as error:
        if not trust:
            raise
        log.warning("%s; it is opened because of --trust-weights, and may run code", error.message)
    return as_code(path) if as_code is not None else _open_as_code(path)


def _open_as_data(path: Path, allow: Allow) -> Any:
    import torch

    named: list[str] = []  # beyond torch's own; where a broken file tells none, loading it does
    with contextlib.suppress(*DAMAGE):
        named = sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    standing = {name: allow(name) for name in named}
    unknown = [name for name, value in standing.items() if value is None]
    if unknown:
        raise _untrusted(path, unknown)
    allowed: list[Any] = [(value, name) for name, value in standing.items()]
    try:
        with _lock, without_warning(PROTOCOL_MAY_LACK), torch.serialization.safe_globals(allowed):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        refused = re.search(r"GLOBAL ([\w.]+)", str(error))
        if refused:
            allow(refused[1])  # what knows the name may say more
            raise _untrusted(path, [refused[1]]) from error
        raise _unreadable(path, "it is not a plain checkpoint, or contains more than tensors") from error
    except DAMAGE as error:
        raise _unreadable(path, first_line(error)) from error


def _open_as_code(path: Path) -> Any:
    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=False)
    except (ImportError, *DAMAGE) as error:
        raise _unreadable(path, first_line(error)) from error


def _untrusted(path: Path, names: Iterable[str]) -> UntrustedModelError:
    shown = list(names)
    more = f" and {len(shown) - 3} more" if len(shown) > 3 else ""
    return UntrustedModelError(
        f"weights '{path}' are not just data: they refer to {', '.join(shown[:3])}{more}, which could run code",
        remedy=SAFER,
    )


def _unreadable(path: Path, reason: str) -> ModelError:
    return ModelError(
        f"weights '{path}' cannot be read: {reason}",
        remedy="the file is damaged, or not a plain torch checkpoint; download or export it again",
    )


def open_script(path: Path, *, trust: bool = False) -> Any:
    """Return the module of a TorchScript archive.

    TorchScript is a language of its own that computes with tensors; an archive that names one of its few operators
    for files, or operators of other libraries, is refused.

    Raises:
        UntrustedModelError: It names such an operator.
        ModelError: It is damaged.
    """
    import torch

    try:
        with zipfile.ZipFile(path) as archive:
            code = [archive.read(name).decode("utf-8") for name in archive.namelist() if name.endswith(".py")]
        reaches = sorted({match[0] for text in code for match in _SCRIPT_REACHES_OUT.finditer(text)})
        if reaches and not trust:
            raise _untrusted(path, reaches)
        if reaches:
            log.warning("weights '%s' refer to %s and are opened (--trust-weights)", path, ", ".join(reaches))
        with without_warning(SCRIPTS_GO):
            return torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
    except DAMAGE as error:
        raise _unreadable(path, first_line(error)) from error


class _NoCall(type):
    """The class of shells: an object comes of `__new__` alone."""

    def __call__(cls, *args: object, **options: object) -> Any:
        raise pickle.UnpicklingError(f"GLOBAL {cls.__module__}.{cls.__qualname__} may not be called by a file")


@functools.cache
def shell(real: type) -> type:
    """Return a stand-in for a class: unpickling makes an empty object and fills it, which turns it into the real one.

    The real one's objects must be pickled as their attributes, like those of any `torch.nn.Module`.
    """

    def new(cls: type) -> Any:
        return object.__new__(cls)

    def fill(self: Any, state: Any) -> None:
        self.__class__ = real
        if hasattr(self, "__setstate__"):
            self.__setstate__(state)
        else:
            self.__dict__.update(state)

    members = {"__new__": new, "__setstate__": fill, "__module__": real.__module__, "__qualname__": real.__qualname__}
    return _NoCall(real.__name__, (real,), members)


class Inert:
    """Stands for an object that is not needed here, such as a loss function: it takes anything and does nothing."""

    def __init__(self, *args: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


class _Kind:
    """Stands for `numpy.dtype`, whose own way of being filled trusts the file."""

    def __init__(self, code: str, *_: object) -> None:
        if not re.fullmatch(r"[fiu][1248]|b1", code):
            raise pickle.UnpicklingError(f"no figure of kind {code!r}")
        self.code = code

    def __setstate__(self, state: object) -> None:
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else "<"
        self.code = f"{'>' if order == '>' else '<'}{self.code[-2:]}"


def _scalar(kind: _Kind, data: bytes) -> Any:
    """Stand for numpy's scalars."""
    return np.frombuffer(data, kind.code, count=1)[0].item()
