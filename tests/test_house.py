"""The rules of the house that a linter does not know: heavy things arrive late, names come without them."""

from __future__ import annotations

import ast
import json
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import mot_dinov3

HEAVY = (
    "av",
    "cv2",
    "huggingface_hub",
    "matplotlib",
    "onnx",
    "onnxruntime",
    "openvino",
    "pandas",
    "scipy",
    "starlette",
    "supervision",
    "torch",
    "torchvision",
    "trackeval",
    "transformers",
    "ultralytics",
    "uvicorn",
)

IMPORT_WITHOUT_HEAVY = """
import importlib, json, sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in HEAVY:
            raise ImportError("HEAVY " + name)

HEAVY, modules = json.loads(sys.argv[1])
sys.meta_path.insert(0, Refuse())
refused = {}
for module in modules:
    try:
        importlib.import_module(module)
    except ImportError as error:
        if not str(error).startswith("HEAVY "):
            raise
        refused[module] = str(error).removeprefix("HEAVY ")
print(json.dumps(refused))
"""

RUN_AND_LIST = """
import json, sys
from mot_dinov3.cli import main
heavy, commands = json.loads(sys.argv[1])
loaded = []
for words in commands:
    try:
        code = main(words)
    except SystemExit as stop:
        code = stop.code or 0
    if code:
        sys.exit(f"{words}: exit code {code}")
    loaded.append([words, sorted(set(heavy) & {name.partition(".")[0] for name in sys.modules})])
print()
print(json.dumps(loaded))
"""


def python(program: str, argument: object) -> str:
    """Run a program in a fresh interpreter and return the last line it prints."""
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps(argument)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


def all_modules() -> list[str]:
    """Every module of the package but the one that runs the program."""
    found = pkgutil.walk_packages(mot_dinov3.__path__, "mot_dinov3.", onerror=lambda name: pytest.fail(name))
    return sorted(m.name for m in found if not m.name.endswith("__main__"))


def names_things(source: str) -> str | None:
    """What makes a module one that is read for names and options: a ``…Config`` class or a registry; else None."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef) and node.name.endswith("Config"):
            return node.name
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Dict):
            values = [v.value for v in node.value.values if isinstance(v, ast.Constant)]
            if any(isinstance(v, str) and v.startswith("mot_dinov3.") and ":" in v for v in values):
                return "a registry"
    return None


@pytest.fixture(scope="module")
def heavy_leaves() -> dict[str, str]:
    """Modules that cannot be imported without something heavy, and what they ask for first."""
    found = json.loads(python(IMPORT_WITHOUT_HEAVY, [HEAVY, all_modules()]))
    assert isinstance(found, dict)
    return found


def test_configs_and_registries_import_without_anything_heavy(heavy_leaves: dict[str, str]) -> None:
    package = Path(mot_dinov3.__path__[0])
    named = {}
    for module in all_modules():
        path = package.joinpath(*module.split(".")[1:])
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        what = names_things(path.read_text(encoding="utf-8"))
        if what:
            named[module] = what
    assert {"mot_dinov3.detectors.base", "mot_dinov3.trackers"} <= named.keys()  # the search does find them
    wrong = {m: f"{what} behind an import of {heavy_leaves[m]}" for m, what in named.items() if m in heavy_leaves}
    assert wrong == {}


def test_packages_and_the_command_line_import_without_anything_heavy(heavy_leaves: dict[str, str]) -> None:
    packages = {m.name for m in pkgutil.walk_packages(mot_dinov3.__path__, "mot_dinov3.") if m.ispkg}
    light = packages | {"mot_dinov3.pipeline.config"}
    light |= {module for module in all_modules() if module.startswith("mot_dinov3.cli.")}
    assert {module: heavy_leaves[module] for module in sorted(light & heavy_leaves.keys())} == {}


def test_no_module_needs_scipy_to_be_imported(heavy_leaves: dict[str, str]) -> None:
    assert [module for module, what in heavy_leaves.items() if what.startswith("scipy")] == []


def test_help_and_lists_load_nothing_heavy() -> None:
    """One after the other in one process: whichever loads something is the first in the list that has it."""
    commands = [
        ["--help"],
        ["--version"],
        ["track", "--help"],
        ["detect", "--help"],
        ["gallery", "--help"],
        ["studio", "--help"],
        ["gallery", "--list-trackers", "--list-reid-models", "--list-reid-weights"],
        ["--list-detectors"],
        ["--list-embedders"],
        ["--list-trackers"],
    ]
    assert json.loads(python(RUN_AND_LIST, [[*HEAVY, "tqdm"], commands])) == [[words, []] for words in commands]


def test_the_door_of_a_checkout_works_from_anywhere_and_uninstalled(repo: Path, tmp_path: Path) -> None:
    # -I: neither the working folder nor PYTHONPATH; -S: no site-packages, so no installed mot_dinov3
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(repo / "cli.py"), "--version"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["mot-dinov3", mot_dinov3.__version__]


def test_the_import_contract_places_every_module(repo: Path) -> None:
    """Import-linter checks it in the test command; here: the contract is there, strict, and knows all that exists."""
    tomllib = pytest.importorskip("tomllib" if sys.version_info >= (3, 11) else "tomli")
    settings = tomllib.loads((repo / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    layers = next(c for c in settings["contracts"] if c["id"] == "layers")
    assert layers["exhaustive"] is True
    placed = {name.strip(" ()") for layer in layers["layers"] for name in re.split("[|:]", layer)}
    placed |= {name.partition(".")[0] for name in placed}  # a stage's job has a layer of its own
    assert {m.name for m in pkgutil.iter_modules(mot_dinov3.__path__)} <= placed


def test_test_files_have_names_of_their_own(repo: Path) -> None:
    """The folders of the tests are no packages, so pytest knows a file by its name alone."""
    names = [path.name for path in (repo / "tests").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))
