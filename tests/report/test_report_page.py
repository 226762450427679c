"""The page holds all there is to see, in one file of bounded size, and nothing that a name could smuggle in."""

from __future__ import annotations

import base64
import json
import re
import zlib

import numpy as np
import pytest

from mot_dinov3.cli import main
from mot_dinov3.core.structures import Detections, Reason, TrackState, VideoInfo
from mot_dinov3.report import figures, page
from mot_dinov3.report.page import CountedRegion, RunFacts, build_page
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
        "names": {0: "person", 1: "car"},
        "budget_ms": 20.0,
    }
    return RunFacts(**{**given, **changes})


def built(trace, **changes):
    return build_page(trace, facts(**changes))


def data_of(text):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)[1])


def unpacked(text, width):
    """The columns of a packed table, as the page unpacks them."""
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), "<i4").reshape(width, -1).cumsum(1)


def test_the_latency_chart_adds_up_to_the_latency():
    chart = figures.latency(traced(10))
    areas = {layer["name"]: layer["values"] for layer in chart["layers"]}
    assert areas == {"detect": [20.0] * 10, "embed": [5.0] * 10, "other": [5.0] * 10}
    assert [line["hidden"] for line in chart["lines"] if line["name"].startswith("read")] == [True]


def test_embeddings_have_their_place_where_there_is_an_embedder():
    assert re.search(r'class="card ">\s*<h2>Embeddings', built(traced(10)))


def test_the_budget_is_a_line_where_there_is_one():
    trace = traced(10)
    assert figures.embedding_time(trace, budget_ms=20.0, cost_ms=None)["limit"]["value"] == 20.0
    assert figures.embedding_time(trace, budget_ms=0.0, cost_ms=None)["limit"] is None


def test_with_a_fixed_cost_the_time_for_embedding_is_what_it_stands_for():
    trace = RunTrace(STAGES, VideoInfo("v.mp4", 640, 480, 30.0))
    reasons = np.array([Reason.NEW, Reason.REFRESH, Reason.REUSED, Reason.DEFERRED])
    trace.add_frame(0.0, Detections(np.zeros((4, 4), np.float32), reason=reasons), latency_ms=1.0, stage_ms={})
    chart = figures.embedding_time(trace, budget_ms=9.0, cost_ms=3.0)
    assert chart["lines"][-1]["values"] == [6.0]


def test_a_timeline_is_made_of_spans_and_ends_with_the_run():
    trace = traced(300)
    spans = figures.timeline(trace.history.longest(1)[0], trace, {})["spans"]
    assert np.reshape(spans, (-1, 3)).tolist() == [
        pytest.approx([kind, start / 30, end / 30], abs=1e-3)
        for kind, start, end in ((0, 0, 141), (1, 141, 151), (2, 151, 190), (1, 190, 300))
    ]
    data = data_of(built(trace))
    assert data["run"]["end"] == pytest.approx(10.0, abs=1e-3)
    assert max(end for track in data["tracks"] for end in track["spans"][2::3]) <= data["run"]["end"]


def test_all_boxes_of_a_run_are_in_the_page():
    trace = traced(200)
    packed = data_of(built(trace))["boxes"]
    assert (packed["stride"], packed["frames"]) == (1, 200)
    assert unpacked(packed["times"], 1)[0, [0, 30, 199]].tolist() == [0, 10_000, 66_333]
    ids = np.repeat(packed["tracks"], packed["counts"])
    columns = unpacked(packed["boxes"], 6)
    shown = columns[:, (ids == 3) & (columns[0] == 100)][:, 0]
    assert shown.tolist() == [100, 394, 70, 424, 150, 1], "track 3 in frame 100"


def test_a_name_cannot_leave_its_place():
    region = CountedRegion(SLY, np.array([[0.0, 1], [2, 3]]), [SLY], np.array([1.0, 0]))
    given = {"notices": [SLY], "versions": {SLY: SLY}, "names": {0: SLY, 1: SLY}, "regions": [region], "table": [[SLY]]}
    text = built(traced(60, name=SLY), source=SLY, **given)
    assert "hacked=1</script>" not in text
    assert "<img src=x" not in text
    assert text.count("<script") == text.count("</script>") == 2
    assert data_of(text)["tracks"][0]["name"] == SLY
    assert "&lt;/script&gt;" in text


FETCHED = (
    r"(?:src|href|srcset|poster|action|formaction|data|xlink:href)\s*=\s*[\"']?\s*(?!data:|#)[^\s\"'>]+|url\(|@import"
)
SENDERS = r"\b(?:fetch|XMLHttpRequest|WebSocket|EventSource|sendBeacon|importScripts|eval)\b"


def test_the_page_names_no_other_place_and_has_nothing_to_send_with():
    text = built(traced(60), video="tracked.mp4")
    markup = re.sub(r"<script>.*?</script>", "", text, flags=re.S)
    assert re.findall(FETCHED, markup) == []
    assert set(re.findall(r"\w+://[^\s\"'<)]*", text)) == {"http://www.w3.org/2000/svg"}, "the name of a format"
    assert re.findall(SENDERS, text) == []


def test_no_page_of_the_package_names_another_place(repo):
    files = [path for path in (repo / "src").rglob("static/*") if path.suffix in (".html", ".js", ".css", ".svg")]
    assert len(files) > 20
    addresses = {address for path in files for address in re.findall(r"\w+://[^\s\"'<)]*", path.read_text("utf-8"))}
    assert addresses <= {"http://www.w3.org/2000/svg"}, "the name of a format"


def test_the_page_may_load_nothing_but_the_video_and_runs_its_own_script_only():
    text = built(traced(10))
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', text)[1]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "media-src 'self' blob: data:;" in policy
    assert "unsafe-eval" not in policy
    assert "unsafe-inline" not in policy.split(";")[1]


def test_a_run_without_frames_or_images_is_a_page_too():
    empty = RunTrace(STAGES, VideoInfo("dets.json", 0, 0, 30.0))
    for trace, frames in ((empty, 0), (traced(50, crops=False), 50)):
        data = data_of(built(trace, budget_ms=0.0, embeds=False))
        assert data["boxes"]["frames"] == frames
        assert data["crops"] == {}
        assert data["image"]["width"] > 0


@pytest.mark.slow
def test_a_long_run_fits_into_three_megabytes():
    text = build_page(traced(60_000), facts())
    assert len(text.encode()) < 3e6
    data = data_of(text)
    assert len(data["tracks"]) == 1500
    assert len(data["trajectories"]) == page.MAX_TRAJECTORIES
    assert len(data["crops"]) == page.MAX_CROPS
    assert data["boxes"]["stride"] == 2
    assert sum(data["boxes"]["counts"]) < 200_000


DETS = "\n".join(f"{frame},-1,{100 + 4 * frame},50,40,80,0.9,-1,-1,-1" for frame in range(1, 41))


def test_recorded_detections_alone_make_a_report(tmp_path, capsys):
    (tmp_path / "det.txt").write_text(DETS)
    path = tmp_path / "out" / "report.html"
    assert main(["track", "--dets", str(tmp_path / "det.txt"), "--report", str(path), "--no-progress"]) == 0
    text = path.read_text()
    assert "written     " + str(path) in capsys.readouterr().out
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]
    data = data_of(text)
    assert data["tracks"][0]["spans"] == [0, 0.0, pytest.approx(40 / 30, abs=1e-3)]
    assert data["video"] == ""
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
    (track,) = data_of(path.read_text())["tracks"]
    assert track["spans"][::3] == [0, 1, 0], "linking has filled the gap"


def test_a_range_of_the_source_keeps_its_frames_and_times(tmp_path, scene):
    path = tmp_path / "report.html"
    given = [
        "track",
        "--source",
        scene.video,
        "--dets",
        scene.dets,
        "--embedder",
        "none",
        "--no-video",
        "--report",
        path,
    ]
    assert main([str(word) for word in [*given, "--start-frame", "10", "--end-frame", "20", "--no-progress"]]) == 0
    data = data_of(path.read_text())
    assert data["run"]["first"] == 10
    assert data["run"]["begin"] == pytest.approx(10 / data["run"]["fps"], abs=1e-3)
    assert data["boxes"]["frames"] == 10
    assert unpacked(data["boxes"]["times"], 1)[0, 0] == 0, "the video begins with the range"


@pytest.mark.parametrize(("options", "shown"), [([], False), (["--embed-budget-ms", "20"], True)])
def test_deferred_embeddings_are_counted_where_there_is_a_budget(options, shown, tmp_path, scene):
    path = tmp_path / "report.html"
    given = ["track", "--source", scene.video, "--dets", scene.dets, "--embedder", "histogram", "--no-video"]
    given += ["--report", path, "--end-frame", "5", "--no-progress", *options]
    assert main([str(word) for word in given]) == 0
    assert ("<span>deferred</span>" in path.read_text()) == shown


def test_the_head_gives_the_time_of_the_run_in_words_and_for_programs():
    assert '<time datetime="2026-01-01T00:00:00Z">2026-01-01 00:00:00 UTC</time>' in built(traced(10))


def test_a_report_that_cannot_be_written_is_refused_before_any_work(tmp_path, capsys):
    (tmp_path / "det.txt").write_text(DETS)
    given = ["track", "--dets", str(tmp_path / "det.txt"), "--report", str(tmp_path), "--no-progress"]
    assert main(given) == 2
    assert "is a folder" in capsys.readouterr().err
