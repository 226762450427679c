"""The `gallery` command: options, wiring, loop and journal."""
