"""Ranks of id switches among the places to review of the studio and among the uncertain moments of the report.

``python benchmarks/review_ranks.py SEQUENCE…`` tracks folders of MOTChallenge (``det/det.txt``, ``gt/gt.txt``) without
an embedder, finds the id switches (matches with an IoU of 0.5 or more, pairs of the frame before first), and counts
those that both lists name among their first entries: within a second, with a track that takes part. ``--exchange``
gives each list the thresholds of the other one.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment

from mot_dinov3.apps.benchmark.runs import markdown_table
from mot_dinov3.apps.evaluation import read_truth
from mot_dinov3.apps.evaluation.box_tables import BoxTable
from mot_dinov3.apps.track_editing import find_places, review_places
from mot_dinov3.apps.track_editing.tracked_boxes import table_of
from mot_dinov3.core import boxes
from mot_dinov3.core.structures import Detections
from mot_dinov3.formats.recorded_detections import RecordedDetections
from mot_dinov3.formats.track_v1 import read_track_v1
from mot_dinov3.report import moments

FIRST = (10, 30, 120)
MATCH_IOU = 0.5
NEAR_S = 1.0
PEDESTRIAN = 1  # MOTChallenge's class
SAME_QUANTITY = (("CROSSING_IOU", "MIN_OVERLAP"), ("JUMP", "JUMP_HEIGHTS"), ("REACH", "NEAR_HEIGHTS"))
"""Thresholds of `review_places` and of `moments`."""

Entry = tuple[float, set[int]]
"""Seconds and tracks of a place, of a moment or of an id switch."""


def track(sequence: Path, folder: Path) -> RecordedDetections:
    """Track a sequence from its detections."""
    target = folder / f"{sequence.name}.json"
    words = ["track", "--dets", str(sequence / "det/det.txt"), "--embedder", "none", "--no-video", "--no-progress"]
    command = [sys.executable, "-m", "mot_dinov3", *words, "--save-json", str(target)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return read_track_v1(target)


def id_switches(truth: BoxTable, frames: Mapping[int, Detections], fps: float) -> Iterator[Entry]:
    """Yield where an object gets the box of another track than that of its match before."""
    counts = truth.counted if truth.class_id is None else truth.counted & (truth.class_id == PEDESTRIAN)
    corners = boxes.from_xywh(truth.xywh).astype(np.float32)
    last: dict[int, int] = {}
    before: dict[int, int] = {}
    for frame in np.unique(truth.frame).tolist():
        here = counts & (truth.frame == frame)
        rows = frames.get(frame, Detections.empty())
        rows = rows[~rows.coasted & (rows.track_id >= 1)]
        objects, overlap = truth.track_id[here].tolist(), boxes.iou(corners[here], rows.xyxy)
        stays = np.array([before.get(one, -1) for one in objects])[:, None] == rows.track_id
        enough = overlap >= MATCH_IOU
        first, second = linear_sum_assignment(np.where(enough, overlap + (len(objects) + 1) * stays, 0), maximize=True)
        ids = rows.track_id.tolist()
        before = {objects[k]: ids[j] for k, j in zip(first.tolist(), second.tolist()) if enough[k, j]}
        for one, track_id in before.items():
            if last.get(one, track_id) != track_id:
                yield frame / fps, {last[one], track_id}
        last |= before


def lists(recorded: RecordedDetections, fps: float) -> dict[str, list[Entry]]:
    """Return the entries of both lists, the most urgent first."""
    found = moments.UncertainMoments(1 / fps, (recorded.video.width, recorded.video.height))
    for frame, rows in sorted(recorded.frames.items()):
        found.add(frame / fps, rows, ~rows.coasted)
    return {
        "places to review": [(one.frame / fps, set(one.tracks)) for one in find_places(table_of(recorded), fps)],
        "uncertain moments": [(one.time, {one.track_id, one.other_id} - {0}) for one in found.listed()],
    }


def is_named(switch: Entry, entries: Sequence[Entry]) -> bool:
    """Return whether an id switch is among the entries."""
    return any(abs(switch[0] - time) <= NEAR_S and switch[1] & tracks for time, tracks in entries)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sequences", nargs="+", type=Path, metavar="SEQUENCE")
    parser.add_argument("--exchange", action="store_true", help="each list with the thresholds of the other one")
    given = parser.parse_args()
    for place, moment in SAME_QUANTITY if given.exchange else ():
        own, other = getattr(review_places, place), getattr(moments, moment)
        setattr(review_places, place, other)
        setattr(moments, moment, own)
    named: Counter[tuple[str, int]] = Counter()
    listed: Counter[str] = Counter()
    switches = 0
    with tempfile.TemporaryDirectory() as folder:
        for sequence in given.sequences:
            recorded = track(sequence, Path(folder))
            truth = read_truth(sequence / "gt/gt.txt")
            fps = truth.fps or recorded.video.fps
            found = list(id_switches(truth, recorded.frames, fps))
            switches += len(found)
            for name, entries in lists(recorded, fps).items():
                listed[name] += len(entries)
                for first in FIRST:
                    named[name, first] += sum(is_named(switch, entries[:first]) for switch in found)
    print(f"{switches} id switches in {len(given.sequences)} sequences\n")
    print("\n".join(markdown_table(
        ["", "listed", *(f"named among the first {first} of a sequence" for first in FIRST)],
        [[name, listed[name], *(named[name, first] for first in FIRST)] for name in listed],
    )))  # fmt: skip


if __name__ == "__main__":
    main()
