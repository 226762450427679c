"""Real pictures to check a conversion on: the source's own, and photographs that the ultralytics package ships."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from mot_dinov3.core.errors import InputError
from mot_dinov3.core.structures import Image


@dataclasses.dataclass(frozen=True)
class Samples:
    """Pictures like those that a network will see.

    Attributes:
        pictures: Reads them.
        situation: What distinguishes them from other samples: their size.
    """

    pictures: Callable[[], Iterable[Image]] = tuple
    situation: str = "photographs"


def photographs() -> tuple[Image, Image]:
    """Return ``bus.jpg`` and ``zidane.jpg`` of the installed ultralytics package, which is not imported.

    Raises:
        InputError: The package or its pictures are not there.
    """
    import cv2

    spec = importlib.util.find_spec("ultralytics")
    if spec is None or not spec.submodule_search_locations:
        raise InputError(
            "the sample photographs are part of ultralytics, which is not installed", remedy="run setup.sh"
        )
    assets = Path(next(iter(spec.submodule_search_locations))) / "assets"
    pictures = []
    for name, shape in (("bus.jpg", (1080, 810)), ("zidane.jpg", (720, 1280))):
        picture = cv2.imread(str(assets / name))
        if picture is None or picture.shape[:2] != shape:
            size = f"{shape[1]}×{shape[0]}"
            raise InputError(f"'{assets / name}', {size} pixels, is missing", remedy="reinstall ultralytics")
        pictures.append(picture.astype(np.uint8))
    return pictures[0], pictures[1]
