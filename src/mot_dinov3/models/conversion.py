"""From a recipe to a network that runs: found in the store or converted, checked in each precision, or given up."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from mot_dinov3.models.conversion_cache import Entry, NetworkStore, content_hash
from mot_dinov3.models.openvino import VinoNetwork, openvino_module

FORMAT = 1
"""To be counted up when entries made by an older version of this code must not be used any more."""

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Whether a converted network does what the original does.

    Attributes:
        passed: Whether it may be used.
        figure: What was measured, in words.
    """

    passed: bool
    figure: str


@dataclasses.dataclass(frozen=True)
class Converted:
    """What a conversion gives.

    Attributes:
        model: An `openvino.Model`.
        facts: What is to be known of it without the original, plain JSON values.
    """

    model: Any
    facts: Mapping[str, Any]


class ConversionError(Exception):
    """A network that has no fast path; the message says why. It never leaves this package and its recipes."""


class Recipe(Protocol):
    """What makes a network.

    Attributes:
        name: The model, for messages.
        files: All that its content depends on.
        options: What else it depends on (input size, pooling, …), plain JSON values.
        libraries: Distributions whose versions matter beside OpenVINO's.
        situation: What the outcome of its check depends on, beside the network and the precision.
    """

    name: str
    files: Sequence[Path]
    options: Mapping[str, Any]
    libraries: Sequence[str]
    situation: str

    def convert(self) -> Converted:
        """Load the original and convert it.

        Raises:
            ConversionError: It has no fast path.
            MotError: It cannot be loaded at all.
        """
        ...

    def check(self, network: VinoNetwork, facts: Mapping[str, Any]) -> Verdict:
        """Compare a converted network with the original on real pictures."""
        ...


@dataclasses.dataclass(frozen=True)
class Obtained:
    """A network that may be used, or the reason why there is none.

    Attributes:
        network: It, or None.
        precision: What it computes in; empty where there is none.
        facts: What its conversion found worth knowing.
        notices: What the user should be told, a line each.
    """

    network: VinoNetwork | None
    precision: str
    facts: Mapping[str, Any]
    notices: tuple[str, ...]


def obtain(recipe: Recipe, precisions: Sequence[str], *, store: NetworkStore | None = None) -> Obtained:
    """Return the converted network of `recipe` in the first of `precisions` that passes its check.

    Raises:
        MotError: The original cannot be loaded.
    """
    store = store or NetworkStore()
    try:
        held = _hold(recipe, store)
        return _first_good(recipe, precisions, held, store)
    except ConversionError as error:
        return Obtained(None, "", {}, (f"'{recipe.name}' runs in torch instead of OpenVINO: {error}",))


@dataclasses.dataclass(frozen=True)
class _Held:
    """A network on disk (`entry`), or only in memory (`model`), where nothing can be written."""

    facts: Mapping[str, Any]
    model: Any
    entry: Entry | None
    notices: tuple[str, ...] = ()


def _hold(recipe: Recipe, store: NetworkStore) -> _Held:
    key = recipe_key(recipe)
    entry = store.find(key)
    if entry is not None:
        return _Held(entry.facts, entry.network, entry)
    log.info("converting '%s' for OpenVINO (first use only)", recipe.name)
    made = recipe.convert()

    def write(path: Path) -> None:
        openvino_module().save_model(made.model, path, compress_to_fp16=False)

    try:
        kept = store.keep(key, write, made.facts)
    except OSError as error:
        reason = (
            f"converted networks cannot be cached in '{store.folder}' and are converted again at every start: {error}"
        )
        return _Held(made.facts, made.model, None, (reason,))
    return _Held(made.facts, kept.network, kept)


def _first_good(recipe: Recipe, precisions: Sequence[str], held: _Held, store: NetworkStore) -> Obtained:
    failed: list[str] = []
    news: list[str] = []  # said once, when the check is made: from then on the precision of the model tells
    entry = held.entry
    for precision in precisions:
        case = f"{precision} {recipe.situation}".strip()
        known = entry.verdicts.get(case) if entry else None
        verdict, network = (Verdict(**known) if known else None), None
        if verdict is None or verdict.passed:
            network = _compile(held, precision)
        if verdict is None and network is not None:
            verdict = recipe.check(network, held.facts)
            entry = store.judge(entry, case, dataclasses.asdict(verdict)) if entry else None
        if verdict is not None and verdict.passed and network is not None:
            return Obtained(network, precision, held.facts, (*held.notices, *news))
        if verdict is not None:
            failed.append(f"'{recipe.name}' is not run in OpenVINO's {precision}: {verdict.figure}")
            news += [] if known else failed[-1:]
    failed.append(f"'{recipe.name}' runs in torch instead of OpenVINO")
    return Obtained(None, "", {}, (*held.notices, *failed))


def _compile(held: _Held, precision: str) -> VinoNetwork:
    blobs = held.entry.blobs() if held.entry else None
    try:
        if blobs is not None:
            try:
                return VinoNetwork(held.model, precision, blobs=blobs)
            except RuntimeError as error:  # what was compiled is broken, or does not fit on the disk
                log.info("'%s' is not used: %s", blobs, error)
        return VinoNetwork(held.model, precision)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()
        raise ConversionError(
            f"OpenVINO cannot compile it: {reason[-1] if reason else type(error).__name__}"
        ) from error


def recipe_key(recipe: Recipe) -> str:
    """Return the name of a recipe's network: a hash of its files, its options and the versions of what made it."""
    versions = {name: _version(name) for name in ("openvino", "torch", *recipe.libraries)}
    parts = [FORMAT, content_hash(recipe.files), recipe.options, versions]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:40]


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""
