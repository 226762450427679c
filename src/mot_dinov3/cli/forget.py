"""`forget`: deletes a person from a registry and from results."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

from mot_dinov3.cli.progress import print_notices
from mot_dinov3.core.errors import EXIT_OK, UnknownNameError, UsageError

USAGE = "NAME [--registry DIR] [--in DIR …]"
DESCRIPTION = (
    "Delete a person: from a registry the identity with its embeddings, times and images, and what was computed from "
    "them; from results of identify (--in) its rows, its name and the embeddings of its tracks. Files that may still "
    "show the person, such as drawn videos and tables of boxes without the name, are listed as remains."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to `parser`."""
    parser.add_argument("name", metavar="NAME", help="name of the identity, as in identities.csv")
    parser.add_argument("--registry", metavar="DIR", help="registry, as given to identify --registry")
    parser.add_argument(
        "--in", dest="results", nargs="+", action="extend", default=[], metavar="DIR", help="--out-dir of identify"
    )


def run(args: argparse.Namespace) -> int:
    """Delete, print what was deleted and what remains, and return the exit code."""
    if not args.registry and not args.results:
        raise UsageError("nowhere to delete from: give --registry DIR, --in DIR or both")
    places = [(forget_in_folder, folder) for folder in args.results]
    if args.registry:
        places.append((forget_in_registry, args.registry))
    # A person need not have been everywhere, and the same command completes one that was stopped.
    missing: list[UnknownNameError] = []
    for forget, folder in places:
        try:
            forget(folder, args.name)
        except UnknownNameError as error:
            missing.append(error)
    if len(missing) == len(places):
        raise missing[0]
    print_notices([error.message for error in missing])
    return EXIT_OK


def forget_in_folder(folder: str, name: str) -> None:
    """Delete from results of identify, and print what was changed and what remains."""
    from mot_dinov3.apps.identities.forgetting import forget_in_results
    from mot_dinov3.core.files import user_path

    done = forget_in_results(user_path(folder), name)
    print_paths("changed", done.changed)
    print_paths("remains", done.remaining)


def forget_in_registry(folder: str, name: str) -> None:
    """Delete from a registry, and print what was deleted."""
    from mot_dinov3.apps.identities.identity_files import counted
    from mot_dinov3.apps.identities.identity_store import open_store
    from mot_dinov3.apps.identities.registry_edits import forget_identity
    from mot_dinov3.core.files import user_path

    with open_store(user_path(folder)) as store:
        gone = forget_identity(store, name)
    tracks, images = counted(len(gone.tracks), "track"), counted(gone.images, "image")
    print(f"deleted     '{name}' in {folder}: {tracks}, {images}")


def print_paths(label: str, paths: Iterable[Path]) -> None:
    """Print a line for each path."""
    from mot_dinov3.core.files import shown_path

    for path in paths:
        print(f"{label:<11} {shown_path(path)}")
