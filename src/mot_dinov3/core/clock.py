"""The time of a run."""

from __future__ import annotations

import datetime
import os


def now_utc() -> str:
    """Return the time of the run, ISO 8601; ``SOURCE_DATE_EPOCH`` fixes it where equal runs must write equal files."""
    fixed = os.environ.get("SOURCE_DATE_EPOCH")
    now = datetime.datetime.now(datetime.timezone.utc)
    moment = datetime.datetime.fromtimestamp(int(fixed), datetime.timezone.utc) if fixed else now
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
