"""CVAT's exports of other tasks than plain ones: frame steps, projects, own attributes, keyframes, MOT 1.1."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mot_dinov3.apps.evaluation import evaluate
from mot_dinov3.cli import main
from mot_dinov3.core.errors import FormatError, UsageError
from mot_dinov3.core.structures import Detections, VideoInfo
from mot_dinov3.formats.cvat import read_cvat
from mot_dinov3.formats.cvat_keyframes import TOLERANCE
from mot_dinov3.formats.cvat_writer import count_interpolated_scores, write_cvat
from mot_dinov3.formats.format_registry import read_any
from mot_dinov3.formats.lost_fields import lost_fields
from mot_dinov3.formats.motchallenge import read_motchallenge, read_tracks
from mot_dinov3.formats.recorded_detections import FrameSteps, ReadOptions, RecordedDetections


def box(frame: int, x: float, *, outside: int = 0, inner: str = "", more: str = "") -> str:
    corners = f'xtl="{x}" ytl="10" xbr="{x + 20}" ybr="40"'
    return f'<box frame="{frame}" outside="{outside}" keyframe="1" {corners} {more}>{inner}</box>'


def task(number: int, name: str, *more: str) -> str:
    return f"<task><id>{number}</id><name>{name}</name><size>4</size>{''.join(more)}</task>"


def document(tracks: str, meta: str = "") -> str:
    return f"<annotations><version>1.1</version><meta>{meta}</meta>{tracks}</annotations>"


@pytest.fixture
def write(tmp_path: Path):
    def save(text: str, name: str = "a.xml") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return save


@pytest.mark.parametrize(
    ("start", "step", "boxes", "lefts"),
    [
        (0, 6, [(0, 10, 0), (6, 70, 0), (12, 70, 1)], {0: 10, 6: 70}),
        (10, 3, [(10, 0, 0), (16, 60, 0), (19, 60, 1)], {10: 0, 13: 30, 16: 60}),
        (5, 1, [(5, 0, 0), (7, 20, 0)], {5: 0, 6: 10, 7: 20}),
    ],
    ids=["every 6th", "every 3rd from 10", "from 5"],
)
def test_a_task_has_only_the_frames_of_its_step(write, start: int, step: int, boxes, lefts) -> None:
    filtered = f"<start_frame>{start}</start_frame><frame_filter>{f'step={step}' if step > 1 else ''}</frame_filter>"
    track = "".join(box(frame, x, outside=outside) for frame, x, outside in boxes)
    recorded = read_cvat(
        write(document(f'<track id="0" label="ball">{track}</track>', task(1, "t", filtered))), ReadOptions()
    )
    assert {frame: float(rows.xyxy[0, 0]) for frame, rows in recorded.frames.items()} == lefts
    assert recorded.video.frame_count == 0, "the task's size is not the video's"


@pytest.mark.parametrize("only_keyframes", [False, True])
def test_a_task_with_a_step_is_written_with_its_own_frames(write, tmp_path: Path, *, only_keyframes: bool) -> None:
    """CVAT refuses a box, and also a mark of an end, in a frame that the task does not have."""
    meta = "<start_frame>5</start_frame><stop_frame>25</stop_frame><frame_filter>step=10</frame_filter>"
    tracks = f'<track id="0" label="a">{box(5, 0)}{box(15, 10)}{box(25, 20)}</track>'
    tracks += f'<track id="1" label="a">{box(5, 50)}{box(15, 50, outside=1)}</track>'
    recorded = read_cvat(write(document(tracks, task(1, "t", meta).replace("size>4", "size>3"))), ReadOptions())
    write_cvat(tmp_path / "b.xml", recorded, "now", only_keyframes=only_keyframes)
    root = ElementTree.parse(tmp_path / "b.xml").getroot()
    head = {key: root.findtext(f"meta/task/{key}") for key in ("size", "start_frame", "stop_frame", "frame_filter")}
    assert head == {"size": "3", "start_frame": "5", "stop_frame": "25", "frame_filter": "step=10"}
    places = [[(int(b.get("frame")), b.get("outside")) for b in track.iter("box")] for track in root.iter("track")]
    kept = [(5, "0"), (25, "0")] if only_keyframes else [(5, "0"), (15, "0"), (25, "0")]
    assert places == [kept, [(5, "0"), (15, "1")]]
    back = read_cvat(tmp_path / "b.xml", ReadOptions())
    assert back.annotated == recorded.annotated
    for frame, rows in recorded.frames.items():
        np.testing.assert_array_equal(back.frames[frame].xyxy, rows.xyxy)


def test_datumaro_reads_what_is_written_and_its_mot_export_is_read(write, tmp_path: Path) -> None:
    dataset = pytest.importorskip("datumaro.components.dataset", reason="Datumaro judges where it is installed").Dataset
    boxes_of = {0: [(10.0, 10.0), (100.0, 100.0)], 6: [(70.0, 10.0)]}
    frames = {
        frame: Detections(
            np.array([[x, y, x + 20, y + 30] for x, y in places], np.float32),
            np.ones(len(places), np.float32),
            np.zeros(len(places), np.int64),
            track_id=np.arange(1, len(places) + 1),
        )
        for frame, places in boxes_of.items()
    }
    video = VideoInfo("clip.mp4", 854, 480, 25.0)
    recorded = RecordedDetections("a", frames, video, names={0: "ball"}, annotated=FrameSteps(0, 6, 4))
    write_cvat(tmp_path / "annotations.xml", recorded, "now")
    read = dataset.import_from(str(tmp_path), "cvat")
    found = {
        (int(item.attributes["frame"]), int(a.attributes["track_id"]), *a.points)
        for item in read
        for a in item.annotations
        if not a.attributes["outside"]
    }
    assert found == {
        (frame, row + 1, x, y, x + 20, y + 30)
        for frame, places in boxes_of.items()
        for row, (x, y) in enumerate(places)
    }
    read.export(str(tmp_path / "mot"), "mot_seq_gt")
    table = read_motchallenge(tmp_path / "mot" / "gt" / "gt.txt")
    assert table.names == {1: "ball"}
    assert table.frames[0].track_id.tolist() == [1, 2]


def test_perfect_tracks_of_a_task_with_a_step_are_perfect(write) -> None:
    track = box(0, 10) + box(6, 70) + box(12, 70, outside=1)
    text = document(f'<track id="0" label="ball">{track}</track>', task(1, "t", "<frame_filter>step=6</frame_filter>"))
    found = write("1,1,10,10,20,30,1,-1,-1,-1\n7,1,70,10,20,30,1,-1,-1,-1\n", "t.txt")
    assert evaluate(write(text), found)["COMBINED"].hota == pytest.approx(100)


@pytest.mark.parametrize("text", ["step=0", "step=x", "every=3"])
def test_a_frame_filter_that_is_not_known_is_an_error(write, text: str) -> None:
    meta = task(1, "t", f"<frame_filter>{text}</frame_filter>")
    with pytest.raises(FormatError, match="frame_filter is not 'step=<frames>'"):
        read_cvat(write(document(f'<track id="0" label="a">{box(0, 1)}</track>', meta)), ReadOptions())


PROJECT = document(
    f'<track id="0" label="p" task_id="5">{box(0, 1)}</track>'
    f'<track id="1" label="p" task_id="6">{box(0, 50)}{box(1, 60)}</track>',
    f"<project><id>2</id><name>all</name><tasks>{task(5, 'left', '<source>l.mp4</source>')}"
    f"{task(6, 'right', '<source>r.mp4</source>', '<frame_filter>step=2</frame_filter>')}</tasks>"
    "<labels><label><name>p</name></label></labels></project>",
)


def test_a_project_of_several_tasks_is_read_task_by_task(write) -> None:
    path = write(PROJECT)
    with pytest.raises(FormatError, match="has 2 tasks") as caught:
        read_cvat(path, ReadOptions())
    assert "--task" in caught.value.remedy
    assert "5 ('left'), 6 ('right')" in caught.value.remedy
    left, right = read_cvat(path, ReadOptions(task="5")), read_cvat(path, ReadOptions(task="right"))
    assert (list(left.frames), left.video.path) == ([0], "l.mp4")
    assert (list(right.frames), right.video.path) == ([0, 1], "r.mp4")
    with pytest.raises(UsageError, match="no single task '7'"):
        read_cvat(path, ReadOptions(task="7"))


def test_convert_takes_a_task(write, tmp_path: Path, capsys) -> None:
    path = write(PROJECT)
    assert main(["convert", str(path), str(tmp_path / "o.txt")]) == 3
    assert "--task" in capsys.readouterr().err
    assert main(["convert", str(path), str(tmp_path / "o.txt"), "--video-id", "5"]) == 2
    assert "--video-id is for files of the format coco" in capsys.readouterr().err
    assert main(["convert", str(path), str(tmp_path / "o.txt"), "--task", "5"]) == 0
    assert (tmp_path / "o.txt").read_text().startswith("1,0,1.00,10.00,20.00,30.00")


def label(name: str, *attributes: str) -> str:
    inner = "".join(f"<attribute><name>{a}</name><mutable>True</mutable></attribute>" for a in attributes)
    return f"<label><name>{name}</name><attributes>{inner}</attributes></label>"


def attribute(name: str, text: str) -> str:
    return f'<attribute name="{name}">{text}</attribute>'


def test_own_attributes_are_never_taken_for_ours_and_go_on_to_cvat(write, tmp_path: Path) -> None:
    inner = attribute("score", "3:1") + attribute("track", "7") + attribute("team", "home &amp; away")
    hidden = box(0, 1, inner=inner, more='occluded="1"')
    rows = f'<track id="0" label="player">{hidden}</track>'
    rows += f'<track id="1" label="player">{box(0, 90, inner=attribute("track", "7"))}</track>'
    meta = task(1, "t", f"<labels>{label('player', 'score', 'track', 'team')}</labels>")
    recorded = read_cvat(write(document(rows, meta)), ReadOptions())
    found = recorded.frames[0]
    assert (found.track_id.tolist(), found.score.tolist()) == ([0, 1], [1, 1])
    own = {"score": "3:1", "track": "7", "team": "home & away"}
    assert found.extra[0] == {"occluded": True, "attributes": own}
    # on to CVAT: all but those that are called like ours
    assert any("attributes of 2 boxes that are called track, score" in line for line in lost_fields(recorded, "cvat"))
    assert "further keys of 2 detections" in lost_fields(recorded, "csv")
    write_cvat(tmp_path / "b.xml", recorded, "now")
    back = read_cvat(tmp_path / "b.xml", ReadOptions()).frames[0]
    assert back.extra[0] == {"occluded": True, "attributes": {"team": "home & away"}}
    assert back.track_id.tolist() == [0, 1]
    # elsewhere: det-v1 and track-v1 keep them
    assert main(["convert", str(tmp_path / "a.xml"), str(tmp_path / "t.json"), "--to", "track-v1"]) == 0
    record = json.loads((tmp_path / "t.json").read_text())["frames"][0]["detections"][0]
    assert (record["occluded"], record["attributes"]) == (True, own)
    again = read_any(tmp_path / "t.json")
    assert not any("further keys" in line for line in lost_fields(again, "cvat"))


def test_a_rotated_box_is_its_upright_hull(write) -> None:
    turned = '<box frame="0" outside="0" xtl="10" ytl="10" xbr="30" ybr="110" rotation="90"></box>'
    recorded = read_cvat(write(document(f'<track id="0" label="a">{turned}</track>')), ReadOptions())
    np.testing.assert_allclose(recorded.frames[0].xyxy, [[-30, 50, 70, 70]], atol=1e-4)


def tracked(frames: dict[int, list[tuple[float, float, float]]]) -> RecordedDetections:
    """Detections of a track with one box per frame: left, top and score."""
    found = {
        frame: Detections(
            np.float32([[x, y, x + 40, y + 80] for x, y, _ in rows]),
            np.float32([score for *_, score in rows]),
            np.zeros(len(rows), np.int64),
            track_id=np.arange(len(rows)),
        )
        for frame, rows in frames.items()
    }
    return RecordedDetections("a", found, VideoInfo("in.mp4", 640, 480, 10.0, 400), True, {0: "person"})


def test_keyframes_are_written_where_interpolation_gives_the_rest(tmp_path: Path) -> None:
    straight = tracked({f: [(3.0 * f, 10, 0.5)] for f in range(100)})
    write_cvat(tmp_path / "a.xml", straight, "now", only_keyframes=True)
    boxes = ElementTree.parse(tmp_path / "a.xml").getroot().findall("track/box")
    assert [(b.get("frame"), b.get("outside")) for b in boxes] == [("0", "0"), ("99", "0"), ("100", "1")]
    bent = tracked({f: [(3.0 * min(f, 50), 10, 0.5)] for f in range(100)})
    write_cvat(tmp_path / "b.xml", bent, "now", only_keyframes=True)
    assert len(ElementTree.parse(tmp_path / "b.xml").getroot().findall("track/box")) <= 5
    back = read_cvat(tmp_path / "b.xml", ReadOptions()).frames
    assert max(float(np.abs(back[f].xyxy - bent.frames[f].xyxy).max()) for f in range(100)) <= TOLERANCE
    assert count_interpolated_scores(straight) == 0


paths = st.lists(
    st.tuples(st.floats(-3, 3), st.floats(-1, 1), st.sampled_from([0.25, 0.5]), st.booleans()), min_size=1, max_size=60
)


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(paths)
def test_keyframes_give_every_box_within_half_a_pixel(tmp_path: Path, path) -> None:
    frames, x, y, frame = {}, 100.0, 100.0, 0
    for dx, dy, score, is_gap in path:
        x, y, frame = x + dx, y + dy, frame + 1 + 3 * is_gap
        frames[frame] = [(x, y, score)]
    asked = tracked(frames)
    write_cvat(tmp_path / "k.xml", asked, "now", only_keyframes=True)
    back = read_cvat(tmp_path / "k.xml", ReadOptions()).frames
    assert list(back) == list(asked.frames)
    for number, rows in asked.frames.items():
        np.testing.assert_allclose(back[number].xyxy, rows.xyxy, atol=TOLERANCE)
    changed = sum(float(back[n].score[0]) != float(rows.score[0]) for n, rows in asked.frames.items())
    assert count_interpolated_scores(asked) == changed


def test_a_change_of_a_field_is_a_keyframe(tmp_path: Path) -> None:
    asked = tracked({f: [(3.0 * f, 10, 0.5)] for f in range(10)})
    known = asked.frames[4].replace(gallery_id=np.array(["Ann"], np.object_))
    asked = dataclasses.replace(asked, frames={**asked.frames, 4: known})
    write_cvat(tmp_path / "a.xml", asked, "now", only_keyframes=True)
    back = read_cvat(tmp_path / "a.xml", ReadOptions()).frames
    assert [rows.gallery_id[0] for rows in back.values()] == [None] * 4 + ["Ann"] + [None] * 5


def test_keyframes_from_the_command_line(tmp_path: Path, capsys) -> None:
    rows = [f"{f + 1},1,{3 * f},10,20,30,{0.5 if f % 2 else 0.75},-1,-1,-1\n" for f in range(20)]
    (tmp_path / "a.txt").write_text("".join(rows))
    assert main(["convert", str(tmp_path / "a.txt"), str(tmp_path / "a.xml"), "--keyframes"]) == 0
    assert "9 boxes between keyframes lose their score" in capsys.readouterr().err
    assert len(ElementTree.parse(tmp_path / "a.xml").getroot().findall("track/box")) == 2
    assert main(["convert", str(tmp_path / "a.txt"), str(tmp_path / "a.csv"), "--keyframes"]) == 2
    assert "--keyframes is for CVAT, not for csv" in capsys.readouterr().err


MOT = {"untracked first": [0, 1, 2], "untracked between": [1, 0, 2], "untracked last": [1, 2, 0]}
ROWS = ("1,-1,50,50,10,10,1,2,1.0\n", "1,1,10,10,20,30,1,1,1.0\n", "2,1,11,10,20,30,1,1,1.0\n")


@pytest.mark.parametrize("order", MOT.values(), ids=MOT.keys())
def test_mot_rows_without_a_track_stay_among_tracks_with_the_names_beside(write, order: list[int]) -> None:
    write("person\ncar\n", "gt/labels.txt")
    path = write("".join(ROWS[i] for i in order), "gt/gt.txt")
    recorded = read_any(path)
    assert recorded.names == {1: "person", 2: "car"}
    ids = sorted(zip(recorded.frames[0].track_id.tolist(), recorded.frames[0].class_id.tolist()))
    assert ids == [(-1, 2), (1, 1)]
    assert recorded.frames[1].track_id.tolist() == [1]
    table = read_tracks(path)  # to be scored: only rows with a track are
    assert table.track_id.tolist() == [1, 1]
    assert "1 rows without a track" in table.notices[0]


def test_mot_rows_that_all_lack_a_track_are_detections(write) -> None:
    path = write("1,-1,50,50,10,10,0.5,-1,-1,-1\n2,-1,50,50,10,10,-1,-1,-1,-1\n", "det/det.txt")
    assert [rows.track_id.tolist() for rows in read_motchallenge(path).frames.values()] == [[-1], [-1]]


def test_labels_of_cvats_mot_export_count_from_1_also_where_they_are_given(write, tmp_path: Path) -> None:
    path = write(ROWS[1] + ROWS[2], "gt/gt.txt")
    labels = write("person\ncar\n", "elsewhere/labels.txt")
    for options in (
        ["--class-names", str(labels)],
        ["--class-names", str(write("person\ncar\n", "gt/labels.txt"))],
        ["--class-names", str(write("person\ncar\n", "names.txt"))],  # the same names as those beside
        [],
    ):
        assert main(["convert", str(path), str(tmp_path / "o.json"), "--to", "coco", "--overwrite", *options]) == 0
        (category,) = (
            c["name"] for c in json.loads((tmp_path / "o.json").read_text())["categories"] if c["class_id"] == 1
        )
        assert category == "person"
    (tmp_path / "gt" / "labels.txt").unlink()
    assert read_any(path, ReadOptions(names={0: "person", 1: "car"})).names[1] == "car", "a plain list counts from 0"


def test_outside_may_be_a_word(write) -> None:
    inner = box(0, 10) + box(1, 10).replace('outside="0"', 'outside="true"') + box(3, 10)
    recorded = read_any(write(document(f'<track id="0" label="p">{inner}</track>')))
    assert list(recorded.frames) == [0, 3]


@pytest.mark.parametrize(
    ("tracks", "meta"),
    [
        (f'<track id="0" label="p">{box(0, 10)}{box(0, 10)}</track>', ""),
        (f'<track label="p">{box(0, 10)}</track>', ""),
        (f'<track id="0" label="p">{box(-1, 10)}</track>', ""),
        ("", "<task><frame_filter>every 2nd</frame_filter></task>"),
    ],
    ids=["frame twice", "no id", "negative frame", "frame filter"],
)
def test_every_error_has_a_remedy(write, tracks: str, meta: str) -> None:
    with pytest.raises(FormatError) as caught:
        read_any(write(document(tracks, meta)))
    assert caught.value.remedy
