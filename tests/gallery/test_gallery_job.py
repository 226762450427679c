"""The gallery job from end to end, on a small video of two people in different colours."""

from __future__ import annotations

import csv
import dataclasses
import gzip
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub import errors

import mot_dinov3
from mot_dinov3 import api
from mot_dinov3.api import PackedPayload
from mot_dinov3.cli import main
from mot_dinov3.core.class_filter import ClassFilter
from mot_dinov3.core.errors import (
    ConfigError,
    FormatError,
    InputError,
    MotError,
    OutputError,
    UnreachableModelError,
    UsageError,
)
from mot_dinov3.core.files import journal_path
from mot_dinov3.core.options import assemble
from mot_dinov3.gallery.config import AUTO
from mot_dinov3.gallery.job.config import GalleryInputConfig, GalleryJobConfig, GalleryOutputConfig
from mot_dinov3.gallery.job.wiring import GalleryRun
from mot_dinov3.models import hub
from mot_dinov3.models.weights import find_reid_weights
from mot_dinov3.video import media
from scenes import COLORS, Scene, boxes_at


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gallery of the scene's two colours, and of somebody who is not there."""
    import cv2

    root = tmp_path_factory.mktemp("people")
    for name, colour in zip(("red", "blue", "green"), (*COLORS, (20, 240, 20))):
        for number in range(2):
            (root / name).mkdir(exist_ok=True)
            picture = np.full((60, 24, 3), colour, np.uint8)
            cv2.imwrite(str(root / name / f"{name}_{number:05d}.png"), picture - number)
    return root


def detections(result: Any) -> list[dict[str, Any]]:
    return [row for frame in result.payload["frames"] for row in frame["detections"]]


def changed(scene: Scene, path: Path, change: Any) -> Path:
    document = json.loads(scene.dets.read_text())
    change(document)
    path.write_text(json.dumps(document))
    return path


def test_nothing_is_written_by_default_and_every_key_is_there(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = mot_dinov3.track_video(dets_json=scene.dets, video=scene.video)
    assert list(tmp_path.iterdir()) == []
    paths = result.paths
    assert (paths.run_dir, paths.json_path, paths.video_path, paths.frames_dir) == (None,) * 4
    assert dict(paths) == dict.fromkeys(("run_dir", "json_path", "video_path", "frames_dir"))
    assert isinstance(object.__getattribute__(result, "payload"), PackedPayload)  # not built before it is asked for
    payload = result.payload
    written = ["schema_version", "parent_schema_version", "video", "created_at_utc", "tracker", "frames"]
    assert list(payload) == written
    assert list(payload["tracker"]) == ["name", "class_filter", "config"]
    assert list(payload["tracker"]["config"]) == [
        "track_thresh", "match_thresh", "track_buffer", "frame_rate", "per_class", "max_obs", "reid_weights", "gallery",
        "reid_frequency", "gallery_match_threshold", "device", "half",
    ]  # fmt: skip
    assert {row["track_id"] for row in detections(result)} == {"1", "2"}
    assert result.stats["frames"] == scene.frames
    assert result.stats["fps"] > 0


def test_boxes_stay_as_detected_in_input_order(scene: Scene) -> None:
    result = mot_dinov3.track_video(dets_json=scene.dets, video=scene.video)
    assert len(result.payload["frames"]) == scene.frames
    for index, frame in enumerate(result.payload["frames"]):
        assert [row["bbox"] for row in frame["detections"]] == boxes_at(index)
        assert [row["det_ind"] for row in frame["detections"]] == [0, 1]


def test_twice_in_one_process_gives_the_same(scene: Scene, people: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(f"2030-01-01T00:00:0{second}Z" for second in range(9))
    monkeypatch.setattr(api, "now_utc", lambda: next(clock))
    runs = [
        mot_dinov3.track_video(dets_json=scene.dets, video=scene.video, gallery=people, embedder="histogram")
        for _ in range(2)
    ]
    assert json.dumps(runs[0].payload) == json.dumps(runs[1].payload)
    other = mot_dinov3.track_video(dets_json=scene.dets, video=scene.video, max_obs=5)
    assert runs[0].payload["created_at_utc"] < other.payload["created_at_utc"]


def test_people_are_named_and_never_twice_in_a_frame(scene: Scene, people: Path) -> None:
    result = mot_dinov3.track_video(dets_json=scene.dets, video=scene.video, gallery=people, embedder="histogram")
    named = [(row["det_ind"], row.get("gallery_id")) for row in detections(result)]
    right = [name == ("red", "blue")[who] for who, name in named if name]
    assert len(right) > len(named) * 0.6
    assert np.mean(right) > 0.95
    for frame in result.payload["frames"]:
        names = [row["gallery_id"] for row in frame["detections"] if "gallery_id" in row]
        assert len(set(names)) == len(names)
    assert result.stats["embeddings"] < len(named) / 2
    assert 0 <= min(row["gallery_distance"] for row in detections(result) if "gallery_id" in row) < 0.25


def test_a_learnt_threshold_names_people_and_is_told(scene: Scene, people: Path) -> None:
    result = mot_dinov3.track_video(
        dets_json=scene.dets, video=scene.video, gallery=people, embedder="histogram", gallery_match_threshold="auto"
    )
    named = [(row["det_ind"], row["gallery_id"]) for row in detections(result) if "gallery_id" in row]
    assert len(named) > 0.6 * len(detections(result))
    assert all(name == ("red", "blue")[who] for who, name in named)
    used = result.payload["tracker"]["config"]
    assert used["gallery_match_threshold"] == "auto"
    (notice,) = (notice for notice in result.stats["notices"] if "threshold" in notice)
    assert notice.startswith(f"gallery threshold: {used['gallery_threshold']:.2f}")
    assert notice.endswith("auto: 1 % false names expected, from 3 identities and 2 tracks")
    given = mot_dinov3.track_video(dets_json=scene.dets, video=scene.video, gallery=people, embedder="histogram")
    assert given.payload["tracker"]["config"]["gallery_match_threshold"] == 0.25
    assert "gallery_threshold" not in given.payload["tracker"]["config"]
    assert not any("threshold" in notice for notice in given.stats["notices"])


def test_tracking_with_a_gallery_learns_its_threshold_unless_it_is_given(scene: Scene, people: Path) -> None:
    for given, told in ((None, 1), ("auto", 1), (0.25, 0)):
        summary = mot_dinov3.track(
            source=str(scene.video),
            dets=scene.dets,
            gallery=people,
            embedder="histogram",
            gallery_match_threshold=given,
        )
        lines = [line for line in summary.notices if "threshold" in line]
        assert len(lines) == told
        assert all(line.startswith("gallery threshold: ") for line in lines)
        assert all(line.endswith("from 3 identities and 2 tracks") for line in lines)


def test_gallery_only_numbers_and_names_every_detection_by_itself(scene: Scene, people: Path) -> None:
    result = mot_dinov3.track_video(
        dets_json=scene.dets, video=scene.video, tracker="gallery_only", gallery=people, embedder="histogram"
    )
    rows = detections(result)
    assert [(row["track_id"], row["embedded"]) for row in rows] == [("0", True), ("1", True)] * scene.frames
    named = [(row["gallery_id"], row["det_ind"]) for row in rows if "gallery_id" in row]
    assert {name for name, _ in named} == {"red", "blue"}
    assert np.mean([name == ("red", "blue")[who] for name, who in named]) > 0.9


def test_other_classes_pass_through_unchanged_and_in_place(scene: Scene, people: Path, tmp_path: Path) -> None:
    def second_is_a_car(document: dict[str, Any]) -> None:
        for frame in document["frames"]:
            frame["detections"].insert(0, {"bbox": [1, 2, 30, 40], "score": 0.9, "class_id": 7, "gallery_id": "mine"})

    dets = changed(scene, tmp_path / "d.json", second_is_a_car)
    for classes in ("0", "box;3", ["box"], [0]):
        result = mot_dinov3.track_video(dets_json=dets, video=scene.video, classes=classes)
        for frame in result.payload["frames"]:
            other, *tracked = frame["detections"]
            assert other == {"bbox": [1, 2, 30, 40], "score": 0.9, "class_id": 7, "gallery_id": "mine"}
            assert ["track_id" in row for row in tracked] == [True, True]
    filtered = mot_dinov3.track_video(
        dets_json=dets, video=scene.video, classes=[0], gallery=people, embedder="histogram", filter_gallery=True,
        gallery_match_threshold=0.0,
    )  # fmt: skip
    assert {row["class_id"] for row in detections(filtered)} == {7}  # nobody is that near: only the others are left
    assert len(detections(filtered)) == scene.frames


def test_everything_a_detector_writes_is_kept_untouched(scene: Scene, tmp_path: Path) -> None:
    rich = {
        "keypoints": [[1.5, 2.0, 0.9], [0.0, 0.0, 0.0]],
        "segments": [[[1.0, 2.0], [3.0, 4.0]], []],
        "obb": [10.0, 20.0, 5.0, 6.0, 0.25],
        "text_prompt": "person,car",
        "probs": [0.1, 0.9],
        "mood": {"own": "key"},
    }

    def enrich(document: dict[str, Any]) -> None:
        document["detector"] = {"name": "ultralytics", "prompts": ["person"], "topk": 5}
        for frame in document["frames"]:
            frame["detections"] = [{**row, **rich} for row in frame["detections"]]
            frame["note"] = "kept"

    dets = changed(scene, tmp_path / "d.json", enrich)
    result = mot_dinov3.track_video(dets_json=dets, video=scene.video)
    source = json.loads(dets.read_text())
    assert result.payload["detector"] == source["detector"]
    for before, after in zip(source["frames"], result.payload["frames"]):
        assert after["note"] == "kept"
        for old, new in zip(before["detections"], after["detections"]):
            assert {key: new[key] for key in old} == old


def test_artefacts_are_where_paths_says_and_match_frames_by_number(scene: Scene, tmp_path: Path) -> None:
    import av

    def sparse(document: dict[str, Any]) -> None:
        document["frames"] = document["frames"][4:30:2]

    dets = changed(scene, tmp_path / "d.json", sparse)
    result = mot_dinov3.track_video(
        dets_json=dets, video=scene.video, save_json_flag=True, save_frames=True, save_video="seen", save_fps=5,
        fourcc="mp4v", out_dir=tmp_path / "out", run_name="r",
    )  # fmt: skip
    paths = result.paths
    assert paths.run_dir == tmp_path / "out" / "r"
    assert json.loads(paths.json_path.read_text())["frames"] == result.payload["frames"]
    assert [f["frame"] for f in result.payload["frames"]] == list(range(4, 30, 2))
    assert sorted(p.name for p in paths.frames_dir.iterdir()) == [f"{i:06d}.jpg" for i in range(scene.frames)]
    with av.open(str(paths.video_path)) as video:
        assert video.streams.video[0].codec_context.name == "mpeg4"
        assert float(video.duration / 1e6) == pytest.approx(scene.frames / 5, abs=0.3)
    assert sorted(p.name for p in paths.run_dir.iterdir()) == ["frames", "seen.mp4", "tracked.json"]


def test_looking_at_pictures_does_not_change_the_tracks(scene: Scene, tmp_path: Path) -> None:
    def gap(document: dict[str, Any]) -> None:
        document["frames"] = [f for f in document["frames"] if not 10 <= f["frame"] < 22]

    dets = changed(scene, tmp_path / "d.json", gap)
    blind = mot_dinov3.track_video(dets_json=dets, video=scene.video)
    seeing = mot_dinov3.track_video(dets_json=dets, video=scene.video, save_frames=True, out_dir=tmp_path / "out")
    assert blind.payload["frames"] == seeing.payload["frames"]
    assert [p.name for p in seeing.paths.run_dir.iterdir()] == ["frames"]  # nothing that was not asked for


def gallery_command(scene: Scene, people: Path, out: Path, *more: str) -> list[str]:
    return [
        "gallery", "--dets-json", str(scene.dets), "--video", str(scene.video), "--gallery", str(people),
        "--embedder", "histogram", "--json", "--out-dir", str(out), "--no-progress", *more,
    ]  # fmt: skip


@pytest.mark.parametrize("threshold", ["0.25", "auto"])
def test_a_killed_run_leaves_valid_lines_and_goes_on_from_them(
    scene: Scene, people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], threshold: str
) -> None:
    option = ("--gallery-match-threshold", threshold)
    assert main(gallery_command(scene, people, tmp_path / "a", *option)) == 0
    whole = json.loads((tmp_path / "a" / "scene" / "tracked.json").read_text())
    values = {"dets": str(scene.dets), "source": str(scene.video), "gallery": str(people)}
    values |= {"embedder": "histogram", "json": True, "out_dir": str(tmp_path / "b")}
    values |= {"gallery_match_threshold": AUTO if threshold == "auto" else float(threshold)}
    run = GalleryRun(assemble(GalleryJobConfig, values))
    ticks = iter(range(100))

    def kill() -> bool:
        if next(ticks) == 17:
            raise KeyboardInterrupt
        return False

    with pytest.raises(KeyboardInterrupt):
        run.run(kill)
    target = tmp_path / "b" / "scene" / "tracked.json"
    lines = journal_path(target).read_text().splitlines()
    assert sum("frame" in json.loads(line) for line in lines) >= 16
    assert not target.exists()
    with journal_path(target).open("a") as file:
        file.write('{"frame": 18, "detec')  # the power went in the middle of a line
    capsys.readouterr()
    assert main(gallery_command(scene, people, tmp_path / "b", *option, "--resume")) == 0
    embedded = int(capsys.readouterr().out.split("identities, ")[1].split()[0])
    resumed = json.loads(target.read_text())
    assert resumed["frames"] == whole["frames"]
    assert resumed["tracker"]["config"] == whole["tracker"]["config"]
    looks = sum(row["embedded"] for frame in whole["frames"] for row in frame["detections"])
    assert 0 < embedded < looks
    assert not journal_path(target).exists()
    assert main(gallery_command(scene, people, tmp_path / "b", *option, "--resume")) == 0
    assert "complete" in capsys.readouterr().out


def test_an_interrupted_run_leaves_a_document_and_goes_on_to_the_same_end(scene: Scene, tmp_path: Path) -> None:
    def run(name: str, *, frames: int = 999, resume: bool = False) -> Any:
        values = {"dets": str(scene.dets), "source": str(scene.video), "json": True, "run_name": name}
        job = GalleryRun(assemble(GalleryJobConfig, {**values, "out_dir": str(tmp_path), "resume": resume}))
        ticks = iter(range(1000))
        whole = job.run(lambda: next(ticks) == frames)
        assert whole is (frames == 999)
        return json.loads((tmp_path / name / "tracked.json").read_text())["frames"]

    whole = run("a")
    for frames in (0, 1, 20):
        part = run("b", frames=frames)
        assert len(part) == frames + 1  # all that was seen, also what a later frame might have changed
        assert part[:-1] == whole[:frames]
        assert [row["bbox"] for row in part[-1]["detections"]] == boxes_at(frames)
        assert run("b", resume=True) == whole


def test_another_runs_lines_are_not_continued(scene: Scene, people: Path, tmp_path: Path) -> None:
    target = tmp_path / "out" / "scene" / "tracked.json"
    target.parent.mkdir(parents=True)
    journal_path(target).write_text('{"run": {"tracker": "another"}}\n')
    assert main(gallery_command(scene, people, tmp_path / "out", "--resume")) == 2
    assert main(gallery_command(scene, people, tmp_path / "out")) == 0


NEEDS: dict[str, tuple[dict[str, Any], str]] = {
    "gallery without weights": ({"gallery": "PEOPLE", "embedder": "osnet"}, "needs weights"),
    "filter without either": ({"filter_gallery": True}, "neither"),
    "gallery_only without either": ({"tracker": "gallery_only"}, "gallery_only needs"),
    "another tracker": ({"tracker": "appearance"}, "tracker must be one of"),
    "a run name with a slash": ({"run_name": "../evil", "save_json_flag": True}, "run_name must be a plain name"),
    "an unknown encoder": ({"fourcc": "zzzz", "save_video": "v", "out_dir": "OUT"}, "no such video encoder"),
    "no such weights": (
        {"gallery": "PEOPLE", "reid_weights": "none.pt", "models_dir": "nowhere"},
        "weights 'none.pt' do not exist",
    ),
    "no such gallery": ({"gallery": "nowhere", "embedder": "histogram"}, "gallery 'nowhere' does not exist"),
    "no frequency": ({"reid_frequency": 0}, "reid_frequency must be at least 1"),
    "no classes": ({"classes": " ; "}, "names no class"),
    "no such device, where none is needed": ({"device": "tpu"}, "device must be auto, cpu, cuda, mps"),
    "a number as text": ({"track_thresh": "0.5"}, "'track_thresh' must be a float, got '0.5'"),
    "a fraction where a whole number belongs": ({"reid_frequency": 2.5}, "'reid_frequency' must be a int, got 2.5"),
}


@pytest.mark.parametrize("case", NEEDS)
def test_what_is_missing_or_unusable_is_said(scene: Scene, people: Path, tmp_path: Path, case: str) -> None:
    options, message = NEEDS[case]
    places = {"PEOPLE": people, "OUT": tmp_path}
    options = {key: places.get(value, value) if isinstance(value, str) else value for key, value in options.items()}
    with pytest.raises(MotError, match=message):
        mot_dinov3.track_video(dets_json=scene.dets, video=scene.video, **options)


def test_all_mistakes_are_named_at_once_before_anything_opens(people: Path, tmp_path: Path) -> None:
    options = {
        "gallery": people,
        "embedder": "reid",
        "classes": " ; ",
        "fourcc": "zzzz",
        "save_video": "v",
        "out_dir": tmp_path,
    }
    with pytest.raises(UsageError, match=r"needs weights .*names no class.*no such video encoder"):
        mot_dinov3.track_gallery(dets_json="nowhere.json", video="nowhere.mp4", **options)


def test_a_record_beyond_the_last_frame_is_an_error(scene: Scene, tmp_path: Path) -> None:
    def longer(document: dict[str, Any]) -> None:
        document["frames"].append({"frame": scene.frames + 3, "detections": []})

    dets = changed(scene, tmp_path / "d.json", longer)
    with pytest.raises(FormatError, match=f"record for frame {scene.frames + 3}"):
        mot_dinov3.track_video(dets_json=dets, video=scene.video, save_frames=True, out_dir=tmp_path)
    with pytest.raises(
        FormatError, match=f"record for frame {scene.frames + 3}, but the last .* is {scene.frames - 1}"
    ):
        mot_dinov3.track_video(dets_json=dets, video=scene.video)  # the video is not even decoded


def test_other_formats_beyond_the_end_are_refused_before_tracking(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("tracking has begun")

    monkeypatch.setattr("mot_dinov3.gallery.job.loop.GalleryLoop.run", never)
    dets = tmp_path / "dets.txt"
    for last, save in ((scene.frames + 7, False), (scene.frames + 1, True)):
        dets.write_text("".join(f"{frame},-1,4,30,20,50,0.9\n" for frame in (1, 2, last)))
        with pytest.raises(FormatError, match=f"frame {last - 1}, but the last .* is {scene.frames - 1}"):
            mot_dinov3.track_video(dets_json=dets, video=scene.video, save_frames=save, out_dir=tmp_path)
    labels = tmp_path / "labels"
    labels.mkdir()
    for number in (3, 13, 23):
        (labels / f"shot{number}.txt").write_text("0 0.5 0.5 0.2 0.4\n")
    with pytest.raises(FormatError, match="no two consecutive frames"):
        mot_dinov3.track_video(dets_json=labels, video=scene.video)


@pytest.mark.parametrize(
    ("rows", "words", "cure"),
    [
        (
            [(t, 10.0 + t, 0.42) for t in range(20)],
            "20 boxes were found and no track began: the highest score is 0.42",
            0.25,
        ),
        ([(0, 10.0, 0.9)], "1 box was found and no track began: a track needs a box in several frames", None),
        ([(t, 10.0 + t, 0.9) for t in range(20)], "", None),
        ([], "", None),
    ],
    ids=["weak scores", "one box", "a track", "nothing"],
)
def test_boxes_without_a_track_are_told_about(
    scene: Scene, tmp_path: Path, rows: list[tuple[int, float, float]], words: str, cure: float | None
) -> None:
    dets = tmp_path / "dets.txt"
    dets.write_text("".join(f"{t + 1},-1,{x},30,20,50,{score}\n" for t, x, score in rows))
    notices = [n for n in mot_dinov3.track_video(dets_json=dets, video=scene.video).stats["notices"] if "began" in n]
    assert [words in notice for notice in notices] == ([True] if words else [])
    if cure is not None:
        assert f"--track-thresh {cure:g}" in notices[0]
        result = mot_dinov3.track_video(dets_json=dets, video=scene.video, track_thresh=cure)
        assert {row.get("track_id") for row in detections(result)} >= {"1"}


def test_a_header_that_counts_too_few_frames_harms_nothing(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    header = media.read_header(str(scene.video))
    for wrong in (0, 7):
        monkeypatch.setattr(media, "read_header", lambda _, wrong=wrong: dataclasses.replace(header, frame_count=wrong))
        result = mot_dinov3.track_video(dets_json=scene.dets, video=scene.video)
        assert len(result.payload["frames"]) == scene.frames


def test_a_misspelt_class_is_an_error_and_an_absent_one_a_notice(scene: Scene, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"unknown class 'bx'; did you mean 'box'\?") as caught:
        mot_dinov3.track_video(dets_json=scene.dets, video=scene.video, classes="bx,0")
    assert "has: box" in caught.value.remedy
    with pytest.raises(ConfigError, match="unknown class 'giraffe'"):
        mot_dinov3.track_video(dets_json=scene.dets, video=scene.video, classes="giraffe")
    result = mot_dinov3.track_video(dets_json=scene.dets, video=scene.video, classes="giraffe;box")
    assert "no detection is of class 'giraffe'" in result.stats["notices"][0]
    labels = tmp_path / "names.txt"
    labels.write_text("person\ngiraffe\n")
    known = mot_dinov3.track_video(dets_json=scene.dets, video=scene.video, classes="giraffe", class_names=labels)
    (notice,) = known.stats["notices"]
    assert notice.startswith("nothing was tracked: no detection is of the classes 'giraffe': ")

    def nameless(document: dict[str, Any]) -> None:
        for frame in document["frames"]:
            for row in frame["detections"]:
                del row["class_name"]

    dets = changed(scene, tmp_path / "d.json", nameless)
    with pytest.raises(ConfigError, match="contains no class names"):
        mot_dinov3.track_video(dets_json=dets, video=scene.video, classes="box")


def test_a_filter_that_leaves_nothing_says_which_classes_there_are(scene: Scene) -> None:
    result = mot_dinov3.track_video(dets_json=scene.dets, video=scene.video, classes="77")
    (notice,) = (line for line in result.stats["notices"] if line.startswith("nothing was tracked"))
    assert re.search(r"has .*[0-9]+ .*\([0-9]+ boxes\)", notice)


def test_classes_by_number_also_the_unknown_one(scene: Scene, tmp_path: Path) -> None:
    def half_unknown(document: dict[str, Any]) -> None:
        for frame in document["frames"]:
            frame["detections"][0]["class_id"] = -1

    dets = changed(scene, tmp_path / "d.json", half_unknown)
    result = mot_dinov3.track_video(dets_json=dets, video=scene.video, classes=[-1], device=0)
    assert {("track_id" in row, row["class_id"]) for row in detections(result)} == {(True, -1), (False, 0)}
    nothing = mot_dinov3.track_video(dets_json=dets, video=scene.video, classes=[7, 8], track_thresh=np.float32(0.5))
    (notice,) = nothing.stats["notices"]
    assert notice.startswith("nothing was tracked: no detection is of the classes '7,8': ")
    assert notice.endswith("has 40 boxes without a class, 0 box (40 boxes)")
    assert nothing.payload["tracker"]["config"]["track_thresh"] == 0.5


def test_bad_boxes_are_left_out_and_counted(scene: Scene, tmp_path: Path) -> None:
    bad: list[Any] = [
        {"bbox": [5, 5, 1, 9], "score": 0.5},
        {"bbox": [1, 2, 3], "score": 0.5},
        {"bbox": [1, 2, 3, 4], "score": "high"},
        7,
    ]

    def spoil(document: dict[str, Any]) -> None:
        document["frames"][3]["detections"][1:1] = bad
        document["frames"][5]["detections"] = bad[:1]

    dets = changed(scene, tmp_path / "d.json", spoil)
    with pytest.raises(FormatError, match="frame 3, detection 1: bbox has no positive size"):
        mot_dinov3.track_video(dets_json=dets, video=scene.video, strict=True)
    result = mot_dinov3.track_video(dets_json=dets, video=scene.video)
    frames = result.payload["frames"]
    assert [row["bbox"] for row in frames[3]["detections"]] == boxes_at(3)
    assert frames[5]["detections"] == []
    assert "5 boxes that cannot be used are left out, the first: " in result.stats["notices"][0]
    assert "frame 3, detection 1" in result.stats["notices"][0]


def test_numbers_that_are_not_finite_are_read_as_null_and_counted(scene: Scene, tmp_path: Path) -> None:
    def odd_probability(document: dict[str, Any]) -> None:
        document["frames"][4]["detections"][0]["probs"] = [0.5, float("nan")]
        document["detector"] = {"conf_thresh": float("inf")}

    dets = changed(scene, tmp_path / "d.json", odd_probability)
    result = mot_dinov3.track_video(dets_json=dets, video=scene.video)
    assert result.payload["frames"][4]["detections"][0]["probs"] == [0.5, None]
    assert result.payload["detector"] == {"conf_thresh": None}
    assert any("2 numbers that are not finite (read as null)" in notice for notice in result.stats["notices"])


def test_messages_speak_of_this_commands_options(scene: Scene) -> None:
    with pytest.raises(InputError, match="cannot be opened") as caught:
        mot_dinov3.track_video(dets_json=scene.dets, video="nowhere.mp4")
    assert "--source" in caught.value.remedy
    with pytest.raises(ConfigError, match="'frame_rate' must be a float or 'auto', got 'fast'"):
        mot_dinov3.track_video(dets_json=scene.dets, video=scene.video, frame_rate="fast")


def test_half_precision_is_left_out_with_a_notice_where_it_is_not_to_be_had(
    scene: Scene, people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from mot_dinov3.features.osnet_network import OSNet

    monkeypatch.setitem(sys.modules, "openvino", None)  # converting takes longer than all the rest
    torch.save(OSNet((16, 64, 96, 128), 8).state_dict(), tmp_path / "osnet.pt")
    result = mot_dinov3.track_video(
        dets_json=scene.dets, video=scene.video, gallery=people, reid_weights=tmp_path / "osnet.pt", half=True,
        device="cpu", reid_frequency=30,
    )  # fmt: skip
    assert "--half is ignored: precision 'fp16' is not available on cpu" in result.stats["notices"][0]
    assert result.stats["embeddings"] > 0


def test_another_picture_size_is_an_error_and_another_count_a_notice(scene: Scene, tmp_path: Path) -> None:
    wrong = changed(scene, tmp_path / "d.json", lambda d: d["video"].update(width=99))
    with pytest.raises(FormatError, match="images of 99×"):
        mot_dinov3.track_video(dets_json=wrong, video=scene.video)
    count = changed(scene, tmp_path / "e.json", lambda d: d["video"].update(frame_count=7))
    result = mot_dinov3.track_video(dets_json=count, video=scene.video)
    assert "has 7 frames" in result.stats["notices"][0]


def test_a_screen_is_asked_for_before_anything_else(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("WAYLAND_DISPLAY", "no-such-socket")
    for display in (None, ":9753", "127.0.0.1:59000", "nonsense", ":99999999"):
        if display is None:
            monkeypatch.delenv("DISPLAY", raising=False)
        else:
            monkeypatch.setenv("DISPLAY", display)  # Qt would end the process
        with pytest.raises(UsageError, match="--show needs a screen"):
            mot_dinov3.track_video(dets_json=scene.dets, video=scene.video, display=True)


def test_class_names_are_labels_by_line_number_and_blank_lines_count(tmp_path: Path) -> None:
    path = tmp_path / "names.txt"
    path.write_text("person\n\ncar\n")
    config = GalleryInputConfig(dets="d", source="v", class_names=str(path), classes="car; 5")
    found = ClassFilter.of(config.classes, config.class_names)
    assert found.names == {0: "person", 2: "car"}
    assert (found.ids, found.words) == ({5}, {"car"})
    with pytest.raises(InputError, match="does not exist"):
        ClassFilter.of("", str(tmp_path / "none"))


@pytest.mark.parametrize("form", ["list", "mapping", "text", "yaml", "json"])
def test_class_names_are_given_as_python_values_or_in_every_kind_of_file(
    scene: Scene, tmp_path: Path, form: str
) -> None:
    texts = {"text": "person\nbox", "yaml": "names: {0: person, 1: box}", "json": '["person", "box"]'}
    given: Any = {"list": ["person", "box"], "mapping": {0: "person", 1: "box"}}.get(form)
    if given is None:
        given = tmp_path / f"names.{form}"
        given.write_text(texts[form])
    result = mot_dinov3.track_video(dets_json=scene.dets, video=scene.video, classes="person", class_names=given)
    assert any("track_id" in row for row in detections(result))


def test_weights_are_looked_up_by_name_with_or_without_their_ending(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").touch()
    (tmp_path / "fast.engine").touch()
    assert find_reid_weights(str(tmp_path / "net.onnx"), Path("nowhere")) == str(tmp_path / "net.onnx")
    assert find_reid_weights("net", tmp_path) == str(tmp_path / "net.onnx")
    with pytest.raises(MotError, match="do not exist") as caught:
        find_reid_weights("other.pt", tmp_path)
    assert "net.onnx" in caught.value.remedy
    assert find_reid_weights("fast", tmp_path) == str(tmp_path / "fast.engine")


def test_outputs_are_names_and_their_folder_an_option() -> None:
    with pytest.raises(ConfigError, match="save_json must be a plain name") as caught:
        GalleryOutputConfig(save_json="out/t.json")
    assert "--out-dir DIR --run-name NAME" in caught.value.remedy


def test_resume_needs_json() -> None:
    with pytest.raises(ConfigError, match="--resume needs --save-json"):
        GalleryOutputConfig(resume=True)


def test_trackers_and_lists(capsys: pytest.CaptureFixture[str]) -> None:
    assert {"appearance", "gallery_hybrid", "gallery_only"} <= set(mot_dinov3.available_trackers())
    assert main(["gallery", "--list-reid-models"]) == 0
    assert "osnet_x0_25" in capsys.readouterr().out
    assert main(["gallery", "--list-reid-weights", "--list-trackers"]) == 0
    assert {"osnet_x0_25_msmt17.pt", "gallery_only"} <= set(capsys.readouterr().out.split())


def test_without_pictures_neither_torch_nor_opencv_is_loaded(scene: Scene) -> None:
    program = (
        "import sys, mot_dinov3\n"
        "assert not {'numpy', 'torch', 'cv2'} & set(sys.modules)\n"
        f"mot_dinov3.track_video(dets_json={str(scene.dets)!r}, video={str(scene.video)!r})\n"
        "print(sorted({'torch', 'cv2', 'transformers', 'ultralytics'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.strip() == "[]", done.stderr


def test_track_names_people_too_with_any_tracker(scene: Scene, people: Path, tmp_path: Path) -> None:
    for tracker in ("appearance", "gallery_hybrid", "gallery_only"):
        out = tmp_path / f"{tracker}.json"
        words = ["--source", str(scene.video), "--dets", str(scene.dets), "--embedder", "histogram", "--no-video"]
        words += ["--save-json", str(out), "--gallery", str(people), "--tracker", tracker, "--no-progress"]
        assert main([*words, "--crop-pad", "0"]) == 0
        rows = [row for frame in json.loads(out.read_text())["frames"] for row in frame["detections"]]
        named = [(row["det_ind"], row["gallery_id"]) for row in rows if "gallery_id" in row]
        assert len(named) > 30
        assert np.mean([name == ("red", "blue")[who] for who, name in named]) > 0.9


def test_track_refuses_a_gallery_without_an_embedder(scene: Scene, people: Path) -> None:
    assert main(["--dets", str(scene.dets), "--save-json", "x.json", "--gallery", str(people)]) == 2


@pytest.mark.parametrize("target", ["coco", "cvat", "yolo", "track-v1", "csv", "motchallenge", "det-v1.gz"])
def test_detections_may_have_any_format_that_track_reads(
    scene: Scene, people: Path, tmp_path: Path, target: str
) -> None:
    plain = mot_dinov3.track_video(dets_json=scene.dets, video=scene.video)
    suffix = {"cvat": ".xml", "yolo": "", "csv": ".csv", "motchallenge": ".txt", "det-v1.gz": ".json.gz"}
    other = tmp_path / f"other{suffix.get(target, '.json')}"
    if target == "det-v1.gz":
        other.write_bytes(gzip.compress(Path(scene.dets).read_bytes()))
    else:
        tracked = tmp_path / "tracked.json"
        tracked.write_text(json.dumps(dict(plain.payload), default=list))
        assert main(["convert", str(tracked), str(other), "--to", target, "--video", str(scene.video)]) == 0
    result = mot_dinov3.track_video(dets_json=other, video=scene.video)
    assert result.payload["schema_version"] == "track-v1"
    for one, two in zip(result.payload["frames"], plain.payload["frames"], strict=True):
        rows = [[row for row in frame["detections"] if "track_id" in row] for frame in (one, two)]
        assert [row["track_id"] for row in rows[0]] == [row["track_id"] for row in rows[1]]
        np.testing.assert_allclose(*([row["bbox"] for row in of] for of in rows), atol=1)  # smoothed


def test_a_file_that_is_no_detections_is_named(scene: Scene, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"a": 1}')
    with pytest.raises(FormatError, match="is JSON of an unknown format"):
        mot_dinov3.track_video(dets_json=tmp_path / "x.json", video=scene.video)


def test_weights_without_a_gallery_only_track(scene: Scene) -> None:
    plain = mot_dinov3.track_video(dets_json=scene.dets, video=scene.video)
    result = mot_dinov3.track_video(dets_json=scene.dets, video=scene.video, reid_weights="w.pt")
    assert result.payload["frames"] == plain.payload["frames"]
    assert "'w.pt' is not used: there is no --gallery to compare with" in result.stats["notices"]
    assert result.payload["tracker"]["config"]["device"] == "cpu"  # where it ran, not what was asked for


@pytest.mark.parametrize("name", ["seen", "seen.mp4", "seen.mkv", "seen.MOV", "seen.webm"])
def test_the_extension_of_the_drawn_video_decides_its_container(scene: Scene, tmp_path: Path, name: str) -> None:
    options = {"save_video": name, "out_dir": tmp_path, "run_name": "r"}
    result = mot_dinov3.track_video(dets_json=scene.dets, video=scene.video, **options)
    assert result.paths.video_path == tmp_path / "r" / (name if "." in name else f"{name}.mp4")
    assert result.paths.video_path.stat().st_size > 1000


def test_a_video_that_is_not_written_names_those_that_are(scene: Scene, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"cannot be written as \.avi") as caught:
        mot_dinov3.track_video(dets_json=scene.dets, video=scene.video, save_video="a.avi", out_dir=tmp_path)
    assert ".mkv" in caught.value.remedy
    with pytest.raises(ConfigError, match="cannot be chosen for"):
        mot_dinov3.track_video(dets_json=scene.dets, video=scene.video, save_video="a.webm", fourcc="mp4v")


def test_the_list_of_trackers_is_what_the_option_takes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gallery", "--list-trackers"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["gallery_hybrid", "gallery_only"]


def test_the_summary_names_identities_and_the_table_has_their_rows(
    scene: Scene, people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = gallery_command(scene, people, tmp_path, "--save-csv", "t")
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    tracked = json.loads((tmp_path / "scene" / "tracked.json").read_text())
    rows = [(f["frame"], row) for f in tracked["frames"] for row in f["detections"] if "track_id" in row]
    with (tmp_path / "scene" / "t.csv").open() as file:
        table = list(csv.DictReader(file))
    assert [(int(r["frame"]), r["track_id"], r["gallery_id"]) for r in table] == [
        (frame, row["track_id"], row.get("gallery_id", "")) for frame, row in rows
    ]
    assert lines[0].startswith(f"tracks      {len({row['track_id'] for _, row in rows})} in ")
    names = {row["gallery_id"] for _, row in rows if "gallery_id" in row}
    assert names
    assert {line.split()[1] for line in lines if line.startswith("named ")} == names
    assert sum(line.startswith("unnamed     ") for line in lines) == 1
    assert f"written     {tmp_path / 'scene' / 't.csv'}" in lines


def test_an_interrupted_table_has_the_frames_so_far(scene: Scene, tmp_path: Path) -> None:
    values = {"dets": str(scene.dets), "source": str(scene.video), "save_csv": "t.csv", "out_dir": str(tmp_path)}
    ticks = iter(range(100))
    run = GalleryRun(assemble(GalleryJobConfig, values))
    assert not run.run(lambda: next(ticks) == 9)
    assert run.paths.csv_path is not None
    frames = [int(line.split(",")[0]) for line in run.paths.csv_path.read_text().splitlines()[1:]]
    assert sorted(set(frames)) == list(range(10))


def test_the_report_shows_tracks_names_and_the_drawn_video(scene: Scene, people: Path, tmp_path: Path) -> None:
    words = gallery_command(scene, people, tmp_path, "--report", "r", "--save-video", "v")
    assert main(words) == 0
    page = (tmp_path / "scene" / "r.html").read_text()
    data = json.loads(re.search(r"<script[^>]*application/json[^>]*>(.*?)</script>", page, re.DOTALL)[1])  # type: ignore[index]
    tracked = json.loads((tmp_path / "scene" / "tracked.json").read_text())
    rows = [row for f in tracked["frames"] for row in f["detections"] if "track_id" in row]
    assert {str(track["id"]) for track in data["tracks"]} == {row["track_id"] for row in rows}
    assert {track["name"] for track in data["tracks"]} - {""} == {
        row["gallery_id"] for row in rows if "gallery_id" in row
    }
    assert data["video"].startswith("data:video/mp4;base64,"), "a small video is part of the page"
    assert data["crops"]
    assert "of 3 identities" in page
    assert "<code>--save-video NAME</code>" in page, "the page names this command's option"
    assert main([*words, "--tracker", "gallery_only"]) == 2


def test_a_file_of_detections_that_ends_early_is_told(
    scene: Scene, people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded = json.loads(scene.dets.read_text())
    recorded["frames"] = recorded["frames"][:10]
    short = dataclasses.replace(scene, dets=tmp_path / "short.json")
    short.dets.write_text(json.dumps(recorded))
    assert main(gallery_command(short, people, tmp_path)) == 0
    assert f"frames      {scene.frames}, detections for 10 of them" in capsys.readouterr().out.splitlines()


def test_where_no_option_names_an_embedder_one_stands_in_and_the_threshold_is_learnt(
    scene: Scene, people: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: object, repo: str, revision: object) -> list[str]:
        raise errors.LocalEntryNotFoundError("no connection")

    monkeypatch.setattr(hub.HuggingFaceHub, "cached", refuse)
    monkeypatch.setattr(hub.HuggingFaceHub, "files", refuse)
    options: dict[str, Any] = {"dets_json": scene.dets, "video": scene.video, "gallery": people}
    result = mot_dinov3.track_gallery(**options)
    assert sum("the built-in histogram embedder is used" in notice for notice in result.stats["notices"]) == 1
    assert result.payload["tracker"]["config"]["gallery_match_threshold"] == "auto"
    named = {row.get("gallery_id") for frame in result.payload["frames"] for row in frame["detections"]}
    assert {"red", "blue"} <= named
    given = mot_dinov3.track_gallery(**options, gallery_match_threshold=0.3)
    assert given.payload["tracker"]["config"]["gallery_match_threshold"] == 0.3
    with pytest.raises(UnreachableModelError):
        mot_dinov3.track_gallery(**options, embedder="dino")
