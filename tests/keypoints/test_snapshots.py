"""Snapshots of trackers: exact, and without code of others."""

from __future__ import annotations

import pickle
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keypoints import scene
from mot_dinov3.keypoints.job.snapshots import SnapshotParts, has_snapshot, load_snapshot, save_snapshot
from mot_dinov3.keypoints.point_flow import FlowFrame

OWNER = "gap forward"


@pytest.fixture
def tracked(tmp_path: Path) -> Any:
    scene.write_video(tmp_path / "v.mp4", 8)
    scene.label(tmp_path / "v", "v", 0)
    run = scene.run(tmp_path / "v.mp4", end_frame=5)
    return run.pipeline.passes


def frame(number: int) -> FlowFrame:
    return FlowFrame.of(number, scene.picture(number))


def test_a_tracker_goes_on_exactly_as_it_was(tmp_path: Path, tracked: Any) -> None:
    path, parts = tmp_path / "t.tracker", SnapshotParts(tracked.backend, frame)
    tracked.tracker._points._before = frame(4)
    assert save_snapshot(path, OWNER, tracked.tracker, tracked.backend)
    again = load_snapshot(path, OWNER, parts)
    assert again is not None
    assert again.frame == tracked.tracker.frame == 4
    instances = scene.build_labels(tmp_path / "v.mp4")
    for number in (5, 6, 7):
        one, other = (t.step(frame(number), instances)[0] for t in (tracked.tracker, again))
        np.testing.assert_array_equal(one.xy, other.xy)
        np.testing.assert_array_equal(one.score, other.score)


def test_another_owner_or_version_does_not_use_it(tmp_path: Path, tracked: Any) -> None:
    path = tmp_path / "t.tracker"
    save_snapshot(path, OWNER, tracked.tracker, tracked.backend)
    assert has_snapshot(path, OWNER)
    assert not has_snapshot(path, "gap backward")
    path.write_bytes(b"0.0 " + path.read_bytes())
    assert load_snapshot(path, OWNER, SnapshotParts(tracked.backend, frame)) is None


class Harmful:
    """What an unpickler without restrictions would run."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return Path.touch, (self.target,)


def test_a_file_from_elsewhere_runs_no_code(tmp_path: Path, tracked: Any) -> None:
    path, target = tmp_path / "t.tracker", tmp_path / "touched"
    save_snapshot(path, OWNER, tracked.tracker, tracked.backend)
    heading = path.read_bytes().partition(b"\n")[0]
    for content in (pickle.dumps(Harmful(target)), pickle.dumps(print), pickle.dumps(scene.run), b"\x80\x05no"):
        path.write_bytes(heading + b"\n" + zlib.compress(content))
        assert load_snapshot(path, OWNER, SnapshotParts(tracked.backend, frame)) is None
    assert not target.exists()


def test_what_holds_a_network_is_not_kept(tmp_path: Path, tracked: Any) -> None:
    tracked.tracker._points._mask_tracker = Path("anything of another package")
    assert not save_snapshot(tmp_path / "t.tracker", OWNER, tracked.tracker, tracked.backend)
    assert not (tmp_path / "t.tracker").exists()
