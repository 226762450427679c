"""Drawing on frames: boxes, labels, trails, regions and the HUD."""

from mot_dinov3.viz.frame import DrawConfig, contact_sheet, draw_frame, draw_rows, label_of
from mot_dinov3.viz.overlays import HudStats, RegionOverlay, Trails, anonymize, draw_hud, draw_note, draw_regions
from mot_dinov3.viz.style import Color, track_color

__all__ = [
    "Color",
    "DrawConfig",
    "HudStats",
    "RegionOverlay",
    "Trails",
    "anonymize",
    "contact_sheet",
    "draw_frame",
    "draw_hud",
    "draw_note",
    "draw_regions",
    "draw_rows",
    "label_of",
    "track_color",
]
