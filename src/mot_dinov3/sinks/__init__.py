"""Sinks: every frame of a run in order, written to files, videos, folders or a window."""
