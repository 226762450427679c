"""One identity over several videos: the decision, what excludes a pair, the command and its files."""

from __future__ import annotations

import csv
import json
import shutil
import signal
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import pytest

from mot_dinov3.apps.identities import assignment
from mot_dinov3.apps.identities.assignment import assign_identities, join_groups
from mot_dinov3.apps.identities.camera_plan import read_camera_plan
from mot_dinov3.apps.identities.pair_evidence import PairCalibration
from mot_dinov3.apps.identities.tracklet_means import CentredTracklets, ComparedTracklets, TrackletMeans, centre
from mot_dinov3.cli import main
from mot_dinov3.core.errors import ConfigError
from mot_dinov3.core.output_lock import OutputLocks
from mot_dinov3.core.structures import BoolArray, FloatArray, Image, IntArray
from mot_dinov3.formats.track_embeddings import CROP_COLUMNS, TRACK_COLUMNS, EmbeddingTable, write_embeddings
from scenes import Scene, write_scene

DIM, VIEWS = 64, 6


def anything(one: IntArray, other: IntArray) -> BoolArray:
    return np.ones(len(one), np.bool_)


def unit(rows: FloatArray) -> FloatArray:
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def people_views(people: IntArray, camera: IntArray, *, light: float = 1.0, seed: int = 0) -> FloatArray:
    """Views of people in cameras whose light adds something to all: ``(n, VIEWS, DIM)``."""
    random = np.random.default_rng(seed)
    looks, lights = random.normal(size=(50, DIM)), light * random.normal(size=(5, DIM))
    return unit((looks[people] + lights[camera])[:, None] + 0.8 * random.normal(size=(len(people), VIEWS, DIM)))


def tracklets(views: FloatArray, camera: IntArray) -> CentredTracklets:
    owner = np.repeat(np.arange(len(views)), views.shape[1])
    flat = views.reshape(-1, views.shape[-1])
    return centre(ComparedTracklets([TrackletMeans.of_views(flat, np.ones(len(owner)), owner, len(views))], camera))


@pytest.mark.parametrize("light", [0.0, 1.0, 3.0])
def test_people_are_found_again_whatever_the_light_of_the_cameras(light: float) -> None:
    people, camera = np.tile(np.arange(10), 3), np.repeat([0, 1, 2], 10)
    found = assign_identities(tracklets(people_views(people, camera, light=light), camera), anything)
    assert found.identity.tolist() == people.tolist()
    assert found.confidence.min() > 0.9


def test_strangers_and_newcomers_stay_alone() -> None:
    people, camera = np.concatenate([np.arange(12), np.arange(8, 20)]), np.repeat([0, 1], 12)
    found = assign_identities(tracklets(people_views(people, camera), camera), anything)
    assert found.identity.tolist() == people.tolist()
    people = np.arange(24)
    found = assign_identities(tracklets(people_views(people, camera), camera), anything)
    assert found.identity.tolist() == people.tolist()


def test_what_is_excluded_is_never_joined_not_even_by_way_of_a_third() -> None:
    people, camera = np.tile(np.arange(8), 3), np.repeat([0, 1, 2], 8)
    given = tracklets(people_views(people, camera), camera)

    def not_first_with_second(one: IntArray, other: IntArray) -> BoolArray:
        return np.asarray(np.minimum(camera[one], camera[other]) + np.maximum(camera[one], camera[other]) != 1)

    found = assign_identities(given, not_first_with_second).identity
    assert not set(found[camera == 0]) & set(found[camera == 1])
    assert set(found[camera == 2]) <= set(found[camera == 0]) | set(found[camera == 1])


def test_the_order_of_the_tracklets_does_not_matter() -> None:
    people, camera = np.tile(np.arange(10), 2), np.repeat([0, 1], 10)
    views, order = people_views(people, camera), np.random.default_rng(1).permutation(20)
    straight = assign_identities(tracklets(views, camera), anything).identity
    mixed = assign_identities(tracklets(views[order], camera[order]), anything).identity
    assert np.array_equal(straight[order][:, None] == straight[order], mixed[:, None] == mixed)


def test_poor_embeddings_are_less_confident() -> None:
    people, camera = np.tile(np.arange(10), 2), np.repeat([0, 1], 10)
    views = people_views(people, camera)
    noise = np.random.default_rng(2).normal(size=views.shape)
    clear = assign_identities(tracklets(views, camera), anything)
    vague = assign_identities(tracklets(unit(views + 0.25 * noise), camera), anything)
    assert vague.confidence.mean() < clear.confidence.mean()


def test_few_tracklets_have_an_answer() -> None:
    for count in (0, 1, 2, 3):
        camera = np.zeros(count, np.int64)
        found = assign_identities(tracklets(people_views(np.arange(count), camera), camera), anything)
        assert found.identity.shape == found.confidence.shape == (count,)
        assert np.isfinite(found.confidence).all()


def joined(alike: FloatArray, excluded: BoolArray | None = None, known: list[int] | None = None) -> IntArray:
    """Groups of items whose similarity is given as a matrix; 0 for pairs that are not alike."""
    first, second = np.nonzero(np.triu(alike, 1))

    def can_be_one(one: IntArray, other: IntArray) -> BoolArray:
        return np.ones(len(one), np.bool_) if excluded is None else np.asarray(~excluded[one, other])

    given = np.array(known or [-1] * len(alike), np.int64)
    return join_groups((first, second), alike[first, second], can_be_one, given)


def two_groups(size: int, *, unlike: int) -> FloatArray:
    """Two groups of very similar items, all pairs between which but a few are alike."""
    alike = np.full((2 * size, 2 * size), 0.9)
    alike[:size, size:] = 0.5
    alike.flat[[size * (1 + 2 * (k // size)) + k % size for k in range(unlike)]] = 0
    return np.triu(alike, 1)


def test_small_groups_become_one_where_all_pairs_are_alike_and_large_ones_where_most_are() -> None:
    assert joined(two_groups(2, unlike=0)).tolist() == [0] * 4
    assert joined(two_groups(2, unlike=1)).tolist() == [0, 0, 1, 1]
    assert joined(two_groups(3, unlike=1)).tolist() == [0] * 6
    assert joined(two_groups(3, unlike=2)).tolist() == [0, 0, 0, 1, 1, 1]
    excluded = np.zeros((6, 6), np.bool_)
    excluded[0, 3] = excluded[3, 0] = True
    assert joined(two_groups(3, unlike=1), excluded).tolist() == [0, 0, 0, 1, 1, 1]


def test_known_groups_stay_as_they_are_but_for_new_items() -> None:
    alike = np.triu(np.full((5, 5), 0.5), 1)
    assert joined(alike, known=[0, 1, 0, 1, -1]).tolist() in ([0, 1, 0, 1, 0], [0, 1, 0, 1, 1])
    alike[1, 4] = alike[3, 4] = 0.9
    assert joined(alike, known=[0, 1, 0, 1, -1]).tolist() == [0, 1, 0, 1, 1]
    assert joined(np.zeros((3, 3)), known=[7, 7, -1]).tolist() == [0, 0, 1], "however little alike"


def joined_step_by_step(alike: FloatArray) -> set[frozenset[int]]:
    """The definition: join the two groups that are most alike in the mean, as long as enough of their pairs are."""
    groups = [frozenset([item]) for item in range(len(alike))]
    alike = alike + alike.T
    while True:
        pairs = [(alike[np.ix_(list(one), list(other))], one, other) for one, other in combinations(groups, 2)]
        enough = [(block.mean(), one, other) for block, one, other in pairs if (block > 0).mean() >= 5 / 6]
        if not enough:
            return set(groups)
        _, one, other = max(enough, key=lambda pair: pair[0])
        groups = [group for group in groups if group not in (one, other)] + [one | other]


@pytest.mark.parametrize("seed", range(5))
def test_joining_of_sparse_pairs_is_that_of_all_pairs(seed: int) -> None:
    random = np.random.default_rng(seed)
    near = np.arange(40)[:, None] // 8 == np.arange(40) // 8
    alike = np.triu(np.where(random.random((40, 40)) < np.where(near, 0.93, 0.1), random.random((40, 40)), 0), 1)
    found = joined(alike)
    assert {frozenset(np.flatnonzero(found == group).tolist()) for group in set(found)} == joined_step_by_step(alike)
    assert list(dict.fromkeys(found.tolist())) == list(range(found.max() + 1)), "numbered as they come"
    assert max(np.bincount(found)) > 4


def test_many_tracklets_are_calibrated_as_all_their_pairs_would(monkeypatch: pytest.MonkeyPatch) -> None:
    people, camera = np.tile(np.arange(50), 4), np.repeat([0, 1, 2, 3], 50)
    views = people_views(people, camera)
    given = tracklets(unit(views + 0.15 * np.random.default_rng(1).normal(size=views.shape)), camera)
    exact = assign_identities(given, anything)
    monkeypatch.setattr(assignment, "SAMPLE", 1000)
    sampled = assign_identities(given, anything)
    assert exact.calibration is not None
    assert sampled.calibration is not None
    assert sampled.calibration.threshold() == pytest.approx(exact.calibration.threshold(), abs=0.01)
    assert sampled.calibration.share == pytest.approx(exact.calibration.share, rel=0.05)
    assert sampled.identity.tolist() == exact.identity.tolist()


def test_the_threshold_is_where_the_log_odds_cross() -> None:
    calibration = PairCalibration((0.1, 0.1), (0.6, 0.12), 0.02)
    threshold = calibration.threshold()
    assert 0.1 < threshold < 0.6
    assert calibration.log_odds(np.array([threshold - 1e-3, threshold + 1e-3])).tolist() == pytest.approx(
        [0, 0], abs=0.1
    )
    odds = calibration.log_odds(np.linspace(-1, 1, 200))
    assert (np.diff(odds) >= 0).all()
    assert calibration.threshold(100.0) == np.inf


def write_tracks(
    path: Path, people: list[int], *, camera: int = 0, spans: list[tuple[float, float]] | None = None, **columns: object
) -> Path:
    """Write a file of embeddings: a track of each of `people`, one after the other if no `spans` are given."""
    count = len(people)
    views = people_views(np.array(people, np.int64), np.full(count, camera), seed=0)
    views = unit(views + 0.05 * np.random.default_rng(camera).normal(size=views.shape))
    times = np.array(spans or [(10.0 * k, 10.0 * k + 5) for k in range(count)], np.float64).reshape(count, 2)
    ids = np.arange(1, count + 1)
    given = {
        "track_id": ids, "class_id": np.zeros(count), "class_name": ["person"] * count, "name": [""] * count,
        "embedding": unit(views.mean(axis=1)) if count else np.zeros((0, DIM)), "embeddings": np.full(count, VIEWS),
        "quality": np.ones(count), "boxes": np.full(count, 50), "first_frame": times[:, 0] * 10,
        "last_frame": times[:, 1] * 10, "first_time": times[:, 0], "last_time": times[:, 1],
    } | columns  # fmt: skip
    tracks = {key: np.array(given[key], dtype) for key, dtype in TRACK_COLUMNS.items()}
    crops = {
        "track_id": np.repeat(ids, VIEWS), "frame": np.tile(np.arange(VIEWS), count), "time": np.zeros(count * VIEWS),
        "xyxy": np.zeros((count * VIEWS, 4)), "quality": np.ones(count * VIEWS), "embedding": views.reshape(-1, DIM),
    }  # fmt: skip
    crops = {key: np.array(crops[key], dtype) for key, dtype in CROP_COLUMNS.items()}
    meta = {"schema_version": "embeddings-v1", "source": f"{path.stem}.mp4", "embedder": MODEL}
    write_embeddings(EmbeddingTable(meta, tracks, crops), path, suffix=path.suffix)
    return path


MODEL = {"name": "osnet", "weights": "osnet.onnx", "dim": DIM, "fingerprint": "0123456789abcdef"}


def named(folder: str = "out") -> dict[tuple[str, int], str]:
    with Path(folder, "identities.csv").open(newline="") as file:
        return {(row["video"], int(row["track_id"])): row["identity"] for row in csv.DictReader(file)}


@pytest.mark.usefixtures("elsewhere")
def test_identities_of_two_videos(capsys: pytest.CaptureFixture[str]) -> None:
    write_tracks(Path("a.npz"), list(range(10)))
    write_tracks(Path("b.npz"), [3, 4, 5, 6, 7, 8, 9, 30, 31, 32], camera=1)
    write_tracks(Path("empty.npz"), [])
    assert main(["identify", "a.npz", "b.npz", "empty.npz", "--out-dir", "out"]) == 0
    names = named()
    assert len(set(names.values())) == 13
    for track in range(1, 8):
        assert names["b", track] == names["a", track + 3]
    out, err = capsys.readouterr()
    assert "identities  13 of 20 tracks in 3 videos; 7 in several videos" in out
    assert "'empty' has no tracks" in err
    document = json.loads(Path("out/identities.json").read_text())
    assert document["schema_version"] == "identities-v1"
    assert document["embedder"] == MODEL
    assert [video["tracks"] for video in document["videos"]] == [10, 10, 0]
    rows = [(one["identity"], row["video"], row["track_id"]) for one in document["identities"] for row in one["tracks"]]
    assert {(video, track): identity for identity, video, track in rows} == names
    assert document["identities"][0]["identity"] == "person-1"
    assert all(0 <= row["confidence"] <= 1 for one in document["identities"] for row in one["tracks"])


@pytest.mark.usefixtures("elsewhere")
def test_a_video_given_twice_doubles_every_identity() -> None:
    write_tracks(Path("a.npz"), list(range(9)))
    shutil.copy("a.npz", "b.npz")
    assert main(["identify", "a.npz", "b.npz", "--out-dir", "out"]) == 0
    names = named()
    assert len(set(names.values())) == 9
    assert all(names["a", track] == names["b", track] for track in range(1, 10))


@pytest.mark.usefixtures("elsewhere")
def test_tracks_of_one_video_at_one_time_are_two_people() -> None:
    together = [(0.0, 5.0), (4.0, 9.0), *[(20.0 + 10 * k, 25.0 + 10 * k) for k in range(8)]]
    write_tracks(Path("a.npz"), [0, 0, 1, 2, 3, 4, 5, 6, 7, 8], spans=together)
    assert main(["identify", "a.npz", "--out-dir", "out"]) == 0
    assert named()["a", 1] != named()["a", 2]
    apart = [(0.0, 3.0), *together[1:]]
    write_tracks(Path("a.npz"), [0, 0, 1, 2, 3, 4, 5, 6, 7, 8], spans=apart)
    assert main(["identify", "a.npz", "--out-dir", "out"]) == 0
    assert named()["a", 1] == named()["a", 2]


@pytest.mark.usefixtures("elsewhere")
def test_nobody_is_faster_than_the_travel_time() -> None:
    write_tracks(Path("a.npz"), list(range(10)))
    write_tracks(Path("b.npz"), list(range(10)), camera=1)
    plan = '[cameras]\ndoor = ["a"]\nyard = ["b"]\n[starts]\na = 2026-05-01T10:00:00\nb = 2026-05-01T10:00:15\n'
    Path("near.toml").write_text(plan + '[[travel]]\nbetween = ["door", "yard"]\nseconds = 9\n')
    Path("far.toml").write_text(plan + '[[travel]]\nbetween = ["yard", "door"]\nseconds = 11\n')
    assert main(["identify", "a.npz", "b.npz", "--cameras", "near.toml", "--out-dir", "out"]) == 0
    assert all(named()["a", track] == named()["b", track] for track in range(1, 11))
    assert json.loads(Path("out/identities.json").read_text())["videos"][1]["camera"] == "yard"
    assert main(["identify", "a.npz", "b.npz", "--cameras", "far.toml", "--out-dir", "out"]) == 0
    assert not any(named()["a", track] == named()["b", track] for track in range(1, 11))


@pytest.mark.usefixtures("elsewhere")
def test_names_of_a_gallery_and_classes_are_kept_apart() -> None:
    write_tracks(Path("a.npz"), list(range(10)), name=["Ann", "Bob", *[""] * 8])
    write_tracks(Path("b.npz"), list(range(10)), camera=1, name=["", "Eve", *[""] * 8],
                 class_name=["person"] * 9 + ["dog"])  # fmt: skip
    assert main(["identify", "a.npz", "b.npz", "--out-dir", "out"]) == 0
    names = named()
    assert names["a", 1] == names["b", 1] == "Ann"
    assert (names["a", 2], names["b", 2]) == ("Bob", "Eve")
    assert names["b", 10] == "dog-1"


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize(
    ("words", "code", "messages"),
    [
        (["--out-dir", "out"], 2, ["no input"]),
        (["a.npz"], 2, ["--out-dir is missing"]),
        (["missing.npz", "--out-dir", "out"], 3, ["'missing.npz' does not exist"]),
        (["missing.mp4", "--out-dir", "out"], 3, ["'missing.mp4' does not exist"]),
        (["torn.npz", "--out-dir", "out"], 3, ["'torn.npz' is not a file of embeddings"]),
        (["a.npz", "./a.npz", "--out-dir", "out"], 2, ["a.npz' is given twice"]),
        (["a.npz", "other.npz", "--out-dir", "out"], 2, ["'a.npz'", "'other.npz'", "osnet.onnx", "clip"]),
        (["a.npz", "--cameras", "none.toml", "--out-dir", "out"], 2, ["'none.toml' cannot be read"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)  # fmt: skip
def test_bad_inputs(words: list[str], code: int, messages: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    write_tracks(Path("a.npz"), [0, 1])
    Path("torn.npz").write_bytes(Path("a.npz").read_bytes()[:900])
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MODEL, "name", "clip")
        patch.setitem(MODEL, "fingerprint", "ffff")
        write_tracks(Path("other.npz"), [0, 1])
    assert main(["identify", *words]) == code
    err = capsys.readouterr().err
    assert all(message in err for message in messages), err
    assert not list(Path().glob("out/*"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[camera]\n", "unknown table 'camera'; did you mean 'cameras'?"),
        ('[cameras]\ndoor = ["c"]\n', "no video 'c'"),
        ('[cameras]\ndoor = "a"\n', "camera 'door' must be a list of videos"),
        ('[cameras]\ndoor = ["a"]\nyard = ["a"]\n', "video 'a' has two cameras"),
        ('[cameras]\nb = ["a"]\n', "camera 'b' has the name of a video"),
        ("cameras = 1\n", "'cameras' must be a table"),
        ('[starts]\na = "noon"\n', "the start of 'a' must be a date"),
        ("[starts]\na = 2026-05-01\n", "the start of 'a' must be a date"),
        ("[starts]\na = nan\n", "the start of 'a' must be a date"),
        ("[starts]\nx = 1\n", "no video 'x'"),
        ("[starts]\na = 1\nb = 2026-05-01T10:00:00\n", "some starts are dates, others are seconds"),
        ("[starts]\na = 2026-05-01T10:00:00Z\nb = 2026-05-01T10:00:00\n", "some starts have a time zone"),
        ("[travel]\na = 1\n", "a travel time has the keys"),
        ('[[travel]]\nbetween = ["a", "x"]\nseconds = 1\n', "no camera 'x'"),
        ('[[travel]]\nbetween = ["a", "a"]\nseconds = 1\n', "between two cameras"),
        ('[[travel]]\nbetween = ["a", "b"]\nseconds = -1\n', "seconds must be a number from 0"),
    ],
)
def test_mistakes_in_the_file_of_cameras(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "c.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_camera_plan(path, ["a", "b"])
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.usefixtures("elsewhere")
def test_results_are_locked_and_replaced_whole(capsys: pytest.CaptureFixture[str]) -> None:
    write_tracks(Path("a.npz"), [0, 1])
    Path("out").mkdir()
    with OutputLocks([Path("out/identities.json")]):
        assert main(["identify", "a.npz", "--out-dir", "out"]) == 2
    assert "another run is writing" in capsys.readouterr().err
    for _ in range(2):
        assert main(["identify", "a.npz", "--out-dir", "out"]) == 0
    assert sorted(path.name for path in Path("out").iterdir()) == [
        "identities.csv",
        "identities.html",
        "identities.json",
    ]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return write_scene(tmp_path_factory.mktemp("scene"))


def write_two_videos(scene: Scene) -> None:
    """Write the scene as two videos, each with its boxes."""
    for name in ("one", "two"):
        shutil.copy(scene.video, f"{name}.mp4")
        shutil.copy(scene.dets, f"{name}.json")


@pytest.mark.slow
@pytest.mark.usefixtures("elsewhere")
def test_videos_are_tracked_first_and_not_again(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("one", "two"):
        shutil.copy(scene.video, f"{name}.mp4")
    words = ["identify", "one.mp4", "two.mp4", "--dets", str(scene.dets).replace("scene.json", "{name}.json")]
    for name in ("one", "two"):
        shutil.copy(scene.dets, scene.dets.with_name(f"{name}.json"))
    assert main([*words, "--out-dir", "out", "--embedder", "none"]) == 2
    assert "needs an embedder" in capsys.readouterr().err
    assert main([*words, "--out-dir", "out", "--embedder", "histogram", "--no-progress"]) == 0
    names = named()
    assert sorted(names) == [("one", 1), ("one", 2), ("two", 1), ("two", 2)]
    assert names["one", 1] != names["one", 2]
    assert names["two", 1] != names["two", 2]
    kept = Path("out/one/embeddings.npz").stat().st_mtime_ns
    Path("wrong.toml").write_text('[cameras]\ndoor = ["three"]\n')
    assert main([*words, "--out-dir", "new", "--embedder", "histogram", "--cameras", "wrong.toml"]) == 2
    assert "no video 'three'" in capsys.readouterr().err
    assert not list(Path("new").rglob("*.npz")), "refused before a video is tracked"
    assert main([*words, "--out-dir", "out", "--embedder", "histogram", "--no-progress"]) == 0
    assert Path("out/one/embeddings.npz").stat().st_mtime_ns == kept
    assert main(["identify", "out", "--out-dir", "again"]) == 0
    assert named("again") == names


@pytest.mark.slow
@pytest.mark.usefixtures("elsewhere")
def test_names_come_back_into_tracks_and_videos(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    write_two_videos(scene)
    words = ["identify", "one.mp4", "two.mp4", "--dets", "{name}.json", "--embedder", "histogram", "--no-progress"]
    assert main([*words, "--out-dir", "out", "--redraw", "--labels", "name"]) == 0
    names = named()
    for video in ("one", "two"):
        before = json.loads(Path(f"out/{video}/tracked.json").read_text())
        after = json.loads(Path(f"out/{video}/identified.json").read_text())
        assert {key: after[key] for key in before if key != "frames"} == {k: before[k] for k in before if k != "frames"}
        for one, other in zip(before["frames"], after["frames"], strict=True):
            for row, with_name in zip(one["detections"], other["detections"], strict=True):
                expected = {**row, "gallery_id": names[video, int(row["track_id"])]} if "track_id" in row else row
                assert with_name == expected
        with Path(f"out/{video}/identified.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert {(video, int(row["track_id"])): row["gallery_id"] for row in rows if int(row["track_id"]) >= 1} == {
            key: name for key, name in names.items() if key[0] == video
        }
        drawn, plain = read_frames(f"out/{video}/identified.mp4"), read_frames(f"{video}.mp4")
        assert len(drawn) == len(plain) == scene.frames
        assert np.abs(drawn[20].astype(int) - plain[20]).max() > 60, "boxes and names"
    assert "names       in out/*/identified.json, .csv, .mp4" in capsys.readouterr().out
    # Without tracks beside the embeddings, or without the video, nothing can be drawn.
    shutil.copy("out/one/embeddings.npz", "a.npz")
    shutil.copy("out/one/tracked.json", "a.json")
    shutil.copy("out/two/embeddings.npz", "b.npz")
    Path("one.mp4").unlink()
    assert main(["identify", "a.npz", "b.npz", "--out-dir", "new", "--redraw"]) == 0
    err = capsys.readouterr().err
    assert "'a' was not drawn: " in err
    assert "one.mp4' cannot be" in err
    assert "'b' was not drawn: its tracks were not written" in err
    assert sorted(str(path) for path in Path("new").glob("*/*")) == ["new/a/identified.csv", "new/a/identified.json"]


@pytest.mark.slow
@pytest.mark.usefixtures("elsewhere")
def test_a_batch_is_followed_by_identify(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    write_two_videos(scene)
    words = ["batch", "one.mp4", "two.mp4", "--dets", "{name}.json", "--embedder", "histogram", "--no-progress"]
    options = ["--no-video", "--save-json", "t.json", "--out-dir", "out"]
    assert main([*words, *options, "--registry", "people"]) == 2
    assert "registry must be given together with --identify" in capsys.readouterr().err
    assert not Path("out").exists()
    assert main([*words, *options, "--identify", "--registry", "people"]) == 0
    names = named()
    assert sorted(names) == [("one", 1), ("one", 2), ("two", 1), ("two", 2)]
    assert Path("out/one/identified.json").exists()
    assert Path("people/registry.sqlite").exists()
    out = capsys.readouterr().out
    assert out.index("videos      2: 2 done") < out.index("identities  2 of 4 tracks in 2 videos")
    # Resumed, it tracks nothing and identifies again.
    Path("out/identities.csv").unlink()
    assert main([*words, *options, "--identify", "--resume"]) == 0
    assert named() == names


KILLED = """
import importlib, os, signal, sys
from mot_dinov3.cli import main
module = importlib.import_module("mot_dinov3.apps.identities." + sys.argv[1])
setattr(module, sys.argv[2], lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))
main(sys.argv[3:])
"""


@pytest.mark.slow
@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize(
    ("module", "function"),
    [("registry_images", "add_images"), ("identity_files", "write_results"), ("named_videos", "write_named")],
)
def test_a_batch_killed_while_it_identifies_resumes(scene: Scene, module: str, function: str) -> None:
    write_two_videos(scene)
    words = ["batch", "one.mp4", "two.mp4", "--dets", "{name}.json", "--embedder", "histogram", "--no-progress"]
    words += ["--no-video", "--save-json", "t.json", "--out-dir", "out", "--identify", "--registry", "people"]
    killed = subprocess.run([sys.executable, "-c", KILLED, module, function, *words], check=False)
    assert killed.returncode == -signal.SIGKILL
    tracked = {path: path.stat().st_mtime_ns for path in Path("out").glob("*/t.json")}
    assert len(tracked) == 2
    assert main([*words, "--resume"]) == 0
    assert {path: path.stat().st_mtime_ns for path in tracked} == tracked, "no video is tracked again"
    assert sorted(named()) == [("one", 1), ("one", 2), ("two", 1), ("two", 2)]
    assert len(set(named().values())) == 2
    assert Path("out/identities.html").exists()
    assert Path("out/one/identified.csv").exists()
    assert len({path.parent.name for path in Path("people").glob("*/*.jpg")}) == 2


def read_frames(path: str) -> list[Image]:
    reader, frames = cv2.VideoCapture(path), []
    while (found := reader.read())[0]:
        frames.append(found[1])
    return frames


@pytest.mark.slow
@pytest.mark.usefixtures("elsewhere")
def test_a_video_that_fails_leaves_the_others_alone(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(scene.video, "one.mp4")
    Path("broken.mp4").write_bytes(b"no video")
    words = ["identify", "one.mp4", "broken.mp4", "--det", "motion", "--embedder", "histogram", "--out-dir", "out"]
    assert main([*words, "--no-progress"]) == 3
    out, err = capsys.readouterr()
    assert "failed broken" in err
    assert "in 1 video;" in out
    assert {video for video, _ in named()} == {"one"}


@pytest.mark.usefixtures("elsewhere")
def test_a_batch_without_embeddings_says_what_is_missing(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    run = ["batch", str(scene.video), "--out-dir", "plain", "--dets", str(scene.dets), "--embedder", "histogram"]
    assert main([*run, "--no-video", "--no-progress"]) == 0
    assert main(["identify", "plain", "--out-dir", "out"]) == 2
    assert "run it with --save-embeddings" in capsys.readouterr().err
