"""The command line: `main(argv)` returns the exit code."""
