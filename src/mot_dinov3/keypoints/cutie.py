"""Mask propagation by Cutie, a network for video object segmentation, where it is installed.

Cheng et al., Putting the Object Back into Video Object Segmentation, CVPR 2024. Its own loader would fetch weights over
the network, and its constructor the ImageNet weights that the checkpoint then replaces; neither happens here.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mot_dinov3.core.errors import ModelError, first_line
from mot_dinov3.core.structures import Image, IntArray
from mot_dinov3.keypoints import masks
from mot_dinov3.keypoints.geometry import Points
from mot_dinov3.models.checkpoints import open_checkpoint
from mot_dinov3.models.weights import first_existing

WEIGHTS = "cutie-base-mega.pth"
PROJECT = "https://github.com/hkchengrex/Cutie"
SIDE = 480  # pixels: short side of its input, as its authors advise
FALLBACK = "or use --masks flow or --masks dino"

View = tuple[Image, Sequence[Sequence[Points]]]
"""A frame, and each instance's outlines in it."""


class CutieMaskTracker:
    """Propagates the masks of several instances through the frames of one pass, which has a memory of its own.

    Args:
        core: Cutie's class of a video being segmented (``InferenceCore``).
        network: Its model, with weights.
    """

    def __init__(self, core: Any, network: Any) -> None:
        self._core, self._device = core(network, cfg=network.cfg), network.device
        self._core.max_internal_size = SIDE
        self._objects: list[int] = []
        self._count = 0

    def learn(self, views: Sequence[View]) -> None:
        """Take the outlines in labelled frames, once, before the first step; the one where the pass begins comes last.

        Cutie cannot learn of instances one after another: it gets the frames that outline most of them.
        """
        self._count = max((len(outlines) for _, outlines in views), default=0)
        drawn = [(image, _drawn(image, outlines)) for image, outlines in views]
        shown = [[int(n) for n in np.unique(numbers) if n] for _, numbers in drawn]
        self._objects = max(shown, key=len, default=[])
        for (image, numbers), objects in zip(drawn, shown):
            if objects and objects == self._objects:
                self._run(image, numbers, objects=objects, force_permanent=True)

    def step(self, image: Image) -> list[tuple[Points, ...] | None]:
        """Return every instance's outlines in the next frame: empty where it is lost, None for one never outlined."""
        if not self._objects:
            return [None] * self._count
        found = self._run(image)
        numbers = range(1, self._count + 1)
        return [masks.outlines(found == n) if n in self._objects else None for n in numbers]

    def _run(self, image: Image, mask: IntArray | None = None, **options: Any) -> IntArray:
        import torch

        pixels = torch.from_numpy(np.ascontiguousarray(image[:, :, ::-1].transpose(2, 0, 1)))
        given = None if mask is None else torch.from_numpy(mask).to(self._device)
        with torch.inference_mode():
            shares = self._core.step(pixels.to(self._device).float() / 255, given, **options)
            return np.asarray(self._core.output_prob_to_mask(shares).cpu().numpy(), np.int64)


def _drawn(image: Image, outlines: Sequence[Sequence[Points]]) -> IntArray:
    """Return the ``(h, w)`` number of the instance at each pixel, from 1; 0 where there is none."""
    height, width = image.shape[:2]
    drawn = np.zeros((height, width), np.int64)
    for number, polygons in enumerate(outlines, start=1):
        drawn[masks.rasterize(polygons, (height, width))] = number
    return drawn


def cutie_folder() -> Path:
    """Return the folder of the Cutie package.

    Raises:
        ModelError: It is not installed; a package of that name without ``cutie.model`` is something else.
    """
    try:
        found = importlib.util.find_spec("cutie.model")
    except ModuleNotFoundError:  # no cutie at all, or a single module of that name
        found = None
    if found is None or not found.origin:
        raise ModelError(
            "masks 'cutie' need the video segmentation project Cutie, which is not installed (no module cutie.model)",
            remedy=f"install it from a checkout of {PROJECT} (package indexes have an unrelated package of this "
            f"name),\n{FALLBACK}",
        )
    return Path(found.origin).parent.parent


def find_weights(folders: Sequence[Path]) -> Path:
    """Return Cutie's weights in the first folder that has them, or in its own.

    Raises:
        ModelError: Cutie is not installed, or its weights are nowhere.
    """
    searched = [*folders, cutie_folder().parent / "weights"]
    found = first_existing(*(folder / WEIGHTS for folder in searched))
    if found is not None:
        return found
    raise ModelError(
        f"masks 'cutie': Cutie is installed, but its weights {WEIGHTS} are missing",
        remedy=f"download them from the releases of {PROJECT}, and put them into one of:\n"
        + "\n".join(f"  {folder.resolve()}" for folder in searched)
        + f"\n{FALLBACK}",
    )


def load_cutie(weights: Path, device: str, *, trust: bool = False) -> Callable[[], CutieMaskTracker]:
    """Load Cutie; return a function that makes the mask tracker of one pass.

    Raises:
        ModelError: It cannot be imported, or the checkpoint is not its own.
    """
    state = open_checkpoint(weights, trust=trust)
    try:
        hydra = importlib.import_module("hydra")
        core = importlib.import_module("cutie.inference.inference_core").InferenceCore
        settle = importlib.import_module("cutie.inference.utils.args_utils").get_dataset_cfg
        model = importlib.import_module("cutie.model.cutie").CUTIE
        blocks = importlib.import_module("cutie.model.utils.resnet")
    except (ImportError, AttributeError) as error:
        raise ModelError(
            f"masks 'cutie': Cutie is installed but cannot be used: {error}",
            remedy=f"install the requirements of its pyproject.toml, or a newer checkout of {PROJECT},\n{FALLBACK}",
        ) from error
    with hydra.initialize_config_module(config_module="cutie.config", version_base="1.3.2"):
        config = hydra.compose(config_name="eval_config")
    settle(config)
    with _without_downloads(blocks):
        network = model(config)
    _fill(network, state, weights)
    return functools.partial(CutieMaskTracker, core, network.to(device).eval())


def _fill(network: Any, state: Any, weights: Path) -> None:
    missing = set(network.state_dict()) - set(state if isinstance(state, dict) else ())
    reason = f"{len(missing)} of its tensors are missing" if missing else ""
    try:
        if not missing:
            network.load_weights(state)
    except RuntimeError as error:  # tensors of other shapes
        reason = first_line(error)
    if reason:
        raise ModelError(
            f"masks 'cutie': '{weights}' does not contain Cutie's weights: {reason}",
            remedy=f"use {WEIGHTS} of {PROJECT},\n{FALLBACK}",
        )


@contextlib.contextmanager
def _without_downloads(blocks: Any) -> Iterator[None]:
    """Let Cutie's constructor build its ResNets without fetching ImageNet weights: the checkpoint has them all."""
    real = {name: getattr(blocks, name) for name in ("resnet18", "resnet50")}

    def bare(build: Any) -> Any:
        return lambda pretrained=True, extra_dim=0, model_dir=None: build(pretrained=False, extra_dim=extra_dim)

    vars(blocks).update({name: bare(build) for name, build in real.items()})
    try:
        yield
    finally:
        vars(blocks).update(real)
