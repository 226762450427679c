"""Counts who crosses a line, and who enters and leaves a zone."""
