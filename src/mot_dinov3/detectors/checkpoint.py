"""Ultralytics checkpoints, opened as data before the package sees them."""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import pickle
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mot_dinov3.core.errors import ModelError
from mot_dinov3.models.checkpoints import Inert, open_checkpoint, plain_value, shell
from mot_dinov3.models.weights import ultralytics_module

_NETWORKS = ("torch.nn.modules", "ultralytics.nn.modules", "ultralytics.nn.tasks")
_RENAMED = {
    "ultralytics.nn.modules.block.Silence": "torch.nn.modules.linear.Identity",
    "ultralytics.nn.tasks.YOLOv10DetectionModel": "ultralytics.nn.tasks.DetectionModel",
}
# Left behind by training: losses, a classifier's image transforms. Nothing here uses them.
_UNUSED = ("ultralytics.utils.loss", "ultralytics.utils.tal", "ultralytics.yolo.utils.loss", "torchvision.transforms")
_OTHER_REPOSITORIES = ("models.", "yolov5.", "yolov6.", "yolov7.", "yolov9.")
"""Modules of the repositories of YOLOv5 and its relatives, whose checkpoints are objects of their own code."""
_SETTINGS = ("ultralytics.utils.IterableSimpleNamespace", "ultralytics.yolo.utils.IterableSimpleNamespace")

_lock = threading.Lock()


@contextlib.contextmanager
def opened_as_data(*, trust: bool) -> Iterator[None]:
    """Let Ultralytics load checkpoints through `open_checkpoint` as long as this lasts; with `trust` even code.

    Raises:
        ModelError: This release of the package cannot be given a checkpoint.
    """
    ultralytics_module()
    from ultralytics.nn import tasks

    own = getattr(tasks, "torch_safe_load", None)
    if own is None:
        raise ModelError(
            "this release of ultralytics cannot load a checkpoint from memory", remedy="pip install -U ultralytics"
        )

    def load(weight: str | Path, *_: Any, **__: Any) -> tuple[dict[str, Any], str]:
        path = Path(weight)

        def allow(name: str) -> object | None:
            if name.startswith(_OTHER_REPOSITORIES):
                raise _other_repository(path, name)
            return allow_layer(name)

        content = open_checkpoint(path, trust=trust, allow=allow, as_code=lambda trusted: own(str(trusted))[0])
        if not isinstance(content, dict):
            raise ModelError(f"weights '{path}' are not an Ultralytics model", remedy="give a detector's weights")
        return content, str(path)

    with _lock:
        tasks.torch_safe_load = load
        try:
            yield
        finally:
            tasks.torch_safe_load = own


def _other_repository(path: Path, name: str) -> ModelError:
    return ModelError(
        f"weights '{path}' are of the repository of YOLOv5, v6, v7 or v9 ({name}) and open with its own code only",
        remedy="export them there (YOLOv5: python export.py --weights FILE --include onnx) and give the .onnx file,\n"
        "or use a model of Ultralytics, such as yolov5nu.pt",
    )


def allow_layer(name: str) -> object | None:
    """Return what stands for a name in an Ultralytics checkpoint: layers as shells, a few values, and inert rests."""
    if name in ("builtins.getattr", "__builtin__.getattr"):
        return _method
    if name in _SETTINGS or name.startswith(tuple(f"{module}." for module in _UNUSED)):
        return Inert
    layer = _layer(_RENAMED.get(name, name))
    return plain_value(name) if layer is None else shell(layer)


@functools.cache
def _layer(name: str) -> type | None:
    """Return the network or layer of that name, one of torch's or Ultralytics' own."""
    module, _, attribute = name.rpartition(".")
    if not any(module == place or module.startswith(f"{place}.") for place in _NETWORKS):
        return None
    importlib.import_module("ultralytics.nn.tasks")
    import torch

    found = getattr(sys.modules.get(module), attribute, None)
    known = inspect.isclass(found) and issubclass(found, torch.nn.Module)
    return found if known and found.__module__.startswith(_NETWORKS) else None


def _method(owner: Any, name: str) -> Any:
    """Stand for `getattr`, with which checkpoints name a layer's own way forward (``Detect.forward``)."""
    import torch

    layer = owner if isinstance(owner, type) else type(owner)
    if not issubclass(layer, torch.nn.Module) or not str(name).startswith("forward"):
        raise pickle.UnpicklingError("GLOBAL builtins.getattr may not be called by a file")
    return getattr(owner, name)
