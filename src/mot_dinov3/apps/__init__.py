"""Applications that use the jobs: each folder is one, most of them behind a command of that name."""
