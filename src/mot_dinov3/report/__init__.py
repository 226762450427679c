"""The report of a run: what came by is gathered while it goes on, bounded in memory, and becomes one HTML page."""
