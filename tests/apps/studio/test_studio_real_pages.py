"""The pages Gallery, Keypoints, Similarity and Identities in a real browser on real videos; docs/images shows them."""

from __future__ import annotations

import csv
import json
import math
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import pytest

from mot_dinov3.apps.identities.identity_store import open_store
from mot_dinov3.apps.studio.label_store import LabelStore
from mot_dinov3.apps.studio.shapes import LabelShape
from mot_dinov3.cli import main
from mot_dinov3.core.structures import VideoInfo
from mot_dinov3.keypoints.job.files import KeypointPaths
from mot_dinov3.video import SourceConfig, VideoWriter, open_source

pytestmark = pytest.mark.slow
FRAMES = (550, 580, 595, 607)  # of vtest.avi, in which these three people are seen whole
NAMES = {"3": "red sleeves", "4": "fair hair", "18": "open jacket"}
CONES = (300, 197), (44, 182)  # traffic cones of the same size in that frame
LABELLED, SHOWN = 0, 20  # frames of the flies
PARTS = {
    "morning": 0,
    "noon": 250,
    "evening": 500,
}  # first frames of parts of vtest.avi, as if they were videos of three days
PART = 100 if "MOT_SCREENSHOTS" in os.environ else 40  # frames of each

Places = dict[tuple[int, str, str], tuple[float, float]]


def test_the_crops_of_three_people_make_a_gallery(
    serve: Callable[..., str], page: Any, shared: Path, tmp_path: Path
) -> None:
    data = shared / "data/tracking"
    truth = shutil.copyfile(data / "PETS09-S2L1/gt/gt.txt", tmp_path / "tracks.txt")
    rows = [line.split(",") for line in truth.read_text().split()]
    page.open(serve("--video", data / "vtest.avi", "--gallery-root", tmp_path / "people", "--tracks", truth))
    tab = page.page
    tab.click("[data-tool=gallery]")
    for track, name in NAMES.items():
        tab.fill("#identity-name", name)
        tab.press("#identity-name", "Enter")
        for number, frame in enumerate(FRAMES):
            x, y, width, height = next([float(v) for v in r[2:6]] for r in rows if r[:2] == [str(frame + 1), track])
            page.go(frame)
            tab.wait_for_selector(f"#canvas[data-boxes='{frame}']")
            page.click(x + width / 2, y + height / 2)
            tab.wait_for_selector("#box-size:has-text('pixels')")
            tab.keyboard.press("Enter")
            tab.wait_for_selector(f"img[alt='{name}_{number:05}.jpg']")
    page.picture("studio-gallery")
    assert {path.name for path in (tmp_path / "people").glob("*/*.jpg")} == {
        f"{name}_{number:05}.jpg" for name in NAMES.values() for number in range(len(FRAMES))
    }


def test_a_patch_of_a_cone_is_most_similar_to_another_cone(
    serve: Callable[..., str], page: Any, shared: Path, tmp_path: Path
) -> None:
    shutil.copyfile(shared / "models/yolov8n.pt", tmp_path / "yolov8n.pt")
    page.open(serve("--video", shared / "data/tracking/vtest.avi"))
    tab = page.page
    tab.click("[data-tool=similarity]")
    page.go(FRAMES[-1])
    tab.select_option("#similar-backend", "convnet")
    tab.select_option("#similar-side", "768")
    page.click(*CONES[0])
    tab.wait_for_selector(f"#similar-result[data-frame='{FRAMES[-1]}']")
    page.picture("studio-similarity")
    for cone, found in zip(CONES, tab.locator("#peaks dd").all_inner_texts()[:2], strict=True):
        assert [float(v) for v in re.findall(r"[\d.]+", found)][1:] == pytest.approx(cone, abs=8)


@pytest.fixture
def flies(shared: Path, tmp_path: Path) -> Path:
    """The beginning of a video of two flies, all points of its first frame labelled."""
    video = tmp_path / "flies.mp4"
    config = SourceConfig(str(shared / "data/animals/two_flies_b.mp4"), end_frame=SHOWN + 5)
    with open_source(config) as source, VideoWriter(video, info=source.info) as writer:
        for frame in source:
            writer.write(frame.pixels(), frame.time)
    capture = cv2.VideoCapture(str(video))
    image = capture.read()[1]
    capture.release()
    points = [
        LabelShape("point", animal, part, [[x, y]], -1)
        for (frame, animal, part), (x, y) in places(shared).items()
        if frame == LABELLED
    ]
    paths = KeypointPaths(video, video.with_suffix(""), (image.shape[1], image.shape[0]))
    LabelStore(paths).save(LABELLED, points, revision="", image=image)
    return video


def places(shared: Path) -> Places:
    """Where a person saw the points: by frame, animal and point."""
    with (shared / "data/animals/two_flies_b.truth.csv").open() as file:
        return {
            (int(row["frame"]), row["instance"], row["keypoint"]): (float(row["x"]), float(row["y"]))
            for row in csv.DictReader(file)
        }


def test_the_points_of_two_flies_are_followed(serve: Callable[..., str], page: Any, shared: Path, flies: Path) -> None:
    truth = places(shared)
    tab = page.labelling(serve("--video", flies), LABELLED)
    tab.select_option("#follow-backend", "gradient")
    tab.click("#follow")
    tab.wait_for_selector("#follow-result:has-text('frames')", timeout=120_000)
    page.go(SHOWN)
    tab.wait_for_selector(f"#canvas[data-items='{SHOWN}']")
    page.zoom(505, 225, 1100)
    tab.locator("#instance-name").scroll_into_view_if_needed()
    tab.mouse.move(1100, 780)
    page.picture("studio-keypoints")
    with (flies.with_suffix("") / "flies_keypoints.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if int(row["frame"]) == SHOWN and row["state"] == "visible"]
    found = {(SHOWN, row["instance"], row["keypoint"]): (float(row["x"]), float(row["y"])) for row in rows}
    errors = sorted(math.dist(found[point], truth[point]) for point in found.keys() & truth.keys())
    assert len(errors) >= 12
    assert errors[len(errors) // 2] < 4


def write_part(shared: Path, name: str, first: int) -> None:
    """Write a part of vtest.avi as a video of its own, and its ground truth as detections."""
    data = shared / "data/tracking"
    capture = cv2.VideoCapture(str(data / "vtest.avi"))
    capture.set(cv2.CAP_PROP_POS_FRAMES, first)
    info = VideoInfo(f"{name}.mp4", 768, 576, 10.0, PART)
    with VideoWriter(Path(f"{name}.mp4"), info=info) as writer:
        for number in range(PART):
            writer.write(capture.read()[1], number / info.fps)
    capture.release()
    frames: list[list[dict[str, Any]]] = [[] for _ in range(PART)]
    for line in (data / "PETS09-S2L1/gt/gt.txt").read_text().split():
        number, _, x, y, width, height = (float(v) for v in line.split(",")[:6])
        if first < number <= first + PART:
            box = {"bbox": [x, y, x + width, y + height], "score": 1.0, "class_id": 0, "class_name": "person"}
            frames[int(number) - 1 - first].append(box)
    records = [{"frame": n, "file": f"{n:06d}.jpg", "detections": boxes} for n, boxes in enumerate(frames)]
    Path(f"{name}.json").write_text(json.dumps({"schema_version": "det-v1", "frames": records}))


def test_the_people_of_three_videos_are_identities(
    serve: Callable[..., str], page: Any, shared: Path, elsewhere: None
) -> None:
    for name, first in PARTS.items():
        write_part(shared, name, first)
    weights = shared / "models/osnet_x0_25_msmt17.pt"
    words = [
        "identify",
        *(f"{name}.mp4" for name in PARTS),
        "--dets",
        "{name}.json",
        "--embedder",
        "osnet",
        "--no-progress",
    ]
    words += ["--embed-model", str(weights), "--cpu", "--registry", "people", "--out-dir", "out"]
    assert main(words) == 0
    with open_store(Path("people")) as store:
        several = sorted(store.identity_names(), key=lambda name: -len(store.tracklets(name)))
    page.open(serve("--registry", "people", "--root", Path.cwd(), "--root", shared / "models"))
    tab = page.page
    tab.wait_for_selector(".suggestion")
    tab.click(f".person[data-name='{several[0]}'] .open")
    tab.wait_for_selector(f"#registry-title:text-is('{several[0]}')")
    tab.set_input_files("#search-file", sorted(Path("people", several[1]).glob("*.jpg"))[0])
    tab.locator("#search-results .found").first.wait_for()
    assert tab.locator("#search-results .found").first.get_attribute("data-name") == several[1]
    tab.locator("#registry-undo").scroll_into_view_if_needed()
    page.picture("studio-identities")
    tab.click("#registry-close")
    tab.locator("#registry-undo").scroll_into_view_if_needed()
    page.picture("studio-identities-suggestions")
    tab.set_viewport_size({"width": 390, "height": 844})
    tab.evaluate("scrollTo(0, 0)")
    page.picture("studio-identities-phone")
