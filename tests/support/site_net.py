"""Sites on machines of their own, as far as one machine can be several: each in a network
namespace, with two interfaces. ``fed0`` leads to the other sites and is what tests cut and
disturb; ``man0`` is how the test itself reaches the site, as its users would."""

from __future__ import annotations

import contextlib
import functools
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from fate_flow.entities import Party
from fate_flow.federation.admin import GatewayAdmin
from fate_flow.federation.channel import site_tls
from fate_flow.settings import FILE_NAME
from tests.support import slow_wire
from tests.support.live_site import LiveSite
from tests.support.service import clean_environment

HTTP_PORT, GRPC_PORT = 9380, 9360


@functools.cache
def why_not() -> str:
    """Why this machine cannot have namespaces; empty when it can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "no ip command (package iproute2)"
    probe = f"ffp{os.getpid()}"
    if _ip("netns", "add", probe, check=False):
        return "the kernel or the sandbox allows no network namespaces"
    _ip("netns", "delete", probe, check=False)
    return ""


def _ip(*arguments: str, check: bool = True) -> int:
    return _run("ip", *arguments, check=check)


def _run(*command: str, check: bool = True) -> int:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert not (check and done.returncode), f"{' '.join(command)}: {done.stderr}"
    return done.returncode


@dataclass
class SiteNet:
    """Two bridges that namespaces are plugged into.

    Attributes:
        number: second byte of the addresses; one that no other net of the machine has.
    """

    number: int = 0
    members: dict[str, int] = field(default_factory=dict)

    def __enter__(self) -> SiteNet:
        for self.number in random.sample(range(60, 250), 100):
            if not _ip("link", "add", self._bridge("f"), "type", "bridge", check=False):
                break
        _ip("link", "add", self._bridge("m"), "type", "bridge")
        for kind in ("f", "m"):
            _ip("link", "set", self._bridge(kind), "up")
        _ip("address", "add", f"{self._address('m', 254)}/24", "dev", self._bridge("m"))
        return self

    def __exit__(self, *_: object) -> None:
        for name in self.members:
            _ip("netns", "delete", self.namespace(name), check=False)
            for kind in ("f", "m"):
                _ip("link", "delete", self._outside(kind, name), check=False)
        for kind in ("f", "m"):
            _ip("link", "delete", self._bridge(kind), check=False)

    def add(self, name: str) -> None:
        """A namespace with both interfaces."""
        self.members[name] = len(self.members) + 1
        space = self.namespace(name)
        _ip("netns", "add", space)
        _ip("-n", space, "link", "set", "lo", "up")
        for kind, inside in (("f", "fed0"), ("m", "man0")):
            outside = self._outside(kind, name)
            _ip("link", "add", outside, "type", "veth", "peer", "name", inside, "netns", space)
            _ip("link", "set", outside, "master", self._bridge(kind))
            _ip("link", "set", outside, "up")
            address = f"{self._address(kind, self.members[name])}/24"
            _ip("-n", space, "address", "add", address, "dev", inside)
            _ip("-n", space, "link", "set", inside, "up")

    def cut(self, name: str) -> None:
        """Nothing goes between this site and the others any more, and nobody is told."""
        _ip("link", "set", self._outside("f", name), "down")

    def heal(self, name: str) -> None:
        _ip("link", "set", self._outside("f", name), "up")

    @contextlib.contextmanager
    def losing(self, name: str, share: float) -> Iterator[None]:
        """Drop this share of the packets that come in from the other sites."""
        rule = ["INPUT", "-i", "fed0", "-m", "statistic", "--mode", "random"]
        rule += ["--probability", str(share), "-j", "DROP"]
        prefix = ["ip", "netns", "exec", self.namespace(name), "iptables"]
        subprocess.run([*prefix, "-A", *rule], check=True)
        try:
            yield
        finally:
            subprocess.run([*prefix, "-D", *rule], check=True)

    @contextlib.contextmanager
    def delaying(self, name: str, weather: slow_wire.Weather) -> Iterator[None]:
        """Delay and lose what goes between this site and the others, both ways."""
        outside, space = self._outside("f", name), self.namespace(name)
        netem = ["root", *weather.netem()]
        if _run("tc", "qdisc", "add", "dev", outside, *netem, check=False) == 0:
            inside = ["tc", "-n", space, "qdisc"]
            try:
                _run(*inside, "add", "dev", "fed0", *netem)
                yield
            finally:
                _run(*inside, "delete", "dev", "fed0", "root", check=False)
                _run("tc", "qdisc", "delete", "dev", outside, "root")
            return
        ours, port = (f"ffw{self.number}{name}"[:14] + end for end in "ab")
        _ip("link", "add", ours, "type", "veth", "peer", "name", port)
        try:
            # Whole frames with their checksums, as they would be on a wire.
            slow_wire.set_offloads(port, False)
            slow_wire.set_offloads_in(space, "fed0", False)
            with slow_wire.forwarding(outside, ours, weather):
                _ip("link", "set", ours, "up")
                _ip("link", "set", outside, "nomaster")
                _ip("link", "set", port, "master", self._bridge("f"), "up")
                yield
        finally:
            _ip("link", "set", outside, "master", self._bridge("f"))
            _ip("link", "delete", ours)
            slow_wire.set_offloads_in(space, "fed0", True)

    def namespace(self, name: str) -> str:
        return f"ff{self.number}{name}"

    def federation_address(self, name: str) -> str:
        return f"{self._address('f', self.members[name])}:{GRPC_PORT}"

    def management_address(self, name: str) -> str:
        return self._address("m", self.members[name])

    def _address(self, kind: str, host: int) -> str:
        return f"10.{self.number}.{1 if kind == 'f' else 2}.{host}"

    def _bridge(self, kind: str) -> str:
        return f"ffb{self.number}{kind}"

    def _outside(self, kind: str, name: str) -> str:
        # An interface's name has at most 15 characters.
        return f"ff{self.number}{kind}{name}"[:15]


@dataclass
class NetSite(LiveSite):
    """A site in a namespace.

    Attributes:
        name: of the site, of its namespace.
        net: what it is plugged into.
        parties: whom it hosts.
    """

    name: str = ""
    net: SiteNet = field(default_factory=SiteNet)
    parties: tuple[Party, ...] = ()

    @classmethod
    def make_in(
        cls,
        net: SiteNet,
        name: str,
        home: Path,
        *parties: Party,
        environment: Mapping[str, str] | None = None,
        **values: Any,
    ) -> NetSite:
        """Initialise a site in a namespace of its own; nothing is started."""
        net.add(name)
        made = cls(home, HTTP_PORT, GRPC_PORT, environment=environment or {})
        made.name, made.net, made.parties = name, net, parties
        named = [argument for party in parties for argument in ("--party", party.key)]
        address = net.federation_address(name)
        done = made.run("init", "--name", name, *named, "--gateway-address", address)
        assert done.returncode == 0, done.stdout + done.stderr
        file = home / FILE_NAME
        content = {
            **yaml.safe_load(file.read_text()),
            "IP": "0.0.0.0",
            "HTTP_PORT": HTTP_PORT,
            "GRPC_PORT": GRPC_PORT,
            # The namespace is its own little network, and nobody else is in it.
            "ALLOW_PUBLIC_WITHOUT_AUTHENTICATION": True,
            **values,
        }
        file.write_text(yaml.safe_dump(content))
        return made

    @property
    def url(self) -> str:
        return f"http://{self.net.management_address(self.name)}:{self.http_port}"

    def run(self, *arguments: str, timeout: float = 420.0) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                *("ip", "netns", "exec", self.net.namespace(self.name)),
                *(sys.executable, "-m", "fate_flow.cli.main", *arguments, "--home", str(self.home)),
            ],
            env=clean_environment(**self.environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def command(self, *arguments: str, timeout: float = 120.0) -> str:
        """A command that must succeed; what it printed."""
        done = self.run(*arguments, timeout=timeout)
        assert done.returncode == 0, f"{self.name}: {arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    def wait_healthy(self, timeout: float = 120.0) -> None:
        """Asked within the namespace, where the site's own addresses are."""
        self.wait_until(
            "a healthy site", lambda: self.run("service", "status").returncode == 0, timeout
        )

    def gateway(self) -> GatewayAdmin:
        address = f"{self.net.management_address(self.name)}:{self.grpc_port}"
        return GatewayAdmin(address, self.settings.secret(), tls=site_tls(self.settings))


def trust(first: NetSite, second: NetSite) -> None:
    """Two sites exchange invitations, as their people would."""
    for one, other in ((first, second), (second, first)):
        file = other.home / f"invitation-of-{one.name}.json"
        file.write_text(one.command("peer", "invite"))
        other.command("peer", "add", str(file), "--name", one.name, "--yes")
