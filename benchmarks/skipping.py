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
        cells = list(row({**values, "detect_every": AUTO if every == "auto" else int(every)}, args.gt))
        print(f"| {every} | " + " | ".join(cells) + " |", flush=True)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("video", "dets", "gt"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--embedder", default="none", help="as in track (default: none)")
    parser.add_argument("--embed-model", type=Path, help="its weights")
    parser.add_argument("--every", nargs="+", default=EVERY, help=f"the Ns, or auto (default: {EVERY})")
    return parser.parse_args()


def row(values: Mapping[str, Any], gt: Path) -> Iterator[str]:
    """Yield the cells of one row: runs, HOTA / IDF1 and switches of both kinds of files, then HOTA / IDF1 as shown."""
    shown: list[Detections] = []
    with tempfile.TemporaryDirectory() as folder:
        for link in (False, True):
            tracks = Path(folder) / "tracks.txt"
            found, share = run({**values, "link": link, "save_mot": str(tracks)})
            if not link:
                shown = found
                yield f"{share:.2f}"
            scores = score(load_pairs([gt], [tracks]))[COMBINED]
            yield both(scores)
            yield str(scores.switches)
    yield both(judged(shown, gt))


def run(values: Mapping[str, Any]) -> tuple[list[Detections], float]:
    """Run the main job to its end; return the rows of each frame as they were known then, and detector runs a frame."""
    config = assemble(TrackConfig, values)
    job = build_tracking(config)
    shown = [rows[rows.track_id >= 1] for _, rows in job.loop.results()]
    planned = job.loop.stages.detection
    return shown, 1 / config.interval.detect_every if planned is None else planned.detected / max(len(shown), 1)


def judged(shown: list[Detections], gt: Path) -> Scores:
    """Return the scores of rows frame by frame."""
    return score([SequencePair("shown", read_truth(gt), as_table(dict(enumerate(shown)), "shown"))])[COMBINED]


def both(scores: Scores) -> str:
    """Return HOTA / IDF1."""
    return f"{scores.hota:.1f} / {scores.idf1:.1f}"


if __name__ == "__main__":
    main()
