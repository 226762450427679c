"""`benchmark`: cost of a run, budget overrun, memory, comparison with baselines, accuracy of keypoint backends."""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mot_dinov3
from mot_dinov3.cli.arguments import Parser, add_config_options, option_values
from mot_dinov3.cli.progress import print_notices, progress_bar
from mot_dinov3.core.compat import override
from mot_dinov3.core.errors import EXIT_OK, UsageError
from mot_dinov3.core.files import user_path
from mot_dinov3.core.options import assemble, flag_of, option, options_of
from mot_dinov3.keypoints.job.config import BackendConfig
from mot_dinov3.pipeline.config import FrameLoopConfig, track_config
from mot_dinov3.sinks.config import EncoderConfig
from mot_dinov3.viz import DrawConfig

if TYPE_CHECKING:
    from mot_dinov3.apps.benchmark.keypoint_runs import KeypointRow
    from mot_dinov3.apps.benchmark.runs import BudgetOverrun, Tick
    from mot_dinov3.apps.benchmark.side_by_side import Speed
    from mot_dinov3.pipeline.config import TrackConfig
    from mot_dinov3.pipeline.summary import RunSummary

Report = tuple[dict[str, Any], list[str]]
"""A result as JSON and as text."""
ONE_THREAD = {"OMP_NUM_THREADS": "1"}
REPEATS = 3


@dataclasses.dataclass(frozen=True)
class ComparedBackends(BackendConfig):
    """The backends of ``--keypoints``, and the labelled frames that they track from."""

    group = "with --keypoints"

    backend: str = option(
        "auto",
        "dense descriptors; auto: every backend that is available",
        choices=("auto", "dino", "convnet", "gradient"),
        common=True,
    )
    given_every: int = option(
        0,
        "track from every Nth labelled frame, and compare the others; 0: from the first one",
        metavar="N",
        low=0,
        common=True,
    )

    @override
    def check(self) -> None:
        super().check()
        if self.given_every == 1:
            raise UsageError("--given-every 1 leaves no labelled frame to compare with", remedy="give 2 or more")


@dataclasses.dataclass(frozen=True)
class BenchmarkOptions(FrameLoopConfig):
    """The options of `track` that `benchmark` takes, and those of ``--keypoints``."""

    draw: DrawConfig
    encoder: EncoderConfig
    compared: ComparedBackends


USAGE = "SOURCE [options] | --association | FOLDER --keypoints [options]"
DESCRIPTION = (
    "Measure tracking on a source: stage times, frames per second, memory, share of embedded boxes, "
    "time to first frame. The video is drawn and encoded as in track, and discarded. With --realtime, detection "
    "intervals are compared: every frame, fixed ones, auto, and in real time; with --keypoints, backends on "
    "labelled videos."
)


def add_arguments(parser: Parser) -> None:
    """Add the command's arguments to `parser`."""
    what = parser.add_argument_group("measurement (one of these; default: a run of track)")
    modes = what.add_mutually_exclusive_group()
    modes.add_argument("--budget", type=budgets, metavar="MS,…", help="overrun of these budgets by refreshes")
    modes.add_argument(
        "--peers", action="store_true", help="comparison with 'yolo track' on the same frames, alternately"
    )
    modes.add_argument(
        "--association", action="store_true", help="the association step at 10 to 200 objects; no source"
    )
    modes.add_argument(
        "--memory", type=int, metavar="FRAMES", help="resident memory while the source is read in a loop"
    )
    modes.add_argument(
        "--keypoints",
        action="store_true",
        help="accuracy of every keypoint backend on a folder of labelled videos, tracked from some of their labels",
    )
    intervals = parser.add_argument_group("comparison of detection intervals (--realtime [FPS])")
    intervals.add_argument("--videos", nargs="+", default=[], metavar="FILE", help="more videos, a table for each")
    help = "ground truth of each video in order, - for none"
    intervals.add_argument("--gt", nargs="+", default=[], metavar="FILE", help=help)
    intervals.add_argument("--repeats", type=int, metavar="N", help="runs of each setting (default: 3)")
    parser.add_argument("--no-video", action="store_true", help="do not draw and encode")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    add_config_options(parser, BenchmarkOptions)


def budgets(text: str) -> list[float]:
    """Return the budgets of a list like ``5,10,20,40``, in ms."""
    found = [float(entry) for entry in text.split(",")]
    if not all(0 < budget < 1e6 for budget in found):
        raise argparse.ArgumentTypeError(f"budgets must be positive numbers of ms, for example 5,10,20,40, got {text}")
    return found


def run(args: argparse.Namespace) -> int:
    """Measure, print, and return the exit code."""
    if args.keypoints:
        with tempfile.TemporaryDirectory() as folder:
            numbers, lines = _keypoints(args, Path(folder))
    elif args.association:
        if os.environ.get("OMP_NUM_THREADS") != "1":  # libraries read it when they are loaded
            return _again_with_one_thread(args)
        numbers, lines = _association()
    else:
        with tempfile.TemporaryDirectory() as folder:
            numbers, lines = _measure(args, Path(folder))
    print(json.dumps(numbers, indent=2) if args.json else "\n".join(lines))
    return EXIT_OK


def _again_with_one_thread(args: argparse.Namespace) -> int:
    words = [sys.executable, "-m", "mot_dinov3", "benchmark", "--association"]
    words += [word for word, given in (("--json", args.json), ("--no-progress", args.no_progress)) if given]
    found = os.pathsep.join(filter(None, [str(Path(mot_dinov3.__file__).parents[1]), os.environ.get("PYTHONPATH")]))
    return subprocess.run(words, env={**os.environ, **ONE_THREAD, "PYTHONPATH": found}, check=False).returncode


def _measure(args: argparse.Namespace, folder: Path) -> Report:
    values = option_values(args, BenchmarkOptions)
    own = {known.key for known in options_of(BenchmarkOptions) if known.stage == "compared"}
    _refuse(values, own, "only with --keypoints")
    if args.no_video:
        values["video"] = False
    elif values.get("source"):
        values["output"] = str(folder / "tracked.mp4")
    config = track_config(values)
    from mot_dinov3.apps.benchmark import memory, runs, side_by_side
    from mot_dinov3.video.opening import refuse_live

    if args.budget or args.peers or args.memory is not None or config.interval.realtime:
        refuse_live(config.source.source, "this measurement")

    if (args.videos or args.gt or args.repeats is not None) and not config.interval.realtime:
        what = "--videos, --gt and --repeats are for the comparison of detection intervals"
        raise UsageError(what, remedy="add --realtime")

    with progress_bar(0) as bar:

        def tick() -> bool:
            bar.update()
            return False

        if args.budget:
            return _budget_report(list(runs.measure_budgets(config, args.budget, tick)))
        if args.peers:
            return _peers_report(side_by_side.compare(config, folder, tick))
        if args.memory is not None:
            return _memory_report(memory.measure_memory(config, args.memory, tick))
        if config.interval.realtime:
            return _intervals_report(args, config, folder, tick)
        return _run_report(runs.measure(config, tick), runs.peak_mb())


def _intervals_report(args: argparse.Namespace, config: TrackConfig, folder: Path, tick: Tick) -> Report:
    from mot_dinov3.apps.benchmark.realtime import compare_intervals
    from mot_dinov3.apps.benchmark.realtime_table import comparison_lines, comparison_numbers

    numbers, lines = [], list[str]()
    videos = [config.source.source, *args.videos]
    if len(args.gt) not in (0, len(videos)):
        raise UsageError(
            f"--gt names {len(args.gt)} files for {len(videos)} videos",
            remedy="give one for each video, - for none",
        )
    repeats = REPEATS if args.repeats is None else args.repeats
    if repeats < 1:
        raise UsageError(f"--repeats must be at least 1, got {repeats}")
    for video, name in itertools.zip_longest(videos, args.gt, fillvalue="-"):
        truth = None if name == "-" else user_path(name)
        one = dataclasses.replace(config, source=dataclasses.replace(config.source, source=video))
        found = compare_intervals(one, truth, folder, repeats=repeats, tick=tick)
        numbers.append(comparison_numbers(found))
        lines += [*([""] if lines else []), *comparison_lines(found, repeats)]
    return {"videos": numbers}, lines


def _refuse(values: Mapping[str, Any], keys: Collection[str], why: str) -> None:
    """Refuse options of another measurement."""
    if given := [flag_of(key) for key in values if key in keys]:
        remedy = "--det and --embed-model are the models of a run of track, --weights and --model those of --keypoints"
        raise UsageError(f"{why}: {', '.join(given)}", remedy=remedy)


def _keypoints(args: argparse.Namespace, folder: Path) -> Report:
    values = option_values(args, BenchmarkOptions)
    options = options_of(BenchmarkOptions)
    others = {known.key for known in options if known.stage not in ("compared", "device") and known.key != "source"}
    _refuse(values, others, "not with --keypoints")
    ignored = {"--videos": args.videos, "--gt": args.gt, "--repeats": args.repeats, "--no-video": args.no_video}
    if given := [flag for flag, value in ignored.items() if value not in (None, False, [])]:
        raise UsageError(f"not with --keypoints: {', '.join(given)}", remedy="leave it out")
    if not values.get("source"):
        raise UsageError("no input: --source is missing", remedy="give a folder of labelled videos")
    config = assemble(BenchmarkOptions, values)
    from mot_dinov3.apps.benchmark.keypoint_runs import BackendComparison, find_videos
    from mot_dinov3.keypoints.job.model_loading import available_backends

    videos, without = find_videos(Path(values["source"]))
    backends, left_out = available_backends(config.compared, config.device)
    notices = [*left_out, *without, *(f"{video.name}: {notice}" for video in videos for notice in video.labels.notices)]
    print_notices(notices)
    with progress_bar(0) as bar:

        def tick() -> bool:
            bar.update()
            return False

        comparison = BackendComparison(backends, config.device, config.compared.given_every)
        rows = list(comparison.rows(videos, folder, tick))
    return _keypoint_report(rows, notices)


def _association() -> Report:
    from mot_dinov3.apps.benchmark.association_cost import OBJECT_COUNTS, PASSES, association_table, sweep
    from mot_dinov3.apps.benchmark.baselines import OURS, tracker_factories

    factories, notices = tracker_factories(None, embedded=True)
    factories = {name: make for name, make in factories.items() if name != OURS}  # ours without the scheduler
    print_notices(notices)
    with progress_bar(len(factories) * len(OBJECT_COUNTS) * (PASSES + 1)) as bar:
        times = sweep(factories, OBJECT_COUNTS, passes=PASSES, tick=bar.update)
    title = f"association step, CPU ms/frame on one thread (lowest median of {PASSES} passes), synthetic objects"
    return {"association_ms": times, "notices": notices}, [title, "", *association_table(times)]


def _run_report(summary: RunSummary, peak_mb: float) -> Report:
    print_notices(summary.notices)
    lines = [line for line in summary.lines(profile=True) if not line.startswith("written")]
    return {**summary.numbers(), "peak_mb": round(peak_mb, 1)}, [*lines, f"memory      {round(peak_mb, 1):.0f} MB peak"]


def _budget_report(kept: list[BudgetOverrun]) -> Report:
    from mot_dinov3.apps.benchmark.runs import markdown_table

    names = ("p50", "p95", "p99", "max")
    numbers = [
        {
            **{key: getattr(one, key) for key in ("budget_ms", "frames", "refreshed", "deferred")},
            "overshoot_ms": dict(zip(names, one.overrun_ms)),
            "overshoot_crops": dict(zip(names, one.overrun_crops)),
        }
        for one in kept
    ]
    titles = ["budget ms", "frames with refreshes", "refreshed", "deferred", *names]
    rows = (
        [f"{one.budget_ms:g}", one.frames, one.refreshed, one.deferred]
        + [f"{ms:.1f} ms, {crops:.2f}" for ms, crops in zip(one.overrun_ms, one.overrun_crops)]
        for one in kept
    )
    what = "overrun of the remaining budget by the refreshes of a frame: ms, and crops at the cost of that frame"
    return {"budgets": numbers}, [what, "", *markdown_table(titles, rows)]


def _peers_report(speeds: Mapping[str, Speed]) -> Report:
    from mot_dinov3.apps.benchmark.runs import markdown_table

    numbers = {name: {**dataclasses.asdict(speed), "fps": speed.fps} for name, speed in speeds.items()}
    titles = ["", "ms/frame", "fps", "CPU ms/frame", "relative to ours"]
    rows = (
        [name, f"{speed.wall_ms:.1f}", f"{speed.fps:.1f}", f"{speed.cpu_ms:.1f}", f"{speed.slower:.2f}"]
        for name, speed in speeds.items()
    )
    what = "medians over blocks of frames, measured alternately; "
    what += "'relative to ours' is the median ratio of a pair of blocks"
    return {"peers": numbers}, [what, "", *markdown_table(titles, rows)]


def _keypoint_report(found: Sequence[KeypointRow], notices: Sequence[str]) -> Report:
    from mot_dinov3.apps.benchmark.keypoint_scores import TITLES, WRONG_PX
    from mot_dinov3.apps.benchmark.runs import markdown_table

    numbers = [one.numbers() for one in found]
    titles = ["video", "backend", "frames given", *TITLES, "fps"]
    rows = ([one.video, one.backend, len(one.given), *one.figures.cells(), f"{one.fps:.1f}"] for one in found)
    what = f"wrong: more than {WRONG_PX:g} px from the label, or lost; AUC: of the score against wrong; "
    what += "right: within 5 % of the animal's size, at least 8 px"
    return {"keypoints": numbers, "notices": list(notices)}, [what, "", *markdown_table(titles, rows)]


def _memory_report(measured: Mapping[int, float]) -> Report:
    samples = {frame: round(mb, 1) for frame, mb in measured.items()}
    first, last = min(samples), max(samples)
    grown_mb = measured[last] - measured[first]
    lines = [f"frame {frame:>8}   {mb:8.1f} MB" for frame, mb in samples.items()]
    lines.append(f"from frame {first} to {last}: {grown_mb:+.1f} MB")
    return {"resident_mb": samples, "grown_mb": round(grown_mb, 1)}, lines
