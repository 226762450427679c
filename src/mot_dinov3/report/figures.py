"""Data of the report's charts: plain numbers, texts and colours, drawn by the scripts of the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mot_dinov3.core.structures import Reason
from mot_dinov3.report.timelines import TrackTimeline
from mot_dinov3.report.trace import RunTrace
from mot_dinov3.viz.style import track_color

Figure = dict[str, Any]

STAGE_COLORS = {
    "wait": "#aab4c3",
    "detect": "#4c78d8",
    "embed": "#f2994a",
    "track": "#27ae8f",
    "draw": "#b07cd8",
    "save": "#e2c044",
    "other": "#8d99ae",
}
REASON_STYLE = {
    Reason.NEW: ("critical: new", "#c2410c"),
    Reason.WEAK_IOU: ("critical: weak IoU", "#ea7317"),
    Reason.CROWDED: ("critical: crowded", "#f9b16e"),
    Reason.REFRESH: ("refresh", "#3b82f6"),
    Reason.REUSED: ("reused", "#b4bfce"),
    Reason.DEFERRED: ("deferred: due, but reused", "#e7a3bd"),
}
COMPUTED = (Reason.NEW, Reason.WEAK_IOU, Reason.CROWDED, Reason.REFRESH)
HOT_PERCENTILE = 98  # of the cells where objects were: from there on a cell has the strongest colour


def latency(trace: RunTrace) -> Figure:
    """Return milliseconds per frame by stage over time, and the slowest frame of each bin."""
    own = [name for name in trace.stages if name not in trace.parallel]
    stages = {name: trace.series(name) for name in own}
    overhead = np.array(trace.series("latency")) - np.sum([stages[name] for name in own], axis=0)
    stages["other"] = _rounded(np.maximum(overhead, 0))
    layers = [
        _series(name, values, STAGE_COLORS.get(name, "#8d99ae")) for name, values in stages.items() if any(values)
    ]
    lines = [_series("slowest frame", trace.peaks("latency"), "#64748b")] if trace.bins.span > 1 else []
    for name in trace.parallel:
        if trace.total(name):
            lines.append({**_series(f"{name} (separate thread)", trace.series(name), "#d946ef"), "hidden": True})
    return _over_time(trace, "ms per frame", layers=layers, lines=lines)


def embeddings(trace: RunTrace) -> Figure:
    """Return rows per frame by the reason of their embedding."""
    layers = [
        _series(label, trace.series(reason.name), color)
        for reason, (label, color) in REASON_STYLE.items()
        if trace.total(reason.name)
    ]
    return _over_time(trace, "boxes per frame", layers=layers)


def embedding_time(trace: RunTrace, *, budget_ms: float, cost_ms: float | None) -> Figure:
    """Return the time for embeddings, with a line for the budget.

    A `budget_ms` of 0 is none; `cost_ms` is a fixed cost per crop in place of measured time.
    """
    if cost_ms is None:
        spent = trace.series("embed")
    else:
        spent = _rounded(cost_ms * np.sum([trace.series(reason.name) for reason in COMPUTED], axis=0))
    limit = {"value": budget_ms, "name": f"budget {budget_ms:g} ms"} if budget_ms else None
    return {
        **_over_time(trace, "ms per frame", lines=[_series("time for embedding", spent, "#f2994a")]),
        "limit": limit,
    }


def timeline(track: TrackTimeline, trace: RunTrace, names: Mapping[int, str]) -> Figure:
    """Return a track as the page has it: for its table, its timeline, and the crop that stands for it.

    ``spans`` are observation (0 detected, 1 predicted, 2 lost), start and end, one after the other. Times are seconds
    in the source; nothing goes past the end of the run.
    """
    end = trace.begin + trace.seconds
    spans = [
        value
        for span in track.spans
        if span.start < end
        for value in (int(span.observation), _seconds(span.start), _seconds(min(span.end, end)))
    ]
    crop = trace.best_crops.found.get(track.track_id)
    return {
        "id": track.track_id,
        "color": css_color(track.track_id),
        "class": names.get(track.class_id, "" if track.class_id < 0 else f"class {track.class_id}"),
        "name": track.name,
        "first": _seconds(track.first),
        "last": _seconds(min(track.last, end)),
        "frames": track.frames,
        "score": round(track.score, 3),
        "reidentified": [_seconds(moment) for moment in track.reidentified],
        "spans": spans,
        "shown": _seconds(crop.time if crop is not None and crop.jpeg else track.first),
    }


def trajectory(track: TrackTimeline) -> list[float]:
    """Return the points of a trajectory one after the other: x and y of each."""
    return [round(value, 1) for point in track.trajectory.points() for value in point]


def heatmap(trace: RunTrace) -> Figure:
    """Return the seconds that objects spent in each cell of a grid over the image: column, row, seconds."""
    seconds = trace.heatmap.seconds
    rows, columns = np.nonzero(seconds)
    found = seconds[rows, columns]
    cells = zip(columns.tolist(), rows.tolist(), np.round(found, 2).tolist())
    most = float(np.percentile(found, HOT_PERCENTILE)) if len(found) else 1.0
    return {"size": trace.heatmap.cell, "most": round(most, 2), "cells": [value for cell in cells for value in cell]}


def image_size(trace: RunTrace) -> tuple[float, float]:
    """Return width and height of the image; where unknown, as far as tracks reach."""
    if trace.info.width:
        return trace.info.width, trace.info.height
    rows, columns = np.nonzero(trace.heatmap.seconds)
    cell = trace.heatmap.cell
    return (int(columns.max(initial=0)) + 1) * cell, (int(rows.max(initial=0)) + 1) * cell


def css_color(track_id: int) -> str:
    """Return a track's colour in CSS notation."""
    return "#{2:02x}{1:02x}{0:02x}".format(*track_color(track_id))


def _over_time(
    trace: RunTrace, unit: str, *, layers: list[Figure] | None = None, lines: list[Figure] | None = None
) -> Figure:
    """Return a chart of stacked areas (`layers`) and lines over the run's time."""
    time = [_seconds(start) for start in trace.bins.start.tolist()]
    return {"unit": unit, "time": time, "layers": layers or [], "lines": lines or []}


def _series(name: str, values: list[float], color: str) -> Figure:
    return {"name": name, "color": color, "values": values}


def _rounded(values: np.ndarray) -> list[float]:
    return [round(value, 3) for value in values.tolist()]


def _seconds(value: float) -> float:
    return round(value, 3)
