"""Size of the code: modules and calls that a frame passes through, entries, lines, ambiguous names.

``python benchmarks/hops.py`` tracks vtest.avi with precomputed boxes, no embedder, JSON and MOTChallenge text out,
under a profiler hook in all threads, and counts the functions of the package that 20 frames call. ``--modules`` lists
them.
"""

from __future__ import annotations

import argparse
import ast
import collections
import dataclasses
import os
import sys
import tempfile
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import mot_dinov3
from mot_dinov3 import Pipeline

SHARED = Path(os.environ.get("MOT_DINOV3_SHARED", Path(__file__).resolve().parents[2] / "shared"))
PACKAGE = Path(mot_dinov3.__path__[0])
WARM_UP, FRAMES = 20, 20
SMALL = 60
"""Lines below which a module is small."""
USUAL = frozenset({"__init__", "__main__", "config", "loop", "wiring", "journal", "files", "base"})
"""Names that a module may have in several packages."""


def profile(options: Mapping[str, Any]) -> collections.Counter[str]:
    """Return module → calls of its functions while `FRAMES` frames are tracked, after `WARM_UP` others."""
    calls: collections.Counter[str] = collections.Counter()
    counting = False

    def hook(frame: Any, event: str, _: Any) -> None:
        if counting and event == "call":
            calls[frame.f_globals.get("__name__", "")] += 1

    threading.setprofile(hook)
    sys.setprofile(hook)
    try:
        for number, _ in enumerate(Pipeline.from_options(**options, end_frame=WARM_UP + 2 * FRAMES), start=1):
            counting = WARM_UP <= number < WARM_UP + FRAMES
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]
    return collections.Counter({name: count for name, count in calls.items() if name.startswith("mot_dinov3")})


@dataclasses.dataclass(frozen=True)
class Inventory:
    """Figures of a package's files.

    Attributes:
        entries: Files and folders at its top.
        lines: Lines of its modules.
        small: Modules below `SMALL` lines that are no registry entry, no ``__init__`` and no config.
        modules: Module names that stand for several things, with their files; a command's module in ``cli/`` and the
            package that does its work are one thing.
        classes: Class names defined more than once, with their files.
    """

    entries: int
    lines: int
    small: list[str]
    modules: dict[str, list[str]]
    classes: dict[str, list[str]]


def inventory(package: Path) -> Inventory:
    """Return the figures of the package in the folder `package`."""
    texts = {path.relative_to(package): path.read_text(encoding="utf-8") for path in sorted(package.rglob("*.py"))}
    trees = {path: ast.parse(text) for path, text in texts.items()}
    length = {path: len(text.splitlines()) for path, text in texts.items()}
    registered = {entry for tree in trees.values() for entry in registry_entries(tree)}
    small = [
        str(path)
        for path, lines in length.items()
        if lines < SMALL and path.stem not in ("__init__", "__main__", "config") and path.as_posix() not in registered
    ]
    modules: dict[str, list[str]] = collections.defaultdict(list)
    for path in texts:
        if path.stem not in USUAL and path.parts[0] != "cli":
            modules[path.stem].append(str(path))
        elif path.name == "__init__.py" and path.parent.name not in ("", "cli"):
            modules[path.parent.name].append(str(path))
    modules["job"] = modules["job"][:1]  # a job's folder has this name in each stage that is a command, too
    classes: dict[str, list[str]] = collections.defaultdict(list)
    for path, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                classes[node.name].append(str(path))
    kept = [path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    entries = {path.relative_to(package).parts[0] for path in kept}  # an old folder may hold nothing but compiled files
    return Inventory(len(entries), sum(length.values()), small, several(modules), several(classes))


def several(files: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Return those with more than one file."""
    return {name: found for name, found in files.items() if len(found) > 1}


def registry_entries(tree: ast.Module) -> Iterable[str]:
    """Yield the files that a module's literal registries name: ``"mot_dinov3.a.b:Class"`` is ``a/b.py``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            for value in node.values:
                if isinstance(value, ast.Constant) and isinstance(value.value, str) and ":" in value.value:
                    module, _, _ = value.value.partition(":")
                    yield module.removeprefix("mot_dinov3.").replace(".", "/") + ".py"


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--modules", action="store_true", help="list the modules with their calls per frame")
    args = parser.parse_args()
    boxes = SHARED / "data/tracking/PETS09-S2L1/det/yolov8n_960.txt"
    with tempfile.TemporaryDirectory() as folder:
        files = {"save_json": f"{folder}/t.json", "save_mot": f"{folder}/t.txt"}
        calls = profile({"source": SHARED / "data/tracking/vtest.avi", "dets": boxes, "embedder": "none", **files})
    found = inventory(PACKAGE)
    print(f"modules that a frame passes through  {len(calls):>7}")
    print(f"calls a frame                        {sum(calls.values()) / FRAMES:>7.0f}")
    print(f"entries at the top of the package    {found.entries:>7}")
    print(f"modules below {SMALL} lines               {len(found.small):>7}")
    print(f"lines in src                         {found.lines:>7,}")
    print(f"module names for several things      {len(found.modules):>7}")
    print(f"class names for several things       {len(found.classes):>7}")
    for name, where in {**found.modules, **found.classes}.items():
        print(f"  {name}: {', '.join(where)}")
    if args.modules:
        for name, count in calls.most_common():
            print(f"{count / FRAMES:8.2f}  {name}")
        print("\n".join(found.small))


if __name__ == "__main__":
    main()
