from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from keypoints import scene
from mot_dinov3.cli import main
from mot_dinov3.video import SourceConfig, open_source


def test_the_command_follows_points_and_says_what_it_did(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    video = scene.write_video(tmp_path / "v.mp4", 6)
    scene.label(tmp_path / "v", "v", 0)
    toml = tmp_path / "c.toml"
    toml.write_text("motion_search_tighten = 1.0\nstep = 2\n")
    words = ["keypoints", "--video", str(video), "--backend", "gradient", "--config", str(toml), "--no-progress"]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "frames      6" in said
    assert "visible 100.0 %" in said
    assert "interpolated" in (tmp_path / "v" / "v_keypoints.csv").read_text()


def test_every_documented_setting_is_an_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["keypoints", "--help-all"])
    shown = capsys.readouterr().out
    for name in (
        "mask-enforce-position",
        "mask-enforce-snap-radius",
        "motion-search-tighten",
        "motion-search-gain",
        "motion-search-flow-gain",
        "motion-search-min-radius",
        "motion-search-max-radius",
        "motion-search-miss-boost",
        "motion-prior-penalty-weight",
        "motion-prior-soft-radius-px",
        "motion-prior-radius-factor",
        "motion-prior-miss-relief",
        "motion-prior-flow-relief",
    ):
        assert f"--{name}" in shown


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ([], 2, "--source is missing"),
        (["--video", "nowhere.mp4"], 3, "nowhere.mp4"),
        (["--video", "V"], 3, "no labels"),
        (["--video", "V", "--step", "0"], 2, "step"),
    ],
    ids=str,
)
def test_what_is_missing_is_named(
    words: list[str], code: int, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video = scene.write_video(tmp_path / "v.mp4", 2)
    assert main(["keypoints", *(str(video) if w == "V" else w for w in words), "--backend", "gradient"]) == code
    assert told in capsys.readouterr().err


def test_similarity_finds_the_clicked_place_on_another_frame(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video = scene.write_video(tmp_path / "v.mp4", 6)
    x, y = scene.truth(0)["tail"]
    out, raw = tmp_path / "s.png", tmp_path / "s.npy"
    words = ["similarity", "--video", str(video), "--frame", "0", "--point", f"{x},{y}", "--on-frame", "5"]
    more = ["--backend", "gradient", "--short-side", "256", "--output", str(out), "--npy", str(raw)]
    assert main([*words, *more]) == 0
    best = capsys.readouterr().out.splitlines()[0].split()[1]
    found = np.array([float(v) for v in best.split(",")])
    assert np.linalg.norm(found - scene.truth(5)["tail"]) < 4
    assert out.stat().st_size > 500
    heights = np.load(raw)
    assert heights.ndim == 2
    assert heights.max() <= 1.0 + 1e-5


def test_a_click_beside_the_picture_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    video = scene.write_video(tmp_path / "v.mp4", 2)
    words = ["similarity", "--video", str(video), "--point", "999,5", "--output", str(tmp_path / "s.png")]
    assert main([*words, "--backend", "gradient"]) == 3
    assert "outside the image of 192×128" in capsys.readouterr().err
    assert main(["similarity", "--video", str(video), "--pca", "--backend", "gradient", "--output", words[-1]]) == 0


def test_similarity_as_a_video_follows_the_click_through_the_frames(tmp_path: Path) -> None:
    video = scene.write_video(tmp_path / "v.mp4", 8)
    x, y = scene.truth(0)["tail"]
    out = tmp_path / "heat.mp4"
    words = ["similarity", "--video", str(video), "--backend", "gradient", "--short-side", "256", "--opacity", "0"]
    click = ["--point", f"{x},{y}", "--on-frame", "2", "--end-frame", "7", "--output", str(out), "--no-progress"]
    assert main([*words, *click]) == 0
    with open_source(SourceConfig(source=str(out))) as frames:
        shown = [frame.pixels() for frame in frames]
    assert len(shown) == 5
    assert shown[0].shape[1] > scene.SIZE[0]  # the scale stands beside the picture
    for number, image in zip(range(2, 7), shown):
        tx, ty = (round(v) for v in scene.truth(number)["tail"])
        around = image[ty - 14 : ty + 15, tx - 14 : tx + 15].astype(int)
        assert (around.min(2) > 190).any()  # the white mark of the best place


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--output", "heat.mp4", "--npy", "h.npy"], "no --npy"),
        (["--output", "heat.png", "--end-frame", "4"], "--end-frame"),
        (["--output", "heat.mp4", "--frame", "3", "--end-frame", "3"], "end_frame"),
    ],
    ids=str,
)
def test_options_that_do_not_fit_a_heatmap_s_kind_are_refused(
    words: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    video = scene.write_video(tmp_path / "v.mp4", 5)
    monkeypatch.chdir(tmp_path)
    assert main(["similarity", "--video", str(video), "--point", "5,5", "--backend", "gradient", *words]) == 2
    assert told in capsys.readouterr().err
