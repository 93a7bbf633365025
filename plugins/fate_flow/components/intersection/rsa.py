"""Intersection by RSA blind signatures, as FATE 1.4 runs it.

De Cristofaro, Tsudik: Practical Private Set Intersection Protocols with Linear
Complexity, 2010, section 4. Only the host can sign; the guest has its ids signed blindly
and compares hashes of signatures. The guest learns which of its ids each host has; with
synchronisation each host learns the ids that all parties have.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from fate_flow.components.intersection import messages, rsa_cache
from fate_flow.components.intersection.closing import Session, guest_closes, host_learns
from fate_flow.components.intersection.matching import (
    Positions,
    as_column,
    found_in,
    sorted_order,
)
from fate_flow.components.intersection.stream import (
    ByteMatrix,
    Receiver,
    Sender,
    send_matrix,
    slices,
)
from fate_flow.crypto.rsa_blind import (
    TOKEN_WIDTH,
    Blinder,
    RsaKeyPair,
    RsaPublicKey,
    own_tokens,
    sign,
)
from fate_flow.entities import Party
from fate_flow.errors import ProtocolError

_LONGEST_VERSION = 64


def guest(session: Session, ids: pa.Array) -> Positions:
    """The guest's rows that all hosts have.

    Raises:
        DataError: there is none.
        CryptoError: a host's key or signatures cannot be used.
        ProtocolError: a host signed another number of ids than it was given.
    """
    keys = [_HostKey.receive(session, host) for host in session.hosts]
    blinders = [_send_blinded(session, key, ids) for key in keys]
    tokens: list[ByteMatrix] = []
    found: list[Positions] = []
    host_rows: list[int | None] = []
    for place, host in enumerate(session.hosts):
        tokens.append(_unblind(session, host, blinders[place]))
        theirs = as_column(keys[place].tokens(session))
        found.append(np.flatnonzero(found_in(as_column(tokens[-1]), theirs) >= 0))
        host_rows.append(len(theirs))
        session.tracker.progress((place + 1) / len(session.hosts), f"compared with {host}")

    def reply(place: int, common: Positions) -> ByteMatrix:
        chosen = tokens[place][common]
        return chosen[sorted_order(chosen)]

    return guest_closes(session, messages.RESULT, len(ids), host_rows, found, reply)


@dataclass(frozen=True)
class _HostKey:
    """A host's public key; with a version when the host keeps its tokens for later jobs."""

    host: Party
    public: RsaPublicKey
    version: str
    cached: ByteMatrix | None

    @classmethod
    def receive(cls, session: Session, host: Party) -> _HostKey:
        payload = session.federation.receive(messages.RSA_PUBLIC_KEY, host)
        public = RsaPublicKey.from_payload(payload)
        version = payload.get("version", "")
        if not version:
            return cls(host, public, "", None)
        if not isinstance(version, str) or len(version) > _LONGEST_VERSION:
            raise ProtocolError(f"{host} sent something else than a version of its tokens")
        found = rsa_cache.read_guest_entry(session, host, public)
        mine = found[0] if found is not None else ""
        session.federation.send(messages.RSA_CACHED_VERSION, {"version": mine}, host)
        cached = found[1] if found is not None and mine == version else None
        return cls(host, public, version, cached)

    def tokens(self, session: Session) -> ByteMatrix:
        """The host's tokens: those of an earlier job if they are still the host's."""
        if self.cached is not None:
            return self.cached
        received = Receiver(session.federation, messages.RSA_HOST_TOKENS, self.host)
        tokens = received.matrix(TOKEN_WIDTH)
        if self.version:
            rsa_cache.write_guest_entry(session, self.host, self.public, self.version, tokens)
        return tokens


def _send_blinded(session: Session, key: _HostKey, ids: pa.Array) -> list[Blinder]:
    public = key.public
    blinders: list[Blinder] = []
    sender = Sender(session.federation, messages.RSA_BLINDED, key.host, len(ids))
    for part in slices(len(ids), public.width):
        chunk = ids.slice(part.start, part.stop - part.start)
        blinders.append(Blinder(public, chunk, random_bits=session.param.random_bit))
        sender.send(blinders[-1].blinded)
    return blinders


def _unblind(session: Session, host: Party, blinders: list[Blinder]) -> ByteMatrix:
    width = blinders[0].blinded.shape[1]
    signed = Receiver(session.federation, messages.RSA_SIGNED, host).matrices(width)
    parts: list[ByteMatrix] = []
    for blinder in blinders:
        chunk = next(signed, np.empty((0, width), dtype=np.uint8))
        if len(chunk) != len(blinder.blinded):
            raise ProtocolError(
                f"{host} signed {len(chunk)} ids of the {len(blinder.blinded)} it was given"
            )
        parts.append(blinder.unblind(chunk))
    return np.concatenate(parts)


def host(session: Session, ids: pa.Array) -> Positions | None:
    """The host's rows that all parties have, or None when the guest keeps the result.

    Raises:
        DataError: no id is common to all parties.
        CryptoError: the guest sent elements outside the group.
        ProtocolError: the guest named tokens that this host did not send.
    """
    federation = session.federation
    entry = rsa_cache.read_host_entry(session, ids)
    key = RsaKeyPair.generate() if entry is None else entry.key
    version = "" if session.cache is None else entry.version if entry else rsa_cache.new_version()
    payload = key.public.to_payload() | ({"version": version} if version else {})
    federation.send(messages.RSA_PUBLIC_KEY, payload, session.guest)
    is_known = bool(version) and _guest_has(session, version)
    receiver = Receiver(federation, messages.RSA_BLINDED, session.guest)
    sender = Sender(federation, messages.RSA_SIGNED, session.guest, receiver.rows)
    signed, total = 0, receiver.rows + (len(ids) if entry is None else 0)
    for chunk in receiver.matrices(key.public.width):
        sender.send(sign(chunk, key))
        signed += len(chunk)
        session.tracker.progress(signed / total, "signing the guest's ids")
    if entry is None:
        tokens = _sign_own(session, ids, key, signed, total)
        if version:
            rsa_cache.write_host_entry(session, ids, rsa_cache.HostEntry(version, key, tokens))
    else:
        tokens = entry.tokens
    if not is_known:
        shown = tokens[sorted_order(tokens)]
        send_matrix(federation, messages.RSA_HOST_TOKENS, shown, session.guest)
    result = host_learns(session, messages.RESULT, len(ids))
    if result is None:
        return None
    chosen = result.matrix(TOKEN_WIDTH)
    rows = found_in(as_column(chosen), as_column(tokens))
    if (rows < 0).any():
        raise ProtocolError(f"{session.guest} named ids that {session.party} does not have")
    return np.unique(rows)


def _guest_has(session: Session, version: str) -> bool:
    """Whether the guest has the tokens of this version from an earlier job."""
    answer = session.federation.receive(messages.RSA_CACHED_VERSION, session.guest)
    if not isinstance(answer, dict):
        raise ProtocolError(f"{session.guest} sent something else than a version")
    return bool(answer.get("version") == version)


def _sign_own(
    session: Session, ids: pa.Array, key: RsaKeyPair, signed: int, total: int
) -> ByteMatrix:
    """Tokens of the host's own ids, in their order."""
    parts = [np.empty((0, TOKEN_WIDTH), dtype=np.uint8)]
    for part in slices(len(ids), key.public.width):
        parts.append(own_tokens(ids.slice(part.start, part.stop - part.start), key))
        session.tracker.progress((signed + part.stop) / total, "signing the own ids")
    return np.concatenate(parts)
