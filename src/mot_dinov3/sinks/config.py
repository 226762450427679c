"""Options of the outputs."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from mot_dinov3.core.compat import override
from mot_dinov3.core.errors import ConfigError
from mot_dinov3.core.options import StageConfig, option


@dataclasses.dataclass(frozen=True)
class OutputConfig(StageConfig):
    """Output files."""

    group = "output"

    output: str = option("outputs/tracked.mp4", "the tracked video (H.264 MP4)", metavar="PATH")
    video: bool = option(True, "write the tracked video")
    save_json: str | None = option(None, "tracks as track-v1 JSON", metavar="FILE")
    save_mot: str | None = option(None, "tracks as MOTChallenge text", metavar="FILE")
    save_csv: str | None = option(None, "tracks as a CSV table", metavar="FILE")
    save_dets: str | None = option(None, "detections as det-v1 JSON, to track again without a detector", metavar="FILE")
    save_counts: str | None = option(None, "counts of --line and --zone as a CSV table", metavar="FILE")
    save_summary: str | None = option(None, "the numbers of the summary as JSON", metavar="FILE")
    report: str | None = option(None, "HTML report of the run: one file with charts", metavar="FILE")
    resume: bool = option(
        False, "resume the same command where it was killed or interrupted, else start from the beginning"
    )
    record: bool = option(True, "write a resume journal next to the first output during the run")

    @override
    def check(self) -> None:
        if self.resume and not self.record:
            raise ConfigError("--resume needs the journal, which --no-record disables")

    def files(self) -> list[Path]:
        """Return every file the run is going to write."""
        texts = (
            self.save_json,
            self.save_mot,
            self.save_csv,
            self.save_dets,
            self.save_counts,
            self.save_summary,
            self.report,
        )
        return [Path(f) for f in ((self.output if self.video else None), *texts) if f]
