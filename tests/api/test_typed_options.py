"""The keyword arguments of the Python API: generated from the options, checked by type checkers and when called."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import typing
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import mot_dinov3
from mot_dinov3.api import keywords
from mot_dinov3.core.errors import ConfigError, UsageError
from mot_dinov3.core.options import options_of
from mot_dinov3.gallery.job.config import GalleryJobConfig
from mot_dinov3.pipeline.config import TrackConfig

RIGHT = """
import mot_dinov3
from mot_dinov3 import Pipeline, errors, track, track_gallery, track_video

errors.ConfigError("text").remedy
for frame, rows in Pipeline.from_options(source=0, det="motion", line=["a"], classes=[0, "car"], frame_rate="auto"):
    frame.index, rows.xyxy
track(source="in.mp4", conf=0.3, precision=None).lines()
result: mot_dinov3.TrackResult = track_gallery(dets_json="d.json", video="v.mp4", save_video=True)
track_video(dets_json="d.json", video="v.mp4", device=0)
"""
WRONG = {
    "track(cnof=0.3)": 'Unexpected keyword argument "cnof"',
    'track(conf="0.3")': 'Argument "conf" to "track" has incompatible type "str"',
    'Pipeline.from_options(precision="fp31")': 'Argument "precision"',
    'track_gallery(dets_json="d.json", video="v.mp4", save_jason=True)': 'Unexpected keyword argument "save_jason"',
    'track_gallery(video="v.mp4")': 'Missing named argument "dets_json"',
    "mot_dinov3.trak": 'Module has no attribute "trak"',
}
CHECKED = ("__init__.py", "api/__init__.py", "api/keywords.py", "pipeline/summary.py", "core/errors.py")


def generator(repo: Path) -> ModuleType:
    """docs/api_keywords.py, loaded as a module."""
    spec = importlib.util.spec_from_file_location("api_keywords", repo / "docs/api_keywords.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_typed_options_are_what_the_generator_makes(repo: Path) -> None:
    made = generator(repo)
    assert made.TARGET.read_text(encoding="utf-8") == made.text(), "run docs/api_keywords.py"


def test_every_option_of_the_commands_is_a_keyword() -> None:
    track, gallery = (
        set(typing.get_type_hints(options)) for options in (keywords.TrackOptions, keywords.GalleryOptions)
    )
    assert {known.key for known in options_of(TrackConfig)} - track == {"save_summary"}  # `track` returns it
    missing = {known.key for known in options_of(GalleryJobConfig)} - gallery
    assert missing == {"dets", "source", "resume", "json", "frames"}  # parameters; not offered; under other names
    assert {"save_json_flag", "save_frames"} <= gallery


@pytest.mark.slow
def test_a_type_checker_reports_wrong_keywords_and_types(repo: Path, tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    program = tmp_path / "program.py"
    program.write_text(RIGHT + "\n".join(WRONG))
    files = [f"mot_dinov3/{name}" for name in CHECKED]
    words = ["--config-file=", "--python-version=3.10", "--follow-imports=skip", "--ignore-missing-imports"]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *words, "--cache-dir", str(tmp_path), str(program), *files],
        cwd=repo / "src",
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    errors = [line for line in done.stdout.splitlines() if ": error: " in line]
    first = 1 + RIGHT.count("\n")
    assert [int(line.removeprefix(str(program)).split(":")[1]) for line in errors] == [
        first + number for number in range(len(WRONG))
    ], done.stdout
    assert [message for message, line in zip(WRONG.values(), errors) if message not in line] == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"cnof": 0.3}, "unknown option 'cnof'; did you mean 'conf'?"),
        ({"conf": "0.3", "imgsz": 2.5}, r"'conf' must be a float, got '0.3'; 'imgsz' must be a int, got 2.5"),
        ({"conf": 7.0, "crop_pad": -1.0}, r"conf must be between 0 and 1, got 7.0; crop_pad must be between 0 and 1"),
        ({"save_summary": "s.json"}, "unknown option 'save_summary'"),
        ({"precision": "fp31"}, "precision must be one of auto, fp32, bf16, fp16, got fp31"),
    ],
    ids=str,
)
def test_wrong_options_are_refused_all_at_once(given: dict[str, object], message: str) -> None:
    for call in (mot_dinov3.track, mot_dinov3.Pipeline.from_options):
        with pytest.raises(ConfigError, match=message.replace("?", r"\?")):
            call(source="in.mp4", **given)  # type: ignore[operator]


def test_the_gallery_s_wrong_options_are_refused_too() -> None:
    with pytest.raises(ConfigError, match=r"unknown option 'max_obz'; did you mean 'max_obs'\?"):
        mot_dinov3.track_gallery(dets_json="d", video="v", max_obz=3)  # type: ignore[call-arg]
    with pytest.raises(ConfigError, match="unknown option 'resume'"):
        mot_dinov3.track_gallery(dets_json="d", video="v", resume=True)  # type: ignore[call-arg]


def test_track_video_is_another_name_of_track_gallery() -> None:
    assert mot_dinov3.track_video is mot_dinov3.track_gallery


def test_numpy_numbers_paths_and_none_are_taken(tmp_path: Path) -> None:
    from mot_dinov3.api import _option_values

    given = {"conf": np.float32(0.5), "imgsz": np.int64(320), "source": tmp_path, "device": 0, "classes": (0, "car")}
    values = _option_values({**given, "line": "a", "embedder": None}, TrackConfig, keywords.TrackOptions)
    assert values == {
        "conf": 0.5,
        "imgsz": 320,
        "source": str(tmp_path),
        "device": "0",
        "classes": "0,car",
        "line": ("a",),
    }


def test_public_names_are_importable_and_the_package_loads_nothing() -> None:
    program = (
        "import time; began = time.perf_counter()\n"
        "import mot_dinov3, sys; seconds = time.perf_counter() - began\n"
        "assert not {'numpy', 'torch', 'cv2', 'mot_dinov3.api'} & set(sys.modules)\n"
        "for name in mot_dinov3.__all__: getattr(mot_dinov3, name)\n"
        "assert set(mot_dinov3.__all__) <= set(dir(mot_dinov3))\n"
        "assert not {'torch', 'cv2', 'av', 'transformers', 'ultralytics'} & set(sys.modules)\n"
        "print(seconds)"
    )
    best = min(
        float(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout)
        for _ in range(3)
    )
    assert best < 0.1


def test_an_unknown_name_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'trak'"):
        mot_dinov3.trak  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(UsageError, match="no input") as caught:
        mot_dinov3.track()
    assert isinstance(caught.value, mot_dinov3.errors.MotError)
