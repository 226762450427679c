"""The demo's clip with ground truth: people cut out of photographs walk through a street."""

from mot_dinov3.apps.demo.street_clip import DemoClip, compose

__all__ = ["DemoClip", "compose"]
