"""``fate_flow demo-sites``: the demo's job between three sites on one machine.

Each site is an installation of its own: home, database, ports, certificates and one party.
They get to know each other by the same commands that organisations use.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from fate_flow.cli import demo, demo_data, site
from fate_flow.client import FateFlowClient
from fate_flow.errors import FateFlowError
from fate_flow.settings import Settings, load

#: Name of each site -> its party.
SITES = {"bank-a": "guest:9999", "bank-b": "host:10000", "trust-c": "arbiter:10000"}
START_SECONDS = 900.0
COMMAND_SECONDS = 180.0

Say = Callable[[str], None]


class StepFailedError(FateFlowError):
    """A command of the demo failed; the text is what it said."""

    code = "demo_step_failed"


@dataclass(frozen=True)
class Member:
    """One of the sites."""

    name: str
    party: str
    home: Path
    http_port: int
    grpc_port: int

    @property
    def settings(self) -> Settings:
        return load(self.home)

    def run(self, *arguments: str, timeout: float = COMMAND_SECONDS) -> str:
        """A ``fate_flow`` command at this site; what it printed.

        Raises:
            StepFailedError: with what it complained of.
        """
        return _finish(self._begin(arguments), arguments, timeout)

    def _begin(self, arguments: Sequence[str]) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "fate_flow.cli.main", *arguments, "--home", str(self.home)]
        return subprocess.Popen(  # noqa: S603 - our own interpreter
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def start(self) -> subprocess.Popen[str]:
        return self._begin(("service", "start", "--timeout", str(START_SECONDS)))


def members(folder: Path, http_port: int, grpc_port: int) -> list[Member]:
    """The sites below a folder, on ports from the given ones upwards."""
    return [
        Member(name, party, folder / name, http_port + number, grpc_port + number)
        for number, (name, party) in enumerate(SITES.items())
    ]


def run(folder: Path, *, http_port: int, grpc_port: int, timeout: float, plain: bool) -> int:
    """Run the demo; prints its progress and result; returns the exit code.

    Raises:
        FateFlowError: with the reason, when a step fails.
    """
    console = Console(highlight=False)

    def say(text: str) -> None:
        console.print(text, soft_wrap=True, markup=False)

    sites = members(folder, http_port, grpc_port)
    _make(sites, say)
    _start(sites, say)
    _introduce(sites, folder, say)
    _check(sites, say)
    clients = {each.name: FateFlowClient(each.settings.http_url) for each in sites}
    _upload(folder, clients, say)
    example = demo.example_folder(demo.EXAMPLE)
    dsl = json.loads((example / "dsl.json").read_text())
    conf = json.loads((example / "conf.json").read_text())
    outcome = demo.run_job(
        clients["bank-a"],
        dsl,
        conf,
        console,
        timeout=timeout,
        live=not plain and sys.stdout.isatty(),
        arbiter=clients["trust-c"],
    )
    demo.print_outcome(console, sites[0].settings, outcome)
    say("")
    for each in sites:
        say(f"{each.name:<14} {each.party:<14} {each.settings.http_url}")
    return 0


def stop(folder: Path, say: Say) -> int:
    """End the processes of all sites below a folder."""
    for each in members(folder, 0, 0):
        if (each.home / "fate_flow.yaml").exists():
            each.run("service", "stop")
            say(f"{each.name} stopped")
    return 0


def _make(sites: Sequence[Member], say: Say) -> None:
    for each in sites:
        ports = ("--http-port", str(each.http_port), "--grpc-port", str(each.grpc_port))
        is_new = not (each.home / "fate_flow.yaml").exists()
        each.run("init", "--name", each.name, "--party", each.party, *ports, timeout=START_SECONDS)
        done = "made" if is_new or not site.is_migrated(each.settings) else "there already"
        say(f"site {each.name} for {each.party}: {done} ({each.home})")


def _start(sites: Sequence[Member], say: Say) -> None:
    say("starting the three sites (a minute or two) ...")
    began = time.monotonic()
    failures = []
    for each, process in [(each, each.start()) for each in sites]:
        try:
            _finish(process, ("service", "start"), START_SECONDS)
        except StepFailedError as error:
            failures.append(f"{each.name}: {error.message}")
            continue
        say(f"{each.name} is ready at {each.settings.http_url} ({time.monotonic() - began:.0f} s)")
    if failures:
        raise StepFailedError("\n".join(failures))


def _introduce(sites: Sequence[Member], folder: Path, say: Say) -> None:
    """Everybody adds everybody else's invitation, after a look at the fingerprint."""
    from fate_flow.federation.identity import SiteIdentity

    for each in sites:
        file = folder / f"{each.name}.invitation.json"
        file.write_text(each.run("peer", "invite"))
        # On the telephone, between two organisations.
        fingerprint = SiteIdentity.load(each.settings).fingerprint
        for other in sites:
            if other is each or each.name in _known_to(other):
                continue
            other.run("peer", "add", str(file), "--fingerprint", fingerprint)
            say(f"{other.name} $ fate_flow peer add {file.name} --fingerprint …")


def _known_to(member: Member) -> set[str]:
    return {str(peer["name"]) for peer in json.loads(member.run("peer", "list", "--json"))}


def _check(sites: Sequence[Member], say: Say) -> None:
    first, *others = sites
    for other in others:
        last = first.run("peer", "check", other.name).strip().splitlines()[-1]
        say(f"{first.name} $ fate_flow peer check {other.name}: {last}")


def _upload(folder: Path, clients: dict[str, FateFlowClient], say: Say) -> None:
    files = demo_data.write(folder / "data")
    say(
        f"data: guest {files.guest_rows} cases, host {files.host_rows},"
        f" {files.common_rows} in common ({files.guest.parent})"
    )
    for name, path, table in (
        ("bank-a", files.guest, "breast_guest"),
        ("bank-b", files.host, "breast_host"),
    ):
        job_id = demo.upload(clients[name], path, table)
        say(f"uploaded {path.name} to {name} as {demo.NAMESPACE}/{table} (job {job_id})")


def _finish(process: subprocess.Popen[str], arguments: Sequence[str], timeout: float) -> str:
    shown = f"fate_flow {' '.join(arguments)}"
    try:
        output, complaint = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        raise StepFailedError(f"{shown} did not end within {timeout:.0f} s") from None
    if process.returncode:
        raise StepFailedError(f"{shown}: {(complaint or output).strip()[-2000:]}")
    return output
