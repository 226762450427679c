"""Deletes a person from the results of `identify`: the rows of the identity, and the embeddings of its tracks."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from mot_dinov3.apps.identities.identity_files import CSV, JSON, content_text, csv_without, read_results
from mot_dinov3.apps.identities.identity_page import PAGE, page_without
from mot_dinov3.apps.identities.named_videos import NAMED, remove_name
from mot_dinov3.core import files
from mot_dinov3.core.errors import InputError, UnknownNameError, closest
from mot_dinov3.core.output_lock import OutputLocks
from mot_dinov3.formats.track_embeddings import EmbeddingTable, read_embeddings, write_embeddings
from mot_dinov3.formats.track_v1 import read_track_v1


@dataclasses.dataclass(frozen=True)
class ForgottenResults:
    """What was done in a folder of results.

    Attributes:
        changed: Files from which the person was deleted.
        remaining: Files of the same videos that may still show the person: drawn videos, tables of boxes, reports.
    """

    changed: tuple[Path, ...]
    remaining: tuple[Path, ...]


def forget_in_results(folder: Path, name: str) -> ForgottenResults:
    """Delete an identity from the results of `identify` in a folder.

    Raises:
        InputError: There are none.
        UnknownNameError: They have no identity of this name.
        FormatError: A file is damaged; nothing is changed then.
    """
    path, table, page = folder / JSON, folder / CSV, folder / PAGE
    if not path.exists():
        raise InputError(f"'{folder}' has no results of identify: {JSON} is missing")
    with OutputLocks([path, table]):
        saved = read_results(path)
        if name not in saved.tracks:
            raise UnknownNameError(f"'{path}' has no identity '{name}'{closest(name, list(saved.tracks))}")
        of_video: dict[str, list[int]] = {}
        for video, track in saved.tracks[name]:
            of_video.setdefault(video, []).append(track)
        places = {video: place for video, (_, place) in saved.videos.items()}
        own = {places[video]: ids for video, ids in of_video.items() if places[video].exists()}
        rewritten = {place: without_tracks(read_embeddings(place), ids) for place, ids in own.items()}
        named = _named_files(folder, list(of_video))
        remaining = [_may_show(places[video], folder / video, folder) for video in of_video]
        for place, kept in rewritten.items():
            with files.replacing(place) as part:
                write_embeddings(kept, part, suffix=place.suffix)
        changed = [*rewritten, *(written for tracked in named for written in remove_name(tracked, name))]
        # The list of identities is last: where this is stopped, the same command does the rest.
        rest = saved.without(name)
        changed += _replace_text(page, lambda text: page_without(text, name, rest))
        changed += _replace_text(table, lambda _: csv_without(table, name))
        changed += _replace_text(path, lambda _: content_text(rest.document))
    return ForgottenResults(tuple(changed), tuple(dict.fromkeys(itertools.chain(*remaining))))


def _named_files(folder: Path, videos: Sequence[str]) -> list[Path]:
    """Return the tracks of videos with names, having read them: a damaged file is an error before anything changes."""
    found = [folder / video / f"{NAMED}.json" for video in videos]
    found = [path for path in found if path.exists()]
    for path in found:
        read_track_v1(path)
    return found


def _replace_text(path: Path, change: Callable[[str], str]) -> list[Path]:
    """Write a file anew, if there is one; return its path."""
    if not path.exists():
        return []
    text = change(path.read_text(encoding="utf-8"))
    with files.replacing(path) as part:
        part.write_text(text, encoding="utf-8")
    return [path]


def _may_show(embeddings: Path, result: Path, folder: Path) -> list[Path]:
    """Return the files of a video, in its folder of results and beside its embeddings, that were not cleaned whole."""
    found = sorted({place.resolve(): place for place in (result, embeddings.parent) if place.is_dir()}.values())
    done = {path.resolve() for path in (embeddings, folder / JSON, folder / CSV, folder / PAGE)}
    return [
        other
        for place in found
        for other in sorted(place.iterdir())
        if other.is_file() and other.name[:1] != "." and other.resolve() not in done
    ]


def without_tracks(table: EmbeddingTable, tracks: list[int]) -> EmbeddingTable:
    """Return a table of embeddings without some tracks."""
    kept = ~np.isin(table.tracks["track_id"], tracks)
    crops = ~np.isin(table.crops["track_id"], tracks)
    boxes = table.boxes
    if boxes is not None:
        rest = ~np.isin(boxes["track_id"], tracks)
        boxes = {key: column[rest] for key, column in boxes.items()}
    return EmbeddingTable(
        table.meta,
        {key: column[kept] for key, column in table.tracks.items()},
        {key: column[crops] for key, column in table.crops.items()},
        boxes,
    )
