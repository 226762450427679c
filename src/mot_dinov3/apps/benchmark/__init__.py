"""Benchmarks: stage times, budget overrun, memory, the association step, and comparison with baselines."""
