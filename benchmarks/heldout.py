r"""Held-out validation of the default parameters.

Scores the defaults and their neighbours (each parameter divided or multiplied by 1.5) on every sequence. Then, for
each sequence, selects the setting that is best on all the *others* and scores it on the held-out one. If the defaults
were overfitted to single sequences, the selected setting would score lower there than the defaults do::

    python benchmarks/heldout.py ../shared/data

Mean over the sequences of a group, HOTA and IDF1, without coasted boxes, as Markdown. `--drop`, `--double` and
`--every` make the sequences harder.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from ablation import followed, recordings
from race import judge
from recordings import Recording, add_strains, strained

from mot_dinov3.trackers.config import TrackerConfig

TRIED = (
    "new_score",
    "match_floor",
    "tentative_floor",
    "height_power",
    "likelihood",
    "contest_margin",
    "contest_noise",
    "growth",
    "position_noise",
    "velocity_noise",
    "box_noise",
    "start_noise",
    "size_damping",
    "confirm_hits",
    "lost_seconds",
    "edge_seconds",
)
FACTORS = (2 / 3, 3 / 2)
DEFAULTS = "defaults"


def main() -> None:
    """Print the table."""
    args = parse()
    if os.environ.get("OMP_NUM_THREADS") != "1":  # libraries read it when they are loaded: start again with one thread
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, "OMP_NUM_THREADS": "1"})
    groups = {
        folder.name: [strained(r, args, 0) for r in recordings(folder, "det.txt")]
        for folder in sorted({path.parents[2] for path in args.data.glob("**/det/det.txt")})
    }
    sequences = [recording for group in groups.values() for recording in group]
    settings = neighbours()
    with ProcessPoolExecutor(args.jobs) as pool:
        table = np.array(list(pool.map(partial(scores, sequences), settings.values())))  # (settings, sequences, 2)
    members = np.repeat(np.arange(len(groups)), [len(group) for group in groups.values()])
    print_table(list(groups), members, table)
    chosen = [list(settings)[best] for best in picks(members, table)]
    for recording, name in zip(sequences, chosen):
        print(f"without {recording.name}: {name}")


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with groups of sequences below it")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes (default: one per core)")
    add_strains(parser)
    return parser.parse_args()


def neighbours() -> Mapping[str, TrackerConfig]:
    """Return the defaults and all settings that differ from them in one number."""
    defaults = TrackerConfig(coast=False)
    made = {DEFAULTS: defaults}
    for field in TRIED:
        value = getattr(defaults, field)
        for factor in FACTORS:
            other = type(value)(round(value * factor, 4))
            other = min(other, 1.0) if field == "new_score" else other
            made[f"{field} {other:g}"] = dataclasses.replace(defaults, **{field: other})
    return made


def scores(sequences: list[Recording], config: TrackerConfig) -> list[tuple[float, float]]:
    """Return HOTA and IDF1 of each sequence."""
    judged = [judge([recording], [followed(recording, config)]) for recording in sequences]
    return [(score.hota, score.idf1) for score in judged]


def picks(members: npt.NDArray[np.int64], table: npt.NDArray[np.float64]) -> list[int]:
    """Return for each sequence the setting that is best on all the others; every group weighs the same."""
    worth = table.mean(axis=2)  # of HOTA and IDF1
    best = []
    for aside in range(len(members)):
        others = np.arange(len(members)) != aside
        means = [worth[:, others & (members == group)].mean(axis=1) for group in np.unique(members)]
        best.append(int(np.argmax(np.mean(means, axis=0))))
    return best


def print_table(groups: list[str], members: npt.NDArray[np.int64], table: npt.NDArray[np.float64]) -> None:
    """Print what the defaults reach, and what settings reach that were chosen with and without each sequence."""
    aside = table[picks(members, table), np.arange(len(members))]
    print("| HOTA / IDF1, mean over sequences | " + " | ".join(groups) + " |\n" + "| --- " * (len(groups) + 1) + "|")
    for name, values in (
        (DEFAULTS, table[0]),
        ("best neighbour on the other sequences", aside),
        ("best neighbour on the sequence itself", table.max(axis=0)),
    ):
        means = [values[members == group].mean(axis=0) for group in range(len(groups))]
        print(f"| {name} | " + " | ".join(f"{hota:.1f} / {idf1:.1f}" for hota, idf1 in means) + " |")


if __name__ == "__main__":
    main()
