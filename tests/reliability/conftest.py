"""How the tests of what the program promises tell what they found; `docs/reliability.py` makes a table of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from crowd import Crowd, write_crowd

TABLE = "MOT_RELIABILITY_TABLE"


@pytest.fixture(scope="session")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Crowd:
    """A small video of boxes that come, cross, hide and go, with its detections; leave it as it is."""
    return write_crowd(tmp_path_factory.mktemp("crowd"))


@pytest.fixture
def reliability(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Note a promise and the figure that stands for it (cases tried, survived, lost); call it last in a test.

    Where the environment names a file, ``promise <tab> test <tab> figure`` is appended to it: one write a row, so that
    several workers may share the file. The figure is printed too (``pytest -s``).
    """

    def note(promise: str, figure: str) -> None:
        test = f"{Path(request.node.nodeid.split('::')[0]).name}::{request.node.name}"
        row = "\t".join(" ".join(text.split()) for text in (promise, test, figure))
        print(row)
        if path := os.environ.get(TABLE):
            with Path(path).open("a", encoding="utf-8") as table:
                table.write(row + "\n")

    return note
