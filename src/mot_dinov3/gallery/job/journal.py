"""Journal of a gallery run: lines from which a killed run resumes, and the track-v1 document made of them.

The first line identifies the run, so that another run's journal is never continued; then one line a frame, and one for
every comparison with the gallery. A resumed run tracks again from the first frame, which is cheap and gives the same
tracks, but takes the comparisons from here: nothing is embedded twice.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mot_dinov3.core import files
from mot_dinov3.core.errors import UsageError
from mot_dinov3.core.json_text import JsonLines, dumps, whole_lines
from mot_dinov3.core.run_mark import difference, mark_outputs
from mot_dinov3.core.structures import FloatArray, IntArray


@dataclasses.dataclass(frozen=True)
class GalleryComparison:
    """Rows of a frame compared with the gallery.

    Attributes:
        rows: ``(r,)`` rows.
        distance: ``(r, k)`` distances to the identities.
    """

    rows: IntArray
    distance: FloatArray


class GalleryJournal:
    """Writes ``FILE.part.jsonl`` and, when closed, the document FILE.

    Args:
        path: The document.
        run: Identity of the run, plain JSON values by name; a journal of another run is refused.
        outputs: The run's files, which are marked when they are complete.
        header: Returns the document's keys but ``frames``, when the run is over.
        resume: Continue the journal that is there; otherwise begin anew.

    Attributes:
        comparisons: Frame → comparison of an earlier run, in place of embedding again.

    Raises:
        UsageError: The journal to resume belongs to another run.
        OutputLostError: It cannot be written.
    """

    def __init__(
        self,
        path: Path,
        run: Mapping[str, Any],
        header: Callable[[], Mapping[str, Any]],
        *,
        outputs: Sequence[Path] = (),
        resume: bool,
    ) -> None:
        self.path = path
        self._run = run = json.loads(dumps(run))
        self._outputs = outputs or (path,)
        self.comparisons: dict[int, GalleryComparison] = {}
        self._header = header
        self._done = -1
        self._lines = JsonLines(files.journal_path(path), output=path, resume=resume)
        known = self._lines.read()
        if known is None:
            self._lines.append({"run": run})
        elif not isinstance(was := known.get("run"), dict) or (found := difference(was, run)):
            problem = f"belongs to another run: {found}" if isinstance(was, dict) else "is not the journal of a run"
            raise UsageError(
                f"'{self._lines.path}' {problem}",
                remedy="repeat the same command with --resume, or omit --resume to start from the beginning",
            )
        for value in iter(self._lines.read, None):
            if "compared" in value:
                rows, distance = np.array(value["rows"], np.int64), np.array(value["distance"], np.float32)
                self.comparisons[value["compared"]] = GalleryComparison(rows, distance.reshape(len(rows), -1))
            elif "frame" in value:
                self._done = value["frame"]

    def compared(self, frame: int, comparison: GalleryComparison) -> None:
        """Append a frame's comparison with the gallery."""
        distance = comparison.distance.astype(float).tolist()
        self._lines.append({"compared": frame, "rows": comparison.rows.tolist(), "distance": distance})

    def frame(self, number: int, line: str) -> None:
        """Append a frame's record, unless an earlier run has written it."""
        if number > self._done:
            self._lines.append_text(line)

    def close(self, *, whole: bool, tail: Sequence[str] = ()) -> None:
        """Write the document; the journal stays where the run is not `whole`, to be resumed.

        Args:
            whole: The run has reached its end.
            tail: Last frames of a run that has not, whose rows may still change: they are in the document only.
        """
        self._lines.close()
        with files.replacing(self.path) as part, part.open("w", encoding="utf-8", newline="\n") as document:
            document.write(f'{dumps(self._header())[:-1]},\n "frames": [')
            between = "\n  "
            for line, value in whole_lines(self._lines.path):
                if "frame" in value:
                    document.write(between + line)
                    between = ",\n  "
            for line in tail:
                document.write(between + line)
                between = ",\n  "
            document.write("\n ]}\n")
        if whole:
            mark_outputs(self._outputs, self._run)
            self._lines.remove()

    def abort(self) -> None:
        """Leave the lines so far: they may be all that a long run has to show."""
        self._lines.close()
