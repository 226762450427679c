"""Start, files and jobs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from mot_dinov3.apps.studio.jobs import Handle
from mot_dinov3.apps.studio.requests import Ask
from mot_dinov3.apps.studio.session import Studio
from mot_dinov3.core.errors import InputError
from mot_dinov3.features.factory import EMBEDDERS
from mot_dinov3.keypoints.backends import BACKENDS
from mot_dinov3.video.images import SUFFIXES, natural_key
from mot_dinov3.video.open import VIDEO_SUFFIXES

WANTED = {"video": VIDEO_SUFFIXES, "tracks": {".json"}, "folder": frozenset[str]()}


def start(studio: Studio, ask: Ask) -> dict[str, Any]:
    """What the page needs to begin with: what was given on the command line, and what can be chosen."""
    config = studio.command.studio
    given = {"video": config.video, "gallery": config.gallery_root, "tracks": config.tracks}
    return {
        "given": {name: str(Path(path).expanduser().resolve()) for name, path in given.items() if path},
        "roots": [str(folder) for folder in studio.roots.folders],
        "embedders": [name for name in EMBEDDERS if name != "none"],
        "backends": ["auto", *BACKENDS],
    }


def listing(studio: Studio, ask: Ask) -> dict[str, Any]:
    """The folders and the wanted files of a folder; without a path, the roots."""
    suffixes = WANTED.get(ask.text("kind", "folder"), frozenset())
    text = ask.text("path", "")
    if not text:
        return {"path": "", "parent": None, "folders": [_named(f, str(f)) for f in studio.roots.folders], "files": []}
    folder = studio.roots.check(text)
    if not folder.is_dir():
        folder = folder.parent
    if not studio.roots.holds(folder):
        return listing(studio, Ask({"kind": ask.text("kind", "folder")}))
    folders, files, images = _entries(studio, folder, suffixes)
    parent = str(folder.parent) if studio.roots.holds(folder.parent) else ""
    return {"path": str(folder), "parent": parent, "folders": folders, "files": files, "images": images}


def _entries(studio: Studio, folder: Path, suffixes: Any) -> tuple[list[Any], list[Any], int]:
    try:
        entries = sorted(folder.iterdir(), key=lambda p: natural_key(p.name))
    except OSError as error:
        raise InputError(f"folder '{folder}' cannot be read: {error.strerror}") from error
    seen = [p for p in entries if not p.name.startswith(".") and studio.roots.holds(p)]
    files = [_named(p, p.name) for p in seen if p.suffix.lower() in suffixes and p.is_file()]
    return [_named(p, p.name) for p in seen if p.is_dir()], files, sum(_is_picture(p) for p in seen)


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES


def _named(path: Path, name: str) -> dict[str, str]:
    return {"path": str(path), "name": name}


def jobs(studio: Studio, ask: Ask) -> dict[str, Any]:
    """All jobs that run."""
    return {"jobs": [job.to_json() for job in studio.jobs.running()]}


def job(studio: Studio, ask: Ask) -> dict[str, Any]:
    """One job; waits a moment for it to finish."""
    found = studio.jobs.get(ask.text("id"))
    found.finished.wait(0.3)
    return Handle(found).to_json()


def cancel(studio: Studio, ask: Ask) -> dict[str, Any]:
    """Ask a job to stop."""
    found = studio.jobs.get(ask.text("id"))
    found.cancel()
    return Handle(found).to_json()


ROUTES: dict[tuple[str, str], Callable[[Studio, Ask], Any]] = {
    ("GET", "/api/start"): start,
    ("GET", "/api/files"): listing,
    ("GET", "/api/jobs"): jobs,
    ("GET", "/api/job"): job,
    ("POST", "/api/cancel"): cancel,
}
