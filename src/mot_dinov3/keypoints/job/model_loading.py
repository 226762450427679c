"""Loading of the models of `keypoints` and `similarity`: dense backends and Cutie."""

from __future__ import annotations

import dataclasses
import functools
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mot_dinov3.core.errors import ModelError
from mot_dinov3.core.options import home_path
from mot_dinov3.core.registry import resolve
from mot_dinov3.keypoints.backends import BACKENDS
from mot_dinov3.keypoints.backends.base import CachedBackend, DenseRequest
from mot_dinov3.keypoints.cutie import CutieMaskTracker, load_cutie
from mot_dinov3.keypoints.cutie import find_weights as find_cutie
from mot_dinov3.keypoints.job.config import MODEL, BackendConfig
from mot_dinov3.models.devices import DeviceChoice, resolve_device
from mot_dinov3.models.weights import find_detector_weights, first_existing, local_folders

LOCAL_MODEL = (
    "put the model into a local folder: --model FOLDER (model_name in Python), or DINOV3_LOCATION=FOLDER\n"
    "or use a backend without it: --backend gradient"
)

log = logging.getLogger(__name__)

SMALL_DETECTOR = "yolov8n.pt"  # used for its layers where it happens to be available


@dataclasses.dataclass(frozen=True)
class LoadedBackend:
    """A backend, and notices on its choice."""

    backend: CachedBackend
    notices: tuple[str, ...] = ()


def build_backend(config: BackendConfig, device: DeviceChoice) -> LoadedBackend:
    """Build the dense backend that the options name; ``auto`` takes the best one available.

    Raises:
        ModelError: A model that was asked for is not available.
    """
    name = config.backend
    if name == "auto" and config.weights and not config.model:
        name = "convnet"
    if name != "auto":
        weights = find_detector_weights(config.weights or SMALL_DETECTOR) if name == "convnet" else None
        return LoadedBackend(_backend(name, config, weights, device))
    try:
        return LoadedBackend(_backend("dino", config, None, device))
    except ModelError as error:
        if config.model:
            raise
        weights = _local_detector()
        name = "convnet" if weights else "gradient"
        notice = f"backend {name}: DINO is not available ({error.message})"
        return LoadedBackend(_backend(name, config, weights, device), (notice,))


def available_backends(config: BackendConfig, device: DeviceChoice) -> tuple[list[BackendConfig], list[str]]:
    """Return the options of every backend that can be loaded, and of each other one why it cannot be.

    A backend that the options name is the only one. Weights of a detector are not downloaded.

    Raises:
        ModelError: A model that was asked for is not available.
    """
    local = _local_detector()
    weights = config.weights or (None if local is None else str(local))
    named = {"dino": config.model, "convnet": config.weights, config.backend: config.backend}
    found, left_out = [], []
    for name in BACKENDS if config.backend == "auto" else (config.backend,):
        one = dataclasses.replace(config, backend=name, weights=weights)
        try:
            if name == "convnet" and weights is None:
                raise ModelError(f"no weights, and no local {SMALL_DETECTOR}", remedy="--weights FILE")
            build_backend(one, device)
            found.append(one)
        except ModelError as error:
            if named.get(name):
                raise
            left_out.append(f"backend {name} left out: {error.message}")
    return found, left_out


def _local_detector() -> Path | None:
    """Return the weights of the small detector where they happen to be available."""
    return first_existing(*(folder / SMALL_DETECTOR for folder in local_folders()))


def _dino_place(named: str) -> str:
    """Return the DINO model to load: the environment's folder stands for every hub id, a folder given by name wins."""
    folder = home_path(os.environ.get("DINOV3_LOCATION", "").strip())
    is_path = named.startswith((".", "/", "~")) or named.count("/") > 1 or Path(named).exists()
    return named if is_path or not folder else folder


def _backend(name: str, config: BackendConfig, weights: Path | None, device: DeviceChoice) -> CachedBackend:
    where = "cpu" if name == "gradient" else resolve_device(device.device)
    load_convnet = functools.partial(_load_convnet, trust=device.trust_weights)
    request = DenseRequest(
        _dino_place(config.model or MODEL),
        weights,
        where,
        load_patches=_load_patches,
        load_convnet=load_convnet,
        blocks=config.blocks,
        debias=config.dino_debias,
    )
    backend = resolve("backend", BACKENDS, name)(request)
    log.info("keypoint backend: %s %s", backend.info.name, backend.info.weights)
    return CachedBackend(backend)


def _load_patches(model: str) -> Any:
    # Located first, so that a missing model is reported before torch takes its seconds.
    from mot_dinov3.models.hub import Advice, locate

    locate(model, advice=Advice("another model: --model ID_OR_FOLDER", LOCAL_MODEL))
    from mot_dinov3.features.vision_networks import load_patches

    return load_patches(model)


def _load_convnet(weights: str, *, trust: bool) -> Any:
    """Load a plain network's state dict, or an Ultralytics model, to run layer by layer."""
    from mot_dinov3.detectors.yolo import load_network
    from mot_dinov3.features.vision_networks import LayerOutputs, is_plain, load_mobilenet

    path = Path(weights)
    return load_mobilenet(path) if is_plain(path) else LayerOutputs(load_network(path, trust=trust)[0].model[:-1])


def build_cutie(device: DeviceChoice) -> Callable[[], CutieMaskTracker]:
    """Build what ``--masks cutie`` asks for: a function that makes the mask tracker of one pass.

    Raises:
        ModelError: Cutie or its weights are not available.
    """
    weights = find_cutie(local_folders())
    log.info("masks: Cutie, %s", weights)
    return load_cutie(weights, resolve_device(device.device), trust=device.trust_weights)
