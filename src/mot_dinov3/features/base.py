"""Interface of the embedders, the request that they are built from, and cutting of crops."""

from __future__ import annotations

import dataclasses
import re
from abc import abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from mot_dinov3.core.compat import override
from mot_dinov3.core.errors import ConfigError, InputError, ModelError
from mot_dinov3.core.structures import FloatArray, Image, IntArray, ModelInfo
from mot_dinov3.core.structures.arrays import unit_rows
from mot_dinov3.models.devices import DeviceConfig


class Embedder(Protocol):
    """Turns crops of one frame into unit vectors whose cosine is the similarity of two objects.

    Attributes:
        info: The loaded model.
        dim: Length of an embedding.
        same_floor: Cosine around which two crops of different objects lie, None where unknown. A video shows it
            itself as soon as two objects are in the image together; until then this stands in.
        notices: Lines for the user.
    """

    info: ModelInfo
    dim: int
    same_floor: float | None = None
    notices: tuple[str, ...] = ()

    @abstractmethod
    def embed(self, image: Image, xyxy: FloatArray) -> FloatArray:
        """Return ``(n, dim)`` float32 unit rows for the ``(n, 4)`` boxes of `image`; any box is accepted.

        A row that is zero or not finite stands for a crop that cannot be embedded.
        """

    @abstractmethod
    def embed_images(self, images: Sequence[Image]) -> FloatArray:
        """Return ``(n, dim)`` float32 unit rows for whole BGR images (a gallery's), without padding or squaring.

        Raises:
            InputError: An image has no pixels.
        """

    def synchronize(self) -> None:
        """Wait until the device has finished, so that a clock read next is right; there may be nothing to wait for."""
        return


REID_REMEDY = (
    "give a re-identification network: --embed-model FILE, for example osnet_x0_25_msmt17.pt, or any as .onnx, "
    "OpenVINO .xml or TorchScript"
)
PARTS = 4  # horizontal stripes of a crop
POOLINGS = ("cls", "mean", f"parts{PARTS}", f"cls+parts{PARTS}")
"""Tokens of a vision transformer that form an embedding; `vision_networks.pool_tokens` says how."""

MEMBERS = ("info", "dim", "embed", "embed_images", "synchronize")


@dataclasses.dataclass(frozen=True)
class EmbedderRequest:
    """All that an embedder is built from: the only argument of its constructor, also of a user's own class.

    Attributes:
        model: Hub id (``org/name@revision``), folder or file; empty where the user named none.
        device: Device to run on, not resolved yet: a weight-free embedder need not import torch.
        pad: Share of its size by which a box is widened on each side.
        square: Whether boxes are made square before they are cut out; None leaves it to the embedder.
        size: ``(height, width)`` of the network's input, or None for the model's own.
        pooling: One of `POOLINGS`, for embedders that have tokens.
        batch: Crops that go through the network at once, at most.
        locate: Finds a model's folder, downloading it where it is not local; raises `ModelError`.
    """

    model: str
    device: DeviceConfig
    pad: float
    square: bool | None
    size: tuple[int, int] | None
    pooling: str
    batch: int
    locate: Callable[[str], Path]


class Extractor(Protocol):
    """The part of an embedder that computes on pixels: a network, or a histogram."""

    @abstractmethod
    def extract(self, crops: Sequence[Image]) -> FloatArray:
        """Return ``(n, d)`` float32 features, of any length, for at least one BGR crop of any size."""

    def synchronize(self) -> None:
        """Wait until the device has finished; there may be nothing to wait for."""
        return


class FrameCropExtractor(Extractor):
    """An `Extractor` that cuts the crops itself, where its network runs."""

    @abstractmethod
    def prepare(self, image: Image) -> Callable[[IntArray], FloatArray]:
        """Return a function that gives ``(n, d)`` float32 features of at least one ``xyxy`` window of `image`.

        A window is in whole pixels; outside the image it repeats the nearest edge pixel. The image must not change
        until the last call.
        """


class CropEmbedder(Embedder):
    """Base of the embedders: cuts the crops, passes them to an `Extractor` in batches and normalises the rows.

    The extractor is run once, on a grey image, to learn the dimension. `square` is the embedder's own choice, where the
    user made none.
    """

    def __init__(
        self,
        extractor: Extractor,
        request: EmbedderRequest,
        *,
        info: ModelInfo,
        square: bool,
        same_floor: float | None = None,
    ) -> None:
        self.info = info
        self.same_floor = same_floor
        self.extractor = extractor
        self._pad = request.pad
        self._square = square if request.square is None else request.square
        self._batch = request.batch
        shape = np.shape(extractor.extract([np.full((64, 32, 3), 128, np.uint8)]))
        if len(shape) != 2 or shape[0] != 1:
            raise _misfit(self, f"an array of shape {shape}", "(1, d)", 1)
        self.dim = shape[1]

    @override
    def embed(self, image: Image, xyxy: FloatArray) -> FloatArray:
        """As in `Embedder`; a box that is NaN, inverted or outside gives the embedding of its nearest pixel."""
        return self.prepare(image)(xyxy)

    def prepare(self, image: Image) -> Callable[[FloatArray], FloatArray]:
        """Return a function that embeds boxes of `image` as `embed` does; work common to all calls is done once."""
        height, width = image.shape[:2]
        features = self.extractor.prepare(image) if isinstance(self.extractor, FrameCropExtractor) else None

        def embed(xyxy: FloatArray) -> FloatArray:
            windows = crop_windows(xyxy, width, height, pad=self._pad, square=self._square)
            if features is not None and len(windows):
                return usable_rows(self, features(windows), len(windows))
            return self._rows(len(windows), lambda start, stop: cut(image, windows[start:stop]))

        return embed

    @override
    def embed_images(self, images: Sequence[Image]) -> FloatArray:
        for number, image in enumerate(images):
            if image.size == 0:
                raise InputError(f"image {number} of {len(images)} to embed has no pixels")
        return self._rows(len(images), lambda start, stop: images[start:stop])

    @override
    def synchronize(self) -> None:
        self.extractor.synchronize()

    def _rows(self, count: int, crops: Callable[[int, int], Sequence[Image]]) -> FloatArray:
        parts = [np.zeros((0, self.dim), np.float32)]
        for start in range(0, count, self._batch):
            stop = min(start + self._batch, count)
            parts.append(usable_rows(self, self.extractor.extract(crops(start, stop)), stop - start))
        return np.concatenate(parts)


def prepare(embedder: Embedder, image: Image) -> Callable[[FloatArray], FloatArray]:
    """Return a function that gives the `usable_rows` of boxes of `image`, which must not change until its last call."""
    if isinstance(embedder, CropEmbedder) and type(embedder).embed is CropEmbedder.embed:
        return embedder.prepare(image)
    return lambda xyxy: usable_rows(embedder, embedder.embed(image, xyxy), len(xyxy))


def usable_rows(embedder: Embedder, rows: object, count: int) -> FloatArray:
    """Return what an embedder gave for `count` boxes as ``(count, dim)`` float32 unit rows.

    A row without a direction (zero, or not finite) becomes zero: it is no embedding.

    Raises:
        ModelError: It is no array of that shape; the message names the embedder.
    """
    wanted = (count, embedder.dim)
    try:
        found = np.asarray(rows, np.float32)
    except (TypeError, ValueError) as error:
        raise _misfit(embedder, f"{type(rows).__name__} that is no array of numbers", str(wanted), count) from error
    if found.shape != wanted:
        raise _misfit(embedder, f"an array of shape {found.shape}", str(wanted), count)
    return unit_rows(found)


def described(embedder: Embedder) -> str:
    """Return an embedder's name for messages, with the class of a custom one: ``embedder 'mine' (module:Class)``."""
    made, name = type(embedder), f"embedder '{embedder.info.name}'"
    custom = made.__module__.partition(".")[0] != __name__.partition(".")[0]
    return f"{name} ({made.__module__}:{made.__qualname__})" if custom else name


def _misfit(embedder: Embedder, what: str, wanted: str, count: int) -> ModelError:
    boxes = "1 crop" if count == 1 else f"{count} crops"
    return ModelError(
        f"{described(embedder)} returned {what} for {boxes}; expected shape {wanted}",
        remedy="an embedder returns a row of length dim for each crop; mot_dinov3.testing.check_embedder checks that",
    )


def crop_windows(xyxy: FloatArray, width: int, height: int, *, pad: float, square: bool) -> IntArray:
    """Return the ``(n, 4)`` whole-pixel windows to cut for boxes in a `width` × `height` image.

    A box is widened by `pad` of its size on each side and clipped at the image's edges. Where `square` is set, its
    shorter side then grows to the longer one around the centre, and the window is shifted back into the image, so
    that it shows real surroundings; it reaches beyond an edge only where the image is narrower than the window.
    Every window holds at least one pixel of the image, whatever the box was.
    """
    limit = np.array([width, height, width, height], np.float64)
    boxes = np.asarray(xyxy, np.float64).reshape(-1, 4)
    # Clipping to a image's size around the image first keeps infinite coordinates out of the sums below.
    boxes = np.clip(np.nan_to_num(boxes, nan=0.0, posinf=np.inf, neginf=-np.inf), -limit, 2 * limit)
    margin = pad * np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    low = np.floor(np.clip(boxes[:, :2] - margin, 0, limit[:2] - 1))
    high = np.clip(np.ceil(boxes[:, 2:] + margin), low + 1, limit[:2])
    if square:
        side = (high - low).max(axis=1, keepdims=True)
        start = np.floor((low + high - side) / 2)
        low = np.where(side <= limit[:2], np.clip(start, 0, np.maximum(limit[:2] - side, 0)), start)
        high = low + side
    return np.concatenate([low, high], axis=1).astype(np.int64)


def cut(image: Image, windows: IntArray) -> list[Image]:
    """Return the pixels of each ``xyxy`` window; outside the image they repeat its nearest edge pixel."""
    height, width = image.shape[:2]
    crops = []
    for x1, y1, x2, y2 in windows.tolist():
        crop = image[max(y1, 0) : y2, max(x1, 0) : x2]
        if x1 < 0 or y1 < 0 or x2 > width or y2 > height:
            outside = ((max(-y1, 0), max(y2 - height, 0)), (max(-x1, 0), max(x2 - width, 0)), (0, 0))
            crop = np.pad(crop, outside, mode="edge")
        crops.append(crop)
    return crops


def parse_size(text: str) -> tuple[int, int]:
    """Return ``(height, width)`` for ``HxW``.

    Raises:
        ConfigError: It is not of that form, or not between 16 and 2048 pixels.
    """
    match = re.fullmatch(r"(\d{1,4})x(\d{1,4})", text.strip().lower())
    size = tuple(int(side) for side in match.groups()) if match else ()
    if len(size) != 2 or not all(16 <= side <= 2048 for side in size):
        raise ConfigError(f"crop_size must be HxW in pixels, 16 to 2048, for example 256x128, got {text}")
    return size[0], size[1]
