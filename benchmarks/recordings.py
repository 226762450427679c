"""Precomputed detections with ground truth for the benchmarks, and ways to make them harder."""

from __future__ import annotations

import argparse
import configparser
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mot_dinov3.apps.evaluation import BoxTable, read_truth
from mot_dinov3.core import boxes
from mot_dinov3.core.structures import Detections, Image
from mot_dinov3.video import SourceConfig, open_source

VISIBLE = 0.3  # share of a box that must be in the picture for it to count there
WINDOW = (512, 384)  # px of the moving camera's picture
SWING = (110.0, 60.0)  # px to either side, and up and down
PERIOD = (9.0, 7.0)  # s of one swing
SHAKE = 4.0  # px, of a hand


@dataclasses.dataclass(frozen=True)
class Recording:
    """One sequence.

    Attributes:
        name: Its folder's.
        fps: Frames per second.
        size: Width and height of its pictures.
        frames: Its detections frame by frame, with embeddings where there are any.
        same_floor: The embedder's, for these embeddings.
        truth: The true boxes.
        pictures: Its pictures, where a benchmark wants them seen.
    """

    name: str
    fps: float
    size: tuple[int, int]
    frames: list[Detections]
    truth: BoxTable
    same_floor: float = 0.5
    pictures: Panning | None = None


@dataclasses.dataclass(frozen=True)
class Panning:
    """The pictures that a camera would take which swings over a video: iterating decodes them anew.

    Attributes:
        video: The still video.
        corner: ``(n, 2)`` int64 upper left corner of the window in each frame.
        size: Its width and height.
    """

    video: Path
    corner: npt.NDArray[np.int64]
    size: tuple[int, int]

    def __iter__(self) -> Iterator[Image]:
        width, height = self.size
        with open_source(SourceConfig(source=str(self.video))) as source:
            for frame, (x, y) in zip(source, self.corner.tolist()):
                yield np.ascontiguousarray(frame.pixels()[y : y + height, x : x + width])


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what says which sequences are read, and how they are made harder."""
    parser.add_argument("--sequences", nargs="+", help="only these")
    parser.add_argument("--det-name", default="det.txt", help="detection file inside each SEQ/det (default: det.txt)")
    add_strains(parser)


def add_strains(parser: argparse.ArgumentParser) -> None:
    """Add what makes sequences harder."""
    parser.add_argument("--drop", type=float, default=0.0, help="share of boxes to drop at random (default: 0)")
    parser.add_argument("--double", type=float, default=0.0, help="share of boxes to be detected twice (default: 0)")
    parser.add_argument("--every", type=int, default=1, help="keep one frame in so many (default: 1, all)")
    parser.add_argument("--rate", type=float, help="keep as many frames as come nearest to this rate per second")


def load(args: argparse.Namespace) -> Iterator[Recording]:
    """Read the sequences that have a detection file of the wanted name."""
    found = sorted(path for folder in args.data for path in folder.glob(f"*/det/{args.det_name}"))
    for path in found:
        folder = path.parents[1]
        if args.sequences and folder.name not in args.sequences:
            continue
        info = configparser.ConfigParser()
        info.read(folder / "seqinfo.ini")
        rows = np.loadtxt(path, delimiter=",", ndmin=2, usecols=range(7))
        rows[:, 4:6] += rows[:, 2:4]
        frame = rows[:, 0].astype(np.int64) - 1
        found_boxes = Detections(rows[:, 2:6], score=np.clip(rows[:, 6], 0, 1), class_id=np.zeros(len(rows)))
        count = max(info.getint("Sequence", "seqLength"), int(frame.max()) + 1)
        frames = [found_boxes[np.flatnonzero(frame == index)] for index in range(count)]
        truth = read_truth(folder / "gt" / "gt.txt")
        size = (info.getint("Sequence", "imWidth"), info.getint("Sequence", "imHeight"))
        yield Recording(folder.name, info.getfloat("Sequence", "frameRate"), size, frames, truth)


def embedded_boxes(recording: Recording, video: Path, model: Path) -> Recording:
    """Return the recording with an embedding for every box."""
    from mot_dinov3.features.factory import EmbedderConfig, build_embedder
    from mot_dinov3.models.devices import DeviceConfig

    config = EmbedderConfig(embedder="osnet", embed_model=str(model))
    embedder = build_embedder(config, device=DeviceConfig(device="cpu"))
    frames = []
    with open_source(SourceConfig(source=str(video))) as source:
        for frame, rows in zip(source, recording.frames):
            frames.append(rows.replace(embedding=embedder.embed(frame.pixels(), rows.xyxy)))
    return dataclasses.replace(recording, frames=frames, same_floor=embedder.same_floor)


def strained(recording: Recording, args: argparse.Namespace, seed: int) -> Recording:
    """Return the recording made harder as the options of `add_strains` say."""
    every = max(round(recording.fps / args.rate), 1) if args.rate else args.every
    recording = thinned(recording, every) if every > 1 else recording
    recording = dropped(recording, args.drop, seed) if args.drop else recording
    return doubled(recording, args.double, seed) if args.double else recording


def dropped(recording: Recording, share: float, seed: int) -> Recording:
    """Return the recording without a random `share` of its boxes."""
    rng = np.random.default_rng(seed)
    frames = [rows[rng.random(len(rows)) >= share] for rows in recording.frames]
    return dataclasses.replace(recording, frames=frames)


def doubled(recording: Recording, share: float, seed: int) -> Recording:
    """Return the recording with a random `share` of its boxes detected twice, the second time a little off.

    Detectors do that where non-maximum suppression lets two boxes of one object pass: the copy's sides are up to an
    eighth of the box away, and its score is 5 % lower.
    """
    rng = np.random.default_rng(seed)
    frames = []
    for rows in recording.frames:
        twice = rows[rng.random(len(rows)) < share]
        reach = np.tile(twice.xyxy[:, 2:] - twice.xyxy[:, :2], 2) / 8
        xyxy = twice.xyxy + reach * rng.uniform(-1, 1, twice.xyxy.shape).astype(np.float32)
        frames.append(Detections.concat([rows, twice.replace(xyxy=xyxy, score=0.95 * twice.score)]))
    return dataclasses.replace(recording, frames=frames)


def thinned(recording: Recording, every: int) -> Recording:
    """Return one frame in `every` of the recording."""
    truth = recording.truth
    kept = truth.frame % every == 0
    frames, fps = recording.frames[::every], recording.fps / every
    return dataclasses.replace(recording, frames=frames, fps=fps, truth=_moved(truth, kept, truth.frame // every))


def panned(recording: Recording, video: Path, *, seed: int = 0) -> Recording:
    """Return what a swinging, shaking camera would have recorded: a window that moves over the pictures and boxes."""
    rng = np.random.default_rng(seed)
    count, (width, height) = len(recording.frames), WINDOW
    time = np.arange(count)[:, None] / recording.fps
    room = np.array(recording.size) - WINDOW
    swing = np.array(SWING) * np.sin(2 * np.pi * time / PERIOD) + rng.normal(0, SHAKE, (count, 2))
    corner = np.clip(np.round(room / 2 + swing), 0, room).astype(np.int64)
    shift = np.tile(corner, 2).astype(np.float32)
    frames = []
    for rows, move in zip(recording.frames, shift):
        seen, inside = _through(rows.xyxy - move)
        frames.append(rows.replace(xyxy=seen)[inside])
    truth = recording.truth
    known = truth.frame < count
    truth = _moved(truth, known, truth.frame)
    seen, inside = _through(boxes.from_xywh(truth.xywh.astype(np.float32)) - shift[truth.frame])
    truth = dataclasses.replace(truth, xywh=boxes.to_xywh(seen).astype(np.float64))
    return dataclasses.replace(
        recording,
        name=f"{recording.name}, moving camera",
        size=WINDOW,
        frames=frames,
        truth=_moved(truth, inside, truth.frame),
        pictures=Panning(video, corner, (width, height)),
    )


def _through(xyxy: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Return the boxes cut off at the window's edges, and which of them are still mostly there."""
    seen = boxes.clip(xyxy, *WINDOW)
    return seen, boxes.area(seen) >= VISIBLE * boxes.area(xyxy)


def _moved(truth: BoxTable, kept: npt.NDArray[np.bool_], frame: npt.NDArray[np.int64]) -> BoxTable:
    """Return the kept rows of the truth, at other frames."""
    rows = {name: column[kept] for name, column in vars(truth).items() if isinstance(column, np.ndarray)}
    return dataclasses.replace(truth, **{**rows, "frame": frame[kept]})
