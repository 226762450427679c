"""ONNX networks of a few bytes that give a fixed output for any image, whatever their file tells about itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

SIDE = 64
CELLS = 84
"""Cells of strides 8, 16 and 32 on 64 × 64 pixels."""

BOXES = np.array([[48.0, 32.0, 24.0, 40.0], [18.0, 8.0, 15.0, 12.0]], np.float32)
"""Centre and size of the two objects, in pixels of the input."""
SCORES = (0.93, 0.87)
CORNERS = np.concatenate([BOXES[:, :2] - BOXES[:, 2:] / 2, BOXES[:, :2] + BOXES[:, 2:] / 2], axis=1)


def save(
    path: Path,
    *outputs: npt.ArrayLike,
    shape: Sequence[int | str] = (1, 3, SIDE, SIDE),
    second: Sequence[int | str] | None = None,
    **notes: object,
) -> Path:
    """Write a network with these outputs; `shape` is its input's, `second` another one's, `notes` are its metadata."""
    inputs = [helper.make_tensor_value_info("images", TensorProto.FLOAT, list(shape))]
    inputs += [helper.make_tensor_value_info("sizes", TensorProto.FLOAT, list(second))] if second else []
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
    ]
    constants, infos = [numpy_helper.from_array(np.float32(0), "zero")], []
    for number, output in enumerate(outputs):
        values = np.asarray(output, np.float32)
        constants.append(numpy_helper.from_array(values, f"values{number}"))
        nodes.append(helper.make_node("Add", ["nothing", f"values{number}"], [f"output{number}"]))
        infos.append(helper.make_tensor_value_info(f"output{number}", TensorProto.FLOAT, list(values.shape)))
    graph = helper.make_graph(nodes, "constant", inputs, infos, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    helper.set_model_props(model, {key: str(value) for key, value in notes.items()})
    onnx.save(model, str(path))
    return path


def columns(classes: int = 2, *, cells: int = CELLS, extra: int = 0) -> npt.NDArray[np.float32]:
    """Return Ultralytics' output, ``(1, 4 + classes + extra, cells)``: the first object of class 0, the second of 1."""
    output = np.zeros((1, 4 + classes + extra, cells), np.float32)
    output[0, :4] = 1  # pixels, of no object
    for number, (box, score) in enumerate(zip(BOXES, SCORES)):
        cell = 10 + 20 * number
        output[0, :4, cell] = box
        output[0, 4 + min(number, classes - 1), cell] = score
    return output


def with_objectness(classes: int = 2, *, cells: int = 3 * CELLS) -> npt.NDArray[np.float32]:
    """Return the output of YOLOv5, ``(1, cells, 5 + classes)``, of the same objects: two columns share a score."""
    output = columns(classes, cells=cells)
    score = output[:, 4:]
    sure = np.where(score.max(axis=1, keepdims=True) > 0, np.float32(0.96), 0)
    share = np.divide(score, sure, out=np.zeros_like(score), where=sure > 0)
    return np.concatenate([output[:, :4], sure, share], axis=1).transpose(0, 2, 1)


def finished(count: int = 50) -> npt.NDArray[np.float32]:
    """Return rows of corners, score and class of the same objects, the rest of them empty."""
    output = np.zeros((1, count, 6), np.float32)
    for number in range(2):
        output[0, number] = [*CORNERS[number], SCORES[number], number]
    return output
