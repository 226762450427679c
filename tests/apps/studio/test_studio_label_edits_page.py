"""Correcting keypoints on the page, as a person does it, in a real browser on a short clip made here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.slow


def test_points_are_hidden_absent_and_taken_back(serve: Callable[..., str], page: Any, clip: Any) -> None:
    tab = page.labelling(serve("--video", clip.video), 8)
    tab.keyboard.press("v")
    page.click(*clip.place("ant", "head", 8))
    tab.keyboard.press("h")
    tab.wait_for_selector("#names .hid[data-name=head]")
    page.click(*clip.place("bee", "tail", 8))
    tab.keyboard.press("Delete")
    tab.wait_for_selector("#names .gone[data-name=tail]")
    page.click(*clip.place("bee", "head", 8))
    tab.keyboard.press("u")
    tab.wait_for_selector("#names button[data-name=head]:not(.set)")
    tab.keyboard.press("Control+s")
    page.says("Saved the labels of frame 8")
    saved = {key: shape["flags"] for key, shape in clip.shapes(8).items()}
    assert saved == {("ant", "head"): {"occluded": True}, ("ant", "tail"): {}, ("bee", "tail"): {"absent": True}}
    tab.click("#instances button:has-text('bee')")
    tab.click("#names button[data-name=tail]")  # it has no place to click on
    tab.click("#clear-label")
    tab.keyboard.press("Control+s")
    tab.wait_for_selector("#save-labels[disabled]")
    assert set(clip.shapes(8)) == {("ant", "head"), ("ant", "tail")}


def track(page: Any) -> None:
    page.page.select_option("#follow-backend", "gradient")
    page.page.click("#follow")
    page.page.wait_for_selector("#follow-result:has-text('frames')", timeout=60_000)


def clear(tab: Any) -> None:
    """Remove earlier messages: the next one is waited for."""
    tab.locator(".toast").evaluate_all("all => all.forEach(one => one.remove())")


def shown(page: Any, n: int) -> dict[tuple[str, str], list[float]]:
    """Where the page has the points of a frame."""
    video = page.page.evaluate("new URLSearchParams(location.hash.slice(1)).get('video')")
    answer = page.page.evaluate(
        "async ([video, n]) => (await fetch(`/api/keypoints/frame?${new URLSearchParams({video, n})}`)).json()",
        [video, str(n)],
    )
    return {(item["instance"], item["name"]): item["points"][0] for item in answer["items"] if item["points"]}


def test_two_animals_are_swapped_and_swapped_back(serve: Callable[..., str], page: Any, clip: Any) -> None:
    tab = page.labelling(serve("--video", clip.video), 0)
    track(page)
    before = {n: shown(page, n) for n in range(clip.frames)}
    page.go(4)
    tab.wait_for_selector("#canvas[data-items='4']")
    tab.click("#instances button:has-text('ant')")
    tab.keyboard.press("x")
    assert tab.inner_text("#swap-text") == "Exchange ant with"
    assert "from frame 4 to 7" in tab.inner_text("#swap-next-text")
    tab.click("#swap button.primary")
    page.says("Swapped")
    exchanged = {
        n: {(o, k): v for (i, k), v in row.items() for o in ("ant", "bee") if o != i} for n, row in before.items()
    }
    for n in range(clip.frames):
        assert shown(page, n) == (exchanged[n] if 4 <= n < 8 else before[n]), n
    assert [f.frame for f in clip.store.labelled()] == [0, 4, 8]
    tab.keyboard.press("Control+z")
    page.says("Undone: swap of 'ant' and 'bee' from frame 4 to 7")
    assert {n: shown(page, n) for n in range(clip.frames)} == before
    clear(tab)
    # to the end, the labelled frame 8 included
    tab.keyboard.press("x")
    tab.check("#swap-end")
    tab.click("#swap button.primary")
    page.says("Swapped")
    assert clip.shapes(8)["ant", "head"]["points"] == [[float(v) for v in clip.place("bee", "head", 8)]]
    assert shown(page, 11) == exchanged[11]


def test_two_points_of_an_animal_are_swapped(serve: Callable[..., str], page: Any, clip: Any) -> None:
    tab = page.labelling(serve("--video", clip.video), 8)
    tab.keyboard.press("v")
    page.click(*clip.place("bee", "tail", 8))
    tab.keyboard.press("Shift+X")
    assert tab.inner_text("#swap-text") == "Exchange tail of bee with"
    assert "no later frame is labelled" in tab.inner_text("#swap-next-text")
    tab.keyboard.press("Escape")
    tab.click("#swap-keypoint")
    tab.click("#swap button.primary")
    page.says("Swapped")
    places = {key: tuple(shape["points"][0]) for key, shape in clip.shapes(8).items()}
    assert places["bee", "tail"] == clip.place("bee", "head", 8)
    assert places["bee", "head"] == clip.place("bee", "tail", 8)
    assert places["ant", "head"] == clip.place("ant", "head", 8)
    tab.click("#undo-label")
    page.says("Undone")
    assert tuple(clip.shapes(8)["bee", "tail"]["points"][0]) == clip.place("bee", "tail", 8)


def test_an_animal_and_a_point_are_renamed_in_all_frames(serve: Callable[..., str], page: Any, clip: Any) -> None:
    tab = page.labelling(serve("--video", clip.video), 0)
    track(page)
    long = "the ant that came from the left, without a mark on its thorax"
    tab.click("#instances button:has-text('ant')")
    tab.click("#rename-instance")
    tab.fill("#naming-name", "bee")
    tab.keyboard.press("Enter")
    page.says("another instance 'bee'")
    tab.click("#rename-instance")
    tab.fill("#naming-name", long)
    tab.keyboard.press("Enter")
    page.says(f"ant is {long} now")
    tab.click("#names button[data-name=head]")
    tab.keyboard.press("r")
    tab.fill("#naming-name", "jaw")
    tab.keyboard.press("Enter")
    page.says("head is jaw now")
    assert tab.locator("#instances button[aria-pressed=true]").inner_text().strip() == long
    assert {key for n in range(clip.frames) for key in shown(page, n)} == {
        (i, k) for i in (long, "bee") for k in ("jaw", "tail")
    }
    assert "head" not in clip.store.paths.table.read_text()
    for _ in range(2):
        tab.keyboard.press("Control+z")
        page.says("Undone: ")
        clear(tab)
    assert set(shown(page, 3)) == {(i, k) for i in ("ant", "bee") for k in ("head", "tail")}
    tab.wait_for_selector("#instances button:has-text('ant')")


def test_saved_labels_are_undone(serve: Callable[..., str], page: Any, clip: Any) -> None:
    tab = page.labelling(serve("--video", clip.video), 8)
    before = clip.file(8).read_bytes()
    tab.keyboard.press("v")
    page.drag(clip.place("ant", "head", 8), (90, 30))
    tab.keyboard.press("Control+s")
    page.says("Saved the labels of frame 8")
    assert clip.file(8).read_bytes() != before
    tab.keyboard.press("Control+z")
    page.says("Undone: labels of frame 8")
    assert clip.file(8).read_bytes() == before


def test_frames_to_review_say_why_and_are_no_labelled_ones(serve: Callable[..., str], page: Any, clip: Any) -> None:
    tab = page.labelling(serve("--video", clip.video), 8)
    tab.keyboard.press("v")
    page.drag(clip.place("ant", "head", 8), (90, 30))
    page.click(*clip.place("bee", "tail", 8))
    tab.keyboard.press("Delete")  # absent from here on: no reason to go there
    track(page)  # saves first
    tab.wait_for_selector("#review tr[data-frame]")
    rows = {int(row.get_attribute("data-frame")): row.inner_text() for row in tab.locator("#review tr").all()}
    assert set(rows).isdisjoint((0, 8, 9, 10, 11))
    assert all("ant:head" in text and "tail" not in text for text in rows.values())
    assert all("tracking forward and backward disagrees" in text for text in rows.values())
