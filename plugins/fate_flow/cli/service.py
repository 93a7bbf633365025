"""``fate_flow service start|stop|restart|status``: the supervisor seen from outside."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from fate_flow.cli import backends, health, processes, services, site, state, supervisor
from fate_flow.cli.processes import Identity
from fate_flow.errors import ConfigurationError, FateFlowError
from fate_flow.settings import FILE_NAME, Settings

#: A start on a busy machine takes this long; then it is called failed.
START_SECONDS = 300.0
STOP_SECONDS = 12.0
#: A process that ended this often before the site was ready will not get better by itself.
HOPELESS_RESTARTS = 2

Say = Callable[[str], None]


class StartFailedError(FateFlowError):
    """The site did not become ready; carries the last log lines of what failed."""

    code = "start_failed"


@dataclass(frozen=True)
class ServiceStatus:
    """One process of a site as ``status`` shows it.

    Attributes:
        name, pid, port, restarts: see :class:`fate_flow.cli.services.Service`.
        uptime: seconds.
        memory: proportional set size in bytes, children included; 0 when unknown.
        problem: empty when healthy.
    """

    name: str
    pid: int | None
    port: int | None
    uptime: float
    restarts: int
    memory: int
    problem: str

    def to_json(self) -> dict[str, Any]:
        return {**self.__dict__, "healthy": not self.problem}


def check_ports(settings: Settings) -> None:
    """Refuse to start while somebody else has one of the site's ports.

    Raises:
        ConfigurationError: names each setting, its port and who holds it.
    """
    problems = []
    for key in ("HTTP_PORT", "GRPC_PORT"):
        port = getattr(settings, key)
        ip = settings.gateway_ip if key == "GRPC_PORT" else settings.IP
        reason = processes.can_bind(ip, port)
        if reason:
            holder = processes.listener(port)
            problems.append(f"{key} {port}: {reason}" + (f", held by {holder}" if holder else ""))
    if problems:
        raise ConfigurationError(
            "\n".join(problems),
            remedy="End that process, or set another port in " + str(settings.home / FILE_NAME),
        )


def start(
    settings: Settings, say: Say, *, timeout: float = START_SECONDS, foreground: bool = False
) -> None:
    """Start the site and wait until it is ready; nothing to do when it runs.

    Raises:
        ConfigurationError: not a site, or a port is taken, or the database or Redis cannot be used.
        StartFailedError: a process of the site does not come up.
    """
    site.require_site(settings.home)
    if state.read_state(settings) is not None:
        say("the site is running already")
        if changed := state.changed_since_start(settings):
            say(
                f"it runs without the changed {' and '.join(changed)};"
                f" to use what was changed: fate_flow service restart --home {settings.home}"
            )
        wait_until_ready(settings, say, timeout=timeout)
        return
    _end_left_overs(settings, say)
    check_ports(settings)
    backends.require(settings)
    site.write_airflow_config(settings)
    if not site.is_migrated(settings):
        say("bringing the database schema up to date")
        site.migrate(settings)
    if foreground:
        supervisor.run(settings.home)
        return
    daemon = _spawn_daemon(settings)
    say(f"supervisor started, pid {daemon.pid}")
    try:
        wait_until_ready(settings, say, timeout=timeout, daemon=daemon)
    except (StartFailedError, KeyboardInterrupt):
        stop(settings, lambda _: None)
        raise


def run_one(settings: Settings, name: str) -> NoReturn:
    """Become one process of the site; whoever started this one watches over it.

    Raises:
        ConfigurationError: no such process, or the database or Redis cannot be used.
    """
    command = services.service_named(settings, name).command
    backends.require(settings)
    site.write_airflow_config(settings)
    os.chdir(settings.home)
    os.execve(command[0], command, site.child_environment(settings))  # noqa: S606 - ours


def _end_left_overs(settings: Settings, say: Say) -> None:
    left = processes.marked(settings.home)
    if left:
        say(f"ending {len(left)} process(es) left by a supervisor that died")
        processes.end(left, grace=3.0)
        time.sleep(0.2)  # the kernel frees the ports of what was killed


def _spawn_daemon(settings: Settings) -> subprocess.Popen[bytes]:
    log = state.Paths.of(settings).log("supervisor")
    log.parent.mkdir(parents=True, exist_ok=True)
    module = "fate_flow.cli.supervisor"
    with log.open("ab") as output:
        return subprocess.Popen(  # noqa: S603 - our own interpreter
            [sys.executable, "-m", module, "--home", str(settings.home), "--quiet"],
            env=site.child_environment(settings),
            cwd=settings.home,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def wait_until_ready(
    settings: Settings,
    say: Say,
    *,
    timeout: float = START_SECONDS,
    daemon: subprocess.Popen[bytes] | None = None,
) -> None:
    """Wait for every process to answer, with a line for each that does.

    Raises:
        StartFailedError: time is over, or a process ends again and again.
    """
    began = time.monotonic()
    waiting = [service.name for service in services.services_of(settings)]
    problem = ""
    while waiting:
        _fail_if_hopeless(settings, waiting, daemon)
        for name in list(waiting):
            check = health.check_of(name)
            problem = check(settings) if check else ""
            if problem:
                break
            waiting.remove(name)
            say(f"{name} is ready ({time.monotonic() - began:.1f} s)")
        if waiting and problem.startswith(health.NEVER_READY):
            raise StartFailedError(f"{waiting[0]} {problem}\n" + log_tail(settings, waiting[0]))
        if waiting and time.monotonic() - began > timeout:
            raise StartFailedError(
                f"{waiting[0]} was not ready after {timeout:.0f} s ({problem})\n"
                + log_tail(settings, waiting[0])
            )
        if waiting:
            # The supervisor writes its state to a file, and the ports are asked.
            time.sleep(0.25)


def _fail_if_hopeless(
    settings: Settings, waiting: Sequence[str], daemon: subprocess.Popen[bytes] | None
) -> None:
    if daemon is not None and daemon.poll() is not None:
        raise StartFailedError("the supervisor ended\n" + log_tail(settings, "supervisor"))
    found = state.read_state(settings) or {}
    for service in found.get("services", []):
        # What was started again on another day and runs since then is not of interest now.
        runs_well = service["pid"] and time.time() - service["since"] > supervisor.STABLE_SECONDS
        if runs_well or service["name"] not in waiting:
            continue
        if service["restarts"] >= HOPELESS_RESTARTS:
            raise StartFailedError(
                f"{service['name']} does not start (ended with {service['last_exit']})\n"
                + log_tail(settings, service["name"])
            )


def log_tail(settings: Settings, name: str, lines: int = 25) -> str:
    """Last lines of a process's log, with the file's name."""
    path = state.Paths.of(settings).log(name)
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 20_000))
            tail = file.read().decode(errors="replace").splitlines()[-lines:]
    except OSError:
        return f"(no log at {path})"
    return "\n".join([f"last lines of {path}:", *(f"  {line}" for line in tail)])


def stop(settings: Settings, say: Say, *, timeout: float = STOP_SECONDS) -> bool:
    """End every process of the site; False when none was running.

    Raises:
        FateFlowError: something could not be ended.
    """
    found = state.read_state(settings)
    identity = _identity(found) if found else None
    if identity:
        say(f"stopping, supervisor pid {identity.pid}")
        identity.send(signal.SIGTERM)
        deadline = time.monotonic() + timeout
        while identity.is_alive and time.monotonic() < deadline:
            time.sleep(0.1)  # it is not our child
        identity.send(signal.SIGKILL)
    left = processes.marked(settings.home)
    if left:
        processes.end(left, grace=1.0)
        time.sleep(0.2)  # what was killed is gone a moment later
        if remaining := processes.marked(settings.home):
            pids = ", ".join(str(process.pid) for process in remaining)
            raise FateFlowError(f"could not end process(es) {pids}")
    say("stopped" if identity or left else "the site is not running")
    return bool(identity or left)


def _identity(found: Mapping[str, Any]) -> Identity | None:
    if not found.get("pid"):
        return None
    identity = Identity(int(found["pid"]), float(found["started"]))
    return identity if identity.is_alive else None


def status(settings: Settings) -> list[ServiceStatus] | None:
    """Each process with its health; None when the site is not running."""
    found = state.read_state(settings)
    if found is None:
        return None
    now = time.time()
    rows = [
        ServiceStatus(
            "supervisor",
            found.get("pid"),
            None,
            _uptime(found.get("since"), now),
            0,
            memory(found.get("pid"), tree=False),
            "stopping" if found.get("stopping") else "",
        )
    ]
    for service in found.get("services", []):
        pid, since = service["pid"], service["since"]
        check = health.check_of(service["name"])
        if pid is None:
            wait = max(0.0, service["next_start"] - now)
            problem = f"ended with {service['last_exit']}, next start in {wait:.0f} s"
        else:
            problem = check(settings) if check else ""
        rows.append(
            ServiceStatus(
                service["name"],
                pid,
                service["port"],
                _uptime(since, now),
                service["restarts"],
                memory(pid),
                problem,
            )
        )
    return rows


def _uptime(since: float | None, now: float) -> float:
    """Seconds; the clock may have been set back meanwhile."""
    return max(0.0, now - since) if since else 0.0


def memory(pid: int | None, *, tree: bool = True) -> int:
    """Proportional set size of a process and, with ``tree``, its descendants, in bytes."""
    if pid is None:
        return 0
    pids = [pid, *(child.pid for child in processes.descendants(pid))] if tree else [pid]
    return sum(_pss(each) for each in pids)


def _pss(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            for line in file:
                if line.startswith("Pss:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0
