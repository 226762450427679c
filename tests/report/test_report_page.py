"""The page holds all there is to see, in one file of bounded size, and nothing that a name could smuggle in."""

from __future__ import annotations

import json
import re

import numpy as np
import plotly.graph_objects
import plotly.offline
import pytest

from mot_dinov3.cli import main
from mot_dinov3.core.structures import Detections, Reason, TrackState, VideoInfo
from mot_dinov3.report import figures, page
from mot_dinov3.report.page import RunFacts, build_page
from mot_dinov3.report.trace import REASONS, RunTrace

STAGES = ("read", "detect", "embed", "track", "draw", "write", "save", "wait")
SLY = "</script><script>window.hacked=1</script><img src=x onerror='window.hacked=1'>\"&<b>"


def traced(frames, *, name=None, most=8, crops=True):
    """A run in which track k exists from frame 40 k for 300 frames, with a hole; predicted before the hole."""
    trace = RunTrace(STAGES, VideoInfo("v.mp4", 640, 480, 30.0), parallel=("read", "write"))
    rng = np.random.default_rng(1)
    image = rng.integers(0, 255, (480, 640, 3), np.uint8)
    for index in range(frames):
        time = index / 30
        last = index // 40
        born = np.arange(max(0, last - most + 1), last + 1)
        age = index - 40 * born
        born = born[(age < 300) & ~((age > 150) & (age < 190))]
        x = 20 + (index * 3 + 37 * born) % 560
        boxes = np.stack([x, 50 + 10 * (born % 30), x + 30, 130 + 10 * (born % 30)], 1).astype(np.float32)
        detections = Detections(
            boxes,
            track_id=born + 1,
            class_id=born % 2,
            score=np.full(len(born), 0.75),
            coasted=index - 40 * born > 140,
            state=np.full(len(born), int(TrackState.CONFIRMED)),
            reason=rng.choice([int(reason) for reason in REASONS], len(born)),
            gallery_id=np.array([name] * len(born), object),
        )
        trace.add_frame(time, detections, latency_ms=30.0, stage_ms={"detect": 20.0, "embed": 5.0, "read": 4.0})
        trace.add_tracks(time, detections)
        if crops and index % 10 == 0:
            trace.best_crops.add(image, detections, time)
            if index < 100:
                trace.background.add(lambda: image)
    return trace


def facts(**changes):
    given = {
        "source": "v.mp4",
        "written": "2026-01-01T00:00:00Z",
        "tiles": {"frames": ("7", "seen")},
        "notices": [],
        "settings": {"detector": {"--conf": ("0.1", True)}},
        "versions": {"numpy": "2"},
        "tables": {},
        "names": {0: "person", 1: "car"},
        "budget_ms": 20.0,
    }
    return RunFacts(**{**given, **changes})


def built(trace, **changes):
    return build_page(trace, facts(**changes), plotly="window.Plotly = null;")


def data_of(text):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)[1])


def test_every_chart_is_one_that_plotly_knows():
    charts = data_of(built(traced(500)))["charts"]
    assert set(charts) == {"latency", "embeddings", "timelines", "trajectories", "heatmap"}
    for name, chart in charts.items():
        figure = plotly.graph_objects.Figure(chart)  # validates
        assert len(figure.data) > 0, name


def test_the_latency_chart_adds_up_to_the_latency():
    chart = figures.latency(traced(10))
    areas = {line["name"]: line["y"] for line in chart["data"] if "stackgroup" in line}
    assert areas == {"detect": [20.0] * 10, "embed": [5.0] * 10, "other": [5.0] * 10}
    assert [line["visible"] for line in chart["data"] if line["name"].startswith("read")] == ["legendonly"]


def test_embeddings_have_their_place_where_there_is_an_embedder():
    assert re.search(r'class="card ">\s*<h2>Embeddings', built(traced(10)))


def test_the_budget_is_a_line_where_there_is_one():
    trace = traced(10)
    assert figures.embeddings(trace, budget_ms=20.0, cost_ms=None)["layout"]["shapes"][0]["y0"] == 20.0
    assert "shapes" not in figures.embeddings(trace, budget_ms=0.0, cost_ms=None)["layout"]


def test_with_a_fixed_cost_the_time_for_embedding_is_what_it_stands_for():
    trace = RunTrace(STAGES, VideoInfo("v.mp4", 640, 480, 30.0))
    reasons = np.array([Reason.NEW, Reason.REFRESH, Reason.REUSED, Reason.DEFERRED])
    trace.add_frame(0.0, Detections(np.zeros((4, 4), np.float32), reason=reasons), latency_ms=1.0, stage_ms={})
    chart = figures.embeddings(trace, budget_ms=9.0, cost_ms=3.0)
    assert chart["data"][-1]["y"] == [6.0]


def test_timelines_are_bars_by_observation():
    trace = traced(300)
    chart = figures.timelines(trace.history.longest(1))
    bars = {bar["name"]: list(zip(bar["base"], bar["x"])) for bar in chart["data"] if bar["type"] == "bar"}
    assert bars == {
        "detected": [(0.0, pytest.approx(141 / 30, abs=1e-3))],
        "predicted, no detection": [
            (pytest.approx(141 / 30, abs=1e-3), pytest.approx(10 / 30, abs=1e-3)),
            (pytest.approx(190 / 30, abs=1e-3), pytest.approx(110 / 30, abs=1e-3)),
        ],
        "lost": [(pytest.approx(151 / 30, abs=1e-3), pytest.approx(39 / 30, abs=1e-3))],
    }


def test_a_name_cannot_leave_its_place():
    text = built(traced(60, name=SLY), source=SLY, notices=[SLY], versions={SLY: SLY}, names={0: SLY, 1: SLY})
    assert "hacked=1</script>" not in text
    assert "<img src=x" not in text
    assert text.count("<script") == text.count("</script>") == 3
    chart = data_of(text)["charts"]["timelines"]
    assert not [label for label in chart["layout"]["yaxis"]["ticktext"] if "<" in label]
    assert "&lt;/script&gt;" in text


def test_the_page_may_load_nothing_and_runs_its_own_programs_only():
    text = built(traced(10))
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', text)[1]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-eval" not in policy
    assert "unsafe-inline" not in policy.split(";")[1]
    assert not re.findall(r'(?:src|href)="(?!data:)', text)


def test_a_run_without_frames_or_pictures_is_a_page_too():
    empty = RunTrace(STAGES, VideoInfo("dets.json", 0, 0, 30.0))
    for trace in (empty, traced(50, crops=False)):
        text = built(trace, budget_ms=0.0)
        assert 'class="card absent"' in text
        for chart in data_of(text)["charts"].values():
            plotly.graph_objects.Figure(chart)


@pytest.mark.slow
def test_a_long_run_fits_into_ten_megabytes():
    text = build_page(traced(60_000), facts(), plotly=plotly.offline.get_plotlyjs())
    assert 4e6 < len(text.encode()) < 10e6
    assert f"The {figures.FIRST_ROWS} longest of 1500 tracks are shown." in text
    data = data_of(text)
    assert len(data["tracks"]) == 1500
    assert len(data["more"]["timelines"]["layout"]["yaxis"]["ticktext"]) == figures.MAX_ROWS
    assert len(data["crops"]) == page.MAX_CARDS
    assert text.count("<figure>") == page.MAX_CARDS


DETS = "\n".join(f"{frame},-1,{100 + 4 * frame},50,40,80,0.9,-1,-1,-1" for frame in range(1, 41))


def test_recorded_detections_alone_make_a_report(tmp_path, capsys):
    (tmp_path / "det.txt").write_text(DETS)
    path = tmp_path / "out" / "report.html"
    assert main(["track", "--dets", str(tmp_path / "det.txt"), "--report", str(path), "--no-progress"]) == 0
    text = path.read_text()
    assert "written     " + str(path) in capsys.readouterr().out
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]
    chart = data_of(text)["charts"]["timelines"]
    assert chart["data"][0]["base"] == [0.0]
    assert chart["data"][0]["x"] == [pytest.approx(40 / 30, abs=1e-3)]
    assert "<dt>--dets</dt>" in text
    assert re.search(r'class="card absent">\s*<h2>Embeddings', text), (
        "there is no embedder, so there is nothing to show"
    )


def test_a_linked_run_reports_the_linked_tracks(tmp_path):
    lines = [line for line in DETS.splitlines() if not 20 <= int(line.split(",")[0]) < 24]
    (tmp_path / "det.txt").write_text("\n".join(lines))
    path = tmp_path / "report.html"
    given = ["track", "--dets", str(tmp_path / "det.txt"), "--link", "--report", str(path), "--no-progress"]
    assert main(given) == 0
    names = [bar["name"] for bar in data_of(path.read_text())["charts"]["timelines"]["data"]]
    assert names == ["predicted, no detection", "detected"], "linking has filled the gap"


def test_a_report_that_cannot_be_written_is_refused_before_any_work(tmp_path, capsys):
    (tmp_path / "det.txt").write_text(DETS)
    given = ["track", "--dets", str(tmp_path / "det.txt"), "--report", str(tmp_path), "--no-progress"]
    assert main(given) == 2
    assert "is a folder" in capsys.readouterr().err
