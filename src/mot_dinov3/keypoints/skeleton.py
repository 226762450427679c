"""Spatial relations of an instance's keypoints: expected positions, left/right pairs, swaps, limb lengths."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mot_dinov3.core.errors import ConfigError
from mot_dinov3.keypoints.geometry import Array, Points

SWAP_MARGIN = 0.15  # by which exchanging a pair must raise the sum of its similarities
_SIDES = (
    (re.compile(r"(?i)^(left)[\s_.-]*(?=\w)"), "right"),
    (re.compile(r"(?i)(?<=\w)[\s_.-]*(left)$"), "right"),
    (re.compile(r"(?i)^(l)[\s_.-]+"), "r"),
    (re.compile(r"(?i)[\s_.-]+(l)$"), "r"),
    (re.compile(r"(?<=[a-z0-9])(L)$"), "R"),
    (re.compile(r"^(L)(?=[A-Z][a-z])"), "R"),
)


def symmetry_pairs(names: Sequence[str], extra: str = "") -> list[tuple[int, int]]:
    """Return ``(left, right)`` rows of the keypoints whose names differ only in their side.

    Found are leftear/rightear, ear_left/ear_right, l_ear/r_ear, ear-l/ear-r, eyeL/eyeR and the like.

    Args:
        names: The keypoints of an instance.
        extra: Pairs beyond those, ``a:b,c:d``; ``none`` for no pairs at all.

    Raises:
        ConfigError: `extra` has another form.
    """
    if extra.strip().lower() == "none":
        return []
    row = {name: i for i, name in enumerate(names)}
    folded = {name.casefold(): i for name, i in row.items()}
    pairs = []
    for name, left in row.items():
        for pattern, other in _SIDES:
            match = pattern.search(name)
            if match is None:
                continue
            side = match[1]
            cased = other.upper() if side.isupper() else other.capitalize() if side[0].isupper() else other
            mirrored = name[: match.start(1)] + cased + name[match.end(1) :]
            right = row.get(mirrored, folded.get(mirrored.casefold()))
            if right is not None and right != left:
                pairs.append((left, right))
                break
    for left_name, right_name in _extra_pairs(extra):
        if left_name in row and right_name in row:
            pairs.append((row[left_name], row[right_name]))
    return list(dict.fromkeys(pairs))


def _extra_pairs(text: str) -> list[tuple[str, str]]:
    """Return the pairs that ``a:b,c:d`` names."""
    pairs = []
    for part in filter(None, (p.strip() for p in text.split(","))):
        left, colon, right = part.partition(":")
        if part.lower() == "none" or not colon or not left.strip() or not right.strip() or ":" in right:
            raise ConfigError(f"symmetry_pairs must be a:b,c:d, got '{part}'")
        pairs.append((left.strip(), right.strip()))
    return pairs


def expected_positions(current: Points, layout: Points, confidence: Array, *, extent: float) -> Points:
    """Return the positions that each point's neighbours expect: theirs plus the layout's offsets, near ones first.

    Args:
        current: ``(n, 2)`` current positions.
        layout: ``(n, 2)`` typical positions, in the same upright frame.
        confidence: ``(n,)`` weight of each neighbour.
        extent: Size of the instance in the same unit.
    """
    if len(current) < 2:
        return current.copy()
    offset = layout[:, None] - layout[None]
    distance = np.linalg.norm(offset, axis=2)
    weight = confidence * np.exp(-distance / (0.25 * extent)) + 1e-9
    np.fill_diagonal(weight, 0.0)
    votes = current[None] + offset
    return np.asarray((weight[..., None] * votes).sum(1) / weight.sum(1, keepdims=True))


def tolerance(layout: Points, *, extent: float) -> Array:
    """Return the ``(n,)`` normal distance from the expected position: half the way to the neighbours."""
    n = len(layout)
    if n < 2:
        return np.full(n, extent)
    distance = np.sort(np.linalg.norm(layout[:, None] - layout[None], axis=2), axis=1)
    return np.asarray(0.5 * distance[:, min(3, n - 1)] + 0.05 * extent)


def is_swapped(similar: npt.NDArray[np.floating]) -> bool:
    """Return whether ``2×2`` similarities of a pair, template × position, are better the other way round."""
    return float(similar[0, 1] + similar[1, 0] - similar[0, 0] - similar[1, 1]) > SWAP_MARGIN


def limb_outliers(xy: Points, layout: Points, *, low: float = 0.5, high: float = 1.8) -> Array:
    """Return the ``(n,)`` share of each point's limbs, to its three nearest neighbours, that have an unusual length.

    Both layouts are in the same scale; points that are NaN in either do not count.
    """
    known = np.isfinite(xy).all(1) & np.isfinite(layout).all(1)
    share = np.zeros(len(xy))
    if known.sum() < 2:
        return share
    usual = np.linalg.norm(layout[known][:, None] - layout[known], axis=2)
    now = np.linalg.norm(xy[known][:, None] - xy[known], axis=2)
    np.fill_diagonal(usual, np.inf)
    nearest = np.argsort(usual, axis=1, kind="stable")[:, : min(3, len(usual) - 1)]
    usual = np.maximum(np.take_along_axis(usual, nearest, 1), 1e-6)
    now = np.take_along_axis(now, nearest, 1)
    share[known] = ((now < low * usual) | (now > high * usual)).mean(1)
    return share
