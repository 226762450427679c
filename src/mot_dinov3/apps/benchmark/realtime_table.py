"""The comparison of detection intervals as tables and as plain numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from mot_dinov3.apps.benchmark.cpu_times import CpuShare
from mot_dinov3.apps.benchmark.realtime import EVERY_FRAME, IntervalComparison, SettingFigures
from mot_dinov3.apps.benchmark.runs import markdown_table
from mot_dinov3.models.devices import cpu_description, usable_cpus

STAGES = {
    "read": "decode",
    "detect": "detect",
    "embed": "embed",
    "track": "track",
    "draw": "draw",
    "write": "encode",
    "save": "files",
    "wait": "wait",
    "other": "other",
}
"""Stage → its name in the table, in the order of the table."""

LEAST_MS = 0.05  # a frame; what rounds to nothing in all settings is left out
DISTURBED = 1.3  # ratio of the speeds of equal runs, from which the machine had other work


def comparison_lines(found: IntervalComparison, repeats: int) -> list[str]:
    """Return the tables of one video: speed and accuracy, then processor time by stage and kind of thread."""
    runs = "1 run of each setting" if repeats == 1 else f"{repeats} runs of each setting in turns"
    what = [
        f"{found.video}: {found.frames} frames, {runs}; target {found.target_fps:g} fps; a detector run takes "
        f"{found.detector_ms:.1f} ms",
        f"CPU: {cpu_description()}; {'; '.join(found.models)}",
        "overrun: time of a frame beyond its share of a second; behind: time by which the run is late; p50 / p99 in "
        "detector runs",
    ]
    if any(one.fps[-1] > DISTURBED * one.fps[0] for one in found.settings.values()):
        what.append(
            "the speed of equal runs differs by more than 30 %: the machine had other work, so that only ratios count"
        )
    return [*what, "", *_speed_table(found), "", "processor time, ms per frame", "", *_cpu_table(found)]


def comparison_numbers(found: IntervalComparison) -> dict[str, Any]:
    """Return the same for programs."""
    numbers = dataclasses.asdict(found)
    for name, setting in found.settings.items():
        low, middle, high = setting.fps
        numbers["settings"][name] |= {
            "fps": {"median": middle, "lowest": low, "highest": high},
            "overrun": dict(zip(("p50", "p99"), setting.overrun)),
            "behind": dict(zip(("p50", "p99"), setting.behind)),
            "cpu_ms": [
                {"stage": STAGES[stage], "threads": threads, "ms": ms}
                for (stage, threads), ms in setting.cpu_ms.items()
            ],
        }
    return {**numbers, "cpu": cpu_description()}


def _speed_table(found: IntervalComparison) -> list[str]:
    scored = found.settings[EVERY_FRAME].hota is not None
    titles = ["detector", "fps", "lowest … highest", "runs per frame", "overrun", "behind", "limited by"]
    return markdown_table(titles + ["HOTA", "IDF1"] * scored, _speed_rows(found))


def _speed_rows(found: IntervalComparison) -> Iterator[list[str]]:
    every = found.settings[EVERY_FRAME]
    for name, one in found.settings.items():
        low, middle, high = one.fps
        cells = [name, f"{middle:.1f}", f"{low:.1f} … {high:.1f}", f"{one.detector_runs:.2f}"]
        cells += [" / ".join(f"{value:.2f}" for value in pair) for pair in (one.overrun, one.behind)]
        cells.append(one.limited_by)
        for value, before in ((one.hota, every.hota), (one.idf1, every.idf1)):
            if value is not None and before is not None:
                cells.append(f"{value:.1f}" if one is every else f"{value:.1f} ({value - before:+.1f})")
        yield cells


def _cpu_table(found: IntervalComparison) -> list[str]:
    settings = list(found.settings.values())
    shares = sorted({share for one in settings for share in one.cpu_ms}, key=_place)
    rows = [
        [STAGES[share[0]], share[1], *(f"{one.cpu_ms.get(share, 0.0):.1f}" for one in settings)]
        for share in shares
        if any(one.cpu_ms.get(share, 0.0) >= LEAST_MS for one in settings)
    ]
    rows.append(["all", "", *(f"{sum(one.cpu_ms.values()):.1f}" for one in settings)])
    rows.append(["processors in use", "", *(f"{one.fps[1] / _most_fps(one):.0%}" for one in settings)])
    rows.append(["fps, all in use", "", *(f"{_most_fps(one):.1f}" for one in settings)])
    return markdown_table(["stage", "threads", *found.settings], rows)


def _place(share: CpuShare) -> tuple[int, str]:
    return list(STAGES).index(share[0]), share[1]


def _most_fps(one: SettingFigures) -> float:
    """Return the frames per second of a run that uses all processors all the time, which no run exceeds."""
    return 1e3 * usable_cpus() / max(sum(one.cpu_ms.values()), 1e-9)
