"""The studio's decisions: what it may touch, how crops are named, which are chosen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mot_dinov3.apps.studio.access import OutsideRootsError, Roots, refusal
from mot_dinov3.apps.studio.config import StudioConfig, StudioOptions
from mot_dinov3.apps.studio.gallery_editor import GalleryEditor, completeness, crop_window, next_crop_name, usable_name
from mot_dinov3.apps.studio.jobs import Job, Jobs
from mot_dinov3.apps.studio.requests import Request
from mot_dinov3.apps.studio.server import address, given_folders
from mot_dinov3.apps.studio.session import SharedCache, Studio
from mot_dinov3.apps.studio.track_index import TrackIndex
from mot_dinov3.core.errors import InputError
from mot_dinov3.features import crop_quality
from mot_dinov3.models.devices import DeviceConfig

# -- roots -------------------------------------------------------------------------------------------------------------


def test_only_what_lies_below_a_root_may_be_touched(tmp_path: Path) -> None:
    root, outside = tmp_path / "in", tmp_path / "out"
    (root / "a").mkdir(parents=True)
    outside.mkdir()
    (root / "link").symlink_to(outside)
    (root / "inner").symlink_to(root / "a")
    (root / "round").symlink_to(root / "round")
    roots = Roots([root, root / "a"])
    assert roots.folders == (root,)
    assert roots.check(str(root / "a" / "new.jpg")) == root / "a" / "new.jpg"
    assert roots.check("a/b") == root / "a" / "b"
    assert roots.check(str(root / "inner" / "x")) == root / "a" / "x"
    escapes = [
        str(outside),
        "/etc/passwd",
        "../out",
        f"{root}/../out",
        str(root / "link" / "x"),
        f"{root}-2",
        "a/../../out",
        "",
        "a\0b",
    ]
    for path in [*escapes, "..\\out", str(root / "round" / "x")]:
        with pytest.raises(OutsideRootsError):
            roots.check(path)


def test_paths_given_at_the_start_are_roots_of_their_own() -> None:
    config = StudioConfig(source="/a/b.mp4", gallery="/g/people", tracks="/t/tracked.json")
    assert given_folders(config) == [Path("/a"), Path("/t"), Path("/g/people")]


# -- requests ----------------------------------------------------------------------------------------------------------

JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    ("method", "path", "headers", "word"),
    [
        ("GET", "/api/start", {"host": "127.0.0.1:8000"}, ""),
        ("GET", "/api/start", {"host": "localhost:9000", "sec-fetch-site": "same-origin"}, ""),
        ("GET", "/api/start", {"host": "[::1]:9000"}, ""),
        ("POST", "/api/cancel", {"host": "localhost:9", "origin": "http://localhost:9", **JSON}, ""),
        ("GET", "/", {"host": "localhost:9", "sec-fetch-site": "cross-site", "sec-fetch-dest": "document"}, ""),
        ("GET", "/", {"host": "localhost:9", "sec-fetch-site": "cross-site", "sec-fetch-dest": "iframe"}, "another"),
        ("GET", "/api/start", {"host": "evil.example:8000"}, "address"),
        ("GET", "/api/start", {"host": "127.0.0.1.evil.example"}, "address"),
        ("GET", "/api/start", {}, "address"),
        ("GET", "/api/frame", {"host": "localhost:9", "sec-fetch-site": "cross-site"}, "another"),
        ("GET", "/api/frame", {"host": "localhost:9", "sec-fetch-site": "same-site"}, "another"),
        ("POST", "/api/cancel", {"host": "localhost:9", "origin": "https://evil.example", **JSON}, "may not"),
        ("POST", "/api/cancel", {"host": "localhost:9", "origin": "http://localhost:10", **JSON}, "may not"),
        ("POST", "/api/cancel", {"host": "localhost:9", "origin": "null", **JSON}, "may not"),
        ("POST", "/api/cancel", {"host": "localhost:9", "content-type": "text/plain"}, "JSON"),
    ],
)  # fmt: skip
def test_only_the_studios_own_page_may_use_it(method: str, path: str, headers: dict[str, str], word: str) -> None:
    why = refusal(method, path, headers, token=None)
    assert (word in why) if word else why == ""


def test_with_a_token_any_name_of_the_computer_will_do_but_no_other_origin() -> None:
    assert refusal("GET", "/api/start", {"host": "gpu.lab:8000"}, token="t") == ""
    assert refusal("GET", "/api/start", {"host": "gpu.lab:8000", "origin": "http://evil.example"}, token="t")


def test_the_address_that_is_printed() -> None:
    assert address("127.0.0.1", 81, None) == "http://127.0.0.1:81/"
    assert address("::1", 81, None) == "http://[::1]:81/"
    assert address("10.0.0.5", 81, "abc") == "http://10.0.0.5:81/?token=abc"


def test_a_model_is_a_file_below_the_roots_or_a_plain_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, current = tmp_path / "root", tmp_path / "current"
    for folder in (root, current):
        folder.mkdir()
    (root / "own.pt").touch()
    (current / "other.pt").touch()
    monkeypatch.chdir(current)
    studio = Studio(StudioOptions(StudioConfig(), DeviceConfig()), Roots([root]))
    found = {text: studio.model(Request({"weights": text}), "weights") for text in ("own.pt", "a/b", "", "~/x.pt")}
    assert found == {"own.pt": str(root / "own.pt"), "a/b": "a/b", "": None, "~/x.pt": str(root / "~" / "x.pt")}
    for text in ("other.pt", "/etc/passwd", "../current/other.pt"):
        with pytest.raises(OutsideRootsError):
            studio.model(Request({"model": text}))
    studio.close()


# -- crops -------------------------------------------------------------------------------------------------------------


def test_crops_count_on_from_the_highest_number() -> None:
    assert next_crop_name("anna", []) == "anna_00000.jpg"
    assert (
        next_crop_name("anna", ["anna_00002.jpg", "anna_00007.png", "anna_x.jpg", "bob_00009.jpg"]) == "anna_00008.jpg"
    )
    assert next_crop_name("a+b", ["a+b_00000.jpg"]) == "a+b_00001.jpg"


@pytest.mark.parametrize("name", ["", "  ", "..", "a/b", "a\\b", ".hidden", "a:b", "x\ny", "n" * 101, "end.", "a?"])
def test_names_that_cannot_be_folders_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="cannot be used"):
        usable_name(name)


def test_names_in_any_script_can_be_used() -> None:
    assert [usable_name(n) for n in (" anna ", "Zoë B.2", "李雷")] == ["anna", "Zoë B.2", "李雷"]


def test_a_box_becomes_whole_pixels_within_the_picture() -> None:
    assert crop_window([10.4, 5.6, 40.5, 50.2], (100, 80)) == (10, 6, 40, 50)
    assert crop_window([-20, -9, 30, 200], (100, 80)) == (0, 0, 30, 80)
    assert crop_window([40, 50, 10, 5], (100, 80)) == (10, 5, 40, 50)
    with pytest.raises(InputError, match="too small"):
        crop_window([95, 0, 300, 80], (100, 80))


def test_somebody_cut_by_the_edge_is_hardly_taken() -> None:
    assert completeness([10, 10, 30, 60], (100, 80)) == 1
    assert {completeness(b, (100, 80)) for b in ([0, 9, 9, 40], [9, 9, 99, 40], [9, 1, 20, 40], [9, 9, 20, 85])} == {
        0.2
    }


def test_what_is_undone_or_deleted_is_in_the_trash_and_comes_back(tmp_path: Path) -> None:
    editor = GalleryEditor(tmp_path / "g")
    assert editor.identities() == {}
    first, second = editor.save("a", [b"1", b"2"])
    assert [p.name for p in (first, second)] == ["a_00000.jpg", "a_00001.jpg"]
    editor.delete(second)
    assert editor.identities() == {"a": [first]}
    third = editor.save("a", [b"3"])[0]
    assert third.name == "a_00001.jpg"
    assert editor.undo() == "saving a_00001.jpg"
    assert editor.undo() == "deleting a_00001.jpg"
    assert second.read_bytes() == b"2"
    assert editor.undo() == "saving 2 crops of a"
    assert editor.identities() == {"a": []}
    trash = sorted(p.read_bytes() for p in (tmp_path / "g" / ".trash").rglob("*.jpg"))
    assert trash == [b"1", b"2", b"3"]
    with pytest.raises(InputError, match="nothing to undo"):
        editor.undo()


def test_a_crop_that_comes_back_keeps_clear_of_one_saved_since(tmp_path: Path) -> None:
    editor = GalleryEditor(tmp_path)
    path = editor.save("a", [b"old"])[0]
    editor.delete(path)
    (tmp_path / "a" / "a_00000.jpg").write_bytes(b"somebody else's")
    editor.undo()
    assert {p.name: p.read_bytes() for p in (tmp_path / "a").iterdir()} == {
        "a_00000.jpg": b"somebody else's",
        "a_00001.jpg": b"old",
    }


# -- selection and check -----------------------------------------------------------------------------------------------


def test_blur_lowers_sharpness_and_size_hardly_matters() -> None:
    import cv2

    image = np.random.default_rng(0).integers(0, 255, (40, 20, 3)).astype(np.uint8)
    image = cv2.resize(image, (100, 200), interpolation=cv2.INTER_CUBIC)
    soft = cv2.GaussianBlur(image, (0, 0), 6)
    assert crop_quality.sharpness(soft) < 0.3 * crop_quality.sharpness(image)
    double = cv2.resize(image, (200, 400), interpolation=cv2.INTER_CUBIC)
    assert crop_quality.sharpness(double) == pytest.approx(crop_quality.sharpness(image), rel=0.15)
    assert crop_quality.sharpness(np.full((30, 12, 3), 77, np.uint8)) == 0


def test_chosen_crops_are_sharp_and_unlike_each_other() -> None:
    angle = np.radians([0, 2, 90, 91, 45, 180])
    rows = np.stack([np.cos(angle), np.sin(angle)], 1).astype(np.float32)
    sharp = np.array([1.0, 0.9, 0.95, 0.8, 0.1, 0.05])
    assert crop_quality.select_diverse(sharp, rows, 2).tolist() == [0, 2]
    assert crop_quality.select_diverse(sharp, rows, 1).tolist() == [0]
    assert sorted(crop_quality.select_diverse(sharp, rows, 9).tolist()) == list(range(6))
    assert crop_quality.select_diverse(sharp[:0], rows[:0], 3).tolist() == []


def test_boxes_looked_at_are_spread_over_the_track() -> None:
    assert crop_quality.evenly_spaced(3, 10).tolist() == [0, 1, 2]
    assert crop_quality.evenly_spaced(101, 5).tolist() == [0, 25, 50, 75, 100]
    assert crop_quality.evenly_spaced(0, 5).tolist() == []


def test_a_picture_in_the_wrong_folder_shows() -> None:
    angle = np.radians([0, 10, 88, 90, 95])
    rows = np.stack([np.cos(angle), np.sin(angle)], 1).astype(np.float32)
    found = crop_quality.nearest_neighbours(rows, np.array([0, 0, 0, 1, 1]))
    assert [crop_quality.verdict(a, b) for a, b in zip(found.own, found.other)] == [
        "good",
        "good",
        "wrong",
        "wrong",
        "good",
    ]
    assert found.other_at.tolist() == [3, 3, 3, 2, 2]
    assert found.between[0, 1] == found.between[1, 0] == pytest.approx(1 - np.cos(np.radians(2)), abs=1e-6)
    alone = crop_quality.nearest_neighbours(rows[:2], np.array([0, 1]))
    assert np.isnan(alone.own).all()
    assert crop_quality.verdict(float(alone.own[0]), 0.5) == "alone"


def test_crops_of_a_track_leave_out_where_another_box_overlaps(tmp_path: Path) -> None:
    lines = [f"{n},1,{10 * n},50,40,80,1\n{n},2,100,60,40,80,1\n" for n in range(1, 21)]
    (tmp_path / "tracks.txt").write_text("".join(lines))
    found = TrackIndex(tmp_path / "tracks.txt").track_boxes(1)
    free = found.free()
    assert free.frames == [0, 1, 2, 3, 4, 5, 13, 14, 15, 16, 17, 18, 19]  # the two overlap from x = 70 to 130
    assert free.boxes[:, 0].tolist() == [10 * (n + 1) for n in free.frames]
    assert free.covered.max() <= 0.05
    with pytest.raises(InputError, match="cannot store names"):
        TrackIndex(tmp_path / "tracks.txt").name(1, "Ann")


# -- open files --------------------------------------------------------------------------------------------------------


def test_a_changed_file_replaces_the_one_that_is_open_and_few_stay_open() -> None:
    dropped: list[str] = []
    cache = SharedCache[str](2, on_drop=dropped.append)
    assert cache.get("a", lambda: "a1", stamp="1") == cache.get("a", lambda: "again", stamp="1") == "a1"
    assert cache.get("a", lambda: "a2", stamp="2") == "a2"
    assert dropped == ["a1"]
    for key in ("b", "c"):
        cache.get(key, lambda key=key: key)
    assert dropped == ["a1", "a2"]
    cache.clear()
    assert dropped == ["a1", "a2", "b", "c"]


# -- jobs --------------------------------------------------------------------------------------------------------------


def test_a_job_can_be_followed_cancelled_and_is_not_started_twice() -> None:
    import threading

    jobs, begun, release = Jobs(), threading.Event(), threading.Event()

    def work(job: Job) -> str:
        begun.set()
        release.wait(10)
        job.check(1, 2)
        return "never"

    job = jobs.start("kind", "Title", work, subject="a")
    assert begun.wait(10)
    assert jobs.start("kind", "Title", work, subject="a") is job
    job.cancelled.set()
    release.set()
    assert job.finished.wait(10)
    assert job.to_json()["state"] == "cancelled"
    quick = jobs.start("kind", "Title", lambda job: 42, subject="a", wait_s=10)
    assert (quick.to_json()["state"], quick.to_json()["result"]) == ("done", 42)
    jobs.close()


def test_what_goes_wrong_in_a_job_is_told() -> None:
    jobs = Jobs()

    def wrong(job: Job) -> None:
        raise InputError("bad", remedy="mend it")

    def bug(job: Job) -> None:
        raise ZeroDivisionError

    assert jobs.start("a", "", wrong, subject="", wait_s=10).to_json()["error"] == {
        "message": "bad",
        "remedy": "mend it",
    }
    failed = jobs.start("b", "", bug, subject="", wait_s=10).to_json()
    assert (failed["state"], "bug" in failed["error"]["message"]) == ("failed", True)
    jobs.close()
