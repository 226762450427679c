"""What all pages of the program share: head, theme and content security policy; they ask no network for anything.

All text from a file or a command line is escaped, and the policy lets only the page's own script run, and nothing be
sent.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import html
import importlib.resources
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

STATIC = importlib.resources.files("mot_dinov3.report") / "static"


@dataclasses.dataclass(frozen=True)
class PageHead:
    """What is above a page, and what it may show.

    Attributes:
        kind: Kind of the page: ``batch``.
        title: Its title.
        written: Date and time, ISO 8601.
        media: Sources of sound and video that it may fetch, as the policy has them.
        images: The same of images.
    """

    kind: str
    title: str
    written: str
    media: str = "'none'"
    images: str = "data: blob:"


def framed(head: PageHead, body: str, *, style: str, program: str) -> str:
    """Return a whole page.

    Args:
        head: What is above it.
        body: HTML from ``<main>`` on.
        style: CSS.
        program: JavaScript; no other can run.
    """
    parts = {
        "policy": policy(program, media=head.media, images=head.images),
        "style": style,
        "kind": head.kind,
        "title": escape(head.title),
        "written": escape(head.written),
        "written_shown": escape(head.written.replace("T", " ").replace("Z", " UTC")),
        "body": body,
        "program": program,
    }
    return fill_template(static_file("frame.html"), parts)


def page_of(static: Traversable, name: str, head: PageHead, parts: Mapping[str, str]) -> str:
    """Return a page in the style of the report, made of ``NAME.html``, ``NAME.css`` and ``NAME.js`` of a folder.

    Args:
        static: The folder.
        name: Of the files.
        head: What is above the page.
        parts: Values of the placeholders of the HTML file, which begins with ``<main>``.
    """
    body, style, script = (static.joinpath(f"{name}{suffix}").read_text("utf-8") for suffix in (".html", ".css", ".js"))
    program = "\n".join(['"use strict";', static_file("theme.js"), script])
    return framed(head, fill_template(body, parts), style=static_file("page.css") + style, program=program)


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
    return (STATIC / name).read_text(encoding="utf-8")


def escape(value: object) -> str:
    """Return a value as text for HTML."""
    return html.escape(str(value))


def policy(program: str, *, media: str = "'none'", images: str = "data: blob:") -> str:
    """Return the content security policy under which this script runs, and nothing is fetched but `media`, `images`."""
    digest = base64.b64encode(hashlib.sha256(program.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src {images}; "
        f"media-src {media}; form-action 'none'; base-uri 'none'"
    )


def data_url(jpeg: bytes) -> str:
    """Return a JPEG image as an address that contains it; empty without one."""
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}" if jpeg else ""


def tiles(values: Mapping[str, tuple[str, str]]) -> str:
    """Return the numbers on top of a page: label → (value, note)."""
    return "".join(
        f'<div class="tile"><b>{escape(value)}</b><span>{escape(label)}</span><small>{escape(note)}</small></div>'
        for label, (value, note) in values.items()
    )
