"""Charts of the report in Plotly's JSON schema, drawn by plotly.js in the page.

Plotly interprets some HTML in its texts, so every text that comes from a file is escaped here.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import numpy as np

from mot_dinov3.core.structures import Reason
from mot_dinov3.report.timelines import Observation, TrackSpan, TrackTimeline
from mot_dinov3.report.trace import RunTrace
from mot_dinov3.viz.style import track_color

Figure = dict[str, Any]

MAX_ROWS = 150  # tracks in the chart of timelines
FIRST_ROWS = 40  # of them, until the user clicks for more: the chart in view when the page opens
MAX_TRAJECTORIES = 150
MAX_LABEL = 28  # characters
STAGE_COLORS = {
    "wait": "#c7ced9",
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
    Reason.REUSED: ("reused", "#d5dbe5"),
    Reason.DEFERRED: ("deferred: due, but reused", "#e7a3bd"),
}
_GRID = "#e8ecf2"
_INK = "#3a4556"
_FONT = "Inter, 'Segoe UI', system-ui, -apple-system, 'Helvetica Neue', Arial, sans-serif"


def latency(trace: RunTrace) -> Figure:
    """Return milliseconds per frame by stage over time, and the slowest frame of each bin."""
    time = _rounded(trace.bins.start)
    own = [name for name in trace.stages if name not in trace.parallel]
    total, stages = np.array(trace.series("latency")), {name: trace.series(name) for name in own}
    stages["other"] = _rounded(np.maximum(total - np.sum([stages[name] for name in own], axis=0), 0))
    data = [
        _area(time, values, name=name, color=STAGE_COLORS.get(name, "#8d99ae"), unit="ms")
        for name, values in stages.items()
        if any(values)
    ]
    if trace.bins.span > 1:
        data.append(_line(time, trace.peaks("latency"), name="slowest frame", color="#475569", dash="dot"))
    for name in trace.parallel:
        if trace.total(name):
            line = _line(time, trace.series(name), name=f"{name} (separate thread)", color="#64748b", dash="dash")
            data.append({**line, "visible": "legendonly"})
    return {"data": data, "layout": _layout(330, x="time in the video (s)", y="ms per frame")}


def embeddings(trace: RunTrace, *, budget_ms: float, cost_ms: float | None) -> Figure:
    """Return rows per frame by the reason of their embedding, and below the time for it, with a line for the budget.

    A `budget_ms` of 0 is none; `cost_ms` is a fixed cost per crop in place of measured time.
    """
    time = _rounded(trace.bins.start)
    data = [
        _area(time, trace.series(reason.name), name=label, color=color, unit="per frame")
        for reason, (label, color) in REASON_STYLE.items()
        if trace.total(reason.name)
    ]
    if cost_ms is None:
        spent = np.array(trace.series("embed"))
    else:
        spent = cost_ms * np.sum([trace.series(r.name) for r in (*list(REASON_STYLE)[:3], Reason.REFRESH)], axis=0)
    line = _line(time, _rounded(spent), name="time for embedding", color="#334155")
    data.append({**line, "yaxis": "y2"})
    layout = _layout(390, x="time in the video (s)", y="boxes per frame")
    layout["yaxis"]["domain"] = [0.40, 1]
    layout["xaxis"]["anchor"] = "y2"
    layout["yaxis2"] = {**_axis("ms per frame"), "domain": [0, 0.30], "rangemode": "tozero"}
    if budget_ms:
        line = {"xref": "paper", "x0": 0, "x1": 1, "yref": "y2", "y0": budget_ms, "y1": budget_ms}
        text = {"xref": "paper", "x": 1, "xanchor": "right", "yref": "y2", "y": budget_ms, "yanchor": "bottom"}
        font = {"color": "#dc2626", "size": 12}
        layout["shapes"] = [{"type": "line", **line, "line": {"color": "#dc2626", "width": 2, "dash": "dash"}}]
        layout["annotations"] = [{"text": f"budget {budget_ms:g} ms", **text, "showarrow": False, "font": font}]
    return {"data": data, "layout": layout}


def timelines(shown: Sequence[TrackTimeline]) -> Figure:
    """Return the tracks' timelines as bars: detected, predicted, lost; with marks where they were re-identified."""
    styles = {
        Observation.LOST: ("lost", 0.14, 1.0),
        Observation.PREDICTED: ("predicted, no detection", 0.42, 0.45),
        Observation.DETECTED: ("detected", 0.72, 1.0),
    }
    spans: dict[Observation, list[tuple[int, TrackTimeline, TrackSpan]]] = {kind: [] for kind in styles}
    for row, track in enumerate(shown):
        for span in track.spans:
            spans[span.observation].append((row, track, span))
    data: list[Figure] = []
    for kind, (label, width, opacity) in styles.items():
        paint = "#aab4c3" if kind == Observation.LOST else [css_color(track) for _, track, _ in spans[kind]]
        marker = {"color": paint, "opacity": opacity, "line": {"width": 0}}
        if spans[kind]:
            data.append({"name": label, "width": width, "marker": marker, **_bars(spans[kind], label)})
    data += _reidentifications(shown)
    return {"data": data, "layout": _timelines_layout(shown)}


def _bars(spans: Sequence[tuple[int, TrackTimeline, TrackSpan]], label: str) -> Figure:
    return {
        "type": "bar",
        "orientation": "h",
        "base": [round(span.start, 3) for _, _, span in spans],
        "x": [round(span.end - span.start, 3) for _, _, span in spans],
        "y": [row for row, _, _ in spans],
        "text": [f"{_title(track)}: {span.start:.2f} – {span.end:.2f} s" for _, track, span in spans],
        **{"textposition": "none", "hovertemplate": f"%{{text}}<extra>{label}</extra>"},
    }


def _reidentifications(shown: Sequence[TrackTimeline]) -> list[Figure]:
    marks = [(row, track, moment) for row, track in enumerate(shown) for moment in track.reidentified]
    if not marks:
        return []
    figure = _scatter("markers", [round(moment, 3) for _, _, moment in marks], [row for row, _, _ in marks])
    figure["marker"] = {"symbol": "diamond", "size": 9, "color": "#111827", "line": {"width": 1.5, "color": "#fff"}}
    figure["text"] = [f"{_title(track)} re-identified at {moment:.2f} s" for _, track, moment in marks]
    return [{**figure, "name": "re-identified", "hovertemplate": "%{text}<extra></extra>"}]


def _timelines_layout(shown: Sequence[TrackTimeline]) -> Figure:
    layout = _layout(max(150, 66 + 19 * len(shown)), x="time in the video (s)", y="")
    layout["yaxis"] |= {
        "tickvals": list(range(len(shown))),
        "ticktext": [_title(track) for track in shown],
        "range": [len(shown) - 0.4, -0.6],
        **{"gridcolor": "#f2f4f8", "automargin": False, "ticklabelstandoff": 6, "title": {"text": ""}},
        "ticklabeloverflow": "allow",  # else each is measured
    }
    layout |= {"barmode": "overlay", "hovermode": "closest"}
    layout["xaxis"] |= {"side": "top", "rangemode": "tozero"}
    layout["showlegend"] = False
    longest = max((len(f"{track.track_id} {track.name}"[:MAX_LABEL]) for track in shown), default=0)
    layout["margin"] |= {"t": 46, "b": 14, "l": 26 + 7 * longest}  # measuring the labels would cost the most of all
    return layout


def trajectories(shown: Sequence[TrackTimeline], trace: RunTrace, background: str) -> Figure:
    """Return the trajectories of tracks over the background (a data URL, or an empty string)."""
    data: list[Figure] = []
    for track in shown:
        x, y = zip(*((round(x, 1), round(y, 1)) for x, y in track.trajectory.points()))
        line = {"color": css_color(track), "width": 2.2, "shape": "spline", "smoothing": 0.6}
        title = _title(track)
        data.append(
            {**_scatter("lines", x, y), "name": title, "line": line, "hovertemplate": f"{title}<extra></extra>"}
        )
    if data:
        ends = _scatter("markers", [line["x"][-1] for line in data], [line["y"][-1] for line in data])
        ends["marker"] = {"size": 7, "color": [line["line"]["color"] for line in data]}
        data.append({**ends, "text": [line["name"] for line in data], "hovertemplate": "%{text}<extra></extra>"})
    return {"data": data, "layout": _over_background(trace, background, faded=0.9)}


def heatmap(trace: RunTrace, background: str) -> Figure:
    """Return the seconds that objects spent in each part of the image, over the background."""
    seconds, cell = trace.heatmap.seconds, trace.heatmap.cell
    wide, tall = _size(trace)
    columns, rows = max(1, int(np.ceil(wide / cell))), max(1, int(np.ceil(tall / cell)))
    seconds = seconds[:rows, :columns]
    shown = [[round(value, 2) if value else None for value in row] for row in seconds.tolist()]
    seen = seconds[seconds > 0]
    heat = {
        "type": "heatmap",
        "z": shown,
        **{"x0": cell / 2, "dx": cell, "y0": cell / 2, "dy": cell},
        "zmin": 0,
        "zmax": round(float(np.percentile(seen, 98)), 2) if len(seen) else 1,
        "colorscale": [
            [0, "rgba(255,237,160,0.25)"],
            [0.25, "rgba(254,178,76,0.65)"],
            [0.6, "rgba(240,59,32,0.78)"],
            [1, "rgba(128,0,38,0.88)"],
        ],
        "colorbar": {"title": {"text": "s"}, "thickness": 12, "outlinewidth": 0, "len": 0.9},
        "hovertemplate": "%{z} s<extra></extra>",
        "hoverongaps": False,
    }
    return {"data": [heat], "layout": _over_background(trace, background, faded=0.75)}


def css_color(track: TrackTimeline) -> str:
    """Return a track's colour in CSS notation."""
    return "#{2:02x}{1:02x}{0:02x}".format(*track_color(track.track_id))


def _title(track: TrackTimeline) -> str:
    return html.escape(f"{track.track_id} {track.name}".strip()[:MAX_LABEL])


def _size(trace: RunTrace) -> tuple[float, float]:
    """Return width and height of the image; where unknown, as far as tracks reach."""
    if trace.info.width:
        return trace.info.width, trace.info.height
    rows, columns = np.nonzero(trace.heatmap.seconds)
    cell = trace.heatmap.cell
    return (int(columns.max(initial=0)) + 1) * cell, (int(rows.max(initial=0)) + 1) * cell


def _rounded(values: np.ndarray) -> list[float]:
    return [round(value, 3) for value in values.tolist()]


def _scatter(mode: str, x: Sequence[float], y: Sequence[float]) -> Figure:
    return {"type": "scatter", "mode": mode, "x": x, "y": y}


def _area(time: Sequence[float], values: Sequence[float], *, name: str, color: str, unit: str) -> Figure:
    fill = {"stackgroup": "all", "fillcolor": color, "line": {"width": 0, "color": color}}
    return {**_scatter("lines", time, values), "name": name, **fill, "hovertemplate": f"%{{y:.2f}} {unit}"}


def _line(time: Sequence[float], values: Sequence[float], *, name: str, color: str, dash: str = "solid") -> Figure:
    line = {"width": 1.5, "color": color, "dash": dash}
    return {**_scatter("lines", time, values), "name": name, "line": line, "hovertemplate": "%{y:.2f} ms"}


def _axis(title: str) -> Figure:
    return {
        "title": {"text": title, "font": {"size": 12}, "standoff": 8},
        **{"gridcolor": _GRID, "zeroline": False, "linecolor": "#cbd3de", "automargin": True},
    }


def _layout(height: int, *, x: str, y: str) -> Figure:
    return {
        "height": height,
        "margin": {"l": 56, "r": 18, "t": 36, "b": 46},
        "font": {"family": _FONT, "size": 12, "color": _INK},
        **{"paper_bgcolor": "rgba(0,0,0,0)", "plot_bgcolor": "rgba(0,0,0,0)"},
        "hovermode": "x unified",
        "hoverlabel": {"bgcolor": "#ffffff", "bordercolor": "#cbd3de", "font": {"family": _FONT, "size": 12}},
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "traceorder": "normal"},
        "xaxis": _axis(x),
        "yaxis": {**_axis(y), "rangemode": "tozero"},
    }


def _over_background(trace: RunTrace, background: str, *, faded: float) -> Figure:
    wide, tall = _size(trace)
    layout = _layout(440, x="", y="")
    hidden = {**dict.fromkeys(("showgrid", "zeroline", "showticklabels"), False), "ticks": "", "constrain": "domain"}
    layout["xaxis"] = {**hidden, "range": [0, wide]}
    layout["yaxis"] = {**hidden, "range": [tall, 0], "scaleanchor": "x"}
    layout |= {"showlegend": False, "hovermode": "closest", "margin": {"l": 4, "r": 4, "t": 4, "b": 4}}
    if background:
        place = {"xref": "x", "yref": "y", "x": 0, "y": 0, "sizex": wide, "sizey": tall, "sizing": "stretch"}
        layout["images"] = [{"source": background, **place, "opacity": faded, "layer": "below"}]
    return layout
