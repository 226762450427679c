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
from mot_dinov3.core.timing import activity
from mot_dinov3.models.conversion_cache import CacheEntry, ConversionCache, content_hash
from mot_dinov3.models.openvino import MIXED, ConversionError, OpenVinoNetwork, open_network, openvino_module

FORMAT = 2
"""To be counted up when entries made by an older version of this code must not be used any more."""

LEAST_SECONDS = 15.0  # most of it is loading torch
SECONDS_PER_MB = 0.1

CUT = "cut"
"""Fact of a network: names of the operations behind which it is computed in fp32 in mixed precision."""

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class CheckResult:
    """Outcome of comparing a converted network with the original.

    Attributes:
        passed: It agrees, as far as it could be compared.
        figure: The measure in words.
        count: Comparisons that were made.
        needed: Comparisons from which on the outcome is final; with fewer, other images may give another one.
    """

    passed: bool
    figure: str
    count: int = 0
    needed: int = 0

    @property
    def is_final(self) -> bool:
        """Tell whether the outcome stands for all later runs."""
        return self.count >= self.needed

    @property
    def saw_nothing(self) -> bool:
        """Tell whether there was nothing to compare."""
        return not self.is_final and not self.count

    def after(self, earlier: CheckResult | None) -> CheckResult:
        """Return the outcome with the comparisons of an earlier one on other images, if both were passed."""
        if earlier is None or earlier.figure == self.figure or not (earlier.passed and self.passed):
            return self
        return dataclasses.replace(self, count=self.count + earlier.count)


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
        sees_same_images: The check has the same images each time, so that one that is not final is not repeated.
    """

    name: str
    files: Sequence[Path]
    options: Mapping[str, Any]
    libraries: Sequence[str]
    situation: str = ""
    sees_same_images: bool = True

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
    spec: ConversionSpec, precisions: Sequence[str], *, obeyed: bool = False, cache: ConversionCache | None = None
) -> ConversionResult:
    """Return the converted network of `spec` in the first of `precisions` that passes its check.

    Where the images of a check show nothing to compare, the last precision is used; the check is repeated at the next
    start.

    Args:
        spec: The network.
        precisions: Names of `models.openvino`, to be tried in this order.
        obeyed: The first precision was requested by name: it is used whatever its check says, with a notice.
        cache: Networks converted before.

    Raises:
        MotError: The original cannot be loaded.
    """
    cache = cache or ConversionCache()
    try:
        return _Trial(spec, _load_or_convert(spec, cache), cache).first_usable(precisions, obeyed=obeyed)
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
    with activity(f"converting {Path(spec.name).name} for OpenVINO, first use only", expected_seconds(spec.files)):
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


class _Trial:
    """Tries a network on disk or in memory in several precisions."""

    def __init__(self, spec: ConversionSpec, stored: _StoredNetwork, cache: ConversionCache) -> None:
        self._spec = spec
        self._stored = stored
        self._cache = cache
        self._entry = stored.entry

    def first_usable(self, precisions: Sequence[str], *, obeyed: bool) -> ConversionResult:
        """Return the network in the first precision that may be used, or none."""
        failed: list[str] = []
        news: list[str] = []  # reported once, when the check is made: from then on the reported precision shows it
        for precision in precisions:
            if precision == MIXED and not self._stored.facts.get(CUT):
                continue
            known = self._known(precision)
            if known is not None and known.is_final and not known.passed and not obeyed:
                failed.append(self._failure(precision, known))
                continue
            network = _compile(self._stored, precision)
            check = known if known is not None and self._stands(known) else self._check(network, precision, known)
            if obeyed:
                news = [f"'{self._spec.name}' runs in OpenVINO's {precision} as requested: {check.figure}"]
            if check.passed or obeyed:
                return self._result(network, precision, news)
            if check.saw_nothing:
                return self._unchecked(precisions[-1], check.figure)
            failed.append(self._failure(precision, check))
            news.append(failed[-1])
        return self._none(failed)

    def _known(self, precision: str) -> CheckResult | None:
        known = self._entry.checks.get(self._case(precision)) if self._entry else None
        return CheckResult(**known) if known else None

    def _stands(self, known: CheckResult) -> bool:
        """Tell whether a check need not be repeated."""
        return known.is_final or self._spec.sees_same_images

    def _check(self, network: OpenVinoNetwork, precision: str, known: CheckResult | None) -> CheckResult:
        with activity(f"comparing {Path(self._spec.name).name} in {precision} with the original"):
            check = self._spec.check(network, self._stored.facts).after(known)
        if self._entry and (self._stands(check) or check.passed):
            case = self._case(precision)
            self._entry = self._cache.record_check(self._entry, case, dataclasses.asdict(check))
        return check

    def _unchecked(self, precision: str, reason: str) -> ConversionResult:
        """Return the network in a precision that differs least from the original, where no check could tell."""
        known = self._known(precision)
        if known is not None and known.is_final and not known.passed:
            return self._none([self._failure(precision, known)])
        notice = f"'{self._spec.name}' runs in OpenVINO's {precision}, not compared with the original: {reason}"
        return self._result(_compile(self._stored, precision), precision, [notice])

    def _case(self, precision: str) -> str:
        return f"{precision} {self._spec.situation}".strip()

    def _failure(self, precision: str, check: CheckResult) -> str:
        return f"'{self._spec.name}' is not run in OpenVINO's {precision}: {check.figure}"

    def _result(self, network: OpenVinoNetwork, precision: str, news: Sequence[str]) -> ConversionResult:
        return ConversionResult(network, precision, self._stored.facts, (*self._stored.notices, *news))

    def _none(self, failed: Sequence[str]) -> ConversionResult:
        last = f"'{self._spec.name}' runs in torch instead of OpenVINO"
        return ConversionResult(None, "", {}, (*self._stored.notices, *failed, last))


def expected_seconds(files: Sequence[Path]) -> float:
    """Return about how long loading and conversion take on a usual computer, by the size of the files."""
    megabytes = sum(path.stat().st_size for path in files if path.exists()) / 1e6
    return round(LEAST_SECONDS + SECONDS_PER_MB * megabytes, -1)


def _compile(stored: _StoredNetwork, precision: str) -> OpenVinoNetwork:
    folder = stored.entry.compiled() if stored.entry else None
    cut = tuple(stored.facts.get(CUT, ()))
    try:
        if folder is not None:
            try:
                return open_network(stored.model, precision, cut=cut, compiled=folder)
            except RuntimeError as error:  # what was compiled is broken, or does not fit on the disk
                log.info("'%s' is not used: %s", folder, error)
        return open_network(stored.model, precision, cut=cut)
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

    @property
    def are_fixed(self) -> bool:
        """Tell whether only the photographs are compared, the same images at every start."""
        return self.images is tuple


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
