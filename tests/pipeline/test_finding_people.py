"""How soon people are found with fewer detections: on a made video in which five people step out of doors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mot_dinov3.core.options import assemble
from mot_dinov3.core.structures import VideoInfo
from mot_dinov3.pipeline.config import TrackConfig
from mot_dinov3.pipeline.detection_scheduler import AUTO
from mot_dinov3.pipeline.wiring import build_tracking
from mot_dinov3.video import VideoWriter

WIDTH, HEIGHT, LANE = 320, 240, 48  # pixels: each person has a lane
FIRST = (10, 31, 52, 73, 94)  # frames in which they appear: with N = 5, nought to four frames after a detected one
FRAMES, STAY = 130, 36
PERSON_W, PERSON_H, STEP = 24, 40, 1.5


def box_at(person: int, index: int) -> list[float] | None:
    """The box of a person in a frame, whole pixels; None where he is not in the image."""
    age = index - FIRST[person]
    if not 0 <= age < STAY:
        return None
    x, y = 60 + 20 * person + int(STEP * age), LANE * person + 4
    return [x, y, x + PERSON_W, y + PERSON_H]


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> dict[float, dict[str, str]]:
    """The video and its detections, by frame rate."""
    rng = np.random.default_rng(0)
    background = rng.integers(100, 110, (HEIGHT, WIDTH, 3), np.uint8)
    shape = (len(FIRST), PERSON_H // 4, PERSON_W // 4, 1)
    figures = rng.integers(0, 255, shape, np.uint8).repeat(4, 1).repeat(4, 2).repeat(3, 3)
    found = {}
    for fps in (25.0, 30.0):
        folder = tmp_path_factory.mktemp(f"fps{fps:g}")
        video, records = folder / "street.mp4", []
        with VideoWriter(video, info=VideoInfo(str(video), WIDTH, HEIGHT, fps, FRAMES)) as writer:
            for index in range(FRAMES):
                image, rows = background.copy(), []
                for person, figure in enumerate(figures):
                    box = box_at(person, index)
                    if box is not None:
                        x1, y1, x2, y2 = map(int, box)
                        image[y1:y2, x1:x2] = figure
                        rows.append({"bbox": box, "score": 0.9, "class_id": 0, "class_name": "person", "det_ind": 0})
                writer.write(image, index / fps)
                records.append({"frame": index, "file": f"{index:06d}.jpg", "detections": rows})
        header = {"path": video.name, "fps": fps, "frame_count": FRAMES, "width": WIDTH, "height": HEIGHT}
        document = {"schema_version": "det-v1", "video": header, "frames": records}
        (folder / "street.json").write_text(json.dumps(document))
        found[fps] = {"source": str(video), "dets": str(folder / "street.json")}
    return found


def found_after(values: dict[str, Any], tracks: Path) -> tuple[list[int], list[int]]:
    """Frames until each person has an id as it happens, and until his first row in the file."""
    plain = {"embedder": "none", "video": False, "device": "cpu", "save_mot": str(tracks)}
    shown: dict[int, int] = {}
    with build_tracking(assemble(TrackConfig, {**values, **plain})) as job:
        for frame, rows in job.loop.results():
            for y in rows.xyxy[rows.track_id >= 1][:, [1, 3]].mean(axis=1):
                shown.setdefault(int(y // LANE), frame.index)
    written: dict[int, int] = {}
    for line in tracks.read_text().splitlines():
        index, _, _, y, _, height, *_ = map(float, line.split(","))
        person = int((y + height / 2) // LANE)
        written[person] = min(written.get(person, FRAMES), int(index) - 1)
    return tuple([when[person] - first for person, first in enumerate(FIRST)] for when in (shown, written))  # type: ignore[return-value]


@pytest.mark.parametrize("fps", [25.0, 30.0])
def test_with_every_fifth_frame_detected_people_are_found_as_soon_within_a_fifth_of_a_second(
    street: dict[float, dict[str, str]], fps: float, tmp_path: Path
) -> None:
    shown, written = found_after({**street[fps], "detect_every": 1}, tmp_path / "1.txt")
    assert (shown, written) == ([3] * 5, [0] * 5)
    shown, written = found_after({**street[fps], "detect_every": 5}, tmp_path / "5.txt")
    assert written == [0, 4, 3, 2, 1]  # the first detection; in a file, the id goes back to it
    assert shown == [5, 9, 8, 7, 6]  # the second one: between them the flow is evidence enough
    assert max(written) / fps <= 0.2
    assert np.mean(shown) / fps - 3 / fps <= 0.2


def test_planned_detections_find_people_at_once(street: dict[float, dict[str, str]], tmp_path: Path) -> None:
    shown, written = found_after({**street[25.0], "detect_every": AUTO}, tmp_path / "auto.txt")
    assert max(written) <= 1
    assert max(shown) / 25 - 3 / 25 <= 0.2
