"""Labelling, following and correcting, as a person does it, in a real browser on a real video."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mot_dinov3.formats import labelme
from mot_dinov3.video import VideoWriter
from mot_dinov3.video.random_access import open_random_access

pytestmark = pytest.mark.slow
FRAMES = 40
FIRST = 999  # of two_flies
FLY = {"abdomen": (377.25, 422.25), "head": (451.25, 430.75), "thorax": (409.25, 425.25)}
AROUND = [(352, 400), (400, 396), (450, 410), (462, 430), (452, 450), (400, 452), (352, 446), (340, 422)]


@pytest.fixture
def flies(shared: Path, tmp_path: Path) -> Path:
    """A piece of two_flies, from its labelled frame on, in a folder of their own, without labels."""
    path = tmp_path / "flies.mp4"
    whole = shared / "data/keypoints/two_flies/two_flies.mp4"
    frames = open_random_access(whole)
    with VideoWriter(path, info=frames.info) as writer:
        for n in range(FRAMES):
            writer.write(frames.image(FIRST + n), n / frames.info.fps)
    frames.close()
    return path


def point_at(page: Any, name: str) -> tuple[float, float]:
    """Where the page has a point of the shown frame."""
    video = page.page.evaluate("new URLSearchParams(location.hash.slice(1)).get('video')")
    number = page.page.get_attribute("#canvas", "data-frame")
    page.page.wait_for_selector(f"#canvas[data-items='{number}']")
    answer = page.page.evaluate(
        "async ([video, n]) => (await fetch(`/api/keypoints/frame?${new URLSearchParams({video, n})}`)).json()",
        [video, number],
    )
    return tuple(next(item["points"][0] for item in answer["items"] if item["name"] == name))


def follow(page: Any) -> str:
    page.page.evaluate("document.querySelector('#follow-result').textContent = ''")
    page.page.click("#follow")
    page.page.wait_for_selector("#follow-result:has-text('frames')", timeout=60_000)
    return page.page.inner_text("#follow-result")


def test_label_follow_correct_and_follow_again(serve: Callable[..., str], page: Any, flies: Path) -> None:
    page.open(serve("--video", flies))
    tab, folder = page.page, flies.parent / "flies"
    tab.click("[data-tool=keypoints]")
    tab.wait_for_selector("#canvas[data-items='0']")
    tab.wait_for_selector("#hint:has-text('name of a point')")
    tab.fill("#instance-name", "female")
    tab.press("#instance-name", "Enter")
    for name, place in FLY.items():
        tab.fill("#point-name", name)
        tab.press("#point-name", "Enter")
        page.click(*place)
    assert tab.locator("#names .set").count() == 3
    tab.click("[data-mode=polygon]")
    for place in AROUND:
        page.click(*place)
    tab.keyboard.press("Enter")
    tab.reload()  # what is not saved yet survives
    tab.wait_for_selector("body[data-ready]")
    tab.wait_for_selector("#label-facts:has-text('Not saved: frame 0')")
    tab.keyboard.press("Control+s")
    page.says("Saved the labels of frame 0")
    path = labelme.frame_path(folder, "flies", 0)
    document = json.loads(path.read_text())
    assert (document["imagePath"], document["imageData"]) == ("flies_000000000.png", None)
    assert (folder / "flies_000000000.png").is_file()
    assert [(s["shape_type"], s["label"], s["instance_label"], s["group_id"]) for s in document["shapes"]] == [
        *(("point", name, "female", 1) for name in FLY),
        ("polygon", "female", "female", 1),
    ]
    for shape in document["shapes"][:3]:
        assert shape["points"][0] == pytest.approx(FLY[shape["label"]], abs=0.6)  # half a pixel of the screen
    tab.select_option("#follow-backend", "gradient")
    assert re.match(rf"frames +{FRAMES}, of which 0 reused", follow(page))
    with (folder / "flies_keypoints.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 3 * FRAMES
    # a correction: only the point that was dragged becomes a person's
    page.go(20)
    tab.keyboard.press("v")
    before = point_at(page, "head")
    page.drag(before, (before[0] + 5, before[1] - 4))
    tab.wait_for_selector("#label-facts:has-text('Not saved: frame 20')")
    tab.keyboard.press("Control+s")
    page.says("Saved the labels of frame 20")
    (shape,) = json.loads(labelme.frame_path(folder, "flies", 20).read_text())["shapes"]
    assert shape["label"] == "head"
    assert shape["points"][0] == pytest.approx((before[0] + 5, before[1] - 4), abs=1.2)
    follow(page)
    assert point_at(page, "head") == pytest.approx(tuple(shape["points"][0]))
    page.go(32)
    before = point_at(page, "thorax")
    page.drag(before, (before[0] - 6, before[1]))
    tab.wait_for_selector("#label-facts:has-text('Not saved: frame 32')")
    reused = re.search(r"of which (\d+) reused", follow(page))  # saves first
    assert reused
    assert int(reused[1]) == 20  # what lies before the frame that was corrected first
    tab.wait_for_selector("#label-facts a >> nth=2")
    tab.locator("#review tr").first.click()
    page.shows_frame(int(tab.locator("#review tr").first.get_attribute("data-frame")))
    box = tab.locator("#strip").bounding_box()
    tab.mouse.click(box["x"] + box["width"] - 1, box["y"] + 10)
    page.shows_frame(FRAMES - 1)


def test_a_run_survives_a_reload_and_can_be_cancelled(
    serve: Callable[..., str], page: Any, shared: Path, tmp_path: Path
) -> None:
    data = shared / "data/keypoints/two_flies"
    video = Path(shutil.copy(data / "two_flies.mp4", tmp_path))
    shutil.copytree(data / "two_flies", tmp_path / "two_flies")
    page.open(serve("--video", video))
    tab = page.page
    tab.click("[data-tool=keypoints]")
    tab.wait_for_selector("#names button >> nth=4")  # what is labelled already names the points
    tab.select_option("#follow-backend", "gradient")
    tab.click("#follow")
    tab.wait_for_selector(".job:has-text('/ 1500')")
    tab.reload()
    tab.wait_for_selector(".job:has-text('/ 1500')")
    tab.locator(".job button").click()
    page.says("Cancelled")
    tab.wait_for_selector(".job", state="detached")
    with (tmp_path / "two_flies" / "two_flies_keypoints.csv").open() as file:
        frames = {int(row["frame"]) for row in csv.DictReader(file)}
    assert 999 in frames  # the labelled one
    assert len(frames) < 1500
