"""What a task says and does while its gateway, or the one behind it, is away."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from fate_flow.entities import Party
from fate_flow.errors import GatewayUnreachableError
from fate_flow.federation import link as module
from fate_flow.federation import waiting
from fate_flow.federation.link import Link
from fate_flow.federation.proto import gateway_pb2 as pb
from fate_flow.federation.waiting import ClientWait, WaitReporter

AWAY = "site bank-b (10.0.0.2:9360) cannot be reached: connection refused"


class Broken(grpc.RpcError):
    """How a call ends when its connection breaks."""

    def __init__(self, details: str) -> None:
        self._details = details

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.UNAVAILABLE

    def details(self) -> str:
        return self._details

    def trailing_metadata(self) -> tuple[Any, ...]:
        return ()


class Line:
    """A stub of the gateway whose connection is cut and mended."""

    def __init__(self) -> None:
        self.whole = threading.Event()
        self.cut = threading.Event()

    def Attach(self, requests: Any, **options: Any) -> Call:
        return Call(self, requests)


class Call:
    """One try to attach."""

    def __init__(self, line: Line, requests: Any) -> None:
        self._line = line
        self._requests = requests

    def __iter__(self) -> Iterator[pb.AttachEvent]:
        next(self._requests)
        if self._line.whole.is_set():
            yield pb.AttachEvent(welcome=pb.Welcome(incarnation="run"))
            self._line.cut.wait()
        raise Broken(AWAY)

    def cancel(self) -> None:
        self._line.cut.set()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LONGEST_PAUSE", 0.1)
    monkeypatch.setattr(module, "_TROUBLE_SECONDS", 0.2)
    monkeypatch.setattr(waiting, "FIRST_REPORT", 0.1)
    monkeypatch.setattr(waiting, "_LOOK", 0.05)


def link_of(line: Line, patience: float) -> Link:
    hello = pb.Hello(caller=pb.Caller(component="lr_0"))
    return Link(line, (), hello, patience, "127.0.0.1:9360")


def test_a_wait_names_the_site_while_it_is_away() -> None:
    line, told = Line(), list[str | None]()
    line.whole.set()
    link = link_of(line, 30.0)
    link.start()
    link.wait_connected(5.0)
    reporter = WaitReporter(told.append)
    wait = ClientWait([], "lr_0", 0, "to join", next_report=0.1, trouble=link.trouble)

    def until(text: str, count: int = 1) -> None:
        end = time.monotonic() + 5.0
        while not any(text in (line or "") for line in told[-count:]):
            assert time.monotonic() < end, told
            time.sleep(0.01)

    with reporter.open(wait):
        until("to join")
        assert link.trouble() is None
        line.whole.clear()
        line.cut.set()
        until("waiting for site bank-b (10.0.0.2:9360), no connection for")
        line.cut.clear()
        line.whole.set()
        until("lr_0 attempt 0, to join")
        assert link.trouble() is None
    assert told[-1] is None
    reporter.close()
    line.cut.set()
    link.close()


def test_whoever_is_waited_for_in_vain_is_named() -> None:
    link = link_of(Line(), 30.0)
    host, arbiter = Party("host", 10000), Party("arbiter", 10000)
    there = pb.Absent(party=pb.PartyRef(role="host", party_id=10000), site="site bank-b")
    link._take(pb.AttachEvent(away=pb.Away(absent=[there])))
    wait = ClientWait([host], "lr_0", 0, "to finish", absent=link.absent)
    assert wait.text.endswith("0 s; host 10000 at site bank-b has had no connection for 0 s")
    assert wait.is_disturbed
    assert link.absent([arbiter]) == [], "others are of no interest"
    since = link._absent[host]
    link._take(pb.AttachEvent(away=pb.Away(absent=[there])))
    assert link._absent[host] == since
    link._take(pb.AttachEvent(away=pb.Away()))
    assert not wait.is_disturbed
    link._take(pb.AttachEvent(away=pb.Away(absent=[there])))
    link._take(pb.AttachEvent(welcome=pb.Welcome(incarnation="run")))
    assert not wait.is_disturbed, "a new connection begins without news"


def test_patience_ends_with_the_name_of_the_site() -> None:
    link = link_of(Line(), 0.5)
    link.start()
    with pytest.raises(
        GatewayUnreachableError,
        match=r"site bank-b \(10\.0\.0\.2:9360\) could not be reached for .* connection refused",
    ) as caught:
        link.wait_connected(10.0)
    assert "fate_flow peer check bank-b" in caught.value.remedy
    link.close()


@pytest.mark.parametrize("where", ["", " (via hub)", " (it calls us)", " (h.example:1)"])
def test_sites_are_named_however_they_are_reached(where: str) -> None:
    link = link_of(Line(), 30.0)
    link._cause = f"site bank-b{where} cannot be reached: nobody has said where it is"
    time.sleep(0.3)
    assert (link.trouble() or "").startswith(f"waiting for site bank-b{where}, no connection")


def test_the_exchange_that_is_in_the_way_is_named() -> None:
    link = link_of(Line(), 30.0)
    why = "site hub cannot be reached: connection refused"
    link._cause = f"site bank-b (via hub) cannot be reached: {why}"
    time.sleep(0.3)
    trouble = link.trouble() or ""
    assert trouble.startswith("waiting for site bank-b (via hub), no connection for")
    assert trouble.endswith(f" s: {why}")


def test_the_home_is_named_where_it_may_be_what_is_silent() -> None:
    metadata = (("fate-flow-home", "guest_9999"),)
    link = Link(Line(), metadata, pb.Hello(), 30.0, "127.0.0.1:9360")
    time.sleep(0.3)
    wanted = "waiting for the gateway at 127.0.0.1:9360 or that of guest_9999 behind it, no"
    assert (link.trouble() or "").startswith(wanted)


def test_the_own_gateway_is_named_when_it_is_away() -> None:
    link = link_of(Line(), 30.0)
    time.sleep(0.3)
    trouble = link.trouble() or ""
    assert trouble.startswith("waiting for the gateway at 127.0.0.1:9360, no connection for")
