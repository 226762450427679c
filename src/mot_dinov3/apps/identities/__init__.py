"""One identity over many videos and cameras: which tracks, of which videos, show the same person."""
