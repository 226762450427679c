"""Dense backends of `keypoints` and `similarity`: which one, from what weights, on which device."""

from __future__ import annotations

import dataclasses
import functools
import logging
import os
from pathlib import Path
from typing import Any

from mot_dinov3.core.errors import ModelError
from mot_dinov3.core.registry import resolve
from mot_dinov3.keypoints.backends import BACKENDS, DenseRequest
from mot_dinov3.keypoints.backends.counted import CountedBackend
from mot_dinov3.keypoints.config import MODEL, KeypointJobConfig
from mot_dinov3.keypoints.cutie import CutieNetwork, load_cutie
from mot_dinov3.keypoints.cutie import find_weights as find_cutie
from mot_dinov3.models.devices import DeviceChoice, resolve_device
from mot_dinov3.models.weights import find_detector_weights, weights_cache

log = logging.getLogger(__name__)

SMALL_DETECTOR = "yolov8n.pt"  # used for its layers where it happens to be at hand


@dataclasses.dataclass(frozen=True)
class BackendChoice:
    """A backend, and why it was taken."""

    backend: CountedBackend
    notices: tuple[str, ...]


def build_backend(job: KeypointJobConfig, device: DeviceChoice) -> BackendChoice:
    """Build the dense backend that a job names; ``auto`` takes the best one at hand.

    Raises:
        ModelError: A model that was asked for cannot be had.
    """
    model = os.environ.get("DINOV3_LOCATION", "").strip() or job.model or MODEL
    name, notices = job.backend, []
    if name == "auto" and job.weights and not job.model:
        name = "convnet"
    if name == "auto":
        try:
            return BackendChoice(_backend("dino", model, None, device), ())
        except ModelError as error:
            if job.model:
                raise
            weights = _local_detector()
            name = "convnet" if weights else "gradient"
            notices.append(f"backend {name}: DINO is not available ({error.message})")
            return BackendChoice(_backend(name, model, weights, device), tuple(notices))
    weights = None
    if name == "convnet":
        weights = find_detector_weights(job.weights or SMALL_DETECTOR)
    return BackendChoice(_backend(name, model, weights, device), tuple(notices))


def _backend(name: str, model: str, weights: Path | None, device: DeviceChoice) -> CountedBackend:
    where = "cpu" if name == "gradient" else resolve_device(device.device)
    load_convnet = functools.partial(_load_convnet, trust=device.trust_weights)
    request = DenseRequest(model, weights, where, load_patches=_load_patches, load_convnet=load_convnet)
    backend = resolve("backend", BACKENDS, name)(request)
    log.info("keypoint backend: %s %s", backend.info.name, backend.info.weights)
    return CountedBackend(backend)


def _load_patches(model: str) -> Any:
    # Asked for first, so that a model that is not at hand is told before torch takes its seconds.
    from mot_dinov3.models.hub import locate

    locate(model)
    from mot_dinov3.features.vision_networks import load_patches

    return load_patches(model)


def _load_convnet(weights: str, *, trust: bool) -> Any:
    """Load a plain network's state dict, or an Ultralytics model, to run layer by layer."""
    from mot_dinov3.detectors.yolo import network_layers
    from mot_dinov3.features.vision_networks import LayerOutputs, is_plain, load_mobilenet

    path = Path(weights)
    return load_mobilenet(path) if is_plain(path) else LayerOutputs(network_layers(path, trust=trust))


def _local_folders() -> tuple[Path, ...]:
    return Path(), Path("models"), weights_cache()


def _local_detector() -> Path | None:
    places = (folder / SMALL_DETECTOR for folder in _local_folders())
    return next((p for p in places if p.is_file()), None)


def build_cutie(device: DeviceChoice) -> CutieNetwork:
    """Build what ``--masks cutie`` asks for.

    Raises:
        ModelError: Cutie or its weights are not here.
    """
    weights = find_cutie(_local_folders())
    log.info("masks: Cutie, %s", weights)
    return load_cutie(weights, resolve_device(device.device), trust=device.trust_weights)
