"""Whatever a text file holds: it is read, or one clear line says what is wrong; no traceback, nothing half-written.

Every case is a file that is really written and read by the code that users' files go through, a part of them by the
whole program. Hypothesis derives them from fixed seeds, so that a run tries the same cases as the one before.
"""

from __future__ import annotations

import contextlib
import copy
import io
import json
import os
import random
import resource
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from mot_dinov3.cli import main, read_env
from mot_dinov3.core.errors import MotError
from mot_dinov3.core.option_values import read_toml
from mot_dinov3.core.options import assemble, options_of
from mot_dinov3.formats.det_v1_stream import DetectionStream
from mot_dinov3.formats.format_registry import read_recorded
from mot_dinov3.formats.labelme import read_labels, read_outlines
from mot_dinov3.formats.motchallenge import read_tracks
from mot_dinov3.formats.seqinfo import read_seqinfo
from mot_dinov3.formats.track_v1 import read_track_v1
from mot_dinov3.pipeline.config import TrackConfig

pytestmark = pytest.mark.slow

TRIED: Counter[str] = Counter()
REFUSED: Counter[str] = Counter()
RUNS = 1600 if "MOT_RELIABILITY_TABLE" in os.environ else 400  # of the whole program, whose readers are tried alone
BYTES = 100_000  # of the largest generated file; larger ones come one by one below

BOX = {"bbox": [10.0, 5.0, 30.0, 45.0], "score": 0.9, "class_id": 0, "class_name": "person", "det_ind": 0}
DET = {
    "schema_version": "det-v1",
    "video": {"path": "in.mp4", "fps": 10.0, "frame_count": 2, "width": 96, "height": 64},
    "detector": {"name": "x", "backend": "x", "weights": "w", "classes": None, "conf_thresh": 0.2, "task": "detect"},
    "frames_dir": "",
    "frames": [
        {"frame": 0, "file": "000000.jpg", "detections": [BOX, {**BOX, "bbox": [50.0, 5.0, 70.0, 45.0], "det_ind": 1}]},
        {"frame": 1, "file": "000001.jpg", "detections": [{**BOX, "keypoints": [[1, 2, 0.5]], "segments": [[[1, 2]]]}]},
    ],
}
TRACKS = copy.deepcopy(DET) | {
    "schema_version": "track-v1",
    "parent_schema_version": "det-v1",
    "tracker": {"name": "x", "class_filter": {"track_classes": None}, "config": {"track_thresh": 0.5}},
}
for _frame in TRACKS["frames"]:  # type: ignore[attr-defined]
    for _number, _record in enumerate(_frame["detections"]):
        _record["track_id"] = str(_number + 1)
POINT = {"label": "nose", "points": [[10.0, 20.0]], "group_id": 1, "shape_type": "point", "flags": {}}
LABELS = {
    "version": "5.5.0",
    "flags": {},
    "shapes": [
        POINT,
        {**POINT, "label": "mouse", "points": [[1, 1], [30, 1], [30, 30]], "shape_type": "polygon"},
        {**POINT, "label": "box", "points": [[1, 1], [30, 30]], "shape_type": "rectangle", "instance_label": "a"},
        {**POINT, "label": "mask", "points": [[1, 1], [30, 30]], "shape_type": "mask", "mask": "aGVsbG8="},
    ],
    "imagePath": "v_000000000.png",
    "imageData": None,
    "imageHeight": 64,
    "imageWidth": 96,
    "otherData": {"mot_dinov3": {"digest": "0", "frame": 0}},
}
MOT = "1,-1,10,10,20,40,0.9,-1,-1,-1\n1,-1,50,10,20,40,0.8,-1,-1,-1\n2,-1,11,10,20,40,0.9,-1,-1,-1\n"
TRUTH = "1,1,10,10,20,40,1,1,1\n1,2,50,10,20,40,1,1,0.5\n2,1,11,10,20,40,1,1,1\n"
SEQINFO = "[Sequence]\nname=a\nframeRate=10\nseqLength=2\nimWidth=96\nimHeight=64\n"
ENV = "# a comment\nMOT_A=hf_xxx\nMOT_B='quoted value'\nexport MOT_C=${MOT_A}/x\n"
TOML = 'conf = 0.3\nimgsz = 320\nclasses = "0"\nembed_refresh = 5\nlink = false\ntracker = "appearance"\n'

WEIRD_NUMBERS = [
    0,
    -1,
    -0.0,
    1,
    2**31,
    2**63,
    -(2**63) - 1,
    10**400,
    1e308,
    -1e308,
    1e-320,
    0.5,
    99_999_999,
    100_000_001,
]
NOT_A_NUMBER = [float("nan"), float("inf"), float("-inf")]
WEIRD_TEXTS = [
    "",
    " ",
    "\x00",
    "\ud800",
    "../../etc/passwd",
    "/etc/passwd",
    "a\nb",
    "é" * 100,
    "NaN",
    "1e5",
    "${HOME}",
    "-1",
]
SCALARS = [*WEIRD_NUMBERS, *NOT_A_NUMBER, *WEIRD_TEXTS, None, True, False, *range(-2, 5)]
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(SCALARS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


class Chance(random.Random):
    """Where and how a case is spoiled; what is put in is `junk`, drawn by Hypothesis."""

    def __init__(self, seed: int, junk: Any) -> None:
        super().__init__(seed)
        self._junk = junk

    def junk(self) -> Any:
        """Return something that does not belong there."""
        return copy.deepcopy(self._junk) if self.random() < 0.5 else self.choice(SCALARS)

    def name(self) -> str:
        """Return a key that nobody knows."""
        return self.choice(["", "frame_index", "xyxy", "conf", "class", "\ud800", "a" * 300, "__class__", "é"])


def places(value: Any, path: tuple = ()) -> Iterator[tuple]:
    """Yield where every part of a JSON document is."""
    yield path
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        yield from places(part, (*path, key))


def spoil_document(data: Chance, document: Any) -> Any:
    """Return a copy in which one to three parts are exchanged, left out or doubled."""
    changed = copy.deepcopy(document)
    for _ in range(data.randint(1, 3)):
        path = data.choice(list(places(changed)))
        if not path:
            return data.junk()
        holder = changed
        for key in path[:-1]:
            holder = holder[key]
        how = data.choice(["exchange", "exchange", "leave out", "double", "rename"])
        if how == "leave out":
            del holder[path[-1]]
        elif how == "double" and isinstance(holder, list):
            holder.append(copy.deepcopy(holder[path[-1]]))
        elif how == "rename" and isinstance(holder, dict):
            holder[data.name()] = holder.pop(path[-1])
        else:
            holder[path[-1]] = data.junk()
    return changed


def spoil_text(data: Chance, text: bytes) -> bytes:
    """Return the bytes of a file, cut, overwritten, repeated, or in another encoding."""
    how = data.choice(["cut", "overwrite", "insert", "repeat", "encode", "swap", "deep"])
    at = data.randint(0, len(text))
    if how == "cut":
        return text[:at]
    if how == "overwrite":
        new = data.randbytes(data.randint(1, 8))
        return text[:at] + new + text[at + len(new) :]
    if how == "insert":
        pieces = [
            b"\xef\xbb\xbf",
            b"\x00",
            b"9" * 5000,
            b"1e999",
            b"NaN",
            b"-",
            b'"',
            b"{",
            b"]",
            b",",
            b"\n\n",
            b"\\u0000",
        ]
        return text[:at] + data.choice(pieces) + text[at:]
    if how == "repeat":
        until = data.randint(at, len(text))
        return text[:at] + text[at:until] * data.randint(2, 5) + text[until:]
    if how == "encode":
        return text.decode("utf-8", "replace").encode(data.choice(["utf-16", "utf-32", "utf-8-sig", "cp037"]))
    if how == "swap":
        old, new = data.choice([(b":", b"="), (b",", b";"), (b"[", b"{"), (b"0", b"\xd9\xa0"), (b"1", b"-")])
        return text.replace(old, new)
    depth = data.randint(100, 20_000)
    return text[:at] + b"[" * depth + b"]" * depth + text[at:]


def spoiled_json(data: Chance, document: Any) -> bytes:
    """Return a spoiled document, and sometimes its text spoiled on top."""
    text = json.dumps(spoil_document(data, document)).encode()
    if data.random() < 0.25:
        text = spoil_text(data, text)
    return text[:BYTES]


def spoiled_lines(data: Chance, text: str) -> bytes:
    """Return rows in which one field is exchanged, or the text is spoiled."""
    if data.random() < 0.5:
        return spoil_text(data, text.encode())[:BYTES]
    rows = text.splitlines()
    row = data.randrange(len(rows))
    for mark in (",", "="):
        if mark in rows[row]:
            fields = rows[row].split(mark)
            fields[data.randrange(len(fields))] = str(data.junk())
            rows[row] = mark.join(fields)
            break
    return "\n".join(rows).encode("utf-8", "surrogatepass")


def fuzz(kind: str, cases: int, make: Callable[[Chance], bytes], use: Callable[[bytes], object]) -> None:
    """Try `cases` files; `use` must return, or raise one of our errors with one line."""

    @settings(
        max_examples=cases,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.generate],  # a case that fails is told as it is: looking for a smaller one takes minutes
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.integers(0, 2**63), JUNK)
    def attempt(seed: int, junk: Any) -> None:
        content = make(Chance(seed, junk))
        TRIED[kind] += 1
        refusal = None
        try:
            use(content)
        except MotError as error:
            refusal = error
        if refusal is not None:
            REFUSED[kind] += 1
            assert refusal.exit_code in (2, 3)
            assert refusal.message.isprintable()
            assert 0 < len(refusal.message) < 1500

    attempt()


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_detections() -> None:
    def use(content: bytes) -> None:
        Path("d.json").write_bytes(content)
        with contextlib.suppress(MotError), DetectionStream("d.json") as stream:
            for record in stream:
                assert record.index >= 0
        with contextlib.suppress(MotError), DetectionStream("d.json") as stream:
            assert all(record.index >= 0 for record in stream)
        read_recorded("d.json")

    fuzz("det-v1", 2600, lambda data: spoiled_json(data, DET), use)


def test_tracks() -> None:
    def use(content: bytes) -> None:
        Path("t.json").write_bytes(content)
        read_track_v1("t.json")

    fuzz("track-v1", 1200, lambda data: spoiled_json(data, TRACKS), use)


def test_labels() -> None:
    frame, lines = Path("v_000000000.json"), Path("v_annotations.ndjson")

    def use(content: bytes) -> None:
        frame.write_bytes(content)
        lines.write_bytes(content.replace(b"\n", b" "))
        with contextlib.suppress(MotError):
            read_outlines(frame)
        try:
            read_labels(Path(), "v", (96, 64))
        finally:
            frame.unlink()
        read_labels(Path(), "v", (96, 64))

    fuzz("LabelMe", 2000, lambda data: spoiled_json(data, LABELS), use)


def test_motchallenge() -> None:
    def use(content: bytes) -> None:
        Path("d.txt").write_bytes(content)
        with contextlib.suppress(MotError):
            read_tracks("d.txt")
        read_recorded("d.txt")

    fuzz("MOT", 1600, lambda data: spoiled_lines(data, data.choice([MOT, TRUTH])), use)


def test_seqinfo() -> None:
    def use(content: bytes) -> None:
        Path("seqinfo.ini").write_bytes(content)
        read_seqinfo(Path("seqinfo.ini"))

    fuzz("seqinfo", 600, lambda data: spoiled_lines(data, SEQINFO), use)


def test_env(monkeypatch: pytest.MonkeyPatch) -> None:
    def use(content: bytes) -> None:
        before = dict(os.environ)
        Path(".env").write_bytes(content)
        try:
            read_env(Path(".env"))
        finally:
            for name in set(os.environ) - set(before):
                del os.environ[name]
        assert dict(os.environ) == before  # what is set already wins

    fuzz(".env", 600, lambda data: spoiled_lines(data, ENV), use)


def test_toml() -> None:
    options = options_of(TrackConfig)
    keys = [option.key for option in options]

    def make(data: Chance) -> bytes:
        if data.random() < 0.5:
            return spoiled_lines(data, TOML)
        key = data.choice(keys)
        toml = ["nan", "inf", "-inf", "1_0", "0x10", "[]", "{}", "1979-05-27", '"""', "'a'", "[1, [2, {x = 3}]]"]
        value = data.choice([*toml, data.junk()])
        return f"{key} = {value if isinstance(value, str) else json.dumps(value)}\n".encode("utf-8", "surrogatepass")

    def use(content: bytes) -> None:
        Path("c.toml").write_bytes(content)
        assemble(TrackConfig, read_toml(Path("c.toml"), options))

    fuzz("TOML", 1000, make, use)


def test_the_whole_program() -> None:
    """One run of ours per case: its output is whole or as it was, and its exit code and lines are the promised ones."""
    result = Path("tracks.json")
    numbers = {"conf", "imgsz", "fps", "track_buffer", "embed_refresh", "start_frame", "end_frame"}
    keys = [option.key for option in options_of(TrackConfig) if option.type in (int, float, bool)] + sorted(numbers)

    def make(data: Chance) -> bytes:
        kind = data.choice([".json", ".json", ".txt", ".toml"])
        if kind == ".json":
            text = spoiled_json(data, DET)
        elif kind == ".txt":
            text = spoiled_lines(data, MOT)
        else:
            value = data.choice([*WEIRD_NUMBERS, *NOT_A_NUMBER, True, False])
            written = json.dumps(value).replace("NaN", "nan").replace("Infinity", "inf")
            text = f"{data.choice(keys)} = {written}\n".encode()
        return kind.encode() + b" " + text

    def use(content: bytes) -> None:
        kind, _, text = content.partition(b" ")
        given_file = Path(f"in{kind.decode()}")
        given_file.write_bytes(text)
        Path("good.json").write_text(json.dumps(DET))
        dets, more = (given_file, []) if kind != b".toml" else (Path("good.json"), ["--config", str(given_file)])
        result.write_text("earlier")
        command = ["--dets", str(dets), "--save-json", str(result), "--no-record", "--no-progress", *more]
        if b"99999999" in text:  # a recording of 38 days is believed, and takes its time to track: it is only read
            read_recorded(dets)
            return
        said, told = io.StringIO(), io.StringIO()
        with contextlib.redirect_stderr(told), contextlib.redirect_stdout(said):
            code = main(command)
        error = told.getvalue()
        assert "Traceback" not in error
        assert code in (0, 2, 3), error
        if code == 0:
            assert json.loads(result.read_text())["schema_version"] == "track-v1"
        else:
            REFUSED["program"] += 1
            assert result.read_text() == "earlier"
            assert len([line for line in error.splitlines() if line.startswith("error: ")]) == 1
        assert [path.name for path in Path().iterdir() if ".part" in path.name] == []

    fuzz("program", RUNS, make, use)


def large(digits: int) -> Iterator[bytes]:
    yield b'{"schema_version": "det-v1", "frames": ['
    for _ in range(digits >> 20):
        yield b"9" * (1 << 20)
    yield b"]}"


def test_files_that_would_fill_the_memory(reliability: Callable[[str, str], None]) -> None:
    """A number of a gigabyte, a line of one, a nest of a million, a folder, a pipe, a device."""
    with Path("number.json").open("wb") as file:
        file.writelines(large(1 << 30))
    os.link("number.json", "number.txt")
    os.link("number.json", "number.toml")
    os.link("number.json", "v_000000000.json")
    Path("deep.json").write_bytes(b"[" * 1_000_000)
    Path("folder.json").mkdir()
    os.mkfifo("pipe.json")
    Path("device.json").symlink_to("/dev/zero")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    readers: list[tuple[str, Callable[[str], object]]] = [
        *((f"{name}.json", read_recorded) for name in ("number", "deep", "folder", "pipe", "device")),
        *((f"{name}.json", lambda path: list(DetectionStream(path))) for name in ("number", "deep", "folder", "pipe")),
        ("number.txt", read_recorded),
        ("number.txt", read_tracks),
        ("number.toml", lambda path: read_toml(Path(path), options_of(TrackConfig))),
        ("folder.json", lambda path: read_toml(Path(path), options_of(TrackConfig))),
        ("pipe.json", lambda path: read_toml(Path(path), options_of(TrackConfig))),
        ("number.txt", lambda path: read_seqinfo(Path(path))),
        ("number.txt", lambda path: read_env(Path(path))),
        (".", lambda path: read_labels(Path(path), "v", (96, 64))),
    ]
    for path, read in readers:
        with pytest.raises(MotError):
            read(path)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    reliability(
        "Hostile text", f"{len(readers)} reads of 1 GB numbers, deep nesting, folders, pipes: at most +{grown:.0f} MB"
    )
    assert grown < 600


def test_ten_thousand_cases_were_tried(reliability: Callable[[str, str], None]) -> None:
    """The last of this file: what the tests above have counted."""
    seconds = time.process_time()
    each = ", ".join(f"{kind} {count}" for kind, count in TRIED.items())
    total, refused = sum(TRIED.values()), sum(REFUSED.values())
    figure = f"{total} cases ({each}): {total - refused} read, {refused} refused, 0 tracebacks, {seconds:.0f} s of CPU"
    reliability("Hostile text", figure)
    assert total >= 10_000, "run the whole file"
