"""Embedders compared on labelled crops: scores against values counted by hand, and which crops are compared."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mot_dinov3.apps.embedder_evaluation import ComparisonConfig, EmbedderSpec, available_embedders, compare_embedders
from mot_dinov3.apps.embedder_evaluation.comparison import short_labels, variants
from mot_dinov3.apps.embedder_evaluation.crop_sets import IdentityFolder, TrackedVideo
from mot_dinov3.apps.embedder_evaluation.retrieval import LabelledCrops, score_rows
from mot_dinov3.cli import main
from mot_dinov3.core.errors import ConfigError, InputError, UnknownNameError, UsageError
from mot_dinov3.core.structures import FloatArray, Image, ModelInfo
from mot_dinov3.features.base import Embedder, EmbedderRequest
from mot_dinov3.features.factory import EmbedderConfig, build_embedder
from mot_dinov3.models.devices import DeviceConfig
from scenes import Scene

CPU = DeviceConfig("cpu")


class Colour(Embedder):
    """A custom embedder: the mean colour of a crop; of model ``flat`` the same for all, of ``broken`` too few."""

    def __init__(self, request: EmbedderRequest) -> None:
        self.info, self.dim, self.same_floor = ModelInfo("colour", request.model), 3, 0.5
        self.notices = (f"pooling {request.pooling}, size {request.size}",)

    def embed(self, image: Image, xyxy: FloatArray) -> FloatArray:
        raise NotImplementedError

    def embed_images(self, images: Sequence[Image]) -> FloatArray:
        if self.info.weights == "broken":
            return np.zeros((1, 3), np.float32)
        if self.info.weights == "flat":
            return np.ones((len(images), 3), np.float32)
        return np.array([image.mean((0, 1)) for image in images], np.float32)


CUSTOM = f"{__name__}:Colour"


class Given(LabelledCrops):
    """Crops with given identities and cameras."""

    def __init__(self, identity: Sequence[int], camera: Sequence[int]) -> None:
        self.identity, self.camera = np.array(identity), np.array(camera)
        self.protocol, self.notices = "as given", ()

    def same(self, queries: Any) -> Any:
        other = self.camera[queries, None] != self.camera
        return (self.identity[queries, None] == self.identity) & other

    def wrong(self, queries: Any) -> Any:
        return self.identity[queries, None] != self.identity

    def embed(self, embedder: Embedder) -> tuple[FloatArray, float]:
        raise NotImplementedError


def at_angles(*degrees: float) -> FloatArray:
    """Unit vectors in the plane."""
    turn = np.radians(degrees)
    return np.stack([np.cos(turn), np.sin(turn)], axis=1).astype(np.float32)


def test_scores_are_those_counted_by_hand() -> None:
    # Crops a1 a2 b1 b2 at these angles; a1 and b1 are from camera 0, the others from camera 1.
    scores = score_rows(at_angles(0, 40, 30, 100), Given([0, 0, 1, 1], [0, 1, 0, 1]))
    # a1: b1 (30), a2 (40), b2 (100): right at place 2.   a2: b1 (10), a1 (40), b2 (60): right at place 2.
    # b1: a2 (10), a1 (30), b2 (70): right at place 3.    b2: a2 (60), b1 (70), a1 (100): right at place 2.
    assert scores.rank1 == 0
    assert scores.mean_ap == pytest.approx((1 / 2 + 1 / 2 + 1 / 3 + 1 / 2) / 4)
    same = np.cos(np.radians([40, 70]))
    different = np.cos(np.radians([30, 100, 10, 60]))
    spread = np.sqrt((same.var() + different.var()) / 2)
    assert scores.d_prime == pytest.approx((same.mean() - different.mean()) / spread, abs=1e-4)
    assert scores.same[1] == pytest.approx(same.mean(), abs=1e-6)  # the median of two
    np.testing.assert_allclose(scores.different, np.quantile(different, [0.1, 0.5, 0.9]), atol=1e-6)
    assert (scores.queries, scores.same_pairs, scores.different_pairs, scores.dim) == (4, 2, 4, 2)


def test_several_right_answers_count_by_their_places() -> None:
    scores = score_rows(at_angles(0, 10, 25, 37, 61), Given([0, 0, 1, 0, 2], [0, 1, 1, 2, 1]))
    # Crop 0: right at 10, wrong at 25, right at 37, wrong at 61; crop 1: right at 10, wrong at 15, right at 27, wrong
    # at 51; crop 3: wrong at 12, wrong at 24, right at 27, right at 37. Crops 2 and 4 have no right answer.
    assert scores.rank1 == pytest.approx(2 / 3)
    assert scores.mean_ap == pytest.approx(np.mean([(1 + 2 / 3) / 2, (1 + 2 / 3) / 2, (1 / 3 + 2 / 4) / 2]))
    assert (scores.queries, scores.same_pairs, scores.different_pairs) == (3, 3, 7)


def naive(rows: FloatArray, identity: np.ndarray, camera: np.ndarray) -> tuple[float, float, list[float], list[float]]:
    """The same by two loops: rank-1, mAP, cosines of the same and of different identities."""
    first, precision, same, different = [], [], [], []
    for query in range(len(rows)):
        answers = []
        for other in range(len(rows)):
            if identity[other] == identity[query] and camera[other] == camera[query]:
                continue
            cosine = float(np.dot(rows[query].astype(np.float64), rows[other]))
            answers.append((cosine, identity[other] == identity[query]))
            if other > query:
                (same if identity[other] == identity[query] else different).append(cosine)
        answers.sort(key=lambda answer: -answer[0])
        right = [place for place, answer in enumerate(answers, 1) if answer[1]]
        if right:
            first.append(right[0] == 1)
            precision.append(sum(number / place for number, place in enumerate(right, 1)) / len(right))
    return float(np.mean(first)), float(np.mean(precision)), same, different


def test_scores_of_many_crops_are_those_of_two_loops() -> None:
    rng = np.random.default_rng(4)
    identity, camera = rng.integers(0, 40, 300), rng.integers(0, 3, 300)  # more than are compared at once
    rows = rng.normal(size=(40, 12))[identity] + rng.normal(size=(300, 12))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    scores = score_rows(rows, Given(identity.tolist(), camera.tolist()))
    rank1, mean_ap, same, different = naive(rows, identity, camera)
    assert (scores.rank1, scores.mean_ap) == pytest.approx((rank1, mean_ap), abs=1e-6)
    assert 0.2 < rank1 < 0.99
    np.testing.assert_allclose(scores.same, np.quantile(same, [0.1, 0.5, 0.9]), atol=1e-6)
    np.testing.assert_allclose(scores.different, np.quantile(different, [0.1, 0.5, 0.9]), atol=1e-6)
    assert (scores.same_pairs, scores.different_pairs) == (len(same), len(different))


def test_an_embedder_that_returns_a_constant_scores_nothing() -> None:
    scores = score_rows(np.ones((6, 4), np.float32) / 2, Given([0, 0, 1, 1, 2, 2], [0, 1] * 3))
    assert (scores.rank1, scores.d_prime) == (0, 0)
    assert scores.mean_ap == pytest.approx(1 / 5)


def test_what_cannot_be_scored_is_an_error() -> None:
    with pytest.raises(InputError, match="no crop has another one of its identity"):
        score_rows(at_angles(0, 1, 2), Given([0, 1, 2], [0, 0, 0]))
    with pytest.raises(InputError, match="no two identities"):
        score_rows(at_angles(0, 1), Given([0, 0], [0, 1]))


def gallery(folder: Path, names: dict[str, list[str]]) -> Path:
    """Write images: each identity's in one colour, a little darker from image to image."""
    import cv2

    rng = np.random.default_rng(1)
    for identity, files in names.items():
        (folder / identity).mkdir(parents=True)
        colour = rng.integers(90, 250, 3)
        for number, name in enumerate(files):
            image = np.full((24, 12, 3), colour - 3 * number, np.uint8)
            cv2.imwrite(str(folder / identity / name), image)
    return folder


@pytest.mark.parametrize(
    ("names", "protocol"),
    [
        (["01_1.png", "02_1.png", "02_2.png"], "cross-camera"),
        (["0002_c1s1_000451_03.jpg", "0002_c2s1_000776_01.jpg", "0002_c1s2_000801_01.jpg"], "cross-camera"),
        (["0005_c2_f0046985.jpg", "0005_c10_f0046985.jpg"], "cross-camera"),
        (["f0230.png", "f0300.png"], "leave-one-out"),
        (["01_1.png", "02_1.png", "other.png"], "leave-one-out"),
        (["01_00001.jpg", "01_00002.jpg"], "leave-one-out"),  # as the studio names the crops of identity 01
        (["000230_1.png", "000300_1.png"], "leave-one-out"),
        (["1_1.png", "2_1.png"], "leave-one-out"),
    ],
)
def test_cameras_are_read_from_the_names_of_the_images(names: list[str], protocol: str, tmp_path: Path) -> None:
    crops = IdentityFolder(gallery(tmp_path / "g", {"a": names, "b": names}))
    assert crops.protocol.startswith(f"{protocol}, each image against")


def test_the_protocol_decides_which_images_are_compared(tmp_path: Path) -> None:
    folder = gallery(tmp_path / "g", {"a": ["01_1.png", "01_2.png", "02_1.png"], "b": ["01_1.png", "02_1.png"]})
    first = np.array([0])
    compared = {
        protocol: (crops.same(first)[0].tolist(), crops.wrong(first)[0].tolist())
        for protocol in ("cross-camera", "other-cameras", "leave-one-out")
        for crops in [IdentityFolder(folder, protocol)]
    }
    assert compared == {
        "cross-camera": ([False, False, True, False, False], [False, False, False, True, True]),
        "other-cameras": ([False, False, True, False, False], [False, False, False, False, True]),
        "leave-one-out": ([False, True, True, False, False], [False, False, False, True, True]),
    }


def test_a_comparison_across_cameras_requires_cameras(tmp_path: Path) -> None:
    folder = gallery(tmp_path / "g", {"a": ["1.png", "2.png"], "b": ["1.png"]})
    with pytest.raises(ConfigError, match="cross-camera requires images of one identity from two cameras"):
        IdentityFolder(folder, "cross-camera")


def test_images_that_a_gallery_leaves_out_are_left_out_and_noticed(tmp_path: Path) -> None:
    folder = gallery(tmp_path / "g", {"a": ["1.png", "2.png"], "b": ["1.png"]})
    (folder / "a" / "3.png").write_bytes(b"no image")
    crops = IdentityFolder(folder)
    assert crops.identity.tolist() == [0, 0, 1]
    assert crops.notices == ("1 images skipped (unreadable or tiny), the first: a/3.png",)


def test_a_folder_is_compared_from_end_to_end(tmp_path: Path) -> None:
    folder = gallery(tmp_path / "g", {name: ["1.png", "2.png", "3.png"] for name in "abcdef"})
    specs = [EmbedderSpec(CUSTOM), EmbedderSpec(CUSTOM, "flat"), EmbedderSpec(CUSTOM, "broken")]
    found = compare_embedders(str(folder), specs, ComparisonConfig(), CPU)
    assert (found.crops, found.identities) == (18, 6)
    good, flat = found.scores[CUSTOM], found.scores[f"{CUSTOM}=flat"]
    assert (good.rank1, good.mean_ap) == (1, 1)
    assert good.d_prime > 1 > flat.d_prime
    assert flat.rank1 == 0
    assert good.ms_per_crop > 0
    (label, error), = found.failures.items()  # fmt: skip
    assert label == f"{CUSTOM}=broken"
    assert "returned an array of shape (1, 3) for 18 crops" in error.message


def test_every_pooling_and_size_is_compared_where_it_means_something() -> None:
    config = ComparisonConfig(pooling="cls, cls+parts4", crop_size="256x128,224x224")
    specs = [EmbedderSpec("histogram"), EmbedderSpec("reid", "a.onnx"), EmbedderSpec("dino"), EmbedderSpec("dino")]
    chosen = dict(variants(specs, config))
    assert list(chosen) == [
        "histogram", "reid=a.onnx 256x128", "reid=a.onnx 224x224",
        "dino cls 256x128", "dino cls 224x224", "dino cls+parts4 256x128", "dino cls+parts4 224x224",
    ]  # fmt: skip
    last = chosen["dino cls+parts4 224x224"]
    assert (last.embedder, last.pooling, last.crop_size) == ("dino", "cls+parts4", "224x224")
    assert list(dict(variants([EmbedderSpec("dino")], ComparisonConfig()))) == ["dino"]
    with pytest.raises(ConfigError, match="pooling must be some of cls, mean, parts4"):
        ComparisonConfig(pooling="cls,max")
    with pytest.raises(ConfigError, match="crop_size"):
        ComparisonConfig(crop_size="256x128,big")


def test_labels_are_short_and_distinct() -> None:
    specs = [EmbedderSpec("reid", "a/m.xml"), EmbedderSpec("reid", "b/m.xml"), EmbedderSpec("reid", "b/n.xml")]
    assert list(short_labels([*specs, specs[0]]).values()) == ["reid=a/m.xml", "reid=b/m.xml", "reid=n.xml"]


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("histogramm", UnknownNameError, "did you mean 'histogram'"),
        ("none", UsageError, "has no embeddings"),
        ("reid", UsageError, "the reid embedder needs weights"),
        ("osnet=", UsageError, "the osnet embedder needs weights"),
    ],
)
def test_embedders_that_cannot_be_meant_are_refused(text: str, error: type[UsageError], message: str) -> None:
    with pytest.raises(error, match=message):
        EmbedderSpec.parse(text)


def test_what_is_on_this_machine_is_compared_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DINOV3_LOCATION", raising=False)
    monkeypatch.setattr("mot_dinov3.models.hub.HuggingFaceHub.cached", lambda *_: tmp_path / "absent")
    found, missing = available_embedders()
    assert found == [EmbedderSpec("histogram")]
    assert [line.partition(":")[0] for line in missing] == ["reid", "dino", "clip", "resnet"]
    (tmp_path / "models").mkdir()
    (tmp_path / "models/osnet_x0_25_msmt17.onnx").touch()
    snapshot = tmp_path / "snapshot"
    snapshot.mkdir()
    for name in ("config.json", "model.safetensors"):
        (snapshot / name).touch()

    def cached(_: object, model: str, revision: object) -> Path:
        return snapshot if model == "facebook/dinov2-base" else tmp_path / "absent"

    monkeypatch.setattr("mot_dinov3.models.hub.HuggingFaceHub.cached", cached)
    found, missing = available_embedders()
    weights = EmbedderSpec("reid", "models/osnet_x0_25_msmt17.onnx")
    assert found == [EmbedderSpec("histogram"), weights, EmbedderSpec("dino", "facebook/dinov2-base")]
    assert [line.partition(":")[0] for line in missing] == ["clip", "resnet"]


def test_boxes_of_a_video_are_those_that_track_would_embed(scene: Scene) -> None:
    from mot_dinov3.video import SourceConfig, open_source

    crops = TrackedVideo(str(scene.video), scene.gt, min_gap=1.0, max_crops=2000)
    embedder = build_embedder(EmbedderConfig(embedder="histogram"), device=CPU)
    rows, ms = crops.embed(embedder)
    chosen = list(range(0, 40, 5))  # two in a second
    assert len(rows) == len(crops.identity) == 2 * len(chosen)
    assert crops.identity.tolist() == [0, 1] * len(chosen)
    assert ms > 0
    with open_source(SourceConfig(source=str(scene.video))) as frames:
        images = [frame.pixels().copy() for frame in frames]
    boxes = {}
    for line in scene.gt.read_text().splitlines():
        frame, _, x, y, width, height = (float(text) for text in line.split(",")[:6])
        boxes.setdefault(int(frame) - 1, []).append([x, y, x + width, y + height])
    wanted = np.concatenate([embedder.embed(images[index], np.array(boxes[index], np.float32)) for index in chosen])
    np.testing.assert_allclose(rows, wanted, atol=1e-6)


def test_pairs_of_a_video_are_apart_in_time_or_in_one_frame(scene: Scene) -> None:
    crops = TrackedVideo(str(scene.video), scene.gt, min_gap=1.0, max_crops=2000)
    frame = np.repeat(np.arange(0, 40, 5), 2)
    every = np.arange(len(frame))
    apart = np.abs(frame[:, None] - frame) >= 10
    alike = crops.identity[:, None] == crops.identity
    np.testing.assert_array_equal(crops.same(every), alike & apart)
    np.testing.assert_array_equal(crops.wrong(every), ~alike & apart)
    hidden = 25  # where the two cross, one box covers half of the other
    np.testing.assert_array_equal(crops.different(every), ~alike & (frame[:, None] == frame) & (frame != hidden))
    scores = score_rows(crops.embed(build_embedder(EmbedderConfig(embedder="histogram"), device=CPU))[0], crops)
    assert scores.rank1 > 0.9
    assert scores.same[1] > 0.8 > 0.4 > scores.different[2]


def test_tracks_that_are_never_in_one_frame_are_not_taken_for_different(scene: Scene, tmp_path: Path) -> None:
    lines = scene.gt.read_text().splitlines(keepends=True)
    # The second object changes its number midway: the two numbers are never seen together.
    split = [
        line.replace(",2,", ",3,", 1) if int(line.split(",")[0]) > 20 and ",2," in line[:6] else line for line in lines
    ]
    (tmp_path / "t.txt").write_text("".join(split))
    crops = TrackedVideo(str(scene.video), tmp_path / "t.txt", min_gap=1.0, max_crops=2000)
    assert set(crops.identity.tolist()) == {0, 1, 2}
    wrong = crops.wrong(np.arange(len(crops.identity)))
    two, three = crops.identity == 1, crops.identity == 2
    assert not wrong[np.ix_(two, three)].any()
    assert wrong[np.ix_(crops.identity == 0, three)].any()


def test_fewer_frames_are_taken_of_a_crowd(scene: Scene) -> None:
    crops = TrackedVideo(str(scene.video), scene.gt, min_gap=0.1, max_crops=20)
    assert 10 <= len(crops.identity) <= 20
    all_of_them = TrackedVideo(str(scene.video), scene.gt, min_gap=0.1, max_crops=2000)
    assert len(all_of_them.identity) == 80


def test_ignored_and_predicted_boxes_are_left_out(scene: Scene, tmp_path: Path) -> None:
    lines = [line.split(",") for line in scene.gt.read_text().splitlines()]
    for values in lines:
        values[6] = "0" if values[1] == "2" and int(values[0]) <= 20 else "1"
    (tmp_path / "t.txt").write_text("".join(",".join(values) + "\n" for values in lines))
    crops = TrackedVideo(str(scene.video), tmp_path / "t.txt", min_gap=1.0, max_crops=2000)
    assert np.bincount(crops.identity).tolist() == [8, 4]


def test_tracks_of_another_video_are_an_error(scene: Scene, tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text(scene.gt.read_text() + "99,1,5,5,20,20,1,-1,-1,-1\n")
    crops = TrackedVideo(str(scene.video), tmp_path / "t.txt", min_gap=1.0, max_crops=2000)
    with pytest.raises(InputError, match=r"has boxes in frame 98, which .* does not have"):
        crops.embed(build_embedder(EmbedderConfig(embedder="histogram"), device=CPU))


@pytest.fixture
def folder(tmp_path: Path) -> str:
    return str(gallery(tmp_path / "g", {name: ["01_1.png", "02_1.png", "02_2.png"] for name in "abcd"}))


def test_the_command_prints_a_table(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate-embedder", folder, "--embedders", "histogram", f"{CUSTOM}=flat", "--no-progress"]) == 0
    out = capsys.readouterr()
    title, blank, header, first, second = out.out.splitlines()
    assert title.startswith("12 crops of 4 identities: cross-camera, each image against all others but")
    assert "2 cameras in the names: 01, 02" in title
    assert blank == ""
    assert header.split() == ["dim", "rank-1", "mAP", "d′", "same", "10/50/90", "%", "different", "ms/crop"]
    assert len(first) == len(second) == len(header)
    assert first.split()[:2] == ["histogram", "768"]
    assert second.split()[:3] == [f"{CUSTOM}=flat", "3", "0.000"]


def test_the_command_prints_json_and_the_other_embedders_where_one_fails(
    folder: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code = main(["evaluate-embedder", folder, "--embedders", f"reid={tmp_path / 'no.onnx'}", "histogram", "--json"])
    out = capsys.readouterr()
    value = json.loads(out.out)
    assert code == 4
    assert (value["crops"], value["identities"]) == (12, 4)
    assert list(value["embedders"]) == ["histogram"]
    assert set(value["embedders"]["histogram"]["same"]) == {"q10", "q50", "q90"}
    assert "no.onnx' does not exist" in value["failed"]["reid=no.onnx"]
    assert "error: reid=no.onnx: model" in out.err


def test_the_remedy_names_this_commands_options(
    folder: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from mot_dinov3.core.errors import UnreachableModelError
    from mot_dinov3.models.hub import EMBEDDER

    def refuse(*_: object, **__: object) -> Embedder:
        raise UnreachableModelError("Model 'x' is not local", remedy=EMBEDDER.local)

    monkeypatch.setattr("mot_dinov3.apps.embedder_evaluation.comparison.build_embedder", refuse)
    assert main(["evaluate-embedder", folder, "--embedders", "clip", "--no-progress"]) == 4
    told = capsys.readouterr().err
    assert "--embedders clip=FOLDER" in told
    assert "--embedders histogram" in told
    assert "--embed-model" not in told


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["{video}"], 2, "a video requires its tracks"),
        (["rtsp://host/a", "--tracks", "{gt}"], 2, "live source"),
        (["{video}", "--tracks", "{dets}"], 3, "is not track-v1"),
        (["absent"], 3, "does not exist"),
        (["{video}", "--tracks", "{gt}", "--min-gap", "60"], 3, "no crop has another one of its identity"),
        ([], 2, "PATH"),
    ],
)
def test_what_cannot_be_evaluated_is_one_line(
    words: list[str], code: int, message: str, scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    named = [word.format(video=scene.video, gt=scene.gt, dets=scene.dets) for word in words]
    assert main(["evaluate-embedder", *named, "--embedders", "histogram", "--no-progress"]) == code
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_better_networks_score_better_across_two_cameras(shared: Path) -> None:
    pytest.importorskip("openvino", reason="needs the extra [fast]")
    pytest.importorskip("onnxruntime", reason="needs the extra [onnx]")
    models = shared / "models"
    specs = [
        EmbedderSpec("histogram"),
        EmbedderSpec("osnet", str(models / "osnet_x0_25_msmt17.onnx")),
        EmbedderSpec("reid", str(models / "omz/reid_0277_rgb_imagenet.xml")),
    ]
    found = compare_embedders(str(shared / "data/reid_two_cameras"), specs, ComparisonConfig(), CPU)
    histogram, osnet, reid = found.scores.values()
    assert 0.05 < histogram.rank1 < 0.15 < 0.2 < osnet.rank1 < 0.35 < 0.95 < reid.rank1
    assert histogram.d_prime < 0.3 < 1 < osnet.d_prime < 1.5 < 2.5 < reid.d_prime


def test_a_model_may_be_in_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert EmbedderSpec.parse("osnet=~/a.pt").model == str(tmp_path / "a.pt")
