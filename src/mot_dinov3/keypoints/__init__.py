"""Following labelled body parts through a video."""
