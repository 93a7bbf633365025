"""Addresses of messages, checked: who, to whom, what; and how they are written for people."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fate_flow.entities import ROLES, Party
from fate_flow.errors import ProtocolError

#: Data in one message of a stream, bytes.
CHUNK_BYTES = 1 << 20
#: Largest gRPC message that the gateway takes: one chunk and its header.
MAX_MESSAGE_BYTES = 2 * CHUNK_BYTES
#: Body of a message between sites, and its answer; the rest of a gRPC message is for names.
MAX_BODY_BYTES = MAX_MESSAGE_BYTES - (1 << 16)
MAX_REASON_CHARACTERS = 1000
DEFAULT_FLOW = "default"

_VARIABLE = re.compile(r"[A-Za-z0-9_.:\-]{1,256}")
_NAME = re.compile(r"[A-Za-z0-9_.\-]{1,128}")
_MAX_TAG = 512
_MAX_PARTY_ID = 2**63 - 1


@dataclass(frozen=True)
class Slot:
    """Place of one value at one receiver, within an attempt."""

    variable: str
    tag: str
    sender: Party
    receiver: Party

    def __str__(self) -> str:
        return f"{what(self.variable, self.tag)} of {self.sender} for {self.receiver}"


def tag_of(flow: str, suffix: Sequence[object]) -> str:
    """``fit.3.0`` for flow ``fit`` and suffix (3, 0)."""
    return ".".join([flow, *map(str, suffix)])


def what(variable: str, tag: str) -> str:
    """Variable and tag for people: the default flow is left out."""
    if tag == DEFAULT_FLOW:
        return variable
    return f"{variable} {tag.removeprefix(DEFAULT_FLOW + '.')}"


def waiting_text(
    parties: Iterable[Party], component: str, attempt: int, subject: str, seconds: float
) -> str:
    """``waiting for host 10000, hetero_lr_0 attempt 1, host_forward_dict 3.2, 42 s``."""
    who = " and ".join(map(str, parties)) or "the gateway"
    where = f"{component} attempt {attempt}" if attempt >= 0 else component
    return f"waiting for {who}, {where}, {subject}, {seconds:.0f} s"


def check_variable(variable: str) -> None:
    if not _VARIABLE.fullmatch(variable):
        raise ProtocolError(
            f"{printable(variable)!r} is not a variable name: letters, digits, _ . : -, at most 256"
        )


def check_tag(tag: str) -> None:
    if not tag or len(tag) > _MAX_TAG or not tag.isprintable():
        raise ProtocolError(
            f"{printable(tag)!r} is not a tag: 1 to {_MAX_TAG} printable characters"
        )


def check_name(kind: str, name: str) -> None:
    """Job ids, component names and session ids."""
    if not _NAME.fullmatch(name):
        raise ProtocolError(f"{printable(name)!r} is not a {kind}: letters, digits, _ . -")


def check_party(role: str, party_id: int) -> Party:
    if role not in ROLES or not 0 <= party_id <= _MAX_PARTY_ID:
        raise ProtocolError(f"{printable(role)} {party_id} is not a party")
    return Party(role, party_id)


def printable(text: str, limit: int = 120) -> str:
    """A text of a peer, made fit for one line of a log or an error."""
    line = "".join(c if c.isprintable() else " " for c in text)
    return line if len(line) <= limit else line[: limit - 1] + "…"
