"""Open-set identification: how many known people are named, and how many strangers, by a learnt and a fixed threshold.

    python benchmarks/open_set.py ../shared                                   # half of the people known, and PETS
    python benchmarks/open_set.py ../shared --only cameras --known 2 --known 3 --images 1 --images 8

Two cameras: some of the people of data/reid_two_cameras, by default half of them, are in the gallery with images of one
camera; all images of the other camera are named. Each line is the mean over many random divisions of the people:

- box: every image is a frame of its own, without tracks (`--tracker gallery_only`), person by person
- track: every person is a track of as many frames as there are views, three in a frame; names at its end

PETS: yolov8n's boxes of PETS09-S2L1, tracked by `gallery`; the first four or eight identities are in the gallery, with
half of their images, the first half or every second one. The ground truth gives people new numbers when they return;
the crops show that they are ten people: `SAME`.

*named*: known people with their name; *false*: strangers with any name, in brackets of the worst division; *wrong*:
known people with another's name.
"""

from __future__ import annotations

import argparse
import dataclasses
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

import mot_dinov3
from gallery import Data, true_boxes
from mot_dinov3.core.boxes import iou
from mot_dinov3.core.structures import Detections, FloatArray, IntArray
from mot_dinov3.features.factory import EmbedderConfig, build_embedder
from mot_dinov3.gallery.config import AUTO, GalleryConfig
from mot_dinov3.gallery.folder import KnownIdentities
from mot_dinov3.gallery.identifier import Identifier
from mot_dinov3.models.devices import DeviceConfig
from mot_dinov3.video.image_files import read_image

TOGETHER = 3  # people in one frame
FIXED = 0.25  # the threshold to compare with
NETWORKS = {
    "osnet_x0_25": "osnet_x0_25_msmt17.onnx",
    "reid_0287": "omz/reid_0287_rgb_imagenet.xml",
    "reid_0277": "omz/reid_0277_rgb_imagenet.xml",
}
SAME = {19: 1, 13: 2, 11: 3, 12: 4, 9: 5, 10: 6, 14: 8, 15: 8, 18: 8}  # numbers of one person in PETS09-S2L1


@dataclasses.dataclass(frozen=True)
class People:
    """Embedded images of people.

    Attributes:
        person: ``(n,)`` who is in an image, 0 … people − 1.
        camera: ``(n,)`` 0 or 1.
        embedding: ``(n, d)`` unit rows.
    """

    person: IntArray
    camera: IntArray
    embedding: FloatArray

    @classmethod
    def read(cls, root: Path, embedder: str, model: Path | None) -> People:
        """Embed the images below `root`."""
        config = EmbedderConfig(embedder=embedder, embed_model=None if model is None else str(model), crop_pad=0.0)
        network = build_embedder(config, device=DeviceConfig("cpu"))
        files = sorted(root.glob("*/*.png"))
        names = sorted({file.parent.name for file in files})
        cameras = sorted({file.stem.split("_")[0] for file in files})
        return cls(
            np.array([names.index(file.parent.name) for file in files]),
            np.array([cameras.index(file.stem.split("_")[0]) for file in files]),
            network.embed_images([read_image(file) for file in files]),
        )


@dataclasses.dataclass(frozen=True)
class Division:
    """One random division of the people.

    Attributes:
        known: The gallery.
        query: ``(q, v)`` images of the people that are to be named, a row for each.
        name: ``(q,)`` name of each, None for strangers.
    """

    known: KnownIdentities
    query: IntArray
    name: list[str | None]


def divide(people: People, known: int, images: int, strangers: int | None, seed: int) -> Division:
    """Return a random division with `known` people of `images` images each in the gallery."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(people.person.max() + 1)
    camera = seed % 2
    chosen, rows = order[:known], []
    for person in chosen:
        own = np.flatnonzero((people.person == person) & (people.camera == camera))
        rows.append(rng.choice(own, min(images, len(own)), replace=False))
    names = tuple(f"person {person}" for person in chosen)
    gallery = KnownIdentities(names, people.embedding[np.concatenate(rows)], np.repeat(np.arange(known), images))
    shown = rng.permutation(np.concatenate([chosen, order[known:][:strangers]]))
    query = np.stack([np.flatnonzero((people.person == person) & (people.camera != camera)) for person in shown])
    return Division(gallery, query, [f"person {p}" if p in chosen else None for p in shown])


def named_boxes(people: People, division: Division, config: GalleryConfig) -> Iterator[tuple[str | None, str | None]]:
    """Yield the right and the given name of every image, each in a frame of its own, without tracks."""
    identifier = Identifier(division.known, config, memory=False)
    frame = 0
    for views, name in zip(division.query, division.name):
        for image in views:
            found = identifier.identify(rows(people.embedding[[image]], [0]), frame)
            yield name, found.gallery_id[0]
            frame += 1


def named_tracks(people: People, division: Division, config: GalleryConfig) -> Iterator[tuple[str | None, str | None]]:
    """Yield the right and the given name of every person's track at its end."""
    identifier = Identifier(division.known, config)
    frame = 0
    for start in range(0, len(division.query), TOGETHER):
        group = division.query[start : start + TOGETHER]
        numbers = list(range(start + 1, start + 1 + len(group)))
        for views in group.T:
            found = identifier.identify(rows(people.embedding[views], numbers), frame)
            frame += 1
        yield from zip(division.name[start:], found.gallery_id)


def rows(embedding: FloatArray, tracks: list[int]) -> Detections:
    """Return boxes side by side that were embedded just now."""
    left = 50.0 * np.arange(len(tracks), dtype=np.float32)
    boxes = np.stack([left, 0 * left, left + 40, 0 * left + 100], axis=1)
    return Detections(boxes, track_id=tracks, embedding=embedding, fresh=[True] * len(tracks))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=Path, help="folder of images, videos and weights")
    parser.add_argument("--only", choices=("cameras", "pets"), help="leave out the other part")
    parser.add_argument("--known", type=int, action="append", default=[], help="people in the gallery (default: half)")
    parser.add_argument("--images", type=int, action="append", default=[], help="images of each (default 8)")
    parser.add_argument("--strangers", type=int, help="at most (default: all others)")
    parser.add_argument("--divisions", type=int, default=40)
    args = parser.parse_args()
    if args.only != "pets":
        for line in two_cameras(args):
            print(line, flush=True)
    if args.only != "cameras":
        for line in pets(args.shared):
            print(line, flush=True)


def two_cameras(args: argparse.Namespace) -> Iterator[str]:
    """Yield the table of the two cameras."""
    yield "| network | known × images | mode | threshold | named | false | wrong |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    networks = {name: ("osnet", args.shared / "models" / file) for name, file in NETWORKS.items()}
    for name, (embedder, model) in {**networks, "histogram": ("histogram", None)}.items():
        people = People.read(args.shared / "data/reid_two_cameras", embedder, model)
        for known in args.known or [(people.person.max() + 1) // 2]:
            for images in args.images or [8]:
                for line in table(people, known, images, args):
                    yield f"| {name} | {known} × {images} | {line} |"


def table(people: People, known: int, images: int, args: argparse.Namespace) -> Iterator[str]:
    """Yield the lines of one network and gallery."""
    divisions = [divide(people, known, images, args.strangers, seed) for seed in range(args.divisions)]
    for threshold in (AUTO, FIXED):
        config = GalleryConfig(gallery_match_threshold=threshold)
        for mode, run in (("box", named_boxes), ("track", named_tracks)):
            shares = np.array([rates(list(run(people, division, config))) for division in divisions])
            right, false, wrong = 100 * shares.mean(axis=0)
            told = "auto" if threshold == AUTO else f"{threshold:g}"
            yield f"{mode} | {told} | {right:.1f} % | {false:.2f} % ({100 * shares[:, 1].max():.1f}) | {wrong:.2f} %"


def pets(shared: Path) -> Iterator[str]:
    """Yield the table of PETS."""
    yield ""
    yield "| network | known | images | threshold | named | false | wrong |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    with tempfile.TemporaryDirectory() as folder:
        data = Data(shared, Path(folder))
        truth, boxes = true_boxes(data.sequence / "gt/gt.txt"), data.pets()
        for name, file in NETWORKS.items():
            for half in ("even", "first"):
                for known in (4, 8):
                    root = data.folder / f"{half}{known}"
                    if not root.exists():
                        for identity in sorted(filter(Path.is_dir, data.gallery(half).iterdir()))[:known]:
                            shutil.copytree(identity, root / identity.name)
                    for threshold in ("auto", FIXED):
                        result = mot_dinov3.track_video(
                            dets_json=boxes,
                            video=data.video,
                            gallery=root,
                            reid_weights=shared / "models" / file,
                            device="cpu",
                            gallery_match_threshold=threshold,
                        )
                        people = {same(identity.name) for identity in root.iterdir() if identity.is_dir()}
                        right, false, wrong = rates(list(names(result.payload["frames"], truth, people)))
                        shown = f"{100 * right:.1f} % | {100 * false:.2f} % | {100 * wrong:.2f} %"
                        yield f"| {name} | {known} | {half} half | {threshold} | {shown} |"


def same(identity: str | int) -> str:
    """Return the person of a number in the truth."""
    return str(SAME.get(int(identity), int(identity)))


def names(
    frames: list[dict[str, Any]], truth: dict[int, tuple[list[int], Any]], people: set[str]
) -> Iterator[tuple[str | None, str | None]]:
    """Yield the right name, None for a stranger, and the given one of every detection that is on a person."""
    for frame in frames:
        if frame["frame"] not in truth or not frame["detections"]:
            continue
        shown, where = truth[frame["frame"]]
        overlap = iou(np.array([row["bbox"] for row in frame["detections"]], np.float32), where)
        for row, column in zip(*linear_sum_assignment(-overlap * (overlap >= 0.5))):
            if overlap[row, column] >= 0.5:
                given, right = frame["detections"][row].get("gallery_id"), same(shown[column])
                yield right if right in people else None, None if given is None else same(given)


def rates(found: list[tuple[str | None, str | None]]) -> tuple[float, float, float]:
    """Return the shares of known people named right, of strangers named, of known people named wrong."""
    known = [(right, given) for right, given in found if right is not None]
    strange = [given is not None for right, given in found if right is None]
    return (
        float(np.mean([right == given for right, given in known])),
        float(np.mean(strange)) if strange else 0.0,
        float(np.mean([given not in (right, None) for right, given in known])),
    )


if __name__ == "__main__":
    main()
