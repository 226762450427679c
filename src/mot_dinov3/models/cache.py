"""Where downloads go: one folder of the user's, never the working directory."""

from __future__ import annotations

import os
from pathlib import Path


def cache_dir() -> Path:
    """Return the project's cache folder, which may not exist yet: under ``XDG_CACHE_HOME``, else ``~/.cache``."""
    home = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification tells to ignore a relative path.
    root = Path(home) if Path(home).is_absolute() else Path("~/.cache").expanduser()
    return root / "mot-dinov3"
