"""What a run draws is in its frames: boxes, trails, lines, counts and the HUD, each where it is asked for."""

from __future__ import annotations

import dataclasses

import av
import numpy as np
import pytest

from mot_dinov3.cli import main
from mot_dinov3.core.structures import Detections, Frame, Image, TrackState, TrackView
from mot_dinov3.core.timing import StageTimer
from mot_dinov3.pipeline.counting import RegionCounter
from mot_dinov3.pipeline.drawing import FrameDrawer, HudMeter
from mot_dinov3.pipeline.regions import Region
from mot_dinov3.scheduler import SchedulerConfig
from mot_dinov3.viz import DrawConfig, Trails, track_color
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
        ({"trails": Trails(9)}, np.s_[135:145, 60:100]),
        ({"counter": RegionCounter([LINE], FPS)}, np.s_[100:180, 245:255]),
        ({"hud": HudMeter(SchedulerConfig(), StageTimer(), second_pass=False)}, np.s_[:40, :60]),
        ({"lost": lambda: lost_at((200, 150, 240, 190))}, np.s_[150:190, 200:240]),
    ],
    ids=["trail", "line", "HUD", "lost"],
)
def test_what_is_asked_for_is_drawn_beside_the_box(parts: dict[str, object], where: tuple[slice, slice]) -> None:
    parts = {"config": DrawConfig(line_thickness=1, draw_lost=True), **parts}
    without, image = drawn(), drawn(**parts)
    assert (without[where] == 90).all()
    assert (image[where] != 90).any()
    assert (image[60:140, 141] == track_color(7)).all()


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
