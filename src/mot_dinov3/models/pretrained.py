"""Loading vision networks through transformers: the weights all there, the preprocessing their own."""

from __future__ import annotations

import contextlib
import dataclasses
import pickle
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mot_dinov3.core.errors import FormatError, ModelError, first_line
from mot_dinov3.core.json_text import read_object
from mot_dinov3.core.structures import FloatArray, Image
from mot_dinov3.models.hub import EMBEDDER, Advice, unsupported

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """Preprocessing that a network was trained with; it is stored beside the weights.

    Attributes:
        height: Pixels of the input.
        width: Pixels of the input.
        mean: Subtracted per channel (RGB) after scaling.
        std: Divided by per channel (RGB).
        scale: Factor from 0…255 to the range in which `mean` and `std` are given.
    """

    height: int
    width: int
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    scale: float = 1 / 255

    def batch(self, crops: Sequence[Image]) -> FloatArray:
        """Return ``(n, 3, height, width)`` float32 RGB for BGR crops of any size."""
        pixels = resize_into(crops, self.height, self.width)
        out = np.empty((len(crops), 3, self.height, self.width), np.float32)
        for channel in range(3):
            plane = out[:, channel]
            np.multiply(pixels[..., 2 - channel], np.float32(self.scale / self.std[channel]), out=plane)
            plane -= np.float32(self.mean[channel] / self.std[channel])
        return out

    def resized(self, size: tuple[int, int] | None, patch: int = 1) -> Preprocessing:
        """Return the preprocessing with an input of ``(height, width)`` `size` or its own, in whole patches."""
        height, width = (max(round(side / patch), 1) * patch for side in size or (self.height, self.width))
        return dataclasses.replace(self, height=height, width=width)


def resize_into(crops: Sequence[Image], height: int, width: int) -> Image:
    """Return the crops as one ``(n, height, width, 3)`` uint8 batch: averaged where they shrink, linear where not."""
    import cv2

    batch = np.empty((len(crops), height, width, 3), np.uint8)
    for row, crop in zip(batch, crops):
        shrinks = crop.shape[0] > height and crop.shape[1] > width
        cv2.resize(crop, (width, height), dst=row, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return batch


# Tensors that a checkpoint may lack: they play no part in an embedding.
UNUSED = ("mask_token",)


def read_config(folder: Path, model: str, families: Collection[str], *, advice: Advice = EMBEDDER) -> Any:
    """Return the transformers config of the model in `folder`, whose ``model_type`` must be one of `families`.

    `model` is its name as the user gave it, for messages; `advice` has the remedies of errors.

    Raises:
        UnsupportedModelError: The installed transformers does not know its architecture.
        ModelError: No config, a damaged one, or one of another family.
    """
    raw = read_json(folder / "config.json")
    if raw is None:
        raise ModelError(f"model '{model}' has no config.json", remedy="give a folder in the hub's format")
    import transformers
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    family = raw.get("model_type")
    if family not in CONFIG_MAPPING:
        raise unsupported(model, f"transformers {transformers.__version__} does not know '{family}'", advice)
    if family not in families:
        raise ModelError(
            f"model '{model}' is of type '{family}', not {' or '.join(families)}",
            remedy=f"choose an embedder that fits the model, or {advice.another}",
        )
    try:
        return transformers.AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ModelError(f"model '{model}' has an unusable config.json: {first_line(error)}") from error


def load_weights(network: Any, config: Any, folder: Path, model: str) -> Any:
    """Return the network of `folder` in float32, every tensor that matters taken from its weights.

    `network` is its transformers class, `config` what `read_config` returned, `model` its name for messages.

    Raises:
        ModelError: The weights are missing or damaged, or do not fit the config: nothing is left at random.
    """
    import safetensors
    import torch

    try:
        with _quiet():
            loaded, report = network.from_pretrained(
                folder,
                config=config,
                dtype=torch.float32,
                local_files_only=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"the weights of model '{model}' cannot be read as plain tensors",
            remedy="the file is damaged, or contains code; download it again, or convert it to safetensors",
        ) from error
    except (OSError, ValueError, RuntimeError, KeyError, EOFError, safetensors.SafetensorError) as error:
        raise ModelError(
            f"the weights of model '{model}' cannot be loaded: {first_line(error)}",
            remedy="they are missing, damaged or of another model; download them again",
        ) from error
    missing = [name for name in report["missing_keys"] if not name.endswith(UNUSED)]
    misfits = sorted([*missing, *(str(entry[0]) for entry in report["mismatched_keys"])])
    if misfits or report["error_msgs"]:
        shown = ", ".join(misfits[:3]) or str(report["error_msgs"][0])[:200]
        raise ModelError(
            f"the weights of model '{model}' do not fit its config: {len(misfits)} tensors missing or wrong ({shown})",
            remedy="the folder mixes two models, or its download is incomplete; download it again",
        )
    return loaded


def read_preprocessing(
    folder: Path,
    *,
    side: int,
    mean: tuple[float, float, float] = IMAGENET_MEAN,
    std: tuple[float, float, float] = IMAGENET_STD,
) -> Preprocessing:
    """Return the preprocessing that the model in `folder` declares; `side`, `mean` and `std` where it does not.

    Crops are resized straight to the network's input: the centre crop that processors make of whole photographs would
    cut off the margins of what a detector has already framed.

    Raises:
        ModelError: The processor's config is damaged.
    """
    path = folder / "preprocessor_config.json"
    raw = read_json(path)
    if raw is None:
        path = folder / "processor_config.json"
        raw = (read_json(path) or {}).get("image_processor", {})
    crop = raw.get("crop_size") if raw.get("do_center_crop", "crop_size" in raw) else None
    try:
        height, width = _sides(crop or raw.get("size"), side)
        scale = float(raw.get("rescale_factor", 1 / 255)) if raw.get("do_rescale", True) else 1.0
        if not raw.get("do_normalize", True):
            return Preprocessing(height, width, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), scale)
        return Preprocessing(
            height, width, _triple(raw.get("image_mean") or mean), _triple(raw.get("image_std") or std), scale
        )
    except (TypeError, ValueError, KeyError) as error:
        raise ModelError(f"'{path}' cannot be used: {first_line(error)}", remedy="download the model again") from error


def read_json(path: Path) -> dict[str, Any] | None:
    """Return the JSON object in `path`, or None where there is no such file; raise `ModelError` where it is damaged."""
    if not path.is_file():
        return None
    try:
        return read_object(path)
    except FormatError as error:
        raise ModelError(error.message, remedy="download the model again") from error


def _sides(size: Any, default: int) -> tuple[int, int]:
    if size is None:
        return default, default
    if isinstance(size, Mapping):
        if "height" in size:
            return int(size["height"]), int(size["width"])
        return int(size["shortest_edge"]), int(size["shortest_edge"])
    if isinstance(size, list | tuple):
        return int(size[0]), int(size[-1])
    return int(size), int(size)


def _triple(values: Any) -> tuple[float, float, float]:
    red, green, blue = map(float, values)
    return red, green, blue


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers' progress bar and load report off the terminal: what matters in them becomes an error."""
    from transformers.utils import logging as noise

    log: Any = noise  # its functions carry no types
    verbosity, bar = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity_error()
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(verbosity)
        if bar:
            log.enable_progress_bar()
