"""Values of a request, validated where they come in."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from mot_dinov3.core.errors import InputError
from mot_dinov3.core.structures import Image


class ConflictError(InputError):
    """Another client, a second tab for example, changed the same file first."""


class Request:
    """The values of a request.

    Args:
        values: Of the query, all text, or of the JSON body.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def text(self, name: str, default: str | None = None) -> str:
        """Return a text; a missing one is an error where there is no default."""
        value = self._values.get(name, default)
        if not isinstance(value, str) or "\0" in value or len(value) > 4096:
            raise InputError(f"'{name}' must be a string")
        return value

    def data(self, name: str) -> bytes:
        """Return bytes, which come as base64; none where they are missing."""
        value = self._values.get(name, "")
        try:
            return base64.b64decode(value, validate=True)
        except (TypeError, ValueError) as error:
            raise InputError(f"'{name}' must be base64") from error

    def whole(self, name: str, default: int | None = None, *, low: int = 0, high: int = 2**31 - 1) -> int:
        """Return a whole number within ``low … high``."""
        value = self._values.get(name, default)
        if isinstance(value, str) and value.isascii() and value.isdigit():
            value = int(value)
        if type(value) is not int or not low <= value <= high:
            raise InputError(f"'{name}' must be a whole number from {low} to {high}")
        return value

    def numbers(self, name: str, count: int) -> list[float]:
        """Return `count` finite numbers."""
        value = self._values.get(name)
        if not isinstance(value, list) or len(value) != count:
            raise InputError(f"'{name}' must be {count} numbers")
        return [_finite(v, name) for v in value]

    def flag(self, name: str) -> bool:
        """Return a boolean; a missing one is False."""
        value = self._values.get(name, False)
        if not isinstance(value, bool):
            raise InputError(f"'{name}' must be true or false")
        return value

    def fields(self, name: str) -> dict[str, Any]:
        """Return an object of any values."""
        value = self._values.get(name)
        if not isinstance(value, dict):
            raise InputError(f"'{name}' must be an object")
        return value

    def items(self, name: str) -> list[Any]:
        """Return a list of any values."""
        value = self._values.get(name)
        if not isinstance(value, list):
            raise InputError(f"'{name}' must be a list")
        return value


def _finite(value: object, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InputError(f"'{name}' must be finite numbers")
    return float(value)


def jpeg(image: Image, quality: int) -> bytes:
    """Return an image as the bytes of a JPEG.

    Raises:
        InputError: It cannot be encoded (an empty one).
    """
    import cv2

    ok, data = cv2.imencode(".jpg", np.ascontiguousarray(image), [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not ok:
        raise InputError("the frame cannot be encoded")
    return data.tobytes()
