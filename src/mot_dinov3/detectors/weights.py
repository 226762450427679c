"""Detector weights: found locally, or fetched into the cache folder."""

from __future__ import annotations

import functools
import http.client
import os
import queue
import shutil
import tempfile
import threading
import types
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from mot_dinov3.cache import cache_dir
from mot_dinov3.errors import ModelError, UnreachableModelError, closest

ASSETS_URL = "https://github.com/ultralytics/assets/releases/download/v8.4.0"
"""Where Ultralytics publishes its weights."""

_CONNECT_SECONDS = 8.0
_STALL_SECONDS = 15.0


@functools.cache
def ultralytics_module() -> types.ModuleType:
    """Return the ultralytics package, imported so that it neither phones home nor installs, prints or litters.

    Its settings are read from the environment at import, so they must stand there before.
    """
    os.environ.setdefault("YOLO_CONFIG_DIR", str(cache_dir()))  # else it makes a folder in the user's configuration
    os.environ["YOLO_OFFLINE"] = "True"  # no name look-ups at import, no analytics
    os.environ["YOLO_AUTOINSTALL"] = "False"
    os.environ["ULTRALYTICS_SKIP_REQUIREMENTS_CHECKS"] = "True"
    os.environ.setdefault("YOLO_VERBOSE", "False")
    import ultralytics
    from ultralytics.utils import LOGGER
    from ultralytics.utils.events import events

    LOGGER.setLevel("CRITICAL")
    events.enabled = False  # also where something else had imported the package before
    return ultralytics


def find_weights(name: str) -> Path:
    """Return the local path of detector weights; an official model that is not here is fetched into the cache.

    A name without a folder is looked up in the working directory, in ``models/`` and in the cache.

    Raises:
        ModelError: No such file, and no official model of that name.
        UnreachableModelError: An official model that is neither here nor can be fetched.
    """
    path = Path(name).expanduser()
    if path.exists():
        return path
    if path.name != name:
        raise ModelError(f"detector weights '{name}' do not exist", remedy="check the path")
    for folder in (Path("models"), weights_cache()):
        if (folder / name).exists():
            return folder / name
    from_official = official_weights()
    if name not in from_official:
        raise ModelError(
            f"detector weights '{name}' are neither a file here nor an official model{closest(name, from_official)}",
            remedy="name a weights file, an official model such as yolov8n.pt, or 'motion', which needs no weights",
        )
    return download(name)


def weights_cache() -> Path:
    """Return the folder that fetched weights are kept in; it may not exist yet."""
    return cache_dir() / "weights"


def official_weights() -> frozenset[str]:
    """Return the file names that Ultralytics publishes."""
    ultralytics_module()
    from ultralytics.utils.downloads import GITHUB_ASSETS_NAMES

    return frozenset(GITHUB_ASSETS_NAMES)


def download(name: str) -> Path:
    """Fetch official weights into the cache and return their path; a partial file is never left there.

    Raises:
        UnreachableModelError: The host cannot be reached, refuses, stalls or breaks off.
    """
    target = weights_cache() / name
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        response = _open(f"{ASSETS_URL}/{name}")
        with response, tempfile.NamedTemporaryFile(dir=target.parent, suffix=".part", delete=False) as part:
            try:
                _copy(response, part)
                part.close()
                Path(part.name).replace(target)
            finally:
                Path(part.name).unlink(missing_ok=True)
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise UnreachableModelError(
            f"detector weights '{name}' are not here and could not be fetched: {reason}",
            remedy=f"put {name} into models/ or name its path (--det PATH); or --det motion, which needs no weights",
        ) from error
    return target


def _copy(response: Any, part: Any) -> None:
    shutil.copyfileobj(response, part, 1 << 20)
    expected = response.headers.get("Content-Length")
    if expected is not None and part.tell() != int(expected):
        raise OSError(f"the connection broke off after {part.tell()} of {expected} bytes")


def _open(url: str) -> Any:
    """Open `url`, giving up after a few seconds even where the name look-up hangs, which no socket timeout covers."""
    answers: queue.Queue[Any] = queue.Queue()

    def ask() -> None:
        try:
            answers.put(urllib.request.urlopen(url, timeout=_STALL_SECONDS))
        except (OSError, http.client.HTTPException) as error:
            answers.put(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=_CONNECT_SECONDS)
    except queue.Empty:
        raise urllib.error.URLError(f"no answer within {_CONNECT_SECONDS:g} s") from None
    if isinstance(answer, BaseException):
        raise answer
    return answer
