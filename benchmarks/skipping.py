r"""Accuracy of tracking with a detection interval (`--detect-every N`) on one video.

HOTA / IDF1 of the files (linear interpolation between detections), of the same after `--link`, and of the online video
(boxes moved by the optical flow), as Markdown::

    python benchmarks/skipping.py --video ../shared/data/tracking/vtest.avi \
        --dets ../shared/data/tracking/PETS09-S2L1/det/yolov8n_960.txt \
        --gt ../shared/data/tracking/PETS09-S2L1/gt/gt.txt \
        --embedder osnet --embed-model ../shared/models/osnet_x0_25_msmt17.onnx

The detections are precomputed; those of the skipped frames are not used.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mot_dinov3.apps.evaluation import COMBINED, Scores, SequencePair, as_table, load_pairs, read_truth, score
from mot_dinov3.core.options import assemble
from mot_dinov3.core.structures import Detections
from mot_dinov3.pipeline.config import TrackConfig
from mot_dinov3.pipeline.detection_scheduler import AUTO
from mot_dinov3.pipeline.wiring import build_tracking

EVERY = (1, 2, 3, 5, 10, "auto")


def main() -> None:
    """Print the table."""
    args = parse()
    print(
        "| detection interval | detector runs per frame | files | ID switches | files, linked | ID switches | video |"
    )
    print("| --- " * 7 + "|")
    values = {"source": str(args.video), "dets": str(args.dets), "video": False, "device": "cpu"}
    values |= {"embedder": args.embedder} | ({"embed_model": str(args.embed_model)} if args.embed_model else {})
    for every in args.every:
        cells = list(row({**values, "detect_every": AUTO if every == "auto" else int(every)}, args.gt, args.starts))
        print(f"| {every} | " + " | ".join(cells) + " |", flush=True)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("video", "dets", "gt"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--embedder", default="none", help="as in track (default: none)")
    parser.add_argument("--embed-model", type=Path, help="its weights")
    parser.add_argument("--every", nargs="+", default=EVERY, help=f"the Ns, or auto (default: {EVERY})")
    parser.add_argument("--starts", type=int, default=1, help="first frames to average over (default: 1)")
    return parser.parse_args()


def row(values: Mapping[str, Any], gt: Path, starts: int) -> Iterator[str]:
    """Yield the cells of one row: runs, HOTA / IDF1 and switches of both kinds of files, then HOTA / IDF1 as shown.

    They are means over runs that begin at the first frame, at the second one, and so on.
    """
    runs = [one_start({**values, "start_frame": start}, gt) for start in range(starts)]
    yield f"{np.mean([share for share, *_ in runs]):.2f}"
    for kind in (1, 2, 3):
        scores = [found[kind] for found in runs]
        yield f"{np.mean([one.hota for one in scores]):.1f} / {np.mean([one.idf1 for one in scores]):.1f}"
        if kind < 3:
            yield f"{np.mean([one.switches for one in scores]):.3g}"


def one_start(values: Mapping[str, Any], gt: Path) -> tuple[float, Scores, Scores, Scores]:
    """Return detector runs per frame, and the scores of the files, of linked files, and of the boxes as shown."""
    with tempfile.TemporaryDirectory() as folder:
        tracks = Path(folder) / "tracks.txt"
        shown, share = run({**values, "save_mot": str(tracks)})
        files = score(load_pairs([gt], [tracks]))[COMBINED]
        run({**values, "link": True, "save_mot": str(tracks)})
        linked = score(load_pairs([gt], [tracks]))[COMBINED]
    online = score([SequencePair("shown", read_truth(gt), as_table(shown, "shown"))])[COMBINED]
    return share, files, linked, online


def run(values: Mapping[str, Any]) -> tuple[dict[int, Detections], float]:
    """Run the main job to its end; return the rows of each frame as they were known then, and detector runs a frame."""
    config = assemble(TrackConfig, values)
    job = build_tracking(config)
    shown = {frame.index: rows[rows.track_id >= 1] for frame, rows in job.loop.results()}
    planned = job.loop.stages.detection
    return shown, 1 / config.interval.detect_every if planned is None else planned.detected / max(len(shown), 1)


if __name__ == "__main__":
    main()
