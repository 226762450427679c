r"""Held-out validation of the default parameters.

Scores the defaults and their neighbours (each parameter divided or multiplied by 1.5) on every sequence. Then, for
each sequence, selects the setting that is best on all the *others* and scores it on the held-out one. If the defaults
were overfitted to single sequences, the selected setting would score lower there than the defaults do::

    python benchmarks/heldout.py ../shared/data

Mean over the sequences of a group, HOTA and IDF1, without coasted boxes, as Markdown. `--drop`, `--double`, `--every`
and `--rate` make the sequences harder.

`--floors` does the same with the numbers of frames that are the least of the four times of a track's life, with coasted
boxes, whose time is one of the four; it also prints what seconds alone reach::

    python benchmarks/heldout.py ../shared/data --floors --rate 5
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
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

from mot_dinov3.trackers.config import NEW_SCORE, TrackerConfig

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
FLOORS = {"tentative_frames": (0, 1, 2), "lost_frames": (0, 3, 6), "edge_frames": (0, 1)}
COAST_FLOORS = (0, 3)  # with the other defaults: predicted boxes give no identities
DEFAULTS = "defaults"
SECONDS = "seconds alone"


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
    settings = floors() if args.floors else neighbours()
    with ProcessPoolExecutor(args.jobs) as pool:
        table = np.array(list(pool.map(partial(scores, sequences), settings.values())))  # (settings, sequences, 2)
    members = np.repeat(np.arange(len(groups)), [len(group) for group in groups.values()])
    print_table(list(groups), members, table)
    if SECONDS in settings:
        print(line(SECONDS, table[list(settings).index(SECONDS)], members))
    chosen = [list(settings)[best] for best in picks(members, table)]
    for index, (recording, name) in enumerate(zip(sequences, chosen)):
        hota, idf1 = table[list(settings).index(name), index] - table[0, index]
        print(f"without {recording.name}: {name}; on it {hota:+.1f} / {idf1:+.1f} against the defaults")


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with groups of sequences below it")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes (default: one per core)")
    parser.add_argument("--floors", action="store_true", help="settings of the least numbers of frames instead")
    add_strains(parser)
    return parser.parse_args()


def neighbours() -> Mapping[str, TrackerConfig]:
    """Return the defaults and all settings that differ from them in one number."""
    defaults = TrackerConfig(coast=False, new_score=NEW_SCORE)  # which auto is on all of them
    made = {DEFAULTS: defaults}
    for field in TRIED:
        value = getattr(defaults, field)
        for factor in FACTORS:
            other = type(value)(round(value * factor, 4))
            other = min(other, 1.0) if field == "new_score" else other
            made[f"{field} {other:g}"] = dataclasses.replace(defaults, **{field: other})
    return made


def floors() -> Mapping[str, TrackerConfig]:
    """Return the defaults, no floors at all, and other floors."""
    defaults = TrackerConfig()
    none = dataclasses.replace(defaults, coast_frames=0, **dict.fromkeys(FLOORS, 0))
    made = {DEFAULTS: defaults, SECONDS: none}
    made |= {f"coast_frames {value}": dataclasses.replace(defaults, coast_frames=value) for value in COAST_FLOORS}
    for values in itertools.product(*FLOORS.values()):
        config = dataclasses.replace(defaults, **dict(zip(FLOORS, values)))
        if config not in made.values():
            made[", ".join(f"{name} {value}" for name, value in zip(FLOORS, values))] = config
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
        print(line(name, values, members))


def line(name: str, values: npt.NDArray[np.float64], members: npt.NDArray[np.int64]) -> str:
    """Return a row of the table: ``(sequences, 2)`` scores as means of the groups."""
    means = [values[members == group].mean(axis=0) for group in np.unique(members)]
    return f"| {name} | " + " | ".join(f"{hota:.1f} / {idf1:.1f}" for hota, idf1 in means) + " |"


if __name__ == "__main__":
    main()
