"""The demo's clip: people of known identity, cut out of photographs, walking through a street."""

from mot_dinov3.apps.demo.clip import FPS, LENGTH, MIN_VISIBLE, NAMES, STORY, Actor, DemoClip, Scene, compose, gt_lines

__all__ = ["FPS", "LENGTH", "MIN_VISIBLE", "NAMES", "STORY", "Actor", "DemoClip", "Scene", "compose", "gt_lines"]
