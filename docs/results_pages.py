"""Splits benchmarks/RESULTS.md into a page for each topic of the site, and an index of their sections."""

from __future__ import annotations

import re

TOPICS = {
    "tracking": ("Tracking accuracy", ("Tracking",)),
    "appearance": ("Embedders and identities", ("Tracking: appearance", "Embedders", "Open-set", "Gallery")),
    "speed": ("Speed and size", ("Speed", "Code")),
    "keypoints": ("Keypoints", ("Keypoints",)),
    "other": ("Other results", ("",)),
}
"""File name → title, and the beginnings of the headings of its sections; the longest beginning decides."""


def split(text: str) -> dict[str, str]:
    """Return the pages by file name, ``index`` first; a topic without a section has none."""
    head, *parts = re.split(r"^## ", text, flags=re.M)
    sections: dict[str, list[str]] = {}
    for part in parts:
        sections.setdefault(topic_of(part), []).append(part)
    pages = {name: page(TOPICS[name][0], sections[name]) for name in TOPICS if name in sections}
    rows = "".join(f"| [{TOPICS[name][0]}]({name}.md) | {contents(sections[name])} |\n" for name in pages)
    return {"index": f"{head.strip()}\n\n| results | contents |\n| --- | --- |\n{rows}"} | pages


def topic_of(section: str) -> str:
    """Return the file name of the topic that a section belongs to."""
    starts = [(start, name) for name, (_, starts) in TOPICS.items() for start in starts if section.startswith(start)]
    return max(starts, key=lambda entry: len(entry[0]))[1]


def page(title: str, sections: list[str]) -> str:
    """Return the page of a topic; its sections need not repeat the topic in their headings."""
    parts = [part.partition("\n") for part in sections]
    return f"# {title}\n\n" + "".join(f"## {short(heading)}\n{text}" for heading, _, text in parts)


def short(heading: str) -> str:
    """Return a heading without its topic, with a capital letter: ``Speed: CPU`` → ``CPU``."""
    name = heading.rpartition(": ")[2]
    return name[:1].upper() + name[1:]


def contents(sections: list[str]) -> str:
    """Return the headings of a topic's sections as one line."""
    return ", ".join(part.partition("\n")[0].rpartition(": ")[2] for part in sections)
