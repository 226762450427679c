"""The gallery builder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mot_dinov3.apps.studio import gallery_check, selection
from mot_dinov3.apps.studio.gallery_editor import GalleryDesk, crop_window, usable_name, whole_share
from mot_dinov3.apps.studio.jobs import Handle, Job
from mot_dinov3.apps.studio.requests import Ask, Blob
from mot_dinov3.apps.studio.routes.player import jpeg
from mot_dinov3.apps.studio.session import Studio, file_stamp
from mot_dinov3.apps.studio.track_index import Tracked
from mot_dinov3.core.errors import InputError, unknown_name
from mot_dinov3.core.structures import Image
from mot_dinov3.features.base import Embedder
from mot_dinov3.features.factory import EMBEDDERS, EmbedderConfig, build_embedder
from mot_dinov3.gallery.folder import load_gallery
from mot_dinov3.video.images import SUFFIXES

CROP_QUALITY = 95
LOOKED_AT = 80  # boxes of a track that are cut out to choose from
MEDIA = {".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".webp": "image/webp", ".bmp": "image/bmp"}


def overview(studio: Studio, ask: Ask) -> dict[str, Any]:
    """The identities of a gallery with their pictures."""
    return _overview(studio, _desk(studio, ask))


def _overview(studio: Studio, desk: GalleryDesk) -> dict[str, Any]:
    with studio.writing:
        found = {
            name: [p for p in paths if studio.roots.holds(p)]
            for name, paths in desk.identities().items()
            if studio.roots.holds(desk.root / name)
        }
    shown = [
        {"name": name, "count": len(paths), "pictures": [_picture(path) for path in paths]}
        for name, paths in found.items()
    ]
    return {"root": str(desk.root), "exists": desk.root.is_dir(), "identities": shown, "undo": desk.last_step}


def _picture(path: Path) -> dict[str, str]:
    return {"file": path.name, "stamp": file_stamp(path)}


def _desk(studio: Studio, ask: Ask) -> GalleryDesk:
    root = studio.roots.check(ask.text("root"))
    if root.exists() and not root.is_dir():
        raise InputError(f"'{root}' is a file", remedy="choose a folder for the gallery")
    return studio.galleries.get(root)


def picture(studio: Studio, ask: Ask) -> Blob:
    """A picture of a gallery."""
    path = _crop_path(studio, ask)
    return Blob(path.read_bytes(), MEDIA.get(path.suffix.lower(), "application/octet-stream"))


def _crop_path(studio: Studio, ask: Ask) -> Path:
    root = studio.roots.check(ask.text("root"))
    identity, file = ask.text("identity"), ask.text("file")
    if "/" in identity + file or "\\" in identity + file:
        raise InputError(f"'{identity}/{file}' is not a picture of the gallery")
    path = studio.roots.check(str(root / identity / file))
    if path.suffix.lower() not in SUFFIXES or not path.is_file():
        raise InputError(f"there is no picture '{identity}/{file}'", remedy="reload the page")
    return root / identity / file


def save(studio: Studio, ask: Ask) -> dict[str, Any]:
    """Cut a box out of a frame and add it to an identity."""
    desk, identity = _desk(studio, ask), _identity(studio, ask)
    image = _frame_of(studio, ask)(ask.whole("frame"))
    crop = _cut(image, ask.numbers("box", 4))
    with studio.writing:
        path = desk.save(identity, [jpeg(crop, CROP_QUALITY)])[0]
    advice = "It looks blurred: another frame may show more." if selection.sharpness(crop) < BLURRED else ""
    return {"file": path.name, "advice": advice, **_overview(studio, desk)}


BLURRED = 0.12  # sharpness of a crop blurred by two pixels at the judged size


def _identity(studio: Studio, ask: Ask) -> str:
    name = usable_name(ask.text("identity"))
    studio.roots.check(str(studio.roots.check(ask.text("root")) / name))
    return name


def _frame_of(studio: Studio, ask: Ask) -> Callable[[int], Image]:
    return studio.video(ask.text("video"))[1].image


def _cut(image: Image, box: list[float]) -> Image:
    x1, y1, x2, y2 = crop_window(box, (image.shape[1], image.shape[0]))
    return image[y1:y2, x1:x2]


def delete(studio: Studio, ask: Ask) -> dict[str, Any]:
    """Move a picture to the gallery's trash."""
    desk = _desk(studio, ask)
    with studio.writing:
        desk.delete(_crop_path(studio, ask))
    return _overview(studio, desk)


def undo(studio: Studio, ask: Ask) -> dict[str, Any]:
    """Take back the last step on a gallery."""
    desk = _desk(studio, ask)
    with studio.writing:
        what = desk.undo()
    return {"undone": what, **_overview(studio, desk)}


def boxes(studio: Studio, ask: Ask) -> dict[str, Any]:
    """The tracked boxes of a frame."""
    return {"boxes": _tracks(studio, ask).boxes(ask.whole("frame"))}


def tracks(studio: Studio, ask: Ask) -> dict[str, Any]:
    """All tracks of a file."""
    found = _tracks(studio, ask)
    size = [found.video.width, found.video.height]
    return {"path": str(found.path), "named": found.read_from == found.named, "size": size, "tracks": found.summary()}


def _tracks(studio: Studio, ask: Ask) -> Tracked:
    path = studio.roots.check(ask.text("tracks"))
    return studio.tracks.get(path, file_stamp(path))


def name_track(studio: Studio, ask: Ask) -> dict[str, Any]:
    """Give a track the name of an identity, in a copy of the file."""
    found, identity = _tracks(studio, ask), usable_name(ask.text("identity"))
    studio.roots.check(str(found.named))
    with studio.writing:
        written = found.name(ask.whole("track"), identity)
    return {"written": str(written), "tracks": found.summary()}


def take(studio: Studio, ask: Ask) -> Handle:
    """Add the sharpest, most different crops of a track to an identity, in the background."""
    desk, identity, found = _desk(studio, ask), _identity(studio, ask), _tracks(studio, ask)
    track, count = ask.whole("track"), ask.whole("count", low=1, high=50)
    span, frames = found.span(track), studio.video(ask.text("video"))[1]
    frame, size = frames.image, (frames.info.width, frames.info.height)
    embedder = _embedder(studio, ask)

    def work(job: Job) -> dict[str, Any]:
        looked = selection.spread(len(span.frames), LOOKED_AT)
        crops: list[Image] = []
        clear: list[float] = []
        for done, i in enumerate(looked.tolist()):
            job.check(done, len(looked))
            try:
                crops.append(_cut(frame(span.frames[i]), span.boxes[i].tolist()).copy())
            except InputError:
                continue  # at the edge of the picture, say: too little of it is left
            clear.append(whole_share(span.boxes[i].tolist(), size) * max(1 - 2 * float(span.covered[i]), 0.01))
        if not crops:
            raise InputError(f"track {track} has no box that is large enough")
        sharp = np.array(clear) * [selection.sharpness(crop) for crop in crops]
        chosen = selection.choose(sharp, embedder().embed_pictures(crops), count)
        job.check(len(looked), len(looked))
        with studio.writing:
            saved = desk.save(identity, [jpeg(crops[i], CROP_QUALITY) for i in chosen.tolist()])
        return {"saved": len(saved), **_overview(studio, desk)}

    title = f"Looking for the best crops of track {track}"
    return Handle(studio.jobs.start("take", title, work, subject=f"{desk.root}|{identity}|{track}", wait_s=0.2))


def check(studio: Studio, ask: Ask) -> Handle:
    """Nearest neighbours of all pictures, so that bad crops show; in the background."""
    desk = _desk(studio, ask)
    embedder = _embedder(studio, ask)

    def work(job: Job) -> dict[str, Any]:
        job.message = "loading the embedder"
        built = embedder()
        job.message = "embedding the pictures"
        job.check(0, 0)
        return _checked(studio, desk.root, built)

    chosen = f"{ask.text('embedder', 'histogram')} {ask.text('model', '')}"
    subject = f"{desk.root}|{chosen}"
    return Handle(studio.jobs.start("check", f"Checking the gallery with {chosen}", work, subject=subject, wait_s=0.2))


def _checked(studio: Studio, root: Path, embedder: Embedder) -> dict[str, Any]:
    for paths in GalleryDesk(root).identities().values():
        for path in paths:
            studio.roots.check(str(path))
    known = load_gallery(root, embedder)
    found = gallery_check.neighbours(known.embedding, known.owner)
    owners = known.owner.tolist()
    rows = [
        {
            "identity": known.names[owners[i]],
            "file": path.name,
            "stamp": file_stamp(path),
            "own": _number(found.own[i]),
            "other": _number(found.other[i]),
            "like": known.names[owners[int(found.other_at[i])]] if found.other_at[i] >= 0 else "",
            "like_file": known.paths[int(found.other_at[i])].name if found.other_at[i] >= 0 else "",
            "verdict": gallery_check.verdict(float(found.own[i]), float(found.other[i])),
        }
        for i, path in enumerate(known.paths)
    ]
    severity = {"wrong": 0, "doubtful": 1, "alone": 2, "good": 3}
    rows.sort(key=lambda r: (severity[str(r["verdict"])], (r["other"] or 9) - (r["own"] or 0)))
    between = [[_number(v) for v in row] for row in found.between]
    return {
        "embedder": embedder.info.name,
        "names": list(known.names),
        "between": between,
        "rows": rows,
        "notices": list(known.notices),
    }


def _number(value: Any) -> float | None:
    return None if not np.isfinite(value) else round(float(value), 4)


def _embedder(studio: Studio, ask: Ask) -> Callable[[], Embedder]:
    """Return what loads the chosen embedder, once; the choice itself is checked at once."""
    name = ask.text("embedder", "histogram")
    if name not in EMBEDDERS:  # a class of the user's own is code: not to be named by a page
        raise unknown_name("embedder", name, EMBEDDERS)
    config = EmbedderConfig(embedder=name, embed_model=_model(studio, ask.text("model", "").strip()))
    return lambda: studio.loaded(config, lambda: build_embedder(config, device=studio.command.device).embedder)


def _model(studio: Studio, text: str) -> str | None:
    """Return a model's hub id or, below the roots, its file."""
    return str(studio.roots.check(text)) if text and (studio.roots.folders[0] / text).exists() else text or None


ROUTES: dict[tuple[str, str], Callable[[Studio, Ask], Any]] = {
    ("GET", "/api/gallery"): overview,
    ("GET", "/api/gallery/picture"): picture,
    ("POST", "/api/gallery/save"): save,
    ("POST", "/api/gallery/delete"): delete,
    ("POST", "/api/gallery/undo"): undo,
    ("POST", "/api/gallery/take"): take,
    ("POST", "/api/gallery/check"): check,
    ("GET", "/api/tracks"): tracks,
    ("GET", "/api/tracks/boxes"): boxes,
    ("POST", "/api/tracks/name"): name_track,
}
