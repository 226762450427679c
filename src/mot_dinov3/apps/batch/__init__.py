"""Many videos: each is a run of the main job in a process of its own, with a folder of its own."""
