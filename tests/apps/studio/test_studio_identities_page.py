"""The page Identities as a person uses it, in a real browser on a registry of two small videos."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from apps.test_identity_registry import REGISTRY, contents, newer, torn
from mot_dinov3.apps.identities.identity_store import open_store

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("elsewhere")]
SLY = "x' <img src=x onerror='window.hacked=1'>"


def shown(tab: Any) -> list[str]:
    tab.wait_for_selector(".person")
    return [one.get_attribute("data-name") for one in tab.locator(".person").all()]


def count_of(tab: Any, name: str) -> str:
    return tab.inner_text(f".person[data-name='{name}'] .open > .dim")


def test_identities_are_merged_split_named_and_forgotten(serve: Callable[..., str], page: Any, registry: Path) -> None:
    page.open(serve("--registry", registry, "--root", Path.cwd()))
    tab = page.page
    assert tab.get_attribute("[data-tool=identities]", "aria-selected") == "true"
    assert shown(tab) == ["box-1", "box-2"]
    assert count_of(tab, "box-1") == "2 tracks · 2 videos · 2 cameras"
    tab.wait_for_selector("#hint:has-text('open it')")
    # Opened: tracks, crops, times, timeline.
    tab.click(".person[data-name='box-1'] .open")
    tab.wait_for_selector("#registry-title:text-is('box-1')")
    assert tab.locator("#registry-tracks .track").count() == 2
    images = tab.locator("#registry-tracks img")
    images.evaluate_all("all => Promise.all(all.map(one => { one.loading = 'eager'; return one.decode(); }))")
    sizes = images.evaluate_all("all => all.map(one => one.naturalWidth)")
    assert len(sizes) >= 2
    assert min(sizes) > 5
    title = tab.locator("#registry-lanes .bars button").first.get_attribute("title")
    assert re.fullmatch(r"door 0:00\.00 – 0:03\.\d\d, track \d, confidence \d\.\d\d", title)
    # Named by keyboard, split, moved back, and undone.
    tab.keyboard.press("r")
    tab.fill("#naming-name", SLY.replace("<", "(").replace(">", ")"))
    tab.keyboard.press("Enter")
    named = SLY.replace("<", "(").replace(">", ")")
    tab.wait_for_selector("#registry-title:has-text('onerror')")
    assert named in contents()
    tab.keyboard.press("Control+z")
    page.says("Undone: naming box-1")
    assert shown(tab) == ["box-1", "box-2"]
    tab.click(".person[data-name='box-1'] .open")
    tab.wait_for_selector("#registry-title:text-is('box-1')")
    tab.locator("#registry-tracks input").first.check()
    tab.keyboard.press("s")
    page.says("Splitting off 1 track")
    tab.wait_for_selector(".person[data-name='box-3']")
    assert len(contents()["box-3"]) == 1
    # Merged again: two are selected, one of them by keyboard.
    tab.locator(".person[data-name='box-3'] input").check()
    tab.focus(".person[data-name='box-2'] .open")
    tab.keyboard.press("ArrowLeft")
    tab.keyboard.press("x")
    tab.wait_for_selector("#registry-selected:has-text('2 identities selected')")
    tab.keyboard.press("m")
    page.says("Merging box-1, box-3")
    tab.wait_for_selector(".person >> nth=1")
    assert sorted(len(tracks) for tracks in contents().values()) == [2, 2]
    # Forgotten, after a question.
    tab.click(".person[data-name='box-2'] .open")
    tab.wait_for_selector("#registry-title:text-is('box-2')")
    tab.keyboard.press("Delete")
    tab.wait_for_selector("#ask-text:has-text('Forget box-2?')")
    tab.keyboard.press("Escape")
    assert "box-2" in contents()
    tab.click("#registry-forget")
    tab.click("#ask-yes")
    page.says("Forgetting box-2")
    tab.wait_for_selector(".person[data-name='box-2']", state="detached")
    assert "box-2" not in contents()
    assert tab.is_disabled("#registry-undo")
    assert tab.evaluate("window.hacked") is None


def test_suggestions_are_confirmed_and_rejected(serve: Callable[..., str], page: Any, registry: Path) -> None:
    page.open(serve("--registry", registry, "--root", Path.cwd()))
    tab = page.page
    tab.click(".person[data-name='box-1'] .open")
    tab.wait_for_selector("#registry-title:text-is('box-1')")
    tab.locator("#registry-tracks input").first.check()
    tab.click("#registry-split")
    page.says("Splitting off")
    with open_store(REGISTRY) as store:  # another program
        store.rows("DELETE FROM decisions")
    tab.reload()
    tab.wait_for_selector("body[data-ready]")
    asked = tab.locator(".suggestion").first
    asked.wait_for()
    assert "Are box-1 and box-3 one person?" in asked.inner_text() or "Are box-3 and box-1" in asked.inner_text()
    assert asked.locator("img").count() == 2
    tab.keyboard.press("d")
    page.says("Rejecting a suggestion")
    with open_store(REGISTRY) as store:
        assert len(store.different_pairs()) == 1
    tab.keyboard.press("Control+z")
    page.says("Undone: rejecting")
    tab.locator(".suggestion", has_text="box-3").first.wait_for()
    tab.keyboard.press("y")
    page.says("Confirming a suggestion")
    tab.wait_for_selector(".person[data-name='box-3']", state="detached")
    assert len(contents()["box-1"]) == 2


def test_a_person_is_searched_by_an_image_and_by_a_box(serve: Callable[..., str], page: Any, registry: Path) -> None:
    page.open(serve("--registry", registry, "--root", Path.cwd()))
    tab = page.page
    tab.wait_for_selector(".person")
    tab.set_input_files("#search-file", "red.jpg")
    best = tab.locator("#search-results .found").first
    best.wait_for()
    assert best.get_attribute("data-name") == "box-1"
    assert "red.jpg, embedder histogram" in tab.inner_text("#search-facts")
    # A video of the registry is opened, and a box drawn on its first frame.
    tab.select_option("#registry-video", "yard")
    page.shows_frame(0)
    tab.wait_for_selector("#hint:has-text('box')")
    page.drag((136, 40), (156, 95))
    tab.keyboard.press("Enter")
    tab.wait_for_selector("#search-facts:has-text('a box in frame 0')")
    assert tab.locator("#search-results .found").first.get_attribute("data-name") == "box-2"
    assert "yard 0:00.00" in tab.locator("#search-results .found").first.inner_text()
    tab.locator("#search-results .found .open").first.click()
    tab.wait_for_selector("#registry-title:text-is('box-2')")
    # A bar of the timeline leads to its first frame; Esc and V lead back.
    tab.keyboard.press("Escape")
    tab.keyboard.press("Escape")
    tab.wait_for_selector("#registry-grid:visible")
    tab.locator("#registry-lanes .bars button").first.click()
    tab.wait_for_selector("#canvas:visible")
    tab.keyboard.press("v")
    tab.wait_for_selector("#registry-grid:visible")
    # The filter, a phone's width, and a file that is no image.
    tab.keyboard.press("/")
    tab.keyboard.type("x-2")
    assert shown(tab) == ["box-2"]
    tab.set_viewport_size({"width": 390, "height": 844})
    assert tab.evaluate("document.documentElement.scrollWidth") == 390
    tab.locator(".person[data-name='box-2'] .open").click()
    tab.wait_for_selector("#registry-title:text-is('box-2')")
    top = tab.locator("#registry-opened").bounding_box()["y"]
    assert 0 <= top < 844, "what was opened is in view"
    Path("none.jpg").write_bytes(b"no image")
    tab.set_input_files("#search-file", "none.jpg")
    page.says("not an image that can be read")


@pytest.mark.parametrize(("damage", "message"), [(newer, "is registry-v9"), (torn, "is damaged")])
def test_a_registry_that_cannot_be_read_is_one_line(
    damage: Callable[[], None], message: str, serve: Callable[..., str], page: Any, registry: Path
) -> None:
    damage()
    page.open(serve("--registry", registry))
    tab = page.page
    tab.wait_for_selector(f"#registry-error:has-text({message!r})")
    assert tab.locator("#registry-error").count() == 1
    assert tab.locator(".person").count() == 0
    assert tab.locator(".toast.bad").count() == 0


def test_an_edit_of_a_registry_in_use_is_an_error_and_nothing_changes(
    serve: Callable[..., str], page: Any, registry: Path
) -> None:
    page.open(serve("--registry", registry))
    tab = page.page
    tab.click(".person[data-name='box-1'] .open")
    tab.wait_for_selector("#registry-title:text-is('box-1')")
    tab.locator("#registry-tracks input").first.check()
    with open_store(REGISTRY):
        tab.click("#registry-split")
        page.says("is in use by another run")
    assert shown(tab) == ["box-1", "box-2"]
    tab.click("#registry-split")
    page.says("Splitting off 1 track")
