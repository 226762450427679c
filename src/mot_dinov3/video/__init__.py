"""Reading files, folders of images, cameras and streams as numbered frames; writing H.264 MP4 with sound.

Importing this package loads neither PyAV nor OpenCV; opening a source or writing a frame does.
"""

from mot_dinov3.video.opening import open_source
from mot_dinov3.video.source import BaseSource, FrameSource, SourceConfig
from mot_dinov3.video.writer import VideoWriter

__all__ = ["BaseSource", "FrameSource", "SourceConfig", "VideoWriter", "open_source"]
