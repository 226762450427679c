"""Edits of label files that can be undone: the originals are kept in the trash, a journal lists them."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mot_dinov3.apps.studio.gallery_editor import TRASH
from mot_dinov3.apps.studio.requests import ConflictError
from mot_dinov3.core import files
from mot_dinov3.core.errors import UsageError
from mot_dinov3.core.json_text import JsonLines, whole_lines


@dataclasses.dataclass(frozen=True)
class EditedFile:
    """A file of an edit.

    Attributes:
        name: In the folder.
        kept: Name of its original in the trash; empty where there was none.
        before: Hash of its content before the edit; empty where there was none.
        after: Hash of its content after it; empty where it was removed.
    """

    name: str
    kept: str
    before: str
    after: str


@dataclasses.dataclass(frozen=True)
class LabelEdit:
    """An edit of one or more files.

    Attributes:
        number: Its number, from 1.
        title: A description for the user.
        files: What it changed.
        details: What else is needed to take it back.
    """

    number: int
    title: str
    files: tuple[EditedFile, ...]
    details: dict[str, Any]


class LabelHistory:
    """All edits of a video's labels. An edit changes all of its files, or none.

    Args:
        folder: Of the labels.
        stem: Prefix of their names.
    """

    def __init__(self, folder: Path, stem: str) -> None:
        self._folder, self._trash = folder, folder / TRASH
        self._journal = folder / f".{stem}_labels.edits.jsonl"

    def last(self) -> LabelEdit | None:
        """Return the last edit that is not undone."""
        edits: list[LabelEdit] = []
        for _, line in whole_lines(self._journal) if self._journal.is_file() else ():
            if "undone" in line:
                edits = [edit for edit in edits if edit.number != line["undone"]]
            else:
                changed = tuple(EditedFile(*one) for one in line["files"])
                edits.append(LabelEdit(line["number"], line["title"], changed, line["details"]))
        return edits[-1] if edits else None

    def apply(self, title: str, contents: Mapping[Path, str | None], details: Mapping[str, Any] | None = None) -> None:
        """Write files, None to remove one. What they contained is kept; if one fails, all stay as they were.

        Raises:
            OutputLostError: They cannot be written.
        """
        with files.writing(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
        changed = [self._keep(path, text) for path, text in contents.items()]
        number = self._append(
            {"title": title, "files": [dataclasses.astuple(one) for one in changed], "details": dict(details or {})}
        )
        try:
            for path, text in contents.items():
                _put(path, None if text is None else text.encode())
        except BaseException:
            for one in changed:
                self._restore(one)
            self._append({"undone": number})
            raise

    def undo(self, edit: LabelEdit, *, optional: frozenset[str] = frozenset()) -> bool:
        """Restore the files of an edit; return whether that includes the `optional` ones.

        Args:
            edit: The last one.
            optional: Names of files that may have changed since: then they stay.

        Raises:
            ConflictError: Another file was changed since.
            UsageError: An original is not in the trash any more.
        """
        changed = [one for one in edit.files if self._hash(one.name) not in (one.before, one.after)]
        for one in changed:
            if one.name not in optional:
                raise ConflictError(
                    f"'{one.name}' was changed since: '{edit.title}' cannot be undone",
                    remedy="correct the labels by hand; the originals are in the folder .trash",
                )
        for one in edit.files:
            if one.kept and not (self._trash / one.kept).is_file():
                raise UsageError(f"the original '{TRASH}/{one.kept}' is missing: '{edit.title}' cannot be undone")
        for one in edit.files:
            if one not in changed:
                self._restore(one)
        self._append({"undone": edit.number})
        return not changed

    def _keep(self, path: Path, text: str | None) -> EditedFile:
        before, after = self._hash(path.name), "" if text is None else hashlib.sha256(text.encode()).hexdigest()
        if not before:
            return EditedFile(path.name, "", before, after)
        with files.writing(self._trash):
            self._trash.mkdir(exist_ok=True)
            taken = {kept.name for kept in self._trash.glob(f"{path.stem}.*{path.suffix}")}
            free = (f"{path.stem}.{n}{path.suffix}" for n in range(len(taken) + 1))
            kept = next(name for name in free if name not in taken)
            shutil.copyfile(path, self._trash / kept)
        return EditedFile(path.name, kept, before, after)

    def _restore(self, one: EditedFile) -> None:
        _put(self._folder / one.name, (self._trash / one.kept).read_bytes() if one.kept else None)

    def _hash(self, name: str) -> str:
        path = self._folder / name
        return files.file_hash(path) if path.is_file() else ""

    def _append(self, line: dict[str, Any]) -> int:
        """Append a line to the journal, numbered unless it takes one back; return its number."""
        lines = [known for _, known in whole_lines(self._journal)] if self._journal.is_file() else []
        number = 1 + max((known.get("number", 0) for known in lines), default=0)
        journal = JsonLines(self._journal, resume=True)
        while journal.read() is not None:
            pass
        journal.append(line if "undone" in line else {"number": number, **line})
        journal.close()
        return number


def _put(path: Path, content: bytes | None) -> None:
    if content is None:
        with files.writing(path):
            path.unlink(missing_ok=True)
        return
    with files.replacing(path) as part:
        part.write_bytes(content)
