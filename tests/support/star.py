"""Three sites that cannot call each other, and an exchange in the middle that connects them.

The guest's and the arbiter's site let in the exchange alone. The host's site is behind a NAT:
it lets in nobody, and keeps a connection to the exchange. Everything is set up by the commands
of docs/two-organisations.md.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.support.firewall import let_in
from tests.support.live_jobs import ARBITER, GUEST, HOST
from tests.support.site_net import NetSite, SiteNet
from tests.support.three_sites import Federation

EXCHANGE = "exchange"


class Star(Federation):
    """The three sites, and the one in the middle.

    Attributes:
        exchange: hosts no party.
    """

    exchange: NetSite

    @property
    def everyone(self) -> list[NetSite]:
        return [*self.sites, self.exchange]

    def nothing_left(self, job_id: str) -> None:
        super().nothing_left(job_id)
        self.exchange.nothing_left(job_id, 20.0)

    def check(self, at: NetSite, peer: NetSite) -> str:
        """What ``fate_flow peer check`` says; fails the test when it does not work."""
        return at.command("peer", "check", peer.name)

    def failing_check(self, at: NetSite, peer: NetSite) -> str:
        done = at.run("peer", "check", peer.name)
        assert done.returncode == 1, done.stdout + done.stderr
        return done.stdout

    def recover(self, at: NetSite, peer: NetSite, seconds: float) -> None:
        """Until one reaches the other again, and is reached."""
        began = time.monotonic()
        at.wait_until(
            f"{peer.name} is reached from {at.name}",
            lambda: at.run("peer", "check", peer.name).returncode == 0,
            seconds,
        )
        print(f"{at.name} and {peer.name} again after {time.monotonic() - began:.1f} s")


@contextlib.contextmanager
def star(folder: Path) -> Iterator[Star]:
    """Everything runs, the data are there, and one undisturbed job has run."""
    with contextlib.ExitStack() as stack:
        net = stack.enter_context(SiteNet())
        guest = NetSite.make_in(net, "guest", folder / "g", GUEST)
        host = NetSite.make_in(net, "host", folder / "h", HOST)
        arbiter = NetSite.make_in(net, "arb", folder / "a", ARBITER)
        exchange = NetSite.make_in(net, EXCHANGE, folder / "x")
        let_in(guest, exchange)
        let_in(arbiter, exchange)
        let_in(host)
        let_in(exchange, guest, arbiter, host)
        sites = [exchange, guest, host, arbiter]
        pool = stack.enter_context(ThreadPoolExecutor(2))
        stack.callback(lambda: list(pool.map(NetSite.stop, sites)))
        list(pool.map(NetSite.start, sites))
        _introduce(exchange, [guest, arbiter], [host], folder)
        made = Star.undisturbed(net, guest, host, arbiter, folder)
        assert isinstance(made, Star)
        made.exchange = exchange
        yield made


def _introduce(
    exchange: NetSite, callable_ones: list[NetSite], hidden: list[NetSite], folder: Path
) -> None:
    banks = [*callable_ones, *hidden]
    invitations = {}
    for site in [exchange, *banks]:
        file = folder / f"{site.name}.json"
        options = ["--dials-out"] if site in hidden else []
        file.write_text(site.command("peer", "invite", *options))
        invitations[site.name] = str(file)
    for site in banks:
        add = ("peer", "add", "--yes")
        exchange.command(*add, invitations[site.name], "--may-route", "yes")
        site.command(*add, invitations[EXCHANGE], *(["--we-dial"] if site in hidden else []))
        for other in banks:
            if other is not site:
                site.command(*add, invitations[other.name], "--via", EXCHANGE)
