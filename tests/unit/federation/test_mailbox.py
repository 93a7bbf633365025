from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from fate_flow.entities import Party
from fate_flow.errors import AttemptSupersededError, FederationTimeoutError, ProtocolError
from fate_flow.federation.addresses import Slot
from fate_flow.federation.diagnosis import Counters
from fate_flow.federation.mailbox import Mailbox
from fate_flow.federation.store import BlobStore

GUEST, HOST, OTHER = Party("guest", 9999), Party("host", 10000), Party("host", 10001)


class Site:
    """A mailbox with few bytes: 4 in memory at most for one value, 8 for all; 16 on disk."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "values"
        self.store = BlobStore(self.folder, memory_limit=8, disk_limit=16)
        self.store.open()
        self.counters = Counters()
        self.mailbox = Mailbox(self.store, self.counters)

    async def send(self, name: str, data: bytes, *to: Party, timeout: float = 0.2) -> bool:
        slots = [Slot(name, "t", GUEST, party) for party in to or (HOST,)]
        value = self.mailbox.offer(slots, len(data), hashlib.sha256(data).digest())
        if value is None:
            return False
        blob = await self.mailbox.room(value, timeout)
        await blob.append(0, data)
        self.mailbox.stored(value)
        return True

    async def receive(self, name: str, party: Party = HOST, timeout: float = 0.2) -> bytes:
        slot = Slot(name, "t", GUEST, party)
        value = await self.mailbox.wait(slot, timeout)
        assert value.blob is not None
        data = b"".join([bytes(piece) async for piece in value.blob.chunks()])
        self.mailbox.acknowledge(slot)
        return data

    @property
    def files(self) -> int:
        return len(list(self.folder.iterdir()))


def run(tmp_path: Path, test: Callable[[Site], Awaitable[Any]]) -> None:
    async def main() -> None:
        site = Site(tmp_path)
        try:
            await test(site)
        finally:
            site.store.close()
        assert not site.folder.exists()

    asyncio.run(main())


def test_memory_then_disk_then_nothing_left(tmp_path: Path) -> None:
    async def test(site: Site) -> None:
        await site.send("a", b"1234")
        await site.send("b", b"56789")  # larger than half of the memory
        await site.send("c", b"abcd")
        await site.send("d", b"efg")  # memory is full
        assert (site.store.memory_used, site.store.disk_used, site.files) == (8, 8, 2)
        for name, data in (("d", b"efg"), ("a", b"1234"), ("b", b"56789"), ("c", b"abcd")):
            assert await site.receive(name) == data
        assert (site.store.memory_used, site.store.disk_used, site.files) == (0, 0, 0)

    run(tmp_path, test)


def test_several_receivers_share_one_copy(tmp_path: Path) -> None:
    async def test(site: Site) -> None:
        await site.send("a", b"123", HOST, OTHER)
        assert site.store.memory_used == 3
        assert await site.receive("a", HOST) == b"123"
        assert site.store.memory_used == 3
        ((value, slots),) = site.mailbox.entries()
        assert (value.size, [slot.receiver for slot in slots]) == (3, [OTHER])
        assert await site.receive("a", OTHER) == b"123"
        assert site.store.memory_used == 0
        with pytest.raises(ProtocolError, match="received before"):
            await site.receive("a", OTHER)

    run(tmp_path, test)


def test_sent_twice(tmp_path: Path) -> None:
    async def test(site: Site) -> None:
        assert await site.send("a", b"123")
        assert not await site.send("a", b"123")
        with pytest.raises(
            ProtocolError, match=r"a t of guest 9999 for host 10000 was sent before"
        ):
            await site.send("a", b"124")
        await site.receive("a")
        assert not await site.send("a", b"123")
        assert site.counters.values()["duplicates"] == 2
        # The other receiver's copy is new although the first one's is not.
        assert await site.send("a", b"123", HOST, OTHER)
        assert await site.receive("a", OTHER) == b"123"

    run(tmp_path, test)


def test_a_broken_transfer_is_taken_up_where_it_ended(tmp_path: Path) -> None:
    async def test(site: Site) -> None:
        data = b"0123456789"
        slots = [Slot("a", "t", GUEST, HOST)]
        digest = hashlib.sha256(data).digest()
        reader = asyncio.ensure_future(site.receive("a", timeout=5))
        first = site.mailbox.offer(slots, 10, digest)
        assert first is not None
        blob = await site.mailbox.room(first, 1)
        await blob.append(0, data[:4])
        again = site.mailbox.offer(slots, 10, digest)
        assert again is first
        assert await site.mailbox.room(again, 1) is blob
        for start in (0, 3, 6, 9):
            await blob.append(start, data[start : start + 3])
        site.mailbox.stored(again)
        assert await reader == data
        with pytest.raises(ProtocolError):
            await blob.append(0, data)

    run(tmp_path, test)


def test_sizes_that_do_not_fit(tmp_path: Path) -> None:
    async def test(site: Site) -> None:
        with pytest.raises(ProtocolError, match="larger than the mailbox"):
            await site.send("huge", b"x" * 17)
        value = site.mailbox.offer([Slot("a", "t", GUEST, HOST)], 3, b"d")
        assert value is not None
        blob = await site.mailbox.room(value, 1)
        with pytest.raises(ProtocolError, match="other sizes"):
            await blob.append(0, b"1234")
        with pytest.raises(ProtocolError, match="other sizes"):
            await blob.append(1, b"1")

    run(tmp_path, test)


def test_a_full_mailbox_makes_senders_wait(tmp_path: Path) -> None:
    async def test(site: Site) -> None:
        await site.send("a", b"x" * 10)
        with pytest.raises(FederationTimeoutError, match="mailbox holds 10 bytes"):
            await site.send("b", b"y" * 10)
        waiting = asyncio.ensure_future(site.send("b", b"y" * 10, timeout=5))
        await asyncio.sleep(0.05)
        # A small one passes by: it fits into the memory.
        assert await site.send("c", b"z")
        assert not waiting.done()
        await site.receive("a")
        assert await waiting
        assert await site.receive("b") == b"y" * 10

    run(tmp_path, test)


def test_the_end_wakes_everybody_and_frees_everything(tmp_path: Path) -> None:
    async def test(site: Site) -> None:
        await site.send("a", b"x" * 10)
        waits = [
            asyncio.ensure_future(site.send("b", b"y" * 10, timeout=5)),
            asyncio.ensure_future(site.receive("never", timeout=5)),
        ]
        await asyncio.sleep(0.05)
        site.mailbox.end(AttemptSupersededError("over"))
        for wait in waits:
            with pytest.raises(AttemptSupersededError):
                await asyncio.wait_for(wait, 1)
        with pytest.raises(AttemptSupersededError):
            await site.send("c", b"1")
        assert (site.store.memory_used, site.store.disk_used, site.files) == (0, 0, 0)

    run(tmp_path, test)


def test_waiting_in_vain(tmp_path: Path) -> None:
    async def test(site: Site) -> None:
        with pytest.raises(FederationTimeoutError):
            await site.receive("x", timeout=0.05)
        wait = asyncio.ensure_future(site.receive("x", timeout=5))
        await asyncio.sleep(0.02)
        site.mailbox.finished(GUEST)
        with pytest.raises(ProtocolError, match="guest 9999 has finished without sending x t"):
            await asyncio.wait_for(wait, 1)

    run(tmp_path, test)


def test_a_folder_has_one_owner_and_what_was_left_is_removed(tmp_path: Path) -> None:
    folder = tmp_path / "values"
    folder.mkdir()
    (folder / "7.value").write_bytes(b"left by a killed gateway")
    first = BlobStore(folder, 8, 16)
    first.open()
    assert not list(folder.iterdir())
    with pytest.raises(BlockingIOError):
        BlobStore(folder, 8, 16).open()
    first.close()
    BlobStore(folder, 8, 16).open()


@pytest.mark.parametrize("pieces", [(b"1234",), (b"12", b"34"), (b"1", b"2", b"3", b"4", b"5678")])
def test_bytes_are_read_from_any_place_on(tmp_path: Path, pieces: tuple[bytes, ...]) -> None:
    """In memory, and (the longest) in a file."""
    whole = b"".join(pieces)

    async def test(site: Site) -> None:
        slot = Slot("a", "t", GUEST, HOST)
        value = site.mailbox.offer([slot], len(whole), hashlib.sha256(whole).digest())
        assert value is not None
        assert value.available == 0
        blob = await site.mailbox.room(value, 0.2)
        for piece in pieces:
            await blob.append(value.available, piece)
        assert value.available == len(whole)
        for offset in range(len(whole) + 1):
            found = b"".join([bytes(piece) async for piece in blob.chunks(offset)])
            assert found == whole[offset:]
        site.mailbox.stored(value)
        site.mailbox.acknowledge(slot)

    run(tmp_path, test)
