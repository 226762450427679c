"""Files of `identify`: ``identities.json`` and ``identities.csv``."""

from __future__ import annotations

import csv
import dataclasses
import itertools
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mot_dinov3.apps.identities.camera_plan import CameraPlan
from mot_dinov3.apps.identities.identified_tracks import IdentificationResult, IdentifiedTrack, TrackKey
from mot_dinov3.apps.identities.video_tracks import VideoTracks
from mot_dinov3.core import files
from mot_dinov3.core.errors import FormatError
from mot_dinov3.core.json_text import dumps, printable
from mot_dinov3.formats.tracks_csv import csv_line

SCHEMA = "identities-v1"
JSON, CSV = "identities.json", "identities.csv"
COLUMNS = (
    "identity", "video", "camera", "track_id", "class_name", "first_time", "last_time", "boxes", "confidence",
)  # fmt: skip


def by_identity(tracks: Sequence[IdentifiedTrack]) -> Iterator[tuple[str, list[IdentifiedTrack]]]:
    """Yield each identity with its tracks, which lie together."""
    for name, group in itertools.groupby(tracks, key=lambda track: track.identity):
        yield name, list(group)


def document(
    result: IdentificationResult, videos: Sequence[VideoTracks], plan: CameraPlan, created_at_utc: str
) -> dict[str, Any]:
    """Return the content of ``identities.json``; docs/identities.md describes it."""
    return {
        "schema_version": SCHEMA,
        "created_at_utc": created_at_utc,
        "embedder": videos[0].table.meta.get("embedder") if videos else None,
        "calibration": None if result.calibration is None else dataclasses.asdict(result.calibration),
        "videos": [_video(video, plan) for video in videos],
        "identities": [
            {"identity": name, "confidence": min(track.confidence for track in tracks), "tracks": _tracks(tracks)}
            for name, tracks in by_identity(result.tracks)
        ],
        "unidentified": [{"video": video, "track_id": track_id} for video, track_id in result.unidentified],
    }


def _video(video: VideoTracks, plan: CameraPlan) -> dict[str, Any]:
    return {
        "video": video.name,
        "source": video.table.meta.get("source"),
        "embeddings": str(video.path),
        "camera": plan.camera_of(video.name),
        "start": plan.start.get(video.name),
        "tracks": len(video.table.tracks["track_id"]),
    }


def _tracks(tracks: Sequence[IdentifiedTrack]) -> list[dict[str, Any]]:
    return [{key: getattr(track, key) for key in COLUMNS[1:]} for track in tracks]


def table_text(tracks: Sequence[IdentifiedTrack]) -> str:
    """Return the content of ``identities.csv``."""
    rows = ([printable(str(getattr(track, key))) for key in COLUMNS] for track in tracks)
    return "".join(map(csv_line, [COLUMNS, *rows]))


def content_text(content: Mapping[str, Any]) -> str:
    """Return the text of ``identities.json``."""
    # Through one line of checked JSON first: a number that is none is an error, and any text can be written.
    return printable(json.dumps(json.loads(dumps(content)), indent=1, ensure_ascii=False) + "\n")


@dataclasses.dataclass(frozen=True)
class SavedIdentities:
    """Results of `identify` as its ``identities.json`` has them.

    Attributes:
        document: The whole content.
        videos: Video → its camera, and its file of embeddings.
        rows: The tracks, by identity.
    """

    document: Mapping[str, Any]
    videos: Mapping[str, tuple[str, Path]]
    rows: tuple[IdentifiedTrack, ...]

    @property
    def tracks(self) -> dict[str, list[TrackKey]]:
        """Identity → video and id of its tracks."""
        return {name: [(track.video, track.track_id) for track in tracks] for name, tracks in by_identity(self.rows)}

    def without(self, name: str) -> SavedIdentities:
        """Return the results without an identity, whose tracks are taken from the numbers of their videos, too."""
        gone = Counter(track.video for track in self.rows if track.identity == name)
        videos = [{**video, "tracks": video["tracks"] - gone[video["video"]]} for video in self.document["videos"]]
        rest = [one for one in self.document["identities"] if one["identity"] != name]
        rows = tuple(track for track in self.rows if track.identity != name)
        return SavedIdentities({**self.document, "videos": videos, "identities": rest}, self.videos, rows)


def read_results(path: Path) -> SavedIdentities:
    """Read an ``identities.json``.

    Raises:
        FormatError: It is none.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return SavedIdentities(
            document,
            {video["video"]: (video["camera"], Path(video["embeddings"])) for video in document["videos"]},
            tuple(
                IdentifiedTrack(identity=one["identity"], **track)
                for one in document["identities"]
                for track in one["tracks"]
            ),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise FormatError(f"'{path}' is no result of identify ({type(error).__name__}: {error})") from error


def csv_without(path: Path, name: str) -> str:
    """Return the text of an ``identities.csv`` without the rows of an identity."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    return "".join(csv_line(row) for row in rows if row[:1] != [printable(name)])


def write_results(folder: Path, content: dict[str, Any], tracks: Sequence[IdentifiedTrack]) -> list[Path]:
    """Write both files and return their paths."""
    texts = {JSON: content_text(content), CSV: table_text(tracks)}
    for name, text in texts.items():
        with files.replacing(folder / name) as part:
            part.write_text(text, encoding="utf-8")
    return [folder / name for name in texts]


@dataclasses.dataclass(frozen=True)
class Totals:
    """Numbers of a result: its identities, those in several videos, and the mean confidence of the tracks."""

    identities: int
    in_several: int
    confidence: float

    @classmethod
    def of(cls, tracks: Sequence[IdentifiedTrack]) -> Totals:
        """Count; the tracks of an identity lie together."""
        groups = [group for _, group in by_identity(tracks)]
        several = sum(len({track.video for track in group}) > 1 for group in groups)
        mean = sum(track.confidence for track in tracks) / max(1, len(tracks))
        return cls(len(groups), several, mean)


def summary_lines(result: IdentificationResult, videos: Sequence[VideoTracks]) -> list[str]:
    """Return the lines of the summary."""
    totals = Totals.of(result.tracks)
    tracks, places = counted(len(result.tracks), "track"), counted(len(videos), "video")
    lines = [f"identities  {totals.identities} of {tracks} in {places}; {totals.in_several} in several videos"]
    if result.tracks:
        lines.append(f"confidence  {totals.confidence:.2f} in the mean of the tracks")
    if result.calibration is not None:
        different, same = result.calibration.different, result.calibration.same
        lines.append(
            f"cosines     different {different[0]:.2f} ± {different[1]:.2f}, same {same[0]:.2f} ± {same[1]:.2f}, "
            f"one identity from {result.calibration.threshold():.2f}"
        )
    return lines


def notices(result: IdentificationResult, videos: Sequence[VideoTracks]) -> list[str]:
    """Return what the user should know of the inputs."""
    found = [f"'{video.name}' has no tracks" for video in videos if not len(video.table.tracks["track_id"])]
    if result.unidentified:
        video, track_id = result.unidentified[0]
        count = len(result.unidentified)
        found.append(f"no embedding, no identity: {counted(count, 'track')}, the first: track {track_id} of '{video}'")
    return found


def counted(number: int, one: str) -> str:
    """Return a number with its noun: ``1 track``, ``1,200 tracks``."""
    return f"{number:,} {one}{'' if number == 1 else 's'}"
