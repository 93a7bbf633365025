"""The cache of a host's signed ids (``intersect_cache_param.use_cache``).

The costly part of an RSA intersection is the host's signing of its own ids; it is the same
as long as ids and key are. With the cache a host keeps its key and the tokens of its ids, and
the guest keeps the host's tokens, so that a second job over the same table neither signs nor
sends them again.

*Never stale.* A host's entry holds the digest of its ids; with any other ids it makes a new
key, new tokens and a new version. The version is a random name and says nothing about the
ids. The guest names the version it has, and only together with the public key it belongs
to; anything else is sent anew. Entries are kept per pair of parties, ``id_type`` and
``encrypt_type`` (which select the entry and nothing else).

*What it reveals.* The guest is told that the host's ids are those of an earlier job, and no
more: tokens are hashes of signatures that only the host can make, and the guest can compare
them with those ids alone that it had signed, blindly, in some job. What it learns from n jobs
with one key is what it would learn from n jobs with new keys over the same table: which of
the ids it asked for are there. A signature of the past is of no use once the ids change,
because the key changes with them. Security against more signatures than were asked for rests
on the one-more RSA assumption, which allows many runs with one key (Bellare, Namprempre,
Pointcheval, Semanko, "The one-more-RSA-inversion problems and the security of Chaum's blind
signature scheme", J. Cryptology 2003); that the signer prepares its tokens once for many
runs is foreseen by De Cristofaro and Tsudik (section 4). The guest's ids are blinded with
fresh numbers in every run and are not cached, so the host cannot link them. One key serves one
guest; two guests cannot pool their signatures.

*What lies on the disk.* At the host, its private key and tokens, readable by the site's user
only, beside the table they were made of; at the guest, tokens. Both can be removed at any time.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from fate_flow.components.intersection.closing import Session
from fate_flow.components.intersection.stream import ByteMatrix
from fate_flow.crypto.ids import utf8
from fate_flow.crypto.rsa_blind import TOKEN_WIDTH, RsaKeyPair, RsaPublicKey
from fate_flow.entities import Party
from fate_flow.errors import CryptoError

_HEADER_BYTES = 4


@dataclass(frozen=True)
class HostEntry:
    """A host's key and the tokens of its ids, in the order of the ids."""

    version: str
    key: RsaKeyPair
    tokens: ByteMatrix


def new_version() -> str:
    return secrets.token_hex(16)


def digest_of(ids: pa.Array) -> str:
    """SHA-256 over the ids in their order."""
    digest = hashlib.sha256()
    for text in utf8(ids):
        digest.update(len(text).to_bytes(4, "big") + text)
    return digest.hexdigest()


def read_host_entry(session: Session, ids: pa.Array) -> HostEntry | None:
    """The host's entry if it was made of exactly these ids."""
    found = _read(session, session.guest)
    if found is None:
        return None
    header, tokens = found
    try:
        if header["ids"] != digest_of(ids) or len(tokens) != len(ids):
            return None
        return HostEntry(str(header["version"]), RsaKeyPair.from_private(header), tokens)
    except (KeyError, CryptoError):
        return None


def write_host_entry(session: Session, ids: pa.Array, entry: HostEntry) -> None:
    header = {"version": entry.version, "ids": digest_of(ids), **entry.key.to_private()}
    _write(session, session.guest, header, entry.tokens)


def read_guest_entry(
    session: Session, host: Party, public: RsaPublicKey
) -> tuple[str, ByteMatrix] | None:
    """(version, the host's tokens) if they were made with this key of the host."""
    found = _read(session, host)
    if found is None or found[0].get("public") != public.to_payload():
        return None
    return str(found[0].get("version")), found[1]


def write_guest_entry(
    session: Session, host: Party, public: RsaPublicKey, version: str, tokens: ByteMatrix
) -> None:
    _write(session, host, {"version": version, "public": public.to_payload()}, tokens)


def _key(session: Session, peer: Party) -> str:
    param = session.param.intersect_cache_param
    parts = ["intersect_rsa", session.party.key, peer.key, param.id_type, param.encrypt_type]
    return json.dumps(parts, sort_keys=True)


def _read(session: Session, peer: Party) -> tuple[dict[str, Any], ByteMatrix] | None:
    stored = session.cache.read(_key(session, peer)) if session.cache is not None else None
    if stored is None:
        return None
    start = _HEADER_BYTES + int.from_bytes(stored[:_HEADER_BYTES], "big")
    try:
        header = json.loads(stored[_HEADER_BYTES:start])
        tokens = np.frombuffer(stored, dtype=np.uint8, offset=start).reshape(-1, TOKEN_WIDTH)
    except ValueError:
        return None
    return (header, tokens) if isinstance(header, dict) else None


def _write(session: Session, peer: Party, header: Mapping[str, Any], tokens: ByteMatrix) -> None:
    if session.cache is not None:
        head = json.dumps(header).encode()
        content = len(head).to_bytes(_HEADER_BYTES, "big") + head + tokens.tobytes()
        session.cache.write(_key(session, peer), content)
