"""`studio`: a local web page for tracks, identities, galleries, keypoint labels and similarity."""

from __future__ import annotations

import argparse
import webbrowser

from mot_dinov3.apps.studio.config import StudioConfig, StudioOptions
from mot_dinov3.cli.arguments import read_config
from mot_dinov3.core.errors import EXIT_OK

USAGE = "[SOURCE] [--tracks FILE] [--gallery DIR] [--registry DIR] [options]"
DESCRIPTION = (
    "Serve a web page, for this computer only, to correct tracks, to build a gallery of known identities, to "
    "label and correct keypoints, to view similarity, and to correct the identities of a registry. It reads and "
    "writes only below the --root folders and the folders of the given paths. From another computer, forward the port: "
    "ssh -L 8000:127.0.0.1:8000 that-computer."
)
OPTIONS = StudioOptions
SERVES = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to `parser`."""
    parser.add_argument(
        "--root",
        action="append",
        default=[],
        metavar="DIR",
        help="folder that the page may read and write; may be given several times (default: the current folder)",
    )


def run(args: argparse.Namespace) -> int:
    """Serve until interrupted, and return the exit code."""
    from mot_dinov3.apps.studio.server import serve

    serve(read_config(args, StudioOptions), args.root, announce=announce)
    return EXIT_OK


def announce(address: str, config: StudioConfig) -> None:
    """Print the address of the page, and open it."""
    print(f"studio      {address}", flush=True)
    print("            Ctrl-C stops it", flush=True)
    if config.browser:
        webbrowser.open(address)
