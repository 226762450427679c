"""Index of a video's frames: their timestamps by number, and which of them are key frames.

A frame's number is its position among the frames in the order in which they are shown. Two ways fill the index.
Decoding gives the right numbers for damaged files, too, and costs as much as reading the video once; ranges are
numbered like that, so that results belong to the frames that a run from the start has. Reading the packets decodes
nothing, so that a viewer can show the end of a long video after a moment.
"""

from __future__ import annotations

import bisect


class FrameIndex:
    """Timestamps of a video's frames by number, and which of them are key frames; known as far as it was filled.

    Attributes:
        times: Timestamp of each frame, rising, in the stream's unit.
        keys: Timestamps of the key frames, which decode without others, rising.
        usable: Whether timestamps identify frames: each has one, and they rise.
    """

    def __init__(self) -> None:
        self.times: list[int] = []
        self.keys: list[int] = []
        self.usable = True
        self._pending: list[int] = []

    def add_frame(self, time: int | None, *, is_key: bool) -> None:
        """Add the next decoded frame."""
        if time is None or (self.times and time <= self.times[-1]):
            self.usable = False
            return
        if is_key:
            self.keys.append(time)
        self.times.append(time)

    def add_packet(self, pts: int | None, dts: int | None, *, is_key: bool) -> None:
        """Add the next packet. Packets come in decoding order: a number is final once no earlier time can follow."""
        time = dts if pts is None else pts
        if time is None or (self.times and time <= self.times[-1]):
            self.usable = False
            return
        bisect.insort(self._pending, time)
        if is_key:
            bisect.insort(self.keys, time)
        if dts is not None:  # no later packet is shown before this one is decoded
            final = bisect.bisect_right(self._pending, dts)
            self.times += self._pending[:final]
            del self._pending[:final]

    def finish(self) -> None:
        """Number the remaining packets: no more follow."""
        self.times += self._pending
        self._pending = []

    def number_of(self, time: int) -> int:
        """Return the number of the frame shown at `time`."""
        return max(0, bisect.bisect_right(self.times, time) - 1)

    def key_before(self, time: int) -> int | None:
        """Return the time of the last key frame at or before `time`, or None."""
        place = bisect.bisect_right(self.keys, time)
        return self.keys[place - 1] if place else None

    def seek_times(self, number: int) -> list[int]:
        """Return the timestamps to seek to for a frame, in the order to try: the last two key frames, then the start.

        The nearest key frame does not always do: frames shown behind it may depend on frames before it (open GOP), and
        some containers seek to a later one.
        """
        last = bisect.bisect_right(self.keys, self.times[number])
        return list(dict.fromkeys([*reversed(self.keys[max(0, last - 2) : last]), self.times[0]]))

    def chunk_start(self, low: int, stop: int, most: int) -> int:
        """Return where to begin reading the frames before `stop`, at most `most` of them and none before `low`.

        Chunks begin at key frames where they can, so that no frame is decoded twice.
        """
        earliest = max(low, stop - most)
        if earliest == low or earliest >= len(self.times):
            return earliest
        place = bisect.bisect_left(self.keys, self.times[earliest])
        key = self.number_of(self.keys[place]) if place < len(self.keys) else stop
        return key if key < stop else earliest
