"""Boxes were found and no track began: one notice with the figure and the option, and the option helps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mot_dinov3 import track

Rows = list[tuple[int, float, float]]  # frame, x, score


def slow(score: float, every: int = 1, first: int = 0) -> Rows:
    return [(t, 100.0 + t, score) for t in range(first, 60, every)]


def run(folder: Path, rows: Rows, **options: Any) -> tuple[int, list[str]]:
    """Track boxes of 40 × 40 pixels; return the number of identities and the notices on them."""
    dets = folder / "dets.txt"
    dets.write_text("".join(f"{t + 1},-1,{x},100,40,40,{score},-1,-1,-1\n" for t, x, score in rows))
    result = track(dets=str(dets), fps=25, embedder="none", video=False, save_mot=str(folder / "t.txt"), **options)
    return result.counts.tracks, [notice for notice in result.notices if "no track began" in notice]


CASES: list[tuple[Rows, str, dict[str, Any]]] = [
    (slow(0.25), "highest score is 0.25, a track needs --new-score 0.3", {"new_score": 0.2, "high_score": 0.2}),
    (slow(0.25), "--new-score 0.2 --high-score 0.2", {"new_score": 0.2, "high_score": 0.2}),
    (slow(0.9, every=5), "--detect-every 5", {"detect_every": 5}),
    (slow(0.9, every=7, first=2), "--detect-every 7 --start-frame 2", {"detect_every": 7, "start_frame": 2}),
    ([(t, 48.0 * t, 0.9) for t in range(30)], "--start-noise 37", {"start_noise": 37.0}),
]


@pytest.mark.parametrize(
    ("rows", "words", "cure"), CASES, ids=["scores", "low scores", "every 5th", "every 7th", "fast"]
)
def test_the_notice_names_the_option_that_helps(tmp_path: Path, rows: Rows, words: str, cure: dict[str, Any]) -> None:
    tracks, notices = run(tmp_path, rows, fast_objects=False)
    assert tracks == 0
    (notice,) = notices
    assert notice.startswith(f"{len(rows)} boxes were found and no track began: ")
    assert words in notice
    assert run(tmp_path, rows, fast_objects=False, **cure) == (1, [])


@pytest.mark.parametrize("cure", [{"new_score": 0.47, "high_score": 0.47}, {"new_score": "auto"}, {}])
def test_a_threshold_that_is_given_is_obeyed_and_the_notice_names_auto(tmp_path: Path, cure: dict[str, Any]) -> None:
    _, (notice,) = run(tmp_path, slow(0.59), new_score=0.6)
    assert "highest score is 0.59, a track needs --new-score 0.6" in notice
    assert notice.endswith("--new-score 0.47 --high-score 0.47, or --new-score auto")
    assert run(tmp_path, slow(0.59), **cure) == (1, [])


def test_the_hybrid_tracker_names_its_own_option(tmp_path: Path) -> None:
    _, (notice,) = run(tmp_path, slow(0.5), tracker="gallery_hybrid")
    assert "--track-thresh 0.32" in notice
    assert run(tmp_path, slow(0.5), tracker="gallery_hybrid", track_thresh=0.32)[0] == 1


def test_one_box_is_one(tmp_path: Path) -> None:
    _, (notice,) = run(tmp_path, [(0, 100.0, 0.9)])
    assert notice.startswith("1 box was found and no track began: a track needs a box in several frames")


@pytest.mark.parametrize("rows", [[], slow(0.9)], ids=["no boxes", "a track"])
def test_no_notice_where_nothing_is_missing(tmp_path: Path, rows: Rows) -> None:
    assert run(tmp_path, rows)[1] == []


def test_objects_too_fast_for_any_option(tmp_path: Path) -> None:
    _, (notice,) = run(tmp_path, [(t, 160.0 * t, 0.9) for t in range(30)])
    assert "4.0 box sizes away; objects this fast need more frames per second" in notice


@pytest.mark.parametrize("every", [1, 2])
def test_a_lowered_threshold_is_told(tmp_path: Path, every: int) -> None:
    dets = tmp_path / "dets.txt"
    dets.write_text("".join(f"{t + 1},-1,{x},100,40,40,{score},-1,-1,-1\n" for t, x, score in slow(0.47, every)))
    options: dict[str, Any] = {"dets": str(dets), "fps": 25, "embedder": "none", "video": False, "detect_every": every}
    lowered = "the detector's scores are low: tracks start from 0.30 (--new-score auto), not --new-score 0.6"
    assert lowered in track(**options, save_mot=str(tmp_path / "auto.txt")).notices
    assert lowered not in track(**options, save_mot=str(tmp_path / "fixed.txt"), new_score=0.4).notices


def test_a_threshold_below_the_lowest_one_lowers_that_too(tmp_path: Path) -> None:
    _, (notice,) = run(tmp_path, slow(0.05))
    assert notice.endswith("to track them: --new-score 0.04 --high-score 0.04 --low-score 0.04")
    assert run(tmp_path, slow(0.05), new_score=0.04, high_score=0.04, low_score=0.04) == (1, [])


def test_boxes_below_conf_are_told(tmp_path: Path) -> None:
    dets = tmp_path / "d.txt"
    dets.write_text("".join(f"{t},-1,{100 + t},100,40,40,0.45,-1,-1,-1\n" for t in range(1, 9)))
    line = f"none of the 8 boxes of '{dets}' reaches --conf 0.5: the highest score is 0.45"
    for conf, told in ((0.5, True), (0.45, False), (None, False)):
        result = track(
            dets=str(dets), fps=25, embedder="none", video=False, save_mot=str(tmp_path / "t.txt"), conf=conf
        )
        assert (line in result.notices) == told
