"""`find`: the identities that look like an image, and when they were seen."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mot_dinov3.apps.identities.config import SearchConfig
from mot_dinov3.cli.arguments import option_values
from mot_dinov3.cli.progress import print_notices
from mot_dinov3.core.errors import EXIT_OK, UsageError
from mot_dinov3.core.options import assemble
from mot_dinov3.features.factory import EmbedderConfig
from mot_dinov3.models.devices import DeviceConfig

if TYPE_CHECKING:
    from mot_dinov3.apps.identities.person_search import FoundIdentity, FoundTrack
    from mot_dinov3.core.structures import FloatArray
    from mot_dinov3.features.base import Embedder

SHOWN = 3  # tracks of an identity in the table


@dataclasses.dataclass(frozen=True)
class FindOptions:
    """All options of the command."""

    search: SearchConfig
    embedder: EmbedderConfig
    device: DeviceConfig


USAGE = "(--image FILE… | --gallery DIR) --in DIR [--embedder NAME --embed-model MODEL] [--save-json FILE]"
DESCRIPTION = (
    "Find a person in a registry (identify --registry DIR), or in the results of identify: the identities that look "
    "like the images, with the probability of each, and when they were seen. Each --image is one search; of a "
    "--gallery, each identity is. The embedder must be the one with which the videos were tracked."
)
OPTIONS = FindOptions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to `parser`."""
    parser.add_argument("--image", nargs="+", action="extend", default=[], metavar="FILE", help="image of a person")
    parser.add_argument("--in", dest="place", metavar="DIR", help="registry, or --out-dir of identify, to be searched")


def run(args: argparse.Namespace) -> int:
    """Search, print what was found, and return the exit code."""
    config = assemble(FindOptions, option_values(args, FindOptions))
    if bool(args.image) == bool(config.search.gallery):
        raise UsageError("nothing to search for: give --image FILE or --gallery DIR, one of them")
    if not args.place:
        raise UsageError("nowhere to search: --in is missing", remedy="for example: --in people")
    from mot_dinov3.apps.identities.person_search import check_same_model, find_document, find_identities, open_searched
    from mot_dinov3.core import files
    from mot_dinov3.core.json_text import dumps
    from mot_dinov3.features.factory import build_embedder
    from mot_dinov3.pipeline.track_descriptors import embedder_facts

    output = files.output_file(config.search.save_json) if config.search.save_json else None
    if output:
        files.check_output(output)
    folder = files.user_path(args.place)
    searched = open_searched(folder)
    embedder = build_embedder(config.embedder, device=config.device)
    print_notices(embedder.notices)
    check_same_model(searched, embedder_facts(embedder), folder)
    gallery = files.user_path(config.search.gallery) if config.search.gallery else None
    queries = embedded_queries(embedder, args.image, gallery)
    found = {name: find_identities(searched, rows)[: config.search.top] for name, rows in queries.items()}
    for name, identities in found.items():
        print("\n".join([f"{name}:", *(f"  {line}" for line in map(table_line, identities))]))
    if output:
        with files.replacing(output) as part:
            part.write_text(dumps(find_document(folder, found)) + "\n", encoding="utf-8")
        print(f"written     {output}")
    return EXIT_OK


def embedded_queries(embedder: Embedder, images: Sequence[str], gallery: Path | None) -> dict[str, FloatArray]:
    """Return the rows of what is searched for, by its name."""
    from mot_dinov3.core.files import user_path
    from mot_dinov3.gallery.folder import load_gallery, read_on_grey

    if gallery is not None:
        known = load_gallery(gallery, embedder)
        print_notices(known.notices)
        return {name: known.embedding[known.owner == number] for number, name in enumerate(known.names)}
    return {text: embedder.embed_images([read_on_grey(user_path(text))]) for text in images}


def table_line(found: FoundIdentity) -> str:
    """Return the line of an identity: its probability, and when it was seen."""
    tracks = ", ".join(map(moment, found.tracks[:SHOWN]))
    more = len(found.tracks) - SHOWN
    return f"{found.identity:<16} {found.confidence:>4.0%}  {tracks}{f', and {more} more' if more > 0 else ''}"


def moment(track: FoundTrack) -> str:
    """Return where and when a track was: ``door 0:12–0:31``."""
    from mot_dinov3.sinks.base import clock_text

    return f"{track.video} {clock_text(track.first_time)}–{clock_text(track.last_time)}"
