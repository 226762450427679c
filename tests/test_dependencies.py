"""What the project is built on is told, locked, and names no index."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@pytest.fixture(scope="module")
def project(repo: Path) -> dict[str, Any]:
    return tomllib.loads((repo / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_every_direct_dependency_has_its_line(project: dict[str, Any], repo: Path) -> None:
    page = (repo / "docs" / "dependencies.md").read_text(encoding="utf-8")
    told = set(re.findall(r"[a-z0-9-]+", "".join(line for line in page.splitlines() if line.startswith("|"))))
    asked = [*project["dependencies"], *(text for extra in project["optional-dependencies"].values() for text in extra)]
    names = {re.split(r"[\[<>=!~; ]", text)[0] for text in asked} - {"mot-dinov3"}
    assert len(names) > 20
    assert sorted(names - told) == []


def test_constraints_are_exact_and_name_no_index(repo: Path) -> None:
    lines = (repo / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert len(pins) > 80
    exact = re.compile(r'[a-z0-9-]+==[0-9][0-9a-z.]*; python_version >= "3\.11"')
    assert [pin for pin in pins if not exact.fullmatch(pin)] == []
    assert not any(pin.startswith(("torch==", "torchvision==")) for pin in pins)  # setup.sh pins the pair that fits
