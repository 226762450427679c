"""All four tools in a real browser on the demo's own clip, which needs no other data."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mot_dinov3.apps.demo import compose

pytestmark = pytest.mark.slow
FRAME = 52  # three people are in it
BODY = {
    "head": (209, 163),
    "left_hand": (216, 221),
    "right_hand": (231, 203),
    "hip": (206, 262),
    "left_foot": (227, 338),
    "right_foot": (199, 341),
}
COAT = [(205, 178), (228, 192), (238, 212), (230, 268), (184, 270), (182, 215), (192, 184)]
NAMES = {1: "white coat", 2: "black coat", 3: "green coat"}


def test_a_gallery_keypoints_and_similarity(serve: Callable[..., str], page: Any, tmp_path: Path) -> None:
    clip = compose(tmp_path, seconds=4)
    frames = [
        {
            "frame": number,
            "detections": [
                {"bbox": box, "score": 1.0, "class_id": 0, "track_id": str(track)}
                for box, track in zip(rows.xyxy.tolist(), rows.track_id.tolist())
            ],
        }
        for number, rows in enumerate(clip.truth)
    ]
    (tmp_path / "tracked.json").write_text(json.dumps({"schema_version": "track-v1", "frames": frames}))
    page.open(
        serve("--video", clip.video, "--gallery-root", tmp_path / "people", "--tracks", tmp_path / "tracked.json")
    )
    page.go(FRAME)
    page.page.wait_for_selector(f"#canvas[data-boxes='{FRAME}']")
    build_gallery(page, clip.truth[FRAME].xyxy.tolist())
    for name in NAMES.values():
        assert len(list((tmp_path / "people" / name).glob(f"{name}_0000?.jpg"))) == 5
    label_and_follow(page)
    table = (tmp_path / "clip" / "clip_keypoints.csv").read_text().splitlines()
    assert len(table) == 1 + len(frames) * len(BODY)
    tab = page.page
    tab.click("[data-tool=similarity]")
    tab.click("#zoom-fit")
    page.go(FRAME)
    tab.select_option("#similar-backend", "gradient")
    page.click(*BODY["head"])
    tab.wait_for_selector(f"#similar-result[data-frame='{FRAME}']")
    found = tab.locator("#peaks dd").first.inner_text()
    value, x, y = (float(v) for v in re.findall(r"[\d.]+", found))
    assert value > 0.9
    assert (x, y) == pytest.approx(BODY["head"], abs=8)
    assert float(tab.inner_text("#low")) < value <= float(tab.inner_text("#high")) + 0.001
    page.go(FRAME - 1)
    tab.wait_for_selector(f"#similar-result[data-frame='{FRAME - 1}']")
    tab.mouse.move(*page.at(300, 300))
    tab.wait_for_selector("#under:not(:text-is('–'))")
    correct_a_swap(page, tmp_path, frames)


def correct_a_swap(page: Any, folder: Path, frames: list[dict[str, Any]]) -> None:
    """Exchange two ids from a frame on, and correct that on the tracks page."""
    exchanged = {"1": "2", "2": "1"}
    for frame in frames[FRAME:]:
        for record in frame["detections"]:
            record["track_id"] = exchanged.get(record["track_id"], record["track_id"])
    (folder / "swapped.json").write_text(json.dumps({"schema_version": "track-v1", "frames": frames}))
    tab = page.page
    tab.click("[data-tool=tracks]")
    tab.click("#pick-tracks")
    tab.click("#chooser-list button:has-text('swapped.json')")
    tab.wait_for_selector("#places tr[data-kind=jump]")
    tab.keyboard.press("n")
    page.shows_frame(FRAME)
    tab.wait_for_selector("#chosen li:nth-child(2)")
    tab.set_viewport_size({"width": 390, "height": 844})
    tab.keyboard.press("x")
    page.says("Swapped tracks")
    tab.wait_for_selector("#places:not(:has(tr[data-kind=jump]))")


def build_gallery(page: Any, boxes: list[list[float]]) -> None:
    tab = page.page
    for (x1, y1, x2, y2), name in zip(boxes, NAMES.values()):
        tab.fill("#identity-name", name)
        tab.press("#identity-name", "Enter")
        page.click((x1 + x2) / 2, (y1 + y2) / 2)
        tab.wait_for_selector("#box-size:has-text('pixels')")
        tab.fill("#take-count", "5")
        tab.click("#take-track")
        page.says(f"saved for {name}")
        tab.click("#name-track")
        page.says(f"is now {name}")


def label_and_follow(page: Any) -> None:
    tab = page.page
    tab.click("[data-tool=keypoints]")
    tab.wait_for_selector(f"#canvas[data-items='{FRAME}']")
    tab.fill("#instance-name", "white coat")
    tab.press("#instance-name", "Enter")
    page.zoom(200, 250, 550)
    for name, place in BODY.items():
        tab.fill("#point-name", name)
        tab.press("#point-name", "Enter")
        page.click(*place)
    assert "left_hand / right_hand" in follow_and_wait(page)
    page.go(FRAME - 6)
    tab.wait_for_selector(f"#canvas[data-items='{FRAME - 6}']")


def follow_and_wait(page: Any) -> str:
    tab = page.page
    tab.keyboard.press("o")
    for place in COAT:
        page.click(*place)
    page.click(*COAT[0])  # closes it
    tab.select_option("#follow-backend", "gradient")
    tab.click("#follow")  # saves first
    tab.wait_for_selector("#follow-result:has-text('frames')", timeout=60_000)
    tab.keyboard.press("v")
    return str(tab.inner_text("#pairs"))
