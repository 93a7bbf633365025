"""The rules of a room, without processes and wires."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from fate_flow.entities import Party
from fate_flow.errors import (
    AttemptSupersededError,
    FateFlowError,
    FederationTimeoutError,
    PeerFailedError,
    ProtocolError,
)
from fate_flow.federation.addresses import Slot
from fate_flow.federation.attempts import Attempt, Member, Phase, Room
from fate_flow.federation.coordinator import Coordinator
from fate_flow.federation.diagnosis import Counters, Wait
from fate_flow.federation.failures import DetachedError, JobCanceledError, TaskReplacedError
from fate_flow.federation.store import BlobStore

GUEST, HOST = Party("guest", 9999), Party("host", 10000)
PARTIES = frozenset({GUEST, HOST})


class Task:
    """A party's process."""

    def __init__(self, room: Room, party: Party, session: str, try_number: int = 1) -> None:
        self.room = room
        self.told: list[tuple[int, FateFlowError]] = []
        self.missing: list[list[Party]] = []
        self.member: Member = room.attach(party, session, try_number)
        self.away: list[tuple[Party, ...]] = []
        self.push = lambda number, error: self.told.append((number, error))
        room.connect(self.member, self.push, lambda parties: self.away.append(tuple(parties)))

    async def _progress(self, missing: Sequence[Party]) -> None:
        self.missing.append(list(missing))

    def _wait(self, kind: str, timeout: float) -> Wait:
        return Wait("J", "lr_0", 0, self.member.party, (), kind, timeout)

    async def join(self, after: int = -1, floor: int = 0, timeout: float = 1.0) -> Attempt:
        wait = self._wait("join", timeout)
        return await self.room.join(self.member, PARTIES, after, floor, wait, self._progress)

    async def finish(self, attempt: Attempt, timeout: float = 1.0) -> None:
        wait = self._wait("finish", timeout)
        await self.room.finish(self.member, attempt, wait, self._progress)

    def lose(self) -> None:
        self.room.detach(self.member, self.push, 0.01)


def run(tmp_path: Path, test: Callable[[Coordinator], Awaitable[Any]]) -> None:
    async def main() -> None:
        store = BlobStore(tmp_path / "values", 1 << 20, 1 << 20)
        await test(Coordinator(store, Counters()))

    asyncio.run(main())


async def _start(room: Room) -> tuple[Task, Task, Attempt]:
    guest, host = Task(room, GUEST, "g1"), Task(room, HOST, "h1")
    one, two = await asyncio.gather(guest.join(), host.join())
    assert one is two
    return guest, host, one


def test_join_and_finish_are_barriers(tmp_path: Path) -> None:
    async def test(rooms: Coordinator) -> None:
        room = rooms.room("J", "lr_0")
        guest, host, attempt = await _start(room)
        assert (attempt.number, guest.missing[0]) == (0, [HOST])
        first = asyncio.ensure_future(guest.finish(attempt))
        await asyncio.sleep(0.01)
        assert not first.done()
        await host.finish(attempt)
        await first
        assert room.phase is Phase.COMPLETE

    run(tmp_path, test)


def test_the_answer_to_a_join_may_be_asked_for_again(tmp_path: Path) -> None:
    async def test(rooms: Coordinator) -> None:
        guest, _, attempt = await _start(rooms.room("J", "lr_0"))
        assert await guest.join(after=-1) is attempt
        assert attempt.mailbox.over is None
        # But who knows the attempt and joins wants another one.
        with pytest.raises(FederationTimeoutError):
            await guest.join(after=0, timeout=0.05)
        assert isinstance(attempt.mailbox.over, AttemptSupersededError)

    run(tmp_path, test)


def test_numbers_only_grow(tmp_path: Path) -> None:
    async def test(rooms: Coordinator) -> None:
        room = rooms.room("J", "lr_0")
        guest, host = Task(room, GUEST, "g"), Task(room, HOST, "h", 3)
        attempt, _ = await asyncio.gather(guest.join(after=4), host.join(floor=2))
        assert attempt.number == 5

    run(tmp_path, test)


def test_a_loss_supersedes_after_the_grace_time(tmp_path: Path) -> None:
    async def test(rooms: Coordinator) -> None:
        room = rooms.room("J", "lr_0")
        guest, host, attempt = await _start(room)
        host.lose()
        again = Task(room, HOST, "h1")
        await asyncio.sleep(0.03)
        assert attempt.mailbox.over is None
        assert again.member is host.member
        again.lose()
        await asyncio.sleep(0.03)
        assert isinstance(attempt.mailbox.over, AttemptSupersededError)
        ((number, error),) = guest.told
        assert (number, str(error)) == (0, "the task of host 10000 was lost: lr_0 is computed anew")
        with pytest.raises(DetachedError):
            room.member(HOST, "h1")
        # A process that was only cut off for long comes back under its name.
        back = Task(room, HOST, "h1")
        attempts = await asyncio.gather(guest.join(after=0), back.join(after=0))
        assert attempts[0].number == 1

    run(tmp_path, test)


def test_the_others_are_told_whose_connection_is_broken(tmp_path: Path) -> None:
    async def test(rooms: Coordinator) -> None:
        room = rooms.room("J", "lr_0")
        guest, host = Task(room, GUEST, "g"), Task(room, HOST, "h")
        await asyncio.gather(guest.join(), host.join())
        assert guest.away == []
        room.detach(host.member, host.push, 30.0)
        assert guest.away == [(HOST,)]
        # A process that comes back hears of others; it forgets what it was told before.
        room.detach(guest.member, guest.push, 30.0)
        room.connect(room.attach(HOST, "h", 1), host.push, host.member.show_away)
        assert host.away == [(GUEST,)]
        room.connect(room.attach(GUEST, "g", 1), guest.push, guest.member.show_away)
        assert guest.away == [(HOST,)], "nobody is away now, and that is what it believes"
        assert host.away == [(GUEST,), ()]
        room.leave(guest.member)
        assert host.away == [(GUEST,), ()], "who has left is not away"

    run(tmp_path, test)


def test_one_that_is_lost_is_not_away_any_more(tmp_path: Path) -> None:
    async def test(rooms: Coordinator) -> None:
        room = rooms.room("J", "lr_0")
        guest, host = Task(room, GUEST, "g"), Task(room, HOST, "h")
        await asyncio.gather(guest.join(), host.join())
        host.lose()
        await asyncio.sleep(0.05)
        assert guest.away == [(HOST,), ()]

    run(tmp_path, test)


def test_a_new_process_replaces_the_old_one_and_not_the_other_way(tmp_path: Path) -> None:
    async def test(rooms: Coordinator) -> None:
        room = rooms.room("J", "lr_0")
        _, host, attempt = await _start(room)
        Task(room, HOST, "h2", 2)
        assert isinstance(attempt.mailbox.over, AttemptSupersededError)
        assert isinstance(host.told[0][1], TaskReplacedError)
        for session, number in (("h1", 9), ("h3", 1)):
            with pytest.raises(TaskReplacedError):
                room.attach(HOST, session, number)
        with pytest.raises(TaskReplacedError):
            room.member(HOST, "h1")

    run(tmp_path, test)


def test_a_failure_ends_joins_finishes_and_values(tmp_path: Path) -> None:
    async def test(rooms: Coordinator) -> None:
        room = rooms.room("J", "lr_0")
        guest, host, attempt = await _start(room)
        finish = asyncio.ensure_future(guest.finish(attempt))
        value = asyncio.ensure_future(attempt.mailbox.wait(_slot(), 1.0))
        await asyncio.sleep(0.01)
        room.fail(HOST, PeerFailedError("host 10000 failed"))
        for wait in (finish, value):
            with pytest.raises(PeerFailedError):
                await wait
        with pytest.raises(PeerFailedError):
            await guest.join(after=0)
        assert not host.told
        # Both know it: the next processes are a rerun.
        guest, host = Task(room, GUEST, "g2", 2), Task(room, HOST, "h2", 2)
        attempts = await asyncio.gather(guest.join(), host.join())
        assert attempts[0].number == 1

    run(tmp_path, test)


def _slot() -> Slot:
    return Slot("v", "t", HOST, GUEST)


def test_lost_after_the_barrier_is_told_that_all_is_done(tmp_path: Path) -> None:
    async def test(rooms: Coordinator) -> None:
        room = rooms.room("J", "lr_0")
        guest, host, attempt = await _start(room)
        await asyncio.gather(guest.finish(attempt), host.finish(attempt))
        room.leave(guest.member)
        host.lose()
        await asyncio.sleep(0.03)
        late = Task(room, HOST, "h2", 2)
        assert (await late.join()).complete
        await late.finish(attempt)
        room.leave(late.member)
        # Now that all have left, the next one means a rerun.
        guest, host = Task(room, GUEST, "g3", 2), Task(room, HOST, "h3", 3)
        attempts = await asyncio.gather(guest.join(), host.join())
        assert attempts[0].number == 1
        assert not attempts[0].complete

    run(tmp_path, test)


def test_parties_must_be_the_same(tmp_path: Path) -> None:
    async def test(rooms: Coordinator) -> None:
        room = rooms.room("J", "lr_0")
        guest, host = Task(room, GUEST, "g"), Task(room, HOST, "h")
        joined = asyncio.ensure_future(guest.join(timeout=0.2))
        await asyncio.sleep(0)
        wait = Wait("J", "lr_0", 0, HOST, (), "join", 1.0)
        with pytest.raises(ProtocolError, match="names other parties"):
            await room.join(host.member, frozenset({HOST}), -1, 0, wait, host._progress)
        with pytest.raises(ProtocolError, match="not among the parties"):
            await room.join(host.member, frozenset({GUEST}), -1, 0, wait, host._progress)
        with pytest.raises(FederationTimeoutError):
            await joined

    run(tmp_path, test)


def test_cancel_reset_purge(tmp_path: Path) -> None:
    async def test(rooms: Coordinator) -> None:
        room = rooms.room("J", "lr_0")
        guest, host, _ = await _start(room)
        other = rooms.room("K", "lr_0")
        assert rooms.cancel("J", "stop") == 2
        assert isinstance(guest.told[0][1], JobCanceledError)
        with pytest.raises(JobCanceledError, match="job J was cancelled: stop"):
            rooms.room("J", "lr_1")
        assert other.failure is None
        assert rooms.reset("J") == 1
        with pytest.raises(TaskReplacedError):
            room.member(HOST, "h1")
        assert host.told[-1][1].code == "task_replaced"
        assert room.number == 0
        rooms._keep = 0.0
        rooms.purge()
        assert not rooms.rooms

    run(tmp_path, test)
