"""Failed TLS handshakes, for the audit.

gRPC tells nobody of a connection whose certificate it does not accept; it only writes a line
of its own to standard error. So the gateway reads its own standard error, passes it on, and
turns those lines into lines of the audit.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import IO

from fate_flow.federation.addresses import printable

_AUDIT = logging.getLogger("fate_flow.gateway.audit")
_FAILED = re.compile(rb"Handshake failed with error (.*)")
_REASONS = (
    ("unable to get local issuer certificate", "its certificate is of no site that is known here"),
    ("self-signed", "its certificate is one that it has made itself"),
    ("self signed", "its certificate is one that it has made itself"),
    ("has expired", "its certificate has expired"),
    ("not yet valid", "its certificate is not valid yet; the clocks may differ"),
    ("DID_NOT_RETURN_A_CERTIFICATE", "it shows no certificate"),
    ("WRONG_VERSION_NUMBER", "it does not speak TLS"),
    ("HTTP_REQUEST", "it does not speak TLS"),
    ("ALERT_UNKNOWN_CA", "the other side does not know this site's certificate"),
    ("CERTIFICATE_VERIFY_FAILED", "its certificate is not valid"),
)
#: Whoever knocks all the time shall not fill the disk.
_SAME_SECONDS = 1.0


class HandshakeAudit:
    """Finds the failures among the lines of standard error."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last: dict[str, float] = {}
        self._left_out: dict[str, int] = {}

    def take(self, line: bytes) -> bool:
        """Whether the line was one, and is dealt with."""
        found = _FAILED.search(line)
        if found is None:
            return False
        text = printable(found.group(1).decode(errors="replace"), 200)
        reason = next((why for mark, why in _REASONS if mark in text), text)
        now = self._clock()
        if now - self._last.get(reason, -_SAME_SECONDS) < _SAME_SECONDS:
            self._left_out[reason] = self._left_out.get(reason, 0) + 1
            return True
        self._last[reason] = now
        before = self._left_out.pop(reason, 0)
        more = f" ({before} more before)" if before else ""
        _AUDIT.warning("a TLS handshake with another side failed: %s%s", reason, more)
        return True


@contextlib.contextmanager
def audited_stderr() -> Iterator[IO[str]]:
    """Standard error of this process is read for the time of the block; gives the real one.

    Whoever logs should write to what this gives: a detour would only cost time.
    """
    real = os.dup(2)
    reading, writing = os.pipe()
    os.dup2(writing, 2)
    os.close(writing)
    audit = HandshakeAudit()

    def pump() -> None:
        with os.fdopen(reading, "rb") as lines:
            for line in lines:
                if not audit.take(line):
                    with contextlib.suppress(OSError):
                        os.write(real, line)

    thread = threading.Thread(target=pump, name="fate-flow-stderr", daemon=True)
    thread.start()
    try:
        with os.fdopen(os.dup(real), "w", buffering=1, errors="replace") as stream:
            yield stream
    finally:
        sys.stderr.flush()
        # The last writer's end: the thread sees the end, after all that was written.
        os.dup2(real, 2)
        thread.join(2.0)
        os.close(real)
