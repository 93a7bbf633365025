"""A real gateway process for tests, with sessions of made-up tasks."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import yaml

from fate_flow.entities import Party, TaskIdentity
from fate_flow.errors import FateFlowError
from fate_flow.federation import tokens
from fate_flow.federation.admin import GatewayAdmin
from fate_flow.federation.channel import site_tls
from fate_flow.federation.client import GatewaySession
from fate_flow.settings import Settings, load

JOB = "2026010100000000000001"
COMPONENT = "hetero_lr_0"
GUEST = Party("guest", 9999)
HOST = Party("host", 10000)
ARBITER = Party("arbiter", 10000)
ROLES: Mapping[str, Sequence[int]] = {"guest": [9999], "host": [10000], "arbiter": [10000]}
PAIR: Mapping[str, Sequence[int]] = {"guest": [9999], "host": [10000]}


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@dataclass
class GatewayProcess:
    """A site's home and the gateway that runs in it."""

    home: Path
    extra: Mapping[str, Any] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    port: int = 0

    def __post_init__(self) -> None:
        self.port = free_port()
        values = {
            "IP": "127.0.0.1",
            "GRPC_PORT": self.port,
            "MAILBOX_MEMORY_BYTES": 64 << 20,
            **self.extra,
        }
        (self.home / "conf").mkdir(parents=True)
        (self.home / "fate_flow.yaml").write_text(yaml.safe_dump(values))
        (self.home / "conf" / "site_secret").write_text(secrets.token_hex(32))

    @property
    def settings(self) -> Settings:
        return load(self.home)

    @property
    def log(self) -> str:
        return (self.home / "gateway.log").read_text()

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def start(self) -> None:
        with (self.home / "gateway.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "fate_flow.federation.gateway", "--home", str(self.home)],
                stderr=log,
                stdout=log,
            )
        end = time.monotonic() + 30
        with self.admin() as admin:
            while True:
                try:
                    admin.health()
                    return
                except FateFlowError:
                    assert self.process.poll() is None, self.log
                    assert time.monotonic() < end, self.log
                    time.sleep(0.05)

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.kill()

    def rss(self) -> int:
        return int(psutil.Process(self.pid).memory_info().rss)

    def admin(self) -> GatewayAdmin:
        return GatewayAdmin.of(self.settings)

    def token(self, party: Party, *, job: str = JOB, component: str = COMPONENT) -> str:
        return tokens.issue(
            self.settings.secret(),
            job_id=job,
            component=component,
            role=party.role,
            party_id=party.party_id,
            ttl=600,
        )

    def session(
        self,
        party: Party,
        *,
        job: str = JOB,
        component: str = COMPONENT,
        roles: Mapping[str, Sequence[int]] = ROLES,
        **options: Any,
    ) -> GatewaySession:
        identity = TaskIdentity(job, component, "HeteroLR", party, roles)
        token = options.pop("token", None) or self.token(party, job=job, component=component)
        options.setdefault("timeout", 30.0)
        options.setdefault("patience", 20.0)
        options.setdefault("tls", site_tls(self.settings))
        return GatewaySession(f"127.0.0.1:{self.port}", token, identity, **options)


def environment() -> dict[str, str]:
    """For child processes of tests that import from ``tests``."""
    root = str(Path(__file__).resolve().parents[2])
    return {**os.environ, "PYTHONPATH": root}


def together(**programs: Callable[[], Any]) -> dict[str, Any]:
    """Run the parties' programs at once; raises the first error in order of the arguments."""
    with ThreadPoolExecutor(len(programs)) as pool:
        futures = {name: pool.submit(program) for name, program in programs.items()}
        return {name: future.result() for name, future in futures.items()}
