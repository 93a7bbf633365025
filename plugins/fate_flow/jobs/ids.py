"""Job ids: local time to the microsecond, then a counter of this process."""

from __future__ import annotations

import datetime as dt
import itertools
import threading

_counter = itertools.count(1)
_lock = threading.Lock()


def new_job_id() -> str:
    """``YYYYMMDDHHMMSS`` + microseconds + counter: at most 25 digits, sorts by time."""
    with _lock:
        number = next(_counter) % 100_000
        return dt.datetime.now().strftime("%Y%m%d%H%M%S%f") + str(number)
