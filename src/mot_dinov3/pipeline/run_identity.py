"""Identity of a run, by which ``--resume`` knows it again: its options and the content of its inputs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from mot_dinov3 import __version__
from mot_dinov3.core.options import home_path
from mot_dinov3.core.run_mark import check_outputs, identity_of
from mot_dinov3.core.special_files import is_null
from mot_dinov3.features.factory import DINO_FOLDER
from mot_dinov3.models.weights import detector_path, local_path
from mot_dinov3.pipeline.config import TrackConfig
from mot_dinov3.pipeline.resume import ResumeJournal, resume_journal_path
from mot_dinov3.video.opening import is_live

# Options that may differ between an interrupted run and the resumed one: they change no result.
SAME_RESULT = ("resume", "record", "report", "save_summary", "show")


def is_complete(config: TrackConfig) -> bool:
    """Tell whether ``--resume`` is given for a run that came to its end: its outputs are there, and no journal is.

    Raises:
        UsageError: Outputs are there that are no results of this run.
    """
    files = config.output.regular_files()
    if not config.output.resume or not files or resume_journal_path(files[0]).exists():
        return False
    are_there = check_outputs(files, identity(config))
    return are_there and all(path in files or is_null(path) for path in config.output.files())


def open_journal(config: TrackConfig) -> ResumeJournal | None:
    """Open the resume journal of a run: an earlier one, or a new one; None where nothing is written.

    Raises:
        UsageError: ``--resume`` for another run than that of the journal, or of outputs that are there without one.
        OutputLostError: The journal cannot be written.
    """
    output = config.output
    files = output.regular_files()
    if not files or not output.record or is_live(config.source.source):
        return None
    path, run = resume_journal_path(files[0]), identity(config)
    if output.resume and not path.exists():
        check_outputs(files, run)
    video = files[0] if output.video and files[0] == Path(output.output) else None
    return ResumeJournal(path, run, outputs=files, video=video, resume=output.resume)


def identity(config: TrackConfig) -> dict[str, Any]:
    """Return what identifies a run: its options and a digest of each input, as plain JSON values by name."""
    name, model = config.detector.chosen()
    inputs = {
        "--source": config.source.source,
        "--dets": config.detector.dets,
        "--det": None if name == "recorded" else detector_path(model) or local_path(model),
        "--embed-model": local_path(config.embedder.embed_model or ""),
        "--dinov3": local_path(config.embedder.dinov3 or ""),
        DINO_FOLDER: home_path(os.environ.get(DINO_FOLDER, "").strip()) if config.embedder.name == "dino" else None,
        "--gallery": config.gallery.gallery,
        "--zone": config.count.zone,
    }
    return identity_of(config, __version__, skip=SAME_RESULT, inputs=inputs)


def resume_notice(journal: ResumeJournal | None) -> list[str]:
    """Return a notice where frames come from an earlier run, whose times are not part of this run's."""
    if journal is None or not journal.resumed_frames:
        return []
    return [
        f"resumed: boxes and embeddings of {journal.resumed_frames} frames are reused from the "
        "earlier run, whose times are not included"
    ]
