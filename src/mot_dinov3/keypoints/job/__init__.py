"""The `keypoints` and `similarity` commands: wiring, loop, files and journal."""
