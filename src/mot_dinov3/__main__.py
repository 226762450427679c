"""``python -m mot_dinov3``."""

from mot_dinov3.cli import entry

entry()
