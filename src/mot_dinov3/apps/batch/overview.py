"""Overview page of a batch: thumbnail, state, numbers and links to the files of every video."""

from __future__ import annotations

import importlib.resources
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from mot_dinov3.apps.batch.manifest import STATES, VideoState
from mot_dinov3.apps.batch.plan import OVERVIEW, SUMMARY
from mot_dinov3.apps.batch.thumbnails import THUMBNAIL, write_thumbnail
from mot_dinov3.apps.batch.worker import LOG
from mot_dinov3.core import files
from mot_dinov3.core.errors import FormatError
from mot_dinov3.core.json_text import is_number, printable, read_object
from mot_dinov3.report.page_frame import PageHead, escape, page_of, tiles

COLUMNS = ["video", "state", "frames", "detections", "identities", "fps", "embedded", "time", "files"]
SUFFIX_ORDER = (".html", ".mp4", ".json", ".txt", ".csv")  # order of the links by suffix


def write_overview(out_dir: Path, videos: Sequence[VideoState], written: str, *, anonymized: bool = False) -> Path:
    """Write ``index.html`` and the thumbnails, and return the page's path.

    Args:
        out_dir: Folder of the batch.
        videos: Their states.
        written: Date and time, ISO 8601.
        anonymized: People are hidden in the results; thumbnails never show a source then.
    """
    path = out_dir / OVERVIEW
    numbers = [read_numbers(out_dir / video.name / SUMMARY) for video in videos]
    for video in videos:
        write_thumbnail(out_dir / video.name, None if anonymized else Path(video.source))
    parts = {
        "tiles": _tiles(videos, numbers),
        "states": "".join(f"<option>{state}</option>" for state in STATES if any(v.state == state for v in videos)),
        "head": "".join(
            f'<th data-column="{name}" aria-sort="none"><button>{name}</button></th>' for name in COLUMNS[:-1]
        )
        + f"<th>{COLUMNS[-1]}</th>",
        "rows": "\n".join(_row(out_dir, video, found) for video, found in zip(videos, numbers)),
    }
    static = importlib.resources.files("mot_dinov3.apps.batch") / "static"
    page = page_of(static, "overview", PageHead("batch", out_dir.name, written, images="'self'"), parts)
    with files.replacing(path) as part:
        part.write_text(printable(page), encoding="utf-8")
    return path


def read_numbers(path: Path) -> dict[str, float]:
    """Return the numbers of a run's summary; none where there is no summary yet."""
    try:
        found = read_object(path)
    except FormatError:
        return {}
    return {key: value for key, value in found.items() if is_number(value)}


def duration(seconds: float) -> str:
    """Return a duration in words: ``4.2 s``, ``3 min 5 s``, ``2 h 14 min``."""
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, left = divmod(minutes, 60)
    return f"{hours} h {left} min" if hours else f"{minutes} min {rest} s"


def _tiles(videos: Sequence[VideoState], numbers: Sequence[dict[str, float]]) -> str:
    states = {state: sum(video.state == state for video in videos) for state in STATES}
    frames, identities = (sum(found.get(key, 0) for found in numbers) for key in ("frames", "identities"))
    return tiles(
        {
            "videos": (f"{len(videos):,}", ""),
            **{state: (f"{count:,}", "") for state, count in states.items() if count},
            "frames": (f"{frames:,.0f}", ""),
            "identities": (f"{identities:,.0f}", "summed over videos"),
            "processing time": (duration(sum(video.seconds for video in videos)), "summed over videos"),
        }
    )


def _row(out_dir: Path, video: VideoState, numbers: dict[str, float]) -> str:
    """Return a video's row; ``data-value`` is what its cells are sorted by."""
    cells = [_cell("video", video.name, _title(out_dir, video))]
    cells.append(_cell("state", video.state, f'<span class="{video.state}">{video.state}</span>'))
    for key in ("frames", "detections", "identities"):
        cells.append(_number(key, numbers.get(key), "{:,.0f}"))
    cells.append(_number("fps", numbers.get("fps"), "{:.1f}"))
    cells.append(_number("embedded", numbers.get("share_embedded"), "{:.0%}"))
    cells.append(_cell("time", video.seconds or "", duration(video.seconds) if video.seconds else ""))
    error = f'<p class="error">{escape(video.message)}</p>' if video.message else ""
    cells.append(f'<td class="files">{_links(out_dir, video)}{error}</td>')
    return f'<tr data-state="{video.state}">{"".join(cells)}</tr>'


def _cell(column: str, value: object, content: str) -> str:
    return f'<td data-column="{column}" data-value="{escape(value)}">{content}</td>'


def _number(column: str, value: float | None, form: str) -> str:
    return _cell(column, "" if value is None else value, "" if value is None else form.format(value))


def _title(out_dir: Path, video: VideoState) -> str:
    """Return a video's thumbnail and name, linked to its report, else to its first file."""
    folder = out_dir / video.name
    image = f'<img src="{quote(f"{video.name}/{THUMBNAIL}")}" loading="lazy" alt="">'
    shown = image if (folder / THUMBNAIL).exists() else '<span class="blank"></span>'
    title = f"{shown}<b>{escape(video.name)}</b>"
    found = _files(out_dir, video)
    return f'<a class="video" href="{quote(found[0])}">{title}</a>' if found else f'<span class="video">{title}</span>'


def _files(out_dir: Path, video: VideoState) -> list[str]:
    """Return the finished files of a video, relative to the page: reports first, the log last."""
    folder = out_dir / video.name
    whole = [p for p in folder.rglob("*") if p.is_file() and ".part" not in p.suffixes] if folder.is_dir() else []
    order = {suffix: rank for rank, suffix in enumerate(SUFFIX_ORDER)}
    found = sorted((p.name == LOG, order.get(p.suffix, len(order)), p.relative_to(out_dir).as_posix()) for p in whole)
    return [path for _, _, path in found if path != f"{video.name}/{THUMBNAIL}"]


def _links(out_dir: Path, video: VideoState) -> str:
    return " ".join(
        f'<a href="{quote(path)}">{escape(path.removeprefix(video.name + "/"))}</a>' for path in _files(out_dir, video)
    )
