r"""Scenes without images whose people get the embeddings of real ones: tracking and linking by any embedder.

The boxes of DanceTrack and MOT17 (noisy ground truth, `../shared/data/association`) get embeddings of images of
`../shared/data/reid_two_cameras`: of the view that the heading of the person asks for, in one of several cut-outs, from
the other camera in the second half of each track, mixed with those of people who stand in front. There are more people
in the scenes than images of people: those beyond the twelfth are mixtures of two. HOTA / IDF1 / ID switches of all
scenes together, online with predicted boxes and linked, as Markdown::

    python benchmarks/synthetic_appearance.py ../shared --embedders histogram \
        osnet=../shared/models/osnet_x0_25_msmt17.onnx reid_0277=../shared/models/omz/reid_0277_rgb_imagenet.xml

Each embedder is used as it is and in a cone; noise in a cone and the true identities are the limits below and above.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from ablation import recordings
from adversarial import CHANGES, changed, scores
from recordings import Recording

from mot_dinov3.core import boxes
from mot_dinov3.core.structures.arrays import unit_rows
from mot_dinov3.features.factory import EmbedderConfig, build_embedder
from mot_dinov3.gallery.folder import read_image
from mot_dinov3.models.devices import DeviceConfig

Array = npt.NDArray[np.float64]
FRAMES = 300
VIEWS = 8
CUTS = 6  # cut-outs of each image, as boxes are never exact
JITTER = 0.06  # of their sides
STILL = 0.1  # body heights in a second below which a person stands
MATCHED = 0.5  # IoU with a box of the ground truth from which on a detection shows its person
LEFT_OUT = ("dancetrack0004", "MOT17-09-FRCNN")  # they are in tracking_pictures
CONE = "as computed, in a cone"


def main() -> None:
    """Print the table."""
    args = parse()
    if os.environ.get("OMP_NUM_THREADS") != "1":  # libraries read it when they are loaded: start again with one thread
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, "OMP_NUM_THREADS": "1"})
    found = list(scenes(args.shared / "data/association"))
    print("| embeddings | online | linked |\n| --- | --- | --- |")
    report("none (motion only)", found)
    for name, weights in (text.partition("=")[::2] for text in args.embedders):
        people = embedded_people(args.shared / "data/reid_two_cameras", weights or None)
        dressed = [with_embeddings(scene, people, args.mixing) for scene in found]
        report(name, dressed)
        report(f"{name}, in a cone", [changed(scene, CHANGES[CONE]) for scene in dressed])
    report("noise in a cone", [changed(scene, CHANGES["noise in a cone"]) for scene in dressed])
    report("of the true identity", [with_embeddings(scene, None) for scene in found])


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=Path, help="folder of videos and weights")
    parser.add_argument(
        "--embedders", nargs="+", default=["histogram"], metavar="NAME[=FILE]", help="histogram, or NAME and a network"
    )
    parser.add_argument(
        "--mixing", type=float, default=1.0, help="weight of who is in front, in hidden shares of the box (default: 1)"
    )
    return parser.parse_args()


def report(name: str, found: list[Recording]) -> None:
    """Print a row of the table."""
    print(f"| {name} | {' | '.join(scores([found]))} |", flush=True)


def scenes(root: Path) -> Iterator[Recording]:
    """Yield the first frames of the sequences."""
    for group in ("dancetrack", "mot17"):
        for recording in recordings(root / group, "det.txt"):
            if recording.name not in LEFT_OUT:
                truth = recording.truth
                rows = truth.frame < FRAMES
                cut = {key: value[rows] for key, value in vars(truth).items() if isinstance(value, np.ndarray)}
                truth = dataclasses.replace(truth, **cut)
                yield dataclasses.replace(recording, frames=recording.frames[:FRAMES], truth=truth)


def embedded_people(root: Path, weights: str | None) -> Array:
    """Return ``(people, cameras, views, cut-outs, d)`` unit embeddings."""
    config = EmbedderConfig(embedder="osnet" if weights else "histogram", embed_model=weights, crop_pad=0.0)
    embedder = build_embedder(config, device=DeviceConfig("cpu"))
    rng = np.random.default_rng(0)
    files = sorted(root.glob("*/*.png"))
    images = []
    for file in files:
        image = read_image(file)
        for _ in range(CUTS):
            height, width = image.shape[:2]
            top, left, bottom, right = rng.uniform(0, JITTER, 4) * (height, width, height, width)
            images.append(np.ascontiguousarray(image[int(top) : int(height - bottom), int(left) : int(width - right)]))
    vectors = embedder.embed_images(images).astype(np.float64)
    return vectors.reshape(-1, 2, VIEWS, CUTS, vectors.shape[1])


def with_embeddings(scene: Recording, people: Array | None, mixing: float = 1.0) -> Recording:
    """Return the scene with an embedding for every box; without people, one that only its identity has."""
    rng = np.random.default_rng(0)
    view, camera = headings(scene), cameras(scene)
    known = np.unique(scene.truth.track_id)
    dim = len(known) if people is None else people.shape[-1]
    looks = None if people is None else appearances(people, len(known))
    frames = []
    for index, rows in enumerate(scene.frames):
        truth = Truth.of(scene, index)
        who = np.searchsorted(known, truth.track_id)
        own = np.eye(len(known), dim)[who]
        if looks is not None:
            now = zip(who.tolist(), camera[index].tolist(), view[index].tolist())
            own = np.array([person_of(looks[one, where], turn, rng) for one, where, turn in now]).reshape(-1, dim)
            own = occluded(own, truth, mixing)
        vectors = rng.normal(size=(len(rows), dim))  # a false box shows anything
        if len(own):
            overlap = boxes.iou(rows.xyxy, truth.xyxy)
            shown = overlap.max(axis=1) >= MATCHED
            vectors[shown] = own[overlap.argmax(axis=1)[shown]]
        frames.append(rows.replace(embedding=unit_rows(vectors.astype(np.float32))))
    return dataclasses.replace(scene, frames=frames)


@dataclasses.dataclass(frozen=True)
class Truth:
    """The ground truth of a frame: ``(n,)`` tracks and their ``(n, 4)`` boxes."""

    track_id: npt.NDArray[np.int64]
    xyxy: npt.NDArray[np.float32]

    @classmethod
    def of(cls, scene: Recording, index: int) -> Truth:
        """Return the frame's."""
        rows = rows_of(scene, index)
        return cls(scene.truth.track_id[rows], boxes.from_xywh(scene.truth.xywh[rows].astype(np.float32)))


def appearances(people: Array, count: int) -> Array:
    """Return ``(count, cameras, views, cut-outs, d)`` embeddings of so many people.

    Those beyond the ones there are have their embeddings, turned at random about the mean of all: they are as like
    themselves in other views, and as far from the mean.
    """
    rng, mean = np.random.default_rng(1), people.mean(axis=(0, 1, 2, 3))
    made = list(people[:count])
    while len(made) < count:
        turn, _ = np.linalg.qr(rng.normal(size=(len(mean), len(mean))))
        made.append(mean + (people[len(made) % len(people)] - mean) @ turn)
    return np.stack(made)


def person_of(views: Array, view: float, rng: np.random.Generator) -> Array:
    """Return what a person looks like now, between two of its ``(views, cut-outs, d)``."""
    cut, between = int(rng.integers(CUTS)), view % 1
    return np.asarray((1 - between) * views[int(view) % VIEWS, cut] + between * views[(int(view) + 1) % VIEWS, cut])


def occluded(own: Array, truth: Truth, mixing: float) -> Array:
    """Return the embeddings mixed with those of the people in front, by the share of the box that they cover."""
    if len(own) < 2:
        return own
    share = boxes.intersection(truth.xyxy, truth.xyxy) / boxes.area(truth.xyxy)[:, None]
    share *= truth.xyxy[None, :, 3] > truth.xyxy[:, None, 3]  # the lower one is nearer to the camera
    front, rows = share.argmax(axis=1), np.arange(len(own))
    hidden = mixing * share[rows, front][:, None]
    return np.asarray((1 - hidden) * own + hidden * own[front])


def headings(scene: Recording) -> list[Array]:
    """Return for each frame the number of each person's view: by the way of a second; who stands still keeps his."""
    truth, span = scene.truth, max(round(scene.fps / 2), 1)
    view = np.zeros(len(truth.frame))
    for rows in lives(scene):
        centre = truth.xywh[rows, :2] + truth.xywh[rows, 2:] / 2
        place = np.arange(len(rows))
        way = centre[np.minimum(place + span, len(rows) - 1)] - centre[np.maximum(place - span, 0)]
        moving = np.hypot(*way.T) > STILL * truth.xywh[rows, 3]
        turn = np.arctan2(way[:, 1], way[:, 0]) / (2 * np.pi / VIEWS) % VIEWS
        view[rows] = turn[np.maximum.accumulate(np.where(moving, place, 0))]
    return [view[rows_of(scene, index)] for index in range(len(scene.frames))]


def cameras(scene: Recording) -> list[npt.NDArray[np.int64]]:
    """Return for each frame the number of each person's camera: the other one from the middle of a track on."""
    second = np.zeros(len(scene.truth.frame), np.int64)
    for rows in lives(scene):
        second[rows[len(rows) // 2 :]] = 1
    return [second[rows_of(scene, index)] for index in range(len(scene.frames))]


def lives(scene: Recording) -> Iterator[npt.NDArray[np.int64]]:
    """Yield the rows of each track of the ground truth, in time."""
    for track in np.unique(scene.truth.track_id).tolist():
        rows = np.flatnonzero(scene.truth.track_id == track)
        yield rows[np.argsort(scene.truth.frame[rows])]


def rows_of(scene: Recording, index: int) -> npt.NDArray[np.bool_]:
    """Return which rows of the ground truth are the frame's."""
    return np.asarray((scene.truth.frame == index) & scene.truth.counted)


if __name__ == "__main__":
    main()
