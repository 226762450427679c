"""File formats: pure file ↔ structures, strict, round-trip tested."""
