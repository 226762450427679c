"""Routes of the gallery editor: crops, tracks, and the check of a gallery."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from starlette.responses import Response

from mot_dinov3.apps.studio.gallery_editor import GalleryEditor, completeness, crop_window, usable_name
from mot_dinov3.apps.studio.jobs import Job
from mot_dinov3.apps.studio.requests import Request, jpeg
from mot_dinov3.apps.studio.session import Routes, Studio, file_stamp
from mot_dinov3.apps.studio.track_index import TrackIndex
from mot_dinov3.core.errors import InputError, unknown_name
from mot_dinov3.core.structures import Image
from mot_dinov3.features import crop_quality
from mot_dinov3.features.base import Embedder
from mot_dinov3.features.factory import EMBEDDERS, EmbedderConfig, build_embedder
from mot_dinov3.gallery.folder import load_gallery
from mot_dinov3.video.image_files import SUFFIXES

CROP_QUALITY = 95
CANDIDATES = 80  # boxes of a track that are cropped to choose from
BLURRED = 0.12  # sharpness of a crop blurred by two pixels at the size at which it is measured
MEDIA = {".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".webp": "image/webp", ".bmp": "image/bmp"}


def overview(studio: Studio, request: Request) -> dict[str, Any]:
    """The identities of a gallery with their crops."""
    return _overview(studio, _editor(studio, request))


def _overview(studio: Studio, editor: GalleryEditor) -> dict[str, Any]:
    with studio.writing:
        found = {
            name: [p for p in paths if studio.roots.contains(p)]
            for name, paths in editor.identities().items()
            if studio.roots.contains(editor.root / name)
        }
    shown = [
        {
            "name": name,
            "count": len(paths),
            "pictures": [{"file": path.name, "stamp": file_stamp(path)} for path in paths],
        }
        for name, paths in found.items()
    ]
    return {"root": str(editor.root), "exists": editor.root.is_dir(), "identities": shown, "undo": editor.last_step}


def _editor(studio: Studio, request: Request) -> GalleryEditor:
    root = studio.roots.check(request.text("root"))
    if root.exists() and not root.is_dir():
        raise InputError(f"'{root}' is a file", remedy="choose a folder for the gallery")
    return studio.galleries.get(root, lambda: GalleryEditor(root))


def crop_file(studio: Studio, request: Request) -> Response:
    """A crop of a gallery."""
    path = _crop_path(studio, request)
    return Response(path.read_bytes(), media_type=MEDIA.get(path.suffix.lower(), "application/octet-stream"))


def _crop_path(studio: Studio, request: Request) -> Path:
    root = studio.roots.check(request.text("root"))
    identity, file = request.text("identity"), request.text("file")
    if "/" in identity + file or "\\" in identity + file:
        raise InputError(f"'{identity}/{file}' is not an image of the gallery")
    path = studio.roots.check(str(root / identity / file))
    if path.suffix.lower() not in SUFFIXES or not path.is_file():
        raise InputError(f"there is no image '{identity}/{file}'", remedy="reload the page")
    return root / identity / file


def save_crop(studio: Studio, request: Request) -> dict[str, Any]:
    """Crop a box of a frame and add it to an identity."""
    editor, identity = _editor(studio, request), _identity(studio, request)
    image = studio.video(request.text("video"))[1].image(request.whole("frame"))
    crop = _crop(image, request.numbers("box", 4))
    with studio.writing:
        path = editor.save(identity, [jpeg(crop, CROP_QUALITY)])[0]
    advice = "The crop is blurred: another frame may be sharper." if crop_quality.sharpness(crop) < BLURRED else ""
    return {"file": path.name, "advice": advice, **_overview(studio, editor)}


def _identity(studio: Studio, request: Request) -> str:
    name = usable_name(request.text("identity"))
    studio.roots.check(str(studio.roots.check(request.text("root")) / name))
    return name


def _crop(image: Image, box: list[float]) -> Image:
    x1, y1, x2, y2 = crop_window(box, (image.shape[1], image.shape[0]))
    return image[y1:y2, x1:x2]


def delete_crop(studio: Studio, request: Request) -> dict[str, Any]:
    """Move a crop to the gallery's trash."""
    editor = _editor(studio, request)
    with studio.writing:
        editor.delete(_crop_path(studio, request))
    return _overview(studio, editor)


def undo(studio: Studio, request: Request) -> dict[str, Any]:
    """Take back the last step on a gallery."""
    editor = _editor(studio, request)
    with studio.writing:
        undone = editor.undo()
    return {"undone": undone, **_overview(studio, editor)}


def boxes(studio: Studio, request: Request) -> dict[str, Any]:
    """The tracked boxes of a frame."""
    return {"boxes": _tracks(studio, request).boxes(request.whole("frame"))}


def tracks(studio: Studio, request: Request) -> dict[str, Any]:
    """All tracks of a file."""
    found = _tracks(studio, request)
    size = [found.video.width, found.video.height]
    return {"path": str(found.path), "named": found.read_from == found.named, "size": size, "tracks": found.summary()}


def _tracks(studio: Studio, request: Request) -> TrackIndex:
    path = studio.roots.check(request.text("tracks"))
    return studio.tracks.get(path, lambda: TrackIndex(path), stamp=file_stamp(path))


def name_track(studio: Studio, request: Request) -> dict[str, Any]:
    """Give a track the name of an identity, in a copy of the file."""
    found, identity = _tracks(studio, request), usable_name(request.text("identity"))
    studio.roots.check(str(found.named))
    with studio.writing:
        written = found.name(request.whole("track"), identity)
    return {"written": str(written), "tracks": found.summary()}


def add_track_crops(studio: Studio, request: Request) -> Job:
    """Add the sharpest and most different crops of a track to an identity, in the background."""
    editor, identity, found = _editor(studio, request), _identity(studio, request), _tracks(studio, request)
    track, count = request.whole("track"), request.whole("count", low=1, high=50)
    frames = studio.video(request.text("video"))[1]
    frame, size = frames.image, (frames.info.width, frames.info.height)
    boxes = found.track_boxes(track).free()
    if not boxes.frames:
        raise InputError(
            f"every box of track {track} is overlapped by another one", remedy="draw a box by hand where it is free"
        )
    embedder = _embedder(studio, request)

    def work(job: Job) -> dict[str, Any]:
        candidates = crop_quality.evenly_spaced(len(boxes.frames), CANDIDATES)
        crops: list[Image] = []
        weight: list[float] = []
        for done, i in enumerate(candidates.tolist()):
            job.check(done, len(candidates))
            try:
                crops.append(_crop(frame(boxes.frames[i]), boxes.boxes[i].tolist()).copy())
            except InputError:
                continue  # too little of the box is inside the image
            weight.append(completeness(boxes.boxes[i].tolist(), size))
        if not crops:
            raise InputError(f"track {track} has no box that is large enough")
        sharp = np.array(weight) * [crop_quality.sharpness(crop) for crop in crops]
        chosen = crop_quality.select_diverse(sharp, embedder().embed_images(crops), count)
        job.check(len(candidates), len(candidates))
        with studio.writing:
            saved = editor.save(identity, [jpeg(crops[i], CROP_QUALITY) for i in chosen.tolist()])
        return {"saved": len(saved), **_overview(studio, editor)}

    title = f"Searching for the best crops of track {track}"
    return studio.jobs.start("take", title, work, subject=f"{editor.root}|{identity}|{track}", wait_s=0.2)


def check_gallery(studio: Studio, request: Request) -> Job:
    """Nearest neighbours of all crops, which reveal crops in the wrong folder; in the background."""
    editor = _editor(studio, request)
    embedder = _embedder(studio, request)

    def work(job: Job) -> dict[str, Any]:
        job.message = "loading the embedder"
        built = embedder()
        job.message = "embedding the images"
        job.check(0, 0)
        return _check_results(studio, editor.root, built)

    chosen = f"{request.text('embedder', 'histogram')} {request.text('model', '')}"
    subject = f"{editor.root}|{chosen}"
    return studio.jobs.start("check", f"Checking the gallery with {chosen}", work, subject=subject, wait_s=0.2)


def _check_results(studio: Studio, root: Path, embedder: Embedder) -> dict[str, Any]:
    for paths in GalleryEditor(root).identities().values():
        for path in paths:
            studio.roots.check(str(path))
    known = load_gallery(root, embedder)
    found = crop_quality.nearest_neighbours(known.embedding, known.owner)
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
            "verdict": crop_quality.verdict(float(found.own[i]), float(found.other[i])),
        }
        for i, path in enumerate(known.paths)
    ]
    order = {"wrong": 0, "doubtful": 1, "alone": 2, "good": 3}
    rows.sort(key=lambda r: (order[str(r["verdict"])], (r["other"] or 9) - (r["own"] or 0)))
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


def _embedder(studio: Studio, request: Request) -> Callable[[], Embedder]:
    """Return a function that loads the chosen embedder, once; the choice itself is validated at once."""
    name = request.text("embedder", "histogram")
    if name not in EMBEDDERS:  # a plug-in is code: a page must not name one
        raise unknown_name("embedder", name, EMBEDDERS)
    config = EmbedderConfig(embedder=name, embed_model=studio.model(request))
    return lambda: studio.models.get(config, lambda: build_embedder(config, device=studio.options.device))


ROUTES: Routes = {
    ("GET", "/api/gallery"): overview,
    ("GET", "/api/gallery/picture"): crop_file,
    ("POST", "/api/gallery/save"): save_crop,
    ("POST", "/api/gallery/delete"): delete_crop,
    ("POST", "/api/gallery/undo"): undo,
    ("POST", "/api/gallery/take"): add_track_crops,
    ("POST", "/api/gallery/check"): check_gallery,
    ("GET", "/api/tracks"): tracks,
    ("GET", "/api/tracks/boxes"): boxes,
    ("POST", "/api/tracks/name"): name_track,
}
