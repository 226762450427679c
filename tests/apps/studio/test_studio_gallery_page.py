"""The gallery builder as a person uses it, in a real browser on a real video."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from mot_dinov3.video import SourceConfig, open_source

pytestmark = pytest.mark.slow


def frame_of(video: Path, number: int) -> np.ndarray:
    with open_source(SourceConfig(source=str(video), start_frame=number, end_frame=number + 1)) as frames:
        return next(iter(frames)).pixels()


def misfit(crop: np.ndarray, image: np.ndarray, x: int, y: int) -> float:
    height, width = crop.shape[:2]
    return float(np.abs(crop.astype(int) - image[y : y + height, x : x + width]).mean())


def write_tracks(gt: Path, path: Path) -> Path:
    """Write MOTChallenge truth as track-v1."""
    frames: dict[int, list[dict[str, Any]]] = {}
    for line in gt.read_text().splitlines():
        number, track, x, y, w, h = (float(v) for v in line.split(",")[:6])
        record = {"bbox": [x, y, x + w, y + h], "score": 1.0, "class_id": 0, "track_id": str(int(track))}
        frames.setdefault(int(number) - 1, []).append(record)
    written = [{"frame": n, "file": f"{n:06d}.jpg", "detections": rows} for n, rows in sorted(frames.items())]
    document = {"schema_version": "track-v1", "parent_schema_version": "det-v1", "tracker": {}, "frames": written}
    path.write_text(json.dumps(document))
    return path


def counts(page: Any) -> dict[str, int]:
    rows = page.locator("#identities > li")
    rows.first.wait_for()
    return {row.get_attribute("data-name"): int(row.locator(".count").inner_text()) for row in rows.all()}


def test_two_identities_in_a_minute(serve: Callable[..., str], page: Any, shared: Path, tmp_path: Path) -> None:
    video, root = shared / "data/tracking/vtest.avi", tmp_path / "people"
    page.open(serve("--video", video, "--gallery-root", root))
    page.shows_frame(0)
    tab = page.page
    tab.wait_for_selector("#hint:has-text('name')")
    assert tab.is_disabled("#save-crop")
    tab.fill("#identity-name", "anna")
    tab.press("#identity-name", "Enter")
    tab.wait_for_selector("#hint:has-text('Drag a box around anna')")
    assert not root.exists()  # made at the first save
    page.drag((200, 100), (260, 240))
    assert tab.inner_text("#box-size") == "60 × 140 pixels"
    tab.keyboard.press("Enter")
    page.says("Saved anna_00000.jpg")
    tab.fill("#identity-name", "bob")
    tab.press("#identity-name", "Enter")
    page.go(300)
    page.zoom(500, 300, 800)
    assert float(tab.get_attribute("#canvas", "data-scale")) > 2
    page.drag((480.3, 270.2), (521.4, 355.3))
    tab.wait_for_selector("#box-size:has-text('41 × 85 pixels')")
    tab.click("#save-crop")
    page.says("Saved bob_00000.jpg")
    tab.click("#zoom-fit")
    page.drag((300, 200), (350, 300))
    tab.keyboard.press("Enter")
    page.says("Saved bob_00001.jpg")
    assert counts(tab) == {"anna": 1, "bob": 2}
    tab.keyboard.press("Control+z")
    page.says("Undone")
    assert counts(tab) == {"anna": 1, "bob": 1}
    tab.keyboard.press("1")
    tab.wait_for_selector(".identity.chosen[data-name=anna]")
    tab.reload()
    tab.wait_for_selector("body[data-ready]")
    page.shows_frame(300)
    assert counts(tab) == {"anna": 1, "bob": 1}
    for key, frame in (("ArrowRight", 301), ("Shift+ArrowLeft", 291), ("End", 794), ("Home", 0)):
        tab.keyboard.press(key)
        page.shows_frame(frame)
    tab.keyboard.press("Space")
    tab.wait_for_selector("#canvas:not([data-frame='0'])")
    tab.keyboard.press("Space")
    tab.wait_for_selector("#play:has-text('▶')")
    assert sorted(p.relative_to(root).as_posix() for p in root.rglob("*.jpg")) == [
        ".trash/bob/bob_00001.jpg",
        "anna/anna_00000.jpg",
        "bob/bob_00000.jpg",
    ]
    for path, number, x, y, size in [
        ("anna/anna_00000.jpg", 0, 200, 100, (60, 140)),
        ("bob/bob_00000.jpg", 300, 480, 270, (41, 85)),
    ]:
        crop, image = cv2.imread(str(root / path)), frame_of(video, number)
        assert crop.shape[1::-1] == size
        exact = misfit(crop, image, x, y)
        assert exact < 3
        assert exact < 0.6 * min(misfit(crop, image, x + dx, y + dy) for dx, dy in [(1, 0), (-1, 0), (0, 1), (0, -1)])


def test_tracked_boxes_are_taken_named_and_checked(
    serve: Callable[..., str], page: Any, shared: Path, tmp_path: Path
) -> None:
    data, root = shared / "data/tracking", tmp_path / "people"
    tracks = write_tracks(data / "PETS09-S2L1/gt/gt.txt", tmp_path / "tracked.json")
    before = tracks.read_bytes()
    rows = {int(r["track_id"]): r["bbox"] for r in json.loads(before)["frames"][250]["detections"]}
    one, two = sorted(rows)[:2]
    page.open(serve("--video", data / "vtest.avi", "--gallery-root", root, "--tracks", tracks))
    tab = page.page
    page.go(250)
    tab.wait_for_selector("#canvas[data-boxes='250']")
    for number, name in ((one, "anna"), (two, "bob")):
        tab.fill("#identity-name", name)
        tab.press("#identity-name", "Enter")
        x1, y1, x2, y2 = rows[number]
        page.click((x1 + x2) / 2, (y1 + y2) / 2)
        tab.wait_for_selector(f"#track-number:text-is('{number}')")
        tab.fill("#take-count", "4")
        tab.click("#take-track")
        page.says(f"4 crops of track {number} saved for {name}")
        tab.click("#name-track")
        page.says(f"Track {number} is now {name}")
    tab.keyboard.press("Enter")  # the box itself
    page.says("Saved bob_00004.jpg")
    assert counts(tab) == {"anna": 4, "bob": 5}
    tab.click("#check-card summary")
    tab.click("#check")
    tab.wait_for_selector("#check-result:has-text('of 9 crops') , #check-result:has-text('All 9 crops')")
    page.click(sum(rows[one][::2]) / 2, sum(rows[one][1::2]) / 2)
    tab.wait_for_selector(".identity.chosen[data-name=anna]")  # the name of the track chooses
    odd = root / "anna" / "anna_00009.jpg"
    odd.write_bytes((root / "bob" / "bob_00000.jpg").read_bytes())
    tab.click("#check")
    tab.wait_for_selector("#check-result:has-text('is more similar to bob')")
    tab.locator("#check-result .thumb").first.hover()
    tab.locator("#check-result .thumb button").first.click()
    page.says("is in the trash")
    assert len(list((root / ".trash").rglob("*.jpg"))) == 1
    named = json.loads((tmp_path / "tracked.named.json").read_text())
    known = {r["track_id"]: r["gallery_id"] for f in named["frames"] for r in f["detections"] if "gallery_id" in r}
    assert known == {str(one): "anna", str(two): "bob"}
    assert tracks.read_bytes() == before
