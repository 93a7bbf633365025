"""Times that another site tells, by this site's clock.

Clocks of sites may differ by minutes. A message says when it was sent, by its sender's clock;
what it tells of other moments is moved by the difference. Else a task would begin after its
job has ended, or seem to run for ten minutes when it ran for seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fate_flow.db.models import now_ms
from fate_flow.sites.delivery import SENT_AT

#: A smaller difference may be the time that the message was on its way.
_ON_ITS_WAY_MS = 2_000
#: What is no moment of any clock, and no column holds.
_MAX_MS = 1 << 53


def ahead(body: Mapping[str, Any]) -> int:
    """By how many ms the sender's clock is ahead of ours; negative: behind."""
    sent = _number(body.get(SENT_AT))
    if sent is None:  # a site of an earlier version
        return 0
    difference = sent - now_ms()
    return difference if abs(difference) > _ON_ITS_WAY_MS else 0


def here(moment: Any, ahead_ms: int) -> int | None:
    """A moment of a clock that is so much ahead, by ours; None: it is no moment."""
    found = _number(moment)
    return None if found is None else found - ahead_ms


def duration(value: Any) -> int | None:
    """A duration that another site tells, in ms; None: it is none."""
    found = _number(value)
    return None if found is None else max(0, found)


def _number(value: Any) -> int | None:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return value if is_number and abs(value) < _MAX_MS else None
