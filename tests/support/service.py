"""Sites with real processes: the whole of Airflow, or small stand-ins where only the supervisor
is of interest."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from fate_flow.cli.processes import MARK


def free_ports(count: int) -> list[int]:
    """Ports that nobody has now."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def wait_for(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """Poll until the condition gives something true; fails with ``what`` when time is over."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"after {seconds:.0f} s still not: {what}")


def clean_environment(**changes: str) -> dict[str, str]:
    """The environment without what ties processes to another site."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AIRFLOW", "FATE_FLOW_", "FATE_FLOW__")) and name != MARK
    }
    return {**kept, **changes}


def fate_flow(
    *arguments: str, timeout: float = 420.0, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command of the tested installation."""
    return subprocess.run(
        [sys.executable, "-m", "fate_flow.cli.main", *arguments],
        env=clean_environment(**(environment or {})),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


@dataclass
class RunningSite:
    """A site whose processes run.

    Attributes:
        home: its folder.
        http_port, grpc_port: where it listens.
    """

    home: Path
    http_port: int
    grpc_port: int

    @classmethod
    def make(cls, home: Path) -> RunningSite:
        """Initialise a site on free ports; nothing is started."""
        http_port, grpc_port = free_ports(2)
        done = fate_flow(
            "init",
            "--home",
            str(home),
            "--http-port",
            str(http_port),
            "--grpc-port",
            str(grpc_port),
        )
        assert done.returncode == 0, done.stderr
        return cls(home, http_port, grpc_port)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    def run(self, *arguments: str, timeout: float = 420.0) -> subprocess.CompletedProcess[str]:
        """A ``fate_flow`` command on this site (the action words first)."""
        return fate_flow(*arguments, "--home", str(self.home), timeout=timeout)

    def start(self) -> str:
        done = self.run("service", "start")
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def stop(self) -> None:
        done = self.run("service", "stop")
        assert done.returncode == 0, done.stdout + done.stderr

    def state(self) -> Mapping[str, Any]:
        """What the supervisor last wrote; empty when it did not."""
        try:
            content: dict[str, Any] = json.loads(
                (self.home / "run" / "supervisor.json").read_text()
            )
        except (OSError, ValueError):
            return {}
        return content

    def service(self, name: str) -> Mapping[str, Any]:
        services = {each["name"]: each for each in self.state().get("services", [])}
        found: dict[str, Any] = services.get(name, {})
        return found

    def kill(self, name: str) -> int:
        """SIGKILL a process by its name in the site; returns the pid it had."""
        pid = self.state()["pid"] if name == "supervisor" else self.service(name)["pid"]
        os.kill(pid, signal.SIGKILL)
        return int(pid)

    def processes(self) -> list[psutil.Process]:
        """All living processes that belong to the site."""
        found = []
        for process in psutil.process_iter():
            try:
                is_dead = process.status() == psutil.STATUS_ZOMBIE
                if not is_dead and process.environ().get(MARK) == str(self.home):
                    found.append(process)
            except (psutil.Error, OSError):
                continue
        return found


#: Stand-ins for the processes of a site, by name: what ``python -c`` runs.
FAKE_SERVICES = {
    # Ends only when it is killed, as a server that hangs.
    "stubborn": (
        "import signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "while True: time.sleep(60)"
    ),
    # Has a child and a grandchild, as an executor with a worker and its task.
    "family": (
        "import subprocess, sys, time\n"
        "nap = 'import time; time.sleep(600)'\n"
        "worker = 'import subprocess, sys, time; '"
        " + f'subprocess.Popen([sys.executable, \"-c\", {nap!r}]); time.sleep(600)'\n"
        "subprocess.Popen([sys.executable, '-c', worker])\n"
        "time.sleep(600)"
    ),
    "failing": "import sys; print('the reason stands here', flush=True); sys.exit(7)",
    "idle": "import time; time.sleep(600)",
}


def start_fake_supervisor(home: Path, names: list[str]) -> subprocess.Popen[bytes]:
    """A supervisor of stand-ins in a process of its own.

    ``family`` owns tasks. The home must have been made by ``initialise``.
    """
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from fate_flow.cli import services, supervisor\n"
        "from tests.support.service import FAKE_SERVICES\n"
        f"names = {names!r}\n"
        "supervisor.services_of = lambda _: [\n"
        "    services.Service(n, (sys.executable, '-c', FAKE_SERVICES[n]),\n"
        "                       owns_tasks=n == 'family') for n in names]\n"
        f"sys.exit(supervisor.run(Path({str(home)!r}), quiet=True))\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env=clean_environment(),
        cwd=Path(__file__).parents[2],
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
