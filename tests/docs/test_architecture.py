"""The page on the architecture prints the loop as it is, and names only places that exist."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from mot_dinov3.pipeline.loop import TrackingLoop


def test_the_loop_is_printed_as_it_is(repo: Path) -> None:
    page = (repo / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert inspect.getsource(TrackingLoop.step) in page


def test_every_place_that_is_named_exists(repo: Path) -> None:
    page = (repo / "docs" / "architecture.md").read_text(encoding="utf-8")
    package = repo / "src" / "mot_dinov3"
    named = set(re.findall(r"`((?:[a-z_0-9]+/)+[a-z_0-9]*(?:\.py)?|[a-z_]+\.py)`", page))
    tree = page[page.index("src/mot_dinov3/\n") : page.index("The order is")]
    named |= {
        name for line in tree.splitlines() for name in re.findall(r"(?:^  |  +)([a-z_]+(?:/job)?/|[a-z_]+\.py)", line)
    }
    assert {"pipeline/second_pass.py", "sinks/", "gallery/job/", "scheduler.py"} <= named
    assert [name for name in sorted(named) if not (package / name).exists() and not (repo / name).exists()] == []


def test_two_links_lead_from_the_readme_to_the_loop(repo: Path) -> None:
    assert "(docs/architecture.md)" in (repo / "README.md").read_text(encoding="utf-8")
    assert "(architecture.md)" in (repo / "docs" / "contributing.md").read_text(encoding="utf-8")
