"""`demo`: tracks a generated clip with ground truth, and prints the scores."""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from pathlib import Path

from mot_dinov3.cli.arguments import option_values
from mot_dinov3.cli.track import run_with_progress
from mot_dinov3.core.files import check_output, user_path
from mot_dinov3.core.options import assemble
from mot_dinov3.core.output_lock import OutputLocks
from mot_dinov3.detectors.base import DetectorConfig
from mot_dinov3.detectors.motion import MotionConfig
from mot_dinov3.features.factory import EmbedderConfig
from mot_dinov3.models.devices import DeviceConfig
from mot_dinov3.pipeline.config import TrackConfig
from mot_dinov3.scheduler import SchedulerConfig

SECONDS = 20.0


@dataclasses.dataclass(frozen=True)
class DemoOptions:
    """Options of the demo; all others have the defaults of `track`."""

    detector: DetectorConfig
    motion: MotionConfig
    device: DeviceConfig
    embedder: EmbedderConfig
    scheduler: SchedulerConfig


DESCRIPTION = (
    "Generate a clip of people with ground truth, track it, print the scores, and write demo.mp4, "
    "demo.jpg (four frames) and demo.json. Uses YOLO and DINO if they are available, else the built-in "
    "parts."
)
OPTIONS = DemoOptions
WEIGHT_FREE = """
These are the scores of the built-in parts, which need no weights: the motion detector takes people who
overlap for one, and colours do not distinguish all of them. With yolov8n.pt in models/ they are higher."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to `parser`."""
    parser.add_argument("--out-dir", type=user_path, default=Path("outputs"), help="output folder (default outputs)")
    parser.add_argument("--seconds", type=float, default=SECONDS, help=f"length of the clip (default {SECONDS:g})")


def run(args: argparse.Namespace) -> int:
    """Run the demo and return the exit code."""
    from mot_dinov3.apps.demo import compose
    from mot_dinov3.apps.evaluation import load_pairs, score
    from mot_dinov3.cli.evaluate import format_table
    from mot_dinov3.pipeline.wiring import build_tracking

    chosen = option_values(args, DemoOptions)
    video, sheet = args.out_dir / "demo.mp4", args.out_dir / "demo.jpg"
    with tempfile.TemporaryDirectory() as folder:
        tracks = Path(folder) / "demo.txt"
        clip = compose(Path(folder), seconds=args.seconds)
        values = {"classes": "0", "fallback_open": True, **chosen}
        values |= {"source": str(clip.video), "output": str(video), "save_mot": str(tracks)}
        values |= {"save_json": str(args.out_dir / "demo.json")}
        check_output(sheet)
        with OutputLocks([sheet]), build_tracking(assemble(TrackConfig, values)) as job:
            code = run_with_progress(job)
            write_contact_sheet(video, sheet, clip.info.frame_count)
        scores = score(load_pairs([clip.gt], [tracks]))
    summary = job.summary()
    results = [line for line in summary.results() if not line.endswith(str(tracks))]
    print("\n".join([*results, f"written     {sheet}", *summary.costs(), ""]))
    used = " + ".join(model.name for model in summary.models)
    print(format_table({f"demo, {used}": scores["COMBINED"]}))
    if not any(model.weights for model in summary.models):
        print(WEIGHT_FREE)
    return code


def write_contact_sheet(video: Path, sheet: Path, frame_count: int) -> None:
    """Write four frames of `video`, evenly spread, as one JPEG."""
    import cv2

    from mot_dinov3.core.files import replacing
    from mot_dinov3.video import SourceConfig, open_source
    from mot_dinov3.viz import contact_sheet

    chosen = {round(frame_count * share) for share in (0.3, 0.45, 0.6, 0.75)}
    with replacing(sheet) as part, open_source(SourceConfig(source=str(video))) as source:
        images = [frame.pixels() for frame in source if frame.index in chosen]
        cv2.imwrite(str(part), contact_sheet(images))
