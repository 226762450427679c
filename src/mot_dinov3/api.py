"""The gallery's door for Python: the same names and defaults as the command `gallery`."""

from __future__ import annotations

import dataclasses
import functools
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mot_dinov3.core.options import assemble, options_of, typed_values
from mot_dinov3.core.timing import now_utc
from mot_dinov3.gallery.job.config import GalleryJobConfig, RunPaths, job_values
from mot_dinov3.gallery.job.wiring import GalleryRun
from mot_dinov3.trackers import TRACKERS

PACKED = 32  # lines compressed together: half the time and three quarters of the size of one by one


@dataclasses.dataclass(frozen=True)
class PackedPayload:
    """A track-v1 document, its frames compressed.

    Attributes:
        header: All keys but ``frames``.
        parts: The frames' records, in order, `PACKED` lines of JSON a part.
    """

    header: Mapping[str, Any]
    parts: Sequence[bytes]

    def unpack(self) -> dict[str, Any]:
        """Return the document."""
        lines = (line for part in self.parts for line in zlib.decompress(part).splitlines())
        return {**self.header, "frames": [json.loads(line) for line in lines]}


class _Packer:
    """Packs lines as they come."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._lines: list[str] = []

    def take(self, number: int, line: str) -> None:
        """Take the record of a frame."""
        self._lines.append(line)
        if len(self._lines) == PACKED:
            self._pack()

    def _pack(self) -> None:
        self._parts.append(zlib.compress("\n".join(self._lines).encode(), 1))
        self._lines = []

    def parts(self) -> list[bytes]:
        """Return all of them."""
        if self._lines:
            self._pack()
        return self._parts


@dataclasses.dataclass(frozen=True)
class TrackResult:
    """What `track_video` found.

    Attributes:
        payload: The whole track-v1 document. It is kept packed, and built when it is first asked for.
        paths: What was written, all None unless asked for: ``run_dir``, ``json_path``, ``video_path``, ``frames_dir``.
        stats: ``frames``, ``fps``, ``stage_ms`` (ms a frame by stage), ``embeddings``, ``identities``, ``notices``.
    """

    payload: Mapping[str, Any] | PackedPayload
    paths: RunPaths
    stats: Mapping[str, Any]

    def __getattribute__(self, name: str) -> Any:
        value = object.__getattribute__(self, name)
        if name == "payload" and isinstance(value, PackedPayload):
            value = value.unpack()
            object.__setattr__(self, name, value)
        return value


def available_trackers() -> list[str]:
    """Return the names of all trackers."""
    return list(TRACKERS)


def track_video(
    *,
    dets_json: str | Path,
    video: str | Path,
    tracker: str = "gallery_hybrid",
    classes: str | Sequence[int | str] | None = None,
    filter_gallery: bool | None = None,
    track_thresh: float | None = None,
    match_thresh: float | None = None,
    track_buffer: int | None = None,
    frame_rate: float | str | None = None,
    per_class: bool | None = None,
    max_obs: int | None = None,
    reid_weights: str | Path | None = None,
    gallery: str | Path | None = None,
    reid_frequency: int | None = None,
    gallery_match_threshold: float | None = None,
    device: str | int | None = None,
    half: bool | None = None,
    trust_weights: bool | None = None,
    skip_bad_boxes: bool | None = None,
    models_dir: str | Path | None = None,
    save_json_flag: bool | None = None,
    save_frames: bool | None = None,
    save_video: str | bool | None = None,
    out_dir: str | Path | None = None,
    run_name: str | None = None,
    display: bool | None = None,
    save_fps: float | None = None,
    fourcc: str | None = None,
    class_names: str | Path | None = None,
    no_progress: bool = True,
    embedder: str | None = None,
) -> TrackResult:
    """Track a video from its recorded detections, and name known identities.

    Every argument is the option of the same name of the command `gallery` (``save_json_flag`` is ``--json``,
    ``save_frames`` is ``--frames``); None stands for that option's default. Nothing is written unless asked for.

    Args:
        dets_json: det-v1 file.
        video: The video it was made from.
        tracker: ``gallery_hybrid`` or ``gallery_only``.
        classes: Class ids or names to track, as text or as a sequence; others pass through unchanged.
        filter_gallery: Leave out detections of tracked classes in which nobody was recognised.
        track_thresh: Boxes from this score are matched first and may start tracks.
        match_thresh: Largest accepted cost 1 − IoU·score: larger is looser.
        track_buffer: Frames at 30 fps for which a lost track is looked for.
        frame_rate: Scales `track_buffer`; ``"auto"`` takes the video's.
        per_class: Track each class by itself.
        max_obs: Observed boxes kept per track.
        reid_weights: Weights of the embedder.
        gallery: Folder of identities.
        reid_frequency: Frames after which a track is compared with the gallery again.
        gallery_match_threshold: Largest distance at which a track is given an identity.
        device: Where the embedder runs.
        half: Embed in half precision.
        trust_weights: Open weights files that are more than data and may run code.
        skip_bad_boxes: Leave out detections that cannot be used; a notice counts them.
        models_dir: Folder where weights are looked up by name.
        save_json_flag: Write ``tracked.json``.
        save_frames: Write every drawn frame.
        save_video: Name of the video to write; True names it ``tracked``.
        out_dir: Folder of the run folders.
        run_name: Name of the run folder.
        display: Show a window.
        save_fps: Frame rate of the saved video.
        fourcc: Encoder of the saved video.
        class_names: File of class names.
        no_progress: Show no progress bar.
        embedder: What compares pictures, osnet where weights are given.

    Raises:
        MotError: Something cannot be used; see `errors` for the kinds.
    """
    if isinstance(save_video, bool):
        save_video = "tracked" if save_video else None
    given = {
        "dets_json": _text(dets_json),
        "video": _text(video),
        "tracker": tracker,
        "classes": classes,
        "filter_gallery": filter_gallery,
        "track_thresh": track_thresh,
        "match_thresh": match_thresh,
        "track_buffer": track_buffer,
        "frame_rate": frame_rate,
        "per_class": per_class,
        "max_obs": max_obs,
        "reid_weights": _text(reid_weights),
        "gallery": _text(gallery),
        "reid_frequency": reid_frequency,
        "gallery_match_threshold": gallery_match_threshold,
        "device": None if device is None else str(device),
        "half": half,
        "trust_weights": trust_weights,
        "skip_bad_boxes": skip_bad_boxes,
        "models_dir": _text(models_dir),
        "json": save_json_flag,
        "frames": save_frames,
        "save_video": save_video,
        "out_dir": _text(out_dir),
        "run_name": run_name,
        "display": display,
        "save_fps": save_fps,
        "fourcc": fourcc,
        "class_names": _text(class_names),
        "embedder": embedder,
    }
    values = job_values({key: value for key, value in given.items() if value is not None})
    config = assemble(GalleryJobConfig, typed_values(values, options_of(GalleryJobConfig)))
    packer = _Packer()
    run = GalleryRun(config, line=packer.take, created=_first_made(config, _stamp(config.inputs.dets_json)))
    run.run(_progress(run.frame_total, shown=not no_progress))
    stats = {**run.stats(), "notices": list(run.notices)}
    return TrackResult(PackedPayload(run.header(), packer.parts()), run.paths, stats)


def _stamp(path: str) -> tuple[int, ...]:
    try:
        stat = Path(path).stat()
    except OSError:  # told by whoever opens it
        return ()
    return stat.st_size, stat.st_mtime_ns


@functools.lru_cache(maxsize=256)
def _first_made(config: GalleryJobConfig, stamp: tuple[int, ...]) -> str:
    """Return the time of this process's first run with these options and input: its result, to the byte, is theirs."""
    return now_utc()


def _text(path: str | Path | None) -> str | None:
    return None if path is None else str(path)


def _progress(total: int, *, shown: bool) -> Callable[[], bool]:
    if not shown:
        return lambda: False
    from tqdm import tqdm

    bar = tqdm(total=total or None, unit="frame")

    def tick() -> bool:
        bar.update()
        return False

    return tick
