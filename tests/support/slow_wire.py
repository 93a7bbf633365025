"""A wire between two network interfaces that delays and loses frames.

Kernels have this (``tc qdisc … netem``), but not all of them. Without it the frames go through
a process of our own, ``python slow_wire.py ONE OTHER DELAY JITTER LOSS``, which reads them from
one interface and writes them to the other; it ends when its standard input does.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import random
import select
import socket
import struct
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

_ALL_PROTOCOLS = 3
_PACKET, _IGNORE_OUTGOING = 263, 23
_RECEIVE_BUFFER_FORCE, _SEND_BUFFER_FORCE = 33, 32
_ETHTOOL = 0x8946
#: Checksums, TSO, GSO and GRO: what a network card would do, and this wire does not.
_OFFLOADS = (0x17, 0x1F, 0x24, 0x2C)
_LARGEST = 1 << 16


@dataclass(frozen=True)
class Weather:
    """What a wire does to frames, in each direction.

    Attributes:
        delay, jitter: seconds; a frame takes ``delay`` more or less ``jitter``.
        loss: share of the frames that never arrive.
    """

    delay: float
    jitter: float = 0.0
    loss: float = 0.0

    def netem(self) -> list[str]:
        """The same in the words of ``tc qdisc``."""
        words = ["netem", "limit", "20000", "delay", f"{self.delay * 1e6:.0f}us"]
        if self.jitter:
            words += [f"{self.jitter * 1e6:.0f}us"]
        return [*words, *(("loss", f"{self.loss:.3%}") if self.loss else ())]


@dataclass
class Direction:
    """Frames on their way from one interface to the other, in their order."""

    source: socket.socket
    sink: socket.socket
    weather: Weather
    waiting: deque[tuple[float, bytes]] = field(default_factory=deque)
    passed: int = 0
    lost: int = 0

    def take(self) -> None:
        """Read what has come."""
        weather, now = self.weather, time.monotonic()
        with contextlib.suppress(BlockingIOError):
            while True:
                frame = self.source.recv(_LARGEST)
                if random.random() < weather.loss:
                    self.lost += 1
                    continue
                due = now + weather.delay + random.uniform(-weather.jitter, weather.jitter)
                # Nothing overtakes: a line's delay is that of its queues.
                self.waiting.append((max(due, self.waiting[-1][0] if self.waiting else 0.0), frame))

    def give(self) -> None:
        """Write what has been on its way for long enough."""
        now = time.monotonic()
        while self.waiting and self.waiting[0][0] <= now:
            try:
                self.sink.send(self.waiting.popleft()[1])
                self.passed += 1
            except OSError:  # the interface is down, or its queue is full
                self.lost += 1


def _raw(interface: str) -> socket.socket:
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL_PROTOCOLS))
    made.setsockopt(_PACKET, _IGNORE_OUTGOING, 1)
    for option in (_RECEIVE_BUFFER_FORCE, _SEND_BUFFER_FORCE):
        made.setsockopt(socket.SOL_SOCKET, option, 16 << 20)
    made.bind((interface, _ALL_PROTOCOLS))
    made.setblocking(False)
    return made


def forward(one: str, other: str, weather: Weather) -> dict[str, int]:
    """Until standard input ends; how many frames there were."""
    first, second = _raw(one), _raw(other)
    ways = (Direction(first, second, weather), Direction(second, first, weather))
    while True:
        due = [way.waiting[0][0] for way in ways if way.waiting]
        pause = max(0.0, min(due) - time.monotonic()) if due else None
        ready, _, _ = select.select([first, second, sys.stdin], [], [], pause)
        if sys.stdin in ready:
            break
        for way in ways:
            if way.source in ready:
                way.take()
            way.give()
    return {"passed": sum(w.passed for w in ways), "lost": sum(w.lost for w in ways)}


def set_offloads(interface: str, value: bool) -> None:
    """Whether frames leave an interface larger than the wire's, and without their checksums."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        for command in _OFFLOADS:
            request = ctypes.create_string_buffer(struct.pack("II", command, int(value)), 8)
            name = struct.pack("16sP16x", interface.encode(), ctypes.addressof(request))
            fcntl.ioctl(any_socket, _ETHTOOL, name)


@contextlib.contextmanager
def forwarding(one: str, other: str, weather: Weather) -> Iterator[None]:
    """A process that forwards between two interfaces of this namespace."""
    values = [str(value) for value in (weather.delay, weather.jitter, weather.loss)]
    process = subprocess.Popen(
        [sys.executable, __file__, "forward", one, other, *values],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield
        assert process.poll() is None, "the wire's process has ended"
    finally:
        said, _ = process.communicate(timeout=30)
        print(f"wire {one}: {said.strip()}")


def set_offloads_in(namespace: str, interface: str, value: bool) -> None:
    command = [sys.executable, __file__, "offloads", interface, str(int(value))]
    subprocess.run(["ip", "netns", "exec", namespace, *command], check=True)


if __name__ == "__main__":
    if sys.argv[1] == "offloads":
        set_offloads(sys.argv[2], sys.argv[3] == "1")
    else:
        weather_of_all = Weather(*(float(word) for word in sys.argv[4:7]))
        print(json.dumps(forward(sys.argv[2], sys.argv[3], weather_of_all)), flush=True)
