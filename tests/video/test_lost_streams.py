"""Streams over a network that are lost, and come back or do not. No clock is waited for: it is a list of moments."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler

import numpy as np
import pytest

from clips import numbers, write_clip
from loopback import serving
from mot_dinov3.core.errors import VideoError
from mot_dinov3.video import SourceConfig, open_source, stream
from mot_dinov3.video.stream import StreamSource


class Clock:
    """Time passes only while somebody sleeps, and a little whenever it is asked for."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@contextmanager
def sending(answers: list[bytes | None], *, sized: bool = False) -> Iterator[str]:
    """Serve one answer a connection, without a length unless `sized`; None is an error, the last one holds for ever."""
    turns = itertools.chain(answers, itertools.repeat(answers[-1]))

    def answer(request: BaseHTTPRequestHandler) -> None:
        data = next(turns)
        request.send_response(200 if data is not None else 503)
        if sized and data is not None:
            request.send_header("Content-Length", str(max(len(a) for a in answers if a is not None)))
        request.end_headers()
        request.wfile.write(data or b"")

    with serving(answer) as host:
        yield f"http://user:secret@{host}/live.ts"


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A second of a live transport stream: pictures 0 to 9, and one that the decoder holds when the sender is gone."""
    return write_clip(tmp_path_factory.mktemp("live") / "a.ts", 11, codec="mpeg2video").read_bytes()


def test_a_live_stream_goes_on_after_a_gap(sent: bytes) -> None:
    clock = Clock()
    with (
        sending([sent, None, None, sent]) as address,
        StreamSource(SourceConfig(source=address, end_frame=15), address, clock=clock, sleep=clock.sleep) as source,
    ):
        frames = list(source)
    assert [f.index for f in frames] == list(range(15)), "frames are numbered on"
    assert numbers([f.pixels() for f in frames]) == [*range(10), *range(5)]
    assert clock.slept == [0.5, 1.0, 2.0], "each wait is twice as long"
    times = np.diff([f.time for f in frames])
    np.testing.assert_allclose(np.delete(times, 9), 0.1, atol=1e-3)
    assert times[9] == pytest.approx(3.5, abs=1e-3), "what was missed is missing in the frames' times"
    (told,) = source.notices
    assert "lost after frame 9 and was reconnected after 3.5 s (3 tries)" in told
    assert "secret" not in told


def test_a_stream_that_stays_away_is_an_error_in_the_end(sent: bytes) -> None:
    clock = Clock()
    config = SourceConfig(source="x", reconnect_seconds=20)
    with (
        sending([sent, None]) as address,
        StreamSource(config, address, clock=clock, sleep=clock.sleep) as source,
    ):
        frames = iter(source)
        assert [next(frames).index for _ in range(10)] == list(range(10))
        with pytest.raises(VideoError, match="lost after 10 frames and could not be reconnected in 20 s") as caught:
            next(frames)
    assert clock.slept == [0.5, 1.0, 2.0, 4.0, 8.0]
    assert "--reconnect-seconds" in caught.value.remedy
    assert "secret" not in str(caught.value)


def test_a_clip_goes_on_behind_its_last_frame_and_ends_when_it_ends(sent: bytes) -> None:
    clock = Clock()
    with (
        sending([sent[: len(sent) // 2], sent], sized=True) as address,
        StreamSource(SourceConfig(source=address), address, clock=clock, sleep=clock.sleep) as source,
    ):
        assert numbers([f.pixels() for f in source]) == list(range(11))
    assert any("was reconnected" in told for told in source.notices)


def test_without_reconnection_a_loss_is_told_at_once(sent: bytes) -> None:
    with sending([sent]) as address, open_source(SourceConfig(source=address, reconnect_seconds=0)) as source:
        assert isinstance(source, StreamSource)
        with pytest.raises(VideoError, match="lost after 10 frames"):
            list(source)


def test_a_stream_that_flickers_for_ever_keeps_its_notices_few(sent: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "REPORTED_GAPS", 3)
    clock = Clock()
    with (
        sending([sent]) as address,
        StreamSource(SourceConfig(source=address, end_frame=85), address, clock=clock, sleep=clock.sleep) as source,
    ):
        assert sum(1 for _ in source) == 85
    assert len(source.notices) == 4
    assert "was lost 8 times, for 4.0 s in total" in source.notices[-1]
