"""Drawing: what changes in the frame, and what must not."""

from __future__ import annotations

import numpy as np
import pytest

from mot_dinov3.core.errors import ConfigError
from mot_dinov3.core.structures import Detections, Image, TrackState, TrackView
from mot_dinov3.viz import DrawConfig, contact_sheet, draw_frame, label_of, track_color

GREY = 90
PERSON = {0: "person"}
THIN = DrawConfig(line_thickness=1, font_scale=0.4)


def blank(height: int = 200, width: int = 300) -> Image:
    return np.full((height, width, 3), GREY, np.uint8)


def rows(*boxes: tuple[float, float, float, float], **columns: object) -> Detections:
    n = len(boxes)
    filled = {"track_id": np.arange(1, n + 1), "state": np.full(n, TrackState.CONFIRMED), **columns}
    return Detections(np.array(boxes, np.float32), **filled)  # type: ignore[arg-type]


def lost_view(track_id: int, box: tuple[float, float, float, float]) -> TrackView:
    one = np.ones(1, np.int64)
    xyxy = np.array([box], np.float32)
    return TrackView(one, one * track_id, one * TrackState.LOST, xyxy, one > 1, None, -one, one * 0)


def draw(detections: Detections, *, lost: TrackView | None = None, config: DrawConfig = THIN) -> Image:
    return draw_frame(blank(), detections, lost=lost or TrackView.empty(), names=PERSON, config=config)


def changed(image: Image) -> np.ndarray:
    return (image != GREY).any(2)


def has_color(image: Image, track_id: int) -> np.ndarray:
    return (image == track_color(track_id)).all(2)


def test_nothing_to_draw_leaves_the_image_as_it_is() -> None:
    assert not changed(draw(Detections.empty())).any()


def test_the_given_image_is_not_touched() -> None:
    image = blank()
    out = draw_frame(image, rows((50, 60, 100, 160)), lost=TrackView.empty(), names=PERSON, config=THIN)
    assert (image == GREY).all()
    assert out is not image


def test_a_box_covers_its_first_and_last_pixels_and_nothing_inside() -> None:
    out = draw(rows((50, 60, 100, 160)))
    ink = has_color(out, 1)
    assert ink[60, 50:100].all()
    assert ink[159, 50:100].all()
    assert ink[60:160, 50].all()
    assert ink[60:160, 99].all()
    assert not changed(out)[61:159, 51:99].any()
    assert not changed(out)[161:].any()


def test_the_smoothed_box_is_drawn_where_there_is_one() -> None:
    out = draw(rows((50, 60, 100, 160), track_xyxy=np.array([[150, 60, 200, 160]], np.float32)))
    assert has_color(out, 1)[60:160, 150].all()
    assert not changed(out)[:, 50:140].any()


def test_colors_belong_to_ids_not_to_rows() -> None:
    first = draw(rows((50, 60, 100, 160), track_id=np.array([7])))
    later = draw(rows((10, 60, 40, 160), (50, 60, 100, 160), track_id=np.array([3, 7])))
    assert has_color(first, 7)[60:160, 50].all()
    assert has_color(later, 7)[60:160, 50].all()


def test_neighbouring_ids_have_clearly_different_colors() -> None:
    for track_id in range(1, 200):
        nearby = [track_color(track_id + k) for k in range(1, 5)]
        assert min(np.abs(np.subtract(track_color(track_id), other)).sum() for other in nearby) > 100


def test_rows_without_a_track_are_not_drawn_and_tentative_ones_are_thin_grey() -> None:
    boxes = (50, 60, 100, 160), (150, 60, 200, 160)
    states = np.array([TrackState.NONE, TrackState.TENTATIVE])
    out = draw(rows(*boxes, track_id=np.array([-1, -1]), state=states), config=DrawConfig(line_thickness=5))
    assert not changed(out)[:, :149].any()
    assert np.ptp(out[60, 150:200].astype(int), axis=1).max() == 0
    assert changed(out)[60, 150:200].all()
    assert not changed(out)[62:158, 152:198].any()


def test_a_coasted_box_is_broken_and_a_lost_one_is_drawn_only_when_wanted() -> None:
    box = (50, 60, 150, 160)
    wanted = DrawConfig(draw_lost=True, line_thickness=1, font_scale=0.4)
    whole = has_color(draw(rows(box)), 1)[159, 50:150].sum()
    coasted = has_color(draw(rows(box, coasted=np.array([True]))), 1)[159, 50:150].sum()
    lost = has_color(draw(Detections.empty(), lost=lost_view(1, box), config=wanted), 1)[159, 50:150].sum()
    assert 0 < coasted < lost < whole
    assert not changed(draw(Detections.empty(), lost=lost_view(1, box))).any()


def test_a_track_that_is_coasted_is_not_drawn_as_lost_as_well() -> None:
    box = (50, 60, 150, 160)
    wanted = DrawConfig(draw_lost=True, line_thickness=1, font_scale=0.4)
    row = rows(box, coasted=np.array([True]))
    np.testing.assert_array_equal(draw(row, lost=lost_view(1, box), config=wanted), draw(row, config=wanted))


@pytest.mark.parametrize("box", [(250, 1, 299, 60), (-40, -30, 30, 50), (280, 180, 340, 240)])
def test_a_label_stays_whole_at_the_edges(box: tuple[float, float, float, float]) -> None:
    middle = has_color(draw(rows((100, 80, 160, 160))), 1)[:79].sum()
    out = has_color(draw(rows(box)), 1)
    assert out.sum() >= middle  # its plate is there, in full, if not above the box then upon it


def test_labels_tell_id_class_and_freshness() -> None:
    fresh = rows((0, 0, 9, 9), track_id=np.array([7]), fresh=np.array([True]), class_id=np.array([2]))
    assert label_of(fresh, 0, {}) == "ID 7 *"
    assert label_of(fresh, 0, {2: "car"}) == "ID 7 *"
    assert label_of(fresh, 0, {0: "person", 2: "car"}) == "ID 7 car *"
    assert label_of(rows((0, 0, 9, 9), class_id=np.array([5])), 0, {0: "person", 2: "car"}) == "ID 1"


def test_a_label_names_whom_the_gallery_recognised() -> None:
    known = rows((0, 0, 9, 9), track_id=np.array([7]), gallery_id=np.array(["Anna"], object))
    assert label_of(known, 0, {}) == "ID 7 Anna"


def test_names_beyond_ascii_are_written_with_their_accents() -> None:
    seen = rows((50, 60, 100, 160), class_id=np.array([0]))
    accented, plain = (
        draw_frame(blank(), seen, lost=TrackView.empty(), names={0: name, 1: "x"}, config=THIN)
        for name in ("piétonne", "pietonne")
    )
    assert (accented != plain).any()


def test_boxes_that_are_no_boxes_or_lie_outside_are_harmless() -> None:
    boxes = (np.nan, 0, 10, 10), (50, 60, 50, 160), (-900, -900, -800, -800), (1e9, 1e9, 2e9, 2e9)
    assert not changed(draw(rows(*boxes))).any()


def test_sizes_follow_the_image_unless_given() -> None:
    def ink(scale: int, config: DrawConfig) -> int:
        image = blank(200 * scale, 300 * scale)
        found = rows(tuple(v * scale for v in (50, 60, 150, 160)))  # type: ignore[arg-type]
        out = draw_frame(image, found, lost=TrackView.empty(), names={}, config=config)
        return int(has_color(out, 1)[150 * scale, : 100 * scale].sum())

    assert ink(8, DrawConfig()) > ink(1, DrawConfig())
    assert ink(8, THIN) == ink(1, THIN) == 1


@pytest.mark.parametrize("values", [{"line_thickness": -1}, {"font_scale": -0.5}, {"font_scale": float("nan")}])
def test_impossible_sizes_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(values))):
        DrawConfig(**values)  # type: ignore[arg-type]


def test_a_contact_sheet_holds_each_image_in_reading_order() -> None:
    images = [np.full((90, 160, 3), value, np.uint8) for value in (10, 60, 110)]
    sheet = contact_sheet(images, columns=2, width=344, gap=8)
    assert sheet.shape == (8 + 2 * 98, 344, 3)
    assert sheet[50, 80, 0] == 10
    assert sheet[50, 250, 0] == 60
    assert sheet[150, 80, 0] == 110
    assert (sheet[150, 250] == 255).all()


def test_a_contact_sheet_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="images"):
        contact_sheet([])
