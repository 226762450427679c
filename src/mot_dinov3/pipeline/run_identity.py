"""Identity of a run, by which ``--resume`` knows it again: its options and the content of its inputs."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from mot_dinov3 import __version__
from mot_dinov3.core.json_text import printable
from mot_dinov3.core.options import options_of
from mot_dinov3.core.special_files import is_null
from mot_dinov3.pipeline.config import TrackConfig
from mot_dinov3.pipeline.resume import ResumeJournal, resume_journal_path

SAMPLE = 1 << 20  # bytes read at the start, in the middle and at the end of an input: hours of video would take minutes
# Options that may differ between an interrupted run and the resumed one: they change no result.
SAME_RESULT = ("resume", "record", "report", "save_summary")


def is_live(source: str | None) -> bool:
    """Tell whether the source is a camera or a stream, whose frames can be read only once."""
    return source is not None and not Path(source).exists() and (source.isdigit() or "://" in source)


def is_complete(config: TrackConfig) -> bool:
    """Tell whether ``--resume`` is given for a run that came to its end: all outputs are there, and no journal is."""
    files = config.output.regular_files()
    return (
        config.output.resume
        and bool(files)
        and all(path in files or is_null(path) for path in config.output.files())
        and all(path.exists() for path in files)
        and not resume_journal_path(files[0]).exists()
    )


def open_journal(config: TrackConfig) -> ResumeJournal | None:
    """Open the resume journal of a run: an earlier one, or a new one; None where nothing is written.

    Raises:
        UsageError: ``--resume`` for a live source, or for another run than that of the journal.
        OutputLostError: The journal cannot be written.
    """
    output = config.output
    files = output.regular_files()
    if not files or not output.record or is_live(config.source.source):
        return None
    video = files[0] if output.video and files[0] == Path(output.output) else None
    return ResumeJournal(resume_journal_path(files[0]), identity(config), video=video, resume=output.resume)


def identity(config: TrackConfig) -> dict[str, Any]:
    """Return what identifies a run: its options and a digest of each input, as plain JSON values by name."""
    known: dict[str, Any] = {"version": __version__}
    for option in options_of(TrackConfig):
        if option.key not in SAME_RESULT:
            value = getattr(getattr(config, option.stage), option.key)
            known[option.flag] = printable(value) if isinstance(value, str) else value
    inputs = {
        "--source": config.source.source,
        "--dets": config.detector.dets,
        "--det": config.detector.chosen()[1],
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
    except OSError:  # the stage that needs the input reports it
        return ""
    return digest.hexdigest()[:16]


def resume_notice(journal: ResumeJournal | None) -> list[str]:
    """Return a notice where frames come from an earlier run, whose times are not part of this run's."""
    if journal is None or not journal.resumed_frames:
        return []
    return [
        f"resumed: boxes and embeddings of {journal.resumed_frames} frames are reused from the "
        "earlier run, whose times are not included"
    ]
