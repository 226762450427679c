"""The report as one HTML page that needs nothing else: no network, no other file.

Whatever comes from a file or a command line is escaped, and a content security policy lets only the page's own two
programs run, whatever a name may hold.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import html
import importlib.resources
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mot_dinov3.report import figures
from mot_dinov3.report.timelines import Life
from mot_dinov3.report.trace import RunTrace

MOST_TABLE_ROWS = 2000
MOST_CARDS = 120
_STATIC = importlib.resources.files("mot_dinov3.report") / "static"


@dataclasses.dataclass(frozen=True)
class RunFacts:
    """What the page says beside what was traced.

    Attributes:
        source: What was tracked, as the user wrote it.
        written: When, ISO 8601.
        tiles: Label → (value, what it means) of the figures on top.
        notices: Fallbacks and other things worth knowing.
        settings: Part → option → (value, differs from the default).
        versions: Program → version.
        tables: Heading → rows of further tables, the first row being their head.
        names: Class id → name.
        budget_ms: The embedding budget, 0 where there is none.
        cost_ms: Fixed cost of a crop, or None.
        embeds: There is an embedder.
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


def build_page(trace: RunTrace, facts: RunFacts, *, color: Callable[[int], figures.Color], plotly: str) -> str:
    """Return the page.

    Args:
        trace: What was gathered.
        facts: What else there is to say.
        color: Track id → BGR colour.
        plotly: plotly.js, the program.
    """
    history = trace.history
    existing = len(history.lives) + history.left_out
    shown, first = history.longest(figures.MOST_ROWS), history.longest(figures.FIRST_ROWS)
    scene = _data_address(trace.scene.jpeg())
    charts = {
        "latency": figures.latency(trace),
        "embeddings": figures.embeddings(trace, budget_ms=facts.budget_ms, cost_ms=facts.cost_ms),
        "lives": figures.lives(first, color),
        "paths": figures.paths(history.longest(figures.MOST_PATHS), trace, scene, color),
        "presence": figures.presence(trace, scene),
    }
    table = history.longest(MOST_TABLE_ROWS)
    jpegs = {track_id: portrait.jpeg for track_id, portrait in trace.portraits.found.items() if portrait.jpeg}
    cards = [life for life in history.longest(MOST_CARDS) if life.track_id in jpegs]
    program, library = _static("page.js"), plotly.replace("</script", "<\\/script")
    parts = {
        "policy": _policy(library, program),
        "style": _static("page.css"),
        "title": _text(facts.source),
        "written": _text(facts.written),
        "tiles": "".join(_tile(label, value, note) for label, (value, note) in facts.tiles.items()),
        "notices": "".join(f"<li>{_text(notice)}</li>" for notice in facts.notices),
        "embedding_note": _embedding_note(facts),
        "embeddings_class": "" if facts.embeds else "absent",
        "lives_note": _left_out(len(first), existing),
        "lives_more": f"show {len(shown)}",
        "paths_note": _left_out(min(figures.MOST_PATHS, existing), existing),
        "cards": "".join(_card(life, color) for life in cards),
        "cards_class": "" if cards else "absent",
        "cards_note": _left_out(len(cards), existing),
        "table_note": _left_out(len(table), existing),
        "tables": "".join(_further(title, rows) for title, rows in facts.tables.items()),
        "settings": "".join(_settings(part, values) for part, values in facts.settings.items()),
        "versions": "".join(_fact(name, version) for name, version in facts.versions.items()),
        "data": _json(
            {
                "charts": charts,
                "more": {"lives": figures.lives(shown, color)} if len(shown) > len(first) else {},
                "pictures": {str(life.track_id): _data_address(jpegs[life.track_id]) for life in cards},
                "tracks": [_row(life, facts.names, color) for life in table],
            }
        ),
        "library": library,
        "program": program,
    }
    return _filled(_static("page.html"), parts)


def _filled(template: str, parts: Mapping[str, str]) -> str:
    """Put each part in the place of ``{{its_name}}``; what a part holds is not looked into."""
    pieces = template.split("{{")
    whole = [pieces[0]]
    for piece in pieces[1:]:
        name, _, rest = piece.partition("}}")
        whole += [parts[name], rest]
    return "".join(whole)


def _static(name: str) -> str:
    return (_STATIC / name).read_text(encoding="utf-8")


def _text(value: object) -> str:
    return html.escape(str(value))


def _json(value: Any) -> str:
    """Return JSON that cannot end the script element it stands in."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _data_address(jpeg: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}" if jpeg else ""


def _policy(*programs: str) -> str:
    """Return the content security policy under which these programs run, and nothing else does."""
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in programs
    )
    return f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:"


def _tile(label: str, value: str, note: str) -> str:
    return f'<div class="tile"><b>{_text(value)}</b><span>{_text(label)}</span><small>{_text(note)}</small></div>'


def _card(life: Life, color: Callable[[int], figures.Color]) -> str:
    name = f"<em>{_text(life.name)}</em>" if life.name else ""
    return (
        f'<figure><div class="frame"><img data-track="{life.track_id}" alt="track {life.track_id}"></div>'
        f"<figcaption>{_dot(life, color)}<b>{life.track_id}</b> {name}<small>{life.first:.1f} – {life.last:.1f} s"
        "</small></figcaption></figure>"
    )


def _dot(life: Life, color: Callable[[int], figures.Color]) -> str:
    return f'<i class="dot" style="background:{figures.css(color(life.track_id))}"></i>'


def _row(life: Life, names: Mapping[int, str], color: Callable[[int], figures.Color]) -> list[str | float]:
    """Return a track's colour, and what the table's columns say of it."""
    class_name = names.get(life.class_id, "" if life.class_id < 0 else str(life.class_id))
    seconds = [round(value, 3) for value in (life.first, life.last, life.last - life.first)]
    counts: list[str | float] = [life.frames, round(life.score, 3), len(life.again)]
    return [figures.css(color(life.track_id)), life.track_id, class_name, life.name, *seconds, *counts]


def _left_out(shown: int, existing: int) -> str:
    return f"The {shown} longest of {existing} tracks are shown." if shown < existing else ""


def _embedding_note(facts: RunFacts) -> str:
    if facts.budget_ms:
        return (
            f"The budget of {facts.budget_ms:g} ms a frame is for refreshes; critical boxes are embedded whatever they "
            "cost, so a frame with many of them may lie above the line."
        )
    return "No budget was set (--embed-budget-ms): every due embedding was refreshed at once."


def _further(title: str, rows: Sequence[Sequence[str]]) -> str:
    head, *body = rows
    cells = "".join(f"<th>{_text(cell)}</th>" for cell in head)
    lines = "".join("<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in row) + "</tr>" for row in body)
    return (
        f'<section class="card"><h2>{_text(title)}</h2><div class="scroll"><table class="tracks"><thead><tr>{cells}'
        f"</tr></thead><tbody>{lines}</tbody></table></div></section>"
    )


def _settings(part: str, values: Mapping[str, tuple[str, bool]]) -> str:
    facts = "".join(_fact(option, value, changed=changed) for option, (value, changed) in values.items())
    return f"<h3>{_text(part)}</h3><dl>{facts}</dl>"


def _fact(name: str, value: str, *, changed: bool = False) -> str:
    kind = ' class="changed"' if changed else ""
    return f"<div{kind}><dt>{_text(name)}</dt><dd>{_text(value)}</dd></div>"
