"""Names of the embedders, their options, and the way from a name to a loaded embedder."""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from mot_dinov3.core.compat import override
from mot_dinov3.core.errors import (
    ConfigError,
    GatedModelError,
    ModelError,
    UnreachableModelError,
    UnsupportedModelError,
)
from mot_dinov3.core.options import StageConfig, home_path, option
from mot_dinov3.core.registry import check_members, check_name, resolve
from mot_dinov3.core.timing import activity
from mot_dinov3.features.base import MEMBERS, POOLINGS, REID_REMEDY, Embedder, EmbedderRequest, parse_size
from mot_dinov3.models.devices import DeviceConfig
from mot_dinov3.models.hub import locate

EMBEDDERS = {
    "dino": "mot_dinov3.features.dino:DinoEmbedder",
    "clip": "mot_dinov3.features.clip:ClipEmbedder",
    "resnet": "mot_dinov3.features.resnet:ResnetEmbedder",
    "osnet": "mot_dinov3.features.osnet:OsnetEmbedder",
    "reid": "mot_dinov3.features.osnet:OsnetEmbedder",
    "histogram": "mot_dinov3.features.histogram:HistogramEmbedder",
    "none": "mot_dinov3.features.none:NoEmbedder",
}
EMBEDDER_HINTS = {
    "dino": "DINOv3 or DINOv2: any kind of object; the default",
    "clip": "CLIP: any kind of object, where DINO is not available",
    "resnet": "ResNet-50: any kind of object; a network without attention",
    "osnet": "re-identification weights (--embed-model FILE): for people, small and fast on a CPU",
    "reid": "another name of osnet: any re-identification network, for example of vehicles",
    "histogram": "colours alone: no weights, fastest; for objects of different colours",
    "none": "motion alone: fastest, for few crossings",
}
DEFAULT_MODELS = {
    "dino": "facebook/dinov3-vitb16-pretrain-lvd1689m",
    "clip": "openai/clip-vit-base-patch32",
    "resnet": "microsoft/resnet-50",
}
REID = ("osnet", "reid")  # two names of one embedder: any re-identification network, from a file
DEFAULT = "dino"
WITHOUT_WEIGHTS = ("histogram", "none")
TOKENS = ("dino", "clip")  # embedders that pool the tokens of a network
OPEN_DINO = "facebook/dinov2-base"  # neither gated nor new to transformers
LAST_RESORT = "histogram"
DINO_FOLDER = "DINOV3_LOCATION"

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class EmbedderConfig(StageConfig):
    """Options of the embedder."""

    group = "embedder"

    embedder: str | None = option(
        None,
        f"embedder of the crops (default {DEFAULT}): {', '.join(EMBEDDERS)}, or a custom package.module:Class; "
        "osnet for people, dino for objects of any kind, histogram or none without weights",
        metavar="NAME",
        common=True,
    )
    dinov3: str | None = option(
        None, f"model of the dino embedder, hub id or folder (default {DEFAULT_MODELS['dino']})", metavar="MODEL_ID"
    )
    embed_model: str | None = option(
        None,
        "model of any embedder: hub id, folder or file; takes precedence over --dinov3",
        metavar="MODEL",
        common=True,
        aliases=("reid_weights", "weights"),
    )
    fallback_open: bool | None = option(
        None,
        f"use {OPEN_DINO}, then {LAST_RESORT}, if the model is not available; for weights of the detector that cannot "
        "be downloaded, motion (default: on where no option names the model; else off)",
    )
    crop_pad: float = option(
        0.12, "padding of a box on each side before it is cropped, as a share of its size", low=0, high=1
    )
    crop_square: bool | None = option(
        None,
        "use square crops (default: on for dino, clip and resnet where the network's input is square; else off)",
    )
    crop_size: str | None = option(
        None,
        "input size of the network, in whole patches (default: 256x128 for the vision transformers of dino and clip, "
        "which fits people; else the model's own)",
        metavar="HxW",
    )
    pooling: str = option(
        "cls",
        "tokens that form an embedding of dino or clip: the CLS token, the mean of the patch tokens, the means of 4 "
        "horizontal stripes, or the CLS token and the stripes",
        choices=POOLINGS,
    )
    embed_batch: int = option(32, "largest batch of crops", low=1)

    @override
    def check(self) -> None:
        check_name("embedder", EMBEDDERS, self.name)
        self.size()
        if self.name == "dino" and self.dinov3 and self.embed_model and self.dinov3 != self.embed_model:
            raise ConfigError(
                f"two models for the dino embedder: dinov3 '{self.dinov3}' and embed_model '{self.embed_model}'",
                remedy="give one of --dinov3 and --embed-model",
            )
        if self.name in REID and not self.embed_model:
            raise ConfigError(f"the {self.name} embedder needs weights", remedy=REID_REMEDY)

    @property
    def name(self) -> str:
        """The embedder that the options name, or the default one."""
        return DEFAULT if self.embedder is None else self.embedder

    @property
    def falls_back(self) -> bool:
        """Whether an open model may stand in: as `fallback_open` has it, by default where no option names a model."""
        if self.fallback_open is not None:
            return self.fallback_open
        return (self.embedder, self.embed_model, self.dinov3) == (None, None, None)

    def size(self) -> tuple[int, int] | None:
        """Return ``(height, width)`` of `crop_size`, or None."""
        return parse_size(self.crop_size) if self.crop_size is not None else None

    def model(self) -> str:
        """Return the model that the options name, or the embedder's default; empty where there is none."""
        named = self.embed_model or (self.dinov3 if self.name == "dino" else None)
        return named or DEFAULT_MODELS.get(self.name, "")


def build_embedder(config: EmbedderConfig, *, device: DeviceConfig, find: Callable[[str], Path] = locate) -> Embedder:
    """Load the embedder that `config` names, or a user's own class; a notice reports what stands in for it.

    `find` finds a model's folder, downloading it where it is not local.

    Raises:
        UnknownNameError: No such embedder.
        UsageError: A user's own class cannot be imported or is no embedder; the device does not exist here.
        ModelError: The model is not available or does not fit, and nothing may stand in for it, see `falls_back`.
    """
    steps = _steps(config)
    notices = list(device.notices()) if steps[0][1] else []
    refused: list[ModelError] = []
    for name, model in steps:
        try:
            embedder = _construct(name, model, config, device, find)
        except (GatedModelError, UnsupportedModelError, UnreachableModelError) as error:
            if len(refused) + 1 == len(steps):
                raise
            refused.append(error)
            log.debug("fallback: %s", error.message)
            continue
        if config.embed_model and config.name in WITHOUT_WEIGHTS:
            notices.append(f"'{config.embed_model}' is not used: the {name} embedder has no weights")
        if config.pooling != POOLINGS[0] and name in EMBEDDERS and name not in TOKENS:
            notices.append(f"pooling {config.pooling} is ignored: the {name} embedder has no tokens to pool")
        if refused:
            notices.append(_stand_in_notice(steps, refused))
        embedder.notices = (*notices, *getattr(embedder, "notices", ()))
        return embedder
    raise AssertionError("the last step returns or raises")


def _steps(config: EmbedderConfig) -> list[tuple[str, str]]:
    """Return the embedders to try, each with its model: the wanted one, and those that may stand in for it."""
    name = config.name
    steps = [(name, _dino_place(config) if name == "dino" else config.model())]
    named = config.fallback_open is None and steps[0][1] != config.model()  # by the environment
    if config.falls_back and not named and name in DEFAULT_MODELS:
        if name == "dino" and steps[0][1] != OPEN_DINO:
            steps.append(("dino", OPEN_DINO))
        steps.append((LAST_RESORT, ""))
    return steps


def _stand_in_notice(steps: Sequence[tuple[str, str]], refused: Sequence[ModelError]) -> str:
    """Return one line: what is used, why, and how to get the model that was wanted."""
    (wanted, *others), taken = steps, steps[len(refused)]
    used = taken[1] or f"the built-in {taken[0]} embedder"
    also = "".join(f"; nor is {model} available" for _, model in others[: len(refused) - 1])
    get = {
        GatedModelError: f"agree at https://huggingface.co/{wanted[1]}, then: hf auth login",
        UnsupportedModelError: "pip install -U transformers huggingface_hub",
    }.get(type(refused[0]), "connect to the internet once, or put it into a folder and give --embed-model FOLDER")
    return f"{used} is used: {refused[0].message}{also}. To get {wanted[1]}: {get}"


def _construct(
    name: str, model: str, config: EmbedderConfig, device: DeviceConfig, find: Callable[[str], Path]
) -> Embedder:
    request = EmbedderRequest(
        model=model,
        device=device,
        pad=config.crop_pad,
        square=config.crop_square,
        size=config.size(),
        pooling=config.pooling,
        batch=config.embed_batch,
        locate=find,
    )
    with activity(f"loading the embedder {name} {Path(model).name}".rstrip()):
        embedder: Embedder = resolve("embedder", EMBEDDERS, name)(request)
    check_members("embedder", name, embedder, MEMBERS, base="mot_dinov3.features.base.Embedder")
    return embedder


def _dino_place(config: EmbedderConfig) -> str:
    """Return the DINO model to load: `DINO_FOLDER` stands for every hub id, a folder given by an option wins."""
    named = config.model()
    folder = home_path(os.environ.get(DINO_FOLDER, "").strip())
    if not folder or Path(named).expanduser().exists():
        return named
    if not Path(folder).expanduser().is_dir():
        raise ModelError(
            f"{DINO_FOLDER} names the folder '{folder}', which does not exist",
            remedy=f"correct {DINO_FOLDER} (environment or .env), or unset it",
        )
    return folder
