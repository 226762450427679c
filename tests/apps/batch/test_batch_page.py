"""The overview of a batch in a browser: thumbnails, sorting, filters, a phone's width."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from mot_dinov3.apps.batch.manifest import VideoState
from mot_dinov3.apps.batch.overview import duration, write_overview
from mot_dinov3.apps.batch.thumbnails import THUMBNAIL, write_thumbnail
from mot_dinov3.cli import main
from mot_dinov3.core.structures import VideoInfo
from mot_dinov3.video import SourceConfig, VideoWriter, open_source

SLY = "<img src=x onerror='window.hacked=1'>"
PARTS = {"vtest_1": (0, 160), "vtest_2": (240, 390), "vtest_3": (500, 620), "vtest_4": (620, 795)}
SHOWN = 160 if "MOT_SCREENSHOTS" in os.environ else 20  # frames of each part, at most
NUMBERS = {"short": (20, 3), "long": (1200, 40), "middle": (300, 7)}


def write_video(path, level=200):
    writer = VideoWriter(path, info=VideoInfo(str(path), 320, 240, 10.0))
    for k in range(3):
        writer.write(np.full((240, 320, 3), level, np.uint8), k / 10)
    writer.close()
    return path


@pytest.fixture
def overview(tmp_path):
    """The page of three finished videos and a failed one."""
    videos = []
    for name, (frames, identities) in NUMBERS.items():
        folder = tmp_path / name
        folder.mkdir()
        write_video(folder / "tracked.mp4")
        (folder / "report.html").write_text("report")
        summary = {
            "frames": frames,
            "detections": 9 * frames,
            "identities": identities,
            "fps": 25.0,
            "share_embedded": 0.5,
        }
        (folder / "summary.json").write_text(json.dumps(summary))
        videos.append(VideoState(name, f"{name}.avi", "done", 0, seconds=frames / 10))
    videos.append(VideoState("broken " + "x" * 80, "gone.mp4", "failed", 3, f"{SLY} {'y' * 90}", seconds=0.4))
    return write_overview(tmp_path, videos, "2026-01-01T00:00:00Z")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.04, "0.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 0 s"),
        (185, "3 min 5 s"),
        (3600, "1 h 0 min"),
        (8070, "2 h 14 min"),
    ],
)
def test_durations_are_words(seconds, words):
    assert duration(seconds) == words


def test_a_thumbnail_shows_the_tracked_video_and_no_source_of_a_run_that_hides_people(tmp_path):
    source, folder = write_video(tmp_path / "in.mp4"), tmp_path / "out"
    folder.mkdir()
    assert write_thumbnail(folder, None) is None
    assert write_thumbnail(folder, source) == folder / THUMBNAIL
    bright = (folder / THUMBNAIL).read_bytes()
    write_video(folder / "tracked.mp4", level=20)
    write_thumbnail(folder, None)
    assert (folder / THUMBNAIL).read_bytes() != bright
    (folder / "tracked.mp4").write_bytes(b"no video")
    assert write_thumbnail(folder, None) is None, "newer, and not readable"


def order(page):
    return [name[:6] for name in page.locator("#videos tbody tr:not([hidden]) b").all_inner_texts()]


@pytest.mark.slow
def test_the_page_sorts_filters_and_fits_a_phone(browser, overview):
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(overview.as_uri())
    images = page.locator("#videos img")
    assert (
        images.evaluate_all(
            "all => Promise.all(all.map(one => one.decode())).then(() => all.map(one => one.naturalWidth))"
        )
        == [192] * 3
    )
    assert order(page) == ["short", "long", "middle", "broken"]
    page.click("th[data-column=frames] button")
    assert order(page) == ["short", "middle", "long", "broken"], "by number, nothing last"
    page.click("th[data-column=frames] button")
    assert order(page) == ["long", "middle", "short", "broken"]
    assert page.get_attribute("th[data-column=frames]", "aria-sort") == "descending"
    assert page.inner_text("tr:first-child td[data-column=time]") == "2 min 0 s"
    assert page.get_attribute("tr:first-child a.video", "href") == "long/report.html"
    page.fill("#find", "yyy")
    assert order(page) == ["broken"]
    assert page.inner_text("#found") == "1 of 4 videos"
    page.click("button[type=reset]")
    page.select_option("#state", "done")
    assert len(order(page)) == 3
    page.click("button[type=reset]")
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.select_option("#sort", label="identities")
    assert order(page) == ["short", "middle", "long", "broken"]
    assert page.evaluate("window.hacked") is None
    assert {url for url in asked if not url.startswith(overview.parent.as_uri())} == set()
    page.close()


def picture(page, name):
    """Keep a screenshot in the folder that MOT_SCREENSHOTS names, where /data stands for the test's folder."""
    folder = os.environ.get("MOT_SCREENSHOTS")
    if folder:
        shorten = "(all, here) => all.forEach(one => { one.textContent = one.textContent.replace(here, '/data'); })"
        page.locator("#videos .error").evaluate_all(shorten, str(Path.cwd()))
        page.screenshot(path=f"{folder}/{name}.jpg", type="jpeg", quality=88)


@pytest.mark.slow
@pytest.mark.usefixtures("elsewhere")
def test_the_page_of_a_batch_of_real_videos(browser, shared, monkeypatch):
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    Path("videos").mkdir()
    for name, (start, stop) in PARTS.items():
        stop = min(stop, start + SHOWN)
        config = SourceConfig(str(shared / "data/tracking/vtest.avi"), start_frame=start, end_frame=stop)
        with open_source(config) as source, VideoWriter(Path(f"videos/{name}.mp4"), info=source.info) as writer:
            for frame in source:
                writer.write(frame.pixels(), frame.time)
    Path("videos/cut_off.mp4").write_bytes(b"no video")
    words = ["--det", "motion", "--embedder", "histogram", "--save-mot", "tracks.txt", "--report", "report.html"]
    assert main(["batch", "videos", "--out-dir", "out", "--workers", "2", *words, "--no-progress"]) == 3
    widths = "all => Promise.all(all.map(one => one.decode())).then(() => all.map(one => one.naturalWidth))"
    for name, width, height, density in (("batch", 1280, 640, 1), ("batch-phone", 390, 844, 2)):
        page = browser.new_page(viewport={"width": width, "height": height}, device_scale_factor=density)
        page.goto(Path("out/index.html").absolute().as_uri())
        assert page.locator("#videos img").evaluate_all(widths) == [192] * len(PARTS)
        assert order(page) == ["cut_of", *(part[:6] for part in PARTS)]
        assert page.evaluate("document.documentElement.scrollWidth") == width
        picture(page, name)
        page.close()
