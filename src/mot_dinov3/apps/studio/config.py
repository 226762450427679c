"""Options of the studio."""

from __future__ import annotations

import dataclasses

from mot_dinov3.core.compat import override
from mot_dinov3.core.options import StageConfig, option, require
from mot_dinov3.models.devices import DeviceConfig

LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclasses.dataclass(frozen=True)
class StudioConfig(StageConfig):
    """Files to open, and the address of the page.

    Raises:
        ConfigError: A value is out of range.
    """

    group = "studio"

    source: str | None = option(
        None, "video, or folder of images, to open", metavar="PATH", positional=True, aliases=("video",)
    )
    gallery: str | None = option(
        None,
        "gallery to open; created at the first save if it does not exist",
        metavar="DIR",
        aliases=("gallery_root",),
    )
    tracks: str | None = option(
        None, "tracks to correct, or whose boxes can be clicked: track-v1, MOTChallenge or CSV", metavar="FILE"
    )
    registry: str | None = option(
        None, "registry of identities to open, as given to identify --registry", metavar="DIR"
    )
    port: int = option(0, "port to listen on; 0: any free port", metavar="N", low=0, high=65535)
    host: str = option("127.0.0.1", "address to listen on; any but this computer's own needs the token that is printed")
    browser: bool = option(True, "open the page in the browser")

    @override
    def check(self) -> None:
        require(bool(self.host.strip()), "host", repr(self.host), "an address, for example 127.0.0.1")

    @property
    def is_local(self) -> bool:
        """Whether only this computer can reach the page."""
        return self.host in LOOPBACK


@dataclasses.dataclass(frozen=True)
class StudioOptions:
    """All options of the command, one part per help group."""

    studio: StudioConfig
    device: DeviceConfig
