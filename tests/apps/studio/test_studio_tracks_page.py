"""Correcting tracks by hand, as a person does it, in a real browser."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clips import write_clip
from mot_dinov3.apps.evaluation import evaluate
from mot_dinov3.formats import format_registry
from scenes import Scene, boxes_at

pytestmark = pytest.mark.slow
MEETING = 25  # frame of the scene in which its two boxes overlap
PHONE = {"width": 390, "height": 844}
PAGES = ("tracks", "gallery", "keypoints", "similarity")

Row = list[str]  # of MOTChallenge text


def renumbered(rows: list[Row], new_id: Callable[[int, str], str]) -> list[Row]:
    """Rows with other ids, made from the frame (from 0) and the id."""
    return [[row[0], new_id(int(row[0]) - 1, row[1]), *row[2:]] for row in rows]


def damage_pets(rows: list[Row]) -> list[Row]:
    """One swap, one track in two parts, one with a gap, and two people with one id."""
    exchanged = {"9": "15", "15": "9"}
    rows = renumbered(rows, lambda frame, track: exchanged.get(track, track) if frame >= 50 else track)
    rows = renumbered(rows, lambda frame, track: "16" if track == "18" else track)
    rows = renumbered(rows, lambda frame, track: "50" if track == "13" and frame >= 200 else track)
    rows = [row for row in rows if not (row[1] == "12" and 100 <= int(row[0]) - 1 < 112)]
    return renumbered(rows, lambda frame, track: "51" if track == "12" and frame >= 112 else track)


def write_rows(path: Path, rows: list[Row]) -> Path:
    path.write_text("".join(",".join(row) + "\n" for row in rows))
    return path


def select_two(page: Any, one: list[float], other: list[float]) -> None:
    """Click a box, and another one with the Shift key."""
    page.click((one[0] + one[2]) / 2, (one[1] + one[3]) / 2)
    page.page.keyboard.down("Shift")
    page.click((other[0] + other[2]) / 2, (other[1] + other[3]) / 2)
    page.page.keyboard.up("Shift")


def chosen(page: Any) -> list[int]:
    return [int(row.get_attribute("data-track")) for row in page.page.locator("#chosen li[data-track]").all()]


def row(number: int) -> dict[str, float]:
    """The label of a row of the timeline, relative to its corner."""
    return {"x": 30.0, "y": 18 + 15 * number + 7.0}


def boxes_are_here(page: Any, frame: int, revision: int) -> None:
    page.page.wait_for_selector(f"#canvas[data-boxes='{frame}'][data-revision='{revision}']")


def test_swap_split_merge_and_link_correct_a_result_on_pets(
    serve: Callable[..., str], page: Any, shared: Path, tmp_path: Path
) -> None:
    data = shared / "data/tracking"
    truth = tmp_path / "gt.txt"
    truth.write_bytes((data / "PETS09-S2L1/gt/gt.txt").read_bytes())
    rows = [line.split(",") for line in truth.read_text().split()]
    damaged = write_rows(tmp_path / "damaged.txt", damage_pets(rows))
    before = damaged.read_bytes()
    assert evaluate(truth, damaged)["COMBINED"].switches >= 4
    page.open(serve("--video", data / "vtest.avi", "--tracks", damaged))
    tab = page.page
    tab.click("#pick-truth")
    tab.click("#chooser-list button:has-text('gt.txt')")
    tab.wait_for_selector("#scores tr[data-when=before] td[data-key=switches]:not(:text-is('0'))")

    # The swap: two clicks and a key.
    page.go(50)
    boxes_are_here(page, 50, 0)
    box = {row[1]: [float(v) for v in row[2:6]] for row in csv.reader(damaged.open()) if row[0] == "51"}
    corners = {track: [x, y, x + w, y + h] for track, (x, y, w, h) in box.items()}
    select_two(page, corners["9"], corners["15"])
    assert chosen(page) == [9, 15]
    page.zoom(430, 230, 400)
    page.pictures("studio-tracks", top="#chosen")
    tab.keyboard.press("x")
    page.says("Swapped tracks 9 and 15 from frame 50 on")

    # Two people with one id: a click and a key.
    page.go(504)
    boxes_are_here(page, 504, 1)
    box = next(row for row in rows if row[:2] == ["505", "18"])
    page.click(float(box[2]) + float(box[4]) / 2, float(box[3]) + float(box[5]) / 2)
    assert chosen(page) == [16]
    tab.keyboard.press("s")
    page.says("Split track 16 at frame 504")

    # The two parts of a track, then the gap: the next places to review, each with two keys.
    for key, tracks, said in (("m", [13, 50], "Merged track 50 into 13"), ("l", [12, 51], "Merged track 51 into 12")):
        tab.keyboard.press("n")
        tab.wait_for_selector(f"#chosen li[data-track='{tracks[1]}']")
        assert chosen(page) == tracks
        tab.keyboard.press(key)
        page.says(said)
    tab.keyboard.press("Control+s")
    page.says("Saved")
    tab.click("#score")
    tab.wait_for_selector("#scores[data-revision='5'] tr[data-when=after] td[data-key=switches]:text-is('0')")
    scores = evaluate(truth, tmp_path / "damaged.corrected.txt")["COMBINED"]
    assert scores.switches == 0
    assert scores.idf1 == pytest.approx(evaluate(truth, truth)["COMBINED"].idf1, abs=0.2)
    assert damaged.read_bytes() == before


@pytest.fixture
def swapped(scene: Scene, tmp_path: Path) -> Path:
    """The tracks of the scene as track-v1, exchanged from the frame of their meeting on."""
    frames = []
    for number in range(scene.frames):
        ids = ("1", "2") if number < MEETING else ("2", "1")
        records = [
            {"bbox": box, "score": 0.9, "class_id": 0, "class_name": "box", "track_id": track}
            for box, track in zip(boxes_at(number), ids)
        ]
        frames.append({"frame": number, "file": f"{number:06d}.jpg", "detections": records})
    video = {"path": "scene.mp4", "fps": 10.0, "frame_count": scene.frames, "width": 160, "height": 120}
    path = tmp_path / "tracked.json"
    path.write_text(json.dumps({"schema_version": "track-v1", "video": video, "frames": frames}))
    return path


def open_scene(serve: Callable[..., str], page: Any, scene: Scene, tracks: Path) -> str:
    address = serve("--video", scene.video, "--tracks", tracks)
    page.open(address)
    boxes_are_here(page, 0, 0)
    return address


def test_every_edit_by_button_and_key_with_undo_and_another_tab(
    serve: Callable[..., str], page: Any, scene: Scene, swapped: Path, tmp_path: Path
) -> None:
    address = open_scene(serve, page, scene, swapped)
    tab = page.page
    tab.wait_for_selector("#timeline[data-rows='1,2']")

    # Swap, undo and redo.
    page.go(MEETING)
    boxes_are_here(page, MEETING, 0)
    tab.click("#next-place")
    tab.wait_for_selector("#chosen li:nth-child(2)")
    assert sorted(chosen(page)) == [1, 2]
    page.go(MEETING)
    tab.click("#do-swap")
    page.says("Swapped tracks")
    tab.keyboard.press("Control+z")
    page.says("Undone: swapped tracks")
    tab.wait_for_selector("#undo-edit:disabled")
    tab.keyboard.press("Control+y")
    boxes_are_here(page, MEETING, 3)

    # One track, selected in the timeline: split, name, class, link, delete.
    tab.locator("#timeline").click(position=row(0))
    tab.wait_for_selector("#chosen li:nth-child(1):last-child")
    (one,) = chosen(page)
    page.go(10)
    tab.keyboard.press("s")
    page.says(f"Split track {one} at frame 10")
    assert chosen(page) == [one, 3]
    tab.keyboard.press("r")
    tab.keyboard.type("Ann")
    tab.keyboard.press("Enter")
    page.says(f"Named track {one} Ann")
    tab.keyboard.press("c")
    tab.keyboard.type("person")
    tab.keyboard.press("Enter")
    page.says(f"Changed the class of track {one} to person")
    tab.keyboard.press("m")
    page.says(f"Merged track 3 into {one}")
    page.go(35)
    tab.keyboard.press("Shift+Delete")
    page.says(f"Deleted track {one} from frame 35 to its end")
    tab.wait_for_selector("#edits-count:text-is('6')")

    # What cannot be done says why, and changes nothing.
    tab.keyboard.press("Shift+Delete")
    page.says("has no box there")
    tab.wait_for_selector("#edits-count:text-is('6')")

    # A new tab finds the page as it was: the frame, the selection, the edits that no file has yet.
    other = tab.context.new_page()
    other.goto(address)
    other.wait_for_selector("body[data-ready]")
    other.wait_for_selector("#canvas[data-frame='35']")
    other.wait_for_selector(f"#chosen li[data-track='{one}']:has-text('Ann')")
    other.wait_for_selector("#edits-count:text-is('6')")
    assert "no file has yet" in other.inner_text("#save-state")

    # An edit of the other tab is not overwritten by this one.
    other.keyboard.press("Control+z")
    other.wait_for_selector("#edits-count:text-is('5')")
    tab.keyboard.press("Delete")
    page.says("edited in another tab")
    tab.wait_for_selector("#edits-count:text-is('5')")
    other.close()

    # Saved in three formats; a file of somebody else is replaced only when asked for.
    (tmp_path / "tracked.corrected.csv").write_text("kept")
    for name in ("track-v1", "MOT", "CSV"):
        tab.select_option("#save-format", label=name)
        tab.click("#save-tracks")
        if name == "CSV":
            tab.click("#ask button:has-text('Cancel')")
            assert (tmp_path / "tracked.corrected.csv").read_text() == "kept"
            tab.click("#save-tracks")
            tab.click("#ask-yes")
        page.says("corrected")
        tab.wait_for_selector("#save-state:has-text('All edits are saved')")
        tab.locator(".toast").evaluate_all("all => all.forEach(one => one.remove())")
    for suffix in (".json", ".txt", ".csv"):
        path = tmp_path / f"tracked.corrected{suffix}"
        assert format_registry.read_any(path).frames[20].track_id.size == 2
        assert evaluate(scene.gt, path)["COMBINED"].switches == 0
    assert "no file" not in tab.inner_text("#save-state")
    assert json.loads((tmp_path / "tracked.corrected.json").read_text())["frames"][0]["detections"][0]["gallery_id"]


def test_filters_and_the_timeline(serve: Callable[..., str], page: Any, scene: Scene, swapped: Path) -> None:
    open_scene(serve, page, scene, swapped)
    tab = page.page
    tab.wait_for_selector("#timeline[data-rows='1,2']")
    tab.click("summary:has-text('Filter')")
    tab.fill("#filter-text", "2")
    tab.wait_for_selector("#timeline[data-rows='2']")
    assert tab.inner_text("#filter-facts") == "1 of 2 tracks"
    tab.fill("#filter-text", "")
    tab.fill("#filter-length", "41")
    tab.wait_for_selector("#timeline[data-rows='']")
    tab.fill("#filter-length", "0")
    width = tab.locator("#timeline").bounding_box()["width"]
    tab.locator("#timeline").click(position=row(1) | {"x": 92 + (width - 92) / 2})
    tab.wait_for_selector("#chosen li[data-track='2']")
    page.shows_frame(20)  # in the middle of the timeline
    tab.keyboard.press("]")
    page.shows_frame(39)
    tab.keyboard.press("[")
    page.shows_frame(0)
    tab.click("#next-place")
    open_places = int(tab.inner_text("#places-count"))
    tab.keyboard.press("Enter")
    tab.wait_for_selector(f"#places-count:text-is('{open_places - 1}')")
    tab.reload()
    tab.wait_for_selector(f"#places-count:text-is('{open_places - 1}')")


def test_the_moments_of_a_report_and_what_is_not_saved_are_there_in_a_new_tab(
    serve: Callable[..., str], page: Any, scene: Scene, swapped: Path, tmp_path: Path
) -> None:
    moment = {"risk": 0.99, "time": 1.2, "track_id": 2, "other_id": 0, "text": "is re-identified after 1 s"}
    data = json.dumps({"moments": [moment]})
    (tmp_path / "report.html").write_text(f'<script type="application/json" id="data">{data}</script>')
    address = open_scene(serve, page, scene, swapped)
    tab = page.page
    tab.click("#pick-report")
    tab.click("#chooser-list button:has-text('report.html')")
    tab.click("#places tr[data-kind=report]:has-text('track 2 is re-identified')")
    page.shows_frame(12)
    assert chosen(page) == [2]
    tab.click("summary:has-text('Filter')")
    tab.fill("#filter-length", "40")
    tab.wait_for_selector("#timeline[data-rows='2,1']")
    tab.click("[data-tool=keypoints]")
    tab.wait_for_selector("#canvas[data-items='12']")
    for field, text in (("#instance-name", "box"), ("#point-name", "corner")):
        tab.fill(field, text)
        tab.press(field, "Enter")
    page.click(40, 40)
    tab.wait_for_selector("#label-facts:has-text('Not saved: frame 12')")
    other = tab.context.new_page()
    other.goto(address)
    other.wait_for_selector("#label-facts:has-text('Not saved: frame 12')")
    other.click("[data-tool=tracks]")
    other.wait_for_selector("#places tr[data-kind=report]")
    assert other.input_value("#filter-length") == "40"


def test_tracking_starts_on_the_page_and_opens_its_result(
    serve: Callable[..., str], page: Any, scene: Scene, tmp_path: Path
) -> None:
    for path in (scene.video, scene.dets):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    page.open(serve("--video", tmp_path / "scene.mp4"))
    tab = page.page
    tab.click("[data-tool=tracks]")
    tab.wait_for_selector("#hint:has-text('track this video')")
    tab.select_option("#start-detector", "recorded")
    assert tab.is_disabled("#start-tracking")
    tab.click("#start-dets")
    tab.click("#chooser-list button:has-text('scene.json')")
    tab.select_option("#start-embedder", "histogram")
    tab.click("#start-tracking")
    page.says("2 tracks in 40 frames")
    tab.wait_for_selector("#timeline[data-rows='1,2']")
    assert (tmp_path / "scene.tracks.json").is_file()

    # Another run does not replace that result. A cancelled one has the frames so far.
    tab.click("#start-tracking")
    page.says("scene.tracks-2.json")
    write_clip(tmp_path / "long.mp4", 800, size=(640, 480))
    tab.click("#pick-video")
    tab.click("#chooser-list button:has-text('long.mp4')")
    tab.wait_for_selector("#scrub[max='799']")
    tab.select_option("#start-detector", "motion")
    tab.click("#start-tracking")
    tab.locator(".job[data-kind=track]:has-text('/ 800') button").dispatch_event("click")
    page.says("Cancelled")
    tab.wait_for_selector("#start-tracking:enabled")
    assert 1 <= len(format_registry.read_any(tmp_path / "long.tracks.json").frames) < 800


def test_two_themes_and_a_phone(serve: Callable[..., str], browser: Any, scene: Scene, swapped: Path) -> None:
    address = serve("--video", scene.video, "--tracks", swapped)
    backgrounds = {}
    for scheme in ("dark", "light"):
        context = browser.new_context(viewport=PHONE, color_scheme=scheme, has_touch=True)
        tab = context.new_page()
        tab.set_default_timeout(60_000)
        tab.goto(address)
        tab.wait_for_selector("body[data-ready]")
        for name in PAGES:
            tab.click(f"[data-tool={name}]")
            tab.wait_for_selector(f"section.shown[data-panel={name}]")
            assert tab.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], name
            wide = tab.locator("aside button:visible, header button:visible, aside input:visible").evaluate_all(
                "all => all.filter(one => one.getBoundingClientRect().right > innerWidth + 1).map(one => one.id)"
            )
            assert wide == [], name
        backgrounds[scheme] = tab.evaluate("getComputedStyle(document.body).backgroundColor")
        # Without a keyboard: the second track is chosen with a button.
        tab.click("[data-tool=tracks]")
        tab.wait_for_selector("#timeline[data-rows='1,2']")
        tab.locator("#timeline").tap(position=row(0))
        tab.wait_for_selector("#chosen li[data-track='1']")
        tab.click("#add-second")
        tab.locator("#timeline").tap(position=row(1))
        tab.wait_for_selector("#chosen li[data-track='2']:nth-child(2)")
        assert tab.is_enabled("#do-swap")
        tab.click("#theme")
        assert tab.evaluate("getComputedStyle(document.body).backgroundColor") != backgrounds[scheme]
        tab.reload()  # the choice is kept
        tab.wait_for_selector("body[data-ready]")
        assert tab.evaluate("document.documentElement.dataset.theme") == ("light" if scheme == "dark" else "dark")
        context.close()
    assert backgrounds["dark"] != backgrounds["light"]
