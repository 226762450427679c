"""Draws what is known of a frame, and decides nothing."""

from mot_dinov3.viz.colors import Color, track_color
from mot_dinov3.viz.frame import DrawConfig, contact_sheet, draw_frame, draw_rows, label_of
from mot_dinov3.viz.overlays import Hud, Mark, Trails, draw_hud, draw_marks, hide

__all__ = [
    "Color",
    "DrawConfig",
    "Hud",
    "Mark",
    "Trails",
    "contact_sheet",
    "draw_frame",
    "draw_hud",
    "draw_marks",
    "draw_rows",
    "hide",
    "label_of",
    "track_color",
]
