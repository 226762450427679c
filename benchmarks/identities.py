"""One identity over several videos and cameras: pairwise F1 without a threshold or a number of people given.

    python benchmarks/identities.py ../shared                   # two cameras, four parts of a video, a video twice
    python benchmarks/identities.py --tracklets 100000          # synthetic: time, memory, pairwise F1
    python benchmarks/identities.py --tracklets 100000 --new 1000   # a registry of so many, then a run with these

Cameras: the people of data/reid_two_cameras, in each camera a tracklet of all 8 or of 2 random views, or 4 tracklets of
2 views each (mean of 5 draws), with three networks. *half*: each camera sees two thirds of the people, half of whom are
in both; *strangers*: no person is in both. *best* is complete linkage at the threshold that would have been the best.

- F1: precision and recall of the pairs of tracklets with one identity; for strangers, wrong merges instead
- right: share of the tracklets whose identity has exactly the right tracklets; *confidence* is to agree with it
- halves, same: mean cosine of the halves of tracklets, from which the program infers that of one person, and the latter

Parts: vtest.avi as four videos of 200 frames, tracked with yolov8n's boxes and OSNet by `track`, then `identify`.
*kept*: share of the people in two parts or more whose main identity is the same in all; *mixed*: the largest share of
an identity's boxes that are not of its main person. The ground truth gives people new numbers when they
return: `SAME` of open_set.py.

Twice: the first part given under two names.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import cv2
import numpy as np
from open_set import NETWORKS, SAME
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import squareform

from mot_dinov3.apps.identities import assignment
from mot_dinov3.apps.identities.assignment import assign_identities
from mot_dinov3.apps.identities.camera_plan import CameraPlan
from mot_dinov3.apps.identities.identified_tracks import identify_tracks
from mot_dinov3.apps.identities.pair_evidence import unit_rows
from mot_dinov3.apps.identities.tracklet_means import ComparedTracklets, TrackletMeans, centre
from mot_dinov3.apps.identities.video_tracks import name_videos, read_tracks
from mot_dinov3.cli import main as command
from mot_dinov3.core.boxes import iou
from mot_dinov3.core.structures import BoolArray, FloatArray, IntArray
from mot_dinov3.features.factory import EmbedderConfig, build_embedder
from mot_dinov3.formats.track_embeddings import EmbeddingTable, write_embeddings
from mot_dinov3.formats.track_v1 import read_track_v1
from mot_dinov3.models.devices import DeviceConfig
from mot_dinov3.video.image_files import read_image

DRAWS = 5
PARTS, FRAMES = 4, 200
PER_PERSON, PER_VIDEO, LOOK = 20, 1000, 48  # of the synthetic tracklets
SEEN = 10  # boxes that make a person count in a part
SCENES: dict[str, Callable[[IntArray], tuple[IntArray, IntArray]]] = {
    "all": lambda people: (people, people),
    "half": lambda people: (people[: 2 * len(people) // 3], people[len(people) // 3 :]),
    "strangers": lambda people: (people[: len(people) // 2], people[len(people) // 2 :]),
}


def anything(one: IntArray, other: IntArray) -> BoolArray:
    """Exclude nothing."""
    return np.ones(len(one), np.bool_)


def pairwise_f1(found: IntArray, truth: IntArray) -> float:
    """Return the F1 of the pairs with one identity."""

    def pairs(labels: IntArray) -> float:
        count = np.unique(labels, return_counts=True)[1].astype(float)
        return float((count * (count - 1) / 2).sum())

    both = pairs(found.astype(np.int64) * (int(truth.max()) + 1) + truth)
    return 2 * both / max(pairs(found) + pairs(truth), 1)


def best_f1(rows: FloatArray, truth: IntArray) -> float:
    """Return the F1 of complete linkage at its best threshold."""
    distance = 1 - rows @ rows.T
    np.fill_diagonal(distance, 0)
    tree = linkage(squareform((distance + distance.T) / 2, checks=False), "complete")
    return max(pairwise_f1(fcluster(tree, level + 1e-9, "distance"), truth) for level in tree[:, 2])


def embedded_cameras(shared: Path, model: str) -> FloatArray:
    """Return ``(people, 2, 8, d)`` embeddings of the views of two cameras."""
    embedder = build_embedder(
        EmbedderConfig("osnet", embed_model=str(shared / "models" / model)), device=DeviceConfig("cpu")
    )
    people = sorted(path for path in (shared / "data" / "reid_two_cameras").iterdir() if path.is_dir())
    names = [f"{camera:02}_{view}.png" for camera in (1, 2) for view in range(1, 9)]
    images = [read_image(person / name) for person in people for name in names]
    rows = np.concatenate([embedder.embed_images(images[k : k + 32]) for k in range(0, len(images), 32)])
    return rows.reshape(len(people), 2, 8, -1)


def cameras(shared: Path) -> None:
    """Print the table of two cameras."""
    print("| network | people | views | F1 | best | right | confidence | halves | same |\n" + "| --- " * 9 + "|")
    for label, model in NETWORKS.items():
        rows = embedded_cameras(shared, model)
        for scene, choose in SCENES.items():
            for parts, views in ((1, 8), (1, 2), (4, 2)):
                draws = [
                    camera_draw(rows, (parts, views), np.random.default_rng(seed), choose) for seed in range(DRAWS)
                ]
                found = np.mean(draws, axis=0)
                shown = f"{found[0]:.1f} merges" if scene == "strangers" else f"{found[0]:.2f}"
                others = ["–" if np.isnan(value) else f"{value:.2f}" for value in found[1:]]
                print(f"| {label} | {scene} | {parts} × {views} | {shown} | {' | '.join(others)} |")


def camera_draw(
    rows: FloatArray,
    shape: tuple[int, int],
    random: np.random.Generator,
    choose: Callable[[IntArray], tuple[IntArray, IntArray]],
) -> tuple[float, ...]:
    """Return the figures of one draw of people and views; `shape` is the tracklets a camera, and the views of each."""
    parts, views = shape
    seen = choose(random.permutation(len(rows)))
    truth = np.concatenate(seen)
    camera = np.repeat([0, 1], [len(people) for people in seen])
    drawn = [random.permutation(8)[: parts * views].reshape(parts, views) for _ in truth]
    chosen = [rows[who, where][np.sort(part)] for who, where, split in zip(truth, camera, drawn) for part in split]
    truth, camera = np.repeat(truth, parts), np.repeat(camera, parts)
    stacked, owner = np.concatenate(chosen), np.repeat(np.arange(len(truth)), views)
    appearance = TrackletMeans.of_views(stacked, np.ones(len(stacked)), owner, len(truth))
    tracklets = centre(ComparedTracklets([appearance], camera))
    found = assign_identities(tracklets, anything)
    unit = tracklets.rows.astype(np.float64)
    halves = tracklets.halves.mean()
    same = (truth[:, None] == truth) & (camera[:, None] < camera)
    right = np.mean([set(np.flatnonzero(found.identity == one)) == set(np.flatnonzero(truth == who))
                     for one, who in zip(found.identity, truth)])  # fmt: skip
    shared = bool(same.any())
    score = pairwise_f1(found.identity, truth) if shared else merges(found.identity, truth)
    best = best_f1(unit, truth) if shared else np.nan
    cosine = (unit @ unit.T)[same].mean() if shared else np.nan
    return score, best, float(right), float(found.confidence.mean()), float(halves), float(cosine)


def merges(found: IntArray, truth: IntArray) -> float:
    """Return how many people an identity has beside its first one, in all identities."""
    return float(sum(len(set(truth[found == one])) - 1 for one in set(found)))


def cut_parts(shared: Path, folder: Path) -> list[Path]:
    """Write the parts of vtest.avi and of its boxes; return the videos."""
    boxes = np.loadtxt(shared / "data/tracking/PETS09-S2L1/det/yolov8n_960.txt", delimiter=",")
    reader = cv2.VideoCapture(str(shared / "data/tracking/vtest.avi"))
    parts = []
    for part in range(PARTS):
        parts.append(folder / f"part{part + 1}.avi")
        writer = cv2.VideoWriter(str(parts[-1]), cv2.VideoWriter_fourcc(*"MJPG"), 10, (768, 576))
        for _ in range(FRAMES):
            there, image = reader.read()
            if there:
                writer.write(image)
        writer.release()
        own = boxes[(boxes[:, 0] > FRAMES * part) & (boxes[:, 0] <= FRAMES * (part + 1))]
        own[:, 0] -= FRAMES * part
        np.savetxt(folder / f"part{part + 1}.txt", own, fmt="%g", delimiter=",")
    return parts


def parts_of_a_video(shared: Path) -> None:
    """Print the scores of vtest.avi as four videos, and of its first part twice."""
    truth = np.loadtxt(shared / "data/tracking/PETS09-S2L1/gt/gt.txt", delimiter=",")
    print("\n| network | identities | kept | mixed | twice: joined, wrong |\n" + "| --- " * 5 + "|")
    for label, model in NETWORKS.items():
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            videos = [str(path) for path in cut_parts(shared, folder)]
            options = ["--embedder", "osnet", "--embed-model", str(shared / "models" / model), "--no-progress", "--cpu"]
            run = ["identify", *videos, "--dets", f"{folder}/{{name}}.txt", "--out-dir", f"{folder}/out", *options]
            with contextlib.redirect_stdout(sys.stderr):
                assert command(run) == 0
            count = Counter(main_person(folder / "out", truth))
            kept, mixed = kept_and_mixed(count)
            identities = len({name for _, _, name in count if name})
            first = folder / "out/part1/embeddings.npz"
            shutil.copy(first, folder / "again.npz")
            with contextlib.redirect_stdout(sys.stderr):
                assert command(["identify", str(first), f"{folder}/again.npz", "--out-dir", f"{folder}/twice"]) == 0
            joined, wrong = doubled(folder / "twice")
        print(f"| {label} | {identities} | {kept} | {mixed:.2f} | {joined}, {wrong} |")


def named_tracks(folder: Path) -> dict[tuple[str, int], str]:
    """Return video and track → identity, of ``identities.csv``."""
    lines = [line.split(",") for line in (folder / "identities.csv").read_text().splitlines()[1:]]
    return {(video, int(track)): name for name, video, _, track, *_ in lines}


def main_person(folder: Path, truth: FloatArray) -> list[tuple[int, int, str]]:
    """Return person, part and identity of every box that covers one of the ground truth."""
    names = named_tracks(folder)
    found = true_people(folder, truth)
    return [(person, part, names.get((f"part{part + 1}", track), "")) for person, part, track, _ in found]


def true_people(folder: Path, truth: FloatArray) -> list[tuple[int, int, int, int]]:
    """Return person, part, track and frame of every box that covers one of the ground truth."""
    found = []
    for part in range(PARTS):
        for frame, rows in read_track_v1(folder / f"part{part + 1}/tracked.json").frames.items():
            own = truth[truth[:, 0] == FRAMES * part + frame + 1]
            rows = rows[(rows.track_id >= 0) & ~rows.coasted]
            xyxy = np.concatenate([own[:, 2:4], own[:, 2:4] + own[:, 4:6]], axis=1).astype(np.float32)
            overlap = iou(xyxy, rows.xyxy)
            for one, other in zip(*linear_sum_assignment(-overlap)):
                if overlap[one, other] >= 0.5:
                    person = int(own[one, 1])
                    found.append((SAME.get(person, person), part, int(rows.track_id[other]), frame))
    return found


def kept_and_mixed(count: Counter[tuple[int, int, str]]) -> tuple[str, float]:
    """Return how many people keep one identity, of those in two parts or more; the largest share of others' boxes."""
    kept = several = 0
    for person in {who for who, _, _ in count}:
        names = []
        for part in range(PARTS):
            own = Counter({name: n for (who, where, name), n in count.items() if (who, where) == (person, part)})
            if own.total() >= SEEN:
                names.append(own.most_common(1)[0][0])
        several += len(names) > 1
        kept += len(names) > 1 and len(set(names)) == 1 and names[0] != ""
    mixed = 0.0
    for identity in {name for _, _, name in count if name}:
        own = Counter()
        for (who, _, name), n in count.items():
            own[who] += n if name == identity else 0
        if own.total() >= SEEN:
            mixed = max(mixed, 1 - own.most_common(1)[0][1] / own.total())
    return f"{kept} of {several}", mixed


def doubled(folder: Path) -> tuple[str, int]:
    """Return how many tracks of a video given twice have the identity of their double, and how many pairs are wrong."""
    names = named_tracks(folder)
    tracks = sorted({track for _, track in names})
    first, again = ({track: name for (where, track), name in names.items() if where == video}
                    for video in sorted({video for video, _ in names}))  # fmt: skip
    joined = sum(first[track] == again[track] for track in tracks)
    wrong = sum(first[one] == again[other] for one in tracks for other in tracks if one != other)
    return f"{joined} of {len(tracks)}", wrong


def synthetic(count: int) -> None:
    """Print time, memory and F1 of `identify` on synthetic tracklets, and F1 with all pairs weighed to calibrate."""
    with tempfile.TemporaryDirectory() as name:
        truth = synthetic_videos(Path(name), count)
        files = sorted(map(str, Path(name).glob("*.npz")))
        seconds, processor, memory = measured(["identify", *files, "--out-dir", f"{name}/out", "--no-progress"])
        found = named_tracks(Path(name) / "out")
        videos = read_tracks(name_videos([("", Path(file)) for file in files]))
    scores = [pairwise_f1(numbered(found, truth), numbered(truth, truth))]
    assignment.SAMPLE *= 20
    exact = identify_tracks(videos, CameraPlan())
    scores.append(pairwise_f1(
        numbered({(track.video, track.track_id): track.identity for track in exact.tracks}, truth),
        numbered(truth, truth),
    ))  # fmt: skip
    print(
        f"\n{count:,} tracklets of {count // PER_PERSON:,} people in {len(files)} videos: {seconds:.0f} s, "
        f"{processor:.0f} s of processor, {memory:.1f} GiB, F1 {scores[0]:.4f}; "
        f"calibrated with {assignment.SAMPLE:,} pairs {scores[1]:.4f}"
    )


def registry(count: int, new: int) -> None:
    """Print time and memory of a run on an empty registry, and of the next one, and F1 of the tracklets of both."""
    with tempfile.TemporaryDirectory() as name:
        truth = synthetic_videos(Path(name), count + new)
        files = sorted(map(str, Path(name).glob("*.npz")))
        later = -(-new // PER_VIDEO)
        found: dict[tuple[str, int], str] = {}
        for part in (files[:-later], files[-later:]):
            run = ["identify", *part, "--registry", f"{name}/registry", "--out-dir", f"{name}/out", "--no-progress"]
            seconds, processor, memory = measured(run)
            own = named_tracks(Path(name) / "out")
            found |= own
            print(f"\n{len(own):,} new tracklets: {seconds:.0f} s, {processor:.0f} s of processor, {memory:.1f} GiB")
    print(f"F1 of all {pairwise_f1(numbered(found, found), numbered(truth, found)):.4f}")


def measured(words: list[str]) -> tuple[float, float, float]:
    """Run a command in a process of its own; return its seconds, those of the processor, and its memory in GiB."""
    begun = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "mot_dinov3", *words], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0
    return time.perf_counter() - begun, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 2**20


def numbered(names: Mapping[tuple[str, int], str], tracks: Iterable[tuple[str, int]]) -> IntArray:
    """Return the names of tracks as numbers."""
    return np.unique([names[track] for track in tracks], return_inverse=True)[1].astype(np.int64)


def synthetic_videos(folder: Path, count: int) -> dict[tuple[str, int], str]:
    """Write files of embeddings, and return video and track → person.

    People differ in `LOOK` of 256 dimensions, in which each tracklet, by pose, and each of its four crops differ from
    the person, too; cameras add their light, and noise is in all dimensions.
    """
    random = np.random.default_rng(0)
    basis = random.normal(size=(LOOK, 256)) / np.sqrt(LOOK)
    people, light = random.normal(size=(count // PER_PERSON, LOOK)), random.normal(size=(20, 256)) / 2
    meta = {"schema_version": "embeddings-v1", "embedder": {"name": "synthetic", "fingerprint": "0"}}
    persons: dict[tuple[str, int], str] = {}
    for video in range(-(-count // PER_VIDEO)):
        number = min(PER_VIDEO, count - PER_VIDEO * video)
        ids, truth = np.arange(1, number + 1), random.integers(0, len(people), number)
        pose = people[truth] + 0.3 * random.normal(size=(number, LOOK))
        looks = np.repeat(pose, 4, axis=0) + random.normal(size=(4 * number, LOOK))
        views = unit_rows(looks @ basis + light[video % 20] + 0.3 * random.normal(size=(4 * number, 256)))
        first = np.sort(random.uniform(0, 3600, number))
        last = first + random.uniform(5, 30, number)
        tracks = {
            "track_id": ids, "class_id": 0 * ids, "class_name": np.full(number, "person"), "name": np.full(number, ""),
            "embedding": unit_rows(views.reshape(number, 4, -1).mean(axis=1)).astype(np.float32),
            "embeddings": 4 + 0 * ids,
            "quality": np.ones(number, np.float32), "boxes": 100 + 0 * ids, "first_frame": (25 * first).astype(int),
            "last_frame": (25 * last).astype(int), "first_time": first, "last_time": last,
        }  # fmt: skip
        frame = np.linspace(25 * first, 25 * last, 4).T.ravel().astype(int)
        crops = {
            "track_id": np.repeat(ids, 4), "frame": frame, "time": frame / 25.0,
            "quality": np.ones(4 * number, np.float32),
            "xyxy": np.tile(np.float32([0, 0, 64, 128]), (4 * number, 1)), "embedding": views.astype(np.float32),
        }  # fmt: skip
        write_embeddings(EmbeddingTable(meta, tracks, crops), folder / f"v{video:05}.npz", suffix=".npz")
        persons |= {(f"v{video:05}", int(track)): str(person) for track, person in zip(ids, truth)}
    return persons


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=Path, nargs="?", help="folder of data and models")
    parser.add_argument("--only", choices=("cameras", "parts"), help="one of the tables")
    parser.add_argument("--tracklets", type=int, default=0, help="number of synthetic tracklets")
    parser.add_argument("--new", type=int, default=0, help="number of these that a second run adds to a registry")
    args = parser.parse_args()
    if args.shared is not None and args.only != "parts":
        cameras(args.shared)
    if args.shared is not None and args.only != "cameras":
        parts_of_a_video(args.shared)
    if args.tracklets and args.new:
        registry(args.tracklets, args.new)
    elif args.tracklets:
        synthetic(args.tracklets)


if __name__ == "__main__":
    main()
