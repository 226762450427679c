"""The door: commands, exit codes, one clear line for every failure."""

from __future__ import annotations

import re

import pytest

import mot_dinov3
from mot_dinov3 import __version__, cli
from mot_dinov3.cli import main
from mot_dinov3.cli.aliases import as_options
from mot_dinov3.core.errors import ConfigError, GatedModelError, InputError
from mot_dinov3.core.options import options_of
from mot_dinov3.pipeline.config import TrackConfig
from mot_dinov3.pipeline.detection_scheduler import SOURCE_RATE


def say(capsys, *argv):
    code = main(list(argv))
    out = capsys.readouterr()
    return code, out.out, out.err


def test_help_lists_the_commands(capsys):
    code, out, _ = say(capsys, "--help")
    assert code == 0
    for command in cli.COMMANDS:
        assert command in out


def test_version(capsys):
    assert say(capsys, "--version")[:2] == (0, f"mot-dinov3 {__version__}\n")


@pytest.mark.parametrize("argv", [["--source"], ["track", "--source"]])
def test_no_command_means_track(capsys, argv):
    code, _, err = say(capsys, *argv)
    assert code == 2
    assert "expected one argument" in err


def test_an_unknown_command_suggests_the_closest(capsys):
    code, _, err = say(capsys, "trakc")
    assert code == 2
    assert err.splitlines()[0] == "error: unknown command 'trakc'; did you mean 'track'?"


def test_an_unknown_option_suggests_the_closest(capsys):
    code, _, err = say(capsys, "--sorce", "x.mp4")
    assert code == 2
    assert err.splitlines()[0] == "error: unknown option '--sorce'; did you mean '--source'?"


def test_options_are_not_abbreviated(capsys):
    assert say(capsys, "--sour", "x.mp4")[0] == 2


def test_nothing_to_track_is_a_usage_error(capsys):
    code, _, err = say(capsys)
    assert code == 2
    assert "--source is missing" in err


def test_ultralytics_spelling_is_understood(capsys):
    code, _, err = say(capsys, "source=missing.mp4", "det=motion", "embedder=none", "video=maybe")
    assert code == 2
    assert "video" in err
    assert say(capsys, "source=missing.mp4", "det=motion", "embedder=none")[0] == 3
    assert say(capsys, "detect", "source=missing.mp4", "det=motion")[0] == 3
    assert say(capsys, "source=missing.mp4", "embed_budget_ms=-1")[2].startswith("error: embed_budget_ms must be")


@pytest.mark.parametrize(
    ("word", "option"),
    [("hud=True", "--hud"), ("hud=false", "--no-hud"), ("conf=0.2", "--conf=0.2"), ("save_json=t", "--save-json=t"),
     ("nope=1", "--nope=1"), ("a/b=c", "--source=a/b=c"), ("=x", "--source==x"), ("in.mp4", "--source=in.mp4"),
     ("-", "--source=-"), ("--dets-json", "--dets"), ("--dets-json=d", "--dets=d"), ("dets_json=d", "--dets=d"),
     ("--reid-weights=w", "--embed-model=w"), ("--video", "--video")],
)  # fmt: skip
def test_what_a_key_with_a_value_stands_for(word, option):
    parser = cli.command_parser("track")
    assert as_options([word], parser, always=True) == [option]
    assert as_options(["--source", word, "--hud"], parser, always=True) == ["--source", word, "--hud"]


def test_a_word_belongs_to_the_option_that_takes_several_and_a_source_is_given_once():
    export, track = cli.command_parser("export"), cli.command_parser("track")
    words = ["--include", "onnx", "engine", "--weights", "w.pt"]
    assert as_options(words, export, always=False) == ["--include", "onnx", "engine", "--embed-model", "w.pt"]
    assert as_options(["w.pt", "--include", "onnx"], export, always=False)[0] == "--embed-model=w.pt"
    for words in (["a.mp4", "--source", "b.mp4"], ["a.mp4", "source=b.mp4"], ["--source=b.mp4", "a.mp4"]):
        assert "a.mp4" in as_options(words, track, always=True), "argparse refuses it"
    assert as_options(["--hud", "a.mp4", "b.mp4"], track, always=True) == ["--hud", "--source=a.mp4", "b.mp4"]


@pytest.mark.parametrize(
    ("words", "options"),
    [
        (["--realtime", "in.mp4"], ["--realtime=auto", "--source=in.mp4"]),
        (["in.mp4", "--realtime"], ["--source=in.mp4", "--realtime"]),
        (["--realtime", "25", "in.mp4"], ["--realtime", "25", "--source=in.mp4"]),
        (["--realtime", "auto", "in.mp4"], ["--realtime", "auto", "--source=in.mp4"]),
        (["--realtime", "--hud", "in.mp4"], ["--realtime=auto", "--hud", "--source=in.mp4"]),
    ],
)
def test_an_option_that_may_do_without_a_value_takes_no_source_for_it(words, options):
    parser = cli.command_parser("track")
    assert as_options(words, parser, always=True) == options
    given = parser.parse_args(options)
    assert (given.source, given.realtime) == ("in.mp4", 25 if "25" in words else SOURCE_RATE)


def test_a_file_that_is_called_like_an_option_stays_a_file_where_files_are_taken():
    parser = cli.command_parser("batch")
    assert as_options(["cam=1.mp4", "workers=2"], parser, always=False) == ["cam=1.mp4", "--workers=2"]


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["--versoin"], "did you mean '--version'?"),
        (["model=yolov8n.pt"], "unknown option '--model'; did you mean '--det'?"),
        (["cnof=0.2"], "unknown option '--cnof'; did you mean '--conf'?"),
        (["in.mp4"], "'in.mp4' is neither a command nor a file\n  to track a video: mot-dinov3 FILE"),
        (["trcak"], "did you mean 'track'?"),
        (["track", "in.mp4", "in2.mp4"], "unexpected 'in2.mp4'\n  one source a run; batch processes several videos"),
        (["track", "--source", "in.mp4", "in2.mp4"], "unexpected 'in2.mp4'"),
        (["track", "--dets-jso", "d.json"], "unknown option '--dets-jso'; did you mean '--dets'?"),
        (["track", "--save-jsno", "d.json"], "did you mean '--save-json'?"),
        (["track", "--reprot", "r.html"], "did you mean '--report'?"),
        (["batch", "in"], "--out-dir is missing"),
    ],
)
def test_common_mistakes_are_told_what_was_meant(capsys, argv, told):
    code, _, err = say(capsys, *argv)
    assert code == 2
    assert told in err


def test_help_and_version_are_words_too(capsys):
    assert say(capsys, "help") == say(capsys, "--help")
    assert say(capsys, "version") == say(capsys, "--version")


@pytest.mark.parametrize(
    ("listing", "name"), [("embedders", "dino"), ("detectors", "motion"), ("trackers", "appearance")]
)
def test_registries_can_be_listed(capsys, listing, name):
    code, out, _ = say(capsys, f"--list-{listing}")
    assert code == 0
    assert name in out.split()


def test_a_bug_is_one_line_and_how_to_report_it(capsys, monkeypatch):
    def broken(words):
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(cli, "_dispatch", broken)
    code, _, err = say(capsys, "x")
    assert code == 1
    assert "Traceback" not in err
    assert err.splitlines()[0] == "error: this is a bug: ZeroDivisionError: oh"
    assert say(capsys, "x", "--debug")[2].count("Traceback") == 1


def test_remedies_follow_the_message(capsys, monkeypatch):
    def gated(words):
        raise GatedModelError("Model 'x' is gated", remedy="1) agree\n2) token")

    monkeypatch.setattr(cli, "_dispatch", gated)
    code, _, err = say(capsys)
    assert code == 4
    assert err == "error: Model 'x' is gated\n  1) agree\n  2) token\n"


def test_an_interruption_outside_the_loop(capsys, monkeypatch):
    def interrupted(words):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_dispatch", interrupted)
    assert say(capsys)[0] == 130


def printed_help(capsys, *argv):
    with pytest.raises(SystemExit) as end:
        main(list(argv))
    assert end.value.code == 0
    return capsys.readouterr().out


def options_in(text):
    return re.findall(r"^  (?:-\w, )?(--[a-z][a-z0-9-]+)", text, re.M)


def test_the_help_shows_the_thirty_options_that_one_wants_and_help_all_shows_all(capsys):
    common, every = printed_help(capsys, "track", "--help"), printed_help(capsys, "track", "--help-all")
    shown = options_in(common)
    assert len(shown) <= 30
    assert {"--source", "--det", "--classes", "--embedder", "--embed-budget-ms", "--gallery", "--save-json"} <= set(
        shown
    )
    assert {known.flag for known in options_of(TrackConfig)} <= set(options_in(every))
    assert "whole-video linking:" in common
    assert "motion:" not in common, "a group without a common option has no title"
    hidden = len(options_in(every)) - len(shown)
    assert f"mot-dinov3 track --help-all shows {hidden} more options." in common
    assert printed_help(capsys, "--help-all") == every


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_help_is_short_and_says_where_the_rest_is(capsys, command):
    common, every = printed_help(capsys, command, "--help"), printed_help(capsys, command, "--help-all")
    assert len(options_in(common)) <= 35
    assert set(options_in(common)) <= set(options_in(every))
    assert ("--help-all shows" in common) == (len(options_in(common)) < len(options_in(every)))


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_no_earlier_name_is_the_name_of_another_option(command):
    parser = cli.command_parser(command)
    for alias, flag in parser.aliases.items():
        assert alias not in parser._option_string_actions
        assert flag in parser._option_string_actions


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["FOLDER"], "neither images nor"),
        (["track", "FOLDER"], "neither images nor"),
        (["detect", "FOLDER", "--det", "motion"], "neither images nor"),
        (["--hud", "track.mp4"], "'track.mp4'"),
        (["track", "--video", "missing.mp4"], "'missing.mp4'"),
        (["detect", "--video", "missing.mp4", "--det", "motion"], "'missing.mp4'"),
        (["keypoints", "missing.mp4"], "'missing.mp4'"),
        (["keypoints", "--video", "missing.mp4"], "'missing.mp4'"),
    ],
    ids=" ".join,
)
def test_a_word_without_an_option_is_the_source(capsys, tmp_path, argv, message):
    code, _, err = say(capsys, *(str(tmp_path) if word == "FOLDER" else word for word in argv))
    assert code == 3
    assert message in err or str(tmp_path) in err


def test_earlier_names_are_accepted_in_a_file_and_in_python(capsys, tmp_path):
    (tmp_path / "c.toml").write_text('dets_json = "missing.json"\nreid-weights = "w.pt"\n')
    assert say(capsys, "track", "--config", str(tmp_path / "c.toml"))[0] == 3
    assert say(capsys, "gallery", "--config", str(tmp_path / "c.toml"), "--video", "v.mp4")[0] == 3
    with pytest.raises(InputError, match=r"missing\.json"):
        mot_dinov3.track(dets_json="missing.json", weights="w.pt")
    with pytest.raises(ConfigError, match="'embed_model' is given twice"):
        mot_dinov3.track(dets="missing.json", weights="w.pt", embed_model="v.pt")


def test_a_name_given_twice_in_a_file_is_refused(capsys, tmp_path):
    (tmp_path / "c.toml").write_text('dets = "a.json"\ndets_json = "b.json"\n')
    code, _, err = say(capsys, "track", "in.mp4", "--config", str(tmp_path / "c.toml"))
    assert code == 2
    assert "'dets' is given twice ('dets_json' is the same option)" in err
