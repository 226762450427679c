"""The report as one self-contained HTML page: it needs neither a network nor another file.

All text from a file or a command line is escaped, and a content security policy lets only the page's own two
programs run.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import html
import importlib.resources
import json
from collections.abc import Mapping, Sequence
from typing import Any

from mot_dinov3.report import figures
from mot_dinov3.report.timelines import TrackTimeline
from mot_dinov3.report.trace import RunTrace

MAX_TABLE_ROWS = 2000
MAX_CARDS = 120
_STATIC = importlib.resources.files("mot_dinov3.report") / "static"


@dataclasses.dataclass(frozen=True)
class RunFacts:
    """Facts of a run that the page lists beside the charts.

    Attributes:
        source: The source, as the user wrote it.
        written: Date and time, ISO 8601.
        tiles: Label → (value, note) of the numbers on top.
        notices: Fallbacks and other notices of the run.
        settings: Part → option → (value, differs from the default).
        versions: Program → version.
        tables: Heading → rows of further tables, the first row being their head.
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
    tables: Mapping[str, Sequence[Sequence[str]]]
    names: Mapping[int, str]
    budget_ms: float = 0.0
    cost_ms: float | None = None
    embeds: bool = True


def build_page(trace: RunTrace, facts: RunFacts, *, plotly: str) -> str:
    """Return the page; `plotly` is the source code of plotly.js."""
    history = trace.history
    existing = len(history.timelines) + history.left_out
    shown, first = history.longest(figures.MAX_ROWS), history.longest(figures.FIRST_ROWS)
    background = _data_url(trace.background.jpeg())
    charts = {
        "latency": figures.latency(trace),
        "embeddings": figures.embeddings(trace, budget_ms=facts.budget_ms, cost_ms=facts.cost_ms),
        "timelines": figures.timelines(first),
        "trajectories": figures.trajectories(history.longest(figures.MAX_TRAJECTORIES), trace, background),
        "heatmap": figures.heatmap(trace, background),
    }
    table = history.longest(MAX_TABLE_ROWS)
    jpegs = {track_id: crop.jpeg for track_id, crop in trace.best_crops.found.items() if crop.jpeg}
    cards = [track for track in history.longest(MAX_CARDS) if track.track_id in jpegs]
    program, library = static_file("page.js"), plotly.replace("</script", "<\\/script")
    parts = {
        "policy": _policy(library, program),
        "style": static_file("page.css"),
        "title": escape(facts.source),
        "written": escape(facts.written),
        "tiles": "".join(_tile(label, value, note) for label, (value, note) in facts.tiles.items()),
        "notices": "".join(f"<li>{escape(notice)}</li>" for notice in facts.notices),
        "embedding_note": _embedding_note(facts),
        "embeddings_class": "" if facts.embeds else "absent",
        "timelines_note": _left_out(len(first), existing),
        "timelines_more": f"show {len(shown)}",
        "trajectories_note": _left_out(min(figures.MAX_TRAJECTORIES, existing), existing),
        "cards": "".join(map(_card, cards)),
        "cards_class": "" if cards else "absent",
        "cards_note": _left_out(len(cards), existing),
        "table_note": _left_out(len(table), existing),
        "tables": "".join(_table(title, rows) for title, rows in facts.tables.items()),
        "settings": "".join(_settings(part, values) for part, values in facts.settings.items()),
        "versions": "".join(_fact(name, version) for name, version in facts.versions.items()),
        "data": _json(
            {
                "charts": charts,
                "more": {"timelines": figures.timelines(shown)} if len(shown) > len(first) else {},
                "crops": {str(track.track_id): _data_url(jpegs[track.track_id]) for track in cards},
                "tracks": [_row(track, facts.names) for track in table],
            }
        ),
        "library": library,
        "program": program,
    }
    return fill_template(static_file("page.html"), parts)


def fill_template(template: str, parts: Mapping[str, str]) -> str:
    """Replace each ``{{name}}`` by its part; placeholders within a part stay."""
    pieces = template.split("{{")
    whole = [pieces[0]]
    for piece in pieces[1:]:
        name, _, rest = piece.partition("}}")
        whole += [parts[name], rest]
    return "".join(whole)


def static_file(name: str) -> str:
    """Return the text of a file of the page."""
    return (_STATIC / name).read_text(encoding="utf-8")


def escape(value: object) -> str:
    """Return a value as text for HTML."""
    return html.escape(str(value))


def _json(value: Any) -> str:
    """Return JSON that cannot end the script element it stands in."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _data_url(jpeg: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}" if jpeg else ""


def _policy(*programs: str) -> str:
    """Return the content security policy under which these programs run, and nothing else does."""
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in programs
    )
    return f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:"


def _tile(label: str, value: str, note: str) -> str:
    return f'<div class="tile"><b>{escape(value)}</b><span>{escape(label)}</span><small>{escape(note)}</small></div>'


def _card(track: TrackTimeline) -> str:
    name = f"<em>{escape(track.name)}</em>" if track.name else ""
    dot = f'<i class="dot" style="background:{figures.css_color(track)}"></i>'
    return (
        f'<figure><div class="frame"><img data-track="{track.track_id}" alt="track {track.track_id}"></div>'
        f"<figcaption>{dot}<b>{track.track_id}</b> {name}<small>{track.first:.1f} – {track.last:.1f} s"
        "</small></figcaption></figure>"
    )


def _row(track: TrackTimeline, names: Mapping[int, str]) -> list[str | float]:
    """Return a track's colour and its values of the table's columns."""
    class_name = names.get(track.class_id, "" if track.class_id < 0 else str(track.class_id))
    seconds = [round(value, 3) for value in (track.first, track.last, track.last - track.first)]
    counts: list[str | float] = [track.frames, round(track.score, 3), len(track.reidentified)]
    return [figures.css_color(track), track.track_id, class_name, track.name, *seconds, *counts]


def _left_out(shown: int, existing: int) -> str:
    return f"The {shown} longest of {existing} tracks are shown." if shown < existing else ""


def _embedding_note(facts: RunFacts) -> str:
    if facts.budget_ms:
        return (
            f"The budget of {facts.budget_ms:g} ms/frame applies to refreshes; critical boxes are always embedded, "
            "so a frame with many of them may exceed it."
        )
    return "No budget was set (--embed-budget-ms): every due embedding was refreshed at once."


def _table(title: str, rows: Sequence[Sequence[str]]) -> str:
    head, *body = rows
    cells = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    lines = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in body)
    return (
        f'<section class="card"><h2>{escape(title)}</h2><div class="scroll"><table class="tracks"><thead><tr>{cells}'
        f"</tr></thead><tbody>{lines}</tbody></table></div></section>"
    )


def _settings(part: str, values: Mapping[str, tuple[str, bool]]) -> str:
    facts = "".join(_fact(option, value, changed=changed) for option, (value, changed) in values.items())
    return f"<h3>{escape(part)}</h3><dl>{facts}</dl>"


def _fact(name: str, value: str, *, changed: bool = False) -> str:
    kind = ' class="changed"' if changed else ""
    return f"<div{kind}><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>"
