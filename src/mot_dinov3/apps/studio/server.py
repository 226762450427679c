"""Server of the studio: listens, announces the address, and stops cleanly."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

from mot_dinov3.apps.studio.access import Roots
from mot_dinov3.apps.studio.config import StudioConfig, StudioOptions
from mot_dinov3.apps.studio.session import Studio
from mot_dinov3.core.errors import InputError, UsageError


def serve(options: StudioOptions, roots: Sequence[str], *, announce: Callable[[str, StudioConfig], None]) -> None:
    """Serve the page until interrupted.

    Args:
        options: All options of the command.
        roots: Folders that the page may touch, beside those of the paths given in `options`.
        announce: Called with the page's address once it can be opened.

    Raises:
        UsageError: The extra is not installed, or the address cannot be listened on.
        InputError: A path that was given does not exist.
    """
    config = options.studio
    _check_given(config, roots)
    try:
        import uvicorn

        from mot_dinov3.apps.studio.app import build_app
    except ModuleNotFoundError as error:
        raise UsageError(
            f"the studio needs the package '{error.name}'",
            remedy="bash setup.sh cpu --extras ui, or: pip install 'mot-dinov3[ui]'",
        ) from error
    token = None if config.is_local else secrets.token_urlsafe(24)
    listener = listen(config.host, config.port)
    studio = Studio(options, Roots([*given_folders(config), *map(Path, roots or ["."])]))
    server = uvicorn.Config(
        build_app(studio, token), log_level="warning", access_log=False, timeout_graceful_shutdown=2, ws="none"
    )
    try:
        announce(address(config.host, listener.getsockname()[1], token), config)
        uvicorn.Server(server).run(sockets=[listener])
    finally:
        studio.close()
        listener.close()


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket.

    Raises:
        UsageError: The address is not this computer's, or taken.
    """
    try:
        family, _, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(place)
        listener.listen(128)
    except OSError as error:
        raise UsageError(
            f"port {port} of '{host}' cannot be listened on: {error.strerror or error}",
            remedy="--port 0 selects a free one; --host is an address of this computer",
        ) from error
    return listener


def address(host: str, port: int, token: str | None) -> str:
    """Return the address to open in the browser."""
    name = socket.gethostname() if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host
    return f"http://{name}:{port}/" + (f"?token={token}" if token else "")


def given_folders(config: StudioConfig) -> list[Path]:
    """Return the folders of the paths given at the start."""
    folders = [Path(path).expanduser().resolve().parent for path in (config.source, config.tracks) if path]
    return [*folders, *(Path(path) for path in (config.gallery, config.registry) if path)]


def _check_given(config: StudioConfig, roots: Sequence[str]) -> None:
    given = {"--source": config.source, "--tracks": config.tracks, "--registry": config.registry}
    for option, path in (*given.items(), *(("--root", r) for r in roots)):
        if path and not Path(path).expanduser().exists():
            raise InputError(f"{option} '{path}' does not exist", remedy="check the path")
    if config.gallery and Path(config.gallery).expanduser().is_file():
        raise InputError(f"--gallery '{config.gallery}' is a file", remedy="give a new or an existing folder")
