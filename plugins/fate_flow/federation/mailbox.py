"""Values of one attempt: each stored once for all its receivers, kept until they have it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

from fate_flow.entities import Party
from fate_flow.errors import FateFlowError, FederationTimeoutError, ProtocolError
from fate_flow.federation.addresses import Slot, what
from fate_flow.federation.diagnosis import Counters
from fate_flow.federation.store import Blob, BlobStore, Signal

#: Messages of one attempt; beyond this a component is out of control.
MAX_MESSAGES = 2_000_000


class Value:
    """One value under one or several addresses.

    Attributes:
        size: bytes.
        digest: SHA-256; tells a repeated send from another value. The receiver checks it.
        pending: addresses whose receivers do not have it yet.
        blob: its bytes; None before there is room, and after all receivers have it.
    """

    __slots__ = ("blob", "digest", "pending", "reserving", "size", "stored")

    def __init__(self, size: int, digest: bytes) -> None:
        self.size = size
        self.digest = digest
        self.pending: set[Slot] = set()
        self.blob: Blob | None = None
        self.stored = False
        self.reserving: asyncio.Lock | None = asyncio.Lock()

    @property
    def available(self) -> int:
        """Bytes that are here."""
        return self.blob.available if self.blob is not None else 0


class Mailbox:
    """Messages of one attempt.

    Attributes:
        over: why the attempt ended; everything that waits here ends with it.
    """

    def __init__(self, store: BlobStore, counters: Counters) -> None:
        self.over: FateFlowError | None = None
        self._store = store
        self._counters = counters
        self._values: dict[Slot, Value] = {}
        self._waiting: dict[Slot, Signal] = {}
        self._finished: set[Party] = set()

    def offer(self, slots: Sequence[Slot], size: int, digest: bytes) -> Value | None:
        """Announce a value; None when all receivers' copies are here, or were, already.

        Raises:
            ProtocolError: something else was sent under one of the addresses.
        """
        self.check()
        for slot in slots:
            known = self._values.get(slot)
            if known is not None and known.digest != digest:
                raise ProtocolError(f"{slot} was sent before, with another value")
        missing = [slot for slot in slots if slot not in self._values]
        if not missing:
            value = self._values[slots[0]]
            if value.stored:
                self._counters.add("duplicates")
                return None
            return value
        if len(self._values) + len(missing) > MAX_MESSAGES:
            raise ProtocolError(f"one attempt cannot have more than {MAX_MESSAGES} messages")
        value = Value(size, digest)
        value.pending.update(missing)
        self._values.update(dict.fromkeys(missing, value))
        return value

    async def room(self, value: Value, timeout: float) -> Blob:
        """Where to write a value's bytes; waits while the mailbox is full."""
        lock = value.reserving
        if lock is None:
            raise ProtocolError("the value is complete")
        async with lock:
            if value.blob is None:
                value.blob = await self._store.reserve(value.size, timeout, lambda: self.over)
                if self.over is not None:
                    value.blob.close(self.over)
                    raise self.over
                for slot in value.pending:
                    self._notify(slot)
            return value.blob

    def stored(self, value: Value) -> None:
        """All bytes of a value are here."""
        self.check()
        if not value.stored:
            value.stored = True
            value.reserving = None
            self._counters.add("messages_stored")
            self._counters.add("bytes_in", value.size)
            self._free(value)

    async def wait(self, slot: Slot, timeout: float) -> Value:
        """The value of an address; its bytes may still be arriving.

        Raises:
            FederationTimeoutError: not within ``timeout`` seconds.
            ProtocolError: it was received before, or its sender has finished without it.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout
        while True:
            self.check()
            value = self._values.get(slot)
            if value is not None and slot not in value.pending:
                raise ProtocolError(f"{slot} was received before")
            if value is not None and value.blob is not None:
                return value
            if value is None and slot.sender in self._finished:
                raise ProtocolError(
                    f"{slot.sender} has finished without sending {what(slot.variable, slot.tag)}"
                )
            left = end - loop.time()
            if left <= 0:
                raise FederationTimeoutError(f"no value within {timeout:.0f} s")
            signal = self._waiting.setdefault(slot, Signal())
            try:
                await signal.wait(left)
            finally:
                if signal.is_idle:
                    self._waiting.pop(slot, None)

    def acknowledge(self, slot: Slot) -> None:
        """A receiver has a value; the last one frees it."""
        value = self._values.get(slot)
        if value is None or slot not in value.pending:
            return
        value.pending.discard(slot)
        self._counters.add("messages_received")
        self._counters.add("bytes_out", value.size)
        self._free(value)

    def finished(self, party: Party) -> None:
        """A party sends nothing more: whoever still waits for it waits in vain."""
        self._finished.add(party)
        for slot in list(self._waiting):
            if slot.sender == party:
                self._notify(slot)

    def end(self, error: FateFlowError) -> None:
        """The attempt is over: free everything, wake everybody."""
        if self.over is not None:
            return
        self.over = error
        for value in set(self._values.values()):
            if value.blob is not None:
                value.blob.close(error)
        self._values.clear()
        for slot in list(self._waiting):
            self._notify(slot)
        self._store.wake()

    def check(self) -> None:
        """
        Raises:
            FateFlowError: the attempt is over.
        """
        if self.over is not None:
            raise self.over

    def entries(self) -> Iterator[tuple[Value, list[Slot]]]:
        """Values that are here, with the addresses that wait for them."""
        for value in {id(v): v for v in self._values.values()}.values():
            if value.blob is not None:
                yield value, sorted(value.pending, key=lambda slot: slot.receiver)

    def _free(self, value: Value) -> None:
        if not value.pending and value.stored and value.blob is not None:
            value.blob.close()
            value.blob = None

    def _notify(self, slot: Slot) -> None:
        if slot in self._waiting:
            self._waiting[slot].notify()
