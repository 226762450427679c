"""Inputs of `identify`: files of track embeddings, result folders of a batch, and videos that have to be tracked."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from mot_dinov3.apps.batch.manifest import DONE, read_manifest
from mot_dinov3.apps.batch.plan import MANIFEST
from mot_dinov3.apps.identities.tracklet_means import TrackletMeans, reduced
from mot_dinov3.core.errors import InputError, UsageError
from mot_dinov3.core.files import user_path
from mot_dinov3.formats.track_embeddings import SUFFIXES, EmbeddingTable, read_embeddings

EMBEDDINGS = "embeddings.npz"
FLAG = "--save-embeddings="


@dataclasses.dataclass(frozen=True)
class VideoTracks:
    """Tracks of a video, with their embeddings.

    Attributes:
        name: The video's name in the results.
        path: The file of embeddings.
        table: Its content without the embeddings, and without crops that have none.
        appearance: The embeddings, reduced.
    """

    name: str
    path: Path
    table: EmbeddingTable
    appearance: TrackletMeans


@dataclasses.dataclass(frozen=True)
class IdentifyInputs:
    """What the user's words name.

    Attributes:
        files: Files of embeddings, each with the name of its video; empty where that has to be found.
        videos: Words that name videos.
        notices: Lines for the user.
    """

    files: tuple[tuple[str, Path], ...]
    videos: tuple[str, ...]
    notices: tuple[str, ...] = ()


def sort_inputs(inputs: Sequence[str]) -> IdentifyInputs:
    """Tell the inputs apart.

    Raises:
        UsageError: There is none, or a batch has no embeddings.
        InputError: A file of embeddings does not exist.
    """
    if not inputs:
        raise UsageError(
            "no input: name files of --save-embeddings, result folders of batch, or videos",
            remedy="for example: identify *.mp4 --embedder osnet --embed-model FILE --out-dir out",
        )
    found: list[tuple[str, Path]] = []
    videos: list[str] = []
    notices: list[str] = []
    for text in inputs:
        path = user_path(text)
        if (path / MANIFEST).is_file():
            of_batch, missing = batch_files(path)
            found += of_batch
            notices += [f"'{text}': no embeddings of {name}: {why}" for name, why in missing]
        elif path.suffix.lower() in SUFFIXES and not path.is_dir():
            if not path.exists():
                raise InputError(f"input '{text}' does not exist")
            found.append(("", path))
        else:
            videos.append(text)
    return IdentifyInputs(tuple(found), tuple(videos), tuple(notices))


def batch_files(folder: Path) -> tuple[list[tuple[str, Path]], list[tuple[str, str]]]:
    """Return the files of embeddings of a batch by video, and the videos that have none, each with the reason.

    Raises:
        UsageError: The batch was run without them.
    """
    manifest = read_manifest(folder)
    name = next((word.removeprefix(FLAG) for word in manifest.options if word.startswith(FLAG)), "")
    if not name:
        raise UsageError(
            f"the batch in '{folder}' has no embeddings of its tracks",
            remedy=f"run it with --save-embeddings {EMBEDDINGS}, in another --out-dir",
        )
    done = [video for video in manifest.videos.values() if video.state == DONE]
    missing = [(video.name, f"it is {video.state}") for video in manifest.videos.values() if video.state != DONE]
    return [(video.name, folder / video.name / name) for video in done], missing


def name_videos(files: Sequence[tuple[str, Path]]) -> list[tuple[str, Path]]:
    """Return files of embeddings with the names of their videos: that of the file, and its folder where others have it.

    Raises:
        UsageError: A file is given twice, or two videos have one name.
    """
    places = [path.resolve() for _, path in files]
    twice = [path for path, number in Counter(places).items() if number > 1]
    if twice:
        raise UsageError(f"'{twice[0]}' is given twice", remedy="copy it under another name if that is meant")
    names = [name or path.stem for name, path in files]
    often = {name for name, number in Counter(names).items() if number > 1}
    names = [f"{place.parent.name}/{name}" if name in often else name for name, place in zip(names, places)]
    doubled = [name for name, number in Counter(names).items() if number > 1]
    if doubled:
        raise UsageError(f"two inputs have the name '{doubled[0]}'", remedy="rename one of the files or folders")
    return [(name, path) for name, (_, path) in zip(names, files)]


def read_tracks(files: Sequence[tuple[str, Path]]) -> list[VideoTracks]:
    """Read files of embeddings by video.

    Raises:
        FormatError: One cannot be read.
        UsageError: Two are of different models.
    """
    found = [VideoTracks(name, path, *reduced(read_embeddings(path))) for name, path in files]
    _check_models(found)
    return found


def _check_models(videos: Sequence[VideoTracks]) -> None:
    """Refuse embeddings that cannot be compared."""
    if not videos:
        return
    first = videos[0]
    for video in videos[1:]:
        if fingerprint(video) != fingerprint(first) or dimension(video) != dimension(first):
            raise UsageError(
                f"'{first.path}' has embeddings of {model_text(first)}, '{video.path}' of {model_text(video)}: "
                "embeddings of different models cannot be compared",
                remedy="track all videos with the same --embedder and --embed-model",
            )


def fingerprint(video: VideoTracks) -> object:
    """Return the digest of the model of a file's embeddings; None where it is not known."""
    embedder = video.table.meta.get("embedder")
    return embedder.get("fingerprint") if isinstance(embedder, dict) else None


def dimension(video: VideoTracks) -> int:
    """Return the length of a file's embeddings."""
    return int(video.appearance.halves.shape[-1])


def model_text(video: VideoTracks) -> str:
    """Return the model of a file's embeddings as text."""
    embedder = video.table.meta.get("embedder")
    facts = embedder if isinstance(embedder, dict) else {}
    named = " ".join(str(facts[key]) for key in ("name", "weights") if facts.get(key)) or "an unknown model"
    return f"{named} ({fingerprint(video)})"
