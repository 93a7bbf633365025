"""Private database and Redis servers for one test run, on free ports, thrown away afterwards.

Each is started from the packages of the machine and owned by an account that may do nothing
else: PostgreSQL and MariaDB refuse to run as root. A server that is not installed skips the
test, with the package to install.
"""

from __future__ import annotations

import contextlib
import glob
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from fate_flow.cli import site
from tests.support.live_site import LiveSite
from tests.support.service import free_ports, wait_for

START_SECONDS = 60.0


class ServerProcess:
    """A server's process and its children, on one data folder and port."""

    def __init__(self, command: list[str], account: str | None, port: int, folder: Path) -> None:
        self._command = command
        self._account = account
        self._port = port
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it accepts connections."""
        log = self._folder / "server.log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                **_identity(self._account),
            )
        deadline = time.monotonic() + START_SECONDS
        while not _answers(self._port):
            ended = self._process.poll() is not None
            if ended or time.monotonic() > deadline:
                pytest.fail(f"{self._command[0]} does not start\n{log.read_text()[-2000:]}")
            time.sleep(0.05)

    def kill(self) -> None:
        """SIGKILL to all its processes, as a machine that loses its power."""
        assert self._process is not None, "it does not run"
        parent = psutil.Process(self._process.pid)
        # The parent first: PostgreSQL's would start what it sees end.
        family = [parent, *parent.children(recursive=True)]
        for each in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        self._process.wait()
        self._process = None
        left = psutil.wait_procs(family[1:], timeout=10)[1]
        assert not left, f"cannot be killed: {left}"

    @contextlib.contextmanager
    def killed(self, seconds: float) -> Iterator[None]:
        """Killed at once; started again, on the same data, this long after, or at an error."""
        began = time.monotonic()
        self.kill()
        try:
            yield
            time.sleep(max(0.0, began + seconds - time.monotonic()))
        finally:
            self.start()

    def stop(self) -> None:
        """An orderly end."""
        process = self._process
        if process is None:
            return
        # SIGINT is PostgreSQL's fast shutdown; SIGTERM would wait for every client to leave.
        process.send_signal(signal.SIGINT if "postgres" in self._command[0] else signal.SIGTERM)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@dataclass(frozen=True)
class DatabaseServer:
    """A running database server.

    Attributes:
        engine: "postgresql" or "mariadb", as in the setting DATABASE.
        port: TCP port on 127.0.0.1.
        password: of the user ``fate_flow``, who owns all databases made here.
        sql: runs statements as the server's administrator.
        process: to be hurt.
    """

    engine: str
    port: int
    password: str
    sql: Callable[..., None]
    process: ServerProcess

    def create(self, name: str) -> dict[str, Any]:
        """Make an empty database; the setting DATABASE for it."""
        if self.engine == "postgresql":
            self.sql(f"CREATE DATABASE {name} OWNER fate_flow")
        else:
            self.sql(
                f"CREATE DATABASE {name} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;"
                f" GRANT ALL ON {name}.* TO fate_flow@'%'"
            )
        return self.setting(name)

    def setting(self, name: str) -> dict[str, Any]:
        return {
            "engine": self.engine,
            "name": name,
            "user": "fate_flow",
            "passwd": self.password,
            "host": "127.0.0.1",
            "port": self.port,
        }

    def site_values(self, name: str) -> dict[str, Any]:
        """Settings of a site whose database is made here."""
        return {"USE_LOCAL_DATABASE": False, "DATABASE": self.create(name)}


@dataclass(frozen=True)
class RedisServer:
    """A running Redis.

    Attributes:
        port: TCP port on 127.0.0.1.
        password: what clients must give.
        process: to be hurt.
    """

    port: int
    password: str
    process: ServerProcess

    def setting(self) -> dict[str, Any]:
        return {"host": "127.0.0.1", "port": self.port, "password": self.password}

    def site_values(self, index: int = 0) -> dict[str, Any]:
        """Settings of a site that runs its tasks by Celery and this broker."""
        return {"EXECUTOR": "celery", "REDIS": self.setting(), "REDIS_QUEUE_DB_INDEX": index}


@contextlib.contextmanager
def postgresql() -> Iterator[DatabaseServer]:
    """A PostgreSQL server."""
    folders = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
    if not folders:
        pytest.skip("no PostgreSQL server here; install the package postgresql")
    binaries = Path(folders[-1])
    (port,) = free_ports(1)
    with _folder("postgres") as (folder, account):
        data = folder / "data"
        _call(
            [binaries / "initdb", "-D", data, "-U", "admin", "-A", "trust", "-E", "UTF8"], account
        )
        # Only the administrator comes in without a password, and only by the socket.
        (data / "pg_hba.conf").write_text(
            "local all admin trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
        )
        options = ("-p", str(port), "-h", "127.0.0.1", "-k", str(folder), "-c", "fsync=off")
        command = [binaries / "postgres", "-D", data, *options, "-c", "max_connections=200"]

        def sql(*statements: str) -> None:
            for statement in statements:
                login = ("-h", folder, "-p", str(port), "-U", "admin", "-d", "postgres")
                _call([binaries / "psql", *login, "-qc", statement], account)

        with _running(command, account, port, folder) as process:
            ready = [binaries / "pg_isready", "-h", folder, "-p", str(port)]
            # It accepts connections before it answers them.
            wait_for(
                lambda: subprocess.run(ready, capture_output=True, check=False).returncode == 0,
                START_SECONDS,
                "PostgreSQL is ready",
            )
            password = secrets.token_hex(8)
            sql(f"CREATE USER fate_flow PASSWORD '{password}'")
            yield DatabaseServer("postgresql", port, password, sql, process)


@contextlib.contextmanager
def mariadb() -> Iterator[DatabaseServer]:
    """A MariaDB server."""
    server = shutil.which("mariadbd") or shutil.which("mariadbd", path="/usr/sbin")
    install, client = shutil.which("mariadb-install-db"), shutil.which("mariadb")
    if server is None or install is None or client is None:
        pytest.skip("no MariaDB server here; install the package mariadb-server")
    (port,) = free_ports(1)
    with _folder("mysql") as (folder, account):
        data, door = folder / "data", folder / "door"
        quick = ["--auth-root-authentication-method=normal", "--skip-test-db"]
        _call([install, "--no-defaults", f"--datadir={data}", *quick], account)
        command = [
            *(server, "--no-defaults", f"--datadir={data}", f"--socket={door}"),
            *(f"--port={port}", "--bind-address=127.0.0.1", "--skip-name-resolve"),
            # 2: what is committed outlives the server, though not the machine.
            *("--innodb-flush-log-at-trx-commit=2", "--explicit-defaults-for-timestamp=1"),
            *("--innodb-buffer-pool-size=64M", "--max-connections=200"),
        ]

        def sql(*statements: str) -> None:
            for statement in statements:
                _call(
                    [client, "--no-defaults", f"--socket={door}", "-uroot", "-e", statement], None
                )

        with _running(command, account, port, folder) as process:
            password = secrets.token_hex(8)
            sql(f"CREATE USER fate_flow@'%' IDENTIFIED BY '{password}'")
            yield DatabaseServer("mariadb", port, password, sql, process)


@contextlib.contextmanager
def redis() -> Iterator[RedisServer]:
    """A Redis server that asks for a password and writes nothing to disk."""
    server = shutil.which("redis-server")
    if server is None:
        pytest.skip("no Redis server here; install the package redis-server")
    (port,) = free_ports(1)
    password = secrets.token_hex(8)
    with _folder("redis") as (folder, account):
        # By a file: a command line can be read by everybody.
        file = folder / "redis.conf"
        file.write_text(
            f"port {port}\nbind 127.0.0.1\nrequirepass {password}\nsave ''\ndir {folder}\n"
        )
        with _running([server, file], account, port, folder) as process:
            yield RedisServer(port, password, process)


@contextlib.contextmanager
def started_on(home: Path, *, identity: str = "", **values: Any) -> Iterator[LiveSite]:
    """A running site with these settings; its database is made at the start.

    Args:
        identity: name of the site among others; given, it gets certificates.
    """
    http_port, grpc_port = free_ports(2)
    options = {"HTTP_PORT": http_port, "GRPC_PORT": grpc_port, **values}
    site.initialise(home, options, name=identity)
    made = LiveSite(home, http_port, grpc_port)
    try:
        made.start()
        yield made
    finally:
        made.stop()


@contextlib.contextmanager
def _folder(account: str) -> Iterator[tuple[Path, str | None]]:
    """A folder for a server's files, and the account to run it as; None: the caller's.

    Below /tmp itself: the path of a socket has at most 107 characters, and the folders of a
    test run are closed to other accounts.
    """
    user = _account(account) if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="ff-server-", dir="/tmp"))
    try:
        if user is not None:
            entry = pwd.getpwnam(user)
            os.chown(folder, entry.pw_uid, entry.pw_gid)
        yield folder, user
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _account(wanted: str) -> str:
    for name in (wanted, "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    pytest.skip(f"no account {wanted} or nobody to run a server as")


def _identity(account: str | None) -> Mapping[str, Any]:
    if account is None:
        return {}
    entry = pwd.getpwnam(account)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def _call(command: Sequence[object], account: str | None) -> None:
    done = subprocess.run(
        [str(word) for word in command],
        cwd="/",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        **_identity(account),
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


@contextlib.contextmanager
def _running(
    command: Sequence[object], account: str | None, port: int, folder: Path
) -> Iterator[ServerProcess]:
    server = ServerProcess([str(word) for word in command], account, port, folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False
