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
