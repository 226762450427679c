"""Options: ranges, defaults, TOML, and one configuration out of the stages' own dataclasses."""

from __future__ import annotations

import dataclasses

import pytest

from mot_dinov3.apps.batch.config import BatchOptions
from mot_dinov3.apps.export.config import ExportOptions
from mot_dinov3.apps.identities.config import IdentifyOptions
from mot_dinov3.apps.studio.config import StudioOptions
from mot_dinov3.cli.arguments import Parser, add_config_options
from mot_dinov3.core.errors import ConfigError, UnknownNameError, UsageError
from mot_dinov3.core.option_values import read_toml
from mot_dinov3.core.options import Option, assemble, help_of, options_of
from mot_dinov3.gallery.job.config import GalleryJobConfig
from mot_dinov3.keypoints.job.config import KeypointsOptions, SimilarityOptions
from mot_dinov3.pipeline.config import DetectConfig, TrackConfig, track_config
from mot_dinov3.trackers.config import TrackerConfig

OPTIONS = {option.key: option for option in options_of(TrackConfig)}


def toml(tmp_path, text):
    path = tmp_path / "run.toml"
    path.write_text(text, encoding="utf-8")
    return read_toml(path, OPTIONS.values())


@pytest.mark.parametrize(
    ("key", "default"),
    [
        ("det", None),
        ("imgsz", None),
        ("conf", None),
        ("embedder", None),
        ("crop_pad", 0.12),
        ("embed_refresh", 5),
        ("embed_iou_gate", 0.6),
        ("embed_overlap_thr", 0.2),
        ("embed_budget_ms", 0.0),
        ("output", "outputs/tracked.mp4"),
        ("tracker", "appearance"),
        ("class_mode", "agnostic"),
        ("device", "auto"),
        ("precision", "auto"),
        ("draw_lost", False),
        ("fallback_open", None),
        ("hungarian", True),
    ],
)
def test_documented_names_and_defaults(key, default):
    assert OPTIONS[key].default == default


def test_no_two_stages_share_an_option():
    keys = [option.key for option in options_of(TrackConfig)]
    assert len(keys) == len(set(keys))


def test_every_option_has_a_help_and_a_plain_type():
    for option in OPTIONS.values():
        assert option.spec.help, option.flag
        assert option.type in (bool, int, float, str, tuple), option.flag


def test_defaults_exist_only_in_the_stages():
    config = assemble(TrackConfig, {})
    for option in OPTIONS.values():
        assert getattr(getattr(config, option.stage), option.key) == option.default


def test_values_reach_their_stage():
    config = assemble(TrackConfig, {"conf": 0.1, "embed_refresh": 7, "draw_lost": True})
    assert (config.detector.conf, config.scheduler.embed_refresh, config.draw.draw_lost) == (0.1, 7, True)


def test_all_stages_complaints_come_at_once():
    with pytest.raises(ConfigError, match=r"conf must be.*embed_refresh must be") as caught:
        assemble(TrackConfig, {"conf": 7, "embed_refresh": 0})
    assert caught.value.exit_code == 2


def test_toml_values_are_typed(tmp_path):
    values = toml(tmp_path, 'conf = 0.25\nembed-budget-ms = 20\nclasses = "0"\nvideo = false\n')
    assert values == {"conf": 0.25, "embed_budget_ms": 20.0, "classes": "0", "video": False}
    assert type(values["embed_budget_ms"]) is float


@pytest.mark.parametrize(("given", "meant"), [("'auto'", 0.0), ("25", 25.0)])
def test_a_number_may_have_the_word_auto(tmp_path, given, meant):
    assert toml(tmp_path, f"frame_rate = {given}") == {"frame_rate": meant}
    parser = Parser("program")
    add_config_options(parser, TrackConfig)
    assert parser.parse_args(["--frame-rate", given.strip("'")]).frame_rate == meant


def test_auto_is_no_number_where_it_means_nothing(tmp_path):
    with pytest.raises(ConfigError, match="'conf' must be a float, got 'auto'"):
        toml(tmp_path, "conf = 'auto'")
    with pytest.raises(ConfigError, match="'frame_rate' must be a float or 'auto', got 'fast'"):
        toml(tmp_path, "frame_rate = 'fast'")


def test_all_mistakes_of_a_toml_file_are_named_at_once(tmp_path):
    with pytest.raises(ConfigError) as caught:
        toml(tmp_path, 'cnof = 0.2\nimgsz = "big"\nembed_refresh = true\n')
    assert "unknown option 'cnof'; did you mean 'conf'?" in caught.value.message
    assert "'imgsz' must be a int, got 'big'" in caught.value.message
    assert "'embed_refresh'" in caught.value.message
    assert "run.toml" in caught.value.message


@pytest.mark.parametrize("text", ["a = ", "[track]\nconf = 0.3\n", "= 3", "\0"])
def test_what_is_no_flat_toml_is_refused(tmp_path, text):
    with pytest.raises(ConfigError, match=r"run\.toml"):
        toml(tmp_path, text)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(ConfigError, match="cannot be read"):
            read_toml(path, OPTIONS.values())


def test_a_file_that_is_no_utf8_is_refused(tmp_path):
    path = tmp_path / "run.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"run\.toml"):
        read_toml(path, OPTIONS.values())


def test_a_file_as_windows_editors_write_it(tmp_path):
    assert toml(tmp_path, "\ufeffconf = 0.3\r\nsource = 'C:\\clips\\in.mp4'\r\n") == {
        "conf": 0.3,
        "source": "C:\\clips\\in.mp4",
    }
    with pytest.raises(ConfigError, match="Invalid hex value") as caught:
        toml(tmp_path, 'source = "C:\\Users\\in.mp4"\n')
    assert "in single ones" in caught.value.remedy


def test_configs_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        assemble(TrackConfig, {}).detector.conf = 0.5


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_is_none_is_refused_whatever_the_option(value: float) -> None:
    with pytest.raises(ConfigError, match="recovery_speed must be a finite number"):
        assemble(TrackConfig, {"recovery_speed": value})


COMMANDS = (
    BatchOptions,
    DetectConfig,
    ExportOptions,
    GalleryJobConfig,
    IdentifyOptions,
    KeypointsOptions,
    SimilarityOptions,
    StudioOptions,
)
EVERY = {(known.stage, known.key): known for command in (TrackConfig, *COMMANDS) for known in options_of(command)}
LIMITED = {name: known for name, known in EVERY.items() if known.spec.range is not None}


@pytest.mark.parametrize("known", LIMITED.values(), ids=lambda known: known.key)
def test_a_default_lies_in_its_range_and_what_lies_outside_is_refused(known: Option) -> None:
    limits = known.spec.range
    assert known.default is None or known.spec.is_auto(known.default) or known.default in limits
    outside = [limits.low - 1 if limits.low is not None else None, limits.above, limits.high and limits.high + 1]
    refused = [value for value in outside if value is not None]
    assert refused
    for value in refused:
        assert known.spec.refused(value) == str(limits)
        assert str(limits) in help_of(known)


def test_auto_is_a_word_of_its_own_and_no_number_stands_for_it(tmp_path) -> None:
    (known,) = (one for one in options_of(TrackConfig) if one.key == "gallery_match_threshold")
    assert help_of(known).endswith("(default auto, between 0 and 2)")
    assert assemble(TrackConfig, {}).gallery.learns_threshold
    assert toml(tmp_path, "gallery_match_threshold = 'auto'") == {"gallery_match_threshold": known.spec.auto}
    assert assemble(TrackConfig, toml(tmp_path, "gallery_match_threshold = 0.3")).gallery.gallery_match_threshold == 0.3
    with pytest.raises(ConfigError, match="gallery_match_threshold must be between 0 and 2, got"):
        assemble(TrackConfig, toml(tmp_path, "gallery_match_threshold = -1.0"))
    assert not assemble(GalleryJobConfig, {"dets": "d", "source": "v"}).gallery.learns_threshold


def test_all_values_out_of_range_are_named_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        TrackerConfig(high_score=1.5, ema=-1, class_mode="all", growth=float("nan"))
    assert caught.value.message == (
        "high_score must be between 0 and 1, got 1.5; growth must be a finite number, got nan; "
        "ema must be between 0 and 1, got -1; class_mode must be one of agnostic, per-class, vote, got all"
    )


def test_an_unknown_name_is_told_beside_other_mistakes() -> None:
    with pytest.raises(UnknownNameError, match="unknown embedder 'dinno'; did you mean 'dino'") as alone:
        assemble(TrackConfig, {"embedder": "dinno"})
    with pytest.raises(ConfigError, match=r"conf must be .*; unknown embedder 'dinno'") as both:
        assemble(TrackConfig, {"embedder": "dinno", "conf": 2.0})
    assert alone.value.remedy in both.value.remedy


def test_a_missing_source_is_told_beside_other_mistakes() -> None:
    with pytest.raises(UsageError, match=r"--source is missing; conf must be between 0 and 1, got 2.0"):
        track_config({"conf": 2.0})
    with pytest.raises(UsageError, match=r"--output needs frames.*; conf must be"):
        track_config({"dets": "d.json", "output": "o.mp4", "conf": 2.0})


def test_every_stage_has_a_group() -> None:
    assert [known.key for known in EVERY.values() if not known.group] == []


def test_a_leading_tilde_is_the_home_folder_in_every_text(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    values = toml(tmp_path, 'source = "~/in.mp4"\nsave-mot = "~/out/t.txt"\ngallery = "~"\nline = ["~/x", "1,2,3,4"]')
    config = track_config(values)
    assert config.source.source == f"{tmp_path}/in.mp4"
    assert config.output.save_mot == f"{tmp_path}/out/t.txt"
    assert config.gallery.gallery == str(tmp_path)
    assert config.count.line == (f"{tmp_path}/x", "1,2,3,4")
    assert track_config({"source": "a~/~b.mp4"}).source.source == "a~/~b.mp4"
    assert track_config({"source": "~b.mp4"}).source.source == "~b.mp4", "a name, not a user"
    with pytest.raises(ConfigError, match=r"'~nobody-here/a\.mp4': there is no user 'nobody-here'") as caught:
        track_config({"source": "~nobody-here/a.mp4"})
    assert "./~nobody-here/a.mp4" in caught.value.remedy
    (tmp_path / "~nobody-here").mkdir()
    assert track_config({"source": "~nobody-here/a.mp4"}).source.source == "~nobody-here/a.mp4"


def test_a_zero_byte_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="save_mot must be a text without a zero byte"):
        track_config({"source": "a.mp4", "save_mot": "a\0b"})
