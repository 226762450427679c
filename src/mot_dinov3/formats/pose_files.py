"""Poses in the files of other programs: DeepLabCut's HDF5, SLEAP's analysis HDF5, and movement's netCDF.

They are written by the libraries of these formats: pandas with PyTables, sleap-io (https://io.sleap.ai), and xarray
(https://movement.neuroinformatics.dev describes the data set). All hold every individual with the same body parts in
the same order, and every frame from 0 on; what is not known is NaN, with a likelihood of 0.
"""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from mot_dinov3.core.errors import UsageError
from mot_dinov3.core.structures import Float64Array, Keypoints
from mot_dinov3.formats.keypoints_csv import SCORER

PACKAGES = {"dlc_h5": ("tables",), "sleap_h5": ("sleap_io",), "movement_nc": ("xarray", "h5netcdf")}
"""Option → modules that write its file; they come with the extra ``poses``."""


@dataclasses.dataclass(frozen=True)
class PoseTable:
    """The poses of a video; ``f`` frames from 0 on, ``i`` individuals, ``k`` keypoints.

    Attributes:
        individuals: Names.
        keypoints: Names, of all individuals.
        time: ``(f,)`` seconds.
        xy: ``(f, i, k, 2)`` pixels; NaN where unknown.
        score: ``(f, i, k)`` 0…1; 0 where unknown.
    """

    individuals: tuple[str, ...]
    keypoints: tuple[str, ...]
    time: Float64Array
    xy: Float64Array
    score: Float64Array

    @classmethod
    def of(cls, rows: Iterable[tuple[int, float, Keypoints]], fps: float) -> PoseTable:
        """Return the poses of a long table, which has at least one frame; frames that it lacks are unknown."""
        found = list(rows)
        individuals = tuple(dict.fromkeys(name for _, _, one in found for name in one.instance))
        keypoints = tuple(dict.fromkeys(name for _, _, one in found for name in one.name))
        row = {name: i for i, name in enumerate(individuals)}
        column = {name: i for i, name in enumerate(keypoints)}
        shape = found[-1][0] + 1, len(individuals), len(keypoints)
        time, xy, score = np.arange(shape[0]) / fps, np.full((*shape, 2), np.nan), np.zeros(shape)
        for frame, seconds, one in found:
            at = [row[name] for name in one.instance], [column[name] for name in one.name]
            time[frame], xy[frame][at], score[frame][at] = seconds, one.xy, one.score
        return cls(individuals, keypoints, time, xy, score)


def check_packages(option: str) -> None:
    """Raise `UsageError` where a package that writes the file of an option is missing."""
    missing = [name for name in PACKAGES[option] if importlib.util.find_spec(name) is None]
    if missing:
        flag = option.replace("_", "-")
        names = " and ".join(missing)
        raise UsageError(f"--{flag} needs {names}", remedy="pip install 'mot-dinov3[poses]', or write --dlc-csv")


def write_dlc_h5(path: Path, poses: PoseTable) -> None:
    """Write DeepLabCut's table: the levels of the columns are those of its CSV."""
    import pandas as pd

    several = len(poses.individuals) > 1
    levels = [
        [SCORER],
        *([list(poses.individuals)] if several else []),
        list(poses.keypoints),
        ["x", "y", "likelihood"],
    ]
    names = ["scorer", *(["individuals"] if several else []), "bodyparts", "coords"]
    cells = np.concatenate([poses.xy, poses.score[..., None]], 3).reshape(len(poses.time), -1)
    table = pd.DataFrame(cells, columns=pd.MultiIndex.from_product(levels, names=names))
    table.to_hdf(path, key="df_with_missing", mode="w")  # not as a PyTables table: its header limits the columns


def write_sleap_h5(path: Path, poses: PoseTable, video: Path) -> None:
    """Write SLEAP's analysis file; every individual is a track."""
    import sleap_io

    skeleton = sleap_io.Skeleton(nodes=list(poses.keypoints))
    tracks = [sleap_io.Track(name) for name in poses.individuals]
    film = sleap_io.Video(filename=str(video), open_backend=False)
    frames = []
    for frame, (places, scores) in enumerate(zip(poses.xy, poses.score)):
        animals = [
            sleap_io.PredictedInstance.from_numpy(
                xy, skeleton=skeleton, point_scores=score, score=float(score.mean()), track=track
            )
            for xy, score, track in zip(places, scores, tracks)
        ]
        frames.append(sleap_io.LabeledFrame(video=film, frame_idx=frame, instances=animals))
    labels = sleap_io.Labels(labeled_frames=frames, skeletons=[skeleton], tracks=tracks, videos=[film])
    sleap_io.save_analysis_h5(labels, str(path), video=film)


def write_movement_nc(path: Path, poses: PoseTable, fps: float) -> None:
    """Write movement's data set of poses."""
    import xarray

    data = xarray.Dataset(
        {
            "position": (("time", "space", "keypoints", "individuals"), poses.xy.transpose(0, 3, 2, 1)),
            "confidence": (("time", "keypoints", "individuals"), poses.score.transpose(0, 2, 1)),
        },
        coords={
            "time": poses.time,
            "space": ["x", "y"],
            "keypoints": list(poses.keypoints),
            "individuals": list(poses.individuals),
        },
        attrs={"source_software": SCORER, "ds_type": "poses", "fps": fps, "time_unit": "seconds"},
    )
    data.to_netcdf(path, engine="h5netcdf")
