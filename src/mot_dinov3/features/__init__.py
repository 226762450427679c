"""Embedders: crops of one frame in, unit rows out."""
