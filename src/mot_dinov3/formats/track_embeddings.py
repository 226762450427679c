"""Embeddings of tracks as a file: NumPy's ``.npz``, or Parquet where pyarrow is installed.

One row a track: its quality-weighted mean embedding, and what is known of the track. Beside it a few crops of each
track that are sharp, unobstructed and different, and, on request, every embedding that was computed.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from mot_dinov3.core.errors import FormatError, UsageError
from mot_dinov3.core.special_files import is_special

SCHEMA: Final = "embeddings-v1"
SUFFIXES = (".npz", ".parquet")
META_KEY = b"mot_dinov3"

Array = npt.NDArray[Any]

TRACK_COLUMNS: dict[str, npt.DTypeLike] = {
    "track_id": np.int64,
    "class_id": np.int64,
    "class_name": np.str_,
    "name": np.str_,
    "embedding": np.float32,
    "embeddings": np.int64,
    "quality": np.float32,
    "boxes": np.int64,
    "first_frame": np.int64,
    "last_frame": np.int64,
    "first_time": np.float64,
    "last_time": np.float64,
}
"""Columns of the tracks; docs/formats.md describes them."""

CROP_COLUMNS: dict[str, npt.DTypeLike] = {
    "track_id": np.int64,
    "frame": np.int64,
    "time": np.float64,
    "xyxy": np.float32,
    "quality": np.float32,
    "embedding": np.float32,
}
"""Columns of the crops, and of all boxes; their arrays in a file begin with ``crop_`` and ``box_``."""


@dataclasses.dataclass(frozen=True)
class EmbeddingTable:
    """Embeddings of the tracks of a run.

    Attributes:
        meta: Plain JSON values: ``schema_version``, ``source``, ``fps``, ``embedder`` with its ``fingerprint``,
            ``calibration`` of cosines as the tracker learned it, or None.
        tracks: Column of `TRACK_COLUMNS` → ``(n,)``, ``embedding`` ``(n, d)`` unit rows; all zero where none was
            computed.
        crops: Column of `CROP_COLUMNS` → ``(m,)``, ``xyxy`` ``(m, 4)``, ``embedding`` ``(m, d)``: a few of each track.
        boxes: The same of every embedding that was computed; None where that was not asked for.
    """

    meta: Mapping[str, Any]
    tracks: Mapping[str, Array]
    crops: Mapping[str, Array]
    boxes: Mapping[str, Array] | None = None


def check_embeddings_path(path: Path) -> None:
    """Make sure that embeddings can be written under a name; a pipe or device gets .npz, whatever its name.

    Raises:
        UsageError: Its extension is neither .npz nor .parquet, or pyarrow is missing.
    """
    if path.suffix.lower() not in SUFFIXES and not is_special(path):
        raise UsageError(f"output '{path}': embeddings are written as .npz or .parquet", remedy="use one of these")
    if path.suffix.lower() == ".parquet" and importlib.util.find_spec("pyarrow") is None:
        raise UsageError(f"output '{path}' needs pyarrow", remedy="pip install pyarrow, or write .npz")


def write_embeddings(table: EmbeddingTable, part: Path, *, suffix: str) -> None:
    """Write a table to the file `part` in the format of a name's `suffix`."""
    if suffix.lower() == ".parquet":
        _write_parquet(table, part)
        return
    arrays: dict[str, Any] = {"meta": np.array(json.dumps(table.meta, sort_keys=True)), **table.tracks}
    arrays |= {f"crop_{key}": column for key, column in table.crops.items()}
    arrays |= {f"box_{key}": column for key, column in (table.boxes or {}).items()}
    with part.open("wb") as file:
        np.savez(file, **arrays)


def read_embeddings(path: Path) -> EmbeddingTable:
    """Read a file that `write_embeddings` wrote.

    Raises:
        FormatError: It is none, or of a newer version.
        UsageError: It is Parquet, and pyarrow is missing.
    """
    if path.suffix.lower() == ".parquet":
        check_embeddings_path(path)
        return _read_parquet(path)
    try:
        with np.load(path, allow_pickle=False) as saved:
            arrays = dict(saved)
            meta = json.loads(str(arrays.pop("meta")))
            tracks = {key: arrays[key] for key in TRACK_COLUMNS}
            crops = {key: arrays[f"crop_{key}"] for key in CROP_COLUMNS}
    except (OSError, ValueError, KeyError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise FormatError(f"'{path}' is not a file of embeddings ({type(error).__name__})") from error
    boxes = {key: arrays[f"box_{key}"] for key in CROP_COLUMNS} if "box_frame" in arrays else None
    return EmbeddingTable(_checked(meta, path), tracks, crops, boxes)


def _checked(meta: Any, path: Path) -> Mapping[str, Any]:
    version = meta.get("schema_version") if isinstance(meta, dict) else None
    if version != SCHEMA:
        raise FormatError(f"'{path}' is not {SCHEMA}: its schema_version is {version!r}")
    known: Mapping[str, Any] = meta
    return known


def _write_parquet(table: EmbeddingTable, part: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    columns: dict[str, Any] = {key: _plain(column) for key, column in table.tracks.items()}
    parts = {"crop": table.crops, **({} if table.boxes is None else {"box": table.boxes})}
    for prefix, rows in parts.items():
        of_track = [np.flatnonzero(rows["track_id"] == track_id) for track_id in table.tracks["track_id"]]
        for key in CROP_COLUMNS.keys() - {"track_id"}:
            columns[f"{prefix}_{key}"] = [_plain(rows[key][own]) for own in of_track]
    made = pyarrow.table({key: pyarrow.array(column) for key, column in sorted(columns.items())})
    made = made.replace_schema_metadata({META_KEY: json.dumps(table.meta, sort_keys=True).encode()})
    pyarrow.parquet.write_table(made, part)


def _plain(column: Array) -> list[Any]:
    """Return a column as lists, its numbers as wide as they are in the array."""
    return [row if row.ndim else row.item() for row in map(np.asarray, column)] if column.ndim == 1 else list(column)


def _read_parquet(path: Path) -> EmbeddingTable:
    import pyarrow
    import pyarrow.parquet

    try:
        found = pyarrow.parquet.read_table(path)
        meta = json.loads((found.schema.metadata or {}).get(META_KEY, b"null"))
        columns = found.to_pydict()
        tracks = {key: np.array(columns[key], dtype) for key, dtype in TRACK_COLUMNS.items()}
        crops = _flat(columns, "crop", tracks)
        boxes = _flat(columns, "box", tracks) if "box_frame" in columns else None
    except (OSError, ValueError, KeyError, pyarrow.ArrowException) as error:
        raise FormatError(f"'{path}' is not a file of embeddings ({type(error).__name__})") from error
    return EmbeddingTable(_checked(meta, path), tracks, crops, boxes)


def _flat(columns: Mapping[str, list[Any]], prefix: str, tracks: Mapping[str, Array]) -> dict[str, Array]:
    """Return nested lists of the tracks as columns with a row each."""
    counts = [len(frames) for frames in columns[f"{prefix}_frame"]]
    flat: dict[str, Array] = {"track_id": np.repeat(tracks["track_id"], counts)}
    wide = {"xyxy": 4, "embedding": tracks["embedding"].shape[1] if tracks["embedding"].ndim == 2 else 0}
    for key, dtype in CROP_COLUMNS.items():
        if key != "track_id":
            rows = [row for rows in columns[f"{prefix}_{key}"] for row in rows]
            shape = (len(rows), wide[key]) if key in wide else (len(rows),)
            flat[key] = np.array(rows, dtype).reshape(shape)
    return {key: flat[key] for key in CROP_COLUMNS}
