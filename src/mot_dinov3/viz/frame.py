"""Drawing of boxes and labels on a frame, and contact sheets of frames."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from mot_dinov3.core import boxes
from mot_dinov3.core.compat import override
from mot_dinov3.core.options import StageConfig, option, require
from mot_dinov3.core.structures import Detections, FloatArray, Image, Reason, TrackState, TrackView
from mot_dinov3.viz.label_placement import Box, Label, draw_labels
from mot_dinov3.viz.style import GREY, Color, Pen, track_color

_MAX_SIDE = 32767
LABEL_PARTS = ("id", "class", "score", "name")
REASON_NAMES = {
    Reason.NEW: "new",
    Reason.WEAK_IOU: "weak IoU",
    Reason.CROWDED: "crowded",
    Reason.REFRESH: "refresh",
    Reason.DEFERRED: "deferred",
    Reason.REUSED: "reused",
    Reason.LOW_SCORE: "low score",
}


@dataclasses.dataclass(frozen=True)
class DrawConfig(StageConfig):
    """Contents of drawn frames, and sizes of lines and text."""

    group = "drawing"

    trails: float = option(
        0.0,
        "draw the trajectory of the last seconds of each track (0: off)",
        metavar="SECONDS",
        low=0,
        high=3600,
    )
    labels: str = option(
        "",
        f"parts of the labels, in order: some of {', '.join(LABEL_PARTS)}, or none (default: id, name, the class if "
        "there are several; * marks a new embedding)",
        metavar="LIST",
    )
    boxes: bool = option(True, "draw the boxes")
    hud: bool = option(False, "draw fps, budget use, backlog, and active and lost tracks")
    reasons: bool = option(
        False,
        "add to each label the reason why its box was or was not embedded, and to each frame the reason why the "
        "detector ran on it or did not",
    )
    anonymize: str = option(
        "none",
        "hide every detected, predicted or lost box completely in video and report; undetected people, and "
        "faces outside boxes, stay visible; pixelate hides more than blur",
        choices=("none", "blur", "pixelate"),
        common=True,
    )
    draw_lost: bool = option(False, "draw the predicted boxes of lost tracks, dashed")
    line_thickness: int = option(
        0, "line width of the boxes in pixels (0: from the frame size)", metavar="PX", low=0, high=100
    )
    font_scale: float = option(0.0, "size of the labels, 1 is about 22 pixels (0: from the frame size)", low=0, high=20)

    @override
    def check(self) -> None:
        words = self.label_parts
        valid = words == ("none",) or all(word in LABEL_PARTS for word in words)
        require(valid, "labels", repr(self.labels), f"some of {', '.join(LABEL_PARTS)}, or none")

    @property
    def label_parts(self) -> tuple[str, ...]:
        """The parts that were chosen, in order; empty for the default."""
        return tuple(self.labels.replace(",", " ").split())


def draw_frame(
    image: Image, detections: Detections, *, lost: TrackView, names: Mapping[int, str], config: DrawConfig
) -> Image:
    """Return a copy of `image` with boxes and labels.

    Tracked rows get a box in their track's colour and a label, dotted where the row is coasted; rows of tentative
    tracks a thin grey box; other rows nothing. The box is the track's smoothed one where there is one. A label is
    ``ID 7``, ``ID 7 *`` where the embedding was computed in this frame, ``ID 7 car`` where several classes are known.

    Args:
        image: ``(h, w, 3)`` uint8 BGR; stays as it is.
        detections: The rows of the frame.
        lost: Tracks that are lost now; drawn dashed with `draw_lost`.
        names: Class id → name; empty where unknown.
        config: Contents and sizes.
    """
    canvas = np.ascontiguousarray(image).copy()
    label = functools.partial(label_of, detections, names=names, parts=config.label_parts, reasons=config.reasons)
    draw_rows(canvas, detections, lost=lost, config=config, label=label)
    return canvas


def draw_rows(
    canvas: Image, detections: Detections, *, lost: TrackView, config: DrawConfig, label: Callable[[int], str]
) -> None:
    """Draw boxes and labels into `canvas`, see `draw_frame`; `label` gives the text of a tracked row, or none."""
    import cv2

    pen = Pen.for_image(canvas, line=config.line_thickness, scale=config.font_scale)
    xyxy = detections.final_xyxy
    visible = boxes.usable(xyxy)
    labels: list[Label] = []
    for row in np.flatnonzero(visible & (detections.track_id < 0) & (detections.state == TrackState.TENTATIVE)):
        box = corners(xyxy[row])
        if config.boxes:
            cv2.rectangle(canvas, box[:2], box[2:], GREY, 1)
    if config.draw_lost:
        coasted = np.isin(lost.track_id, detections.track_id)  # has a row of its own
        for row in np.flatnonzero(boxes.usable(lost.xyxy) & (lost.track_id >= 1) & ~coasted):
            number = int(lost.track_id[row])
            missed = Label(f"ID {number} lost", corners(lost.xyxy[row]), track_color(number))
            if config.boxes:
                _draw_dashed(canvas, missed.box, missed.color, pen=pen, dash=6)
            labels += [] if config.label_parts == ("none",) else [missed]
    tracked = np.flatnonzero(visible & (detections.track_id >= 0))
    for row in tracked[np.argsort(detections.track_id[tracked], kind="stable")]:  # so that labels do not jump
        color, box = track_color(int(detections.track_id[row])), corners(xyxy[row])
        if config.boxes and detections.coasted[row]:
            _draw_dashed(canvas, box, color, pen=pen, dash=1)
        elif config.boxes:
            cv2.rectangle(canvas, box[:2], box[2:], color, pen.line)
        text = label(int(row))
        labels += [Label(text, box, color)] if text else []
    draw_labels(canvas, labels, pen)  # after all boxes: no line crosses a label


def label_of(
    detections: Detections, row: int, names: Mapping[int, str], *, parts: Sequence[str] = (), reasons: bool = False
) -> str:
    """Return the label of a tracked row: ``ID 7``, ``ID 7 *``, ``ID 7 car *``, ``ID 7 Anna`` (recognised).

    With `parts`, exactly these are shown, in their order, as far as they are known; of ``none``, nothing. With
    `reasons`, the reason why the row was embedded or not follows: ``ID 7 * crowded``.
    """
    class_id, name = int(detections.class_id[row]), detections.gallery_id[row]
    texts = {
        "id": f"ID {int(detections.track_id[row])}",
        "name": "" if name is None else str(name),
        "class": names.get(class_id, ""),
        "score": f"{detections.score[row]:.2f}",
    }
    if parts:
        words = [texts.get(part, "") for part in parts]
    else:
        star = "*" if detections.fresh[row] else ""
        words = [texts["id"], texts["name"], texts["class"] if len(names) > 1 else "", star]
    if reasons:
        words.append(REASON_NAMES.get(Reason(detections.reason[row]), ""))
    return " ".join(filter(None, words))


def contact_sheet(images: Sequence[Image], *, columns: int = 2, width: int = 1280, gap: int = 8) -> Image:
    """Return the images side by side on white, `columns` in a row, the sheet `width` pixels wide.

    Raises:
        ConfigError: There is no image or no column, or the sheet is too narrow for them.
    """
    import cv2

    require(len(images) > 0, "images", len(images), "one or more")
    require(columns > 0, "columns", columns, "positive")
    wide = (width - gap * (columns + 1)) // columns
    require(wide > 0, "width", width, f"wide enough for {columns} columns")
    tall = max(1, round(wide * max(image.shape[0] / image.shape[1] for image in images)))
    rows = -(-len(images) // columns)
    sheet = np.full((gap + rows * (tall + gap), width, 3), 255, np.uint8)
    for place, image in enumerate(images):
        height = max(1, round(wide * image.shape[0] / image.shape[1]))
        method = cv2.INTER_AREA if image.shape[1] > wide else cv2.INTER_CUBIC
        x = gap + (place % columns) * (wide + gap)
        y = gap + (place // columns) * (tall + gap) + (tall - height) // 2
        sheet[y : y + height, x : x + wide] = cv2.resize(image, (wide, height), interpolation=method)
    return sheet


def corners(box: FloatArray) -> Box:
    """Return whole pixels of the first and the last column and row that a half-open box covers."""
    x1, y1, x2, y2 = np.clip(np.rint(box), -_MAX_SIDE, _MAX_SIDE).astype(int).tolist()
    return x1, y1, max(x2 - 1, x1), max(y2 - 1, y1)


def _draw_dashed(canvas: Image, box: Box, color: Color, *, pen: Pen, dash: int) -> None:
    """Draw a dashed box: dashes of `dash` times the line's width, gaps of equal length or more."""
    height, width = canvas.shape[:2]
    before, after = pen.line // 2, pen.line - pen.line // 2
    period = pen.line * (2 * dash if dash > 1 else 3)
    (x1, y1, x2, y2), length = box, pen.line * dash

    def on(low: int, high: int, limit: int) -> npt.NDArray[np.int64]:
        steps = np.arange(max(low, 0), min(high + 1, limit))
        return np.asarray(steps[(steps - low) % period < length], np.int64)

    for y in (y1, y2):
        canvas[max(y - before, 0) : max(y + after, 0), on(x1, x2, width)] = color
    for x in (x1, x2):
        canvas[on(y1, y2, height), max(x - before, 0) : max(x + after, 0)] = color
