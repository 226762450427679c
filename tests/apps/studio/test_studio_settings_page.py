"""Settings of a keypoint run on the page, as a person changes them, in a real browser on a short clip made here."""

from __future__ import annotations

import csv
from collections.abc import Callable
from typing import Any

import pytest

from mot_dinov3.apps.studio.keypoint_settings import CHOSEN_ELSEWHERE, SET_AT_START, in_page_terms
from mot_dinov3.core.options import options_of
from mot_dinov3.keypoints.job.config import KeypointsOptions

pytestmark = pytest.mark.slow
MENTIONED = [known for known in options_of(KeypointsOptions) if known.key not in (*CHOSEN_ELSEWHERE, *SET_AT_START)]


def set_field(tab: Any, key: str, value: str) -> None:
    tab.fill(f"#setting-{key}", value)
    tab.locator(f"#setting-{key}").blur()


def test_every_option_has_its_meaning_and_a_run_obeys_them(serve: Callable[..., str], page: Any, clip: Any) -> None:
    tab = page.labelling(serve("--video", clip.video), 2)
    tab.locator("#settings > summary").click()
    for known in MENTIONED:
        if known.key != "masks":
            assert in_page_terms(known.spec.help) in tab.inner_text(f".setting[data-key={known.key}]")
    # the range is refused in the page's own words, and nothing is written
    tab.select_option("#follow-backend", "gradient")
    set_field(tab, "start_frame", "9")
    set_field(tab, "end_frame", "4")
    tab.click("#follow")
    page.says("“End frame” must be beyond 9, got 4")
    assert not clip.store.paths.table.exists()
    # a value out of its range is marked where it is typed, and refused by the command's own check
    set_field(tab, "velocity_smoothing", "3")
    assert tab.locator("#setting-velocity_smoothing:invalid").count() == 1
    tab.click("#range-here")
    tab.click("#follow")
    page.says("“Velocity smoothing” must be between 0 and 1, got 3")
    tab.click(".setting[data-key=velocity_smoothing] .reset")
    assert tab.locator(".setting.changed[data-key=velocity_smoothing]").count() == 0
    # the range and the files that were asked for; the settings survive a reload
    tab.check("#setting-dlc_csv")
    assert tab.inner_text("#settings-count") == "1 changed"
    tab.reload()
    tab.wait_for_selector("body[data-ready]")
    assert tab.is_checked("#setting-dlc_csv")
    set_field(tab, "end_frame", "7")
    tab.click("#follow")
    tab.wait_for_selector("#follow-result:has-text('frames')", timeout=60_000)
    with clip.store.paths.table.open() as file:
        assert sorted({int(row["frame"]) for row in csv.DictReader(file)}) == list(range(2, 7))
    assert clip.store.paths.wide.is_file()
    tab.locator("#settings > summary").click()
    tab.locator("#settings-reset").click()
    assert tab.inner_text("#settings-count") == ""


def test_the_backend_is_one_choice_for_both_pages(serve: Callable[..., str], page: Any, clip: Any) -> None:
    tab = page.labelling(serve("--video", clip.video), 2)
    tab.select_option("#follow-backend", "dino")
    models = tab.locator("#follow-model option").all_inner_texts()
    assert "facebook/dinov2-small – not on this computer; it is downloaded at the first use" in models
    tab.select_option("#follow-model", "…")
    tab.fill("#follow-other", "my/model")
    tab.locator("#follow-other").blur()
    tab.click("[data-tool=similarity]")
    assert tab.input_value("#similar-backend") == "dino"
    assert tab.input_value("#similar-other") == "my/model"
    tab.select_option("#similar-backend", "gradient")
    tab.click("[data-tool=keypoints]")
    assert tab.input_value("#follow-backend") == "gradient"
    assert tab.is_hidden("#follow-model")


def test_masks_that_are_not_available_say_why(serve: Callable[..., str], page: Any, clip: Any) -> None:
    tab = page.labelling(serve("--video", clip.video), 2)
    assert tab.locator("#masks option").evaluate_all("all => all.map(one => [one.value, one.disabled])") == [
        ["auto", False], ["none", False], ["flow", False], ["dino", False], ["cutie", True],
    ]  # fmt: skip
    assert "the video segmentation project Cutie, which is not installed" in tab.inner_text("#masks-facts")
    tab.select_option("#masks", "none")
    assert "outlines are not used" in tab.inner_text("#masks-facts")
