"""Who crosses a line, who enters a zone; and what is refused as a line or a zone."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest

from mot_dinov3.cli import main
from mot_dinov3.core.errors import FormatError, UsageError
from mot_dinov3.core.structures import Detections, Frame, VideoInfo
from mot_dinov3.pipeline.counting import (
    RegionCount,
    RegionCounter,
    count_lines,
    count_records,
    count_rows,
    count_sentences,
    dwell_rows,
)
from mot_dinov3.pipeline.regions import Region, check_regions, parse_line, read_zones

LINE = Region("line 1", np.array([[0.0, 100.0], [200.0, 100.0]]))
SQUARE = Region("door", np.array([[50.0, 50.0], [150.0, 50.0], [150.0, 150.0], [50.0, 150.0]]))


def feet(*points, ids=None, class_id=0):
    """Boxes whose lower edges have these points in their middles."""
    boxes = np.array([[x - 5, y - 30, x + 5, y] for x, y in points], np.float32).reshape(-1, 4)
    ids = range(1, len(points) + 1) if ids is None else ids
    return Detections(boxes, track_id=list(ids), class_id=np.full(len(points), class_id))


def counted(place, frames, fps=10.0):
    counter = RegionCounter([place], fps)
    for rows in frames:
        counter.write(Frame(0, 0.0), rows)
    return counter.counts()[0]


def test_in_is_from_the_right_of_the_line_to_its_left():
    # Looking along the line, from x 0 to x 200, the right hand is below: y grows downwards.
    up = counted(LINE, [feet((100, y)) for y in (130, 115, 90, 70)])
    assert (dict(up.entered), dict(up.left)) == ({0: 1}, {})
    down = counted(LINE, [feet((100, y)) for y in (70, 90, 115, 130)])
    assert (dict(down.entered), dict(down.left)) == ({}, {0: 1})


def test_only_the_feet_count_and_only_between_the_ends_of_the_line():
    head = counted(LINE, [feet((100, y)) for y in (160, 125, 110)])
    past = counted(LINE, [feet((300, y)) for y in (130, 115, 90, 70)])
    assert [dict(found) for found in (head.entered, head.left, past.entered, past.left)] == [{}] * 4


def test_each_class_and_each_track_is_counted_by_itself():
    frames = [
        Detections.concat([feet((50, y), (100, 220 - y), ids=[1, 2]), feet((150, y), ids=[3], class_id=2)])
        for y in (130, 115, 90, 70)
    ]
    count = counted(LINE, frames)
    assert (dict(count.entered), dict(count.left)) == ({0: 1, 2: 1}, {0: 1})


def test_who_vanishes_before_the_line_and_comes_back_behind_it_has_crossed_it():
    hidden = [feet((100, 120))] * 2 + [feet()] * 20 + [feet((100, 80))] * 2
    assert counted(LINE, hidden).entered == {0: 1}
    forgotten = [feet((100, 120))] * 2 + [feet()] * 70 + [feet((100, 80))] * 2
    assert counted(LINE, forgotten).entered == {}


def test_standing_on_a_line_is_not_crossing_it_over_and_over():
    count = counted(LINE, [feet((100, 101 if k % 2 else 99)) for k in range(60)], fps=30.0)
    assert sum(count.entered.values()) + sum(count.left.values()) == 0


def test_a_zone_counts_who_goes_in_and_out_and_who_was_ever_there():
    frames = [feet((x, 100), (100, 100)) for x in (20, 70, 120, 180, 190)]
    count = counted(SQUARE, frames)
    assert (dict(count.entered), dict(count.left), dict(count.visitors)) == ({0: 1}, {0: 1}, {0: 2})
    assert (count.inside, count.most) == (1, 2)


def test_who_is_in_a_zone_from_the_start_has_not_entered_it():
    count = counted(SQUARE, [feet((100, 100))] * 3)
    assert (dict(count.entered), dict(count.visitors)) == ({}, {0: 1})


def test_a_foot_trembling_on_the_border_of_a_zone_is_counted_once_at_most():
    count = counted(SQUARE, [feet((100, 148 if k % 2 else 153)) for k in range(60)], fps=30.0)
    assert sum(count.entered.values()) + sum(count.left.values()) <= 1


def test_rows_without_a_track_do_not_count():
    assert counted(SQUARE, [feet((100, 100), ids=[-1])]).visitors == {}


def dwell(spots, fps=10.0):
    """Seconds in SQUARE by track, of frames that are 1 / fps apart; a spot of None: the track is not seen."""
    counter = RegionCounter([SQUARE], fps)
    for k, spot in enumerate(spots):
        counter.write(Frame(k, k / fps), feet() if spot is None else feet(spot))
    return {track_id: round(one.seconds, 6) for track_id, one in counter.counts()[0].dwell.items()}


IN, OUT = (100, 100), (20, 100)


@pytest.mark.parametrize(
    ("spots", "seconds"),
    [
        ([IN] * 11, {1: 1.0}),
        ([OUT] * 3, {}),
        ([IN] * 4 + [None] * 20 + [IN] * 4, {1: 2.7}),
        ([IN] * 4 + [None] * 60 + [IN] * 4, {1: 0.6}),
        ([IN] * 4 + [OUT] * 4 + [IN] * 4, {1: 0.6}),
        ([IN] * 4 + [OUT] + [None] * 9 + [IN] * 4, {1: 0.6}),
    ],
    ids=["stays", "never in", "hidden for 2 s", "gone for 6 s", "two visits", "hidden outside"],
)
def test_the_time_in_a_zone_adds_up_over_visits_and_short_gaps(spots, seconds):
    assert dwell(spots) == seconds


def test_counts_as_table_text_and_json():
    counter = RegionCounter([LINE, SQUARE], 10.0)
    for k, y in enumerate((130, 115, 90, 70)):
        counter.write(Frame(k, k / 10), feet((100, y)))
    counts, names = counter.counts(), {0: "person"}
    assert count_rows(counts, names)[1:] == [
        ("line 1", "line", "0", "person", "1", "0", "", "", "", ""),
        ("door", "zone", "0", "person", "0", "0", "1", "1", "0.30", "0.30"),
    ]
    assert count_lines(counts, names) == [
        "line 1: person in 1, out 0",
        "door: person in 0, out 0, 1 tracks in all; at most 1 at once; 0.3 s on average, longest 0.3 s (ID 1)",
    ]
    line, zone = count_records(counts, names)
    assert line["classes"] == [{"class_id": 0, "class_name": "person", "in": 1, "out": 0}]
    assert (zone["kind"], zone["most_at_once"], zone["classes"][0]["visitors"]) == ("zone", 1, 1)
    assert zone["dwell"] == [{"track_id": 1, "seconds": 0.3}]
    assert dwell_rows(counts, names)[1:] == [("door", "1", "0", "person", "0.000", "0.300", "0.300")]
    json.dumps([line, zone], allow_nan=False)


@pytest.mark.parametrize("text", ["", "1,2,3", "1,2,3,x", "1,2,3,4,5", "nan,0,1,1", "5,5,5,5"])
def test_what_is_no_line_is_refused(text):
    with pytest.raises(UsageError, match="line"):
        parse_line(text)


def labelme(*shapes, **keys):
    return {"shapes": list(shapes), **keys}


def polygon(label, points, kind="polygon"):
    return {"label": label, "points": points, "shape_type": kind}


TRIANGLE = [[0, 0], [10, 0], [0, 10]]


def test_zones_are_read_from_plain_json_and_from_labelme(tmp_path):
    path = tmp_path / "z.json"
    path.write_text(json.dumps({"door": TRIANGLE, "hall": [[0, 0], [9, 0], [9, 9], [0, 9]]}))
    assert [(z.name, len(z.points)) for z in read_zones(path)] == [("door", 3), ("hall", 4)]
    shapes = polygon("door", TRIANGLE), polygon("door", [[0, 0], [8, 8]], "rectangle")
    path.write_text(json.dumps(labelme(*shapes, imageWidth=640, imageHeight=480)))
    assert [(z.name, z.points.tolist()[1]) for z in read_zones(path)] == [("door", [10, 0]), ("door 2", [8, 0])]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({}, "no zone"),
        ({"a": 3}, "zone 'a' is a number"),
        ({"a": [[0, 0], [1, 1]]}, "2 corners"),
        ({"a": [[0, 0], [1, 1], [2, 2]]}, "no area"),
        ({"a": [[0, 0], [1, 1], [2, "x"]]}, "corner 2"),
        ({"a": [[0, 0], [1, 1], [2]]}, "corner 2"),
        (labelme(), "no zone"),
        (labelme(polygon("p", [[1, 1]], "point"), imageWidth=9, imageHeight=9), "is a point"),
        (labelme(polygon("p", [[1, 1], [2, 2]])), "unreadable polygon"),
    ],
)
def test_a_file_of_zones_that_holds_none_is_refused(tmp_path, content, says):
    path = tmp_path / "z.json"
    path.write_text(json.dumps(content))
    with pytest.raises(FormatError, match=says) as caught:
        read_zones(path)
    assert "z.json" in caught.value.message


def test_what_leaves_the_picture_is_refused():
    info = VideoInfo("v", 200, 150, 10.0)
    check_regions((LINE, SQUARE), info)
    with pytest.raises(UsageError, match=r"^line 1 leaves the frame: \(200, 100\) is not within 150×150"):
        check_regions((LINE,), VideoInfo("v", 150, 150, 10.0))
    with pytest.raises(UsageError, match=r"^zone 'far' leaves the frame: \(201, 0\) is not within 200×150"):
        check_regions((LINE, Region("far", np.array([[0.0, 0], [201, 0], [9, 9]]))), info)


DETS = "\n".join(f"{frame},-1,{100 + 8 * frame},50,40,80,0.9,-1,-1,-1" for frame in range(1, 41))


@pytest.fixture
def dets(tmp_path):
    path = tmp_path / "det.txt"
    path.write_text(DETS)
    return path


def test_counts_go_to_summary_json_csv_and_report(tmp_path, dets, capsys):
    zone = tmp_path / "z.json"
    zone.write_text(json.dumps({"hall": [[200, 0], [300, 0], [300, 200], [200, 200]]}))
    names = {key: tmp_path / f"out.{key}" for key in ("json", "csv", "html")}
    given = ["track", "--dets", str(dets), "--zone", str(zone), "--line", "250,0,250,200", "--line", "60,0,60,200"]
    given += ["--save-json", names["json"], "--save-counts", names["csv"], "--report", names["html"]]
    assert main([*map(str, given), "--no-progress"]) == 0
    printed = capsys.readouterr().out
    assert "counted     line 1: objects in 1, out 0" in printed
    assert "counted     line 2: nobody" in printed
    assert names["csv"].read_text().splitlines() == [
        "place,kind,class_id,class_name,in,out,visitors,most_at_once,mean_s,longest_s",
        "line 1,line,-1,,1,0,,,,",
        "line 2,line,-1,,0,0,,,,",
        "hall,zone,-1,,1,1,1,1,0.40,0.40",
    ]
    document = json.loads(names["json"].read_text())
    assert [place["name"] for place in document["counts"]] == ["line 1", "line 2", "hall"]
    assert document["counts"][0]["classes"] == [{"class_id": -1, "in": 1, "out": 0}]
    page = names["html"].read_text()
    for sentence in ("1 object crossed line 1 from left to right", "nothing crossed line 2", "1 object in hall"):
        assert f"<li>{sentence}" in page


@pytest.mark.parametrize(
    ("points", "ways"),
    [
        ([[50, 0], [50, 90]], ["from left to right", "from right to left"]),
        ([[50, 90], [50, 0]], ["from right to left", "from left to right"]),
        ([[0, 50], [90, 50]], ["from bottom to top", "from top to bottom"]),
        ([[90, 50], [0, 60]], ["from top to bottom", "from bottom to top"]),
    ],
)
def test_a_crossing_is_told_as_it_is_seen_in_the_image(points, ways):
    count = RegionCount(Region("line A", np.array(points, float)), entered=Counter({0: 12}), left=Counter({0: 1, 5: 2}))
    assert count_sentences(count, {0: "person", 5: "bus"}) == [
        f"12 persons crossed line A {ways[0]}",
        f"1 person crossed line A {ways[1]}",
        f"2 buses crossed line A {ways[1]}",
    ]


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--line", "1,2,3"], 2, "four numbers"),
        (["--line", "0,0,99999,5"], 2, "leaves the frame"),
        (["--zone", "missing.json"], 3, "does not exist"),
        (["--save-counts", "c.csv"], 2, "requires a line or a zone"),
        (["--anonymize", "mask"], 2, "invalid choice"),
    ],
)
def test_bad_places_end_the_run_before_any_work(tmp_path, dets, capsys, monkeypatch, words, code, says):
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "tracks.txt"
    out.write_text("earlier")
    try:
        ended = main(["track", "--dets", str(dets), "--save-mot", str(out), "--no-progress", *words])
    except SystemExit as stop:
        ended = stop.code
    assert ended == code
    assert says in capsys.readouterr().err
    assert out.read_text() == "earlier"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["det.txt", "tracks.txt"]


def test_lines_may_stand_in_a_configuration_file(tmp_path, dets, capsys):
    config = tmp_path / "c.toml"
    config.write_text('line = ["250,0,250,200", "60,0,60,200"]\n')
    assert main(["track", "--dets", str(dets), "--config", str(config), "--no-progress"]) == 0
    assert "line 2: nobody" in capsys.readouterr().out
    config.write_text('line = "250,0,250,200"\n')
    assert main(["track", "--dets", str(dets), "--config", str(config), "--no-progress"]) == 2
    assert "list of strings" in capsys.readouterr().err
