from __future__ import annotations

import time

import pytest

from fate_flow.entities import Party
from fate_flow.errors import ProtocolError
from fate_flow.federation import addresses, waiting
from fate_flow.federation.waiting import ClientWait, WaitReporter

HOST = Party("host", 10000)


def test_the_text_of_a_wait() -> None:
    text = addresses.waiting_text([HOST], "hetero_lr_0", 1, "host_forward_dict 3.2", 42.4)
    assert text == "waiting for host 10000, hetero_lr_0 attempt 1, host_forward_dict 3.2, 42 s"
    assert addresses.what("v", "default") == "v"
    assert addresses.what("v", "default.3.2") == "v 3.2"
    assert addresses.what("v", "fit.3") == "v fit.3"
    assert addresses.tag_of("fit", (3, 0)) == "fit.3.0"
    assert addresses.waiting_text([], "c", -1, "x", 1.0) == "waiting for the gateway, c, x, 1 s"


@pytest.mark.parametrize("name", ["", "a/b", "..\\x y", "ä", "a" * 257])
def test_variables_are_plain_names(name: str) -> None:
    with pytest.raises(ProtocolError, match="not a variable name"):
        addresses.check_variable(name)
    addresses.check_variable("HeteroLRTransferVariable.host_forward_dict")


def test_printable_keeps_to_one_line() -> None:
    assert addresses.printable("a\nb\x1b[31m") == "a b [31m"
    assert len(addresses.printable("x" * 500)) == 120


def test_long_waits_are_reported_and_short_ones_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "FIRST_REPORT", 0.1)
    monkeypatch.setattr(waiting, "_LOOK", 0.02)
    told: list[str | None] = []

    def failing(text: str | None) -> None:
        told.append(text)
        raise RuntimeError("the report cannot be delivered")

    reporter = WaitReporter(failing)
    with reporter.open(ClientWait([HOST], "lr_0", 0, "x", next_report=0.1)):
        pass
    assert told == []
    wait = ClientWait([HOST], "lr_0", 0, "x", next_report=0.1)
    with reporter.open(wait):
        wait.parties = [Party("guest", 9999)]
        time.sleep(0.4)
    assert told == ["waiting for guest 9999, lr_0 attempt 0, x, 0 s", None]
    reporter.close()
