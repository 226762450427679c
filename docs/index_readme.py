"""Build hook: the description that a package index shows, README.md without what only a checkout can show.

An index has neither the images nor the files that README.md refers to by relative paths: an image becomes its
description, a link its text. Links to web pages stay.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

IMAGE = re.compile(r"!\[([^\]]*)\]\((?!https?:)([^)\s]+)\)")
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((?!https?:|#)([^)\s]+)\)")


class IndexReadme(MetadataHookInterface):
    """Sets the project's ``readme`` when a distribution is built."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Add the description to the project's metadata."""
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {"content-type": "text/markdown", "text": without_files(text)}


def without_files(text: str) -> str:
    """Return Markdown with images and links to files of the checkout replaced by their text and path."""
    return LINK.sub(_plain, IMAGE.sub(r"*\1* (\2)", text))


def _plain(link: re.Match[str]) -> str:
    text, path = link.groups()
    return text if text == path.rstrip("/") else f"{text} ({path})"
