"""Crops cut, resized and normalised where the network runs, all rows at once. Imports torch: only what runs it does.

The result is that of `base.cut` and `pretrained.resize_into`, except that it is not rounded to whole grey values: a GPU
gives the embeddings of a CPU. Resizing is separable and linear: an output pixel is a weighted sum of few source pixels
(its *taps*) along each axis, and only those are read, for all crops of a batch in the same few operations. On a CPU
this takes 15 times as long as OpenCV, which therefore stays in use there.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from mot_dinov3.core.compat import override
from mot_dinov3.core.structures import BoolArray, FloatArray, Image, IntArray
from mot_dinov3.features.base import FrameCropExtractor
from mot_dinov3.features.network import NetworkExtractor, TorchRuntime
from mot_dinov3.models.devices import upload
from mot_dinov3.models.pretrained import Preprocessing


class DeviceExtractor(NetworkExtractor, FrameCropExtractor):
    """A `NetworkExtractor` that uploads an image once and cuts its crops on the network's device.

    At most `batch` crops go through the network at once.
    """

    def __init__(self, name: str, preprocessing: Preprocessing, runtime: TorchRuntime, *, batch: int) -> None:
        super().__init__(name, preprocessing, runtime)
        self._torch = runtime
        self._batch = batch
        mean, std = (np.array(values, np.float32) for values in (preprocessing.mean, preprocessing.std))
        self._gain = upload(np.float32(preprocessing.scale) / std, runtime.device)
        self._offset = upload(mean / std, runtime.device)

    @override
    def prepare(self, image: Image) -> Callable[[IntArray], FloatArray]:
        """As in `FrameCropExtractor`; the image is uploaded by the first call.

        The batches are queued one after another, and copied back together: that is the only wait.
        """
        uploaded: list[torch.Tensor] = []

        def features(windows: IntArray) -> FloatArray:
            with torch.inference_mode():
                if not uploaded:
                    uploaded.append(upload(image, self._torch.device))
                parts = [
                    self._torch.features(self.crops(uploaded[0], windows[start : start + self._batch]))
                    for start in range(0, len(windows), self._batch)
                ]
                return torch.cat(parts).cpu().numpy()

        return features

    def crops(self, image: torch.Tensor, windows: IntArray) -> torch.Tensor:
        """Return ``(n, 3, height, width)`` float32 normalised RGB for windows of an uploaded BGR image."""
        size = self.preprocessing.height, self.preprocessing.width
        rgb = resample(image, windows, size).flip(-1)
        return (rgb * self._gain - self._offset).permute(0, 3, 1, 2)


def resample(image: torch.Tensor, windows: IntArray, size: tuple[int, int]) -> torch.Tensor:
    """Return windows of an image as ``(n, height, width, 3)`` float32: averaged where they shrink, linear where not.

    Args:
        image: ``(h, w, 3)`` uint8, on any device.
        windows: ``(n, 4)`` xyxy in whole pixels; outside the image they repeat its nearest edge pixel.
        size: ``(height, width)``.
    """
    device = image.device
    lengths = windows[:, [3, 2]] - windows[:, [1, 0]]
    averaged: BoolArray = np.all(lengths > size, axis=1)
    # How many taps, and how wide a strip, is known here: asking the device would mean to wait for it.
    down, across = (_reach(lengths[:, axis], size[axis], averaged) for axis in (0, 1))
    widest = int(lengths[:, 1].max())
    area, box = upload(averaged, device), upload(windows, device)
    height, width = image.shape[:2]

    rows, weights = taps(box[:, 3] - box[:, 1], size[0], area, down)
    rows = (rows + box[:, 1, None, None]).clamp(0, height - 1)
    columns = (box[:, 0, None] + torch.arange(widest, device=device)).clamp(0, width - 1)
    strips = torch.zeros(len(windows), size[0], widest, 3, device=device)
    for tap in range(down):
        strips.addcmul_(image[rows[:, :, tap, None], columns[:, None]].float(), weights[:, :, tap, None, None])

    columns, weights = taps(box[:, 2] - box[:, 0], size[1], area, across)
    crops = torch.zeros(len(windows), *size, 3, device=device)
    for tap in range(across):
        part = strips.take_along_dim(columns[:, None, :, tap, None], dim=2)
        crops.addcmul_(part, weights[:, None, :, tap, None])
    return crops


def taps(length: torch.Tensor, outputs: int, averaged: torch.Tensor, reach: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return which source pixels each output pixel is made of, and their weights, both ``(n, outputs, reach)``.

    Averaging (OpenCV's ``INTER_AREA``) weighs a source pixel by the share of the output pixel that it covers; linear
    interpolation (``INTER_LINEAR``) takes the two pixels whose centres are next to the output pixel's.

    Args:
        length: ``(n,)`` source pixels.
        outputs: Output pixels.
        averaged: ``(n,)`` bool; linear where not.
        reach: Taps that suffice for all.
    """
    last = (length - 1)[:, None, None]
    scale = (length.float() / outputs)[:, None, None]
    number = torch.arange(outputs, device=length.device)[:, None]
    begin = number * scale
    centre = (begin + scale / 2 - 0.5).clamp(min=0).minimum(last)
    first = torch.where(averaged[:, None, None], begin, centre).floor().long()
    cell = first + torch.arange(reach, device=length.device)
    covered = ((cell + 1).minimum(begin + scale) - cell.maximum(begin)).clamp(min=0) / scale
    near = (1 - (cell - centre).abs()).clamp(min=0)
    return cell.minimum(last), torch.where(averaged[:, None, None], covered, near)


def _reach(lengths: IntArray, outputs: int, averaged: BoolArray) -> int:
    """Return how many source pixels an output pixel is made of at most."""
    return int(np.where(averaged, np.ceil(lengths / outputs) + 1, 2).max())
