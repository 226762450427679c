"""Crops and embeddings of tracks: what is in the files, also after an interruption, linked, and in a batch."""

from __future__ import annotations

import dataclasses
import importlib.util
import itertools
import json
import os
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest

from mot_dinov3 import Pipeline
from mot_dinov3.cli import main
from mot_dinov3.core.errors import FormatError
from mot_dinov3.core.structures import Detections, Frame, TrackState
from mot_dinov3.features.crop_quality import box_qualities, covered_shares, object_rows
from mot_dinov3.formats.track_embeddings import EmbeddingTable, read_embeddings, write_embeddings
from mot_dinov3.pipeline.track_descriptors import (
    CANDIDATES,
    CROPS,
    MIN_WEIGHT,
    DescriptorCollector,
    embedding_table,
)
from mot_dinov3.sinks.track_crops import CropSink
from scenes import Scene

RNG = np.random.default_rng(3)
NOISE = RNG.integers(0, 255, (200, 300, 3), np.uint8)
HAS_ARROW = importlib.util.find_spec("pyarrow") is not None


def words(scene: Scene, *more: str) -> list[str]:
    given = ["track", "--source", str(scene.video), "--dets", str(scene.dets), "--embedder", "histogram"]
    return [*given, "--no-video", "--no-progress", *more]


def folder_bytes(folder: str | Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def test_the_share_of_a_box_in_another_one() -> None:
    boxes = np.array([[0, 0, 10, 10], [5, 0, 25, 10], [100, 0, 110, 10]], np.float32)
    assert covered_shares(boxes).tolist() == [0.5, 0.25, 0.0]
    assert covered_shares(boxes[:0]).tolist() == []


def test_the_better_crop_is_sharper_larger_surer_free_and_whole() -> None:
    soft = cv2.GaussianBlur(NOISE, (0, 0), 3)
    box, score = np.array([[100, 50, 140, 130]], np.float32), np.array([0.9], np.float32)
    one = np.array([0])

    def quality(image: np.ndarray = NOISE, boxes: np.ndarray = box, score: np.ndarray = score) -> float:
        return float(box_qualities(image, boxes, score.repeat(len(boxes)), one)[0])

    best = quality()
    assert 0 < best < 1
    assert quality(image=soft) < 0.5 * best
    assert quality(boxes=np.array([[100, 50, 115, 80]], np.float32)) < best
    assert quality(score=np.array([0.4], np.float32)) < 0.5 * best
    assert quality(boxes=np.array([[0, 50, 40, 130]], np.float32)) == pytest.approx(0.5 * best, rel=0.1)
    apart = np.concatenate([box, [[139, 50, 180, 130]]]).astype(np.float32)
    crossing = np.concatenate([box, [[120, 50, 160, 130]]]).astype(np.float32)
    assert 0.9 * best < quality(boxes=apart) < best
    assert quality(boxes=crossing) < 0.05 * best
    assert quality(boxes=np.array([[300, 50, 400, 130]], np.float32)) == 0


def rows(*boxes: tuple[float, float, float, float], score: float = 0.9) -> Detections:
    n = len(boxes)
    return Detections(np.array(boxes, np.float32).reshape(n, 4), score=np.full(n, score), track_id=np.arange(1, n + 1))


@pytest.mark.parametrize("chosen", [None, [1]])
def test_crops_of_one_track_are_apart_in_time_and_the_overlapped_ones_are_left_out(
    tmp_path: Path, chosen: list[int] | None
) -> None:
    sink = CropSink(tmp_path / "crops", 3, None if chosen is None else np.array(chosen))
    sink.write(Frame(0, 0.0, NOISE), rows())
    for index in range(1, 60):
        other = (120.0, 50.0, 160.0, 130.0) if 20 <= index < 40 else (200.0, 50.0, 240.0, 130.0)
        sink.write(Frame(index, index / 10, NOISE), rows((100, 50, 140, 130), other))
    sink.close()
    found = sorted((tmp_path / "crops").iterdir())
    frames = {
        track: [int(p.stem.split("_")[1]) for p in found if p.name.startswith(f"{track}_")]
        for track in chosen or (1, 2)
    }
    assert {int(p.name.split("_")[0]) for p in found} == frames.keys()
    assert all(1 <= len(times) <= 3 for times in frames.values())
    assert all(later - earlier >= 10 for times in frames.values() for earlier, later in itertools.pairwise(times))
    assert not any(20 <= index < 40 for times in frames.values() for index in times)
    assert cv2.imread(str(found[0])).shape == (80, 40, 3)


def test_a_weak_double_that_no_track_has_does_not_obstruct_a_crop() -> None:
    seen = rows((100, 50, 140, 130), (104, 55, 138, 128)).replace(track_id=np.array([1, -1]))
    assert len(object_rows(seen)) == 1
    assert len(object_rows(seen.replace(state=np.full(2, int(TrackState.TENTATIVE))))) == 2
    assert len(object_rows(seen.replace(coasted=np.array([True, False])))) == 0


def test_an_aborted_run_leaves_earlier_crops_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "crops").mkdir()
    (tmp_path / "crops" / "1_000000.jpg").write_bytes(b"earlier")
    sink = CropSink(tmp_path / "crops", 3)
    sink.write(Frame(0, 0.0, NOISE), rows((100, 50, 140, 130)))
    assert (tmp_path / "crops.part").is_dir()
    sink.abort()
    sink.abort()
    assert [p.name for p in tmp_path.iterdir()] == ["crops"]
    assert folder_bytes(tmp_path / "crops") == {"1_000000.jpg": b"earlier"}


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("link", [(), ("--link",)], ids=["one pass", "linked"])
def test_the_files_of_a_run(scene: Scene, link: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    files = ["--save-crops", "crops", "--save-embeddings", "e.npz", "--embeddings-per-box", "--save-json", "t.json"]
    assert main(words(scene, *files, *link)) == 0
    assert "written     crops" in capsys.readouterr().out
    document = json.loads(Path("t.json").read_text())
    known = {row.get("track_id") for frame in document["frames"] for row in frame["detections"]}
    ids = {int(track_id) for track_id in known if track_id is not None}
    assert {int(name.split("_")[0]) for name in folder_bytes("crops")} == ids
    table = read_embeddings(Path("e.npz"))
    assert set(table.tracks["track_id"].tolist()) == ids
    assert np.linalg.norm(table.tracks["embedding"], axis=1) == pytest.approx(1, abs=1e-5)
    assert (table.tracks["class_name"] == "box").all()
    assert table.boxes is not None
    assert table.tracks["embeddings"].sum() == len(table.boxes["frame"])
    for key in ("track_id", "frame"):
        assert set(table.crops[key].tolist()) <= set(table.boxes[key].tolist())
    assert np.bincount(table.crops["track_id"]).max() <= CROPS
    for index, track_id in enumerate(table.tracks["track_id"].tolist()):
        own = table.boxes["track_id"] == track_id
        mean = (table.boxes["embedding"][own] * np.maximum(table.boxes["quality"][own, None], MIN_WEIGHT)).sum(0)
        assert mean / np.linalg.norm(mean) == pytest.approx(table.tracks["embedding"][index], abs=1e-4)
        assert table.tracks["first_frame"][index] <= table.boxes["frame"][own].min()
    assert table.meta["embedder"]["name"] == "histogram"
    assert len(table.meta["embedder"]["fingerprint"]) == 16
    assert table.meta["linked"] == bool(link)


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("link", [False, True], ids=["one pass", "linked"])
def test_an_interrupted_run_ends_with_the_same_bytes(scene: Scene, link: bool) -> None:
    files = {"save_embeddings": "e.npz", "save_crops": "crops", "embeddings_per_box": True, "link": link}
    options = {"source": scene.video, "dets": scene.dets, "embedder": "histogram", **files}
    for _ in Pipeline.from_options(**options):
        pass
    whole = Path("e.npz").read_bytes(), folder_bytes("crops")
    assert all(whole)
    for name in ("e.npz", "crops"):
        Path(name).rename(f"whole-{name}")
    frames = iter(Pipeline.from_options(**options))
    for _ in range(15):
        next(frames)
    frames.close()  # type: ignore[attr-defined]
    for _ in Pipeline.from_options(**options, resume=True):
        pass
    assert (Path("e.npz").read_bytes(), folder_bytes("crops")) == whole
    before = {path: path.stat().st_mtime_ns for path in Path("crops").iterdir()}
    words = [f"--{'' if value is not False else 'no-'}{key.replace('_', '-')}" for key, value in files.items()]
    given = [word if isinstance(value, bool) else f"{word}={value}" for word, value in zip(words, files.values())]
    run = ["track", "--source", str(scene.video), "--dets", str(scene.dets), "--embedder", "histogram", "--no-video"]
    assert main([*run, *given, "--resume"]) == 0
    assert {path: path.stat().st_mtime_ns for path in Path("crops").iterdir()} == before, "the run was complete"
    next(Path("crops").iterdir()).write_bytes(b"changed")
    assert main([*run, *given, "--resume"]) == 2


@pytest.mark.usefixtures("elsewhere")
def test_two_runs_cannot_write_one_folder_of_crops(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    first = Pipeline.from_options(source=scene.video, dets=scene.dets, embedder="none", save_crops="crops")
    assert main(words(scene, "--save-crops", "crops")) == 2
    assert "another run is writing 'crops'" in capsys.readouterr().err
    first.close()
    assert main(words(scene, "--save-crops", "crops")) == 0
    assert main(words(scene, "--save-crops", "crops", "--track-ids", "2")) == 0
    assert {name.split("_")[0] for name in folder_bytes("crops")} == {"2"}, "earlier crops are replaced"


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--save-crops", "own"], "contains other files"),
        (["--save-crops", "file.txt"], "is not a folder"),
        (["--save-crops", "."], "output folder '.' cannot be replaced"),
        (["--save-crops", "own/.."], "output folder 'own/..' cannot be replaced"),
        (["--save-crops", "crops", "--anonymize", "blur"], "--save-crops shows what --anonymize hides"),
        (["--save-crops", "x.csv", "--save-csv", "x.csv"], "two outputs have the same name"),
        (["--save-embeddings", "e.csv"], "embeddings are written as .npz or .parquet"),
        (["--save-embeddings", "e.npz", "--embedder", "none"], "--save-embeddings needs an embedder"),
        (["--embeddings-per-box"], "--embeddings-per-box needs a file"),
        (["--save-crops", "crops", "--crops-per-track", "0"], "crops_per_track must be between 1 and 100"),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, list) else "",
)
def test_what_cannot_be_written_is_refused_before_the_run(
    scene: Scene, given: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("own").mkdir()
    Path("own/photo.jpg").write_bytes(b"mine")
    Path("file.txt").write_text("mine")
    assert main(words(scene, *given)) == 2
    assert message in capsys.readouterr().err
    assert Path("own/photo.jpg").read_bytes() == b"mine"


def test_without_frames_neither_is_available(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    for given, message in (
        (["--save-crops", "c"], "--save-crops needs frames"),
        (["--save-embeddings", "e.npz"], "--save-embeddings needs an embedder"),
    ):
        assert main(["track", "--dets", str(scene.dets), *given, "--no-progress"]) == 2
        assert message in capsys.readouterr().err


@pytest.mark.usefixtures("elsewhere")
def test_a_pipe_gets_the_embeddings_too(scene: Scene) -> None:
    os.mkfifo("pipe")
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append(Path("pipe").read_bytes()))
    reader.start()
    assert main(words(scene, "--save-embeddings", "pipe")) == 0
    reader.join()
    Path("e.npz").write_bytes(received[0])
    assert len(read_embeddings(Path("e.npz")).tracks["track_id"]) == 2


@pytest.mark.usefixtures("elsewhere")
def test_a_batch_writes_them_into_the_folder_of_each_video(scene: Scene) -> None:
    given = ["batch", str(scene.video), "--out-dir", "out", "--dets", str(scene.dets), "--embedder", "histogram"]
    given += ["--save-crops", "crops", "--save-embeddings", "e.npz", "--no-video", "--no-progress"]
    assert main(given) == 0
    assert folder_bytes("out/scene/crops")
    assert len(read_embeddings(Path("out/scene/e.npz")).tracks["track_id"]) == 2


def collected(frames: int) -> EmbeddingTable:
    """The table of one track that turns by a few degrees a frame, and of one that was never embedded."""
    collector = DescriptorCollector(per_box=True)
    for index in range(frames):
        angle = index / 40
        embedding = np.array([[np.cos(angle), np.sin(angle)], [0, 0]], np.float32)
        seen = rows((100, 50, 140, 130), (200, 50, 240, 130)).replace(
            embedding=embedding, fresh=np.array([True, True]), class_id=np.array([2, 0])
        )
        frame = Frame(index, index / 10, NOISE)
        collector.write(frame, seen)
        collector.settle(dataclasses.replace(frame, image=None), seen.replace(embedding=None))
    return embedding_table(collector, {"schema_version": "embeddings-v1"}, names={2: "car"}, dim=2, per_box=True)


def test_the_crops_of_a_long_track_are_few_and_different() -> None:
    table = collected(200)
    assert table.tracks["embeddings"].tolist() == [200, 0]
    assert table.tracks["class_name"].tolist() == ["car", ""]
    assert (table.tracks["embedding"][1] == 0).all(), "no embedding, no direction"
    assert len(table.crops["frame"]) == CROPS
    assert np.ptp(table.crops["frame"]) > 100
    cosines = table.crops["embedding"] @ table.crops["embedding"].T
    assert cosines.min() < -0.5
    assert CANDIDATES > CROPS


@pytest.mark.parametrize("suffix", [".npz", ".parquet"])
def test_a_file_gives_back_its_table(tmp_path: Path, suffix: str) -> None:
    if suffix == ".parquet" and not HAS_ARROW:
        pytest.skip("pyarrow is not installed")
    table, path = collected(12), tmp_path / f"e{suffix}"
    write_embeddings(table, path, suffix=suffix)
    again = read_embeddings(path)
    assert again.meta == table.meta
    for one, other in ((again.tracks, table.tracks), (again.crops, table.crops), (again.boxes, table.boxes)):
        assert one is not None
        assert other is not None
        for key, column in other.items():
            assert one[key].dtype.kind == column.dtype.kind
            assert one[key].shape == column.shape
            assert (one[key] == column).all()


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.skipif(HAS_ARROW, reason="pyarrow is installed")
def test_without_pyarrow_parquet_is_refused(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words(scene, "--save-embeddings", "e.parquet")) == 2
    assert "needs pyarrow\n  pip install pyarrow, or write .npz" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 torn", b"text"])
def test_what_is_no_file_of_embeddings_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "e.npz").write_bytes(content)
    with pytest.raises(FormatError, match=r"e\.npz' is not a file of embeddings"):
        read_embeddings(tmp_path / "e.npz")


def test_a_newer_version_is_refused(tmp_path: Path) -> None:
    table = dataclasses.replace(collected(3), meta={"schema_version": "embeddings-v2"})
    write_embeddings(table, tmp_path / "e.npz", suffix=".npz")
    with pytest.raises(FormatError, match="its schema_version is 'embeddings-v2'"):
        read_embeddings(tmp_path / "e.npz")
