"""Threads around source and writer change nothing but the time."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from clips import numbers, picture, write_clip
from mot_dinov3.core.errors import OutputLostError, VideoError
from mot_dinov3.core.structures import Frame, VideoInfo
from mot_dinov3.video import SourceConfig, VideoWriter, open_source
from mot_dinov3.video.threads import DEPTH, PrefetchSource, ThreadedWriter


@pytest.fixture
def clip(tmp_path):
    return write_clip(tmp_path / "clip.mp4", frames=25)


def opened(clip, **config):
    return open_source(SourceConfig(source=str(clip), **config))


def threads():
    return {t.name for t in threading.enumerate()} & {"prefetch", "video writer"}


class Scripted:
    """A source that yields a few frames, then fails or waits to be asked."""

    info = VideoInfo("scripted", 8, 8, 10.0)
    frame_total, audio_from = 0, None

    def __init__(self, frames, error=None):
        self.frames, self.error, self.notices, self.given, self.closed = frames, error, [], 0, False

    def __iter__(self):
        for frame in self.frames:
            self.given += 1
            yield frame
        if self.error:
            raise self.error

    def close(self):
        self.closed = True


class ScriptedWriter:
    def __init__(self, fail_at=None):
        self.seen, self.ended, self.fail_at, self.notices = [], "", fail_at, []

    def write(self, image, time):
        if time == self.fail_at:
            raise OutputLostError("disk full")
        self.seen.append(time)

    def close(self):
        self.ended = "closed"

    def leave(self):
        self.ended = "left"


def test_the_same_frames_come_in_order(clip):
    plain = list(opened(clip))
    with PrefetchSource(opened(clip)) as source:
        ahead = list(source)
    assert [f.index for f in ahead] == [f.index for f in plain]
    assert [f.time for f in ahead] == [f.time for f in plain]
    assert numbers([f.image for f in ahead]) == list(range(25))
    assert not threads()


def test_an_error_of_the_source_comes_after_the_frames_before_it():
    source = PrefetchSource(Scripted([1, 2, 3], VideoError("lost")))
    seen = []
    with pytest.raises(VideoError, match="lost"):
        for frame in source:
            seen.append(frame)
    assert seen == [1, 2, 3]
    source.close()


def test_it_reads_only_a_few_frames_ahead():
    inner = Scripted(iter(range(10**6)))
    source = PrefetchSource(inner)
    frames = iter(source)
    assert [next(frames) for _ in range(3)] == [0, 1, 2]
    source.close()
    assert inner.given <= 3 + DEPTH + 2
    assert inner.closed
    assert not threads()


class Live:
    """A camera that goes on while a caller is busy with the first frame, from `go` on; `sent` when all have come."""

    info, frame_total, audio_from = VideoInfo("live", 8, 8, 10.0), 0, None

    def __init__(self, indices):
        self.indices, self.notices = indices, []
        self.go, self.sent = threading.Event(), threading.Event()

    def __iter__(self):
        for place, index in enumerate(self.indices):
            if place == 1:
                self.go.wait()
            yield Frame(index, index / 10)
        self.sent.set()

    def close(self):
        self.go.set()


def test_frames_that_come_while_the_caller_is_busy_are_dropped_but_for_the_last():
    live = Live(range(5, 12))
    with PrefetchSource(live, drop=True) as source:
        frames = iter(source)
        seen = [next(frames)]
        live.go.set()
        live.sent.wait()
        seen += frames
    assert [(frame.index, frame.time) for frame in seen] == [(5, 0.5), (6, 1.1)]
    assert source.notices == ["5 of 7 frames were dropped: they came while the run was behind"]
    assert not threads()


def test_no_frame_is_dropped_otherwise():
    live = Live(range(3))
    live.go.set()
    with PrefetchSource(live) as source:
        assert [frame.index for frame in source] == [0, 1, 2]
    assert source.notices == []


def test_closing_before_the_first_frame_is_fine():
    inner = Scripted([1])
    PrefetchSource(inner).close()
    assert inner.closed


def test_what_is_written_behind_is_the_same_video(tmp_path):
    """Compared by what it shows: x264 does not promise the same bytes twice."""
    info = VideoInfo("x", 96, 64, 10.0)
    for name, wrap in (("plain.mp4", lambda w: w), ("behind.mp4", ThreadedWriter)):
        writer = wrap(VideoWriter(tmp_path / name, info=info))
        for index in range(20):
            writer.write(picture(index), index / 10)
        writer.close()
    plain, behind = (list(opened(tmp_path / name)) for name in ("plain.mp4", "behind.mp4"))
    assert [f.time for f in behind] == [f.time for f in plain]
    assert numbers([f.pixels() for f in behind]) == list(range(20))
    assert max(np.abs(a.pixels().astype(int) - b.pixels()).mean() for a, b in zip(plain, behind)) < 3
    assert not threads()


def test_a_failed_write_is_raised_in_the_callers_thread_and_nothing_hangs():
    inner = ScriptedWriter(fail_at=2)
    writer = ThreadedWriter(inner)
    image = np.zeros((2, 2, 3), np.uint8)
    with pytest.raises(OutputLostError, match="disk full"):
        for time in range(100):
            writer.write(image, time)
    with pytest.raises(OutputLostError):
        writer.close()
    writer.leave()
    assert inner.ended == "left"
    assert inner.seen == [0, 1]
    assert not threads()


def test_leaving_writes_what_waits():
    inner = ScriptedWriter()
    writer = ThreadedWriter(inner)
    for time in range(10):
        writer.write(np.zeros((2, 2, 3), np.uint8), time)
    writer.leave()
    assert inner.ended == "left"
    assert inner.seen == list(range(10))
    assert not threads()


def test_busy_time_is_counted_where_it_is_spent(clip):
    spent = []

    class Busy:
        def __enter__(self):
            spent.append(threading.current_thread().name)

        def __exit__(self, *_):
            pass

    with PrefetchSource(opened(clip), busy=Busy) as source:
        assert len(list(source)) == 25
    assert set(spent) == {"prefetch"}
    assert len(spent) == 26


class Silent(Scripted):
    """A source whose second frame never comes."""

    def __init__(self):
        super().__init__([1])
        self.released = threading.Event()

    def __iter__(self):
        yield 1
        self.released.wait(20)


def test_frames_end_while_the_next_one_is_awaited(monkeypatch):
    monkeypatch.setattr("mot_dinov3.video.threads.INTERRUPTED_JOIN_S", 0.1)
    silent, stop = Silent(), threading.Event()
    source = PrefetchSource(silent)
    source.interrupt_when(stop.is_set)
    frames = iter(source)
    assert next(frames) == 1
    assert not source.interrupted
    stop.set()
    assert list(frames) == []
    assert source.interrupted
    source.close()
    assert not silent.closed  # its thread still reads from it
    silent.released.set()
