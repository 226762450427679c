"""Names in any script are drawn on frames, with OpenCV's font or an installed one."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from PIL import features

from mot_dinov3.cli import main
from mot_dinov3.core.structures import Detections, Image, Keypoints, TrackView
from mot_dinov3.keypoints.rendering import draw_keypoints
from mot_dinov3.viz import DrawConfig, draw_frame, text_drawing
from mot_dinov3.viz.style import Pen
from mot_dinov3.viz.text_drawing import TextRun, missing_glyphs, text_runs, text_size, write_text
from scenes import Scene

NAMES = {
    "Cyrillic": "человек",
    "Greek": "σκύλος",
    "accents": "José Núñez",
    "Vietnamese": "Nguyễn Thị",
    "Chinese": "王芳",
    "Japanese": "ひらカナ",
    "Korean": "이순신",
    "Arabic": "محمد علي",
    "Hebrew": "דוד לוי",
    "Georgian": "ნინო",
    "Armenian": "Արամ",
    "emoji": "😀",
}
UNKNOWN = "\u1681\u1682"  # Ogham, which OpenCV lacks
PEN = Pen(line=1, scale=0.8, stroke=1, pad=0)


def written(text: str, *, stroke: int = 1) -> Image:
    canvas = np.full((60, 400, 3), 90, np.uint8)
    write_text(canvas, text, (10, 40), color=(255, 255, 255), pen=dataclasses.replace(PEN, stroke=stroke))
    return canvas


@pytest.fixture
def without_fonts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A computer on which no font is installed."""
    caches = (text_drawing.text_runs, text_drawing._font_with)
    for cache in caches:
        cache.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(text_drawing, "_fonts", lambda: ())
        yield
    for cache in caches:
        cache.cache_clear()


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_name_is_drawn_and_none_of_its_letters_is_a_question_mark(name: str) -> None:
    assert missing_glyphs([name]) == ""
    assert all("?" not in run.text for run in text_runs(name))
    image = written(name)
    (wide, tall), below = text_size(name, PEN)
    letters = (image != 90).any(2)
    assert letters.sum() > 30
    rows, columns = np.flatnonzero(letters.any(1)), np.flatnonzero(letters.any(0))
    assert 40 - tall <= rows[0] + 1
    assert rows[-1] <= 40 + below
    assert columns[0] >= 8
    assert columns[-1] <= 12 + wide
    for other in (*(n for n in NAMES.values() if n != name), "?" * len(name)):
        assert (written(other) != image).any()


def test_ascii_is_drawn_as_opencv_draws_it() -> None:
    canvas = np.full((60, 400, 3), 90, np.uint8)
    cv2.putText(canvas, "ID 7 Anna *", (10, 40), 0, 0.8, (255, 255, 255), 2, cv2.LINE_AA)
    assert (written("ID 7 Anna *", stroke=2) == canvas).all()
    assert text_size("ID 7", dataclasses.replace(PEN, stroke=2)) == cv2.getTextSize("ID 7", 0, 0.8, 2)


@pytest.mark.skipif(not features.check("raqm"), reason="this Pillow does not order letters from right to left")
def test_letters_from_right_to_left_are_one_run_of_the_line() -> None:
    runs = text_runs("ID 3 דוד (12) * new")
    assert [run.text for run in runs] == ["ID 3 ", "דוד (12)", " * new"]
    assert [run.font is None for run in runs] == [True, False, True]
    first, last = (written(f"ID 3 {name}") for name in ("אבב", "בבא"))
    assert (first != last).any()


@pytest.mark.usefixtures("without_fonts")
def test_without_a_font_letters_from_right_to_left_are_still_in_order() -> None:
    assert text_runs("ID 3 שלום 12 new")[1:] == (TextRun("12 םולש"), TextRun(" new"))


@pytest.mark.usefixtures("without_fonts")
def test_a_character_that_no_font_has_is_a_question_mark_and_named() -> None:
    assert "".join(run.text for run in text_runs(f"ID 1 {UNKNOWN}\u200d")) == "ID 1 ??"
    assert missing_glyphs(["Anna", f"x{UNKNOWN}x"]) == (
        f"no font here can draw '{UNKNOWN}' of 'x{UNKNOWN}x', shown as '?': install a font of this script "
        "(for example from fonts.google.com/noto)"
    )
    assert missing_glyphs(["Anna", "Зоя", "a\u0301\ufe0f"]) == ""


def test_control_characters_are_blanks_and_accents_join_their_letters() -> None:
    assert text_runs("a\nb\tc") == (TextRun("a b c"),)
    assert text_runs("Jose\u0301") == (TextRun("José"),)


@pytest.mark.parametrize("name", ["ნინო", "человек"])
def test_text_beyond_the_edges_is_cut_off(name: str) -> None:
    left, top = 1000, 200  # of the canvas within one that the text does not leave
    for x, y in ((-20, 5), (390, 62), (-900, 40), (10, 400), (10, -50)):
        canvas, wide = (np.full(shape, 90, np.uint8) for shape in ((60, 400, 3), (700, 1800, 3)))
        write_text(canvas, name, (x, y), color=(0, 0, 0), pen=PEN)
        write_text(wide, name, (x + left, y + top), color=(0, 0, 0), pen=PEN)
        assert (canvas == wide[top : top + 60, left : left + 400]).all()


def test_known_identities_and_keypoints_have_their_names() -> None:
    def frame_with(name: str) -> Image:
        rows = Detections(
            np.array([[30, 60, 90, 110]], np.float32), track_id=[1], gallery_id=np.array([name], np.object_)
        )
        image = np.full((120, 300, 3), 90, np.uint8)
        return draw_frame(image, rows, lost=TrackView.empty(), names={}, config=DrawConfig())

    def points_with(name: str) -> Image:
        found = Keypoints(("a",), np.ones(1, int), (name,), np.array([[40.0, 60.0]]), np.ones(1), [0], np.zeros(1, int))
        return draw_keypoints(np.full((720, 1280, 3), 90, np.uint8), found)

    for draw in (frame_with, points_with):
        drawn = [draw(name) for name in ("Иван", "Олег", "王芳", "נינה", "????", "??")]
        assert len({image.tobytes() for image in drawn}) == len(drawn)


def last_frame(path: str) -> Image:
    with av.open(path) as container:
        return [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)][-1]


@pytest.mark.usefixtures("elsewhere")
def test_class_names_of_a_file_are_in_the_video(scene: Scene) -> None:
    document = json.loads(scene.dets.read_text(encoding="utf-8"))
    frames = {}
    for names in (("человек", "собака"), ("???????", "??????")):
        for record in document["frames"]:
            for number, detection in enumerate(record["detections"]):
                detection |= {"class_id": number, "class_name": names[number]}
        Path("named.json").write_text(json.dumps(document), encoding="utf-8")
        words = ["--source", str(scene.video), "--dets", "named.json", "--embedder", "none", "--no-progress"]
        assert main([*words, "--output", "named.mp4", "--font-scale", "0.5"]) == 0
        frames[names] = last_frame("named.mp4")
    cyrillic, marks = frames.values()
    assert (np.abs(cyrillic.astype(int) - marks) > 100).sum() > 50


@pytest.mark.usefixtures("elsewhere", "without_fonts")
def test_a_name_that_cannot_be_drawn_is_a_notice_once(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    document = json.loads(scene.dets.read_text(encoding="utf-8"))
    for record in document["frames"]:
        for number, detection in enumerate(record["detections"]):
            detection |= {"class_id": number, "class_name": f"{UNKNOWN}{number}"}
    Path("named.json").write_text(json.dumps(document), encoding="utf-8")
    words = ["--source", str(scene.video), "--dets", "named.json", "--embedder", "none", "--no-progress"]
    assert main([*words, "--output", "named.mp4", "--save-json", "named.tracks.json"]) == 0
    assert capsys.readouterr().err.count("no font here can draw") == 1
    tracked = json.loads(Path("named.tracks.json").read_text(encoding="utf-8"))
    assert tracked["notices"] == []
    assert tracked["frames"][-1]["detections"][0]["class_name"] == f"{UNKNOWN}0"
    assert main([*words, "--no-video", "--save-mot", "named.txt"]) == 0
    assert "no font" not in capsys.readouterr().err
