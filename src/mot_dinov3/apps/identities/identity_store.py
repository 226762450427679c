"""A registry: identities that last over several runs. A gallery folder, and an SQLite index of the tracks in it.

The folder has a sub-folder of images per identity, as any gallery, so that `track --gallery` can use it. The index has
what `identify` needs of every track: its embeddings, its times, its identity. A run reads and changes it in one
transaction, during which no other run can; killed before its end, it leaves the index as it was. Images follow in
short transactions; the names of their files are kept before the first of these, so that none is left over. Those of a
track with another identity follow it, too (`registry_moves`).
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mot_dinov3.apps.identities.identified_tracks import TrackKey
from mot_dinov3.apps.identities.pair_evidence import PairCalibration
from mot_dinov3.apps.identities.registry_index import INDEX, open_index
from mot_dinov3.apps.identities.stored_tracks import (
    TEXTS,
    StoredTracklet,
    StoredVideo,
    records,
    row_types,
    table_digest,
)
from mot_dinov3.apps.identities.tracklet_means import reduced
from mot_dinov3.apps.identities.video_tracks import VideoTracks, dimension, fingerprint, model_text
from mot_dinov3.core.errors import UsageError
from mot_dinov3.formats.track_embeddings import CROP_COLUMNS, TRACK_COLUMNS, EmbeddingTable

SCRATCH = ".crop.jpg"  # an image that is being written
COMPARED_ANEW = 10_000  # tracks up to which all are compared in every run: that takes a few seconds
GROWTH = 1.1  # of the number of tracks, up to which cosines are worth what they were


@contextlib.contextmanager
def open_store(
    folder: Path, *, create: bool = False, reading: bool = False, keeps_edits: bool = False, wait_s: float | None = None
) -> Iterator[IdentityStore]:
    """Open a registry alone; what is changed is kept if nothing is raised.

    Args:
        folder: The registry.
        create: Make it where there is none; the folder, new or empty, is then private.
        reading: Nothing will be changed, so that another run may hold the registry meanwhile.
        keeps_edits: Edits that were made before can be undone still, though something is changed.
        wait_s: Seconds to wait for another run; None for `registry_index.WAIT_S`.

    Raises:
        InputError: There is none.
        OutputError: It cannot be made, or another run holds it.
        FormatError: It is damaged, or of another version.
    """
    with open_index(folder, create=create, reading=reading, keeps_edits=keeps_edits, wait_s=wait_s) as connection:
        yield IdentityStore(folder, connection)


def video_names(folder: Path) -> list[str]:
    """Return the names of the videos of a registry, which may not exist yet."""
    if not (folder / INDEX).exists():
        return []
    with open_store(folder) as store:
        return store.video_names()


class IdentityStore:
    """An open registry.

    Args:
        folder: Its folder.
        connection: Its index, within a transaction.
    """

    def __init__(self, folder: Path, connection: sqlite3.Connection) -> None:
        self.folder = folder
        self.connection = connection

    def rows(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return the rows that an SQL statement selects or changes."""
        return self.connection.execute(query, values).fetchall()

    def check_model(self, videos: Sequence[VideoTracks]) -> None:
        """Refuse embeddings of another model than those of the registry; the first ones decide.

        Raises:
            UsageError: They are; both models are named.
        """
        if not videos:
            return
        stored = dict(self.rows("SELECT key, value FROM facts"))
        first = videos[0]
        own = {"fingerprint": json.dumps(fingerprint(first)), "dim": str(dimension(first)), "model": model_text(first)}
        if "model" not in stored:
            self.connection.executemany("INSERT INTO facts VALUES (?, ?)", list(own.items()))
        elif any(stored[key] != own[key] for key in ("fingerprint", "dim")):
            raise UsageError(
                f"registry '{self.folder}' has embeddings of {stored['model']}, '{first.path}' of {own['model']}: "
                "embeddings of different models cannot be compared",
                remedy="use the same --embedder and --embed-model, or another registry",
            )

    def calibration(self) -> PairCalibration | None:
        """Return what cosines were worth when all tracks were compared, while most of its tracks were among them."""
        facts = dict(self.rows("SELECT key, value FROM facts WHERE key IN ('calibration', 'calibrated')"))
        ((tracks,),) = self.rows("SELECT COUNT(*) FROM tracklets")
        if len(facts) < 2 or tracks < COMPARED_ANEW or tracks > GROWTH * int(facts["calibrated"]):
            return None
        different, same, share = json.loads(facts["calibration"])
        return PairCalibration(tuple(different), tuple(same), share)

    def set_calibration(self, found: PairCalibration) -> None:
        """Keep what cosines are worth: all tracks have been compared."""
        ((tracks,),) = self.rows("SELECT COUNT(*) FROM tracklets")
        values = {"calibration": json.dumps([found.different, found.same, found.share]), "calibrated": str(tracks)}
        self.connection.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", list(values.items()))

    def video_names(self) -> list[str]:
        """Return the names of its videos."""
        return [name for (name,) in self.rows("SELECT name FROM videos ORDER BY id")]

    def identity_names(self) -> dict[str, bool]:
        """Return its identities, each with whether a person named it."""
        return {name: bool(named) for name, named in self.rows("SELECT name, by_person FROM identities ORDER BY id")}

    def videos(self, names: Collection[str] | None = None) -> list[StoredVideo]:
        """Return its videos in the order in which they came; only those of some names, where these are given."""
        columns = "id, name, camera, start, path, digest, meta"
        rows = self.rows(f"SELECT {columns} FROM videos ORDER BY id")
        return [self._video(row) for row in rows if names is None or row[1] in names]

    def _video(self, row: tuple[Any, ...]) -> StoredVideo:
        number, name, camera, start, path, digest, meta = row
        table, identities, confidence = self._table(number, json.loads(meta))
        tracks = VideoTracks(name, Path(path), *reduced(table))
        return StoredVideo(tracks, camera, start, digest, identities, confidence)

    def table(self, video: str) -> EmbeddingTable:
        """Return the tracks of a video as their file had them."""
        ((number, meta),) = self.rows("SELECT id, meta FROM videos WHERE name = ?", [video])
        return self._table(number, json.loads(meta))[0]

    def _table(self, number: int, facts: Mapping[str, Any]) -> tuple[EmbeddingTable, dict[int, str], dict[int, float]]:
        """Return the tracks of a video, given by its row, with the identities that they have, and their confidence."""
        found = self.rows(
            "SELECT row, crops, class_name, tracklets.name, identities.name, confidence FROM tracklets "
            "LEFT JOIN identities ON identities.id = identity WHERE video = ? ORDER BY tracklets.id", [number]
        )  # fmt: skip
        dtypes = row_types(facts["dim"])
        tracks = np.frombuffer(b"".join(one[0] for one in found), dtypes[0])
        crops = np.frombuffer(b"".join(one[1] for one in found), dtypes[1])
        columns = {key: tracks[key] for key in TRACK_COLUMNS if key not in TEXTS}
        texts = {key: np.array([one[2 + k] for one in found], np.str_) for k, key in enumerate(TEXTS)}
        table = EmbeddingTable(facts["meta"], columns | texts, {key: crops[key] for key in CROP_COLUMNS})
        ids = tracks["track_id"].tolist()
        identities = {track_id: one[4] for track_id, one in zip(ids, found) if one[4] is not None}
        return table, identities, {track_id: one[5] for track_id, one in zip(ids, found) if one[4] is not None}

    def add_video(self, video: VideoTracks, table: EmbeddingTable, camera: str, start: float | None) -> None:
        """Add a video with its tracks as their file has them; they have no identities yet."""
        dim = dimension(video)
        meta = json.dumps({"dim": dim, "meta": dict(table.meta)})
        number = self.connection.execute(
            "INSERT INTO videos (name, camera, start, path, digest, meta) VALUES (?, ?, ?, ?, ?, ?)",
            [video.name, camera, start, str(video.path), table_digest(table), meta],
        ).lastrowid
        of_track, of_crop = row_types(dim)
        columns = table.tracks
        rows = records(columns, of_track)
        crops = records(table.crops, of_crop)
        order = np.argsort(crops["track_id"], kind="stable")
        ids = columns["track_id"]
        first, stop = (np.searchsorted(crops["track_id"][order], ids, side=side) for side in ("left", "right"))
        self.connection.executemany(
            "INSERT INTO tracklets (video, track_id, row, crops, class_name, name) VALUES (?, ?, ?, ?, ?, ?)",
            [
                (number, int(track_id), rows[k].tobytes(), crops[order[first[k] : stop[k]]].tobytes(),
                 str(columns["class_name"][k]), str(columns["name"][k]))
                for k, track_id in enumerate(ids.tolist())
            ],
        )  # fmt: skip

    def remove_video(self, name: str) -> None:
        """Remove a video and its tracks."""
        numbers = self.rows("SELECT id FROM tracklets WHERE video = (SELECT id FROM videos WHERE name = ?)", [name])
        for path in self.image_paths([number for (number,) in numbers]):
            path.unlink(missing_ok=True)
        self.connection.execute("DELETE FROM videos WHERE name = ?", [name])

    def set_identities(self, video: str, identities: Mapping[int, tuple[str, float]]) -> None:
        """Give tracks of a video their identities: track → name and confidence."""
        self.connection.executemany(
            "INSERT OR IGNORE INTO identities (name) VALUES (?)", [[name] for name, _ in identities.values()]
        )
        self.connection.executemany(
            "UPDATE tracklets SET identity = (SELECT id FROM identities WHERE name = ?), confidence = ? "
            "WHERE track_id = ? AND video = (SELECT id FROM videos WHERE name = ?)",
            [(name, confidence, track_id, video) for track_id, (name, confidence) in identities.items()],
        )

    def settle_identities(self) -> None:
        """Note which names are a person's, those of a gallery; remove other identities that have no tracks."""
        self.connection.execute(
            "UPDATE identities SET by_person = 1 WHERE name IN (SELECT name FROM tracklets WHERE name != '')"
        )
        self.connection.execute(
            "DELETE FROM identities WHERE NOT by_person AND id NOT IN (SELECT identity FROM tracklets WHERE identity)"
        )

    def tracklets(self, identity: str | None = None) -> list[StoredTracklet]:
        """Return the tracks that have an identity, or those of one, in the order in which they came."""
        where, values = ("", []) if identity is None else ("WHERE identities.name = ?", [identity])
        return [
            StoredTracklet(*row)
            for row in self.rows(
                "SELECT tracklets.id, videos.name, track_id, identities.name FROM tracklets "
                "JOIN identities ON identities.id = identity JOIN videos ON videos.id = video "
                f"{where} ORDER BY tracklets.id", values
            )
        ]  # fmt: skip

    def owners(self, tracklets: Iterable[int]) -> dict[int, str]:
        """Return the identities of those tracks, given by their rows, that have one: row → name."""
        return dict(
            self.rows(
                "SELECT tracklets.id, identities.name FROM tracklets JOIN identities ON identities.id = identity "
                "WHERE tracklets.id IN (SELECT value FROM json_each(?))", [json.dumps(list(tracklets))]
            )
        )  # fmt: skip

    def different_pairs(self) -> list[tuple[TrackKey, TrackKey]]:
        """Return the pairs of tracks, by video and id, that a person called different."""
        return self._decided(same=False)

    def same_pairs(self) -> list[tuple[TrackKey, TrackKey]]:
        """Return the pairs of tracks, by video and id, that a person called one."""
        return self._decided(same=True)

    def _decided(self, *, same: bool) -> list[tuple[TrackKey, TrackKey]]:
        rows = self.rows(
            "SELECT a.name, x.track_id, b.name, y.track_id FROM decisions "
            "JOIN tracklets x ON x.id = one JOIN videos a ON a.id = x.video "
            "JOIN tracklets y ON y.id = other JOIN videos b ON b.id = y.video WHERE same = ?", [int(same)]
        )  # fmt: skip
        return [((row[0], row[1]), (row[2], row[3])) for row in rows]

    def without_images(self) -> dict[str, tuple[str, str]]:
        """Return the videos of which images are missing, each with the digest of its tracks and its source."""
        rows = self.rows(
            "SELECT name, digest, meta FROM videos WHERE id IN (SELECT video FROM tracklets "
            "WHERE identity AND NOT has_images) ORDER BY id"
        )
        return {name: (digest, str(json.loads(meta)["meta"].get("source"))) for name, digest, meta in rows}

    def tracks_without_images(self, video: str, digest: str) -> dict[int, tuple[int, str]]:
        """Return the tracks of a video whose images are missing: id → row and identity.

        There are none where the video is gone or was tracked again, and so has another digest.
        """
        rows = self.rows(
            "SELECT track_id, tracklets.id, identities.name FROM tracklets JOIN identities ON identities.id = identity "
            "JOIN videos ON videos.id = video WHERE NOT has_images AND videos.name = ? AND digest = ? "
            "ORDER BY tracklets.id", [video, digest]
        )  # fmt: skip
        return {track_id: (number, name) for track_id, number, name in rows}

    def keep_images(self, tracklet: int, files: Sequence[str], *, written: bool) -> None:
        """Keep the names of a track's images, before they are written, and once more when they have been."""
        self.connection.execute("DELETE FROM images WHERE tracklet = ?", [tracklet])
        self.connection.executemany("INSERT INTO images VALUES (?, ?)", [(tracklet, file) for file in files])
        self.connection.execute("UPDATE tracklets SET has_images = ? WHERE id = ?", [int(written), tracklet])

    def image_places(self, tracklets: Sequence[int]) -> list[tuple[str, str]]:
        """Return the images of tracks, given by their rows: the names of their identity, and of their file."""
        return self.rows(
            "SELECT identities.name, file FROM images JOIN tracklets ON tracklets.id = tracklet "
            "JOIN identities ON identities.id = identity WHERE tracklet IN (SELECT value FROM json_each(?)) "
            "ORDER BY file", [json.dumps(tracklets)]
        )  # fmt: skip

    def image_paths(self, tracklets: Sequence[int]) -> list[Path]:
        """Return the image files of tracks, given by their rows; those that are there."""
        paths = [self.folder / name / file for name, file in self.image_places(tracklets)]
        return [path for path in paths if path.exists()]
