"""Keypoint tables for other programs, read back with those programs' own libraries where they are installed."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest

from mot_dinov3.core.errors import UsageError
from mot_dinov3.core.structures import Keypoints
from mot_dinov3.formats import keypoints_csv, pose_files
from mot_dinov3.formats.pose_files import PoseTable

FPS = 25.0
INSTANCES = ("m1", "m1", "m1", "mäuse 2 mit einem langen Namen", "mäuse 2 mit einem langen Namen", "box")
NAMES = ("nose", "left ear", "tail", "tail", "nose", "corner")


def keypoints(frame: int) -> Keypoints:
    """Two animals with their points in another order, the second one without an ear, and a box with a corner."""
    xy = np.array([[10, 1], [20, 2], [30, 3], [130, 103], [110, 101], [5, 5]], float) + frame
    xy[2] = np.nan if frame == 1 else xy[2]
    score = np.array([0.9, 0.8, 0.0 if frame == 1 else 0.7, 0.6, 0.5, 1.0])
    ids = np.array([1, 1, 1, 2, 2, 3])
    return Keypoints(INSTANCES, ids, NAMES, xy, score, np.where(np.isnan(xy[:, 0]), 2, 0), np.ones(6, int))


def rows(frames: tuple[int, ...] = (0, 1, 3)) -> list[tuple[int, float, Keypoints]]:
    return [(frame, frame / FPS, keypoints(frame)) for frame in frames]


def poses() -> PoseTable:
    return PoseTable.of(rows(), FPS)


def wide(frames: list[tuple[int, float, Keypoints]]) -> list[list[str]]:
    file = io.StringIO()
    keypoints_csv.write_wide(file, ((frame, one) for frame, _, one in frames))
    return list(csv.reader(io.StringIO(file.getvalue())))


def test_every_animal_has_the_same_body_parts_in_the_same_order() -> None:
    table = wide(rows())
    scorer, animals, parts, coords = (row[1:] for row in table[:4])
    assert set(scorer) == {"mot-dinov3"}
    assert list(dict.fromkeys(animals)) == ["m1", INSTANCES[3], "box"]
    each = [parts[i] for i in range(0, len(parts), 3)]
    assert each == ["nose", "left ear", "tail", "corner"] * 3
    assert coords == ["x", "y", "likelihood"] * 12
    assert {len(row) for row in table} == {1 + 36}
    cells = {(a, p, c): v for a, p, c, v in zip(animals, parts, coords, table[4][1:])}
    assert cells[INSTANCES[3], "nose", "x"] == "110.000"
    assert [cells[INSTANCES[3], "left ear", c] for c in ("x", "y", "likelihood")] == ["", "", "0.0000"]
    assert [row[0] for row in table[4:]] == ["0", "1", "2", "3"]
    assert table[6][1:4] == ["", "", "0.0000"]  # a frame without rows


def test_frames_with_other_rows_keep_their_columns() -> None:
    first = Keypoints(
        ("m1",), np.array([1]), ("tail",), np.array([[7.0, 8.0]]), np.ones(1), np.zeros(1, int), np.ones(1)
    )
    frames = [(0, 0.0, first), (1, 0.04, keypoints(0))]
    file = io.StringIO()
    points = [pair for _, _, one in frames for pair in zip(one.instance, one.name)]
    keypoints_csv.write_wide(file, ((frame, one) for frame, _, one in frames), points)
    animals, parts, coords, *rows = (row[1:] for row in list(csv.reader(io.StringIO(file.getvalue())))[1:])
    table = PoseTable.of(frames, FPS)
    for number, row in enumerate(rows):
        for animal, part, coord, cell in zip(animals, parts, coords, row):
            at = number, table.individuals.index(animal), table.keypoints.index(part)
            value = table.score[at] if coord == "likelihood" else table.xy[at]["xy".index(coord)]
            assert (cell == "" and np.isnan(value)) or float(cell) == value
    assert table.xy[0, 0, table.keypoints.index("tail")].tolist() == [7, 8]
    assert table.xy[1, 0, table.keypoints.index("tail")].tolist() == [30, 3]


def test_poses_have_every_frame_and_nan_for_what_is_unknown() -> None:
    table = poses()
    assert table.xy.shape == (4, 3, 4, 2)
    assert np.isnan(table.xy[2]).all()
    assert table.time.tolist() == [0.0, 0.04, 0.08, 0.12]
    assert table.xy[0, 1, 2].tolist() == [130, 103]
    assert np.isnan(table.xy[1, 0, 2]).all()
    assert table.score[1, 0, 2] == 0


def test_a_missing_package_is_named_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(pose_files.PACKAGES, "dlc_h5", ("a_module_that_is_nowhere",))
    with pytest.raises(UsageError, match="--dlc-h5 needs a_module_that_is_nowhere") as error:
        pose_files.check_packages("dlc_h5")
    assert "mot-dinov3[poses]" in error.value.remedy


@pytest.mark.parametrize("animals", [1, 40])
def test_the_dlc_file_is_read_by_pandas_as_the_csv_is(tmp_path: Path, animals: int) -> None:
    pytest.importorskip("tables", reason="the extra 'poses' is not installed")
    pd = pytest.importorskip("pandas")
    parts = [f"a body part with a long name {i}" for i in range(20)]
    names = [(f"animal {a}", part) for a in range(animals) for part in parts]
    n = len(names)
    one = Keypoints(
        tuple(a for a, _ in names), np.arange(n), tuple(p for _, p in names), np.arange(2.0 * n).reshape(n, 2),
        np.full(n, 0.5), np.zeros(n, int), np.ones(n, int),
    )  # fmt: skip
    frames = [(0, 0.0, one), (1, 0.04, one)]
    pose_files.write_dlc_h5(tmp_path / "t.h5", PoseTable.of(frames, FPS))
    found = pd.read_hdf(tmp_path / "t.h5")
    with (tmp_path / "t.csv").open("w", newline="") as file:
        keypoints_csv.write_wide(file, ((frame, row) for frame, _, row in frames))
    header = list(range(4 if animals > 1 else 3))
    expected = pd.read_csv(tmp_path / "t.csv", header=header, index_col=0)
    assert list(found.columns) == list(expected.columns)
    np.testing.assert_allclose(found.to_numpy(), expected.to_numpy())


def test_sleap_io_reads_the_analysis_file(tmp_path: Path) -> None:
    sleap_io = pytest.importorskip("sleap_io", reason="the extra 'poses' is not installed")
    path = tmp_path / "t.analysis.h5"
    pose_files.write_sleap_h5(path, poses(), tmp_path / "v.mp4")
    labels = sleap_io.load_analysis_h5(str(path))
    assert [track.name for track in labels.tracks] == ["m1", INSTANCES[3], "box"]
    assert [node.name for node in labels.skeleton.nodes] == ["nose", "left ear", "tail", "corner"]
    table = labels.numpy(return_confidence=True)
    np.testing.assert_allclose(table[[0, 1, 3], :, :, :2], poses().xy[[0, 1, 3]], rtol=1e-6)


@pytest.mark.parametrize("kind", ["dlc.csv", "dlc.h5", "analysis.h5", "nc"])
def test_movement_reads_every_file(tmp_path: Path, kind: str) -> None:
    pytest.importorskip("movement", reason="movement is not installed")
    from movement.io import load_poses

    path, table = tmp_path / f"t.{kind}", poses()
    if kind == "dlc.csv":
        with path.open("w", newline="") as file:
            keypoints_csv.write_wide(file, ((frame, one) for frame, _, one in rows()))
        found = load_poses.from_dlc_file(path, fps=FPS)
    elif kind == "dlc.h5":
        pose_files.write_dlc_h5(path, table)
        found = load_poses.from_dlc_file(path, fps=FPS)
    elif kind == "analysis.h5":
        pose_files.write_sleap_h5(path, table, tmp_path / "v.mp4")
        found = load_poses.from_sleap_file(path, fps=FPS)
    else:
        import xarray

        pose_files.write_movement_nc(path, table, FPS)
        found = xarray.load_dataset(path)
        like = load_poses.from_numpy(
            table.xy.transpose(0, 3, 2, 1), table.score.transpose(0, 2, 1), list(table.individuals),
            list(table.keypoints), fps=FPS,
        )  # fmt: skip
        assert (found.dims, set(found.attrs)) == (like.dims, set(like.attrs))
        assert [found[name].dims for name in ("position", "confidence")] == [
            like[name].dims for name in ("position", "confidence")
        ]
    at = dict(zip(INSTANCES, (0, 0, 0, 1, 1, 2)))
    for instance, name, xy in zip(INSTANCES, NAMES, keypoints(0).xy):
        place = found.position.sel(individuals=instance, keypoints=name).isel(time=0)
        np.testing.assert_allclose(place.values, xy, err_msg=f"{at[instance]} {name}")
    assert np.isnan(found.position.sel(individuals="box", keypoints="nose").values).all()
    assert len(found.time) == 4
