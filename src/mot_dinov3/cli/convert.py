"""`convert`: boxes and tracks between formats, for correction in annotation tools."""

from __future__ import annotations

import argparse
import dataclasses
import functools
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mot_dinov3.cli.arguments import Parser
from mot_dinov3.cli.progress import print_notices
from mot_dinov3.core.errors import EXIT_OK, OutputError, UsageError
from mot_dinov3.core.files import check_extension, output_file, user_path
from mot_dinov3.core.special_files import is_special, is_stdout

if TYPE_CHECKING:
    from mot_dinov3.core.structures import VideoInfo
    from mot_dinov3.formats.format_registry import FileFormat
    from mot_dinov3.formats.recorded_detections import ReadOptions, RecordedDetections

NAMES = ("motchallenge", "det-v1", "track-v1", "coco", "cvat", "yolo", "csv")
NEED_RATE = ("det-v1", "track-v1", "csv")
LARGEST_SIDE = 1 << 16  # pixels

USAGE = "IN OUT [options]"
DESCRIPTION = (
    "Convert boxes and tracks between formats, for correction in annotation tools. Formats: "
    f"{', '.join(NAMES)}; yolo is a folder. Lost fields are counted and reported."
)


def add_arguments(parser: Parser) -> None:
    """Add the command's arguments to `parser`."""
    parser.add_argument("source", metavar="IN", type=user_path, help="file, or folder of YOLO labels, to read")
    parser.add_argument("target", metavar="OUT", help="file, or folder of YOLO labels, to write")
    parser.add_argument(
        "--from", dest="source_format", choices=NAMES, help="format of IN (default: detected from the content)"
    )
    parser.add_argument("--to", dest="target_format", choices=NAMES, help="format of OUT (default: from the extension)")
    parser.add_argument(
        "--source", dest="video", metavar="PATH", help="the video, for image size, frame rate and length"
    )
    parser.add_argument("--size", type=_size, metavar="WxH", help="image size, if IN does not contain it")
    parser.renamed["--video"] = "--source"
    parser.add_argument("--fps", type=_rate, metavar="FPS", help="frame rate (default: from --source or IN)")
    parser.add_argument(
        "--class-names",
        type=user_path,
        metavar="FILE",
        help="class names: one per line, class IDs from 0, a YOLO data.yaml, or JSON",
    )
    parser.add_argument(
        "--video-id", metavar="ID", default="", help="id or name of the video to read (COCO, TAO, YouTube-VIS, CSV)"
    )
    parser.add_argument("--task", metavar="ID", default="", help="id or name of the task to read (CVAT projects)")
    parser.add_argument(
        "--keyframes",
        action="store_true",
        help="write CVAT keyframes only, where interpolation gives the other boxes within half a pixel",
    )
    parser.add_argument("--strict", action="store_true", help="refuse a file with a row that cannot be used")
    parser.add_argument("--overwrite", action="store_true", help="replace OUT if it exists")


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    if not all(side.isascii() and side.isdigit() and 0 < int(side) <= LARGEST_SIDE for side in (width, height)):
        raise argparse.ArgumentTypeError(f"must be like 1920x1080, got {text!r}")
    return int(width), int(height)


def _rate(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1e6:
        raise argparse.ArgumentTypeError(f"must be a number above 0, got {text!r}")
    return value


def run(args: argparse.Namespace) -> int:
    """Convert, print what was lost, and return the exit code."""
    from mot_dinov3.core.output_lock import OutputLocks
    from mot_dinov3.formats import format_registry

    name = args.target_format or format_registry.format_of_output(user_path(args.target))
    target = format_registry.FORMATS[name]
    if args.keyframes and name != "cvat":
        raise UsageError(f"--keyframes is for CVAT, not for {name}", remedy="leave it out")
    args.target = (output_file if target.is_member is None else user_path)(args.target)
    _check_target(args, name, target)
    with OutputLocks([args.target]):
        _check_new(args)
        return _convert(args, name, target)


def _convert(args: argparse.Namespace, name: str, target: FileFormat) -> int:
    from mot_dinov3.core.files import replacing, replacing_folder
    from mot_dinov3.core.timing import now_utc
    from mot_dinov3.formats import format_registry, lost_fields
    from mot_dinov3.formats.cvat_writer import count_interpolated_scores, write_cvat

    video = _video_info(args.video) if args.video else None
    recorded = format_registry.read_any(args.source, _read_options(args, video), name=args.source_format)
    recorded = _with_video_info(recorded, args, video)
    notices = [*recorded.notices, *_notices(recorded, args, video)]
    if name in NEED_RATE:
        info, notice = recorded.source_info(None)
        notices.append(notice)
        recorded = dataclasses.replace(recorded, video=info)
    if lost := lost_fields.lost_fields(recorded, name):
        notices.append(f"{name} cannot store: {'; '.join(lost)}")
    if not {"both", "detected"} & target.fields:
        recorded = format_registry.with_track_boxes(recorded)
    if args.keyframes and (changed := count_interpolated_scores(recorded)):
        notices.append(f"{changed} boxes between keyframes lose their score")
    with (replacing if target.is_member is None else replacing_folder)(args.target) as part:
        write = functools.partial(write_cvat, only_keyframes=True) if args.keyframes else target.write
        write(part, recorded, now_utc())
    print_notices(filter(None, notices))
    boxes = lost_fields.written_boxes(recorded, name)
    line = f"written     {args.target} ({name}: {boxes} boxes in {len(recorded.frames)} frames)"
    print(line, file=sys.stderr if is_stdout(args.target) else sys.stdout)
    return EXIT_OK


def _check_new(args: argparse.Namespace) -> None:
    """Refuse an output that exists already, unless it is to be replaced."""
    path: Path = args.target
    if path.exists() and not args.overwrite and not is_special(path):
        raise OutputError(
            f"output '{path}' exists already", remedy="choose another path, or replace it with --overwrite"
        )


def _check_target(args: argparse.Namespace, name: str, target: FileFormat) -> None:
    """Refuse an output that cannot be written, would overwrite an input, or exists already."""
    from mot_dinov3.core.files import check_output, check_output_folder

    path: Path = args.target
    _check_new(args)
    if target.is_member is not None:
        if args.source.exists() and (
            path.resolve() == args.source.resolve() or path.resolve() in args.source.resolve().parents
        ):
            raise OutputError(f"output '{path}' contains the source itself", remedy="choose another folder")
        check_output_folder(path, holds=target.is_member)
        return
    check_extension(path, name, target.suffixes or (".json",))
    for source in (args.source, args.video, args.class_names):
        check_output(path, source=str(source) if source else None)


def _video_info(source: str) -> VideoInfo:
    from mot_dinov3.video import SourceConfig, open_source

    with open_source(SourceConfig(source=source)) as frames:
        return frames.info


def _read_options(args: argparse.Namespace, video: VideoInfo | None) -> ReadOptions:
    from mot_dinov3.formats.class_names import read_class_names
    from mot_dinov3.formats.recorded_detections import ReadOptions
    from mot_dinov3.video.image_files import image_names

    size = args.size or ((video.width, video.height) if video else (0, 0))
    if args.size and video and args.size != (video.width, video.height):
        raise UsageError(
            f"--size says {size[0]}×{size[1]}, and '{video.path}' has {video.width}×{video.height}",
            remedy="leave out --size",
        )
    names = read_class_names(args.class_names) if args.class_names else {}
    return ReadOptions(
        width=size[0],
        height=size[1],
        names=names,
        names_file=args.class_names.name if args.class_names else "",
        source=args.video or "",
        images=image_names(args.video),
        task=args.task,
        video_id=args.video_id,
        strict=args.strict,
    )


def _with_video_info(
    recorded: RecordedDetections, args: argparse.Namespace, video: VideoInfo | None
) -> RecordedDetections:
    """Return the detections with the video information that the user gives."""
    info, known, times = recorded.video, recorded.fps_known, recorded.times
    if video:
        info = dataclasses.replace(info, path=video.path, fps=video.fps, frame_count=video.frame_count)
        known = True
    if args.fps:
        info, known, times = dataclasses.replace(info, fps=args.fps), True, {}
    return dataclasses.replace(recorded, video=info, fps_known=known, times=times)


def _notices(recorded: RecordedDetections, args: argparse.Namespace, video: VideoInfo | None) -> list[str]:
    if video and 0 < video.frame_count <= recorded.last_frame:
        last = video.frame_count - 1
        return [f"'{args.source}' has frame {recorded.last_frame}, but '{video.path}' ends with frame {last}"]
    return []
