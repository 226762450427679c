"""Shared by all: errors, options, registries, files, boxes, timing, and the structures that travel between stages."""
