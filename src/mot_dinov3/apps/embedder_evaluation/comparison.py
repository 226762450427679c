"""Comparison of embedders on the same crops: which ones, with which pooling and input size; what cannot be loaded."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from mot_dinov3.apps.embedder_evaluation.crop_sets import PROTOCOLS, IdentityFolder, TrackedVideo
from mot_dinov3.apps.embedder_evaluation.retrieval import LabelledCrops, RetrievalScores, score_embedder
from mot_dinov3.core.compat import override
from mot_dinov3.core.errors import ConfigError, ModelError, MotError, UsageError
from mot_dinov3.core.options import StageConfig, home_path, option
from mot_dinov3.core.registry import check_name
from mot_dinov3.features.base import POOLINGS, parse_size
from mot_dinov3.features.factory import (
    DEFAULT_MODELS,
    DINO_FOLDER,
    EMBEDDERS,
    LAST_RESORT,
    OPEN_DINO,
    REID,
    TOKENS,
    EmbedderConfig,
    build_embedder,
)
from mot_dinov3.features.osnet import WEIGHTS
from mot_dinov3.models.devices import DeviceConfig
from mot_dinov3.models.hub import cached_folder
from mot_dinov3.models.weights import MODELS, REID_ENDINGS, first_existing
from mot_dinov3.video.opening import is_live


@dataclasses.dataclass(frozen=True)
class ComparisonConfig(StageConfig):
    """What embedders are compared on, and how their crops are made."""

    group = "evaluation"

    tracks: str | None = option(
        None, "tracks of the video: track-v1, MOTChallenge, CSV, CVAT or COCO", metavar="FILE", common=True
    )
    protocol: str = option(
        "auto",
        "images that a query is compared with: all but those of its identity and camera (cross-camera), those of the "
        "other cameras alone, or all others; auto: cross-camera where the names of the images show cameras",
        choices=PROTOCOLS,
        common=True,
    )
    pooling: str = option(
        POOLINGS[0], f"poolings of dino and clip to compare, separated by commas: {', '.join(POOLINGS)}", metavar="LIST"
    )
    crop_size: str | None = option(
        None, "input sizes to compare, HxW, separated by commas (default: as in track)", metavar="LIST"
    )
    crop_pad: float = option(
        0.12, "padding of a box on each side before it is cropped, as a share of its size (video)", low=0, high=1
    )
    crop_square: bool | None = option(None, "use square crops (video; default: as in track)")
    embed_batch: int = option(32, "largest batch of crops", low=1)
    min_gap: float = option(1.0, "seconds between two boxes of one track that are compared (video)", low=0)
    max_crops: int = option(2000, "boxes that are taken from a video at most", low=2)

    @override
    def check(self) -> None:
        for name in self.poolings:
            if name not in POOLINGS:
                raise ConfigError(f"pooling must be some of {', '.join(POOLINGS)}, got {name}")
        for size in self.sizes:
            if size is not None:
                parse_size(size)

    @property
    def poolings(self) -> tuple[str, ...]:
        """The poolings, each once."""
        return tuple(dict.fromkeys(self.pooling.replace(",", " ").split()))

    @property
    def sizes(self) -> tuple[str | None, ...]:
        """The input sizes, each once; None for the default."""
        return tuple(dict.fromkeys((self.crop_size or "").replace(",", " ").split())) or (None,)


@dataclasses.dataclass(frozen=True)
class EmbedderSpec:
    """An embedder to compare: a listed name or ``package.module:Class``, and its model, empty for its default."""

    name: str
    model: str = ""

    @classmethod
    def parse(cls, text: str) -> EmbedderSpec:
        """Return the embedder that ``NAME`` or ``NAME=MODEL`` means.

        Raises:
            UsageError: No such embedder, or ``none``, which has no embeddings.
        """
        name, _, model = text.partition("=")
        check_name("embedder", EMBEDDERS, name)
        if name == "none":
            raise UsageError("the embedder 'none' has no embeddings to evaluate", remedy="leave it out")
        if name in REID and not model:
            raise UsageError(f"the {name} embedder needs weights", remedy=f"give its file: --embedders {name}=FILE")
        return cls(name, home_path(model))


@dataclasses.dataclass(frozen=True)
class EmbedderComparison:
    """Results of a comparison.

    Attributes:
        crops: Number of crops.
        identities: Number of identities.
        protocol: Which crops a query was compared with.
        scores: Embedder, with the pooling and the size where several are compared → its scores.
        failures: The same, of embedders that cannot be used here → why.
        notices: Lines for the user.
    """

    crops: int
    identities: int
    protocol: str
    scores: Mapping[str, RetrievalScores]
    failures: Mapping[str, MotError]
    notices: tuple[str, ...]


def compare_embedders(
    path: str,
    specs: Sequence[EmbedderSpec],
    config: ComparisonConfig,
    device: DeviceConfig,
    *,
    tick: Callable[[str], None] = lambda label: None,
) -> EmbedderComparison:
    """Score embedders on a folder of identities, or on a video with tracks; `tick` gets each one's label before it.

    Raises:
        InputError: The folder, the video or the tracks cannot be used.
        UsageError: Options contradict each other.
    """
    crops = open_crops(path, config)
    scores: dict[str, RetrievalScores] = {}
    failures: dict[str, MotError] = {}
    notices = list(crops.notices)
    for label, chosen in variants(specs, config):
        tick(label)
        try:
            embedder = build_embedder(chosen, device=device)
            scores[label] = score_embedder(embedder, crops)
        except (ModelError, UsageError) as error:
            failures[label] = error
            continue
        notices += [f"{label}: {notice}" for notice in embedder.notices]
        if unusable := scores[label].unusable:
            notices.append(f"{label}: {unusable} crops have no usable embedding (zero or not finite)")
    distinct = len(set(crops.identity.tolist()))
    return EmbedderComparison(len(crops.identity), distinct, crops.protocol, scores, failures, tuple(notices))


def open_crops(path: str, config: ComparisonConfig) -> LabelledCrops:
    """Return the crops of a folder of identities, or of a video where tracks are given.

    Raises:
        InputError: They cannot be used.
        UsageError: A video without tracks.
    """
    if config.tracks is not None:
        if is_live(path):
            raise UsageError(f"'{path}' is a live source, which cannot be read twice", remedy="record it first")
        return TrackedVideo(path, Path(config.tracks), min_gap=config.min_gap, max_crops=config.max_crops)
    if Path(path).is_file():
        raise UsageError(
            f"'{path}' is a file: a video requires its tracks",
            remedy="give them: --tracks FILE (track --save-json FILE)",
        )
    return IdentityFolder(Path(path), config.protocol)


def variants(specs: Sequence[EmbedderSpec], config: ComparisonConfig) -> Iterator[tuple[str, EmbedderConfig]]:
    """Yield every embedder with every pooling and input size that it can have, under a label of its own."""
    labels = short_labels(specs)
    for spec, label in labels.items():
        poolings = config.poolings if spec.name in TOKENS or spec.name not in EMBEDDERS else POOLINGS[:1]
        sizes = (None,) if spec.name == LAST_RESORT else config.sizes
        for pooling in poolings:
            for size in sizes:
                added = [pooling] * (len(poolings) > 1 or pooling != POOLINGS[0]) + [size or ""] * (size is not None)
                chosen = EmbedderConfig(
                    embedder=spec.name,
                    embed_model=spec.model or None,
                    crop_pad=config.crop_pad,
                    crop_square=config.crop_square,
                    crop_size=size,
                    pooling=pooling,
                    embed_batch=config.embed_batch,
                )
                yield " ".join([label, *added]), chosen


def short_labels(specs: Sequence[EmbedderSpec]) -> dict[EmbedderSpec, str]:
    """Return each embedder, once, with ``NAME=MODEL``: of the model only the last part, where that is unique."""
    distinct = list(dict.fromkeys(specs))
    short = [f"{spec.name}={Path(spec.model).name}" if spec.model else spec.name for spec in distinct]
    whole = [f"{spec.name}={spec.model}" if spec.model else spec.name for spec in distinct]
    return {spec: one if short.count(one) == 1 else full for spec, one, full in zip(distinct, short, whole)}


def available_embedders() -> tuple[list[EmbedderSpec], list[str]]:
    """Return the embedders whose models are on this machine, and a line for each other one: what is missing."""
    found, missing = [EmbedderSpec(LAST_RESORT)], []
    weights = (first_existing(*(MODELS / f"{Path(name).stem}{end}" for end in REID_ENDINGS[1:])) for name in WEIGHTS)
    found += [EmbedderSpec("reid", str(path)) for path in weights if path is not None]
    if len(found) == 1:
        missing.append(f"reid: no weights in {MODELS}/; give them: reid=FILE")
    for name, model in DEFAULT_MODELS.items():
        named = name == "dino" and os.environ.get(DINO_FOLDER, "").strip()
        if named or cached_folder(model) is not None:
            found.append(EmbedderSpec(name))
        elif name == "dino" and cached_folder(OPEN_DINO) is not None:
            found.append(EmbedderSpec(name, OPEN_DINO))
        else:
            missing.append(f"{name}: '{model}' is not on this machine; to download it, name it: --embedders {name}")
    return found, missing
