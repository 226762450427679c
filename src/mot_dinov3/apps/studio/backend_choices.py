"""Dense backends, their models and mask sources as the page offers them: available ones first, others with a reason."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from mot_dinov3.apps.studio.keypoint_settings import in_page_terms
from mot_dinov3.core.errors import ModelError
from mot_dinov3.keypoints.backends import BACKENDS
from mot_dinov3.keypoints.config import MASK_KINDS
from mot_dinov3.keypoints.cutie import find_weights as find_cutie
from mot_dinov3.keypoints.job.config import MODEL
from mot_dinov3.keypoints.job.model_loading import SMALL_DETECTOR
from mot_dinov3.models.hub import cached_folder
from mot_dinov3.models.weights import PUBLISHED, detector_path, local_folders

DINO_MODELS = (
    MODEL,
    "facebook/dinov3-vits16plus-pretrain-lvd1689m",
    "facebook/dinov3-vitb16-pretrain-lvd1689m",
    "facebook/dinov3-vitl16-pretrain-lvd1689m",
    "facebook/dinov2-small",
    "facebook/dinov2-base",
)
GATED = "facebook/dinov3"
NOT_HERE = "not on this computer; it is downloaded at the first use"
MEANINGS = {
    "auto": "the best one that is available: dino, else convnet, else gradient",
    "dino": "patch descriptors of a DINO model",
    "convnet": "middle layers of a detector or of an ImageNet network",
    "gradient": "orientations of edges; needs no model",
}
MASKS = {
    "auto": "dino with the dino backend, else flow",
    "none": "outlines are not used",
    "flow": "drawn outlines, moved with the animal by optical flow",
    "dino": "drawn outlines, propagated by the descriptors of the backend",
    "cutie": "drawn outlines, propagated by the segmentation network Cutie",
}


def choices() -> dict[str, Any]:
    """Return backends with their models, and sources of masks; what cannot be used has a reason."""
    return {
        "backends": [_choice("auto", MEANINGS["auto"]), *_available_first(_backend(name) for name in BACKENDS)],
        "masks": [_choice("auto", MASKS["auto"]), *_available_first(_mask(name) for name in MASK_KINDS)],
    }


def _choice(name: str, meaning: str = "", reason: str = "", **more: Any) -> dict[str, Any]:
    return {"name": name, "meaning": meaning, "reason": reason, "models": [], **more}


def _available_first(found: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(found, key=lambda choice: bool(choice["reason"]))


def _backend(name: str) -> dict[str, Any]:
    models = {"dino": _dino_models, "convnet": _convnet_models}.get(name, list)()
    without = "none of its models is on this computer" if models and all(model["reason"] for model in models) else ""
    return _choice(name, MEANINGS[name], without, models=_available_first(models))


def _dino_models() -> list[dict[str, Any]]:
    folder = os.environ.get("DINOV3_LOCATION", "").strip()
    if folder:
        return [_choice(folder, "the folder of DINOV3_LOCATION, which stands for every model")]
    return [_choice(name, reason=_dino_reason(name)) for name in DINO_MODELS]


def _dino_reason(name: str) -> str:
    if cached_folder(name) is not None:
        return ""
    return f"{NOT_HERE}, after its licence was accepted" if name.startswith(GATED) else NOT_HERE


def _convnet_models() -> list[dict[str, Any]]:
    small = [name for name in PUBLISHED if name == SMALL_DETECTOR or detector_path(name) is not None]
    others = {path.name for folder in local_folders() for path in folder.glob("mobilenet*.pt")}
    return [_choice(name, reason="" if detector_path(name) else NOT_HERE) for name in (*small, *sorted(others))]


def _mask(name: str) -> dict[str, Any]:
    reason = ""
    if name == "cutie":
        try:
            find_cutie(local_folders())
        except ModelError as error:
            reason = in_page_terms(error.message)
    return _choice(name, MASKS[name], reason)
