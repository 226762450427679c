"""Fixtures that every test may use."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import mot_dinov3  # noqa: F401 - before any test file asks for openvino: it keeps that from reporting to its makers
from scenes import Scene, write_scene

REPO = Path(__file__).resolve().parents[1]

# Compiled files are kept whatever the environment says: many tests start a Python, and each would compile the package.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# As the command does: workers share the processors, and torch's idle threads would take them from each other.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@pytest.hookimpl(optionalhook=True)  # there is no such hook without pytest-xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give each worker whole files, in their order, where ``-n`` alone is asked for.

    A file's fixtures are made once then, and a heavy package is imported where its tests are. Xdist's own way with
    files would begin with those of most tests; the slowest have few, and would be left for the end, side by side.
    """
    if config.getoption("dist") != "load":
        return None
    from xdist.scheduler import LoadFileScheduling

    config.option.loadscopereorder = False
    return LoadFileScheduling(config, log)


@pytest.fixture(scope="session")
def repo() -> Path:
    """The checkout's root."""
    return REPO


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real videos, truth and weights; the test is skipped where it is absent."""
    folder = Path(os.environ.get("MOT_DINOV3_SHARED", REPO.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip(f"real data and weights are not at hand ({folder.name}/ beside the checkout, or MOT_DINOV3_SHARED)")
    return folder


@pytest.fixture(scope="session")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """A small video of two boxes that cross, with its truth and its detections; leave it as it is."""
    return write_scene(tmp_path_factory.mktemp("scene"))


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder of its own, so that nothing lands in the checkout; outputs tell no time of their making."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The session's own cache folder, which its workers share: no test reads or writes the user's."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "cache"
    folder.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """The system's Chromium without a window; the test is skipped where there is none."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no Chromium: apt-get install chromium")
    with api.sync_playwright() as driver:
        flags = ["--no-sandbox"] if os.name == "posix" and os.geteuid() == 0 else []
        chromium = driver.chromium.launch(executable_path=found, args=flags)
        yield chromium
        chromium.close()
