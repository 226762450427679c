"""A source without pictures: the frames that recorded detections speak of."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType

from mot_dinov3.core.errors import VideoError
from mot_dinov3.core.structures import Frame, VideoInfo
from mot_dinov3.video import SourceConfig


class BlankSource:
    """Yields a frame without a picture for every frame number up to the last recorded one.

    Args:
        info: What the recorded detections say of their video; `frame_count` frames are yielded.
        config: The range of frames.
        notices: Things to tell the user.

    Raises:
        VideoError: No frame lies in the range.
    """

    audio_from: str | None = None

    def __init__(self, info: VideoInfo, config: SourceConfig, notices: list[str]) -> None:
        self.info = info
        self.notices = notices
        end = info.frame_count if config.end_frame is None else min(config.end_frame, info.frame_count)
        self._range = range(config.start_frame, end)
        self.frame_total = len(self._range)
        if not self._range:
            raise VideoError(
                f"no frames in range: '{info.path}' has detections for {info.frame_count} frames",
                remedy="lower --start-frame",
            )

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames in order."""
        for index in self._range:
            yield Frame(index, index / self.info.fps)

    def close(self) -> None:
        """Nothing is open."""

    def __enter__(self) -> BlankSource:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
