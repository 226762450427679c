"""Weights: looked up by path or name, and official detector weights downloaded into the cache folder."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import http.client
import json
import logging
import os
import tempfile
import types
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from mot_dinov3.core.errors import ModelError, UnreachableModelError, closest
from mot_dinov3.core.files import cache_dir
from mot_dinov3.core.timing import activity, within
from mot_dinov3.models.devices import usable_cpus

MODELS = Path("models")  # in the working directory
REID_ENDINGS = ("", ".pt", ".pth", ".safetensors", ".torchscript", ".onnx", "_openvino_model", ".engine", ".tflite")

ASSETS_URL = "https://github.com/ultralytics/assets/releases/download/v8.4.0"
"""Address of the weights that Ultralytics publishes."""

LISTING_URL = "https://api.github.com/repos/ultralytics/assets/releases/tags/v8.4.0"
"""Address of their published digests."""

PUBLISHED = {
    "yolov8n.pt": "f59b3d833e2ff32e194b5bb8e08d211dc7c5bdf144b90d2c8412c47ccfc83b36",
    "yolov8s.pt": "1f47a78bf100391c2a140b7ac73a1caae18c32779be7d310658112f7ac9aa78a",
    "yolov8m.pt": "5d4a90cdc7a21786cc59cd19778e9eafff836df9e2da32524737c7ee6efe4fe5",
    "yolov8l.pt": "64c9115303f6a25575f82200d1b22ec409fa6bd7d08d0313884fc20d919478cd",
    "yolov8x.pt": "3df4ada6b4dad6d657868f2fdf7faecfb34dcfccf3a25c4b82079064718524c8",
    "yolo11n.pt": "0ebbc80d4a7680d14987a577cd21342b65ecfd94632bd9a8da63ae6417644ee1",
    "yolo11s.pt": "85a76fe86dd8afe384648546b56a7a78580c7cb7b404fc595f97969322d502d5",
    "yolo11m.pt": "d5ffc1a674953a08e11a8d21e022781b1b23a19b730afc309290bd9fb5305b95",
    "yolo11l.pt": "9ebd0e09d59811db4b1d61e2bc6730649608b1ac47f8dd01e2da6bca7c20023f",
    "yolo11x.pt": "7bc158aa95c0ebfdd87f70f01653c1131b93e92522dbe15c228bcd742e773a24",
    "yolo26n.pt": "9b09cc8bf347f0fc8a5f7657480587f25db09b34bf33b0652110fb03a8ad4fef",
    "yolo26s.pt": "646f8bc3fe0a656803d95c294f7852321748cb29d13466a1af8862e2db384a1b",
    "yolo26m.pt": "401cea9ab23ad19246ff7744859816bc599f350e93c9dd30367b6f0a0745d0b7",
    "yolo26l.pt": "9fe3c544f2b19bebad7ea41e76d7ad3d88b7c2f10d11d24430c5311f6b32db26",
    "yolo26x.pt": "9fdd44a31c504547ffb81d2c6d9e6dac3493c8eaa8b0398d3f43bae6c7003e92",
}
"""SHA-256 of the detectors of that release; the others' are requested when they are downloaded."""

_LISTING_BYTES = 8 << 20
_CONNECT_SECONDS = 5.0
_STALL_SECONDS = 15.0

log = logging.getLogger(__name__)


@functools.cache
def ultralytics_module() -> types.ModuleType:
    """Return the ultralytics package, imported so that it neither phones home nor installs, prints or litters.

    Its settings are read from the environment at import, so they must stand there before. It leaves the numbers of
    threads as they are: for the whole process, it would give one to whatever follows ``OMP_NUM_THREADS``, one to
    OpenCV, and to torch one less than there are processors.
    """
    os.environ.setdefault("YOLO_CONFIG_DIR", str(cache_dir()))  # else it makes a folder in the user's configuration
    os.environ["YOLO_OFFLINE"] = "True"  # no name look-ups at import, no analytics
    os.environ["YOLO_AUTOINSTALL"] = "False"
    os.environ["ULTRALYTICS_SKIP_REQUIREMENTS_CHECKS"] = "True"
    os.environ.setdefault("YOLO_VERBOSE", "False")
    with _threads_kept():
        import ultralytics
        from ultralytics.utils import LOGGER, torch_utils
        from ultralytics.utils.events import events

    # what torch gets whenever a model is given its device
    torch_utils.NUM_THREADS = usable_cpus()  # type: ignore[attr-defined]

    LOGGER.setLevel("CRITICAL")
    events.enabled = False  # also where something else had imported the package before
    return ultralytics


@contextlib.contextmanager
def _threads_kept() -> Iterator[None]:
    """Keep OpenCV's number of threads and the environment's; torch, if it is loaded inside, gets what may be used."""
    import cv2

    name, threads = "OMP_NUM_THREADS", cv2.getNumThreads()
    given = os.environ.get(name)
    os.environ[name] = given or str(usable_cpus())
    try:
        yield
    finally:
        cv2.setNumThreads(threads)
        if given is None:
            del os.environ[name]
        else:
            os.environ[name] = given


def first_existing(*places: Path) -> Path | None:
    """Return the first of several paths that exists, or None."""
    return next((place for place in places if place.exists()), None)


def local_folders() -> tuple[Path, ...]:
    """Return the folders that weights given by name are looked up in: the working directory, ``models/``, the cache."""
    return Path(), MODELS, weights_cache()


def find_local(name: str) -> Path:
    """Return the existing file or folder that `name` means, looked up as written, then in ``models/``.

    Raises:
        ModelError: There is none.
    """
    path = local_path(name)
    if path is None:
        raise missing_model(name)
    return path


def local_path(name: str) -> Path | None:
    """Return what exists under `name`: as written, in ``models/``, or there under the last part of a hub id."""
    return first_existing(Path(name).expanduser(), MODELS / name, MODELS / Path(name).name) if name.strip() else None


def missing_model(name: str) -> ModelError:
    """Build the error for a model that is neither here nor a hub id."""
    return ModelError(
        f"model '{name}' does not exist",
        remedy=f"give the path of an existing file or folder, or put it into {MODELS}/",
    )


def find_reid_weights(name: str, folder: Path) -> str:
    """Return the weights' path: as written, or by name under `folder`, with or without its ending.

    Raises:
        ModelError: There is no such file or folder.
    """
    path = first_reid_weights(name, folder)
    if path is not None:
        return str(path)
    there = sorted(p.name for p in folder.iterdir() if not p.name.startswith(".")) if folder.is_dir() else []
    raise ModelError(
        f"weights '{name}' do not exist, neither here nor in '{folder}'",
        remedy=f"available: {', '.join(there[:20])}" if there else "give the path of an existing file, or --models-dir",
    )


def first_reid_weights(name: str, folder: Path) -> Path | None:
    """Return where weights are, see `find_reid_weights`; None where they are not."""
    return first_existing(Path(name).expanduser(), *(folder / f"{name}{ending}" for ending in REID_ENDINGS))


def find_detector_weights(name: str, *, others: Iterable[str] = ()) -> Path:
    """Return the local path of detector weights; official ones that are not here are downloaded into the cache.

    A name without a folder is looked up in the working directory, in ``models/`` and in the cache.

    Args:
        name: A path, or an official file name.
        others: Further names to suggest for a misspelt one.

    Raises:
        ModelError: No such file, and no official model of that name.
        UnreachableModelError: An official model that is neither here nor can be downloaded.
    """
    check_detector_weights(name, others=others)
    found = detector_path(name)
    if found is not None:
        return found
    with activity(f"downloading {name}"):
        return download(name)


def check_detector_weights(name: str, *, others: Iterable[str] = ()) -> None:
    """Refuse a name of weights that are neither here nor official; nothing is downloaded.

    Raises:
        ModelError: No such file, and no official model of that name.
    """
    if detector_path(name) is not None:
        return
    if Path(name).name != name:
        raise ModelError(f"detector weights '{name}' do not exist", remedy="check the path")
    from_official = official_weights()
    if name not in from_official:
        raise ModelError(
            f"detector weights '{name}' are neither a local file nor an official model"
            f"{closest(name, (*from_official, *others))}",
            remedy="give a weights file, an official model such as yolov8n.pt, or 'motion', which needs no weights",
        )


def detector_path(name: str) -> Path | None:
    """Return where detector weights are on this computer, see `find_detector_weights`; None where they are not."""
    path = Path(name).expanduser()
    if not name or path.name != name:
        return path if name and path.exists() else None
    return first_existing(*(folder / name for folder in local_folders()))


def weights_cache() -> Path:
    """Return the folder of downloaded weights; it may not exist yet."""
    return cache_dir() / "weights"


def official_weights() -> frozenset[str]:
    """Return the file names that Ultralytics publishes."""
    ultralytics_module()
    from ultralytics.utils.downloads import GITHUB_ASSETS_NAMES

    return frozenset(GITHUB_ASSETS_NAMES)


def download(name: str) -> Path:
    """Fetch official weights into the cache, check their digest and return their path; a partial file is never left.

    Raises:
        ModelError: What came is not what was published.
        UnreachableModelError: The host cannot be reached, refuses, stalls or breaks off.
    """
    target = weights_cache() / name
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        response = _open(f"{ASSETS_URL}/{name}")
        with response, tempfile.NamedTemporaryFile(dir=target.parent, suffix=".part", delete=False) as part:
            try:
                _check_digest(name, _copy(response, part))
                part.close()
                Path(part.name).replace(target)
            finally:
                Path(part.name).unlink(missing_ok=True)
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        reason = getattr(reason, "strerror", None) or reason
        raise UnreachableModelError(
            f"detector weights '{name}' are not available locally and could not be downloaded: {reason}",
            remedy=f"put {name} into models/, or give its path (--det PATH)\n"
            "or use --det motion, which needs no weights",
        ) from error
    return target


def _copy(response: Any, part: Any) -> str:
    """Write a response to an open file and return the SHA-256 of what was written."""
    digest = hashlib.sha256()
    while chunk := response.read(1 << 20):
        part.write(chunk)
        digest.update(chunk)
    expected = response.headers.get("Content-Length")
    if expected is not None and part.tell() != int(expected):
        raise OSError(f"the connection was lost after {part.tell()} of {expected} bytes")
    return digest.hexdigest()


def _check_digest(name: str, found: str) -> None:
    published = PUBLISHED.get(name) or _listed_digest(name)
    if published is None:
        log.warning("the digest of '%s' is not published or cannot be retrieved: the file is not verified", name)
    elif found != published:
        raise ModelError(
            f"detector weights '{name}' differ from those published by Ultralytics: SHA-256 {found}, not {published}",
            remedy="try again from another network, or download the file and give its path (--det PATH)",
        )


def _listed_digest(name: str) -> str | None:
    """Return the digest that the release's own listing gives for a file; None where it has none or does not answer."""
    try:
        with _open(LISTING_URL) as response:
            assets = json.loads(response.read(_LISTING_BYTES))["assets"]
        digests = {asset["name"]: asset.get("digest") or "" for asset in assets}
    except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError) as error:
        log.debug("no listing of the release: %s", error)
        return None
    kind, _, value = digests.get(name, "").partition(":")
    return value if kind == "sha256" else None


def _open(url: str) -> Any:
    """Open `url`, giving up after a few seconds even where the name look-up hangs, which no socket timeout covers."""
    return within(_CONNECT_SECONDS, lambda: urllib.request.urlopen(url, timeout=_STALL_SECONDS))
