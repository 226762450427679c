"""Would it help to divide tracks that look like two people before identities are assigned? vtest.avi as four videos.

    python benchmarks/divided_tracks.py ../shared

The parts are those of identities.py. A track is divided between two of its crops, two or more on both sides, where the
log likelihood ratio of one person against two is the least, if that is below a limit. *pieces*: tracks after that;
*kept* and *mixed* as in identities.py; *rank*: place of the tracks that go over from one person to another, with
`OTHERS` boxes or more of the second one, among all tracks, the least ratio first.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
from identities import PARTS, cut_parts, kept_and_mixed, true_people
from open_set import NETWORKS

from mot_dinov3.apps.identities.assignment import IdentityAssignment, assign_identities
from mot_dinov3.apps.identities.identified_tracks import crops_by_track
from mot_dinov3.apps.identities.pair_evidence import PairCalibration, camera_offsets, unit_rows
from mot_dinov3.apps.identities.tracklet_means import ComparedTracklets, TrackletMeans, centre
from mot_dinov3.cli import main as command
from mot_dinov3.core.structures import BoolArray, FloatArray, IntArray
from mot_dinov3.formats.track_embeddings import read_embeddings

LIMITS = (-np.inf, 4.0, 6.0, 8.0, np.inf)
OTHERS = 5


class Piece(NamedTuple):
    """A track of a part, or a piece of one: first and last frame, frames, embeddings and weights of its crops."""

    part: int
    track: int
    first: int
    last: int
    frames: IntArray
    views: FloatArray
    weight: FloatArray

    def divided(self, crop: int) -> tuple[Piece, Piece]:
        """Return the pieces before a crop and from it on."""
        end = int(self.frames[crop - 1] + self.frames[crop]) // 2
        return (
            Piece(*self[:3], end, self.frames[:crop], self.views[:crop], self.weight[:crop]),
            Piece(*self[:2], end + 1, *self[3:4], self.frames[crop:], self.views[crop:], self.weight[crop:]),
        )


def read_pieces(folder: Path) -> list[Piece]:
    """Return the tracks of all parts that have embedded crops."""
    found = []
    for part in range(PARTS):
        table = read_embeddings(folder / f"part{part + 1}/embeddings.npz")
        for row, crops in crops_by_track(table).items():
            (k,) = np.flatnonzero(table.tracks["track_id"] == row)
            span = int(table.tracks["first_frame"][k]), int(table.tracks["last_frame"][k])
            columns = [table.crops[key][crops] for key in ("frame", "embedding", "quality")]
            found.append(Piece(part, row, *span, *columns))
    return found


def assign(pieces: list[Piece]) -> tuple[IdentityAssignment, FloatArray]:
    """Return identities, and what the cameras of the parts add to embeddings."""
    owner = np.repeat(np.arange(len(pieces)), [len(piece.views) for piece in pieces])
    views, weight = (np.concatenate([piece[k] for piece in pieces]) for k in (5, 6))
    appearance = TrackletMeans.of_views(views, weight.astype(np.float64), owner, len(pieces))
    part, first, last = (np.array([piece[k] for piece in pieces]) for k in (0, 2, 3))

    def can_be_one(one: IntArray, other: IntArray) -> BoolArray:
        at_once = (first[one] <= last[other]) & (first[other] <= last[one])
        return np.asarray(~((part[one] == part[other]) & at_once))

    found = assign_identities(centre(ComparedTracklets([appearance], part)), can_be_one)
    return found, camera_offsets(appearance.means(), part).astype(np.float32)


def least_ratio(piece: Piece, offset: FloatArray, calibration: PairCalibration) -> tuple[float, int]:
    """Return the least log likelihood ratio of one person, and the crop before which it is reached."""
    views = (piece.views - offset) * piece.weight[:, None]
    prior = np.log(calibration.share) - np.log1p(-calibration.share)
    found = [(np.inf, 0)]
    for crop in range(2, len(views) - 1):
        before, after = (unit_rows(part.sum(axis=0)[None])[0] for part in (views[:crop], views[crop:]))
        found.append((float(calibration.log_odds(np.array([before @ after]))[0] - prior), crop))
    return min(found)


def score(pieces: list[Piece], identity: IntArray, people: list[tuple[int, int, int, int]]) -> tuple[str, float]:
    """Return how many people keep one identity, and the largest share of others' boxes in one."""
    count: Counter[tuple[int, int, str]] = Counter()
    for person, part, track, frame in people:
        own = [
            str(name)
            for piece, name in zip(pieces, identity.tolist())
            if piece[:2] == (part, track) and piece.first <= frame <= piece.last
        ]
        count[person, part, own[0] if own else ""] += 1
    return kept_and_mixed(count)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=Path, help="folder of data and models")
    shared = parser.parse_args().shared
    truth = np.loadtxt(shared / "data/tracking/PETS09-S2L1/gt/gt.txt", delimiter=",")
    print("| network | rank | divided below | pieces | kept | mixed |\n" + "| --- " * 6 + "|")
    for label, model in NETWORKS.items():
        with tempfile.TemporaryDirectory() as name:
            videos = [str(path) for path in cut_parts(shared, Path(name))]
            options = ["--embedder", "osnet", "--embed-model", str(shared / "models" / model), "--no-progress", "--cpu"]
            run = ["identify", *videos, "--dets", f"{name}/{{name}}.txt", "--out-dir", f"{name}/out", *options]
            with contextlib.redirect_stdout(sys.stderr):
                assert command(run) == 0
            tracks, people = read_pieces(Path(name) / "out"), true_people(Path(name) / "out", truth)
        found, offsets = assign(tracks)
        assert found.calibration is not None
        ratios = [least_ratio(track, offsets[track.part], found.calibration) for track in tracks]
        who = {track[:2]: Counter(one for one, *place, _ in people if tuple(place) == track[:2]) for track in tracks}
        order = sorted(range(len(tracks)), key=lambda k: ratios[k])
        several = [rank + 1 for rank, k in enumerate(order)
                   if sorted([0, 0, *who[tracks[k][:2]].values()])[-2] >= OTHERS]  # fmt: skip
        for limit in LIMITS:
            pieces = [
                piece
                for track, (ratio, crop) in zip(tracks, ratios)
                for piece in (track.divided(crop) if crop and ratio < limit else (track,))
            ]
            kept, mixed = score(pieces, assign(pieces)[0].identity, people)
            print(f"| {label} | {several} | {limit:g} | {len(pieces)} | {kept} | {mixed:.2f} |")


if __name__ == "__main__":
    main()
