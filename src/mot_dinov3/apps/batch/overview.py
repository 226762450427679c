"""Overview page of a batch: state, numbers and links to the files of every video."""

from __future__ import annotations

import importlib.resources
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from mot_dinov3.apps.batch.manifest import STATES, VideoState
from mot_dinov3.apps.batch.plan import OVERVIEW, SUMMARY
from mot_dinov3.apps.batch.worker import LOG
from mot_dinov3.core import files
from mot_dinov3.core.errors import FormatError
from mot_dinov3.core.json_text import is_number, printable, read_object
from mot_dinov3.report.page import escape, fill_template, static_file

COLUMNS = ["video", "state", "frames", "detections", "identities", "fps", "embedded", "seconds", "files", "error"]
SUFFIX_ORDER = (".html", ".mp4", ".json", ".txt", ".csv")  # order of the links by suffix
POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def write_overview(out_dir: Path, videos: Sequence[VideoState], written: str) -> Path:
    """Write ``index.html`` and return its path.

    Args:
        out_dir: Folder of the batch.
        videos: Their states.
        written: Date and time, ISO 8601.
    """
    path = out_dir / OVERVIEW
    template = (importlib.resources.files("mot_dinov3.apps.batch") / "static" / "overview.html").read_text("utf-8")
    numbers = [read_numbers(out_dir / video.name / SUMMARY) for video in videos]
    parts = {
        "policy": POLICY,
        "style": static_file("page.css"),
        "title": escape(out_dir.name),
        "written": escape(written),
        "tiles": _tiles(videos, numbers),
        "head": "".join(f"<th>{column}</th>" for column in COLUMNS),
        "rows": "\n".join(_row(out_dir, video, found) for video, found in zip(videos, numbers)),
    }
    with files.replacing(path) as part:
        part.write_text(printable(fill_template(template, parts)), encoding="utf-8")
    return path


def read_numbers(path: Path) -> dict[str, float]:
    """Return the numbers of a run's summary; none where there is no summary yet."""
    try:
        found = read_object(path)
    except FormatError:
        return {}
    return {key: value for key, value in found.items() if is_number(value)}


def _tiles(videos: Sequence[VideoState], numbers: Sequence[dict[str, float]]) -> str:
    states = {state: sum(video.state == state for video in videos) for state in STATES}
    frames, identities = (sum(found.get(key, 0) for found in numbers) for key in ("frames", "identities"))
    tiles = {
        "videos": f"{len(videos):,}",
        **{state: f"{count:,}" for state, count in states.items() if count},
        "frames": f"{frames:,.0f}",
        "identities, summed over videos": f"{identities:,.0f}",
        "hours of processing": f"{sum(video.seconds for video in videos) / 3600:.2f}",
    }
    return "".join(f'<div class="tile"><b>{value}</b><span>{label}</span></div>' for label, value in tiles.items())


def _row(out_dir: Path, video: VideoState, numbers: dict[str, float]) -> str:
    cells = [escape(video.name), f'<span class="{video.state}">{video.state}</span>']
    cells += [f"{numbers[key]:,.0f}" if key in numbers else "" for key in ("frames", "detections", "identities")]
    cells.append(f"{numbers['fps']:.1f}" if "fps" in numbers else "")
    cells.append(f"{100 * numbers['share_embedded']:.0f} %" if "share_embedded" in numbers else "")
    cells += [f"{video.seconds:,.1f}" if video.seconds else "", _links(out_dir, video), escape(video.message)]
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _links(out_dir: Path, video: VideoState) -> str:
    folder = out_dir / video.name
    whole = [p for p in folder.rglob("*") if p.is_file() and ".part" not in p.suffixes] if folder.is_dir() else []
    order = {suffix: rank for rank, suffix in enumerate(SUFFIX_ORDER)}
    found = sorted((p.name == LOG, order.get(p.suffix, len(order)), p.relative_to(out_dir).as_posix()) for p in whole)
    return " ".join(
        f'<a href="{quote(path)}">{escape(path.removeprefix(video.name + "/"))}</a>' for _, _, path in found
    )
