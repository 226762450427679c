"""Access control of the studio: requests come from its own page, files lie below its roots.

A page on another site must not drive it. Three things keep it out: the Host header has to be a name of this computer
(so a name that somebody points here, DNS rebinding, is refused), Origin and Sec-Fetch-Site have to be the studio's own,
and no answer may be framed or read across origins. Where the studio listens to other computers, every request has to
carry the token.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from mot_dinov3.apps.studio.config import LOOPBACK
from mot_dinov3.core.errors import InputError

COOKIE = "mot_studio_token"
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


def refusal(method: str, path: str, headers: Mapping[str, str], *, token: str | None) -> str:
    """Return why a request is refused, or an empty string.

    Args:
        method: HTTP method.
        path: Path of the URL.
        headers: Names in lower case.
        token: Token that requests carry; None where the studio serves this computer only.
    """
    host = headers.get("host", "")
    if token is None and _hostname(host) not in LOOPBACK:
        return f"the address '{host}' is not this computer's: open the page as 127.0.0.1 or localhost"
    origin = headers.get("origin")
    if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
        return f"the page at '{origin}' may not use the studio"
    site = headers.get("sec-fetch-site", "same-origin")
    arriving = method == "GET" and path == "/" and headers.get("sec-fetch-dest", "document") == "document"
    if site not in ("same-origin", "none") and not arriving:
        return "a page of another site may not use the studio"
    if method not in ("GET", "HEAD") and not headers.get("content-type", "").startswith("application/json"):
        return "only JSON is accepted"
    return ""


def has_token(given: str | None, token: str) -> bool:
    """Return whether a request carries the right token, in a time that is independent of the token."""
    return given is not None and hmac.compare_digest(given.encode(), token.encode())


def _hostname(host: str) -> str:
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


class OutsideRootsError(InputError):
    """A path that is not open to the page."""


class Roots:
    """Folders that the page may read and write in; links that lead out of them are refused.

    Args:
        folders: Any paths; they need not exist yet.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        found = dict.fromkeys(folder.expanduser().resolve() for folder in folders)
        self.folders = tuple(f for f in found if not any(f != other and f.is_relative_to(other) for other in found))

    def contains(self, path: Path) -> bool:
        """Return whether a path, all links followed, lies within a root."""
        try:
            real = path.resolve()
        except (OSError, RuntimeError):  # RuntimeError: links that lead in a circle, before Python 3.13
            return False
        return any(real.is_relative_to(folder) for folder in self.folders)

    def check(self, text: str) -> Path:
        """Return the path that `text` names, all links followed; a relative one is below the first root.

        Raises:
            OutsideRootsError: It lies outside of the roots, contains ``..`` or leads out of them through a link.
        """
        parts = text.replace("\\", "/").split("/")
        if not text.strip() or not text.isprintable() or ".." in parts:
            raise OutsideRootsError(f"path {text[:200]!r} cannot be used", remedy="name a file or folder without '..'")
        path = self.folders[0] / Path(text)
        if not self.contains(path):
            allowed = ", ".join(str(f) for f in self.folders)
            raise OutsideRootsError(
                f"'{text}' is outside the folders of the studio",
                remedy=f"its folders are: {allowed}; add another with --root FOLDER",
            )
        return path.resolve()
