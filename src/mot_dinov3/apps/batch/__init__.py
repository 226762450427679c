"""Batch processing: each video is a run of `track` in a separate process, with its own result folder."""
