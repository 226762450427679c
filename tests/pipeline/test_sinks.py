"""Sinks write while the run goes on and become final only when closed."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest

from mot_dinov3.core.errors import OutputLostError
from mot_dinov3.core.structures import Detections, Frame, Revision, TrackState
from mot_dinov3.core.timing import StageTimer
from mot_dinov3.sinks.base import IdBackfill
from mot_dinov3.sinks.config import OutputConfig
from mot_dinov3.sinks.display import VideoSink
from mot_dinov3.sinks.files import JsonSink, TextSink


def rows(*ids):
    n = len(ids)
    state = [int(TrackState.TENTATIVE if i < 0 else TrackState.CONFIRMED) for i in ids]
    return Detections(np.tile(np.array([[0, 0, 5, 5]], np.float32), (n, 1)), track_id=ids, state=state)


def lines(frame, detections):
    return [f"{frame.index}:{','.join(map(str, detections.track_id))}\n"]


class Collecting:
    def __init__(self):
        self.seen, self.ended = [], ""

    def write(self, frame, detections):
        self.seen.append((frame.index, detections.track_id.tolist()))

    def close(self):
        self.ended = "closed"

    def abort(self):
        self.ended = "aborted"


def test_a_text_sinks_file_appears_when_closed(tmp_path):
    path = tmp_path / "t.txt"
    path.write_text("earlier")
    sink = TextSink(path, lines, head=["head\n"])
    sink.write(Frame(0, 0.0), rows(1))
    assert path.read_text() == "earlier"
    sink.close()
    assert path.read_text() == "head\n0:1\n"
    assert [p.name for p in tmp_path.iterdir()] == ["t.txt"]


def test_an_aborted_text_sink_leaves_its_lines_and_the_earlier_file(tmp_path):
    path = tmp_path / "t.txt"
    path.write_text("earlier")
    sink = TextSink(path, lines)
    sink.write(Frame(0, 0.0), rows(1))
    sink.abort()
    assert path.read_text() == "earlier"
    assert (tmp_path / "t.part.txt").read_text() == "0:1\n", "what was found so far is not thrown away"


def test_a_text_sink_in_a_folder_that_is_gone_is_an_output_error(tmp_path):
    with pytest.raises(OutputLostError, match=r"t\.txt"):
        TextSink(tmp_path / "gone" / "t.txt", lines)


def test_a_json_sink_grows_line_by_line_and_is_assembled_at_the_end(tmp_path):
    path = tmp_path / "t.json"
    notices = []
    sink = JsonSink(path, lambda index, d: {"frame": index, "n": len(d)}, lambda: {"a": 1, "notices": notices})
    sink.write(Frame(0, 0.0), rows(1))
    sink.write(Frame(1, 0.1), rows())
    grown = (tmp_path / "t.json.part.jsonl").read_text().splitlines()
    assert [json.loads(line)["frame"] for line in grown] == [0, 1]
    notices.append("known only at the end")
    sink.close()
    document = json.loads(path.read_text())
    assert list(document) == ["a", "notices", "frames"]
    assert document["notices"] == ["known only at the end"]
    assert document["frames"] == [{"frame": 0, "n": 1}, {"frame": 1, "n": 0}]
    assert [p.name for p in tmp_path.iterdir()] == ["t.json"]


def test_a_json_sink_without_frames_is_valid(tmp_path):
    JsonSink(tmp_path / "t.json", lambda f, d: {}, lambda: {"a": 1}).close()
    assert json.loads((tmp_path / "t.json").read_text()) == {"a": 1, "frames": []}


def test_an_aborted_json_sink_keeps_its_frames_and_the_earlier_document(tmp_path):
    path = tmp_path / "t.json"
    path.write_text("earlier")
    sink = JsonSink(path, lambda index, d: {"frame": index}, dict)
    sink.write(Frame(0, 0.0), rows(1))
    sink.abort()
    assert path.read_text() == "earlier"
    assert (tmp_path / "t.json.part.jsonl").read_text() == '{"frame": 0}\n'


def test_tentative_rows_get_their_id_before_they_reach_the_files():
    inner = Collecting()
    tracker = SimpleNamespace(revisions=[], settled=0)
    sink = IdBackfill(inner, tracker)
    sink.write(Frame(0, 0.0), rows(-1, 4))
    sink.write(Frame(1, 0.1), rows(4, -1))
    assert inner.seen == []
    tracker.revisions, tracker.settled = [Revision(0, 0, 5), Revision(1, 1, 5)], 3
    sink.write(Frame(2, 0.2), rows(5))
    assert inner.seen == [(0, [5, 4]), (1, [4, 5]), (2, [5])]


def test_a_predicted_box_of_a_track_gives_way_to_the_box_it_turns_out_to_have():
    inner = Collecting()
    tracker = SimpleNamespace(revisions=[], settled=0)
    sink = IdBackfill(inner, tracker)
    sink.write(Frame(0, 0.0), rows(-1, 3, 5).replace(coasted=[False, False, True]))
    tracker.revisions, tracker.settled = [Revision(0, 0, 5)], 2
    sink.write(Frame(1, 0.1), rows(5, 3))
    assert inner.seen == [(0, [5, 3]), (1, [5, 3])]


def test_what_is_held_is_passed_on_at_the_end_and_nothing_when_aborted():
    for end, seen in (("close", [(0, [-1])]), ("abort", [])):
        inner = Collecting()
        sink = IdBackfill(inner, SimpleNamespace(revisions=[], settled=0))
        sink.write(Frame(0, 0.0), rows(-1))
        getattr(sink, end)()
        assert inner.seen == seen
        assert inner.ended.startswith(end)


def test_held_rows_do_not_change_what_others_have_been_given():
    tracker = SimpleNamespace(revisions=[], settled=0)
    sink = IdBackfill(Collecting(), tracker)
    given = rows(-1)
    sink.write(Frame(0, 0.0), given)
    tracker.revisions, tracker.settled = [Revision(0, 0, 1)], 2
    sink.write(Frame(1, 0.1), rows(1))
    assert given.track_id.tolist() == [-1]


def test_a_video_sink_writes_what_is_drawn_and_times_both():
    written = []
    writer = SimpleNamespace(write=lambda image, time: written.append((image.sum(), time)), close=lambda: None)
    timer = StageTimer()
    image = np.zeros((2, 2, 3), np.uint8)
    VideoSink(writer, lambda frame, detections: frame.image + 1, timer).write(Frame(3, 0.3, image), rows())
    assert written == [(12, 0.3)]
    assert set(timer.stage_ms) == {"draw", "wait"}


def test_no_video_leaves_only_the_named_files():
    assert OutputConfig(video=False).files() == []
    assert [p.name for p in OutputConfig(save_mot="a.txt", save_csv="b.csv").files()] == [
        "tracked.mp4",
        "a.txt",
        "b.csv",
    ]


def test_pictures_that_an_earlier_run_has_written_are_not_drawn_again_but_told_of():
    written, drawn, skipped = [], [], []
    writer = SimpleNamespace(write=lambda image, time: written.append(image), close=lambda: None)

    def draw(frame, detections):
        drawn.append(frame.index)
        return frame.image

    def skip(frame, detections):
        skipped.append((frame.index, detections.track_id.tolist()))

    sink = VideoSink(writer, draw, StageTimer(), kept=2, skip=skip)
    for index in range(3):
        sink.write(Frame(index, index / 10, np.zeros((2, 2, 3), np.uint8)), rows(index + 1))
    assert (skipped, drawn) == ([(0, [1]), (1, [2])], [2])
    assert [image is None for image in written] == [True, True, False]
