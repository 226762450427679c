"""The gallery's job: its options, and the way from them to live parts."""

from mot_dinov3.gallery.job.config import GalleryJobConfig, RunPaths, job_values
from mot_dinov3.gallery.job.wiring import GalleryRun

__all__ = ["GalleryJobConfig", "GalleryRun", "RunPaths", "job_values"]
