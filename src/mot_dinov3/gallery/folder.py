"""A gallery on disk: one folder of images per identity, embedded once and cached next to it."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import importlib
import json
import logging
import os
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mot_dinov3.core.errors import InputError, ModelError, VideoError
from mot_dinov3.core.files import file_hash, file_stamp, natural_key
from mot_dinov3.core.structures import FloatArray, Image, IntArray
from mot_dinov3.core.timing import activity
from mot_dinov3.features.base import Embedder, usable_rows
from mot_dinov3.gallery.identity_notices import identity_notices
from mot_dinov3.models.weights import find_local
from mot_dinov3.video.image_files import SUFFIXES, read_image
from mot_dinov3.video.images import PILLOW_FAILURES

MIN_SIDE = 10  # pixels; a smaller image is not usable
BATCH = 64  # images held in memory at once
SHOWN = 5  # file names in one notice
LAYOUT = "a gallery is <folder>/<identity>/*.jpg or *.png; the folder name is the identity"
IMAGES = SUFFIXES | {".jpe", ".jfif", ".gif", ".avif", ".jp2"}  # that OpenCV or Pillow reads
GREY = 128  # level of a transparent pixel
_HEIF = (".heic", ".heif")
_HEIF_READERS = ("pi_heif", "pillow_heif")  # optional packages that teach Pillow to read them
_SYSTEM = ("Thumbs.db", "desktop.ini")

if TYPE_CHECKING:
    import PIL.Image

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class KnownIdentities:
    """An embedded gallery.

    Attributes:
        names: ``k`` identities.
        embedding: ``(n, d)`` float32 unit rows, an image each.
        owner: ``(n,)`` identity of each image, 0 … k − 1, rising.
        notices: What was left out.
        paths: ``n`` files the images are in.
    """

    names: tuple[str, ...]
    embedding: FloatArray
    owner: IntArray
    notices: tuple[str, ...] = ()
    paths: tuple[Path, ...] = ()


def check_identity(name: str) -> str:
    """Return `name`, or raise `InputError` where it could lead out of its gallery as the name of a folder."""
    parts = name.replace("\\", "/").split("/")
    if len(parts) > 1 or name.strip() in ("", ".", "..") or ".." in parts or not name.isprintable():
        raise InputError(
            f"identity {name!r} cannot be used: a name must be printable, without a slash, and not '..'",
            remedy="rename its folder",
        )
    return name


def list_identities(root: Path) -> dict[str, list[Path]]:
    """Return the images of every identity of a gallery, in natural order.

    Raises:
        InputError: No such folder, a name that cannot be used, or no image at all.
    """
    found = find_identities(root)
    if not any(found.values()):
        raise InputError(f"gallery '{root}' is empty: it contains no folders with images", remedy=LAYOUT)
    return found


def find_identities(root: Path) -> dict[str, list[Path]]:
    """Return what `list_identities` does, of a gallery that may still be empty.

    Raises:
        InputError: No such folder, or a name that cannot be used.
    """
    if not root.is_dir():
        what = "is a file" if root.exists() else "does not exist"
        raise InputError(f"gallery '{root}' {what}", remedy=LAYOUT)
    try:
        # A hidden folder is none of the gallery's; one that could lead out of it is refused.
        folders = [p for p in root.iterdir() if p.is_dir() and (p.name[:1] != "." or p.name[:2] == "..")]
        return {
            check_identity(folder.name): [path for path in files_below(folder) if _is_image(path)]
            for folder in sorted(folders, key=lambda p: natural_key(p.name))
        }
    except OSError as error:
        raise InputError(f"gallery '{root}' cannot be read: {error.strerror or error}") from error


def files_below(folder: Path) -> list[Path]:
    """Return the files of a folder and its sub-folders in natural order; hidden ones and links to folders are none."""
    found = []
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(place) / name for name in names if not name.startswith(".") and name not in _SYSTEM]
    return sorted(found, key=lambda path: natural_key(path.relative_to(folder).as_posix()))


def unused_files(root: Path) -> list[str]:
    """Return the files of a gallery that are no image of an identity, counted by their reason."""
    reasons: Counter[str] = Counter()
    for entry in root.iterdir():
        if entry.name.startswith(".") or entry.name in _SYSTEM:
            continue
        if not entry.is_dir():
            reasons["outside of an identity's folder"] += 1
            continue
        for path in files_below(entry):
            suffix = path.suffix.lower()
            if _is_image(path):
                continue
            if suffix in _HEIF:
                reasons[f"{suffix} (to read it: pip install pi-heif; or convert it to JPEG)"] += 1
            else:
                reasons[f"{suffix or 'without an extension'} (no image)"] += 1
    return [f"{count} {reason}" for reason, count in reasons.most_common()]


def _is_image(path: Path) -> bool:
    suffix = path.suffix.lower()
    return suffix in IMAGES or (suffix in _HEIF and reads_heif())


@functools.cache
def reads_heif() -> bool:
    """Return whether Pillow reads HEIC here, after telling it to where one of the packages for it is installed."""
    for name in _HEIF_READERS:
        with contextlib.suppress(ImportError):
            importlib.import_module(name).register_heif_opener()
            return True
    return False


def read_on_grey(path: Path) -> Image:
    """Return an image file as ``(h, w, 3)`` uint8 BGR; what is transparent, as around a cut-out, becomes neutral grey.

    Raises:
        VideoError: It cannot be read or decoded.
    """
    import PIL.Image
    import PIL.ImageOps

    try:
        with PIL.Image.open(path) as opened:
            if not opened.has_transparency_data:
                return _read_plain(path, opened)
            pixels = np.asarray(PIL.ImageOps.exif_transpose(opened).convert("RGBA"), np.float32)
    except (*PILLOW_FAILURES, PIL.Image.DecompressionBombError) as error:
        log.debug("image '%s' is left to OpenCV: %s", path, error)
        return read_image(path)
    cover = pixels[..., 3:] / 255
    return np.rint(pixels[..., 2::-1] * cover + GREY * (1 - cover)).astype(np.uint8)


def _read_plain(path: Path, opened: PIL.Image.Image) -> Image:
    """Return an image without transparency by OpenCV, as a source's are read, or else by Pillow."""
    import PIL.ImageOps

    try:
        return read_image(path)
    except VideoError:
        rgb = np.asarray(PIL.ImageOps.exif_transpose(opened).convert("RGB"))
        return np.ascontiguousarray(rgb[..., ::-1])


def load_gallery(root: Path, embedder: Embedder, *, cache: bool = True) -> KnownIdentities:
    """Embed the images of a gallery, whole, in batches; those embedded before are read from the cache next to it.

    A cache that cannot be written is no failure.

    Raises:
        InputError: The gallery is missing or has no usable image, or an identity's name cannot be used.
    """
    identities = list_identities(root)
    paths = [path for images in identities.values() for path in images]
    digests = [_digest(path) for path in paths]
    store = root / f".embeddings-{_embedder_key(embedder)}.npz"
    known = _read_cache(store, embedder.dim) if cache else {}
    before = len(known)
    refused: list[str] = []
    missing = {digest: path for digest, path in zip(digests, paths) if digest not in known}
    with activity(f"embedding the images of '{root}'"):
        for images in _batches(missing, refused, root):
            rows = usable_rows(embedder, embedder.embed_images([image for _, image in images]), len(images))
            usable = np.abs(rows).max(axis=1) > 0
            refused += [
                f"{missing[digest].relative_to(root)} (no embedding)" for digest, _ in compress(images, ~usable)
            ]
            known |= {digest: row for (digest, _), row in compress(zip(images, rows), usable)}
        embedder.synchronize()
    notices = [_notice(f"gallery '{root}': {len(refused)} images skipped", refused)] if refused else []
    if unused := unused_files(root):
        notices.append(f"gallery '{root}': files that are not used: {', '.join(unused)}")
    if cache and len(known) > before:
        notices += _write_cache(store, {d: known[d] for d in digests if d in known})
    return _collect(root, identities, {p: known[d] for p, d in zip(paths, digests) if d in known}, notices)


def _collect(
    root: Path, identities: dict[str, list[Path]], rows: dict[Path, FloatArray], notices: list[str]
) -> KnownIdentities:
    usable = {name: [rows[p] for p in paths if p in rows] for name, paths in identities.items()}
    names = [name for name, found in usable.items() if found]
    if not names:
        raise InputError(
            f"gallery '{root}' is empty: none of its images can be used", remedy=notices[0] if notices else LAYOUT
        )
    if empty := [name for name, found in usable.items() if not found]:
        notices.append(_notice(f"gallery '{root}': identities without a usable image", empty))
    embedding = np.stack([row for name in names for row in usable[name]]).astype(np.float32)
    owner = np.repeat(np.arange(len(names)), [len(usable[name]) for name in names])
    found = tuple(path for name in names for path in identities[name] if path in rows)
    notices += identity_notices(root, names, embedding, owner)
    return KnownIdentities(tuple(names), embedding, owner, tuple(notices), found)


def _notice(what: str, names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{what}: {', '.join(names[:SHOWN])}{more}"


def _batches(files: Mapping[str, Path], refused: list[str], root: Path) -> Iterator[list[tuple[str, Image]]]:
    """Yield the images that can be used, with their digests; name the others in `refused`."""
    batch: list[tuple[str, Image]] = []
    for digest, path in files.items():
        try:
            image = read_on_grey(path)
        except VideoError:
            refused.append(f"{path.relative_to(root)} (unreadable)")
            continue
        height, width = image.shape[:2]
        if min(height, width) < MIN_SIDE:
            refused.append(f"{path.relative_to(root)} (tiny: {width}×{height})")
            continue
        batch.append((digest, image))
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _digest(path: Path) -> str:
    try:
        return file_hash(path)
    except OSError:
        return f"unreadable {path}"


def _embedder_key(embedder: Embedder) -> str:
    """Return a key of the embedder's rows: its kind, its weights with their file's stamp, and its runtime."""
    info = embedder.info
    stamp: tuple[int, ...] = ()
    try:
        stamp = file_stamp(find_local(info.weights)) if info.weights else ()
    except ModelError:
        log.debug("weights '%s' are not a local file", info.weights)
    facts = [info.name, info.weights, info.runtime, info.precision, embedder.dim, stamp, dict(info.details)]
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _read_cache(store: Path, dim: int) -> dict[str, FloatArray]:
    """Return digest → row; nothing where there is no cache that can be read."""
    try:
        with np.load(store, allow_pickle=False) as saved:
            digests, rows = saved["digest"], saved["embedding"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        log.debug("gallery cache '%s' cannot be read: %s", store, error)
        return {}
    if rows.ndim != 2 or rows.shape != (len(digests), dim) or not np.isfinite(rows).all():
        return {}
    return {str(digest): np.asarray(row, np.float32) for digest, row in zip(digests, rows)}


def _write_cache(store: Path, rows: dict[str, FloatArray]) -> list[str]:
    """Write the cache under a name of its own, then rename it, so that a reader never sees half of it.

    Returns:
        What to tell the user: why it could not be written.
    """
    part = ""
    try:
        with tempfile.NamedTemporaryFile(dir=store.parent, prefix=store.name, suffix=".part", delete=False) as file:
            part = file.name
            np.savez(file, digest=np.array(list(rows)), embedding=np.stack(list(rows.values())))
        Path(part).replace(store)
    except OSError as error:
        if part:
            Path(part).unlink(missing_ok=True)
        why = error.strerror or error
        return [
            f"gallery '{store.parent}': the embeddings cannot be cached next to it and are computed in every run: {why}"
        ]
    return []
