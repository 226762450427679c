"""One configuration out of the stages' own dataclasses, filled from TOML and the command line.

An option is a field of a stage's config, and its key is the long flag without dashes: ``--embed-budget-ms`` on the
command line is ``embed_budget_ms`` in a TOML file. The command line wins over the file, and the dataclass holds the
default. Whatever is unknown is an error that names all mistakes at once.
"""

from __future__ import annotations

import dataclasses
import math
import reprlib
import sys
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from mot_dinov3.core.errors import ConfigError, UsageError, closest
from mot_dinov3.core.options import Setting, flag_of, setting
from mot_dinov3.detectors.base import DetectorConfig
from mot_dinov3.detectors.motion import MotionConfig
from mot_dinov3.features.factory import EmbedderConfig
from mot_dinov3.gallery.config import GalleryConfig
from mot_dinov3.linking import LinkConfig
from mot_dinov3.models.devices import DeviceConfig
from mot_dinov3.pipeline.counting_config import CountConfig
from mot_dinov3.pipeline.interval_detector import SparseConfig
from mot_dinov3.scheduler import SchedulerConfig
from mot_dinov3.sinks.files import OutputConfig
from mot_dinov3.trackers.byte import HybridConfig
from mot_dinov3.trackers.config import TrackerConfig
from mot_dinov3.video import SourceConfig
from mot_dinov3.viz import DrawConfig

MAX_TOML = 1 << 20  # bytes
MAX_NUMBER = 1 << 62  # larger whole numbers overflow in the libraries that they are handed to

C = TypeVar("C")


@dataclasses.dataclass(frozen=True)
class TrackerChoice:
    """Which tracker gives the identities."""

    tracker: str = setting("appearance", "a name of --list-trackers, or package.module:Class")


@dataclasses.dataclass(frozen=True)
class LinkChoice:
    """Whether the finished video is linked."""

    link: bool = setting(False, "after the last frame, join broken tracks, smooth them and fill short gaps")


@dataclasses.dataclass(frozen=True)
class TrackConfig:
    """All that the main job needs to know, one part per stage."""

    source: SourceConfig
    detector: DetectorConfig
    sparse: SparseConfig
    motion: MotionConfig
    device: DeviceConfig
    embedder: EmbedderConfig
    scheduler: SchedulerConfig
    choice: TrackerChoice
    tracker: TrackerConfig
    hybrid: HybridConfig
    gallery: GalleryConfig
    linked: LinkChoice
    linking: LinkConfig
    count: CountConfig
    draw: DrawConfig
    output: OutputConfig


@dataclasses.dataclass(frozen=True)
class DetectConfig:
    """What `detect` needs: the same stages without those that come after the detector."""

    source: SourceConfig
    detector: DetectorConfig
    motion: MotionConfig
    device: DeviceConfig


@dataclasses.dataclass(frozen=True)
class Option:
    """One config field as the command line and TOML see it.

    Attributes:
        stage: Name of the part it belongs to.
        field: Name of the config field.
        key: TOML key; the flag without dashes.
        flag: ``--long-option``.
        type: bool, int, float, str, or tuple for texts.
        default: The dataclass's own.
        setting: Help, choices, metavar.
    """

    stage: str
    field: str
    key: str
    flag: str
    type: type
    default: Any
    setting: Setting


def options_of(config: type) -> tuple[Option, ...]:
    """Return the options of all stages of a command's config class, in order; hidden fields are left out."""
    return tuple(
        option
        for part, stage in typing.get_type_hints(config).items()
        for option in _stage_options(part, stage)
        if not option.setting.hidden
    )


def _stage_options(part: str, stage: type) -> Iterable[Option]:
    hints = typing.get_type_hints(stage)
    for field in dataclasses.fields(stage):
        flag = flag_of(field)
        key = flag.removeprefix("--").replace("-", "_")
        plain = _plain_type(hints[field.name])
        yield Option(part, field.name, key, flag, plain, field.default, field.metadata["setting"])


def _plain_type(hint: Any) -> type:
    """Return ``int`` for ``int | None``, ``tuple`` for a list of texts: an option that may be given more than once."""
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return next(a for a in typing.get_args(hint) if a is not type(None))
    return tuple if typing.get_origin(hint) is tuple else typing.cast(type, hint)


def assemble(config: type[C], values: Mapping[str, Any]) -> C:
    """Build a command's config from option values by key; what is not given keeps its stage's default.

    Raises:
        ConfigError: A value is out of range; all stages' complaints are listed.
    """
    by_stage: dict[str, dict[str, Any]] = {}
    parts, problems = {}, []
    for option in options_of(config):
        if option.key in values:
            value = values[option.key]
            if isinstance(value, float) and not math.isfinite(value):  # no option means anything with these
                problems.append(ConfigError(f"{option.key} must be a finite number, got {value}"))
            by_stage.setdefault(option.stage, {})[option.field] = value
    for part, stage in typing.get_type_hints(config).items():
        try:
            parts[part] = stage(**by_stage.get(part, {}))
        except ConfigError as error:
            problems.append(error)
    if problems:
        remedies = "\n".join(dict.fromkeys(p.remedy for p in problems if p.remedy))
        raise ConfigError("; ".join(p.message for p in problems), remedy=remedies)
    return config(**parts)


def track_config(values: dict[str, Any]) -> TrackConfig:
    """Build the main job's configuration; recorded detections without a source imply a run without pictures.

    Raises:
        UsageError: There is nothing to track, or pictures are asked for where there are none.
    """
    if values.get("source"):
        return assemble(TrackConfig, values)
    if not values.get("dets"):
        raise UsageError("no input: --source is missing", remedy="for example: --source in.mp4 (or --dets FILE)")
    if values.get("video") or "output" in values:
        raise UsageError("--output needs pictures, and --dets alone has none", remedy="give the video with --source")
    if values.get("embedder", "none") != "none":
        raise UsageError(
            f"--embedder {values['embedder']} needs pictures, and --dets alone has none",
            remedy="give the video with --source",
        )
    return assemble(TrackConfig, {**values, "embedder": "none", "video": False})


def read_toml(path: Path, options: Iterable[Option]) -> dict[str, Any]:
    """Read option values from a TOML file, strictly.

    Raises:
        ConfigError: The file cannot be read, is no TOML, holds an unknown key or a value of the wrong type; the message
            names every such key.
    """
    try:
        if not path.is_file():
            why = "it is not a file" if path.exists() else "it does not exist"
            raise ConfigError(f"configuration '{path}' cannot be read: {why}")
        if path.stat().st_size > MAX_TOML:
            raise ConfigError(f"configuration '{path}' is too large to be one (more than {MAX_TOML} bytes)")
        table = _toml_loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"configuration '{path}' cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"configuration '{path}' is not valid TOML: {error}") from error
    values, problems = _typed(table, options)
    if problems:
        raise ConfigError(f"configuration '{path}': {'; '.join(problems)}", remedy="keys are options without dashes")
    return values


def typed_values(given: Mapping[str, Any], options: Iterable[Option]) -> dict[str, Any]:
    """Return option values that a caller named by key, as `assemble` takes them.

    Raises:
        ConfigError: A value has the wrong type, or there is no such option; all of them are named.
    """
    values, problems = _typed(given, options)
    if problems:
        raise ConfigError("; ".join(problems))
    return values


def _typed(table: Mapping[str, Any], options: Iterable[Option]) -> tuple[dict[str, Any], list[str]]:
    """Return the values of `table` by option key, and what is wrong with the others."""
    known = {option.key: option for option in options}
    values, problems = {}, []
    for key, value in table.items():
        option = known.get(key.replace("-", "_"))
        auto = None if option is None else option.setting.auto
        if option is None:
            problems.append(f"unknown key '{key}'{closest(key.replace('-', '_'), known)}")
        elif auto is not None and value == "auto":
            values[option.key] = auto
        elif not _fits(option, value):
            wanted = "list of texts" if option.type is tuple else option.type.__name__
            wanted += "" if auto is None else " or 'auto'"
            problems.append(f"'{key}' must be a {wanted}, got {reprlib.repr(value)}")
        else:
            values[option.key] = option.type(value)
    return values, problems


def _fits(option: Option, value: object) -> bool:
    if option.type is float:
        return type(value) is float or (type(value) is int and abs(value) < MAX_NUMBER)
    if option.type is int:
        return type(value) is int and abs(value) < MAX_NUMBER
    if option.type is tuple:
        return isinstance(value, list) and all(isinstance(text, str) for text in value)
    return type(value) is option.type


def _toml_loads(text: str) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    return tomllib.loads(text)
