from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mot_dinov3.core.errors import FormatError
from mot_dinov3.formats.labelme import LabelledFrame
from mot_dinov3.formats.labelme_shapes import Shape
from mot_dinov3.keypoints.labels import Labels, resolve_instances


def box(label: str, x: float, group: int | None = None, instance: str = "") -> Shape:
    corners = np.array([[x, 0], [x + 20, 0], [x + 20, 20], [x, 20]], float)
    return Shape(label, corners, group, instance)


def point(label: str, x: float, y: float = 5, group: int | None = None, instance: str = "", shown: str = "") -> Shape:
    return Shape(label, np.array([[x, y]], float), group, instance, shown)


def sorted_out(*frames: list[Shape]) -> Labels:
    return resolve_instances([LabelledFrame(Path(f"v_{i}.json"), i, tuple(f)) for i, f in enumerate(frames)])


def owners(labels: Labels, frame: int = 0) -> dict[str, list[str]]:
    return {b.name: [k for k, known in zip(b.keypoints, b.known) if known] for b in labels.frames[frame]}


def test_an_explicit_label_wins_over_group_and_place() -> None:
    shapes = [box("m", 0, group=1, instance="A"), box("m", 50, group=2, instance="B")]
    found = owners(sorted_out([*shapes, point("nose", 5, group=2, instance="B"), point("tail", 6)]))
    assert found == {"A": ["tail"], "B": ["nose"]}


def test_the_group_decides_before_the_place() -> None:
    labels = sorted_out([box("m", 0, group=1), box("w", 50, group=2), point("nose", 5, group=2)])
    assert owners(labels) == {"w": ["nose"]}
    assert any("outside the mask" in notice for notice in labels.notices)


def test_the_place_decides_where_nothing_else_does() -> None:
    labels = sorted_out([box("m", 0), box("w", 50), point("nose", 5), point("nose", 55)])
    assert owners(labels) == {"m": ["nose"], "w": ["nose"]}


def test_two_instances_that_share_a_label_stay_two_and_keep_their_numbers() -> None:
    both = [box("m", 0, group=4), box("m", 50, group=7), point("nose", 5), point("nose", 55)]
    one = [box("m", 50, group=7), point("nose", 55)]
    labels = sorted_out(both, one)
    assert [(b.name, b.group_id) for b in labels.frames[0]] == [("m_4", 4), ("m_7", 7)]
    assert owners(labels, 1) == {"m_4": [], "m_7": ["nose"]}


def test_groups_without_outlines_are_instances() -> None:
    labels = sorted_out([point("nose", 5, group=1), point("nose", 50, group=2), point("tail", 9, group=1)])
    assert owners(labels) == {"instance_1": ["nose", "tail"], "instance_2": ["nose"]}


def test_points_of_nothing_are_one_instance_and_told_where_there_are_outlines() -> None:
    assert owners(sorted_out([point("nose", 5), point("tail", 9)])) == {"instance": ["nose", "tail"]}
    labels = sorted_out([box("m", 0), point("nose", 5), point("tail", 90)])
    assert owners(labels) == {"m": ["nose"], "instance": ["tail"]}
    assert any("without a clear instance" in notice and "tail" in notice for notice in labels.notices)


def test_combined_labels_lose_their_instance_s_name() -> None:
    labels = sorted_out([point("animalnose", 5, instance="animal"), point("animal_tail", 9, instance="animal")])
    assert owners(labels) == {"animal": ["nose", "tail"]}


def test_a_doubled_keypoint_is_told_and_the_first_counts() -> None:
    labels = sorted_out([point("nose", 5), point("nose", 50)])
    assert labels.frames[0][0].xy.tolist() == [[5, 5]]
    assert any("two points 'nose'" in notice for notice in labels.notices)


def test_no_point_at_all_is_refused() -> None:
    with pytest.raises(FormatError, match="no labelled point"):
        sorted_out([box("m", 0)])
