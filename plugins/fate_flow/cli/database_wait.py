"""Keeps the supervisor from starting again what would end at once, while the database is away.

Without it each start costs seconds of processor time for nothing, and the pause between two
starts has grown to half a minute when the database is back. Nothing is asked while all run.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from fate_flow.cli.probes import Probe, Question
from fate_flow.cli.services import Service, kind_of
from fate_flow.cli.watchdog import GATEWAY, database_of
from fate_flow.settings import Settings

#: Between two questions.
PAUSE_SECONDS = 1.0
PROBE_SECONDS = 3.0
#: Between two looks for an answer; a server that is there answers sooner.
ANSWER_SECONDS = 0.05


class DatabaseWait:
    """Whether the site's database answers, asked when a process is to be started again.

    Args:
        settings: of the site.
        say: where messages for people go.
        question: asks for the database; for tests.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        settings: Settings,
        say: Callable[[str], None],
        *,
        question: Callable[[Settings], Question] = database_of,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._say = say
        self._question = question
        self._clock = clock
        self._probe: Probe | None = None
        self._answered_at = float("-inf")
        self._answer = True
        self._waits = False

    def sockets(self) -> tuple[list[Any], list[Any]]:
        """What to select on, for reading and for writing."""
        probe = self._probe
        return ([], []) if probe is None else (probe.reads, probe.writes)

    def allows(self, service: Service) -> bool:
        """Whether to start a process again now; ask once more in a moment if not."""
        if self._settings.USE_LOCAL_DATABASE or kind_of(service.name) == GATEWAY:
            return True
        self._go_on()
        now = self._clock()
        is_old = now - self._answered_at > PAUSE_SECONDS
        if self._probe is None and is_old:
            self._probe = Probe(self._question(self._settings), now)
            self._go_on()
            is_old = now - self._answered_at > PAUSE_SECONDS
        return self._answer and not is_old

    def pause(self) -> float:
        """Seconds until :meth:`allows` may say something else."""
        return ANSWER_SECONDS if self._probe is not None else PAUSE_SECONDS

    def _go_on(self) -> None:
        probe, now = self._probe, self._clock()
        if probe is None:
            return
        probe.advance()
        if now - probe.began > PROBE_SECONDS:
            probe.give_up("no answer in time")
        if probe.answer is None:
            return
        self._probe, self._answered_at, self._answer = None, now, probe.answer
        place = f"the database at {probe.question.host}:{probe.question.port}"
        if not probe.answer and not self._waits:
            self._say(
                f"{place} does not answer ({probe.reason}): what ended is started again when it"
                " does; fate_flow check says more"
            )
        if probe.answer and self._waits:
            self._say(f"{place} answers again")
        self._waits = not probe.answer
