"""The report as one HTML page, a viewer of the run: it asks no network for anything.

Beside its own data it shows at most one file, the tracked video, by its path relative to the page. All text from a
file or a command line is escaped, and a content security policy lets only the page's own script run, and nothing be
sent.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from mot_dinov3.core.structures import Float64Array
from mot_dinov3.report import figures
from mot_dinov3.report.page_frame import PageHead, data_url, escape, fill_template, framed, static_file, tiles
from mot_dinov3.report.timelines import TrackTimeline
from mot_dinov3.report.trace import RunTrace

MAX_TRACKS = 2000  # in the table and the timeline
MAX_TRAJECTORIES = 150
MAX_CROPS = 120
SCRIPTS = ("theme.js", "data.js", "player.js", "timeline.js", "map.js", "charts.js", "tracks.js", "page.js")


@dataclasses.dataclass(frozen=True)
class CountedRegion:
    """A line or zone on the map, and what was counted there in words.

    Attributes:
        name: Its name.
        points: ``(k, 2)`` pixels: two ends of a line, or the corners of a zone.
        sentences: What was counted.
        inwards: Of a line: ``(2,)`` direction in which a crossing counts as in; None of a zone.
    """

    name: str
    points: Float64Array
    sentences: Sequence[str]
    inwards: Float64Array | None = None


@dataclasses.dataclass(frozen=True)
class RunFacts:
    """Facts of a run that the page lists beside the charts.

    Attributes:
        source: The source, as the user wrote it.
        written: Date and time, ISO 8601.
        video: Address of the tracked video: relative to the page, or a data URL; empty without one.
        video_option: Option of the command that writes it.
        tiles: Label → (value, note) of the numbers on top.
        notices: Fallbacks and other notices of the run.
        settings: Part → option → (value, differs from the default).
        versions: Program → version.
        regions: Lines and zones.
        table: The counts as a table, the first row being its head; empty without any.
        names: Class id → name.
        budget_ms: The embedding budget, 0 where there is none.
        cost_ms: Fixed cost of a crop, or None.
        embeds: The run has an embedder.
    """

    source: str
    written: str
    tiles: Mapping[str, tuple[str, str]]
    notices: Sequence[str]
    settings: Mapping[str, Mapping[str, tuple[str, bool]]]
    versions: Mapping[str, str]
    names: Mapping[int, str]
    video: str = ""
    video_option: str = "--output FILE.mp4"
    regions: Sequence[CountedRegion] = ()
    table: Sequence[Sequence[str]] = ()
    budget_ms: float = 0.0
    cost_ms: float | None = None
    embeds: bool = True


def build_page(trace: RunTrace, facts: RunFacts) -> str:
    """Return the page."""
    history = trace.history
    tracks = history.longest(MAX_TRACKS)
    parts = {
        "tiles": tiles(facts.tiles),
        "video_option": escape(facts.video_option),
        "notices": "".join(f"<li>{escape(notice)}</li>" for notice in facts.notices),
        "tracks_note": _left_out(len(tracks), len(history.timelines) + history.left_out),
        "counts": _counts(facts),
        "embedding_note": _embedding_note(facts),
        "embeddings_class": "" if facts.embeds else "absent",
        "settings": "".join(_settings(part, values) for part, values in facts.settings.items()),
        "versions": "".join(_fact(name, version) for name, version in facts.versions.items()),
        "data": embedded_json(page_data(trace, facts, tracks)),
    }
    head = PageHead("run report", facts.source, facts.written, media="'self' blob: data:")
    program = "\n".join(['"use strict";', *map(static_file, SCRIPTS)])
    return framed(head, fill_template(static_file("page.html"), parts), style=static_file("page.css"), program=program)


def page_data(trace: RunTrace, facts: RunFacts, tracks: Sequence[TrackTimeline]) -> dict[str, Any]:
    """Return what the page's scripts show."""
    history, found = trace.history, trace.best_crops.found
    cropped = [track.track_id for track in history.longest(MAX_CROPS) if track.track_id in found]
    width, height = figures.image_size(trace)
    return {
        "run": {
            "first": trace.first,
            "begin": round(trace.begin, 4),
            "end": round(trace.begin + trace.seconds, 4),
            "fps": trace.info.fps,
        },
        "image": {"width": width, "height": height, "background": data_url(trace.background.jpeg())},
        "video": facts.video,
        "tracks": [figures.timeline(track, trace, facts.names) for track in tracks],
        "boxes": trace.boxes.packed(trace.begin),
        "moments": [dataclasses.asdict(moment) for moment in trace.moments.listed()],
        "crops": {str(k): data_url(found[k].jpeg) for k in cropped if found[k].jpeg},
        "trajectories": {str(track.track_id): figures.trajectory(track) for track in history.longest(MAX_TRAJECTORIES)},
        "regions": [_region(region) for region in facts.regions],
        "heatmap": figures.heatmap(trace),
        "charts": {
            "latency": figures.latency(trace),
            "embeddings": figures.embeddings(trace),
            "embedding-time": figures.embedding_time(trace, budget_ms=facts.budget_ms, cost_ms=facts.cost_ms),
        },
    }


def embedded_json(value: Any) -> str:
    """Return JSON that cannot end the script element it stands in."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _region(region: CountedRegion) -> dict[str, Any]:
    inwards = None if region.inwards is None else region.inwards.tolist()
    return {"name": region.name, "points": region.points.round(1).tolist(), "inwards": inwards}


def _left_out(shown: int, existing: int) -> str:
    return f"The {shown} longest of {existing} tracks are listed." if shown < existing else ""


def _embedding_note(facts: RunFacts) -> str:
    if facts.budget_ms:
        return (
            f"The budget of {facts.budget_ms:g} ms/frame applies to refreshes; critical boxes are always embedded, "
            "so a frame with many of them may exceed it."
        )
    return "No budget was set (--embed-budget-ms): every due embedding was refreshed at once."


def _counts(facts: RunFacts) -> str:
    """Return what was counted, in words and as a table; nothing without lines and zones."""
    if not facts.regions:
        return ""
    lines = "".join(f"<li>{escape(sentence)}</li>" for region in facts.regions for sentence in region.sentences)
    head, *body = facts.table
    cells = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    rows = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in body)
    return (
        f'<section class="card" id="counts"><h2>Counts</h2><ul class="sentences">{lines}</ul><details><summary>Table'
        f'</summary><div class="scroll"><table class="list"><thead><tr>{cells}</tr></thead><tbody>{rows}</tbody>'
        "</table></div></details></section>"
    )


def _settings(part: str, values: Mapping[str, tuple[str, bool]]) -> str:
    facts = "".join(_fact(option, value, changed=changed) for option, (value, changed) in values.items())
    return f"<h3>{escape(part)}</h3><dl>{facts}</dl>"


def _fact(name: str, value: str, *, changed: bool = False) -> str:
    kind = ' class="changed"' if changed else ""
    return f"<div{kind}><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>"
