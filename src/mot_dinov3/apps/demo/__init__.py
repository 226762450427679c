"""The demo's clip with ground truth: people cut out of photographs walk through a street."""

from mot_dinov3.apps.demo.street_clip import (
    FPS,
    LENGTH,
    MIN_VISIBLE,
    NAMES,
    STORY,
    Actor,
    DemoClip,
    StreetScene,
    compose,
    gt_lines,
)

__all__ = ["FPS", "LENGTH", "MIN_VISIBLE", "NAMES", "STORY", "Actor", "DemoClip", "StreetScene", "compose", "gt_lines"]
