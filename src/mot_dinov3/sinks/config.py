"""Options of the outputs."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from mot_dinov3.core.compat import override
from mot_dinov3.core.errors import ConfigError
from mot_dinov3.core.options import StageConfig, option


@dataclasses.dataclass(frozen=True)
class OutputConfig(StageConfig):
    """What is written where."""

    group = "output"

    output: str = option("outputs/tracked.mp4", "the tracked video (H.264 MP4)", metavar="PATH")
    video: bool = option(True, "write the tracked video")
    save_json: str | None = option(None, "tracks as track-v1 JSON", metavar="FILE")
    save_mot: str | None = option(None, "tracks as MOTChallenge text", metavar="FILE")
    save_csv: str | None = option(None, "tracks as a CSV table", metavar="FILE")
    save_dets: str | None = option(None, "detections as det-v1 JSON, to track again without a detector", metavar="FILE")
    save_counts: str | None = option(None, "what --line and --zone counted, as a CSV table", metavar="FILE")
    save_summary: str | None = option(None, "the summary's numbers as JSON", metavar="FILE")
    report: str | None = option(None, "the run as one HTML page with charts, to open in a browser", metavar="FILE")
    resume: bool = option(False, "go on where the same command was killed or interrupted; begin where it was not")
    record: bool = option(True, "keep what --resume needs beside the first output while the run goes on")

    @override
    def check(self) -> None:
        if self.resume and not self.record:
            raise ConfigError("--resume goes on from the record, and --no-record keeps none")

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
