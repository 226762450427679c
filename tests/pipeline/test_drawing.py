"""What a run draws is in its frames: boxes, trails, lines, counts and the HUD, each where it is asked for."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path

import av
import numpy as np
import pytest

from mot_dinov3.cli import main
from mot_dinov3.core.errors import ConfigError
from mot_dinov3.core.structures import Detections, Frame, Image, TrackState, TrackView
from mot_dinov3.core.timing import StageTimer
from mot_dinov3.pipeline.counting import RegionCounter
from mot_dinov3.pipeline.drawing import DrawnOnce, FrameDrawer, HudMeter
from mot_dinov3.pipeline.regions import Region
from mot_dinov3.scheduler import SchedulerConfig
from mot_dinov3.viz import DrawConfig, Trails, label_of, track_color
from mot_dinov3.viz import frame as frame_module
from scenes import FPS, HEIGHT, WIDTH, boxes_at

LINE = Region("line 1", np.array([[250.0, 20.0], [250.0, 180.0]]))


def walk(index: int) -> Detections:
    """Track 7, 8 px a frame to the right."""
    left = 40 + 8 * index
    rows = Detections(np.array([[left, 60, left + 30, 140]], np.float32), track_id=np.array([7]))
    return rows.replace(state=np.full(1, int(TrackState.CONFIRMED)))


def drawn(**parts: object) -> Image:
    """Frame 9 of `walk` as a `FrameDrawer` with these parts draws it onto grey."""
    drawer = FrameDrawer(DrawConfig(line_thickness=1), {}, TrackView.empty, Trails(0))
    drawer = dataclasses.replace(drawer, **parts)  # type: ignore[arg-type]
    given = np.full((200, 300, 3), 90, np.uint8)
    for index in range(10):
        image = drawer(Frame(index, index / FPS, given), walk(index))
    assert (given == 90).all(), "the frame itself stays as it is"
    return image


def test_the_box_is_drawn_in_its_tracks_colour() -> None:
    image = drawn()
    assert (image[60:140, 112] == track_color(7)).all()
    assert (image[60:140, 141] == track_color(7)).all()
    assert (image[150:] == 90).all()


@pytest.mark.parametrize(
    ("parts", "where"),
    [
        ({"detected_because": lambda _: "refresh"}, np.s_[185:, :40]),
        ({"trails": Trails(9)}, np.s_[135:145, 60:100]),
        ({"counter": RegionCounter([LINE], FPS)}, np.s_[100:180, 245:255]),
        ({"hud": HudMeter(SchedulerConfig(), StageTimer(), second_pass=False)}, np.s_[:40, :60]),
        ({"lost": lambda: lost_at((200, 150, 240, 190))}, np.s_[150:190, 200:240]),
    ],
    ids=["reason", "trail", "line", "HUD", "lost"],
)
def test_what_is_asked_for_is_drawn_beside_the_box(parts: dict[str, object], where: tuple[slice, slice]) -> None:
    parts = {"config": DrawConfig(line_thickness=1, draw_lost=True), **parts}
    without, image = drawn(), drawn(**parts)
    assert (without[where] == 90).all()
    assert (image[where] != 90).any()
    assert (image[60:140, 141] == track_color(7)).all()


def test_no_boxes_leaves_the_label_and_no_labels_leaves_the_box() -> None:
    side, plate = np.s_[70:140, 112], np.s_[40:60, 112:130]
    label_only = drawn(config=DrawConfig(line_thickness=1, boxes=False))
    assert (label_only[side] == 90).all()
    assert (label_only[plate] != 90).any()
    box_only = drawn(config=DrawConfig(line_thickness=1, labels="none"))
    assert (box_only[side] == track_color(7)).all()
    assert (box_only[plate] == 90).all()


@pytest.mark.parametrize("chosen", [None, [7], [3]])
def test_only_the_chosen_tracks_are_drawn_and_counted_and_all_are_anonymized(chosen: list[int] | None) -> None:
    ids = None if chosen is None else np.array(chosen)
    counter = RegionCounter([Region("line 1", np.array([[100.0, 20.0], [100.0, 180.0]]))], FPS)
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (200, 300, 3), np.uint8)
    drawer = FrameDrawer(DrawConfig(line_thickness=1, anonymize="pixelate"), {}, TrackView.empty, Trails(0), counter)
    drawer = dataclasses.replace(drawer, chosen=ids)
    for index in range(10):
        image = drawer(Frame(index, index / FPS, noise), walk(index))
    is_chosen = chosen != [3]
    assert (image[60:140, 141] == track_color(7)).all() == is_chosen
    assert sum(counter.counts()[0].left.values()) + sum(counter.counts()[0].entered.values()) == int(is_chosen)
    assert (image[80:120, 115:138] != noise[80:120, 115:138]).mean() > 0.9, "hidden, drawn or not"


@pytest.mark.parametrize(
    ("labels", "text"),
    [("", "ID 7 Anna car *"), ("id", "ID 7"), ("class,score", "car 0.83"), ("score id", "0.83 ID 7"), ("none", ""),
     ("name", "Anna")],
)  # fmt: skip
def test_the_parts_of_a_label_are_chosen(labels: str, text: str) -> None:
    rows = walk(0).replace(
        score=np.array([0.834]), class_id=np.array([2]), fresh=np.array([True]), gallery_id=np.array(["Anna"], object)
    )
    assert label_of(rows, 0, {0: "person", 2: "car"}, parts=DrawConfig(labels=labels).label_parts) == text


def test_a_part_that_labels_do_not_have_is_refused() -> None:
    with pytest.raises(ConfigError, match="labels must be some of id, class, score, name, or none"):
        DrawConfig(labels="id,colour")


def test_the_label_of_a_track_in_a_zone_ends_with_its_time_there(monkeypatch: pytest.MonkeyPatch) -> None:
    zone = Region("hall", np.array([[0.0, 0.0], [300.0, 0.0], [300.0, 200.0], [0.0, 200.0]]))
    shown: list[str] = []
    monkeypatch.setattr(frame_module, "draw_labels", lambda canvas, labels, pen: shown.extend(x.text for x in labels))
    drawer = FrameDrawer(DrawConfig(), {}, TrackView.empty, Trails(0), RegionCounter([zone], 2.0))
    for index in range(7):
        drawer(Frame(index, index / 2, np.zeros((200, 300, 3), np.uint8)), walk(index))
    assert shown == [f"ID 7 {seconds} s" for seconds in (0, 0, 1, 2, 2, 2, 3)]


def test_a_frame_for_two_sinks_is_drawn_once_and_counted_once() -> None:
    counter = RegionCounter([LINE], FPS)
    drawer = DrawnOnce(FrameDrawer(DrawConfig(), {}, TrackView.empty, Trails(0), counter))
    frame = Frame(3, 0.3, np.zeros((200, 300, 3), np.uint8))
    first = drawer(frame, walk(3))
    assert drawer(frame, walk(3)) is first
    drawer.skip(frame, walk(3))
    drawer.skip(dataclasses.replace(frame, index=4), walk(4))
    again = drawer(dataclasses.replace(frame, index=5), walk(5))
    assert again is not first


@pytest.mark.usefixtures("elsewhere")
def test_the_outputs_hold_the_chosen_tracks_only(scene) -> None:
    given = ["--source", str(scene.video), "--dets", str(scene.dets), "--embedder", "histogram", "--no-progress"]
    files = ["--save-mot", "t.txt", "--save-csv", "t.csv", "--save-json", "t.json", "--save-dets", "d.json"]
    assert main([*given, *files, "--no-video"]) == 0
    whole = {name: Path(name).read_text() for name in ("t.txt", "t.csv", "t.json", "d.json")}
    ids = sorted({line.split(",")[1] for line in whole["t.txt"].splitlines()}, key=int)
    assert len(ids) > 1
    for link in ([], ["--link"]):
        assert main([*given, *files, *link, "--no-video", "--track-ids", ids[-1]]) == 0
        assert {line.split(",")[1] for line in Path("t.txt").read_text().splitlines()} == {ids[-1]}
        assert {row["track_id"] for row in csv.DictReader(Path("t.csv").read_text().splitlines())} == {ids[-1]}
        assert Path("d.json").read_text().count('"bbox') == whole["d.json"].count('"bbox')
    assert main([*given, "--no-video", "--track-ids", "3,x"]) == 2


def lost_at(box: tuple[float, float, float, float]) -> TrackView:
    one = np.ones(1, np.int64)
    return TrackView(one, one * 9, one * TrackState.LOST, np.array([box], np.float32), one > 1, None, -one, one * 0)


@pytest.mark.usefixtures("elsewhere")
def test_the_video_of_a_run_shows_the_boxes_of_its_tracks(scene) -> None:
    given = ["--source", str(scene.video), "--dets", str(scene.dets), "--embedder", "histogram", "--no-progress"]
    assert main([*given, "--output", "t.mp4", "--end-frame", "12", "--line-thickness", "4"]) == 0
    frames = []
    for path in ("t.mp4", str(scene.video)):
        with av.open(path) as video:
            frames.append([frame.to_ndarray(format="bgr24").astype(int) for frame in video.decode(video=0)])
    assert (len(frames[0]), frames[0][10].shape) == (12, (HEIGHT, WIDTH, 3))
    shown, before = frames[0][10], frames[1][10]
    for track_id, (x1, y1, x2, y2) in enumerate(np.array(boxes_at(10), int).tolist(), 1):
        for x in (x1 + 1, x2 - 3):  # the video has one colour for two by two pixels
            side = np.s_[y1 + 20 : y2 - 5, x : x + 2]
            off, undrawn = (np.abs(image[side] - track_color(track_id)).mean() for image in (shown, before))
            assert off < 15 < 40 < undrawn, (track_id, x)
    assert np.abs(shown - before)[100:].mean() < 3
