"""Layouts of the output of exported detectors, told apart by shape, and brought into the one that Ultralytics reads.

That is ``(1, 4 + classes + extra, n)``: centre, size, the score of each class, and what poses, rotated boxes and masks
need, for `n` cells of the grid. Others have rows in place of columns (transposed), an objectness between box and
classes (YOLOv5 and YOLOv7), or finished rows of x1, y1, x2, y2, score, class (end to end).
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import Any

from mot_dinov3.core.errors import ModelError

STRIDES = (4, 8, 16, 32, 64, 128)
ANCHORS = 3
"""Boxes a cell of a network with anchors (YOLOv3 to YOLOv7)."""

EXPECTED = "(1, 4 + classes, n), its transpose, YOLOv5's (1, 3·n, 5 + classes), or rows of x1, y1, x2, y2, score, class"
REMEDY = f"export a detector, so that its output is {EXPECTED}; with Ultralytics: yolo export format=onnx"

_BOX = 4
_FINISHED = 6  # columns: corners, score, class
_MOST_FINISHED = 1000
_COCO = 80  # classes
_ROUNDING = 1e-3
_SURE = 0.25


@dataclasses.dataclass(frozen=True)
class OutputLayout:
    """Layout of an output.

    Attributes:
        classes: Number of classes; 0 where rows are finished and their number is unknown.
        rows: Each cell is a row, not a column.
        objectness: The classes' scores are to be multiplied with the one before them.
        is_finished: Rows of corners, score and class, after suppression.
    """

    classes: int
    rows: bool = False
    objectness: bool = False
    is_finished: bool = False

    def to_columns(self, output: Any) -> Any:
        """Return a ``(1, …)`` torch tensor in the layout that Ultralytics reads."""
        if self.is_finished:
            return output
        columns = output.transpose(1, 2) if self.rows else output
        if not self.objectness:
            return columns
        import torch

        box, sure, score, rest = columns.split((_BOX, 1, self.classes, columns.shape[1] - 5 - self.classes), dim=1)
        return torch.cat((box, score * sure, rest), dim=1)

    def check_values(self, columns: Any, name: str) -> None:
        """Make sure that scores are probabilities, and that boxes are in pixels; `columns` are `to_columns`'.

        Raises:
            ModelError: They are not.
        """
        if not columns.numel():
            return
        if self.is_finished:
            box, score, class_id = columns[0, :, :_BOX], columns[0, :, 4], columns[0, :, 5]
            sized = ((box[:, 2:] >= box[:, :2]).all(1) | (score < _SURE)).all()
            if not sized or ((class_id - class_id.round()).abs() > _ROUNDING).any():
                raise ModelError(
                    f"detector weights '{name}': the rows of their output are not x1, y1, x2, y2, score, class",
                    remedy=REMEDY,
                )
        else:
            box, score = columns[0, :_BOX].T, columns[0, _BOX : _BOX + self.classes].amax(0)
        if score.max() > 1 + _ROUNDING or (score.min() < -_ROUNDING and not self.is_finished):  # -1 fills empty rows
            raise ModelError(
                f"detector weights '{name}': the scores of their output are not probabilities, they reach "
                f"{float(score.max()):.3g}",
                remedy="export the network with its sigmoid",
            )
        sure = box[score > _SURE]
        if len(sure) and sure.max() <= 2:
            raise ModelError(
                f"detector weights '{name}': the boxes of their output are not in pixels of the input: none exceeds "
                f"{float(sure.max()):.3g}",
                remedy="export the network with boxes in pixels",
            )


def find_layout(shape: Sequence[int], size: tuple[int, int], *, classes: int | None, extra: int = 0) -> OutputLayout:
    """Return the layout of a detector's first output.

    Args:
        shape: Its shape.
        size: ``(height, width)`` of the input.
        classes: Number of classes, None where the file does not name them.
        extra: Columns behind the classes: an angle, keypoints, coefficients of a mask.

    Raises:
        ValueError: It is none of a detector, or may be of several; the text says why.
    """
    if len(shape) != 3 or shape[0] != 1 or min(shape) < 1:
        raise ValueError(f"an output of shape {tuple(shape)} is not a detector's")
    expected = _Expected(cell_counts(*size), classes, extra)
    for rows, (width, count) in ((False, (shape[1], shape[2])), (True, (shape[2], shape[1]))):
        found = expected.layout(width, count, rows=rows)
        if found is not None:
            return found
    named = "of unknown classes" if classes is None else f"of {classes} classes"
    raise ValueError(f"an output of shape {tuple(shape)} does not fit a detector {named}")


@dataclasses.dataclass(frozen=True)
class _Expected:
    """Numbers of cells that a network may have, of its classes, and of the columns behind these."""

    cells: frozenset[int]
    classes: int | None
    extra: int

    def layout(self, width: int, count: int, *, rows: bool) -> OutputLayout | None:
        """Return the layout of `count` cells of `width` numbers each, or None; `rows` as in `OutputLayout`."""
        anchored = count % ANCHORS == 0 and count // ANCHORS in self.cells
        if (anchored or count in self.cells) and (self.classes is not None or count >= width):
            return self._of_cells(width, anchored=anchored, rows=rows)
        if self.classes is not None and width == _BOX + self.classes + self.extra and not rows:
            return OutputLayout(self.classes)  # of unusual strides
        if width == _FINISHED + self.extra and rows and count <= _MOST_FINISHED:
            return OutputLayout(self.classes or 0, rows=True, is_finished=True)
        return None

    def _of_cells(self, width: int, *, anchored: bool, rows: bool) -> OutputLayout | None:
        if self.classes is None:
            if anchored:
                return OutputLayout(width - 5, rows=rows, objectness=True) if width > 5 else None
            if rows and width > _BOX and width != _BOX + _COCO:  # YOLOX has an objectness, and 85 columns
                raise ValueError(
                    f"rows of {width} numbers are ambiguous without class names ('names' in the file's metadata)"
                )
            return OutputLayout(width - _BOX, rows=rows) if width > _BOX else None
        if width == _BOX + self.classes + self.extra:
            return OutputLayout(self.classes, rows=rows)
        if width == 5 + self.classes + self.extra:
            if not anchored:
                raise ValueError("boxes without anchors, but with an objectness (YOLOX), are not supported")
            return OutputLayout(self.classes, rows=rows, objectness=True)
        return None


def cell_counts(height: int, width: int) -> frozenset[int]:
    """Return the numbers of cells that networks of two or more levels have on an input of that size."""
    each = [math.ceil(height / stride) * math.ceil(width / stride) for stride in STRIDES]
    ranges = itertools.combinations(range(len(STRIDES) + 1), 2)
    return frozenset(sum(each[low:high]) for low, high in ranges if high - low > 1)
