"""The one place where models are looked up locally and fetched from the hub."""

from __future__ import annotations

from pathlib import Path

from mot_dinov3.errors import ModelError

MODELS = Path("models")  # in the working directory


def find_local(name: str) -> Path:
    """Return the existing file or folder that `name` means, looked up as written, then in ``models/``.

    Raises:
        ModelError: There is none.
    """
    for path in (Path(name).expanduser(), MODELS / name):
        if path.exists():
            return path
    raise ModelError(
        f"model '{name}' does not exist here",
        remedy=f"give the path of an existing file or folder, or put it into {MODELS}/",
    )


def locate(model: str) -> Path:
    """Return the folder of `model`."""
    return find_local(model)
