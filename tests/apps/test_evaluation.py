"""Scores: hand-computed cases, TrackEval's own dataset class as the judge, known scores of real files."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

import mot_dinov3
from mot_dinov3.apps.evaluation import (
    COMBINED,
    BoxTable,
    Scores,
    SequencePair,
    load_pairs,
    participation_notices,
    score,
)
from mot_dinov3.cli import evaluate
from mot_dinov3.core.errors import FormatError, InputError, UsageError


def table(rows: list[tuple[float, ...]], *, counted: list[bool] | None = None, classes: list[int] | None = None):
    """Rows of (frame, id, x): boxes of 10 × 10 pixels."""
    data = np.array(rows, np.float64).reshape(-1, 3)
    n = len(data)
    return BoxTable(
        frame=data[:, 0].astype(np.int64),
        track_id=data[:, 1].astype(np.int64),
        xywh=np.stack([data[:, 2], np.zeros(n), np.full(n, 10.0), np.full(n, 10.0)], axis=1),
        counted=np.ones(n, np.bool_) if counted is None else np.array(counted),
        class_id=None if classes is None else np.array(classes),
    )


def one(truth: BoxTable, tracks: BoxTable) -> Scores:
    return score([SequencePair("a", truth, tracks)])["a"]


def test_perfect_tracks_score_100():
    truth = table([(0, 1, 0), (1, 1, 5), (0, 2, 100), (1, 2, 100)])
    tracks = table([(0, 7, 0), (1, 7, 5), (0, 9, 100), (1, 9, 100)])
    assert one(truth, tracks) == Scores(100, 100, 100, 100, 100, 0, 0, 100)


def test_a_part_of_the_frames_is_scored_alone():
    truth = table([(0, 1, 0), (1, 1, 5), (2, 1, 9), (3, 1, 12)], counted=[True, True, True, False])
    assert one(truth.between(1, 3), table([(1, 7, 5), (2, 7, 9)])).hota == 100
    assert truth.between(2, None).frame.tolist() == [2, 3]
    assert truth.between(2, None).counted.tolist() == [True, False]


def test_a_switch_costs_association_but_not_detection():
    truth = table([(f, 1, 0) for f in range(4)])
    scores = one(truth, table([(0, 1, 0), (1, 1, 0), (2, 2, 0), (3, 2, 0)]))
    # Each half overlaps 2 of 4 truth boxes: AssA = ½; MOTA loses one of four; IDF1 = 2·2 / (4 + 4).
    assert scores.deta == pytest.approx(100)
    assert scores.assa == pytest.approx(50)
    assert scores.hota == pytest.approx(100 * 0.5**0.5)
    assert (scores.mota, scores.idf1) == (pytest.approx(75), pytest.approx(50))
    assert (scores.switches, scores.fragmentations) == (1, 0)


def test_a_gap_is_a_fragmentation():
    scores = one(table([(f, 1, 0) for f in range(3)]), table([(0, 1, 0), (1, 5, 500), (2, 1, 0)]))
    assert (scores.switches, scores.fragmentations) == (0, 1)
    assert scores.mota == pytest.approx(100 * (2 - 1) / 3)


def test_ignored_truth_is_no_truth_and_its_box_is_false_in_mot15():
    truth = table([(0, 1, 0), (0, 2, 100)], counted=[True, False])
    assert one(truth, table([(0, 1, 0), (0, 2, 100)])).mota == pytest.approx(0)


def test_boxes_on_distractors_are_neither_right_nor_wrong():
    truth = table([(0, 1, 0), (0, 2, 100), (0, 3, 200)], counted=[True, False, False], classes=[1, 8, 3])
    tracks = table([(0, 1, 0), (0, 2, 101), (0, 3, 200)])
    assert one(truth, tracks).mota == pytest.approx(0)  # the car is no distractor: one false box against one truth
    assert one(truth, table([(0, 1, 0), (0, 2, 101)])).mota == pytest.approx(100)
    assert one(truth, table([(0, 1, 0), (0, 2, 106)])).mota == pytest.approx(0)  # IoU ¼: not on the distractor


def test_non_motor_vehicles_are_distractors_in_mot20_only():
    truth = table([(0, 1, 0), (0, 2, 100)], classes=[1, 6])
    tracks = table([(0, 1, 0), (0, 2, 100)])
    scores = score([SequencePair("MOT20-01", truth, tracks), SequencePair("MOT17-02", truth, tracks)])
    assert (scores["MOT20-01"].mota, scores["MOT17-02"].mota) == (pytest.approx(100), pytest.approx(0))


def test_combined_weighs_boxes_not_sequences():
    whole = SequencePair("a", table([(f, 1, 0) for f in range(3)]), table([(f, 1, 0) for f in range(3)]))
    missed = SequencePair("b", table([(0, 1, 0)]), table([]))
    scores = score([whole, missed])
    assert list(scores) == ["a", "b", COMBINED]
    assert scores["b"] == Scores(0, 0, 0, 0, 0, 0, 0)
    assert scores[COMBINED].mota == pytest.approx(75)
    assert scores[COMBINED].deta == pytest.approx(75)


def test_no_tracks_and_no_truth_are_scored_without_warnings():
    assert one(table([]), table([])).hota == 0


def test_names_must_differ():
    pair = SequencePair("a", table([(0, 1, 0)]), table([]))
    with pytest.raises(UsageError, match="one name each"):
        score([pair, pair])


def synthetic_mot17(seed: int) -> tuple[list[str], list[str]]:
    """Truth of many classes with ignored rows; tracks with drops, jitter, switches and false boxes."""
    rng = np.random.default_rng(seed)
    truth, tracks = [], []
    classes = [1, 1, 1, 1, 1, 2, 3, 7, 8, 12, 6, 1]
    start = rng.uniform(0, 300, (len(classes), 2))
    speed = rng.normal(0, 3, (len(classes), 2))
    for frame in range(40):
        for i, class_id in enumerate(classes):
            x, y = start[i] + frame * speed[i]
            counted = class_id == 1 and i != 11
            truth.append(f"{frame + 1},{i + 1},{x:.0f},{y:.0f},40,90,{counted:d},{class_id},0.5")
            if rng.random() < 0.85:
                dx, dy = rng.normal(0, 4, 2)
                track_id = i + 1 + (20 if frame > 25 and i % 3 == 0 else 0)
                tracks.append(f"{frame + 1},{track_id},{x + dx:.1f},{y + dy:.1f},41.5,88,0.9,-1,-1,-1")
        tracks.append(f"{frame + 1},{100 + frame},{rng.uniform(0, 300):.1f},50.0,40,90,0.4,-1,-1,-1")
    return truth, tracks


def judge(folder: Path, names: list[str], benchmark: str) -> dict[str, Scores]:
    """Scores by TrackEval's own dataset class, from the files in `folder`."""
    from trackeval.datasets import MotChallenge2DBox
    from trackeval.metrics import CLEAR, HOTA, Identity

    config = {
        "GT_FOLDER": str(folder / "gt"),
        "TRACKERS_FOLDER": str(folder / "results"),
        "TRACKERS_TO_EVAL": ["us"],
        "TRACKER_SUB_FOLDER": "",
        "BENCHMARK": benchmark,
        "SKIP_SPLIT_FOL": True,
        "SEQ_INFO": dict.fromkeys(names, 40),
        "PRINT_CONFIG": False,
    }
    dataset = MotChallenge2DBox(config)
    metrics = [HOTA(), CLEAR({"PRINT_CONFIG": False}), Identity({"PRINT_CONFIG": False})]
    per_sequence = {}
    for name in names:
        data = dataset.get_preprocessed_seq_data(dataset.get_raw_seq_data("us", name), "pedestrian")
        per_sequence[name] = [metric.eval_sequence(data) for metric in metrics]
    combined = [m.combine_sequences({n: r[i] for n, r in per_sequence.items()}) for i, m in enumerate(metrics)]
    return {
        name: Scores(
            *(100 * hota[key].mean() for key in ("HOTA", "DetA", "AssA")),
            100 * clear["MOTA"],
            100 * identity["IDF1"],
            int(clear["IDSW"]),
            int(clear["Frag"]),
        )
        for name, (hota, clear, identity) in {**per_sequence, COMBINED: combined}.items()
    }


@pytest.mark.parametrize("benchmark", ["MOT17", "MOT15", "MOT20"])
def test_equal_to_trackevals_own_dataset_class(tmp_path: Path, benchmark: str):
    names = [f"{benchmark}-A", f"{benchmark}-B"]
    for seed, name in enumerate(names):
        truth, tracks = synthetic_mot17(seed)
        if benchmark == "MOT15":  # the last two columns are world coordinates there
            truth = [",".join([*line.split(",")[:7], "-1", "-1", "-1"]) for line in truth]
        (tmp_path / "gt" / name / "gt").mkdir(parents=True)
        (tmp_path / "gt" / name / "gt" / "gt.txt").write_text("\n".join(truth))
        (tmp_path / "results" / "us").mkdir(parents=True, exist_ok=True)
        (tmp_path / "results" / "us" / f"{name}.txt").write_text("\n".join(tracks))
    ours = score(load_pairs([tmp_path / "gt"], [tmp_path / "results" / "us"]))
    theirs = judge(tmp_path, names, benchmark)
    assert list(ours) == list(theirs)
    for name in ours:
        common = {key: value for key, value in vars(ours[name]).items() if key not in ("purity", "mixed_seconds")}
        expected = {key: vars(theirs[name])[key] for key in common}
        assert common == pytest.approx(expected, abs=1e-9), name
    assert 20 < ours[COMBINED].hota < 90
    assert ours[COMBINED].switches > 0


def test_known_scores_of_the_reference_files(shared: Path):
    folder = shared / "data" / "evaluation_reference"
    names = ["TUD-Campus", "TUD-Stadtmitte"]
    scores = score(load_pairs([folder / n / "gt.txt" for n in names], [folder / n / "test.txt" for n in names]))
    assert list(scores) == [*names, COMBINED]
    assert round(scores["TUD-Campus"].mota, 1) == 52.6
    assert round(scores["TUD-Campus"].idf1, 1) == 55.8
    assert round(scores["TUD-Stadtmitte"].mota, 1) == 56.4
    assert round(scores["TUD-Stadtmitte"].idf1, 1) == 64.5


def write(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def command(*argv: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    evaluate.add_arguments(parser)
    return parser.parse_args(argv)


TRUTH = "1,1,10,10,50,50,1,-1,-1,-1"
TRACK = "1,4,10,10,50,50,1,-1,-1,-1"


def test_the_public_function_takes_a_file_several_or_folders(tmp_path: Path):
    truth, tracks = write(tmp_path / "gt" / "a.txt", TRUTH), write(tmp_path / "found" / "a.txt", TRACK)
    expected = score(load_pairs([truth], [tracks]))
    assert mot_dinov3.evaluate(truth, str(tracks)) == mot_dinov3.evaluate([truth], [str(tracks)]) == expected
    assert mot_dinov3.evaluate(tmp_path / "gt", tmp_path / "found") == expected


def test_folders_are_matched_by_name_in_both_layouts(tmp_path: Path):
    write(tmp_path / "gt" / "b.txt", TRUTH)
    write(tmp_path / "gt" / "a" / "gt" / "gt.txt", TRUTH)
    for name in ("a", "b", "unknown"):
        write(tmp_path / "results" / f"{name}.txt", TRACK)
    assert list(score(load_pairs([tmp_path / "gt"], [tmp_path / "results"]))) == ["a", "b", COMBINED]


def test_a_sequence_without_tracks_is_named(tmp_path: Path):
    write(tmp_path / "gt" / "a.txt", TRUTH)
    write(tmp_path / "gt" / "lonely.txt", TRUTH)
    write(tmp_path / "results" / "a.txt", TRACK)
    with pytest.raises(InputError, match="lonely"):
        load_pairs([tmp_path / "gt"], [tmp_path / "results"])


def test_pairs_must_be_complete(tmp_path: Path):
    truth = write(tmp_path / "gt.txt", TRUTH)
    with pytest.raises(UsageError, match="2 ground truth files but 1 track"):
        load_pairs([truth, truth], [truth])
    with pytest.raises(UsageError, match="one folder each"):
        load_pairs([tmp_path], [truth])


def test_truth_files_get_the_name_of_their_sequence(tmp_path: Path):
    paths = [
        write(tmp_path / "SEQ" / "gt" / "gt.txt", TRUTH),
        write(tmp_path / "CAMPUS" / "gt.txt", TRUTH),
        write(tmp_path / "other.txt", TRUTH),
        write(tmp_path / "again" / "other.txt", TRUTH),
    ]
    tracks = write(tmp_path / "tracks.txt", TRACK)
    assert [p.name for p in load_pairs(paths, [tracks] * 4)] == ["SEQ", "CAMPUS", "other", "other#2"]


def test_the_command_prints_a_table_or_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    files = ["--gt", str(write(tmp_path / "a.txt", TRUTH)), "--tracks", str(write(tmp_path / "t.txt", TRACK))]
    assert evaluate.run(command(*files)) == 0
    header, first, last = capsys.readouterr().out.splitlines()
    assert header.split() == ["HOTA", "DetA", "AssA", "MOTA", "IDF1", "IDSW", "Frag", "Purity", "Mixed"]
    assert first.split() == ["a", *["100.00"] * 5, "0", "0", "100.00", "0.00"]
    assert last.split()[0] == COMBINED
    assert evaluate.run(command(*files, "--json")) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["a"]["idf1"] == 100
    assert printed["a"] == printed[COMBINED]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("2,1,10,10,50", "column"),
        ("2,1,ten,10,50,50,1,-1,-1,-1", "ten"),
        ("1,4,12,10,50,50,1,-1,-1,-1", "already"),
        ("2,-1,12,10,50,50,1,-1,-1,-1", "id"),
        ("0,3,12,10,50,50,1,-1,-1,-1", "frame"),
    ],
)
def test_a_wrong_tracks_file_says_which_line_and_why(tmp_path: Path, line: str, why: str):
    truth = write(tmp_path / "gt.txt", TRUTH)
    tracks = write(tmp_path / "tracks.txt", TRACK, line)
    with pytest.raises(FormatError, match=f"(?i)tracks.txt.*line 2.*({why})"):
        load_pairs([truth], [tracks])


def test_a_wrong_truth_file_says_which_line_and_why(tmp_path: Path):
    tracks = write(tmp_path / "tracks.txt", TRACK)
    with pytest.raises(FormatError, match=r"gt.txt.*line 2"):
        load_pairs([write(tmp_path / "gt.txt", TRUTH, "1,2,10,10,fifty,50,1,-1,-1,-1")], [tracks])
    with pytest.raises(FormatError, match=r"gt.txt.*frame 1, id 2.*class 99"):
        load_pairs([write(tmp_path / "gt.txt", "1,2,10,10,50,50,1,99,1.0")], [tracks])


def test_tracks_may_be_track_v1_with_smoothed_boxes(tmp_path: Path):
    truth = write(tmp_path / "gt.txt", "1,1,10,10,50,50,1,-1,-1,-1", "2,1,20,10,50,50,1,-1,-1,-1")
    frames = [
        {
            "frame": 0,
            "file": "",
            "detections": [{"bbox": [10, 10, 60, 60], "score": 1, "class_id": 0, "track_id": "3"}],
        },
        {
            "frame": 1,
            "file": "",
            "detections": [
                {"bbox": [0, 0, 9, 9], "score": 1, "class_id": 0, "track_id": "3", "track_bbox": [20, 10, 70, 60]},
                {"bbox": [300, 0, 390, 90], "score": 1, "class_id": 0},
            ],
        },
    ]
    document = {"schema_version": "track-v1", "parent_schema_version": "det-v1", "frames": frames}
    tracks = write(tmp_path / "tracks.json", json.dumps(document))
    assert score(load_pairs([truth], [tracks]))[COMBINED] == Scores(100, 100, 100, 100, 100, 0, 0, 100)
    frames[1]["detections"][1]["track_id"] = "3"
    write(tracks, json.dumps(document))
    with pytest.raises(FormatError, match=r"tracks.json.*frame 1.*track_id 3 occurs twice"):
        load_pairs([truth], [tracks])


def test_an_empty_result_is_a_result(tmp_path: Path):
    truth, tracks = write(tmp_path / "gt.txt", TRUTH), write(tmp_path / "tracks.txt")
    assert score(load_pairs([truth], [tracks]))[COMBINED] == Scores(0, 0, 0, 0, 0, 0, 0)
    with pytest.raises(FormatError, match=r"gt.txt.*empty"):
        load_pairs([write(tmp_path / "gt.txt")], [tracks])


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(FormatError, match=r"nowhere.txt.*does not exist"):
        load_pairs([write(tmp_path / "gt.txt", TRUTH)], [tmp_path / "nowhere.txt"])


def test_purity_and_mixed_seconds_of_a_track_that_changes_its_object(tmp_path: Path):
    # Track 1 is on object 1 for 6 frames, then on object 2 for 4: its main identity has 6 of 10 boxes. Track 2 is on
    # object 3 for 10. Purity 16 of 20; track 1 mixes identities for its 10 frames, a second at 10 fps.
    truth = table([(f, 1, 0) for f in range(10)] + [(f, 2, 100) for f in range(10)] + [(f, 3, 200) for f in range(10)])
    tracks = table([(f, 1, 0 if f < 6 else 100) for f in range(10)] + [(f, 2, 200) for f in range(10)])
    scores = score([SequencePair("a", dataclasses.replace(truth, fps=10.0), tracks)])["a"]
    assert (scores.purity, scores.mixed_seconds) == (pytest.approx(80), pytest.approx(1))


def test_an_object_that_changes_its_track_mixes_nothing():
    scores = one(table([(f, 1, 0) for f in range(4)]), table([(0, 1, 0), (1, 1, 0), (2, 2, 0), (3, 2, 0)]))
    assert (scores.switches, scores.purity, scores.mixed_seconds) == (1, 100, 0)


def test_a_false_box_is_on_no_object_and_its_frames_count_as_seconds_of_a_mixed_track():
    truth = table([(0, 1, 0), (1, 1, 0), (2, 2, 100)])
    tracks = table([(0, 1, 0), (1, 1, 0), (2, 1, 100), (3, 1, 500)])
    scores = one(truth, tracks)
    assert (scores.purity, scores.mixed_seconds) == (pytest.approx(200 / 3), pytest.approx(4 / 30))
    assert one(truth, table([(0, 1, 700)])).purity is None


def test_a_pair_stays_together_while_it_overlaps_enough():
    # Two boxes approach until either track overlaps either object by more than half, the other one more.
    truth = table([(0, 1, 0), (1, 1, 0), (0, 2, 100), (1, 2, 2)])
    tracks = table([(0, 1, 0), (1, 1, 2), (0, 2, 100), (1, 2, 0)])
    assert (one(truth, tracks).purity, one(truth, tracks).mixed_seconds) == (100, 0)


def test_figures_of_all_sequences_are_those_of_their_boxes():
    pure = SequencePair("a", table([(f, 1, 0) for f in range(8)]), table([(f, 1, 0) for f in range(8)]))
    mixed = SequencePair("b", table([(0, 1, 0), (1, 2, 0)]), table([(0, 1, 0), (1, 1, 0)]))
    scores = score([pure, mixed])
    assert [scores[name].purity for name in ("a", "b", COMBINED)] == [100, 50, pytest.approx(90)]
    assert scores[COMBINED].mixed_seconds == pytest.approx(2 / 30)


def rows_of(class_id: int, identity: int, *, flag: int = 1) -> list[str]:
    return [f"{f},{identity},{100 * identity + f},50,40,80,{flag},{class_id},1.0" for f in range(1, 11)]


def run_evaluate(tmp_path: Path, truth: list[str], capsys: pytest.CaptureFixture[str], *options: str):
    tracks = [line for i in (1, 2, 3) for line in rows_of(-1, i)]
    gt, found = write(tmp_path / "gt" / "t.txt", *truth), write(tmp_path / "found.txt", *tracks)
    assert evaluate.run(command("--gt", str(gt), "--tracks", str(found), "--json", *options)) == 0
    printed = capsys.readouterr()
    return json.loads(printed.out)["t"], printed.err


def test_rows_that_do_not_take_part_are_counted_with_their_reason(tmp_path: Path, capsys) -> None:
    scores, told = run_evaluate(tmp_path, [*rows_of(3, 1), *rows_of(3, 2), *rows_of(1, 3, flag=0)], capsys)
    assert (scores["mota"], scores["hota"]) == (None, 0)
    assert "t: 0 of 30 rows of the ground truth take part; not: 10 marked to be ignored, 20 of class 3 (car)" in told
    assert "--eval-classes" in told
    scores, told = run_evaluate(tmp_path, [line for i in (1, 2, 3) for line in rows_of(1, i)], capsys)
    assert scores["mota"] == 100
    assert "all 30 rows of the ground truth take part" in told


@pytest.mark.parametrize("classes", ["3", "car", "2,car", "all"])
def test_classes_of_the_users_choice_count(tmp_path: Path, capsys, classes: str) -> None:
    truth = [*rows_of(3, 1), *rows_of(3, 2), *rows_of(2, 3)]
    scores, told = run_evaluate(tmp_path, truth, capsys, "--eval-classes", classes)
    assert (scores["hota"], scores["mota"]) == (100, 100)  # boxes on other objects are ignored
    assert ("10 of class 2" in told) == (classes in ("3", "car"))


def test_classes_of_another_numbering_can_be_evaluated(tmp_path: Path, capsys) -> None:
    truth = [line for i in (1, 2, 3) for line in rows_of(40, i)]
    scores, _ = run_evaluate(tmp_path, truth, capsys, "--eval-classes", "40")
    assert scores["hota"] == 100
    with pytest.raises(FormatError, match="class 40 is unknown"):
        run_evaluate(tmp_path, truth, capsys)
    with pytest.raises(UsageError, match="unknown class '7'"):
        run_evaluate(tmp_path, truth, capsys, "--eval-classes", "7")


def test_classes_of_other_formats_are_chosen_by_name(tmp_path: Path) -> None:
    boxes = [(i, name) for i, name in enumerate(("car", "person"))]
    lines = [f"{f},{i},{100 * i},0,{100 * i + 50},50,{i},{name}" for f in range(4) for i, name in boxes]
    header = "frame,track_id,x1,y1,x2,y2,class_id,class_name"
    truth = write(tmp_path / "gt.csv", header, *lines)
    tracks = write(tmp_path / "t.csv", header, *(line for line in lines if "car" in line))
    assert mot_dinov3.evaluate(truth, tracks)[COMBINED].mota == 50
    assert mot_dinov3.evaluate(truth, tracks, classes="car")[COMBINED].mota == 100
    assert mot_dinov3.evaluate(truth, tracks, classes="person")[COMBINED].mota == 0


@pytest.mark.parametrize(("truth", "tracks", "told"), [(100, 12, True), (12, 100, True), (100, 98, False)])
def test_ranges_that_differ_are_told(truth: int, tracks: int, told: bool) -> None:
    pair = SequencePair("a", table([(f, 1, 0) for f in range(truth)]), table([(f, 1, 0) for f in range(tracks)]))
    notices = participation_notices([pair])
    assert any(f"frames 0 to {truth - 1}, the tracks 0 to {tracks - 1}" in line for line in notices) == told


@pytest.mark.parametrize(("shift", "where"), [(1, "one frame earlier"), (-1, "one frame later"), (0, None)])
def test_tracks_that_count_frames_from_another_number_are_told(shift: int, where: str | None) -> None:
    rows = [(f, i, 100 * i + 4 * f) for f in range(1, 1500) for i in (1, 2)]
    pair = SequencePair("a", table(rows), table([(f + shift, i, x) for f, i, x in rows if i == 1]))
    fitting = [line for line in participation_notices([pair]) if "fit the ground truth better" in line]
    assert len(fitting) == (where is not None)
    assert where is None or where in fitting[0]


def test_the_frame_rate_is_that_of_the_files_or_the_option(tmp_path: Path, capsys) -> None:
    truth = write(tmp_path / "s" / "gt" / "gt.txt", "1,1,0,0,9,9,1,1,1", "2,2,0,0,9,9,1,1,1")
    tracks = write(tmp_path / "t.txt", "1,1,0,0,9,9,1,-1,-1,-1", "2,1,0,0,9,9,1,-1,-1,-1")
    files = ["--gt", str(truth), "--tracks", str(tracks), "--json"]

    def seconds(*options: str) -> float:
        assert evaluate.run(command(*files, *options)) == 0
        return float(json.loads(capsys.readouterr().out)["s"]["mixed_seconds"])

    assert seconds() == pytest.approx(2 / 30)
    assert seconds("--fps", "5") == pytest.approx(2 / 5)
    write(tmp_path / "s" / "seqinfo.ini", "[Sequence]", "frameRate=4")
    assert seconds() == pytest.approx(2 / 4)
