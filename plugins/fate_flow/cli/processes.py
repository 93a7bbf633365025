"""Processes of a site: who they are, how they are found again and how they are ended.

A pid alone names nothing: it may belong to somebody else by the time a signal is sent.
Every process is therefore known by pid and start time, and every process that the
supervisor starts (and whatever those start) carries the site's home in the environment
variable :data:`MARK`, so that left-overs can be told from a stranger's processes.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

#: Environment variable of all supervised processes; holds the site's home.
MARK = "FATE_FLOW_SUPERVISED_HOME"

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True)
class Identity:
    """A process that cannot be confused with a later one of the same pid.

    Attributes:
        pid: process id.
        started: start time; clock ticks since boot on Linux, else seconds since 1970.
    """

    pid: int
    started: float

    @classmethod
    def of(cls, pid: int) -> Identity | None:
        started = _start_time(pid)
        return None if started is None else cls(pid, started)

    @property
    def is_alive(self) -> bool:
        return _start_time(self.pid) == self.started

    def process(self) -> psutil.Process | None:
        """The running process, or None when it has ended."""
        if not self.is_alive:
            return None
        try:
            return psutil.Process(self.pid)
        except psutil.Error:
            return None

    def send(self, number: int) -> bool:
        """Signal it; False when it is gone."""
        if not self.is_alive:
            return False
        try:
            os.kill(self.pid, number)
        except (ProcessLookupError, PermissionError):
            return False
        return True


def _start_time(pid: int) -> float | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        if sys.platform.startswith("linux"):
            return None
        try:
            return float(psutil.Process(pid).create_time())
        except psutil.Error:
            return None
    except OSError:
        return None
    # The command in parentheses may hold blanks; fields 3 (state) and 22 (start time) follow it.
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in ("Z", "X") else float(fields[19])


def activity(pid: int) -> tuple[str, int] | None:
    """State letter and CPU time (clock ticks, all threads) of a process; None: not known here."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return fields[0], int(fields[11]) + int(fields[12])
    except (OSError, IndexError, ValueError):
        return None


def become_subreaper() -> bool:
    """Make orphans among the descendants children of this process (Linux; else False).

    The workers of a killed scheduler would otherwise move to the init process, out of sight.
    """
    return _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent() -> None:
    """Ask the kernel for a SIGTERM when the parent ends; for use between fork and exec."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _prctl(option: int, value: int) -> bool:
    if not sys.platform.startswith("linux"):
        return False
    try:
        return bool(ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) == 0)
    except (OSError, AttributeError):
        return False


def direct_children() -> list[int]:
    """Pids of this process's children, adopted ones too; one small read on Linux."""
    try:
        text = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
        return [int(word) for word in text.split()]
    except OSError:
        return [child.pid for child in psutil.Process().children()]


def descendants(pid: int) -> list[Identity]:
    """All descendants of a process, parents before children."""
    try:
        found = psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []
    identities = (Identity.of(child.pid) for child in found)
    return [identity for identity in identities if identity]


def marked(home: Path) -> list[Identity]:
    """All living processes that a supervisor of this site started, except the caller."""
    wanted = str(home)
    found = []
    for process in psutil.process_iter():
        if process.pid == os.getpid():
            continue
        try:
            if process.environ().get(MARK) != wanted:
                continue
        except (psutil.Error, OSError):
            continue
        identity = Identity.of(process.pid)
        if identity:
            found.append(identity)
    return found


def end(processes: Iterable[Identity], grace: float) -> int:
    """SIGTERM, wait up to ``grace`` seconds, SIGKILL; returns how many had to be killed.

    Children of the caller are reaped by the caller; a zombie counts as ended.
    """
    waiting = [identity for identity in processes if identity.send(signal.SIGTERM)]
    deadline = time.monotonic() + grace
    while waiting and time.monotonic() < deadline:
        # They are not our children, so the kernel tells nobody here of their end.
        time.sleep(0.05)
        waiting = [identity for identity in waiting if identity.is_alive]
    return sum(identity.send(signal.SIGKILL) for identity in waiting)


def can_bind(ip: str, port: int) -> str:
    """Why the address cannot be bound; empty when it can."""
    try:
        family, kind, proto, _, address = socket.getaddrinfo(ip, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        return f"cannot resolve {ip}: {error}"
    with socket.socket(family, kind, proto) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            return error.strerror or str(error)
    return ""


def listener(port: int) -> str:
    """Who listens on a TCP port, as ``pid 12 (name: command line)``; empty when unknown."""
    try:
        connections = psutil.net_connections("tcp")
    except (psutil.Error, OSError):
        return ""
    for connection in connections:
        address = connection.laddr
        if connection.status == psutil.CONN_LISTEN and address and address.port == port:
            if connection.pid is None:
                return ""
            try:
                process = psutil.Process(connection.pid)
                command = " ".join(process.cmdline())[:120]
                return f"pid {process.pid} ({process.name()}: {command})"
            except psutil.Error:
                return f"pid {connection.pid}"
    return ""
