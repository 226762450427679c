"""The cameras of videos, as a TOML file gives them: which video is of which, when it begins, how long the ways are.

::

    [cameras]
    entrance = ["door_1", "door_2"]       # videos by name
    yard = ["yard"]

    [starts]                              # of a video's first frame: a date and time, or seconds
    door_1 = 2026-05-01T10:00:00
    yard = 2026-05-01T10:02:30

    [[travel]]                            # nobody is faster from one camera to the other
    between = ["entrance", "yard"]
    seconds = 20
"""

from __future__ import annotations

import dataclasses
import datetime
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mot_dinov3.core.errors import ConfigError, closest
from mot_dinov3.core.option_values import read_toml_table

TABLES = ("cameras", "starts", "travel")


@dataclasses.dataclass(frozen=True)
class CameraPlan:
    """Cameras of videos; a video that no camera lists has one of its own, with its name.

    Attributes:
        camera: Video → its camera.
        start: Video → seconds of its first frame, on one clock for all.
        travel: Two cameras, in order → least seconds between them.
    """

    camera: Mapping[str, str] = dataclasses.field(default_factory=dict)
    start: Mapping[str, float] = dataclasses.field(default_factory=dict)
    travel: Mapping[tuple[str, str], float] = dataclasses.field(default_factory=dict)

    def camera_of(self, video: str) -> str:
        """Return the camera of a video."""
        return self.camera.get(video, video)


def read_camera_plan(path: Path, videos: Sequence[str]) -> CameraPlan:
    """Read the file.

    Raises:
        ConfigError: It cannot be read, or names a video or camera that there is not.
    """
    table = read_toml_table(path)
    where = f"cameras '{path}'"
    for key in table:
        if key not in TABLES:
            raise ConfigError(
                f"{where}: unknown table '{key}'{closest(key, TABLES)}", remedy=f"valid: {', '.join(TABLES)}"
            )
    camera = _cameras(where, _table(where, table, "cameras"), videos)
    starts = _table(where, table, "starts")
    for video in starts:
        _check_known(where, "video", video, videos)
    if len({isinstance(value, datetime.datetime) and value.tzinfo is not None for value in starts.values()}) > 1:
        raise ConfigError(
            f"{where}: some starts have a time zone, others have none", remedy="give it to all or to none"
        )
    if len({isinstance(value, datetime.datetime) for value in starts.values()}) > 1:
        raise ConfigError(f"{where}: some starts are dates, others are seconds", remedy="give all in one way")
    start = {video: _seconds(where, video, value) for video, value in starts.items()}
    cameras = {camera.get(video, video) for video in videos}
    return CameraPlan(camera, start, _travel(where, table.get("travel", []), sorted(cameras)))


def _table(where: str, table: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = table.get(key, {})
    if not isinstance(found, dict):
        raise ConfigError(f"{where}: '{key}' must be a table: [{key}]")
    return found


def _check_known(where: str, kind: str, name: object, known: Sequence[str]) -> None:
    if not isinstance(name, str) or name not in known:
        raise ConfigError(
            f"{where}: no {kind} '{name}'{closest(str(name), known)}", remedy=f"the {kind}s are: {', '.join(known)}"
        )


def _cameras(where: str, given: Mapping[str, Any], videos: Sequence[str]) -> dict[str, str]:
    camera: dict[str, str] = {}
    for name, listed in given.items():
        if not isinstance(listed, list):
            raise ConfigError(f"{where}: camera '{name}' must be a list of videos", remedy=f'{name} = ["VIDEO"]')
        for video in listed:
            _check_known(where, "video", video, videos)
            if camera.setdefault(video, name) != name:
                raise ConfigError(f"{where}: video '{video}' has two cameras, '{camera[video]}' and '{name}'")
    alone = [name for name in given if name in videos and camera.get(name, name) != name]
    alone += [name for name in given if name in videos and name not in camera]
    if alone:
        raise ConfigError(
            f"{where}: camera '{alone[0]}' has the name of a video that is not its own", remedy="rename the camera"
        )
    return camera


def _seconds(where: str, video: str, value: object) -> float:
    if isinstance(value, datetime.datetime):
        zoned = value if value.tzinfo is not None else value.replace(tzinfo=datetime.timezone.utc)
        return zoned.timestamp()
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    raise ConfigError(
        f"{where}: the start of '{video}' must be a date with a time, or seconds, got {value!r:.40}",
        remedy="for example: 2026-05-01T10:00:00",
    )


def _travel(where: str, given: object, cameras: Sequence[str]) -> dict[tuple[str, str], float]:
    travel: dict[tuple[str, str], float] = {}
    wanted = 'give [[travel]] with between = ["CAMERA", "CAMERA"] and seconds = NUMBER'
    for entry in given if isinstance(given, list) else [None]:
        if not isinstance(entry, dict) or set(entry) != {"between", "seconds"}:
            raise ConfigError(f"{where}: a travel time has the keys between and seconds, and no other", remedy=wanted)
        between, seconds = entry["between"], entry["seconds"]
        if not isinstance(between, list) or len(between) != 2 or between[0] == between[1]:
            raise ConfigError(f"{where}: a travel time is between two cameras, got {between!r:.60}", remedy=wanted)
        for name in between:
            _check_known(where, "camera", name, cameras)
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < math.inf:
            raise ConfigError(f"{where}: seconds must be a number from 0, got {seconds!r:.40}", remedy=wanted)
        travel[min(between), max(between)] = float(seconds)
    return travel
