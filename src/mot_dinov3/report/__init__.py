"""The report of a run: collected while it goes on, in bounded memory, and written as one HTML page."""
