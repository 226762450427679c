"""The `track` command: options, wiring, the frame loop, outputs, resume and summary."""
