"""The report in a browser: a viewer of the run, which asks nobody for anything."""

from __future__ import annotations

import os
from pathlib import Path

import av
import numpy as np
import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
from playwright.sync_api import expect
from test_report_page import SLY, STAGES, data_of, facts, traced

from mot_dinov3.cli import main
from mot_dinov3.core.structures import Detections, VideoInfo
from mot_dinov3.report.page import CountedRegion, build_page
from mot_dinov3.report.trace import RunTrace
from mot_dinov3.video import VideoWriter

pytestmark = pytest.mark.slow

expect.set_options(timeout=20_000)  # ms, on a machine that is busy with other tests

CHARTS = ("latency", "embeddings", "embedding-time")
FPS = 10.0


def opened(browser, path, *, width=1360, height=900, **options):
    """The page of a report, which may fetch what lies beside it and nothing else; and what it fetched."""
    page = browser.new_page(viewport={"width": width, "height": height}, **options)
    asked, errors = [], []
    page.on("request", lambda request: asked.append(request.url) if request.url[:5] not in ("data:", "blob:") else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.route("**/*", lambda route: route.abort() if "://" in route.request.url[5:] else route.continue_())
    page.goto(path.as_uri())
    page.wait_for_selector("body[data-ready]")
    page.errors = errors
    return page, asked


def column(page, number):
    return page.locator(f"#tracks tbody td:nth-child({number})").all_inner_texts()


def shown_frame(page):
    """The number of the frame that is shown, from 1."""
    return int(page.inner_text("#time").split("frame ")[1].split()[0])


def highlighted(page, x, y):
    """Whether something is drawn over the video at a pixel of the frame, ``(0…1, 0…1)``."""
    return page.evaluate(
        """([x, y]) => { const c = document.getElementById("overlay");
        const data = c.getContext("2d").getImageData(x * c.width - 3, y * c.height - 3, 7, 7).data;
        return data.some((value, k) => k % 4 === 3 && value > 0); }""",
        [x, y],
    )


def switched(tmp_path, *, video="tracked.mp4"):
    """A run of 60 frames; the object of track 7 goes on as track 8 at 4.0 s; frame k of the video is 4 k grey."""
    trace = RunTrace(STAGES, VideoInfo("v.mp4", 320, 240, FPS))
    for k in range(60):
        ids = [7] if k < 35 else [8] if k >= 40 else []
        box = np.array([[20 + 4 * k, 80, 60 + 4 * k, 160]], np.float32)
        rows = Detections(box[: len(ids)], track_id=ids, class_id=[0] * len(ids), score=[0.9] * len(ids))
        trace.add_frame(k / FPS, rows, latency_ms=20.0, stage_ms={"detect": 15.0})
        trace.add_tracks(k / FPS, rows)
    if video:
        writer = VideoWriter(tmp_path / video, info=trace.info)
        for k in range(60):
            writer.write(np.full((240, 320, 3), 4 * k, np.uint8), k / FPS)
        writer.close()
    path = tmp_path / "report.html"
    path.write_text(build_page(trace, facts(video=video)), encoding="utf-8")
    return path


def test_nothing_is_sent_anywhere_whatever_is_clicked(browser, tmp_path):
    path = tmp_path / "report.html"
    region = CountedRegion("line 1", np.array([[10.0, 10], [300, 200]]), ["1 person crossed"], np.array([0.6, -0.8]))
    given = facts(notices=[SLY], regions=[region], table=[["place"], ["line 1"]])
    path.write_text(build_page(traced(600, name=SLY), given), encoding="utf-8")
    page, asked = opened(browser, path)
    for name in CHARTS:
        assert page.locator(f"#{name} :is(polygon, polyline)").count() > 0, name
    assert page.locator("#embedding-time line.limit").count() == 1, "the budget's line"
    assert page.locator("#trajectories .path").count() > 5
    assert page.locator("#trajectories .region text").inner_html() == "line 1"
    assert page.locator("#heatmap rect title").count() > 50
    crops = page.locator("#crops img")
    assert crops.evaluate_all("all => Promise.all(all.map(one => one.decode())).then(() => all[0].naturalWidth)") > 0
    page.locator("button").evaluate_all("all => all.forEach((button) => button.click())")
    for name in CHARTS:
        page.locator(f"#{name} .plot").click()
        assert "s: " in page.locator(f"#{name} .readout").inner_text()
    assert page.evaluate("fetch('https://example.com').then(() => 'sent', () => 'refused')") == "refused"
    assert page.locator("a[href]").count() == 0
    assert page.evaluate("window.hacked") is None
    assert [url for url in asked if url != "https://example.com/"] == [path.as_uri()]
    assert page.errors == []
    page.close()


def test_two_clicks_lead_from_the_report_to_track_7_where_its_id_is_switched(browser, tmp_path):
    page, asked = opened(browser, switched(tmp_path))
    expect(page.locator("#video")).to_be_visible()
    page.click("#tracks tr[data-track='7']")
    page.click(".moment")
    assert "track 8 begins where track 7 was lost 0.6 s before" in page.inner_text(".moment[aria-current=true]")
    assert shown_frame(page) == 41
    expect(page.locator("#video")).to_have_js_property("currentTime", 4.05)
    assert highlighted(page, 180 / 320, 120 / 240), "the left edge of track 8"
    assert page.inner_text("#selected").startswith("Track 8 (person): 4.0")
    assert sorted({Path(url).name for url in asked}) == ["report.html", "tracked.mp4"]
    assert page.errors == []
    page.close()


def test_timeline_crop_row_map_and_video_select_a_track(browser, tmp_path):
    page, _ = opened(browser, switched(tmp_path))
    lane = page.locator(".row[data-track='7'] .lane")
    lane.click(position={"x": lane.bounding_box()["width"] * 20.5 / 60, "y": 10})
    assert shown_frame(page) == 21, "where the timeline was clicked"
    assert page.locator(".row.chosen").get_attribute("data-track") == "7"
    assert page.locator("#tracks tr.chosen").get_attribute("data-track") == "7"
    stage = page.locator("#stage").bounding_box()
    x, y = stage["x"] + stage["width"] * 120 / 320, stage["y"] + stage["height"] * 120 / 240
    page.keyboard.press("Escape")
    assert page.locator(".row.chosen").count() == 0
    page.mouse.move(x, y)
    assert page.inner_text("#tip") == "Track 7 (person): 0.0 – 3.5 s"
    page.mouse.click(x, y)
    assert page.locator(".row.chosen").get_attribute("data-track") == "7"
    page.locator("#trajectories .path:not(.chosen)").dispatch_event("click")
    assert page.locator(".row.chosen").get_attribute("data-track") == "8"
    assert shown_frame(page) == 41
    page.close()


def test_the_keyboard_moves_by_frames_and_the_video_shows_just_those(browser, tmp_path):
    path = switched(tmp_path)
    (tmp_path / "tracked.mp4").rename(tmp_path / "moved.mp4")
    page, _ = opened(browser, path)
    page.wait_for_selector("#video-note:not([hidden])")
    assert "tracked.mp4 is not where this report expects it" in page.inner_text("#video-note")
    page.set_input_files("#video-file", tmp_path / "moved.mp4")
    page.wait_for_selector("#video-note", state="hidden")
    steps = {".": 2, ",": 1, "ArrowRight": 11, "Shift+ArrowRight": 60, "Home": 1, "n": 41, "End": 60, "ArrowLeft": 50}
    for key, frame in steps.items():
        page.keyboard.press(key)
        assert shown_frame(page) == frame, key
        expect(page.locator("#video")).to_have_js_property("seeking", False)
        grey = page.evaluate(
            """() => { const c = document.createElement("canvas").getContext("2d");
            c.drawImage(document.getElementById("video"), 0, 0); return c.getImageData(9, 9, 1, 1).data[1]; }"""
        )
        assert abs(grey - 4 * (frame - 1)) <= 2, key
    page.keyboard.press("Home")
    page.keyboard.press(" ")
    expect(page.locator("#play")).to_have_attribute("aria-label", "pause")
    expect(page.locator("#time")).not_to_contain_text("frame 1 of")
    page.keyboard.press(" ")
    assert page.get_attribute("#play", "aria-label") == "play"
    page.close()


def test_a_small_video_is_in_the_report_itself(browser, scene, tmp_path):
    path, video = tmp_path / "report.html", tmp_path / "tracked.mp4"
    given = ["track", "--source", scene.video, "--dets", scene.dets, "--embedder", "none", "--output", video]
    assert main([str(word) for word in [*given, "--report", path, "--no-progress"]]) == 0
    video.unlink()
    page, asked = opened(browser, path)
    expect(page.locator("#video")).to_be_visible()
    assert page.locator("#video-note").is_hidden()
    assert asked == [path.as_uri()]
    page.close()


def test_without_a_video_the_boxes_move_over_the_background(browser, tmp_path):
    page, _ = opened(browser, switched(tmp_path, video=""))
    assert "This run wrote no video" in page.inner_text("#video-note")
    assert highlighted(page, 20 / 320, 120 / 240)
    page.select_option("#speed", "4")
    page.click("#play")
    expect(page.locator("#time")).to_contain_text("frame 60 of 60")
    assert page.get_attribute("#play", "aria-label") == "play", "it stops at the end"
    assert highlighted(page, (20 + 4 * 59) / 320, 120 / 240)
    page.close()


def test_filters_sorting_and_long_lists(browser, tmp_path):
    path = tmp_path / "report.html"
    trace = traced(3, crops=False)
    for number in range(200):
        box = np.array([[number, 10, number + 20, 60]], np.float32)
        for time in range(5 if number < 199 else 90):
            row = Detections(box, track_id=np.array([number + 10]), class_id=np.array([number % 2]))
            trace.history.add(number + time / 30, row)
    trace.seconds = 203.0
    path.write_text(build_page(trace, facts()), encoding="utf-8")
    page, _ = opened(browser, path)
    assert page.locator(".row").count() == 60
    page.click("#timeline-more")
    assert page.locator(".row").count() == 201
    assert len(column(page, 1)) == 100
    page.click("#tracks th:nth-child(1) button")
    page.click("#tracks th:nth-child(1) button")
    assert column(page, 1)[:2] == ["209", "208"], "the whole is sorted, not the part"
    page.select_option("#kind", "car")
    assert set(column(page, 2)) == {"car"}
    assert page.inner_text("#found") == "100 of 201 tracks"
    page.fill("#length", "2")
    assert column(page, 1) == ["209"]
    assert page.locator(".row").count() == page.locator("#trajectories .path:not(.hidden)").count() == 1
    page.click("#filters button[type=reset]")
    page.fill("#find", "177")
    assert column(page, 1) == ["177"]
    page.fill("#find", "")
    page.click("#tracks-more")
    assert len(column(page, 1)) == 201
    page.close()


def test_themes_phone_and_paper(browser, tmp_path):
    path = switched(tmp_path)
    page, _ = opened(browser, path, width=390, height=844, color_scheme="dark")
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.click("#theme")
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert light != dark
    page.reload()
    page.wait_for_selector("body[data-ready]")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == light, "the choice is remembered"
    page.click("#theme")
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.querySelector('.card')).backgroundColor") == "rgb(255, 255, 255)"
    assert page.locator(".controls").is_hidden()
    page.close()


def test_everything_is_reached_and_named_without_a_mouse(browser, tmp_path):
    page, _ = opened(browser, switched(tmp_path))
    unnamed = """all => all.filter((one) => !(one.ariaLabel || one.title || one.textContent.trim() ||
        one.labels?.length)).map((one) => one.outerHTML)"""
    assert page.locator("button, input, select, svg[role=img], canvas").evaluate_all(unnamed) == []
    page.focus(".row[data-track='8'] .label")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Tab")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid", "the focus is seen"
    page.keyboard.press("Enter")
    assert page.locator(".row.chosen").get_attribute("data-track") == "8"
    assert page.get_attribute(".row[data-track='8'] .label", "aria-pressed") == "true"
    page.close()


@pytest.fixture
def vtest(shared):
    """The words that track a real video on its precomputed detections."""
    video = shared / "data/tracking/vtest.avi"
    dets = shared / "data/tracking/PETS09-S2L1/det/yolov8n_960.txt"
    return ["track", "--source", video, "--dets", dets, "--embedder", "histogram", "--no-progress"]


def test_the_report_of_795_frames_is_small_and_shows_the_video(browser, vtest, tmp_path):
    path, video = tmp_path / "report.html", tmp_path / "my videos" / "tracked #1.mp4"
    given = [*vtest, "--report", path, "--output", video, "--line", "384,100,384,560"]
    assert main([str(word) for word in given]) == 0
    assert path.stat().st_size < 1e6, "2 MB are allowed"
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height, stream.codec_context.name) == (768, 576, "h264")
        assert sum(1 for _ in container.decode(stream)) == 795
    page, asked = opened(browser, path)
    expect(page.locator("#video")).to_be_visible()
    assert page.evaluate("document.getElementById('video').videoWidth") == 768
    ids = [int(number) for number in column(page, 1)]
    assert len(ids) >= 15
    assert page.locator("#crops img").count() == len(ids), "a crop of each"
    assert page.locator("#trajectories image").count() == 1, "over the place"
    assert page.locator(".tile").first.inner_text().split() == ["795", "frames", "79.5", "s", "at", "10", "fps"]
    assert "objects crossed line 1 from left to right" in page.inner_text("#counts")
    page.click(".moment >> nth=0")
    assert asked[0] == path.as_uri()
    assert set(asked[1:]) == {video.as_uri()}
    assert page.errors == []
    if "MOT_SCREENSHOTS" in os.environ:
        page.screenshot(path=str(Path(os.environ["MOT_SCREENSHOTS"]) / "report.png"))
    page.close()


def test_where_people_are_hidden_the_report_shows_none(vtest, tmp_path):
    path = tmp_path / "report.html"
    given = [*vtest, "--no-video", "--end-frame", "20", "--report", path, "--anonymize", "blur", "--link"]
    assert main([str(word) for word in given]) == 0
    data = data_of(path.read_text())
    assert data["crops"] == {}
    assert data["image"]["background"], "but the place, without them"
