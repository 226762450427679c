"""Video in and out: files, folders of images, cameras and streams as numbered frames; H.264 MP4 with sound out.

Importing this package loads neither PyAV nor OpenCV; opening a source or writing a picture does.
"""

from mot_dinov3.video.open import open_source
from mot_dinov3.video.source import BaseSource, FrameSource, SourceConfig
from mot_dinov3.video.writer import VideoWriter

__all__ = ["BaseSource", "FrameSource", "SourceConfig", "VideoWriter", "open_source"]
