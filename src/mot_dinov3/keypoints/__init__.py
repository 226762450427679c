"""Tracking of labelled body parts through a video."""
