"""What can be set on the studio."""

from __future__ import annotations

import dataclasses

from mot_dinov3.core.options import require, setting
from mot_dinov3.models.devices import DeviceConfig

LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclasses.dataclass(frozen=True)
class StudioConfig:
    """What to open, and where the page is served.

    Raises:
        ConfigError: A value is out of range.
    """

    video: str | None = setting(None, "video, or folder of images, to open", metavar="PATH")
    gallery_root: str | None = setting(None, "gallery to open; made at the first save where missing", metavar="DIR")
    tracks: str | None = setting(None, "track-v1 file whose boxes can be clicked", metavar="FILE.json")
    port: int = setting(0, "port to listen on; 0 takes a free one", metavar="N")
    host: str = setting(
        "127.0.0.1", "address to listen on; any but this computer's own needs the token that is printed"
    )
    browser: bool = setting(True, "open the page in the browser")

    def __post_init__(self) -> None:
        require(0 <= self.port <= 65535, "port", self.port, "between 0 and 65535")
        require(bool(self.host.strip()), "host", repr(self.host), "an address, for example 127.0.0.1")

    @property
    def is_local(self) -> bool:
        """Whether only this computer can reach the page."""
        return self.host in LOOPBACK


@dataclasses.dataclass(frozen=True)
class StudioCommand:
    """All that the command needs, one part per help group."""

    studio: StudioConfig
    device: DeviceConfig
