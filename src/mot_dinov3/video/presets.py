"""Encoder preset of H.264 by measured headroom (`--preset auto`): the smallest files that do not slow the run down."""

from __future__ import annotations

import dataclasses
import io
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction

from mot_dinov3.core.compat import override
from mot_dinov3.core.structures import Image
from mot_dinov3.video.encoders import AUTO_PRESET, H264_ENCODER, PRESETS, TICKS, StreamShape, add_video_stream, as_frame
from mot_dinov3.video.writer import FrameWriter, VideoWriter

HEADROOM = 0.6  # share of the time between two frames that encoding may take, which later shares the processors
HELD_FRAMES, HELD_BYTES = 16, 100_000_000  # images that are held until the preset is chosen, at most
LEAST_HELD = 4  # of any size
SETTLING = 1  # first frames whose time is no measure


@dataclasses.dataclass(frozen=True)
class PresetCost:
    """What a preset takes.

    Attributes:
        preset: One of `PRESETS`.
        ms: Milliseconds per frame.
        bytes: Bytes per frame.
    """

    preset: str
    ms: float
    bytes: float


def choose_preset(costs: Iterable[PresetCost], interval_ms: float) -> PresetCost:
    """Return the first preset that keeps up with a frame every `interval_ms`, else the fastest.

    Args:
        costs: At least one, the smallest files first; read no further than necessary.
        interval_ms: Milliseconds.
    """
    tried: list[PresetCost] = []
    for cost in costs:
        if cost.ms <= HEADROOM * interval_ms:
            return cost
        tried.append(cost)
    return min(tried, key=lambda cost: cost.ms)


def measure_preset(preset: str, images: Sequence[Image], fps: float) -> PresetCost:
    """Encode ``(h, w, 3)`` images, at least two, into memory, and return what each takes after the first one.

    The first one is a key frame, of which there is one in `KEYFRAME_S`, and opens the encoder.
    """
    first, whole = (_encode(preset, part, fps) for part in (images[:1], images))
    ms, size = (max(all_ - one, 0.0) / (len(images) - 1) for one, all_ in zip(first, whole))
    return PresetCost(preset, ms, size)


def _encode(preset: str, images: Sequence[Image], fps: float) -> tuple[float, int]:
    """Return the milliseconds and bytes that a video of the images takes."""
    import av

    height, width = images[0].shape[:2]
    size, start = 0, time.perf_counter()
    with av.open(io.BytesIO(), "w", format="mp4") as container:
        stream = add_video_stream(container, H264_ENCODER, StreamShape((width, height), fps, preset=preset))
        for index, frame in enumerate((*map(as_frame, images), None)):
            if frame is not None:
                frame.pts, frame.time_base = round(index * TICKS / fps), Fraction(1, TICKS)
            packets = stream.encode(frame)
            size += sum(packet.size for packet in packets)
            container.mux(packets)
    return 1e3 * (time.perf_counter() - start), size


Measure = Callable[[str, Sequence[Image], float], PresetCost]
"""Returns what a preset takes for images of a frame rate."""


class AutoPresetWriter(FrameWriter):
    """Holds the first images, chooses the preset by the rate at which they come, and then writes all.

    An image must not be changed after it was handed over. A video of fewer images keeps the first preset.

    Args:
        writer: Writes H.264; it has no frame yet.
        fps: Nominal frame rate.
        target_fps: Frames per second that are enough (`--realtime`); 0 for as many as come.
        measure: Measures a preset.
        clock: Seconds from any fixed point.
    """

    def __init__(
        self,
        writer: VideoWriter,
        fps: float,
        *,
        target_fps: float = 0.0,
        measure: Measure = measure_preset,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        writer.preset = PRESETS[0]
        self.notices = writer.notices
        self._writer = writer
        self._fps = fps
        self._least_ms = 1e3 / target_fps if target_fps else 0.0
        self._measure = measure
        self._clock = clock
        self._held: list[tuple[Image, float]] = []
        self._arrived: list[float] = []
        self._chosen = False

    @override
    def write(self, image: Image | None, time: float) -> None:
        if image is None or self._chosen:
            self._release()
            self._writer.write(image, time)
            return
        self._held.append((image, time))
        self._arrived.append(self._clock())
        if len(self._held) >= max(LEAST_HELD, min(HELD_FRAMES, HELD_BYTES // max(image.nbytes, 1))):
            self._choose()
            self._release()

    @override
    def close(self) -> None:
        self._release()
        self._writer.close()

    @override
    def leave(self) -> None:
        self._release()
        self._writer.leave()

    def _choose(self) -> None:
        """Set the writer's preset, and report why."""
        arrived, images = self._arrived[SETTLING:], [image for image, _ in self._held]
        interval = max(1e3 * (arrived[-1] - arrived[0]) / (len(arrived) - 1), self._least_ms)
        costs: list[PresetCost] = []

        def measured() -> Iterator[PresetCost]:
            for preset in PRESETS:
                costs.append(self._measure(preset, images, self._fps))
                yield costs[-1]

        chosen = choose_preset(measured(), interval)
        self._writer.preset = chosen.preset
        self.notices.append(_reason(chosen, costs[0], interval))

    def _release(self) -> None:
        """Write what is held."""
        self._chosen = True
        held, self._held = self._held, []
        for item in held:
            self._writer.write(*item)


def begin_video(writer: VideoWriter, preset: str, finished_bytes: int | None) -> int:
    """Set a writer's preset, and let it continue the video that an interrupted run has begun; return the frames kept.

    Args:
        writer: It has no frame yet.
        preset: One of `PRESETS`; with ``auto`` it becomes that of the interrupted run.
        finished_bytes: As for `VideoWriter.continue_from`; None where nothing is continued.
    """
    for candidate in PRESETS if preset == AUTO_PRESET else (preset,):
        writer.preset = candidate
        kept = 0 if finished_bytes is None else writer.continue_from(finished_bytes)
        if kept:
            return kept
    return 0


def preset_writer(writer: VideoWriter, preset: str, fps: float, target_fps: float) -> FrameWriter:
    """Return the writer, which with ``auto`` chooses its preset; see `AutoPresetWriter`."""
    return AutoPresetWriter(writer, fps, target_fps=target_fps) if preset == AUTO_PRESET else writer


def _reason(chosen: PresetCost, first: PresetCost, interval_ms: float) -> str:
    """Return the notice of what was chosen."""
    if chosen is first:
        return f"--preset auto: {first.preset}, which takes {first.ms:.1f} of {interval_ms:.1f} ms per frame"
    larger = chosen.bytes / max(first.bytes, 1.0)
    return (
        f"--preset auto: {chosen.preset} ({chosen.ms:.1f} ms per frame), because {first.preset} takes {first.ms:.1f} "
        f"where a frame comes every {interval_ms:.1f} ms; the video is about {larger:.1f} times as large"
    )
