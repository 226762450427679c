"""The class of the Python API, labels beside images, and what is said where there are no labels."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import cv2
import pytest

from keypoints import scene
from keypoints.test_dino_path import nothing_available as nothing_available
from mot_dinov3.core.errors import FormatError, InputError, ModelError
from mot_dinov3.keypoints.job.config import MODEL
from mot_dinov3.keypoints.job.processor import KeypointVideoProcessor

FRAMES = 6


@pytest.fixture
def video(tmp_path: Path) -> Path:
    scene.label(tmp_path / "v", "v", 0)
    return scene.write_video(tmp_path / "v.mp4", FRAMES)


@pytest.mark.usefixtures("nothing_available")
@pytest.mark.parametrize("name", [MODEL, "./a/folder/that/is/nowhere", "someone/else"])
def test_a_model_that_is_named_and_not_available_is_an_error_with_the_remedy(video: Path, name: str) -> None:
    for _ in range(2):  # a failed attempt does not lock the outputs
        with pytest.raises(ModelError) as error:
            KeypointVideoProcessor(video, model_name=name)
        assert name in error.value.message
        assert error.value.remedy


@pytest.mark.usefixtures("nothing_available")
def test_a_named_folder_wins_over_the_environment(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DINOV3_LOCATION", str(video.parent))
    with pytest.raises(ModelError, match="nowhere"):
        KeypointVideoProcessor(video, model_name="./nowhere")


@pytest.mark.usefixtures("nothing_available")
def test_without_a_name_the_best_available_backend_is_used_and_named(video: Path) -> None:
    lines = KeypointVideoProcessor(video).process_video()
    assert any(line.startswith("notice      backend gradient: DINO is not available") for line in lines)
    assert scene.errors(video).max() < 1.5


def images(folder: Path) -> Path:
    folder.mkdir()
    for number in range(FRAMES):
        cv2.imwrite(str(folder / f"img{number + 8}.png"), scene.picture(number))
    return folder


@pytest.mark.parametrize("labelled", [0, 3])
@pytest.mark.parametrize("elsewhere", [False, True])
def test_labels_of_labelme_beside_the_images_of_a_folder_are_found(
    tmp_path: Path, labelled: int, elsewhere: bool
) -> None:
    folder = images(tmp_path / "frames")
    path = scene.label(tmp_path / "any", "x", labelled).rename(folder / f"img{labelled + 8}.json")
    content = path.read_bytes()
    results = tmp_path / "results" if elsewhere else folder  # made where it does not exist
    scene.run(folder, result_folder=str(results))
    table = (results / "frames_keypoints.csv").read_text().splitlines()[1:]
    human = {line.split(",")[0] for line in table if line.endswith("human")}
    assert human == {str(labelled)}
    assert len(table) == FRAMES * len(scene.POINTS)
    assert path.read_bytes() == content


@pytest.mark.parametrize(("named", "frame"), [("img8.png", 1), ("C:\\\\pictures\\\\img8.jpg", 0), ("", 0)])
def test_a_label_file_of_two_images_of_one_name_is_that_of_the_image_that_it_names(
    tmp_path: Path, named: str, frame: int
) -> None:
    folder = images(tmp_path / "frames")
    cv2.imwrite(str(folder / "img8.jpg"), scene.picture(0))
    path = scene.label(tmp_path / "any", "x", 0)
    (folder / "img8.json").write_text(json.dumps(json.loads(path.read_text()) | {"imagePath": named}))
    assert list(scene.build(folder).pipeline.labels.frames) == [frame]


def test_an_image_labelled_after_a_run_is_a_label_although_there_is_a_prediction_of_it(tmp_path: Path) -> None:
    folder = images(tmp_path / "frames")
    for number in (0, 3):
        scene.label(tmp_path / "any", "x", number, moved=float(number)).rename(folder / f"img{number + 8}.json")
        scene.run(folder)
    sources = {r["frame"]: r["source"] for r in csv.DictReader((folder / "frames_keypoints.csv").open(newline=""))}
    assert [frame for frame, source in sources.items() if source == "human"] == ["0", "3"]
    assert not (folder / "frames_000000003.json").exists()  # the prediction is out of date
    assert scene.run(folder).pipeline.results.reused == FRAMES


@pytest.mark.parametrize("keeps", ["all", "names and places"])
def test_a_line_of_annolids_store_wins_over_a_prediction_unless_it_is_a_copy_of_it(video: Path, keeps: str) -> None:
    folder = video.parent / "v"
    scene.run(video)
    predicted = json.loads((folder / "v_000000003.json").read_text())
    if keeps != "all":
        del predicted["otherData"]
        for shape in predicted["shapes"]:
            del shape["mot_dinov3"]
    store = folder / "v_annotations.ndjson"
    store.write_text(json.dumps(predicted | {"frame": 3}) + "\n")
    assert list(scene.build(video).pipeline.labels.frames) == [0]
    predicted["shapes"][-1]["points"][0][0] += 4.0
    store.write_text(json.dumps(predicted | {"frame": 3}) + "\n")
    assert list(scene.build(video).pipeline.labels.frames) == [0, 3]


def test_a_result_folder_that_is_a_file_is_an_error(video: Path) -> None:
    with pytest.raises(InputError, match=r"v\.mp4' is a file"):
        KeypointVideoProcessor(video, result_folder=video)


def test_a_processor_goes_on_after_an_interruption_and_after_a_correction(video: Path) -> None:
    processor = KeypointVideoProcessor(video)
    assert f"frames      {FRAMES}" not in processor.process_video(lambda: True)[0]
    assert f"frames      {FRAMES}, of which" in processor.process_video()[0]
    scene.label(video.parent / "v", "v", 3, moved=2.0)
    assert f"frames      {FRAMES}, of which 0 reused" in processor.process_video()[0]
    assert {r["source"] for r in scene.rows(video) if r["frame"] == "3"} == {"human"}


def test_files_with_other_names_are_named_in_the_error(tmp_path: Path) -> None:
    video = scene.write_video(tmp_path / "v.mp4", FRAMES)
    scene.label(tmp_path / "v", "v", 0).rename(tmp_path / "v" / "000000.json")
    with pytest.raises(InputError, match=r"other JSON files, such as '000000\.json'") as error:
        scene.build(video)
    assert "rename each to v_#########.json" in error.value.remedy


def test_why_no_shape_could_be_used_is_said(tmp_path: Path) -> None:
    video = scene.write_video(tmp_path / "v.mp4", FRAMES)
    path = scene.label(tmp_path / "v", "v", 0, outline=False)
    document = json.loads(path.read_text())
    for shape in document["shapes"]:
        shape["points"][0][0] += 1000
    path.write_text(json.dumps(document | {"imageWidth": None, "imageHeight": None}))
    with pytest.raises(FormatError, match=r"shape 0: point 'nose' \(1034, 40\) is outside the frame of 192×128"):
        scene.build(video)


def test_points_of_old_files_without_types_are_points(tmp_path: Path) -> None:
    video = scene.write_video(tmp_path / "v.mp4", FRAMES)
    path = scene.label(tmp_path / "v", "v", 0)
    document = json.loads(path.read_text())
    for shape in document["shapes"]:
        del shape["shape_type"]
    path.write_text(json.dumps(document))
    scene.run(video)
    assert scene.errors(video).max() < 1.5


def test_a_file_whose_number_is_short_is_named(video: Path) -> None:
    label = scene.label(video.parent / "v", "v", 0)
    label.rename(label.with_name("v_00000000.json"))
    with pytest.raises(InputError, match=r"such as 'v_00000000\.json'") as error:
        KeypointVideoProcessor(video)
    assert "v_#########.json" in (error.value.remedy or "")


@pytest.mark.parametrize("ending", ["mp4", "mkv"])  # the number of frames of the second one is unknown
def test_labels_beyond_the_end_are_skipped_and_an_error_where_there_are_no_others(tmp_path: Path, ending: str) -> None:
    video = scene.write_images(tmp_path / "v.mkv", map(scene.picture, range(FRAMES)))
    if ending == "mp4":
        video = scene.write_video(tmp_path / "v.mp4", FRAMES)
    beyond = scene.label(tmp_path / "v", "v", FRAMES)
    with pytest.raises(InputError, match=rf"{FRAMES:09d}\.json' is for frame {FRAMES}, but the video"):
        scene.build(video)
    scene.label(tmp_path / "v", "v", 2)
    run = scene.run(video)
    assert len([notice for notice in run.notices if f"'{beyond.name}' is for frame {FRAMES}" in notice]) == 1
    assert len(scene.rows(video)) == FRAMES * len(scene.POINTS)
