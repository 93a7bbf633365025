"""The supervisor of a site: starts its processes, restarts what dies or hangs, ends everything.

``python -m fate_flow.cli.supervisor --home DIR`` runs until SIGTERM. It imports nothing
heavy and sleeps until a child ends, or until it is time to ask them whether they are well.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from fate_flow.cli import processes, site
from fate_flow.cli.database_wait import DatabaseWait
from fate_flow.cli.processes import Identity
from fate_flow.cli.services import STOP_SECONDS, Service, services_of
from fate_flow.cli.state import Paths, hold_lock, rotate
from fate_flow.cli.watchdog import Watchdog
from fate_flow.errors import FateFlowError
from fate_flow.settings import Settings, load

TICK_SECONDS = 5.0
BACKOFF_SECONDS = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
#: A process that ran this long is healthy: its next failure is restarted at once again.
STABLE_SECONDS = 60.0
#: Time that tasks get for their on_kill when their scheduler died.
TASK_GRACE_SECONDS = 3.0


class Child:
    """A service and the process that runs it now."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.popen: subprocess.Popen[bytes] | None = None
        self.identity: Identity | None = None
        self.started_at = 0.0
        self.restarts = 0
        self.failures = 0
        self.next_start = 0.0
        self.last_exit = ""
        #: Why the supervisor ends the process that runs now.
        self.hung = ""

    @property
    def is_running(self) -> bool:
        return self.popen is not None

    def wait(self, now: float) -> float:
        """Seconds until it may be started again."""
        left = self.next_start - now
        # More than it ever has to wait: the clock was set back since.
        return left if left < BACKOFF_SECONDS[-1] + 1.0 else 0.0

    def ended(self, status: int, now: float) -> None:
        """Note the end of the process and when to start the next one."""
        if self.popen is not None:
            self.popen.returncode = status
        self.popen = None
        if now - self.started_at > STABLE_SECONDS:
            self.failures = 0
        delay = BACKOFF_SECONDS[min(self.failures, len(BACKOFF_SECONDS) - 1)]
        self.failures += 1
        self.next_start = now + delay
        how = f"code {status}" if status >= 0 else f"signal {signal_name(-status)}"
        self.last_exit = f"{how} ({self.hung})" if self.hung else how
        self.hung = ""

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.service.name,
            "pid": self.identity.pid if self.popen and self.identity else None,
            "started": self.identity.started if self.popen and self.identity else None,
            "since": self.started_at if self.popen else None,
            "restarts": self.restarts,
            "last_exit": self.last_exit,
            "next_start": None if self.popen else self.next_start,
            "port": self.service.port,
        }


def signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


class Supervisor:
    """Keeps the processes of one site running.

    Args:
        settings: of the site.
        services: what to run.
        say: where messages for people go.
    """

    def __init__(
        self, settings: Settings, services: list[Service], say: Callable[[str], None]
    ) -> None:
        self.settings = settings
        self.paths = Paths.of(settings)
        self.children = [Child(service) for service in services]
        self.say = say
        self.stopping = False
        self.watchdog = Watchdog(settings, say)
        self.database = DatabaseWait(settings, say)
        self.identity = Identity.of(os.getpid())
        self.began = time.time()
        self._wake_read, self._wake_write = os.pipe()
        self._strangers: dict[int, float] = {}
        self._state_is_old = False

    def run(self) -> None:
        """Supervise until a SIGTERM or SIGINT; then end everything and return."""
        self.paths.logs.mkdir(parents=True, exist_ok=True)
        processes.become_subreaper()
        self._install_signals()
        for child in self.children:
            self._start(child)
        self._write_state()
        while not self.stopping:
            self._sleep()
            self._reap()
            self._end_orphans()
            self._restart_due()
            self._watch()
            if self._state_is_old:
                self._write_state()
            with contextlib.suppress(OSError):
                self._rotate_logs()
        self.say("stopping")
        self._write_state()
        self._stop_all()
        with contextlib.suppress(FileNotFoundError):
            self.paths.state.unlink()
        self.say("stopped")

    def _install_signals(self) -> None:
        for descriptor in (self._wake_read, self._wake_write):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask_to_stop)

    def _ask_to_stop(self, *_: object) -> None:
        self.stopping = True

    def _sleep(self) -> None:
        due = [child.wait(time.time()) for child in self.children if not child.is_running]
        timeout = max(0.05, min([TICK_SECONDS, self.watchdog.due(), *due]))
        (reads, writes), (more, others) = self.watchdog.sockets(), self.database.sockets()
        with contextlib.suppress(InterruptedError):
            select.select([self._wake_read, *reads, *more], [*writes, *others], [], timeout)
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake_read, 4096)

    def _watch(self) -> None:
        """End what hangs; it is then started again as what died."""
        running = [(c.service, c.identity) for c in self.children if c.is_running and c.identity]
        for service, reason in self.watchdog.tick(running):
            next(c for c in self.children if c.service is service).hung = reason

    def _start(self, child: Child) -> None:
        service = child.service
        with self._open_log(service.name) as log:
            with contextlib.suppress(OSError):
                os.write(log.fileno(), _head_line(service.name))
            child.popen = subprocess.Popen(  # noqa: S603 - commands are ours
                service.command,
                env=site.child_environment(self.settings, supervised=True),
                cwd=self.settings.home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=processes.die_with_parent,  # noqa: PLW1509 - one thread only
            )
        child.identity = Identity.of(child.popen.pid)
        child.started_at = time.time()
        self.say(f"{service.name} started, pid {child.popen.pid}")

    def _open_log(self, name: str) -> IO[bytes]:
        # Append mode: after a rotation that truncates, the child goes on at the new end.
        return self.paths.log(name).open("ab")

    def _reap(self) -> None:
        changed = False
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            child = next((c for c in self.children if c.popen and c.popen.pid == pid), None)
            if child is None:
                continue  # an orphan that was adopted
            child.ended(os.waitstatus_to_exitcode(status), time.time())
            changed = True
            if not self.stopping:
                delay = child.next_start - time.time()
                self.say(
                    f"{child.service.name} (pid {pid}) ended with {child.last_exit};"
                    f" starting it again in {delay:.1f} s"
                )
                if child.service.owns_tasks:
                    self._end_task_owners(self._adopted())
        if changed:
            self._write_state()

    def _adopted(self) -> list[Identity]:
        """Children that this process did not start: their parent died."""
        own = {child.popen.pid for child in self.children if child.popen}
        strangers = (Identity.of(pid) for pid in processes.direct_children() if pid not in own)
        return [identity for identity in strangers if identity]

    def _end_orphans(self) -> None:
        """End what lost its parent, once it was seen twice (its parent may just be exiting)."""
        adopted = {identity.pid: identity for identity in self._adopted()}
        now = time.monotonic()
        self._strangers = {pid: self._strangers.get(pid, now) for pid in adopted}
        late = [adopted[pid] for pid, seen in self._strangers.items() if now - seen > 1.0]
        if late:
            self.say(f"ending {len(late)} process(es) whose parent died")
            tree = [d for identity in late for d in processes.descendants(identity.pid)]
            processes.end([*late, *tree], TASK_GRACE_SECONDS)

    def _end_task_owners(self, workers: list[Identity]) -> None:
        """End the executor's workers, then the tasks they ran.

        The workers go first and at once: a worker that sees its task end would report the
        task as failed, whereas a task that nobody reported is started anew, without using
        up a retry, as soon as a scheduler is there.
        """
        tasks = [task for worker in workers for task in processes.descendants(worker.pid)]
        for worker in workers:
            worker.send(signal.SIGKILL)
        if tasks:
            self.say(f"ending {len(tasks)} task process(es) that lost their owner")
        processes.end(tasks, TASK_GRACE_SECONDS)

    def _restart_due(self) -> None:
        if self.stopping:
            return
        now = time.time()
        due = [c for c in self.children if not c.is_running and c.wait(now) <= 0]
        for child in [child for child in due if not self.database.allows(child.service)]:
            due.remove(child)
            child.next_start = time.time() + self.database.pause()
        for child in due:
            child.restarts += 1
            try:
                self._start(child)
            except OSError as error:
                child.next_start = time.time() + TICK_SECONDS
                self.say(f"{child.service.name} cannot be started: {error}")
        if due:
            self._write_state()

    def _stop_all(self) -> None:
        began = time.monotonic()
        self._ask_to_end()
        while time.monotonic() - began < STOP_SECONDS:
            self._reap()
            running = [child for child in self.children if child.is_running]
            if not running and not self._adopted():
                break
            for child in running:
                if time.monotonic() - began > child.service.grace and child.identity:
                    child.identity.send(signal.SIGKILL)
            # Also for processes that are no children, whose end raises no signal.
            time.sleep(0.05)
        self._kill_rest()

    def _ask_to_end(self) -> None:
        """SIGTERM to all; workers of a local executor are killed so that they report nothing."""
        tasks: list[Identity] = []
        for child in self.children:
            if child.identity is None or child.popen is None:
                continue
            workers = _children_of(child.identity.pid) if child.service.owns_tasks else []
            tasks += [task for worker in workers for task in processes.descendants(worker.pid)]
            child.identity.send(signal.SIGKILL if child.service.killed else signal.SIGTERM)
            if child.service.owns_tasks:
                for worker in workers:
                    worker.send(signal.SIGKILL)
        for task in tasks:
            task.send(signal.SIGTERM)

    def _kill_rest(self) -> None:
        left = {*processes.descendants(os.getpid()), *processes.marked(self.settings.home)}
        if left:
            late = [child.service.name for child in self.children if child.is_running]
            self.say(f"killing {len(left)} process(es) that did not end ({', '.join(late)})")
        for identity in left:
            identity.send(signal.SIGKILL)
        end = time.monotonic() + 2.0
        while time.monotonic() < end and processes.direct_children():
            self._reap()
            time.sleep(0.05)  # killed, they end at once; nothing else is to be done

    def _rotate_logs(self) -> None:
        for name in [*(child.service.name for child in self.children), "supervisor"]:
            rotate(self.paths.log(name))

    def _write_state(self) -> None:
        state = {
            "pid": os.getpid(),
            "started": self.identity.started if self.identity else None,
            "since": self.began,
            "stopping": self.stopping,
            "services": [child.to_json() for child in self.children],
        }
        temporary = self.paths.state.with_suffix(".new")
        try:
            temporary.write_text(json.dumps(state, indent=1))
            temporary.replace(self.paths.state)
            self._state_is_old = False
        except OSError as error:
            # A full disk must not end what keeps the site alive; it is written when there is room.
            if not self._state_is_old:
                self.say(f"{self.paths.state} cannot be written: {error}")
            self._state_is_old = True


def _head_line(name: str) -> bytes:
    return f"--- {time.strftime('%F %T')} starting {name}\n".encode()


def _children_of(pid: int) -> list[Identity]:
    tree = processes.descendants(pid)
    return [identity for identity in tree if _parent(identity) == pid]


def _parent(identity: Identity) -> int | None:
    process = identity.process()
    return process.ppid() if process else None


def run(home: Path, *, quiet: bool = False) -> int:
    """Run the supervisor of a site in this process; returns the exit code."""
    settings = load(home)
    paths = Paths.of(settings)
    paths.logs.mkdir(parents=True, exist_ok=True)

    def say(text: str) -> None:
        line = f"{time.strftime('%F %T')} {text}"
        with contextlib.suppress(OSError), paths.log("supervisor").open("a") as log:
            log.write(line + "\n")
        if not quiet:
            with contextlib.suppress(OSError):
                print(line, flush=True)

    with hold_lock(paths.lock, patience=1.0) as was_free:
        if not was_free:
            print(f"The site {home} is running already", file=sys.stderr)
            return 1
        Supervisor(settings, services_of(settings), say).run()
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m fate_flow.cli.supervisor")
    parser.add_argument("--home", required=True, type=Path)
    parser.add_argument("--quiet", action="store_true", help="messages only to the log file")
    arguments = parser.parse_args()
    try:
        return run(arguments.home.resolve(), quiet=arguments.quiet)
    except FateFlowError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
