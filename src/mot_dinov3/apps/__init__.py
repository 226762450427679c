"""Applications that use the jobs: batch, benchmark, demo, doctor, evaluation, export, studio."""
