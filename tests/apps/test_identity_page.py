"""The page of `identify` in a browser: crops, filters, a click that shows a stretch in its video, a phone's width."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from mot_dinov3.cli import main
from scenes import write_scene

SLY = "a#1 %3F <img src=x onerror='window.hacked=1'>"


@pytest.fixture
def results(elsewhere: None) -> Path:
    """Results of two videos of the same two boxes, drawn."""
    scene = write_scene(Path.cwd())
    for name in (SLY, "two"):
        shutil.copy(scene.video, f"{name}.mp4")
        shutil.copy(scene.dets, f"{name}.json")
    words = ["identify", f"{SLY}.mp4", "two.mp4", "--dets", "{name}.json", "--embedder", "histogram", "--no-progress"]
    Path("cameras.toml").write_text('[cameras]\nyard = ["two"]\n')
    assert main([*words, "--cameras", "cameras.toml", "--redraw", "--out-dir", "out"]) == 0
    return Path("out/identities.html").resolve()


@pytest.mark.slow
def test_a_click_shows_a_stretch_in_its_video(browser, results: Path) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(results.as_uri())
    names = page.locator(".identity h2")
    assert names.all_inner_texts() == ["box-1", "box-2"]
    sizes = page.locator(".crops img").evaluate_all(
        "all => Promise.all(all.map(one => one.decode())).then(() => all.map(one => one.naturalWidth))"
    )
    assert len(sizes) == 4
    assert min(sizes) > 5
    stretch = page.locator(f".identity >> nth=1 >> .seen:has-text({SLY[:3]!r}) >> button")
    title = stretch.get_attribute("title")
    assert re.fullmatch(r"box-2: a#1 .*> 0:00\.0–0:03\.9, track \d, confidence \d\.\d\d", title)
    stretch.click()
    # The page's policy forbids what `wait_for_function` does to look again; a promise may be waited for.
    page.evaluate(
        "movie.readyState >= 2 || new Promise(done => movie.addEventListener('loadeddata', done, { once: true }))"
    )
    assert page.evaluate("[movie.videoWidth, movie.duration > 3]") == [160, True]
    assert stretch.get_attribute("aria-pressed") == "true"
    page.keyboard.press("Escape")
    assert page.is_hidden("#player")
    page.keyboard.press("/")
    page.keyboard.type("x-2")
    assert page.locator(".identity:visible h2").all_inner_texts() == ["box-2"]
    assert page.inner_text("#found") == "1 of 2 identities"
    page.click("button[type=reset]")
    page.select_option("#sort", "name")
    page.select_option("#camera", "yard")
    assert page.inner_text("#found") == "2 identities"
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert page.evaluate("window.hacked") is None
    assert {url for url in asked if not url.startswith((results.parent.as_uri(), "data:"))} == set()
    # A video that browsers do not play: it is said.
    (results.parent / "two" / "identified.mp4").write_bytes(b"no video")
    page.locator(".identity >> nth=0 >> .seen:has-text('yard') >> button").click()
    page.wait_for_selector("#unplayable:visible")
    assert "--redraw" in page.inner_text("#unplayable")
    page.close()


def test_people_who_are_to_be_hidden_are_not_shown(elsewhere: None) -> None:
    scene = write_scene(Path.cwd())
    words = ["identify", "scene.mp4", "--dets", str(scene.dets), "--embedder", "histogram", "--no-progress"]
    assert main([*words, "--anonymize", "blur", "--out-dir", "out"]) == 0
    page = Path("out/identities.html").read_text()
    assert "box-1" in page
    assert "data:image" not in page
    assert 'data-address=""' in page
    assert "scene.mp4" not in page
