"""The report of a run: collected while it runs, in bounded memory, and written as one HTML page."""
