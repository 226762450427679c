"""Points that are gone: said so, and found again when they are back."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from keypoints import scene
from mot_dinov3.keypoints.config import KeypointConfig
from mot_dinov3.keypoints.descriptor_maps import DenseMap, Templates, unit
from mot_dinov3.keypoints.geometry import IDENTITY, Canvas, apply
from mot_dinov3.keypoints.job.config import BackendConfig, KeypointJobConfig, KeypointsOptions
from mot_dinov3.keypoints.job.wiring import build_keypoints
from mot_dinov3.keypoints.redetect import ReferenceMap, redetect, tile_matrices
from mot_dinov3.models.devices import DeviceConfig

Corner = tuple[int, int] | None


def texture(seed: int, size: tuple[int, int], low: int, high: int, blur: float) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(low, high, (size[1], size[0], 3)).astype(np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), blur)


def picture(corner: Corner, wall: tuple[int, int] | None) -> np.ndarray:
    image = texture(5, scene.SIZE, 90, 130, 2)
    if corner is not None:
        x, y = corner
        image[y : y + scene.BODY[1], x : x + scene.BODY[0]] = texture(7, scene.BODY, 0, 255, 1.5)
    if wall is not None:
        image[:, wall[0] : wall[1]] = texture(11, (wall[1] - wall[0], scene.SIZE[1]), 60, 160, 3)
    return image


def follow(folder: Path, corners: list[Corner], wall: tuple[int, int] | None) -> dict[tuple[int, str], dict[str, str]]:
    """Return the table's rows after following a body whose corner is at `corners`, None where it is away."""
    video = scene.write_images(folder / "v.mkv", [picture(corner, wall) for corner in corners])
    first = corners[0]
    assert first is not None
    x, y = first
    outline = [[x, y], [x + scene.BODY[0], y], [x + scene.BODY[0], y + scene.BODY[1]], [x, y + scene.BODY[1]]]
    shapes = [scene.shape(name, [[x + dx, y + dy]], "point") for name, (dx, dy) in scene.POINTS.items()]
    (folder / "v").mkdir()
    (folder / "v" / "v_000000000.json").write_text(
        json.dumps(scene.document([scene.shape("mouse", outline, "polygon"), *shapes], scene.SIZE))
    )
    job, backend = KeypointJobConfig(source=str(video)), BackendConfig("gradient")
    build_keypoints(KeypointsOptions(job, backend, DeviceConfig(device="cpu"), KeypointConfig())).run()
    with (folder / "v" / "v_keypoints.csv").open(newline="") as file:
        return {(int(r["frame"]), r["keypoint"]): r for r in csv.DictReader(file)}


def off_by(row: dict[str, str], corner: Corner) -> float:
    assert corner is not None
    dx, dy = scene.POINTS[row["keypoint"]]
    return float(np.hypot(float(row["x"]) - corner[0] - dx, float(row["y"]) - corner[1] - dy))


@pytest.mark.slow
def test_an_animal_that_went_behind_a_wall_is_followed_on_the_other_side(tmp_path: Path) -> None:
    corners: list[Corner] = [(8 + 2 * i, 44 + round(6 * np.sin(i / 4))) for i in range(58)]
    rows = follow(tmp_path, corners, wall := (80, 110))
    flagged = set()
    for name, (dx, _) in scene.POINTS.items():
        hidden = [f for f, c in enumerate(corners) if c is not None and wall[0] <= c[0] + dx < wall[1]]
        assert len(hidden) > 10
        flagged |= {name for f in hidden if rows[f, name]["state"] == "occluded"}
        last = rows[len(corners) - 1, name]
        assert last["state"] == "visible", name
        assert off_by(last, corners[-1]) < 2, name
    assert len(flagged) >= 2


@pytest.mark.slow
def test_an_animal_that_left_is_lost_and_found_where_it_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SIZE", "BODY"):  # so large that the ground resembles no point of it by chance
        monkeypatch.setattr(scene, name, tuple(2 * v for v in getattr(scene, name)))
    monkeypatch.setattr(scene, "POINTS", {name: (2 * x, 2 * y) for name, (x, y) in scene.POINTS.items()})
    corners: list[Corner] = [(40 + 4 * i, 80) for i in range(8)] + [None] * 38 + [(200, 140)] * 14
    rows = follow(tmp_path, corners, None)
    state = {frame: [rows[frame, name]["state"] for name in scene.POINTS] for frame in range(len(corners))}
    assert state[7] == ["visible"] * 4
    away = [one for frame in range(38, 46) for one in state[frame]]  # from the thirtieth frame without it
    assert away.count("visible") <= len(away) / 8
    assert away.count("lost") >= len(away) / 4
    assert all(row["x"] == "NaN" for row in rows.values() if row["state"] == "lost")
    assert state[59] == ["visible"] * 4
    assert max(off_by(rows[59, name], corners[-1]) for name in scene.POINTS) < 2


@pytest.fixture
def reference() -> ReferenceMap:
    cells = unit(np.random.default_rng(0).normal(size=(8, 8, 16)).astype(np.float32))
    points = np.array([[12.0, 12.0], [44.0, 28.0]])
    dense = DenseMap(cells, 8.0)
    return ReferenceMap(dense, points, Templates(dense.at(points)), 0.5)


def test_a_place_counts_only_if_the_way_back_ends_at_the_click(reference: ReferenceMap) -> None:
    moved = DenseMap(np.roll(reference.dense.cells, (2, 1), (0, 1)), 8.0)
    both = np.arange(2)
    ask = {"penalty": np.zeros((1, 1, 1)), "typical": np.ones(2)}
    places, sure = redetect(reference, moved, both, **ask)
    assert sure.tolist() == [True, True]
    np.testing.assert_allclose(places, reference.points + np.array([8, 16]), atol=4)
    # the way back ends at the other labelled point
    elsewhere = ReferenceMap(reference.dense, reference.points[::-1], reference.templates, 0.5)
    assert redetect(elsewhere, moved, both, **ask)[1].tolist() == [False, False]
    shut = np.full((1, 8, 8), np.inf)
    assert redetect(reference, moved, both, penalty=shut, typical=np.ones(2))[1].tolist() == [False, False]


def test_tiles_cover_the_frame() -> None:
    canvas = Canvas.around(np.array([[10.0, 10.0], [60.0, 40.0]]), limit=448)
    turned = np.array([[0.0, -1.0, 50.0], [1.0, 0.0, 0.0]])
    for pose in (IDENTITY, turned):
        tiles = tile_matrices(canvas, pose, (640, 360))
        spots = np.random.default_rng(1).uniform((0, 0), (640, 360), (200, 2))
        inside = [((m >= 0) & (m <= canvas.side)).all(1) for m in (apply(tile, spots) for tile in tiles)]
        assert np.any(inside, axis=0).all()
