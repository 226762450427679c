"""The page in a browser: drawn without a network, sortable, deaf to what a name would like to run."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import plotly.offline
import pytest
from test_report_page import SLY, data_of, facts, traced

from mot_dinov3.cli import main
from mot_dinov3.core.structures import Detections
from mot_dinov3.report.page import build_page

CHARTS = ("timelines", "trajectories", "heatmap", "latency", "embeddings")


def column(page, number):
    return page.locator(f"#tracks tbody td:nth-child({number})").all_inner_texts()


def scroll_to(page, name):
    """Bring a chart into view, and wait until it is drawn."""
    page.locator(f"#{name}").scroll_into_view_if_needed()
    page.wait_for_selector(f"#{name} .main-svg")


@pytest.mark.slow
def test_the_page_draws_all_charts_sorts_and_asks_nobody(browser, tmp_path):
    path = tmp_path / "report.html"
    program = plotly.offline.get_plotlyjs()
    given = facts(notices=[SLY])
    path.write_text(build_page(traced(600, name=SLY), given, plotly=program), encoding="utf-8")
    page = browser.new_page(viewport={"width": 1320, "height": 900})
    asked, errors = [], []
    page.on("request", lambda request: asked.append(request.url) if request.url[:5] != "data:" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.goto(path.as_uri())
    page.wait_for_selector("body[data-ready]")
    for name in CHARTS:
        scroll_to(page, name)
        box = page.locator(f"#{name} .main-svg").first.bounding_box()
        assert box["width"] > 300, name
        assert box["height"] > 140, name
    assert page.locator("#timelines .bars path").count() > 10
    assert page.locator("#trajectories .scatterlayer .js-line").count() > 5
    assert page.locator("#embeddings .shapelayer path").count() == 1, "the budget's line"
    crops = page.locator("figure img")
    crops.last.scroll_into_view_if_needed()
    page.wait_for_selector("figure:last-child img[src]")
    assert crops.count() > 5
    assert crops.evaluate_all("all => Promise.all(all.map(one => one.decode())).then(() => all[0].naturalWidth)") > 0

    page.click("#tracks th:nth-child(7) button")
    frames = [int(value) for value in column(page, 7)]
    assert frames == sorted(frames)
    assert len(set(frames)) > 1
    page.click("#tracks th:nth-child(7) button")
    assert [int(value) for value in column(page, 7)] == sorted(frames, reverse=True)
    page.click("#tracks th:nth-child(2) button")
    assert column(page, 2) == sorted(column(page, 2))

    assert page.evaluate("window.hacked") is None
    assert SLY in column(page, 3)
    assert asked == [path.as_uri()]
    assert errors == []
    page.close()


@pytest.mark.slow
def test_a_long_run_opens_with_a_part_and_shows_all_when_asked(browser, tmp_path):
    path = tmp_path / "report.html"
    trace = traced(3, crops=False)
    for number in range(200):
        box = np.array([[number, 10, number + 20, 60]], np.float32)
        for time in range(5):
            row = Detections(box, track_id=np.array([number + 10]), class_id=np.array([number % 2]))
            trace.history.add(number + time / 30, row)
    program = plotly.offline.get_plotlyjs()
    path.write_text(build_page(trace, facts(), plotly=program), encoding="utf-8")
    page = browser.new_page(viewport={"width": 1320, "height": 900})
    page.goto(path.as_uri())
    page.wait_for_selector("body[data-ready]")
    drawn = [name for name in CHARTS if page.locator(f"#{name} .main-svg").count()]
    assert drawn == ["timelines"], "only what is in view is drawn"
    assert page.locator("#timelines .ytick").count() == 40
    page.click("#timelines-more")
    page.wait_for_selector("#timelines .ytick:nth-child(150)")
    assert page.locator("#timelines-more").is_hidden()

    assert len(column(page, 1)) == 100
    page.click("#tracks th:nth-child(1) button")
    page.click("#tracks th:nth-child(1) button")
    assert column(page, 1)[:2] == ["209", "208"], "the whole is sorted, not the part"
    page.fill("#find", "car")
    assert set(column(page, 2)) == {"car"}
    page.fill("#find", "177")
    assert column(page, 1) == ["177"]
    page.fill("#find", "")
    assert page.inner_text("#tracks-more") == "show all 201"
    page.click("#tracks-more")
    assert len(column(page, 1)) == 201

    page.emulate_media(media="print")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    for name in CHARTS:
        page.wait_for_selector(f"#{name} .main-svg")
    page.close()


@pytest.fixture
def vtest(shared):
    """The words that track a real video on its recorded detections."""
    video = shared / "data/tracking/vtest.avi"
    dets = shared / "data/tracking/PETS09-S2L1/det/yolov8n_960.txt"
    return ["track", "--source", video, "--dets", dets, "--embedder", "histogram", "--no-video", "--no-progress"]


@pytest.mark.slow
@pytest.mark.parametrize("linked", [[], ["--link"]], ids=["one pass", "linked"])
def test_a_real_run_is_right_to_the_eye(browser, vtest, tmp_path, linked):
    path = tmp_path / "report.html"
    given = [*vtest, "--end-frame", "150", "--report", path, *linked]
    assert main([str(word) for word in given]) == 0
    page = browser.new_page(viewport={"width": 1280, "height": 1180})
    page.goto(path.as_uri())
    for name in ("timelines", "trajectories"):
        scroll_to(page, name)
    ids = [int(number) for number in column(page, 1)]
    assert len(ids) >= 8
    assert page.locator("figure img").count() == len(ids), "a crop of each"
    assert page.locator("#trajectories .imagelayer image").count() == 1, "over the place"
    assert page.locator("#timelines .bars path").count() >= len(ids)
    assert page.locator(".tile").first.inner_text().split() == ["150", "frames", "15.0", "s", "at", "10", "fps"]
    if "MOT_SCREENSHOTS" in os.environ:
        page.screenshot(path=str(Path(os.environ["MOT_SCREENSHOTS"]) / "report.png"))
    page.close()


@pytest.mark.slow
def test_where_people_are_hidden_the_report_shows_none(vtest, tmp_path):
    path = tmp_path / "report.html"
    assert main([str(word) for word in [*vtest, "--end-frame", "20", "--report", path, "--anonymize", "blur"]]) == 0
    text = path.read_text()
    assert data_of(text)["crops"] == {}
    assert "<figure>" not in text
    assert data_of(text)["charts"]["trajectories"]["layout"]["images"], "but the place, without them"
