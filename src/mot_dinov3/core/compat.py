"""Workarounds for releases of libraries: each is dated and names the version with which it can be deleted."""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

# `override` is in `typing` from Python 3.12 on; before, type checkers know the one of typing_extensions, and at run
# time the decorator has nothing to do. Delete when 3.12 is the oldest Python.
if TYPE_CHECKING:
    from typing_extensions import override
elif sys.version_info >= (3, 12):
    from typing import override
else:

    def override(method: Any) -> Any:
        """Mark a method that replaces one of a base class; type checkers report it where there is none."""
        return method


__all__ = ["PROTOCOL_MAY_LACK", "SCRIPTS_GO", "override", "silence", "without_warning"]

# 2026-11: torch 2.15 warns at every TorchScript archive that torch.export is to replace it. Archives are a format that
# users have, not one that we chose; they open as long as torch opens them. Delete when torch.jit.load is gone.
SCRIPTS_GO = r"`torch\.jit\.load` is deprecated"

# 2026-11: up to torch 2.15 the restricted unpickler warns that it may not know all of another protocol than 2. What it
# does not know is an error of its own, with a remedy. Delete when it reads protocol 4 without a word.
PROTOCOL_MAY_LACK = r"Detected pickle protocol"


def silence(beginning: str) -> None:
    """Suppress warnings whose text begins like this from now on: a library may warn at any time, in any thread."""
    warnings.filterwarnings("ignore", beginning)


@contextlib.contextmanager
def without_warning(beginning: str) -> Iterator[None]:
    """Suppress warnings whose text begins like this regular expression, on which users cannot act; others are shown."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", beginning)
        yield
