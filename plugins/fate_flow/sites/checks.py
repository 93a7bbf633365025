"""Does the connection to a peer work? Step by step, in both directions."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from sqlalchemy.orm import Session

from fate_flow.errors import FateFlowError
from fate_flow.federation.admin import GatewayAdmin
from fate_flow.operators.hooks import forget_addresses
from fate_flow.sites import peers

if TYPE_CHECKING:
    from fate_flow.settings import Settings

log = logging.getLogger("fate_flow.sites")

#: Sent and got back to measure the bandwidth.
DEFAULT_BYTES = 4_000_000
MAX_BYTES = 64_000_000
#: What another site makes us send for its own check.
_BACK_BYTES = 1_000_000
_SECONDS = 60.0
METHOD = "peer.check"

Report = dict[str, Any]


def check(session: Session, settings: Settings, name: str, *, size: int = DEFAULT_BYTES) -> Report:
    """Call a peer, and let it call back.

    Returns:
        ``ok``, and ``steps``: each with ``step``, ``ok``, ``text``, ``remedy``; those that the
        other side made are named ``back: …``.

    Raises:
        FateFlowError: no such peer, or the own gateway does not answer.
    """
    size = max(1, min(size, MAX_BYTES))
    # Whoever checks may have just changed an address in a secrets backend.
    forget_addresses()
    with GatewayAdmin.of(settings, timeout=_SECONDS) as gateway:
        # A peer that was added a moment ago may not be known there yet.
        gateway.set_peers(peers.peer_table(session))
        peers.record(session, name)
        steps = _found(gateway, name, size)
        # A wrong clock hinders no call.
        if _works([step for step in steps if step["step"] != "clock"]):
            steps += _back(gateway, name)
    is_fine = _works(steps)
    if is_fine:
        peers.confirm(session, name)
    return {"ok": is_fine, "steps": steps}


def answer(settings: Settings, peer_name: str, body: Mapping[str, Any]) -> Report:
    """For a peer that asks whether we reach it: :data:`METHOD` of the calls between sites."""
    with GatewayAdmin.of(settings, timeout=_SECONDS) as gateway:
        steps = _found(gateway, peer_name, _BACK_BYTES)
    return {"ok": _works(steps), "steps": steps}


def _found(gateway: GatewayAdmin, name: str, size: int) -> list[Report]:
    return _steps({"steps": [asdict(finding) for finding in gateway.check_peer(name, size)]})


def _back(gateway: GatewayAdmin, name: str) -> list[Report]:
    try:
        report = gateway.call_peer(name, METHOD, {}, _SECONDS)
        steps = [{**step, "step": f"back: {step['step']}"} for step in _steps(report)]
    except FateFlowError as error:
        return [_step("back", False, error.message, error.remedy)]
    return steps or [_step("back", False, "the peer said nothing of its own check")]


def _steps(report: Any) -> list[Report]:
    """The steps of a report, which may come from another site, in the form that we show."""
    found = report.get("steps") if isinstance(report, Mapping) else None
    if not isinstance(found, list):
        return []
    return [
        _step(step.get("step"), step.get("ok") is True, step.get("text"), step.get("remedy"))
        for step in found[:50]
        if isinstance(step, Mapping)
    ]


def _step(step: object, ok: bool, text: object, remedy: object = "") -> Report:
    return {
        "step": _line(step, 40),
        "ok": ok,
        "text": _line(text, 500),
        "remedy": "" if ok else _line(remedy, 500),
    }


def _line(value: object, length: int) -> str:
    """One printable line: it is shown in a terminal, and another site may have written it."""
    text = str(value or "")[:length]
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _works(steps: list[Report]) -> bool:
    return bool(steps) and all(step["ok"] for step in steps)
