"""The comparison of detection intervals: its settings and turns, what is read off the runs, and processor time."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mot_dinov3.apps.benchmark import realtime_table
from mot_dinov3.apps.benchmark.cpu_times import LIBRARY, MAIN, OWN, REST, CpuTimer, LibraryThreads, stage_of
from mot_dinov3.apps.benchmark.realtime import (
    IntervalComparison,
    RunFigures,
    SettingFigures,
    interval_settings,
    lateness,
    summarized,
    turns,
)
from mot_dinov3.apps.benchmark.realtime_table import comparison_lines
from mot_dinov3.apps.evaluation import Scores
from mot_dinov3.pipeline.detection_scheduler import AUTO, SOURCE_RATE, DetectionIntervalConfig


def test_every_setting_has_its_interval_and_keeps_the_other_options() -> None:
    found = interval_settings(DetectionIntervalConfig(realtime=25.0, detect_longest=0.3))
    intervals = [(name, one.detect_every, one.realtime) for name, one in found.items()]
    assert intervals == [
        ("every frame", 1, 0),
        ("every 2", 2, 0),
        ("every 3", 3, 0),
        ("every 4", 4, 0),
        ("every 6", 6, 0),
        ("auto", AUTO, 0),
        ("realtime 25", AUTO, 25),
    ]
    assert {one.detect_longest for one in found.values()} == {0.3}
    assert "realtime" in interval_settings(DetectionIntervalConfig(realtime=SOURCE_RATE))


def test_settings_take_turns_and_each_round_begins_with_another() -> None:
    settings = {name: DetectionIntervalConfig() for name in "abc"}
    assert "".join(name for name, _ in turns(settings, 4)) == "abc" + "bca" + "cab" + "abc"


def test_a_run_that_was_late_catches_up_and_gains_nothing_in_advance() -> None:
    assert lateness(np.array([100.0, 10, 10, 100, 40, 40]), 40).tolist() == [60, 30, 0, 60, 60, 60]
    assert lateness(np.zeros(0), 40).tolist() == []


def run(fps: float, frame_ms: list[float], limited_by: str = "detector", hota: float | None = None) -> RunFigures:
    scores = None if hota is None else Scores(hota, 0, 0, 0, hota + 10, 0, 0)
    cpu = {("detect", MAIN): fps}
    return RunFigures(fps, 25.0, 2, 100.0, np.array(frame_ms), cpu, limited_by, ("detector", "embedder"), scores)


def test_the_figures_of_a_setting_are_those_of_all_its_runs() -> None:
    runs = [
        run(20, [500.0, 90.0, 20.0, 20.0], hota=50),
        run(30, [500.0, 40.0, 40.0, 40.0], "encoder", hota=53),
        run(22, [500.0, 20.0, 20.0, 20.0], hota=51),
    ]
    found = summarized(runs, 50.0)
    assert found.fps == (20, 22, 30)
    assert found.detector_runs == 0.5  # two of four frames, in each run
    assert found.overrun == pytest.approx(
        (0, 0.92)
    )  # one of nine frames is a detector run too long; the first is left out
    assert found.behind == pytest.approx((0, 0.968))  # 50, 30 and 10 ms late
    assert (found.cpu_ms, found.limited_by) == ({("detect", MAIN): 22}, "detector")
    assert (found.hota, found.idf1) == (51, 61)
    assert summarized([run(20, [500.0])], 50.0).overrun == (0, 0)
    assert summarized([run(20, [500.0])], 50.0).hota is None


def test_the_tables_say_what_could_be_reached_and_that_the_machine_was_not_idle(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(realtime_table, "usable_cpus", lambda: 2)
    every = SettingFigures((8, 10, 10), 1.0, (0.5, 1.0), (3.0, 9.0), {("detect", MAIN): 90.0}, "detector", 50.0, 70.0)
    auto = SettingFigures((20, 25, 26), 0.25, (0, 1), (0, 2), {("write", OWN): 40.0}, "encoder", 52.0, 69.5)
    found = IntervalComparison("v.mp4", 100, 25.0, 80.0, ("yolo",), {"every frame": every, "auto": auto})
    lines = comparison_lines(found, 3)
    assert (
        "| auto | 25.0 | 20.0 … 26.0 | 0.25 | 0.00 / 1.00 | 0.00 / 2.00 | encoder | 52.0 (+2.0) | 69.5 (-0.5) |"
        in lines
    )
    assert "| detect | main thread | 90.0 | 0.0 |" in lines
    assert "| encode | own thread | 0.0 | 40.0 |" in lines
    assert lines[-2:] == ["| processors in use |  | 45% | 50% |", "| fps, all in use |  | 22.2 | 50.0 |"]
    assert not any("other work" in line for line in lines)
    found.settings["auto"] = dataclasses.replace(auto, fps=(19, 25, 26))  # type: ignore[index]
    assert any("other work" in line for line in comparison_lines(found, 3))


class Tasks:
    """Threads of a process as Linux lists them, and their processor time."""

    def __init__(self, folder: Path, names: dict[int, str]) -> None:
        self.folder = folder
        self.spent = dict.fromkeys(names, 0.0)
        for number, name in names.items():
            (folder / str(number)).mkdir()
            (folder / str(number) / "comm").write_text(name + "\n")

    def clock(self, number: int) -> float:
        if number not in self.spent:
            raise OSError("it has ended")
        return self.spent[number]


def test_a_thread_counts_for_the_stage_that_it_works_for_also_when_it_has_ended(tmp_path: Path) -> None:
    own = threading.main_thread().native_id
    assert own is not None
    tasks = Tasks(tmp_path, {own: "python", 1: "av:h264:df0", 2: "video writer", 3: "python"})
    threads = LibraryThreads(tmp_path, tasks.clock)
    threads.find()
    tasks.spent |= {1: 0.5, 2: 0.25, 3: 2.0}
    assert threads.seconds() == {"read": 0.5, "write": 0.25, "": 2.0}
    del tasks.spent[1]
    tasks.spent[3] = 3.0
    assert threads.seconds() == {"read": 0.5, "write": 0.25, "": 3.0}
    assert LibraryThreads(tmp_path / "absent").seconds() == {}


def test_threads_of_python_give_their_names_to_those_that_they_start(tmp_path: Path) -> None:
    begun, over = threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        over.wait()

    thread = threading.Thread(target=wait, name="video writer of a long name")
    thread.start()
    begun.wait()
    try:
        Tasks(tmp_path, {thread.native_id or 0: "python"})
        threads = LibraryThreads(tmp_path)
        threads.find()
        assert (tmp_path / str(thread.native_id) / "comm").read_text() == "video writer of"
        assert threads.seconds() == {}
    finally:
        over.set()
        thread.join()


@pytest.mark.parametrize(
    ("name", "stage"), [("av:h264:df3", "read"), ("video writer", "write"), ("python", ""), ("prefetch", "")]
)
def test_the_name_of_a_thread_gives_its_stage(name: str, stage: str) -> None:
    assert stage_of(name) == stage


class Counted(LibraryThreads):
    """Library threads that spend 10 ms between any two questions, and 1 s on writing."""

    def __init__(self) -> None:
        super().__init__(Path("absent"))
        self.asked = 0

    def seconds(self) -> dict[str, float]:
        self.asked += 1
        return {"": 0.01 * self.asked, "write": 0.0 if self.asked == 1 else 1.0}


def test_processor_time_goes_to_the_stage_of_the_moment_and_the_rest_to_other() -> None:
    timer = CpuTimer(threads=Counted())

    def source() -> Iterator[int]:
        yield from range(3)

    for _ in timer.frames(source()):
        with timer.stage("read"):
            pass
        timer.lap("detect")
        timer.lap("track")
    timer.settle()
    total = timer.total_ms()
    shares = timer.cpu_ms
    assert {share for share in shares if share[1] == MAIN} == {(stage, MAIN) for stage in ("wait", "detect", "track")}
    assert [shares[stage, LIBRARY] for stage in ("detect", "track")] == pytest.approx([30, 30])
    assert shares["write", LIBRARY] == 1000
    assert shares["read", OWN] >= 0
    assert shares["other", REST] == max(total - sum(shares.values()) + shares["other", REST], 0)
    assert set(timer.stage_ms) == {"wait", "read", "detect", "track"}
