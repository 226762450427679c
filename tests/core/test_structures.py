"""The one currency: shapes are checked, rows can be chosen and joined."""

import numpy as np
import pytest

from mot_dinov3.core import boxes
from mot_dinov3.core.errors import MotError
from mot_dinov3.core.structures import Detections, Frame, Reason, TrackState
from mot_dinov3.formats.tracks_csv import TRACK_COLUMNS

THREE = np.array([[0, 0, 2, 2], [1, 1, 3, 3], [5, 5, 6, 9]], np.float32)


def test_left_out_columns_are_neutral():
    rows = Detections(THREE)
    assert rows.score.tolist() == [1, 1, 1]
    assert rows.track_id.tolist() == rows.class_id.tolist() == [-1, -1, -1]
    assert not rows.fresh.any()
    assert rows.embedding is None
    assert not rows.has_embedding.any()


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("score", [1, 2], r"score must have shape \(3,\), got \(2,\)"),
        ("embedding", np.zeros((2, 8)), r"embedding must have shape \(3, d\), got \(2, 8\)"),
        ("track_xyxy", np.zeros((3, 5)), r"track_xyxy must have shape \(3, 4\), got \(3, 5\)"),
    ],
)
def test_a_column_of_another_length_is_refused(column, value, message):
    with pytest.raises(MotError, match=message):
        Detections(THREE, **{column: value})


def test_boxes_of_another_width_are_refused():
    with pytest.raises(MotError, match="xyxy"):
        Detections(np.zeros((3, 5)))


@pytest.mark.parametrize("chosen", [[True, False, True], [0, 2], slice(0, 3, 2), np.array([0, 2])])
def test_rows_are_chosen_by_mask_indices_or_slice(chosen):
    rows = Detections(THREE, score=[0.1, 0.2, 0.3], embedding=np.eye(3), extra=[{"a": 1}, {}, None])[chosen]
    assert rows.score.tolist() == pytest.approx([0.1, 0.3])
    np.testing.assert_array_equal(rows.xyxy, THREE[[0, 2]])
    np.testing.assert_array_equal(rows.embedding, np.eye(3)[[0, 2]])
    assert rows.extra.tolist() == [{"a": 1}, None]


@pytest.mark.parametrize("nothing", [[], [False] * 3, slice(0, 0)])
def test_choosing_nothing_gives_an_empty_struct(nothing):
    assert len(Detections(THREE)[nothing]) == 0


def test_joining_fills_what_a_part_lacks_with_zeros():
    joined = Detections.concat([Detections(THREE), Detections(THREE[:1], embedding=np.ones((1, 2)))])
    assert len(joined) == 4
    assert joined.has_embedding.tolist() == [False, False, False, True]
    assert len(Detections.concat([])) == 0


def test_a_frame_without_a_picture_says_so():
    with pytest.raises(MotError, match="frame 7"):
        Frame(7, 0.1).pixels()


def test_iou_by_hand():
    overlap = boxes.iou(THREE, THREE)
    assert overlap[0].tolist() == pytest.approx([1, 1 / 7, 0])
    assert boxes.iou(np.zeros((1, 4), np.float32), THREE).tolist() == [[0, 0, 0]]


def test_a_pair_of_inverted_boxes_overlaps_nothing():
    inverted = np.array([[3, 3, 1, 1]], np.float32)
    assert boxes.area(inverted).tolist() == [0]
    assert boxes.iou(inverted, THREE).max() == 0


def test_usable_boxes_are_finite_and_have_a_size():
    odd = np.array([[0, 0, 1, 1], [0, 0, 0, 1], [1, 1, 0, 0], [0, 0, np.nan, 1], [0, 0, np.inf, 1]], np.float32)
    assert boxes.usable(odd).tolist() == [True, False, False, False, False]


def test_xywh_and_back():
    np.testing.assert_array_equal(boxes.from_xywh(boxes.to_xywh(THREE)), THREE)


def test_clip_to_the_picture():
    assert boxes.clip(np.array([[-5, 2, 50, 70]], np.float32), 40, 60).tolist() == [[0, 2, 40, 60]]


def test_gallery_columns_are_neutral_until_somebody_is_recognised_and_survive_joining():
    known = Detections(np.zeros((1, 4), np.float32), gallery_id=["Anna"], gallery_distance=[0.1], gallery_margin=[0.2])
    joined = Detections.concat([known, Detections(np.zeros((2, 4), np.float32))])
    assert joined.gallery_id.tolist() == ["Anna", None, None]
    assert np.isnan(joined.gallery_distance[1:]).all()
    assert joined.gallery_margin[0] == np.float32(0.2)
    assert joined[[2, 0]].gallery_id.tolist() == [None, "Anna"]


def finished_rows():
    return Detections(
        THREE,
        score=[0.9, 0.8, 0.7],
        class_id=[0, 2, -1],
        track_id=[4, -1, 7],
        state=[TrackState.CONFIRMED, TrackState.NONE, TrackState.LOST],
        reason=[Reason.CROWDED, Reason.NONE, Reason.REUSED],
        fresh=[True, False, False],
        coasted=[False, False, True],
        embedding=np.eye(3),
        track_xyxy=THREE + 1,
        gallery_id=["Ann", None, None],
        gallery_distance=[0.25, np.nan, np.nan],
        extra=[{"det_ind": 0}, None, None],
    )


def test_supervision_and_back_is_the_same_in_every_column():
    rows = finished_rows()
    theirs = rows.to_supervision()
    assert theirs.tracker_id.tolist() == [4, -1, 7]
    assert theirs.confidence.tolist() == pytest.approx([0.9, 0.8, 0.7])
    back = Detections.from_supervision(theirs[[2, 0, 1]])[[1, 2, 0]]
    for name, column in rows.columns().items():
        np.testing.assert_array_equal(getattr(back, name), column, err_msg=name)


def test_what_supervision_leaves_open_is_neutral():
    import supervision

    rows = Detections.from_supervision(supervision.Detections(THREE, data={"class_name": np.array(["a", "b", "c"])}))
    assert rows.score.tolist() == [1, 1, 1]
    assert rows.track_id.tolist() == rows.class_id.tolist() == [-1, -1, -1]
    assert len(Detections.from_supervision(supervision.Detections.empty())) == 0
    assert len(Detections.empty().to_supervision()) == 0


def test_class_names_go_to_supervision_and_stay_with_their_rows():
    rows = finished_rows().named({0: "person", 2: "car"})
    assert rows.class_name.tolist() == ["person", "car", ""]
    assert rows[[1, 0]].to_supervision().data["class_name"].tolist() == ["car", "person"]
    assert Detections.concat([rows, finished_rows()]).class_name.tolist() == ["person", "car", "", "", "", ""]
    assert Detections.from_supervision(rows.to_supervision()).class_name.tolist() == ["person", "car", ""]
    # what a file says of each box
    rows = Detections(THREE, class_id=[0, 0, 1], extra=[{"class_name": "dog"}, {}, None])
    assert rows.to_supervision().data["class_name"].tolist() == ["dog", "", ""]
    assert rows.named({1: "cat"}).class_name.tolist() == ["dog", "", "cat"]
    assert "class_name" not in finished_rows().to_supervision().data


def test_a_data_frame_has_a_row_a_box_and_the_names_of_the_table():
    table = finished_rows().to_dataframe()
    assert table[["x1", "y1", "x2", "y2"]].to_numpy().tolist() == THREE.tolist()
    assert table["track_x1"].tolist() == [1, 2, 6]
    assert table["track_id"].tolist() == [4, -1, 7]
    assert table["state"].tolist() == ["confirmed", "none", "lost"]
    assert table["reason"].tolist() == ["crowded", "none", "reused"]
    assert table["embedded"].tolist() == [True, False, False]
    assert table["gallery_id"].tolist()[0] == "Ann"
    assert set(table.columns) & set(TRACK_COLUMNS) == set(TRACK_COLUMNS) - {"frame", "time_s", "class_name"}
    assert len(Detections.empty().to_dataframe()) == 0


def test_the_grey_of_a_frame_is_made_once_and_averages_what_is_near():
    stripes = np.zeros((1080, 1920, 3), np.uint8)
    stripes[:, ::2] = 200
    frame = Frame(0, 0.0, stripes)
    grey = frame.grey
    assert frame.grey is grey
    assert grey.levels.shape == (360, 640)
    assert (grey.levels == 100).all()
    assert grey.scale == pytest.approx(1 / 3)
    assert grey.reduced(400).levels.shape == (225, 400)
    assert grey.reduced(400).scale == pytest.approx(400 / 1920)
    assert Frame(0, 0.0).grey is None


@pytest.mark.parametrize(
    ("size", "reduced"), [((8, 400), (8, 400)), ((16, 16384), (1, 640)), ((481, 1279), (241, 640))]
)
def test_the_grey_of_a_frame_is_never_wider_than_needed_nor_empty(size, reduced):
    image = np.full((*size, 3), 77, np.uint8)
    assert Frame(0, 0.0, image).grey.levels.tolist() == np.full(reduced, 77).tolist()
