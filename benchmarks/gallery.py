r"""Measure the gallery job: identification accuracy, ID switches, times, memory; print Markdown.

    OMP_NUM_THREADS=1 python benchmarks/gallery.py ../shared            # everything except gallery_only
    python benchmarks/gallery.py ../shared --only identities --every-detection

Detections are synthetic (shared/tools/synth_dets.py) or yolov8n's on vtest.avi. Half of each identity's images is the
gallery: every second one from the first (even) or from the second (odd) on, or the first half in time. Detections are
matched one to one to ground truth boxes with an IoU of at least 0.5. Times are CPU times of one process, the
trackers alternate frame by frame; peak memory is that of a separate process, as reported by the operating system.

needs: ultralytics with lap for the comparison.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np

import mot_dinov3
from mot_dinov3.core import boxes
from mot_dinov3.core.structures import Detections, Frame
from mot_dinov3.formats.det_v1 import read_det_v1
from mot_dinov3.formats.motchallenge import read_detections, read_tracks
from mot_dinov3.models.weights import ultralytics_module
from mot_dinov3.trackers.byte import HybridTracker

OBJECTS = (50, 100, 200)
SECTIONS = ("identities", "switches", "times", "memory")
HALVES: dict[str, Callable[[list[Path]], list[Path]]] = {
    "even": lambda pictures: pictures[::2],
    "odd": lambda pictures: pictures[1::2],
    "first": lambda pictures: pictures[: (len(pictures) + 1) // 2],
}


class Data:
    """The inputs, made where they are missing.

    Args:
        shared: Folder of real videos, truth and tools.
        folder: Where to make files.
    """

    def __init__(self, shared: Path, folder: Path) -> None:
        self.shared = shared
        self.folder = folder
        self.video = shared / "data/tracking/vtest.avi"
        self.sequence = shared / "data/tracking/PETS09-S2L1"

    def synth(self, kind: str, count: int, frames: int = 300) -> Path:
        """Return synthetic detections: ``synth`` or ``short``."""
        path = self.folder / f"{kind}{count}_{frames}.json"
        if not path.exists():
            tool = self.shared / "tools/synth_dets.py"
            command = [sys.executable, str(tool), kind, str(path), str(count), str(frames)]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return path

    def long_video(self, frames: int) -> Path:
        """Return vtest.avi, over and over: its packets are copied, nothing is encoded."""
        path = self.folder / f"long{frames}.avi"
        with av.open(str(self.video)) as source:
            packets = [packet for packet in source.demux(video=0) if packet.size]
            with av.open(str(path), "w") as target:
                stream = target.add_stream_from_template(source.streams.video[0])
                step = packets[1].dts - packets[0].dts
                for number in range(frames):
                    packet = packets[number % len(packets)]
                    packet.stream = stream
                    packet.pts = packet.dts = number * step
                    target.mux(packet)
        return path

    def pets(self) -> Path:
        """Return yolov8n's detections on vtest.avi as det-v1."""
        path = self.folder / "pets.json"
        recorded = read_detections(self.sequence / "det/yolov8n_960.txt")
        frames = []
        for index in range(recorded.last_frame + 1):
            rows = recorded.frames.get(index, Detections.empty())
            records = [
                {
                    "bbox": [round(float(v), 2) for v in box],
                    "score": round(float(score), 4),
                    "class_id": 0,
                    "det_ind": row,
                }
                for row, (box, score) in enumerate(zip(rows.xyxy, rows.score))
            ]
            frames.append({"frame": index, "file": f"{index:06d}.jpg", "detections": records})
        header = {"path": "vtest.avi", "fps": 10.0, "frame_count": 795, "width": 768, "height": 576}
        path.write_text(json.dumps({"schema_version": "det-v1", "video": header, "frames": frames}))
        return path

    def gallery(self, half: str) -> Path:
        """Return a gallery of half of each identity's pictures."""
        root = self.folder / f"gallery_{half}"
        for identity in sorted(filter(Path.is_dir, (self.shared / "data/gallery/crops_pets09_s2l1").iterdir())):
            (root / identity.name).mkdir(parents=True, exist_ok=True)
            for picture in HALVES[half](sorted(identity.iterdir())):
                shutil.copy(picture, root / identity.name)
        return root


def identities(data: Data, every_detection: bool) -> Iterator[str]:
    """Yield the table of names against truth."""
    yield "| gallery | tracker | correct | of detections with ground truth | duplicates in a frame | embeddings |"
    yield "| --- | --- | --- | --- | --- | --- |"
    truth = true_boxes(data.sequence / "gt/gt.txt")
    dets = data.pets()
    trackers = ["gallery_hybrid", *(["gallery_only"] if every_detection else [])]
    for tracker in trackers:
        for half in HALVES:
            result = mot_dinov3.track_video(
                dets_json=dets,
                video=data.video,
                tracker=tracker,
                gallery=data.gallery(half),
                reid_weights=data.shared / "models/osnet_x0_25_msmt17.pt",
                device="cpu",
            )
            right, named, known, twice = against_truth(result.payload["frames"], truth)
            share, covered = 100 * right / max(named, 1), 100 * named / known
            looks = result.stats["embeddings"]
            yield f"| {half} half | {tracker} | {share:.1f} % | {covered:.1f} % identified | {twice} | {looks} |"


def true_boxes(path: Path) -> dict[int, tuple[list[int], Any]]:
    """Return frame → identities and their boxes."""
    table = read_tracks(path)
    chosen = table.value > 0
    corners = boxes.from_xywh(table.xywh.astype(np.float32))
    return {
        int(frame): (table.track_id[rows].tolist(), corners[rows])
        for frame in np.unique(table.frame[chosen])
        if len(rows := np.flatnonzero(chosen & (table.frame == frame)))
    }


def against_truth(frames: list[dict[str, Any]], truth: dict[int, Any]) -> tuple[int, int, int, int]:
    """Return how many names are right, given to detections with a truth, such detections, and names shown twice."""
    from scipy.optimize import linear_sum_assignment

    right = named = known = twice = 0
    for frame in frames:
        shown = [row.get("gallery_id") for row in frame["detections"]]
        given = [name for name in shown if name is not None]
        twice += len(given) - len(set(given))
        if frame["frame"] not in truth or not shown:
            continue
        people, where = truth[frame["frame"]]
        overlap = boxes.iou(np.array([row["bbox"] for row in frame["detections"]], np.float32), where)
        for row, column in zip(*linear_sum_assignment(-overlap * (overlap >= 0.5))):
            if overlap[row, column] >= 0.5:
                known += 1
                named += shown[row] is not None
                right += shown[row] is not None and int(shown[row]) == people[column]
    return right, named, known, twice


def switches(data: Data) -> Iterator[str]:
    """Yield the table of switches on synthetic objects."""
    yield "| objects | ID switches | identities | tracked |"
    yield "| --- | --- | --- | --- |"
    for count in OBJECTS:
        result = mot_dinov3.track_video(dets_json=data.synth("synth", count), video=data.video)
        path = data.folder / "tracked.json"
        path.write_text(json.dumps(result.payload))
        tool = [sys.executable, str(data.shared / "tools/id_switches.py"), str(path)]
        found = json.loads(subprocess.run(tool, check=True, capture_output=True, text=True).stdout.replace("'", '"'))
        yield f"| {count} | {found['switches']} | {found['ids']} | {100 * found['tracked']:.1f} % |"


def times(data: Data) -> Iterator[str]:
    """Yield the table of times, ours beside Ultralytics' in one run."""
    yield "| input | update, ms | Ultralytics bytetrack, ms | track_video, ms |"
    yield "| --- | --- | --- | --- |"
    sets = {"vtest, yolov8n": data.pets(), **{f"{n} objects": data.synth("synth", n) for n in OBJECTS}}
    warm = data.synth("synth", OBJECTS[0])
    mot_dinov3.track_video(dets_json=warm, video=data.video)
    for name, path in sets.items():
        ours, theirs = race(read_det_v1(path).frames)
        start = time.process_time()
        result = mot_dinov3.track_video(dets_json=path, video=data.video)
        whole = 1e3 * (time.process_time() - start) / result.stats["frames"]
        yield f"| {name} | {ours:.2f} | {'–' if theirs is None else f'{theirs:.2f}'} | {whole:.2f} |"


def race(frames: Any) -> tuple[float, float | None]:
    """Return median CPU milliseconds per frame of our tracker and of Ultralytics' bytetrack, frame by frame in turn."""
    peer = bytetrack()
    tracker, spent = HybridTracker(), ([], [])
    for index in range(max(frames) + 1):
        rows = frames.get(index, Detections.empty())
        table = np.column_stack([rows.xyxy, rows.score, rows.class_id]).astype(np.float32)

        def ours(index: int = index, rows: Detections = rows) -> None:
            tracker.predict(Frame(index, index / 30))
            tracker.update(rows)

        def theirs(table: Any = table) -> None:
            if peer is not None:
                peer(table)

        for which, step in enumerate((ours, theirs)):
            start = time.process_time()
            step()
            spent[which].append(1e3 * (time.process_time() - start))
    return float(np.median(spent[0])), None if peer is None else float(np.median(spent[1]))


def bytetrack() -> Callable[[Any], object] | None:
    """Return Ultralytics' bytetrack, or None where it is not installed."""
    try:
        ultralytics_module()  # so that its import installs nothing and calls nobody
        from ultralytics.engine.results import Boxes
        from ultralytics.trackers.track import TRACKER_MAP
        from ultralytics.utils import YAML, IterableSimpleNamespace
        from ultralytics.utils.checks import check_yaml
    except ImportError:
        return None
    config = IterableSimpleNamespace(**YAML.load(check_yaml("bytetrack.yaml")))
    try:
        tracker = TRACKER_MAP["bytetrack"](args=config)
    except TypeError:
        tracker = TRACKER_MAP["bytetrack"](args=config, frame_rate=30)
    return lambda table: tracker.update(Boxes(table, (576, 768)), None)


def memory(data: Data) -> Iterator[str]:
    """Yield the table of peak memory and speed on videos of many short tracks, and the time to the first frame."""
    yield "| frames (4 new short tracks per frame) | peak memory, MB | total seconds | ms/frame after the first 300 |"
    yield "| --- | --- | --- | --- |"
    before, video = 0.0, data.long_video(10_000)
    for count in (1, 300, 5000, 10000):
        path = data.synth("short", 4, count)
        words = ["gallery", "--dets-json", str(path), "--video", str(video), "--json", "--no-progress"]
        seconds, peak = alone([*words, "--out-dir", str(data.folder / "out"), "--run-name", f"short{count}"])
        each = f"{1e3 * (seconds - before) / (count - 300):.2f}" if count > 300 else ""
        before = seconds if count == 300 else before
        yield f"| {count} | {peak:.0f} | {seconds:.1f} | {each} |"


def alone(words: list[str]) -> tuple[float, float]:
    """Return seconds and peak megabytes of the command in a process of its own."""
    # VmHWM, not getrusage: that one starts from the parent's peak
    program = (
        "import sys\nfrom mot_dinov3.cli import main\ncode = main(sys.argv[1:])\n"
        "status = open('/proc/self/status').read()\n"
        "print(int(status.split('VmHWM:')[1].split()[0]) / 1024)\nsys.exit(code)"
    )
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", program, *words], check=True, capture_output=True, text=True)
    return time.perf_counter() - start, float(done.stdout.splitlines()[-1])


def main() -> None:
    """Print what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=Path, help="folder of videos, ground truth, weights and tools")
    parser.add_argument("--only", choices=SECTIONS, action="append", help="leave out the other sections")
    parser.add_argument("--every-detection", action="store_true", help="measure gallery_only too (minutes on a CPU)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = Data(args.shared, Path(folder))
        makers: dict[str, Callable[[], Iterator[str]]] = {
            "times": lambda: times(data),
            "switches": lambda: switches(data),
            "memory": lambda: memory(data),
            "identities": lambda: identities(data, args.every_detection),
        }
        for name, make in makers.items():
            if args.only is None or name in args.only:
                print(f"### {name.capitalize()}\n", flush=True)
                for line in make():
                    print(line, flush=True)
                print(flush=True)


if __name__ == "__main__":
    main()
