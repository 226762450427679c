"""Writes the versions that are installed for the project here, as constraints for pip: see docs/dependencies.md."""

from __future__ import annotations

import importlib.metadata
import itertools
import re
import sys
from collections.abc import Iterable
from pathlib import Path

import tomllib
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
PROJECT = "mot-dinov3"
# torch and torchvision come as a pair from PyTorch's own index, which setup.sh keeps together; theirs come with them.
APART = re.compile(r"torch|torchvision|triton|nvidia-.*|cuda-.*")
HEAD = """# The versions CI installs: setup.sh gives this file to pip, which takes these where something asks for them.
# Python 3.10 has reached the end of its life and is left out by newer releases: there pyproject.toml alone holds.
# Written by: .venv/bin/python docs/constraints.py > constraints.txt
"""


def names(requirements: Iterable[str], extras: tuple[str, ...] = ("",)) -> set[str]:
    """Return the distributions that `requirements` name, as far as they apply here."""
    parsed = [Requirement(text) for text in requirements]
    wanted = [r for r in parsed if r.marker is None or any(r.marker.evaluate({"extra": extra}) for extra in extras)]
    return {re.sub(r"[-_.]+", "-", requirement.name).lower() for requirement in wanted} - {PROJECT}


def main() -> None:
    """Print the constraints: everything that the project needs, and what that needs in turn."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    waiting = names([*project["dependencies"], *itertools.chain(*project["optional-dependencies"].values())])
    pins: dict[str, str | None] = {}
    while waiting:
        name = waiting.pop()
        try:
            pins[name] = importlib.metadata.version(name)
            waiting |= names(importlib.metadata.requires(name) or ()) - pins.keys()
        except importlib.metadata.PackageNotFoundError:
            pins[name] = None  # of an extra that is not installed here
    sys.stdout.write(HEAD)
    for name, version in sorted(pins.items()):
        if version and not APART.fullmatch(name):
            sys.stdout.write(f'{name}=={version}; python_version >= "3.11"\n')


if __name__ == "__main__":
    main()
