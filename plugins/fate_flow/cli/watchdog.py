"""Finds processes that are there and do nothing any more, for the supervisor.

What counts as a sign of life:

- gateway: it answers a call; API server: it answers a GET of Airflow's health page;
- scheduler: that page says that one reported to the database lately, and it uses CPU time:
  its loop runs several times a second, and the page does not say which scheduler it was. A
  page that says nothing does not count against one that works;
- all: it was not stopped by a signal. Of a Celery worker and a dag-processor nothing else is
  asked: a worker can only be asked through the broker, whose trouble would look like its own.

Nothing is ended that was not well once since its start. A machine that slept, a process that
waits for its disk, and a database that does not answer are not the fault of a process: then
all patience begins anew. So it does for the others when one is ended: one thing at a time.
While a machine has more to do than it can, everything takes longer, and so does the patience.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fate_flow.cli import airflow_config, processes
from fate_flow.cli.probes import (
    Probe,
    Question,
    database_question,
    grpc_question,
    http_question,
    json_body,
)
from fate_flow.cli.processes import Identity
from fate_flow.cli.services import Service, kind_of
from fate_flow.settings import Settings

GATEWAY, API_SERVER, SCHEDULER = "gateway", "api-server", "scheduler"
#: States of Linux: by a signal (by a debugger it is "t"), and waiting for a disk.
STOPPED, WAITS_FOR_DISK = "T", "D"
#: Airflow's health page; its requests are not in the access log.
HEALTH_PATH = "/api/v2/monitor/health"
#: A scheduler reports every 5 s, and its report counts for 15 s (airflow.cfg).
SLOWER = {SCHEDULER: 2.0}
LONGEST_INTERVAL = 10.0
#: A server that is only slow answers within this time; a question stays open for so long.
LONGEST_PROBE = 30.0
#: The supervisor looks every few seconds; when it did not for so long, the machine slept.
GAP_SECONDS = 15.0
#: From SIGTERM to SIGKILL for a process that hangs.
END_SECONDS = 3.0
#: A process that hangs again and again gets twice the patience each time, up to 16 times.
MOST_DOUBLINGS = 4
#: The load average is a measure of how much too much a machine has to do, up to this.
MOST_BURDEN = 4.0
#: Patiences that it must be well for until the doubling is forgotten.
FORGET_AFTER = 10


@dataclass
class Watched:
    """A running process and its signs of life; times are of the monotonic clock."""

    service: Service
    identity: Identity
    last_sign: float
    began: float
    question: Question | None = None
    was_well: bool = False
    is_stopped: bool = False
    stands_still: bool = False
    cpu: int = -1
    probe: Probe | None = None
    database: Probe | None = None
    end_at: float | None = None

    @property
    def kind(self) -> str:
        return kind_of(self.service.name)

    def look(self) -> None:
        """Read the kernel's view of it."""
        state, cpu = processes.activity(self.identity.pid) or ("", -1)
        self.is_stopped = state == STOPPED
        self.stands_still = cpu >= 0 and cpu == self.cpu
        self.cpu = cpu

    def probes(self) -> list[Probe]:
        return [probe for probe in (self.probe, self.database) if probe is not None]


class Watchdog:
    """Watches the processes of one site; :meth:`tick` does what is due, and never waits.

    Args:
        settings: of the site.
        say: where messages for people go.
        clock: seconds that pass while the machine is awake.
        calendar: seconds that also pass while it sleeps.
        burden: how many times longer everything may take now.
    """

    def __init__(
        self,
        settings: Settings,
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
        calendar: Callable[[], float] | None = None,
        burden: Callable[[], float] | None = None,
    ) -> None:
        self.patience = float(settings.HANG_PATIENCE)
        self.interval = min(LONGEST_INTERVAL, self.patience / 6)
        self.probe_seconds = min(LONGEST_PROBE, self.patience / 2)
        self._settings = settings
        self._say = say
        self._clock = clock
        self._calendar = calendar or _calendar
        self._burden = burden or _burden
        self._watched: dict[str, Watched] = {}
        self._hangs: dict[str, int] = {}
        self._last_tick = self._calendar()
        self._next_check = 0.0
        #: What the health page last said of the schedulers, and when.
        self._report: tuple[float, bool | None] = (float("-inf"), None)

    @property
    def is_on(self) -> bool:
        return self.patience > 0

    def sockets(self) -> tuple[list[Any], list[Any]]:
        """What to select on, for reading and for writing."""
        probes = [probe for each in self._watched.values() for probe in each.probes()]
        return (
            [sock for probe in probes for sock in probe.reads],
            [sock for probe in probes for sock in probe.writes],
        )

    def due(self) -> float:
        """Seconds until :meth:`tick` has something to do."""
        if not self.is_on:
            return float("inf")
        now = self._clock()
        times = [self._next_check]
        for each in self._watched.values():
            times += [probe.began + self.probe_seconds for probe in each.probes()]
            times += [each.end_at] if each.end_at is not None else []
        return max(0.0, min(times) - now)

    def tick(self, running: Sequence[tuple[Service, Identity]]) -> list[tuple[Service, str]]:
        """Go on with the questions, ask new ones when it is time, end what hangs.

        Returns:
            services that were just found to hang, each with a short reason.
        """
        if not self.is_on:
            return []
        now = self._clock()
        self._follow(running, now)
        self._forgive_sleep(now)
        for each in self._watched.values():
            self._go_on(each, now)
        if now >= self._next_check:
            self._next_check = now + self.interval
            for each in self._watched.values():
                self._check(each, now)
        self._finish_ends(now)
        if any(each.is_stopped for each in self._watched.values()):
            # One that was stopped may hold what the others wait for, as SQLite's lock.
            for each in self._watched.values():
                if not each.is_stopped:
                    each.last_sign = now
        hung = next((w for w in self._watched.values() if self._hangs_now(w, now)), None)
        return [] if hung is None else [(hung.service, self._end(hung, now))]

    # -- what runs ---------------------------------------------------------------------------

    def _follow(self, running: Sequence[tuple[Service, Identity]], now: float) -> None:
        """Watch exactly what runs; a new process begins without a past."""
        names = {service.name for service, _ in running}
        for name in set(self._watched) - names:
            self._drop(self._watched.pop(name))
        for service, identity in running:
            known = self._watched.get(service.name)
            if known is None or known.identity != identity:
                if known is not None:
                    self._drop(known)
                # Now: certificates that come later are not those it was started with.
                question = self._question(kind_of(service.name))
                self._watched[service.name] = Watched(service, identity, now, now, question)

    def _drop(self, watched: Watched) -> None:
        for probe in watched.probes():
            probe.give_up("the process ended")

    def _forgive_sleep(self, now: float) -> None:
        calendar = self._calendar()
        gap, self._last_tick = calendar - self._last_tick, calendar
        if gap > GAP_SECONDS:
            for each in self._watched.values():
                each.last_sign = now
                self._drop(each)
                each.probe = each.database = None

    # -- signs of life -----------------------------------------------------------------------

    def _check(self, watched: Watched, now: float) -> None:
        watched.look()
        if watched.is_stopped or watched.end_at is not None:
            return
        if watched.question is not None:
            if watched.probe is None:
                watched.probe = Probe(watched.question, now)
        elif watched.kind == SCHEDULER:
            self._check_scheduler(watched, now)
        else:
            self._well(watched, now)

    def _question(self, kind: str) -> Question | None:
        """What a process of this kind is asked, if anything."""
        settings = self._settings
        if kind == API_SERVER:
            return http_question(settings.address, settings.HTTP_PORT, HEALTH_PATH)
        if kind != GATEWAY:
            return None
        folder = settings.identity_dir
        has_tls = settings.GATEWAY_TLS != "off" and folder.exists()
        return grpc_question(settings.gateway_host, settings.GRPC_PORT, folder if has_tls else None)

    def _go_on(self, watched: Watched, now: float) -> None:
        for probe in watched.probes():
            probe.advance()
            if now - probe.began > self.probe_seconds:
                probe.give_up("no answer in time")
        done = watched.probe
        if done is None or done.answer is None:
            return
        watched.probe = None
        if done.answer:
            self._well(watched, now)
            if watched.kind == API_SERVER:
                self._report = (now, _schedulers(json_body(done.got)))

    def _check_scheduler(self, watched: Watched, now: float) -> None:
        since, report = self._report
        if now - since > self.interval + self.probe_seconds:
            report = None
        if watched.stands_still:
            return  # what the page says is said of another one
        if report:
            self._well(watched, now)
        elif report is None:
            watched.last_sign = now  # nothing is known

    def _well(self, watched: Watched, now: float) -> None:
        watched.last_sign = now
        watched.was_well = True
        name = watched.service.name
        if now - watched.began > FORGET_AFTER * self._limit(watched):
            self._hangs.pop(name, None)

    # -- the end -----------------------------------------------------------------------------

    def _limit(self, watched: Watched) -> float:
        """The patience with this process now."""
        doublings = min(self._hangs.get(watched.service.name, 0), MOST_DOUBLINGS)
        slower = 1.0 if watched.is_stopped else SLOWER.get(watched.kind, 1.0)
        return self.patience * slower * float(2**doublings)

    def _hangs_now(self, watched: Watched, now: float) -> bool:
        silent, limit = now - watched.last_sign, self._limit(watched)
        if watched.end_at is not None or silent <= limit:
            return False
        state, _ = processes.activity(watched.identity.pid) or ("", 0)
        if watched.is_stopped:
            watched.is_stopped = state == STOPPED
            return watched.is_stopped
        if not watched.was_well or silent <= limit * self._burden():
            return False
        if state == WAITS_FOR_DISK:
            watched.last_sign = now
            return False
        return self._database_answers(watched, now) is True

    def _database_answers(self, watched: Watched, now: float) -> bool | None:
        """Whether the trouble is not the database's; None while that is being asked."""
        if self._settings.USE_LOCAL_DATABASE or watched.kind not in (API_SERVER, SCHEDULER):
            return True
        if watched.database is None:
            # The name is looked up anew, and that may wait: only now, when something is wrong.
            watched.database = Probe(database_of(self._settings), now)
        probe = watched.database
        if probe.answer is None:
            return None
        watched.database = None
        if not probe.answer:
            self._say(
                f"{watched.service.name} has not answered for {now - watched.last_sign:.0f} s;"
                f" it is left alone, since the database at {probe.question.host}:"
                f"{probe.question.port} does not answer either ({probe.reason})"
            )
            watched.last_sign = now
        return probe.answer

    def _end(self, watched: Watched, now: float) -> str:
        name, pid = watched.service.name, watched.identity.pid
        silent = now - watched.last_sign
        what = "was stopped by a signal" if watched.is_stopped else "has not answered"
        self._say(
            f"{name} (pid {pid}) {what} for {silent:.0f} s: it is ended and started again."
            f" If this happens again, see the last lines of {name}.log and run fate_flow check;"
            f" the setting HANG_PATIENCE says how long it may be silent (0: always)"
        )
        self._hangs[name] = self._hangs.get(name, 0) + 1
        for each in self._watched.values():
            each.last_sign = now
        self._drop(watched)
        watched.end_at = now + END_SECONDS
        # As at a stop: who owns tasks must not report them as failed on its way out.
        at_once = watched.service.owns_tasks or watched.service.killed
        watched.identity.send(signal.SIGKILL if at_once else signal.SIGTERM)
        return f"{what} for {silent:.0f} s"

    def _finish_ends(self, now: float) -> None:
        for each in self._watched.values():
            if each.end_at is not None and now >= each.end_at:
                each.end_at = now + END_SECONDS
                for identity in (each.identity, *processes.descendants(each.identity.pid)):
                    identity.send(signal.SIGKILL)


def _calendar() -> float:
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.time() if clock is None else time.clock_gettime(clock)


def _burden() -> float:
    """From the load average, which counts who waits for a processor or a disk."""
    try:
        load = os.getloadavg()[0]
    except OSError:
        return 1.0
    return min(MOST_BURDEN, max(1.0, load / (2 * (os.cpu_count() or 1))))


def _schedulers(page: Any) -> bool | None:
    """Whether a scheduler reported lately; None: the page does not know."""
    try:
        if page["metadatabase"]["status"] != "healthy":
            return None
        return bool(page["scheduler"]["status"] == "healthy")
    except (KeyError, TypeError):
        return None


def database_of(settings: Settings) -> Question:
    """Whether the site's database server answers at all."""
    sync, _, port = airflow_config.driver_of(settings)
    database = settings.DATABASE
    return database_question(
        sync.partition("+")[0], str(database["host"]), int(database.get("port", port))
    )
