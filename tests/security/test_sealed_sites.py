"""A value from host to arbiter passes the gateway of the guest's site, which learns nothing."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from fate_flow.entities import Party
from fate_flow.federation.channel import site_tls
from fate_flow.federation.client import GatewaySession
from fate_flow.federation.sealing import Sealer, SealError
from tests.support.federated import FederatedGateway, three_sites
from tests.support.gateway import ARBITER, GUEST, HOST

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[FederatedGateway]]:
    with three_sites(tmp_path_factory.mktemp("sites")) as made:
        yield made


def sealer_of(site: FederatedGateway, sites: list[FederatedGateway]) -> Sealer:
    keys = {party: s.identity.seal_public for s in sites for party in s.parties}
    return Sealer(site.identity.seal_private, keys)


def joined(
    sites: list[FederatedGateway], component: str, unsealed: Party | None = None
) -> dict[Party, GatewaySession]:
    sessions = {}
    for site in sites:
        [party] = site.parties
        sealer = None if party == unsealed else sealer_of(site, sites)
        sessions[party] = site.task(party, sites[0], component=component, sealer=sealer)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda session: session.join(), sessions.values()))
    return sessions


def memory_of(site: FederatedGateway) -> bytes:
    """All that the gateway's process has in its writable memory."""
    parts = []
    with (
        open(f"/proc/{site.pid}/maps") as maps,
        open(f"/proc/{site.pid}/mem", "rb", buffering=0) as memory,
    ):
        for line in maps:
            found = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", line)
            if found is None or "[v" in line:
                continue
            start, end = (int(text, 16) for text in found.groups())
            memory.seek(start)
            try:
                parts.append(memory.read(end - start))
            except OSError:
                continue
    return b"".join(parts)


@pytest.mark.parametrize("size", [1_000, 5_000_000], ids=["small", "large"])
def test_the_home_has_no_plaintext_in_its_memory_or_files(
    sites: list[FederatedGateway], size: int
) -> None:
    bank, shop, office = sites
    mark = secrets.token_hex(24)
    secret = {"note": mark, "data": np.full(size, 7.25)}
    tasks = joined(sites, f"quiet_{size}")
    try:
        tasks[HOST].send("forward", secret, ARBITER)
        # The value is here: its name is, in the records of the mailbox.
        with bank.admin() as admin:
            [entry] = admin.mailbox()
            assert (entry.variable, entry.sender.role) == ("forward", "host")
            assert entry.available == entry.size > 8 * size
        for site in (bank, shop, office):
            seen = memory_of(site)
            assert b"quiet_" in seen or site is office
            for plain in (mark.encode(), np.full(4, 7.25).tobytes()):
                assert plain not in seen, site.name
            for file in site.home.rglob("*"):
                assert not file.is_file() or mark.encode() not in file.read_bytes(), file
        received = tasks[ARBITER].receive("forward", HOST)
        assert received["note"] == mark
        np.testing.assert_array_equal(received["data"], secret["data"])
    finally:
        for task in tasks.values():
            task.close()


def test_without_seals_the_scan_finds_the_value(sites: list[FederatedGateway]) -> None:
    """That the test above would find it."""
    mark = secrets.token_hex(24)
    tasks = joined(sites, "loud_0", unsealed=HOST)
    try:
        tasks[HOST].send("forward", mark, ARBITER)
        assert mark.encode() in memory_of(sites[0])
        with pytest.raises(SealError, match="forward of host 10000 came unsealed"):
            tasks[ARBITER].receive("forward", HOST)
    finally:
        for task in tasks.values():
            task.close()


def test_the_home_cannot_speak_for_the_host(sites: list[FederatedGateway]) -> None:
    """It can let a process of its own in as the host; what that sends opens nowhere."""
    bank, _, office = sites
    keys = {party: s.identity.seal_public for s in sites for party in s.parties}
    sealer = Sealer(bank.identity.seal_private, keys)
    tls = site_tls(bank.settings)
    forged = bank.session(HOST, component="forged_1", sealer=sealer, tls=tls)
    guest = bank.task(GUEST, bank, component="forged_1", sealer=sealer_of(bank, sites))
    arbiter = office.task(ARBITER, bank, component="forged_1", sealer=sealer_of(office, sites))
    try:
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(lambda session: session.join(), (forged, guest, arbiter)))
        forged.send("forward", 1, [ARBITER])
        with pytest.raises(SealError, match="not what the site of host 10000 sealed"):
            arbiter.receive("forward", HOST)
    finally:
        for session in (forged, guest, arbiter):
            session.close()
