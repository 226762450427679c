"""mot-dinov3: track many objects in a video, and keep who is who."""

__version__ = "0.1.0.dev0"
