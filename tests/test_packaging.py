"""What a package index and a citation manager read, and what the source distribution holds."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import yaml

import mot_dinov3

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@pytest.fixture(scope="module")
def pyproject(repo: Path) -> dict[str, Any]:
    return tomllib.loads((repo / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture
def index_readme(repo: Path, monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """docs/index_readme.py, loaded without hatchling, which is there only when a distribution is built."""
    for name in ("hatchling", "hatchling.metadata", "hatchling.metadata.plugin", "hatchling.metadata.plugin.interface"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    sys.modules["hatchling.metadata.plugin.interface"].MetadataHookInterface = object  # type: ignore[attr-defined]
    spec = importlib.util.spec_from_file_location("index_readme", repo / "docs/index_readme.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_classifiers_agree_with_the_supported_pythons(pyproject: dict[str, Any]) -> None:
    project = pyproject["project"]
    versions = re.findall(r"Python :: (3\.\d+)", "\n".join(project["classifiers"]))
    low, high = map(int, re.fullmatch(r">=3\.(\d+),<3\.(\d+)", project["requires-python"]).groups())  # type: ignore[union-attr]
    assert versions == [f"3.{minor}" for minor in range(low, high)]
    assert project["authors"]
    assert project["keywords"]
    assert all(url.startswith("https://") for url in project.get("urls", {}).values())


def test_the_citation_names_this_version_and_licence(pyproject: dict[str, Any], repo: Path) -> None:
    citation = yaml.safe_load((repo / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == mot_dinov3.__version__
    assert citation["license"] == pyproject["project"]["license"]
    assert [author["name"] for author in citation["authors"]] == [a["name"] for a in pyproject["project"]["authors"]]


def test_the_description_of_an_index_refers_to_no_file(index_readme: types.ModuleType, repo: Path) -> None:
    text = index_readme.without_files((repo / "README.md").read_text(encoding="utf-8"))
    assert "docs/images/vtest.webp" in text
    targets = re.findall(r"\]\(([^)]+)\)", text)
    assert targets
    assert [target for target in targets if not target.startswith(("https://", "#"))] == []


@pytest.mark.parametrize(
    ("markdown", "plain"),
    [
        ("![People](docs/demo.jpg)", "*People* (docs/demo.jpg)"),
        ("see [the guide](docs/guide.md)", "see the guide (docs/guide.md)"),
        ("see [docs/guide.md](docs/guide.md)", "see docs/guide.md"),
        ("[examples](examples/)", "examples"),
        ("[uv](https://example.org), [above](#install)", "[uv](https://example.org), [above](#install)"),
    ],
)
def test_images_and_links_become_text(index_readme: types.ModuleType, markdown: str, plain: str) -> None:
    assert index_readme.without_files(markdown) == plain


def test_the_source_distribution_holds_all_that_is_tracked(pyproject: dict[str, Any], repo: Path) -> None:
    done = subprocess.run(["git", "ls-files"], cwd=repo, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a git checkout")
    included = set(pyproject["tool"]["hatch"]["build"]["targets"]["sdist"]["include"])
    included |= {"pyproject.toml", "LICENSE"}  # always there
    tracked = done.stdout.splitlines()
    assert [name for name in tracked if name not in included and name.partition("/")[0] not in included] == []
