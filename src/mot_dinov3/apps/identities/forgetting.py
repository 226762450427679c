"""Deletes a person from the results of `identify`: the rows of the identity, and the embeddings of its tracks."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np

from mot_dinov3.apps.identities.identity_files import CSV, JSON, content_text, csv_without
from mot_dinov3.core import files
from mot_dinov3.core.errors import FormatError, InputError, UsageError, closest
from mot_dinov3.core.output_lock import OutputLocks
from mot_dinov3.formats.track_embeddings import EmbeddingTable, read_embeddings, write_embeddings


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
        UsageError: They have no identity of this name.
        FormatError: A file is damaged; nothing is changed then.
    """
    path = folder / JSON
    if not path.exists():
        raise InputError(f"'{folder}' has no results of identify: {JSON} is missing")
    with OutputLocks([path, folder / CSV]):
        document, tracks = _read(path, name)
        rewritten: dict[Path, EmbeddingTable] = {}
        remaining: list[Path] = []
        for video in document["videos"]:
            own = [track for place, track in tracks if place == video["video"]]
            place = Path(video["embeddings"])
            if own and place.exists():
                rewritten[place] = without_tracks(read_embeddings(place), own)
                remaining += [other for other in sorted(place.parent.iterdir()) if _may_show(other, place, folder)]
        changed = [*rewritten, path, folder / CSV]
        for place, table in rewritten.items():
            with files.replacing(place) as part:
                write_embeddings(table, part, suffix=place.suffix)
        rest = [one for one in document["identities"] if one["identity"] != name]
        with files.replacing(path) as part:
            part.write_text(content_text(document | {"identities": rest}), encoding="utf-8")
        with files.replacing(folder / CSV) as part:
            part.write_text(csv_without(folder / CSV, name), encoding="utf-8")
    return ForgottenResults(tuple(changed), tuple(remaining))


def _read(path: Path, name: str) -> tuple[dict[str, Any], list[tuple[str, int]]]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        found = {one["identity"]: one["tracks"] for one in document["identities"]}
        if name not in found:
            raise UsageError(f"'{path}' has no identity '{name}'{closest(name, list(found))}")
        return document, [(track["video"], track["track_id"]) for track in found[name]]
    except (ValueError, KeyError, TypeError) as error:
        raise FormatError(f"'{path}' is no result of identify ({type(error).__name__}: {error})") from error


def _may_show(other: Path, embeddings: Path, folder: Path) -> bool:
    return other != embeddings and other.is_file() and other.name[:1] != "." and other.parent != folder


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
