"""Pictures that are held because somebody may want them again."""

from __future__ import annotations

from collections import OrderedDict

from mot_dinov3.core.structures import Image

CACHE_BYTES = 256_000_000


class PictureCache:
    """Pictures by frame number, the least recently used dropped beyond a number of bytes.

    Args:
        budget: Bytes; the newest picture is kept whatever its size.
    """

    def __init__(self, budget: int = CACHE_BYTES) -> None:
        self._budget = budget
        self._held: OrderedDict[int, Image] = OrderedDict()
        self.bytes = 0

    def get(self, number: int) -> Image | None:
        """Return a picture, or None where it is not held."""
        image = self._held.get(number)
        if image is not None:
            self._held.move_to_end(number)
        return image

    def put(self, number: int, image: Image) -> None:
        """Hold a picture, dropping others where the budget asks for it."""
        if number in self._held:
            self.bytes -= self._held.pop(number).nbytes
        self._held[number] = image
        self.bytes += image.nbytes
        while self.bytes > self._budget and len(self._held) > 1:
            self.bytes -= self._held.popitem(last=False)[1].nbytes

    def clear(self) -> None:
        """Drop everything."""
        self._held.clear()
        self.bytes = 0
