"""Pre- and postprocessing of YOLO, by hand and beside Ultralytics' own."""

from __future__ import annotations

import numpy as np
import pytest

from mot_dinov3.detectors.decoding import HeadLayout, candidates, letterbox, suppress
from mot_dinov3.models.weights import ultralytics_module


def test_a_picture_lies_in_the_middle_of_whole_strides() -> None:
    # 768×576 at 960: 1.25 times as large, 960×720; 720 is 22.5 strides, so 8 grey rows above and below.
    fitted = letterbox((768, 576), 960, 32)
    assert (fitted.height, fitted.width, fitted.inner, fitted.left, fitted.top) == (736, 960, (960, 720), 0, 8)
    placed = fitted.apply(np.full((576, 768, 3), 200, np.uint8))
    assert placed.shape == (1, 736, 960, 3)
    assert (placed[0, :8] == 114).all()
    assert (placed[0, 8:728] == 200).all()
    assert (placed[0, 728:] == 114).all()


def test_boxes_go_back_into_the_picture_and_end_at_its_edges() -> None:
    fitted = letterbox((768, 576), 960, 32)
    xyxy = np.array([[0, 8, 960, 728], [100, 108, 200, 208], [-50, 0, 2000, 736]], np.float32)
    wanted = [[0, 0, 768, 576], [80, 80, 160, 160], [0, 0, 768, 576]]
    np.testing.assert_allclose(fitted.to_image(xyxy), wanted, atol=1e-3)


@pytest.mark.parametrize("picture", [(768, 576), (1280, 720), (33, 1000), (1000, 33), (1, 5), (960, 960), (961, 545)])
@pytest.mark.parametrize("imgsz", [64, 640, 650])
def test_the_letterbox_is_ultralytics_own(picture: tuple[int, int], imgsz: int) -> None:
    ultralytics_module()
    from ultralytics.data import augment

    image = np.random.default_rng(0).integers(0, 256, (picture[1], picture[0], 3), dtype=np.uint8)
    side = -(-imgsz // 32) * 32
    wanted = augment.LetterBox((side, side), auto=True, stride=32)(image=image)
    np.testing.assert_array_equal(letterbox(picture, imgsz, 32).apply(image)[0], wanted)


def test_a_distance_is_the_mean_of_its_bins() -> None:
    head = HeadLayout((8, 16), 3, False)
    raw = np.zeros((2, 12), np.float32)
    raw[0, 2::3] = 50.0  # all weight on bin 2: two strides to every side
    # 32×16 pixels: eight cells of stride 8, two of stride 16. Equal weights mean bin 1: one stride to every side.
    boxes = head.decode(raw, np.array([1, 8]), 16, 32)
    np.testing.assert_allclose(boxes[0], [(1.5 - 2) * 8, (0.5 - 2) * 8, (1.5 + 2) * 8, (0.5 + 2) * 8], atol=1e-4)
    np.testing.assert_allclose(boxes[1], [-8, -8, 24, 24], atol=1e-4)
    assert head.decode(raw[:1], np.array([0]), 16, 32).tolist() == [[-12, -12, 20, 20]]


def test_a_distance_may_be_given_directly() -> None:
    boxes = HeadLayout((8,), 1, True).decode(np.array([[0.5, 0.25, 1, 2]], np.float32), np.array([0]), 8, 8)
    assert boxes.tolist() == [[0, 2, 12, 20]]


def test_candidates_are_above_the_threshold() -> None:
    logits = np.array([[0.0, -9.0, 2.0], [1.0, -8.0, 3.0]], np.float32)
    cells, classes, score = candidates(logits, 0.4, each_class=False)
    assert (cells.tolist(), classes.tolist()) == ([0, 2], [1, 1])
    np.testing.assert_allclose(score, [0.731059, 0.952574], atol=1e-6)
    cells, classes, _ = candidates(logits, 0.4, each_class=True)
    assert sorted(zip(cells.tolist(), classes.tolist())) == [(0, 0), (0, 1), (2, 0), (2, 1)]
    assert len(candidates(logits, 0.5, each_class=True)[0]) == 3  # exactly 0.5 is not above
    assert len(candidates(logits, 0.0, each_class=False)[0]) == 3
    assert len(candidates(logits, 1.0, each_class=False)[0]) == 0


def test_a_box_is_suppressed_by_a_better_one_of_its_class_only() -> None:
    box = [0, 0, 100, 100]
    xyxy = np.array([box, box, [0, 0, 100, 60], box, [500, 0, 600, 100]], np.float32)
    class_id = np.array([0, 0, 0, 1, 0])
    score = np.array([0.8, 0.9, 0.7, 0.6, 0.5], np.float32)
    assert suppress(xyxy, class_id, score, iou=0.7).tolist() == [1, 2, 3, 4]
    assert suppress(xyxy, class_id, score, iou=0.5).tolist() == [1, 3, 4]
    assert suppress(xyxy[:0], class_id[:0], score[:0], iou=0.5).tolist() == []


def test_suppression_is_torchvisions() -> None:
    torch, ops = pytest.importorskip("torch"), pytest.importorskip("torchvision.ops")
    rng = np.random.default_rng(1)
    corner = rng.uniform(0, 300, (400, 2))
    xyxy = np.concatenate([corner, corner + rng.uniform(20, 90, (400, 2))], 1).astype(np.float32)
    score = rng.permutation(400).astype(np.float32) / 400 + 0.001
    class_id = rng.integers(0, 3, 400)
    wanted = ops.batched_nms(torch.from_numpy(xyxy), torch.from_numpy(score), torch.from_numpy(class_id), 0.4)
    assert suppress(xyxy, class_id, score, iou=0.4).tolist() == wanted.tolist()
