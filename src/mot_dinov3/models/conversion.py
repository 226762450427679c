"""Conversion of torch networks to OpenVINO: cached, checked against the original in each precision, or given up."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import importlib.util
import json
import logging
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from mot_dinov3.core.errors import InputError
from mot_dinov3.core.structures import Image
from mot_dinov3.models.conversion_cache import CacheEntry, ConversionCache, content_hash
from mot_dinov3.models.openvino import ConversionError, OpenVinoNetwork, openvino_module

FORMAT = 1
"""To be counted up when entries made by an older version of this code must not be used any more."""

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class CheckResult:
    """Outcome of comparing a converted network with the original: whether it may be used, and the figure in words."""

    passed: bool
    figure: str


@dataclasses.dataclass(frozen=True)
class Converted:
    """A converted network, an `openvino.Model`, and the facts on the original that its use needs, plain JSON values."""

    model: Any
    facts: Mapping[str, Any]


class ConversionSpec(Protocol):
    """A network to be converted.

    Attributes:
        name: The model, for messages.
        files: Files that its content depends on.
        options: Further parameters that it depends on (input size, pooling, …), plain JSON values.
        libraries: Distributions whose versions matter beside OpenVINO's.
        situation: Conditions that the outcome of its check depends on, beside the network and the precision.
    """

    name: str
    files: Sequence[Path]
    options: Mapping[str, Any]
    libraries: Sequence[str]
    situation: str = ""

    @abstractmethod
    def convert(self) -> Converted:
        """Load the original and convert it.

        Raises:
            ConversionError: It has no fast path.
            MotError: It cannot be loaded at all.
        """

    @abstractmethod
    def check(self, network: OpenVinoNetwork, facts: Mapping[str, Any]) -> CheckResult:
        """Compare a converted network with the original on real images."""


@dataclasses.dataclass(frozen=True)
class ConversionResult:
    """A network that may be used, its precision and facts (see `Converted`), or none; and lines for the user."""

    network: OpenVinoNetwork | None
    precision: str
    facts: Mapping[str, Any]
    notices: tuple[str, ...]


def convert_cached(
    spec: ConversionSpec, precisions: Sequence[str], *, cache: ConversionCache | None = None
) -> ConversionResult:
    """Return the converted network of `spec` in the first of `precisions` that passes its check.

    Raises:
        MotError: The original cannot be loaded.
    """
    cache = cache or ConversionCache()
    try:
        return _first_passing(spec, precisions, _load_or_convert(spec, cache), cache)
    except ConversionError as error:
        return ConversionResult(None, "", {}, (f"'{spec.name}' runs in torch instead of OpenVINO: {error}",))


@dataclasses.dataclass(frozen=True)
class _StoredNetwork:
    """A network on disk (`entry`), or only in memory (`model`), where nothing can be written."""

    facts: Mapping[str, Any]
    model: Any
    entry: CacheEntry | None
    notices: tuple[str, ...] = ()


def _load_or_convert(spec: ConversionSpec, cache: ConversionCache) -> _StoredNetwork:
    key = cache_key(spec)
    entry = cache.find(key)
    if entry is not None:
        return _StoredNetwork(entry.facts, entry.network, entry)
    log.info("converting '%s' for OpenVINO (first use only)", spec.name)
    made = spec.convert()

    def write(path: Path) -> None:
        openvino_module().save_model(made.model, path, compress_to_fp16=False)

    try:
        kept = cache.keep(key, write, made.facts)
    except OSError as error:
        reason = (
            f"converted networks cannot be cached in '{cache.folder}' and are converted again at every start: {error}"
        )
        return _StoredNetwork(made.facts, made.model, None, (reason,))
    return _StoredNetwork(made.facts, kept.network, kept)


def _first_passing(
    spec: ConversionSpec, precisions: Sequence[str], stored: _StoredNetwork, cache: ConversionCache
) -> ConversionResult:
    failed: list[str] = []
    news: list[str] = []  # reported once, when the check is made: from then on the reported precision shows it
    entry = stored.entry
    for precision in precisions:
        case = f"{precision} {spec.situation}".strip()
        known = entry.checks.get(case) if entry else None
        check = CheckResult(**known) if known else None
        if check is None or check.passed:
            network = _compile(stored, precision)
            if check is None:
                check = spec.check(network, stored.facts)
                entry = cache.record_check(entry, case, dataclasses.asdict(check)) if entry else None
            if check.passed:
                return ConversionResult(network, precision, stored.facts, (*stored.notices, *news))
        failed.append(f"'{spec.name}' is not run in OpenVINO's {precision}: {check.figure}")
        news += [] if known else failed[-1:]
    failed.append(f"'{spec.name}' runs in torch instead of OpenVINO")
    return ConversionResult(None, "", {}, (*stored.notices, *failed))


def _compile(stored: _StoredNetwork, precision: str) -> OpenVinoNetwork:
    folder = stored.entry.compiled() if stored.entry else None
    try:
        if folder is not None:
            try:
                return OpenVinoNetwork(stored.model, precision, compiled=folder)
            except RuntimeError as error:  # what was compiled is broken, or does not fit on the disk
                log.info("'%s' is not used: %s", folder, error)
        return OpenVinoNetwork(stored.model, precision)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()
        raise ConversionError(
            f"OpenVINO cannot compile it: {reason[-1] if reason else type(error).__name__}"
        ) from error


def cache_key(spec: ConversionSpec) -> str:
    """Return the key of a network in the cache: a hash of its files, its options and the versions of what made it."""
    versions = {name: _version(name) for name in ("openvino", "torch", *spec.libraries)}
    parts = [FORMAT, content_hash(spec.files), spec.options, versions]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:40]


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""


@dataclasses.dataclass(frozen=True)
class Samples:
    """Images like those that a network will see, to check its conversion on; `situation` tells them from others."""

    images: Callable[[], Iterable[Image]] = tuple
    situation: str = "photographs"


def photographs() -> tuple[Image, Image]:
    """Return ``bus.jpg`` and ``zidane.jpg`` of the installed ultralytics package, which is not imported.

    Raises:
        InputError: The package or its images are not there.
    """
    import cv2

    spec = importlib.util.find_spec("ultralytics")
    if spec is None or not spec.submodule_search_locations:
        raise InputError(
            "the sample photographs are part of ultralytics, which is not installed", remedy="run setup.sh"
        )
    assets = Path(next(iter(spec.submodule_search_locations))) / "assets"
    images = []
    for name, shape in (("bus.jpg", (1080, 810)), ("zidane.jpg", (720, 1280))):
        image = cv2.imread(str(assets / name))
        if image is None or image.shape[:2] != shape:
            size = f"{shape[1]}×{shape[0]}"
            raise InputError(f"'{assets / name}', {size} pixels, is missing", remedy="reinstall ultralytics")
        images.append(image.astype(np.uint8))
    return images[0], images[1]
