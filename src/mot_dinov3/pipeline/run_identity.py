"""What an interrupted run is known by, and where its record lies."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

from mot_dinov3 import __version__
from mot_dinov3.core.errors import UsageError
from mot_dinov3.core.json_text import printable
from mot_dinov3.core.options import options_of
from mot_dinov3.pipeline.config import TrackConfig
from mot_dinov3.pipeline.resume import NoRecord, RunRecord, record_path

SAMPLE = 1 << 20  # bytes read at the start, in the middle and at the end of an input: hours of video would take minutes
# Options that may differ between an interrupted run and the one that goes on: what they write tells of the whole run.
SAME_RESULT = ("resume", "record", "report", "save_summary")


def is_live(source: str | None) -> bool:
    """Tell whether the source is a camera or a stream, whose pictures come only once."""
    return source is not None and not Path(source).exists() and (source.isdigit() or "://" in source)


def is_complete(config: TrackConfig) -> bool:
    """Tell whether ``--resume`` is given for a run that came to its end: all outputs are there, and no record is."""
    files = config.output.files()
    return (
        config.output.resume
        and bool(files)
        and all(path.exists() for path in files)
        and not record_path(files[0]).exists()
    )


def open_record(config: TrackConfig) -> NoRecord:
    """Open the record of a run: one to go on with, or a new one; none where nothing is written.

    Raises:
        UsageError: ``--resume`` for a live source, or for another run than the one on record.
        OutputLostError: The record cannot be written.
    """
    output = config.output
    files = output.files()
    if output.resume and is_live(config.source.source):
        raise UsageError(
            f"--resume reads the source again, and '{config.source.source}' is live",
            remedy="leave out --resume, and give the outputs new names to keep the earlier ones",
        )
    if not files or not output.record or is_live(config.source.source):
        return NoRecord()
    video = Path(output.output) if output.video else None
    return RunRecord(record_path(files[0]), identity(config), video=video, resume=output.resume)


def identity(config: TrackConfig) -> dict[str, Any]:
    """Return what a run is known by: its options, and a look into each input, as plain JSON values by name."""
    known: dict[str, Any] = {"version": __version__}
    for option in options_of(TrackConfig):
        if option.key not in SAME_RESULT:
            value = getattr(getattr(config, option.stage), option.key)
            known[option.flag] = printable(value) if isinstance(value, str) else value
    inputs = {
        "--source": config.source.source,
        "--dets": config.detector.dets,
        "--det": config.detector.det,
        "--embed-model": config.embedder.embed_model,
        "--dinov3": config.embedder.dinov3,
        "--gallery": config.gallery.gallery,
        "--zone": config.count.zone,
    }
    return known | {f"the content of {flag}": content(Path(place)) for flag, place in inputs.items() if place}


def content(path: Path) -> str:
    """Return a digest of a file's size and parts, or of a folder's names and sizes; empty where there is none.

    Hidden files do not count: the gallery keeps its cache in one.
    """
    digest = hashlib.sha256()
    try:
        if path.is_dir():
            for inner in sorted(p for p in path.rglob("*") if p.is_file() and not p.name.startswith(".")):
                digest.update(f"{inner.relative_to(path)}\0{inner.stat().st_size}\0".encode("utf-8", "replace"))
        elif path.is_file():
            size = path.stat().st_size
            digest.update(str(size).encode())
            with path.open("rb") as file:
                for start in dict.fromkeys((0, max(0, size // 2 - SAMPLE // 2), max(0, size - SAMPLE))):
                    file.seek(start)
                    digest.update(file.read(SAMPLE))
        else:
            return ""
    except OSError:  # whoever needs the input says so
        return ""
    return digest.hexdigest()[:16]


def taken_over(record: NoRecord) -> list[str]:
    """Return a notice where frames come from an earlier run: the times tell what it takes to go on, not the whole."""
    if not record.recalled:
        return []
    return [f"resumed: boxes and embeddings of {record.recalled} frames are an earlier run's; its times are not told"]


def loaded(*infos: Any) -> list[dict[str, Any]]:
    """Return what the record keeps of the models: a fallback must not change what an interrupted run began."""
    return [dataclasses.asdict(info) for info in infos]
