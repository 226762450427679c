"""Hard cuts: whether two consecutive images show different scenes."""

from __future__ import annotations

from typing import Any

import numpy as np

from mot_dinov3.core.structures import Image

WIDTH = 128  # px of the images that are compared
COLUMNS, ROWS = 6, 4  # blocks of an image
REACH = 0.2  # share of width and height that the camera may have moved
TOLERANCE = 2  # px that a block may be off the common shift: zoom, parallax
FLAT = 4.0  # grey levels: a block, or an image, that varies by less shows nothing
LEAST_BLOCKS = 3
LEAST_CORNERS = 6  # of either image: a test pattern, or a plain background, shows no scene
BETWEEN = 0.3  # place of the limit between the similarity of unrelated images and 1
LEAST_LIMIT, GREATEST_LIMIT = 0.45, 0.65
DARKER = 2, 0.05  # grey levels, and share of the pixels: less of them darker, and everything is brighter
FLASH_FRAMES = 2


class CutDetector:
    """Decides whether an image shows another scene than the one before; asked only where the camera is not still.

    Two images of one scene are alike after a shift that most of their parts share. How alike two unrelated ones may be
    depends on how smooth they are, so the limit is set by the image itself: unrelated is what it is to the other one
    turned upside down. Gain and offset of the brightness do not count. Where everything becomes brighter at once it may
    be a flash, and the decision is put off for up to `FLASH_FRAMES` frames.
    """

    def __init__(self) -> None:
        self._waited = 0

    def clear(self) -> None:
        """Forget a decision that was put off: the scene is the old one."""
        self._waited = 0

    def is_cut(self, last: Image, grey: Image) -> bool | None:
        """Return whether `grey` shows another scene than `last`, both ``(h, w)`` uint8.

        Returns:
            None if that cannot be told yet: the next image is to be compared with `last` again.
        """
        import cv2

        before, now = _reduced(cv2, last), _reduced(cv2, grey)
        if now.std() < FLAT:
            return None
        if before.std() < FLAT or not (_shows_scene(cv2, last, grey) and _unrelated(cv2, before, now)):
            self.clear()
            return False
        if self._waited < FLASH_FRAMES and _brighter(cv2, before, now):
            self._waited += 1
            return None
        self.clear()
        return True


def _reduced(cv2: Any, grey: Image) -> Image:
    height = max(8, round(grey.shape[0] * WIDTH / grey.shape[1]))
    return np.asarray(cv2.resize(grey, (WIDTH, height), interpolation=cv2.INTER_AREA), np.uint8)


def _shows_scene(cv2: Any, *images: Image) -> bool:
    """Return whether all images have corners to hold on to."""
    found = (cv2.goodFeaturesToTrack(image, LEAST_CORNERS, 0.01, 5) for image in images)
    return all(corners is not None and len(corners) >= LEAST_CORNERS for corners in found)


def _brighter(cv2: Any, last: Image, grey: Image) -> bool:
    """Return whether nearly no pixel has become darker than all that was near it, as the camera may have moved."""
    levels, share = DARKER
    darkest = cv2.erode(last, np.ones((3, 3), np.uint8)).astype(np.int16)
    return float((grey < darkest - levels).mean()) < share


def _unrelated(cv2: Any, last: Image, grey: Image) -> bool:
    found = _similarity(cv2, last, grey)
    if found >= GREATEST_LIMIT:
        return False
    chance = _similarity(cv2, last, np.ascontiguousarray(grey[::-1, ::-1]))
    return found < min(max(chance + BETWEEN * (1 - chance), LEAST_LIMIT), GREATEST_LIMIT)


def _similarity(cv2: Any, last: Image, grey: Image) -> float:
    """Return how alike two images are after the best shift, −1…1: as a whole, and block by block."""
    height, width = last.shape
    x, y = round(REACH * width), round(REACH * height)
    whole = float(_correlation(cv2, grey, last[y : height - y, x : width - x]).max())
    blocks = _blocks(cv2, last, cv2.copyMakeBorder(grey, y, y, x, x, cv2.BORDER_REPLICATE), (x, y))
    if len(blocks) < LEAST_BLOCKS:
        return whole
    # The shift that suits the blocks together, from which each may deviate a little.
    down, right = np.unravel_index(blocks.mean(axis=0).argmax(), blocks.shape[1:])
    rows, columns = (slice(max(0, int(at) - TOLERANCE), int(at) + TOLERANCE + 1) for at in (down, right))
    each = blocks[:, rows, columns].max(axis=(1, 2))
    return (whole + float(np.median(each))) / 2


def _blocks(cv2: Any, last: Image, padded: Image, reach: tuple[int, int]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return ``(k, 2y + 1, 2x + 1)`` correlations of the blocks that show something with their surroundings."""
    height, width = last.shape[0] // ROWS, last.shape[1] // COLUMNS
    x, y = reach
    found = []
    for row in range(ROWS):
        for column in range(COLUMNS):
            top, left = row * height, column * width
            block = last[top : top + height, left : left + width]
            if block.std() >= FLAT:
                around = padded[top : top + height + 2 * y, left : left + width + 2 * x]
                found.append(_correlation(cv2, around, block))
    return np.array(found, np.float32)


def _correlation(cv2: Any, image: Image, part: Image) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return the normalised correlation of `part` at each place of `image`; 0 where the image is flat."""
    found = cv2.matchTemplate(image, part, cv2.TM_CCOEFF_NORMED)
    return np.clip(np.nan_to_num(found, posinf=0.0, neginf=0.0), -1.0, 1.0)
