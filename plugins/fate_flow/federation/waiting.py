"""A task's own view of what it waits for, told to whoever shows it."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from fate_flow.entities import Party
from fate_flow.federation.addresses import waiting_text

log = logging.getLogger("fate_flow.task")

#: Called with the text of a wait while it lasts, and with None when it is over.
OnWait = Callable[[str | None], None]

#: Waits shorter than this are not worth a report, seconds.
FIRST_REPORT = 2.0
NEXT_REPORT = 10.0
_LOOK = 1.0


@dataclass(eq=False)
class ClientWait:
    """One wait of this task; ``parties`` may change while it lasts.

    Attributes:
        trouble: text about the connection, when it is broken: that is what is waited for then.
        absent: texts about those parties whose tasks are not connected.
        in_trouble: what was reported last told of one of these.
    """

    parties: Sequence[Party]
    component: str
    attempt: int
    subject: str
    started: float = field(default_factory=time.monotonic)
    next_report: float = FIRST_REPORT
    trouble: Callable[[], str | None] = lambda: None
    absent: Callable[[Iterable[Party]], list[str]] = lambda _: []
    in_trouble: bool = False

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    @property
    def text(self) -> str:
        trouble = self.trouble()
        if trouble is not None:
            return trouble
        wait = waiting_text(self.parties, self.component, self.attempt, self.subject, self.seconds)
        return "; ".join([wait, *self.absent(self.parties)])

    @property
    def is_disturbed(self) -> bool:
        """A connection is broken: this task's own, or that of whom it waits for."""
        return self.trouble() is not None or bool(self.absent(self.parties))

    @property
    def report_in(self) -> float:
        """Seconds until the next report is due: at once when a connection broke or came back."""
        changed = self.is_disturbed != self.in_trouble
        due = FIRST_REPORT if changed else self.next_report
        return due - self.seconds


class WaitReporter:
    """Reports the oldest wait that lasts longer than two seconds."""

    def __init__(self, on_wait: OnWait | None) -> None:
        self._on_wait = on_wait
        self._open: dict[int, ClientWait] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._reported = False
        self._closed = False

    @contextlib.contextmanager
    def open(self, wait: ClientWait) -> Iterator[ClientWait]:
        if self._on_wait is None:
            yield wait
            return
        with self._changed:
            self._open[id(wait)] = wait
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="fate-flow-waits", daemon=True
                )
                self._thread.start()
        try:
            yield wait
        finally:
            with self._changed:
                del self._open[id(wait)]
                over = self._reported and not self._open
                if over:
                    self._reported = False
            if over:
                self._tell(None)

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                wait = next(iter(self._open.values()), None)
                if self._closed:
                    return
                left = _LOOK if wait is None else wait.report_in
                if wait is None or left > 0:
                    # Not woken for each of the many short waits, but looking now and then.
                    self._changed.wait(min(left, _LOOK))
                    continue
                wait.next_report = wait.seconds + NEXT_REPORT
                wait.in_trouble = wait.is_disturbed
                self._reported = True
                text = wait.text
            self._tell(text)

    def _tell(self, text: str | None) -> None:
        try:
            if self._on_wait is not None:
                self._on_wait(text)
        except Exception:
            # A report that fails must not end the computation it is about.
            log.exception("the report of a wait failed")
