"""``identities.html``: every identity with its best crops, and when it was in which video; a click shows it there.

The page asks no network for anything; beside itself it shows the videos, by their paths relative to it.
"""

from __future__ import annotations

import importlib.resources
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from mot_dinov3.apps.identities.identified_tracks import IdentificationResult, IdentifiedTrack, TrackKey
from mot_dinov3.apps.identities.identity_files import SavedIdentities, Totals, by_identity, counted
from mot_dinov3.apps.identities.named_videos import NAMED
from mot_dinov3.apps.identities.track_images import opened, track_images
from mot_dinov3.apps.identities.video_tracks import VideoTracks
from mot_dinov3.core import files
from mot_dinov3.core.errors import MotError
from mot_dinov3.core.json_text import printable
from mot_dinov3.report.best_crops import thumbnail
from mot_dinov3.report.page_frame import PageHead, data_url, escape, page_of, tiles
from mot_dinov3.sinks.base import clock_text

PAGE = "identities.html"
MAX_IDENTITIES = 1000
MAX_CROPS = 600  # on the page
CROPS = 5  # of an identity
CROP_SIZE = (84, 126)  # largest width and height, px
DOUBTFUL = 0.5  # confidence below which a stretch is drawn hatched
COUNTED = {
    "tiles": ('<section class="tiles" aria-label="numbers of the run">', "</section>"),
    "notices": ('<ul class="notices">', "</ul>"),
    "cameras": ('<select id="camera"><option value="">all</option>', "</select>"),
}
"""What stands on the page before and after each of the parts that are counted over all identities."""
PLAYABLE = (".mp4", ".m4v", ".webm", ".mov")

Crops = Mapping[TrackKey, str]
"""Video and track → its best crop as a data URL."""


def write_page(
    folder: Path, videos: Sequence[VideoTracks], result: IdentificationResult, written: str, *, images: bool
) -> tuple[Path, list[str]]:
    """Write the page; return its path, and notices of videos that could not be read.

    Args:
        folder: Where it is written.
        videos: The videos.
        result: Identities of their tracks.
        written: Date and time, ISO 8601.
        images: Show crops and videos of the people; False where they are to be hidden.
    """
    shown = list(by_identity(result.tracks))[:MAX_IDENTITIES]
    crops, notices = best_images(videos, [tracks for _, tracks in shown]) if images else ({}, [])
    addresses = {video.name: video_address(folder, video, images=images) for video in videos}
    seconds = {video.name: float(video.table.tracks["last_time"].max(initial=0.0)) for video in videos}
    counts = {video.name: len(video.table.tracks["track_id"]) for video in videos}
    parts = numbers(counts, result.tracks, len(result.unidentified)) | {
        "rows": "\n".join(
            _identity(rank, name, tracks, (crops, addresses, seconds)) for rank, (name, tracks) in enumerate(shown)
        ),
    }
    static = importlib.resources.files("mot_dinov3.apps.identities") / "static"
    page = page_of(static, "identities", PageHead("identities", folder.resolve().name, written, media="'self'"), parts)
    with files.replacing(folder / PAGE) as part:
        part.write_text(printable(page), encoding="utf-8")
    return folder / PAGE, notices


def best_images(
    videos: Sequence[VideoTracks], identities: Sequence[Sequence[IdentifiedTrack]]
) -> tuple[dict[TrackKey, str], list[str]]:
    """Return a crop of the first tracks of each identity, and notices of the videos that cannot be read."""
    share = max(1, min(CROPS, MAX_CROPS // max(1, len(identities))))
    wanted: dict[str, list[int]] = {}
    for tracks in identities[:MAX_CROPS]:
        for track in tracks[:share]:
            wanted.setdefault(track.video, []).append(track.track_id)
    found: dict[TrackKey, str] = {}
    notices = []
    for video in (video for video in videos if video.name in wanted):
        try:
            with opened(video.table.meta.get("source")) as frames:
                for track_id, images in track_images(frames, video.table, wanted[video.name], 1):
                    for _, image in images:
                        found[video.name, track_id] = data_url(thumbnail(image, *CROP_SIZE))
        except MotError as error:
            notices.append(f"no images of '{video.name}' on the page: {error.message}")
    return found, notices


def video_address(folder: Path, video: VideoTracks, *, images: bool) -> str:
    """Return the address of a video for the page: that with the names, else a source that browsers play, else none."""
    drawn, source = folder / video.name / f"{NAMED}.mp4", Path(str(video.table.meta.get("source")))
    playable = [path for path in (drawn, source) if path.suffix.lower() in PLAYABLE and path.is_file()]
    if not playable or (not images and playable[0] != drawn):
        return ""
    return quote(os.path.relpath(playable[0].resolve(), folder.resolve()))


def numbers(videos: Mapping[str, int], tracks: Sequence[IdentifiedTrack], unidentified: int) -> dict[str, str]:
    """Return the parts of the page that are counted over all identities.

    Args:
        videos: Video → number of its tracks.
        tracks: The tracks with an identity.
        unidentified: Number of those without.
    """
    totals, cameras = Totals.of(tracks), dict.fromkeys(track.camera for track in tracks)
    notices = [f"{name} has no tracks" for name, count in videos.items() if not count]
    if unidentified:
        notices.append(f"{counted(unidentified, 'track')} without an embedding, and so without an identity")
    if totals.identities > MAX_IDENTITIES:
        notices.append(f"The first {MAX_IDENTITIES:,} identities are shown; identities.csv has all of them.")
    shown = {
        "identities": (f"{totals.identities:,}", f"{totals.in_several:,} in several videos"),
        "tracks": (f"{len(tracks):,}", ""),
        "videos": (f"{len(videos):,}", f"of {counted(len(cameras), 'camera')}"),
        "confidence": (f"{totals.confidence:.2f}", "in the mean of the tracks"),
    }
    return {
        "tiles": tiles(shown),
        "notices": "".join(f"<li>{escape(text)}</li>" for text in notices),
        "cameras": "".join(f"<option>{escape(camera)}</option>" for camera in cameras),
    }


def _identity(
    rank: int,
    name: str,
    tracks: Sequence[IdentifiedTrack],
    shown: tuple[Crops, Mapping[str, str], Mapping[str, float]],
) -> str:
    """Return the row of an identity; `shown` has crops, addresses and lengths of the videos."""
    crops, addresses, seconds = shown
    lanes: dict[tuple[str, str], list[IdentifiedTrack]] = {}
    for track in tracks:
        lanes.setdefault((track.camera, track.video), []).append(track)
    total = sum(track.last_time - track.first_time for track in tracks)
    confidence = min(track.confidence for track in tracks)
    facts = f"{counted(len(tracks), 'track')} in {counted(len(lanes), 'video')}, {clock_text(total)} in view"
    images = [crops[track.video, track.track_id] for track in tracks if (track.video, track.track_id) in crops]
    pictures = "".join(f'<img src="{image}" alt="" loading="lazy">' for image in images[:CROPS])
    stretches = "".join(
        _lane(place, own, addresses[place[1]], seconds[place[1]]) for place, own in sorted(lanes.items())
    )
    return (
        f'{_row_start(name)}data-rank="{rank}" data-videos="{len(lanes)}" '
        f'data-seconds="{total:.1f}" data-confidence="{confidence:.4f}"><div><h2>{escape(name)}</h2>'
        f'<p class="note">{facts}, confidence {confidence:.2f}</p><div class="crops">{pictures}</div></div>'
        f"<div>{stretches}</div></article>"
    )


def _row_start(name: str) -> str:
    return f'<article class="identity" data-name="{escape(name)}" '


def page_without(text: str, name: str, kept: SavedIdentities) -> str:
    """Return the text of the page without the row of an identity: its name, crops and times.

    Args:
        text: The page.
        name: The identity.
        kept: What remains, which is counted anew.
    """
    start = text.find(printable(_row_start(name)))
    end = text.find("</article>", start)
    text = text if start < 0 else text[:start] + text[end + len("</article>") :]
    counts = {video["video"]: video["tracks"] for video in kept.document["videos"]}
    parts = numbers(counts, kept.rows, len(kept.document["unidentified"]))
    for part, (before, after) in COUNTED.items():
        start = text.find(before)
        end = text.find(after, start)
        if start >= 0:
            text = text[: start + len(before)] + printable(parts[part]) + text[end:]
    return text


def _lane(place: tuple[str, str], tracks: Sequence[IdentifiedTrack], address: str, seconds: float) -> str:
    camera, video = place
    label = video if camera == video else f"{camera} · {video}"
    buttons = "".join(_stretch(track, address, max(seconds, 1e-3)) for track in tracks)
    return (
        f'<div class="seen" data-camera="{escape(camera)}"><span>{escape(label)}</span>'
        f'<div class="stretches">{buttons}</div></div>'
    )


def _stretch(track: IdentifiedTrack, address: str, seconds: float) -> str:
    left, right = 100 * track.first_time / seconds, 100 * track.last_time / seconds
    title = (
        f"{track.identity}: {track.video} {clock_text(track.first_time)}–{clock_text(track.last_time)}, "
        f"track {track.track_id}, confidence {track.confidence:.2f}"
    )
    return (
        f'<button aria-pressed="false" title="{escape(title)}" style="left:{left:.2f}%;width:{right - left:.2f}%" '
        f'{"class=doubtful " if track.confidence < DOUBTFUL else ""}data-address="{escape(address)}" '
        f'data-first="{track.first_time:.3f}" data-last="{track.last_time:.3f}"></button>'
    )
