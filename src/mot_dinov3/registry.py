"""Registries are literal dicts, name → ``"package.module:Class"``, resolved on demand: listing imports nothing."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from mot_dinov3.errors import UsageError, unknown_name


def resolve(kind: str, registry: Mapping[str, str], name: str) -> Any:
    """Import and return what `registry` lists under `name`, or a user's own ``package.module:Class``.

    Args:
        kind: What the registry holds, for messages: ``embedder``, ``tracker``, …
        registry: Name → ``"package.module:Class"``.
        name: A listed name, or a reference of that same form, which is loaded only because it was named.

    Raises:
        UnknownNameError: The name is not listed; the message lists the valid ones and suggests the closest.
        UsageError: A user's own reference cannot be imported.
    """
    if name in registry:
        return _load(registry[name])
    if ":" not in name:
        raise unknown_name(kind, name, registry)
    try:
        return _load(name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(
            f"{kind} '{name}' cannot be loaded: {error}",
            remedy="give it as package.module:Class, importable from where you run the program",
        ) from error


def check_name(kind: str, registry: Mapping[str, str], name: str) -> None:
    """Raise `UnknownNameError` unless `name` is listed or has the form of a user's own reference; imports nothing."""
    if name not in registry and ":" not in name:
        raise unknown_name(kind, name, registry)


def _load(reference: str) -> Any:
    module, _, attribute = reference.partition(":")
    return getattr(importlib.import_module(module), attribute)
