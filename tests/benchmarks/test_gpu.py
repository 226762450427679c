"""The parts of the GPU's benchmark that a machine without one can try."""

from __future__ import annotations

import importlib
import itertools
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from scenes import write_scene

FRAMES = 24


@pytest.fixture
def gpu(repo: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(repo / "benchmarks"))
    return importlib.import_module("gpu")


@pytest.fixture
def values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    scene = write_scene(tmp_path, FRAMES)
    monkeypatch.chdir(tmp_path)
    return {"source": str(scene.video), "dets": str(scene.dets), "embedder": "histogram", "device": "cpu"}


class Tick:
    """An event a millisecond after the last one that was recorded."""

    clock = itertools.count()

    def record(self) -> None:
        self.at = next(self.clock)

    def synchronize(self) -> None:
        assert self.at >= 0

    def elapsed_time(self, end: Tick) -> float:
        return float(end.at - self.at)


def test_time_in_which_at_least_one_thing_runs(gpu: ModuleType) -> None:
    assert gpu.busy_ms([(5000, 6000), (0, 2000), (1000, 3000), (1500, 1600)]) == 4
    assert gpu.busy_ms([]) == 0


def test_a_run_is_measured_after_its_first_frames(gpu: ModuleType, values: dict[str, Any]) -> None:
    began = []
    found = gpu.run(values, Tick, begin=lambda: began.append(True))
    assert began == [True]
    assert found.span_ms == 2  # a millisecond each of detect and embed
    assert found.frame_ms > sum(found.stage_ms[name] for name in ("detect", "embed", "track")) > 0
    assert found.stage_ms["read"] > 0
    row = gpu.as_row(found, 2 * max(found.stage_ms["read"], 1.0))
    assert len(row.split("|")) == len(gpu.HEADER) + 2


def test_a_video_too_short_is_said(gpu: ModuleType, values: dict[str, Any]) -> None:
    with pytest.raises(SystemExit, match="no more than 10 frames"):
        gpu.run({**values, "end_frame": 9}, Tick)


@pytest.mark.slow
def test_the_profiler_tells_how_long_a_device_is_busy(gpu: ModuleType, values: dict[str, Any], shared: Path) -> None:
    model = str(shared / "models/osnet_x0_25_msmt17.pt")
    found = gpu.profiled({**values, "embedder": "osnet", "embed_model": model, "accel": "torch"}, Tick, 8, on="CPU")
    idle = gpu.profiled(values, Tick, 8, on="CPU")
    assert found > 1
    assert found > 10 * idle


def test_without_a_gpu_it_refuses_in_one_line(gpu: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["gpu.py"])
    with pytest.raises(SystemExit, match="no CUDA GPU here") as refused:
        gpu.main()
    assert "\n" not in str(refused.value)
