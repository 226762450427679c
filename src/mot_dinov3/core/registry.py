"""Registries are literal dicts, name → ``"package.module:Class"``, resolved on demand: listing imports nothing.

A user's own class is named as ``package.module:Class``, or by an entry point that its distribution declares in group
``mot_dinov3.embedder`` (``mot_dinov3.`` and the kind that the registry contains); it is loaded only when it is named.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mot_dinov3.core.errors import UsageError, unknown_name


def resolve(kind: str, registry: Mapping[str, str], name: str) -> Any:
    """Import and return what `registry` lists under `name`, or a user's own class.

    Args:
        kind: Kind of its entries, for messages: ``embedder``, ``tracker``, …
        registry: Name → ``"package.module:Class"``.
        name: A listed name, a reference of that same form, or the name of an entry point.

    Raises:
        UnknownNameError: The name is not listed; the message lists the valid ones and suggests the closest.
        UsageError: A user's own reference cannot be imported.
    """
    if name in registry:
        return _load(registry[name])
    reference = name if ":" in name else entry_point(kind, name)
    if reference is None:
        raise unknown_name(kind, name, registry)
    if (here := str(Path.cwd())) not in sys.path:  # the console script's path has its own folder in place of this one
        sys.path.append(here)
    try:
        return _load(reference)
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(
            f"{kind} '{name}' cannot be loaded: {error}",
            remedy="give it as package.module:Class, importable from the current folder",
        ) from error


def split_reference(name: str) -> tuple[str, str] | None:
    """Return ``package.module:Class`` and what follows it after one more colon; None for what is no such reference."""
    match = re.fullmatch(r"([^\W\d]\w*(?:\.[^\W\d]\w*)*:[^\W\d]\w*)(?::(.*))?", name)
    return None if match is None else (match[1], match[2] or "")


def check_members(kind: str, name: str, made: object, members: Iterable[str], *, base: str) -> None:
    """Raise `UsageError` where a user's own class lacks what its base class `base` has."""
    missing = [member for member in members if not hasattr(made, member)]
    if missing:
        raise UsageError(
            f"'{name}' is no usable {kind}: it has no {', '.join(missing)}", remedy=f"derive it from {base}"
        )


def check_name(kind: str, registry: Mapping[str, str], name: str) -> None:
    """Raise `UnknownNameError` unless `name` is listed, an entry point or a reference; imports nothing of it."""
    if name not in registry and ":" not in name and entry_point(kind, name) is None:
        raise unknown_name(kind, name, registry)


def _load(reference: str) -> Any:
    module, _, attribute = reference.partition(":")
    return getattr(importlib.import_module(module), attribute)


def entry_point(kind: str, name: str) -> str | None:
    """Return what an installed distribution declares under `name`, as ``package.module:Class``."""
    from importlib import metadata

    found = metadata.entry_points(group=f"mot_dinov3.{kind}", name=name)
    return next((point.value for point in found), None)
