"""Routes of the start page: files, videos and their frames, jobs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from starlette.responses import Response

from mot_dinov3.apps.studio.jobs import Job
from mot_dinov3.apps.studio.requests import Request, jpeg
from mot_dinov3.apps.studio.session import Routes, Studio, file_stamp
from mot_dinov3.core.errors import InputError
from mot_dinov3.core.files import natural_key
from mot_dinov3.detectors import DETECTORS
from mot_dinov3.features.factory import EMBEDDERS
from mot_dinov3.video.image_files import SUFFIXES
from mot_dinov3.video.source import VIDEO_SUFFIXES

LISTED = {
    "video": VIDEO_SUFFIXES,
    "tracks": frozenset((".json", ".txt", ".csv")),
    "truth": frozenset((".txt", ".json", ".csv", ".xml")),
    "report": frozenset((".html", ".htm")),
    "dets": frozenset((".json", ".txt", ".csv", ".xml")),
    "folder": frozenset[str](),
}
PAGE_VALUES = 20  # of the page's state that are kept for a new tab
FRAME_QUALITY = 92  # of JPEGs that are displayed; crops are cut from the decoded frame itself


def start(studio: Studio, request: Request) -> dict[str, Any]:
    """The paths given on the command line, the roots, and the available models."""
    config = studio.options.studio
    given = {"video": config.source, "gallery": config.gallery, "tracks": config.tracks, "registry": config.registry}
    return {
        "given": {name: str(Path(path).expanduser().resolve()) for name, path in given.items() if path},
        "roots": [str(folder) for folder in studio.roots.folders],
        "page": studio.page,
        "detectors": list(DETECTORS),
        "embedders": [name for name in EMBEDDERS if name != "none"],
    }


def remember(studio: Studio, request: Request) -> dict[str, Any]:
    """Keep what the page shows, for a new tab; paths are checked when they are opened."""
    state = request.fields("state")
    studio.page = {name: Request(state).text(name) for name in list(state)[:PAGE_VALUES]}
    return {}


def listing(studio: Studio, request: Request) -> dict[str, Any]:
    """The subfolders of a folder and its files of a kind; without a path, the roots."""
    kind, text = request.text("kind", "folder"), request.text("path", "")
    if not text:
        return {"path": "", "parent": None, "folders": [_entry(f, str(f)) for f in studio.roots.folders], "files": []}
    folder = studio.roots.check(text)
    if not folder.is_dir():
        folder = folder.parent
    if not studio.roots.contains(folder):
        return listing(studio, Request({"kind": kind}))
    try:
        entries = sorted(folder.iterdir(), key=lambda p: natural_key(p.name))
    except OSError as error:
        raise InputError(f"folder '{folder}' cannot be read: {error.strerror}") from error
    seen = [p for p in entries if not p.name.startswith(".") and studio.roots.contains(p)]
    suffixes = LISTED.get(kind, frozenset())
    return {
        "path": str(folder),
        "parent": str(folder.parent) if studio.roots.contains(folder.parent) else "",
        "folders": [_entry(p, p.name) for p in seen if p.is_dir()],
        "files": [_entry(p, p.name) for p in seen if p.suffix.lower() in suffixes and p.is_file()],
        "images": sum(p.suffix.lower() in SUFFIXES for p in seen),
    }


def _entry(path: Path, name: str) -> dict[str, str]:
    return {"path": str(path), "name": name}


def video(studio: Studio, request: Request) -> dict[str, Any]:
    """Size, rate and length of a video, and the number of frames indexed so far."""
    path, frames = studio.video(request.text("path"))
    info = frames.info
    complete = frames.complete
    return {
        "path": str(path),
        "name": path.name,
        "stamp": file_stamp(path),
        "width": info.width,
        "height": info.height,
        "fps": info.fps,
        "frames": (frames.known or info.frame_count) if complete else max(info.frame_count, frames.known),
        "known": frames.known,
        "complete": complete,
    }


def frame(studio: Studio, request: Request) -> Response:
    """A frame as JPEG; its address contains the file's stamp, so that the browser may cache it."""
    _, frames = studio.video(request.text("path"))
    number = request.whole("n")
    headers = {"cache-control": "private, max-age=3600, immutable", "x-time": f"{frames.time(number):.6f}"}
    return Response(jpeg(frames.image(number), FRAME_QUALITY), media_type="image/jpeg", headers=headers)


def jobs(studio: Studio, request: Request) -> dict[str, Any]:
    """All running jobs."""
    return {"jobs": [job.to_json() for job in studio.jobs.running()]}


def job(studio: Studio, request: Request) -> Job:
    """One job; waits a moment for it to finish."""
    found = studio.jobs.get(request.text("id"))
    found.finished.wait(0.3)
    return found


def cancel(studio: Studio, request: Request) -> Job:
    """Cancel a job."""
    found = studio.jobs.get(request.text("id"))
    found.cancelled.set()
    return found


ROUTES: Routes = {
    ("GET", "/api/start"): start,
    ("POST", "/api/page"): remember,
    ("GET", "/api/files"): listing,
    ("GET", "/api/video"): video,
    ("GET", "/api/frame"): frame,
    ("GET", "/api/jobs"): jobs,
    ("GET", "/api/job"): job,
    ("POST", "/api/cancel"): cancel,
}
