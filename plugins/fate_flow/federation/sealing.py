"""Values between sites, sealed by the sender's task for the receiver's site.

A value from a host to an arbiter passes the gateway of the job's home, which is a third
site: it must neither read nor change it, nor pass it off as another one. So the sender
seals it to the key of the receiver's site, with its own site's key (RFC 9180, mode auth),
bound to its address: job, attempt, variable, tag, sender, receivers.

Layout: ``b"FFS1"``, the sender's ephemeral key (32 bytes), then pieces of 1 MiB, each with
its tag. The last piece is marked in what its tag covers, so that a value cannot be cut.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from fate_flow.entities import Party
from fate_flow.errors import ConfigurationError, ProtocolError
from fate_flow.federation import hpke

_MAGIC = b"FFS1"
_HEAD_BYTES = len(_MAGIC) + hpke.KEY_BYTES
_PIECE_BYTES = 1 << 20
_SEALED_PIECE_BYTES = _PIECE_BYTES + hpke.TAG_BYTES
_INFO = b"fate-flow value 1\0"
_MORE, _LAST = b"\0", b"\1"


class SealError(ProtocolError):
    """A value of another site is not sealed, or not the one that its sender sealed."""

    code = "seal"
    remedy = (
        "Compare the fingerprints of the sites on both sides (fate_flow peer show NAME); if they "
        "agree, somebody on the way between them has changed the value"
    )


class Sealer:
    """Seals and opens the values of one task.

    Args:
        own_private: X25519 private key of this site, 32 bytes.
        keys: party -> X25519 public key of its site, hexadecimal.

    Raises:
        ConfigurationError: something is no key.
    """

    def __init__(self, own_private: bytes, keys: Mapping[Party, str]) -> None:
        try:
            self._own = X25519PrivateKey.from_private_bytes(own_private)
        except ValueError:
            raise ConfigurationError("this site's sealing key cannot be read") from None
        self._keys = dict(keys)

    def __repr__(self) -> str:
        return "Sealer(…)"

    def groups(self, receivers: Sequence[Party]) -> list[tuple[Party, ...]]:
        """Receivers by site, as each site gets a value of its own.

        Raises:
            SealError: the key of a receiver's site is not known.
        """
        by_key: dict[bytes, list[Party]] = {}
        for receiver in receivers:
            by_key.setdefault(self._key_of(receiver).public_bytes_raw(), []).append(receiver)
        return [tuple(group) for group in by_key.values()]

    def seal(self, plaintext: bytes | memoryview, *, receiver: Party, context: bytes) -> bytearray:
        """Only a site with the private key of ``receiver``'s can open it.

        Twice the same value gives different bytes.

        Args:
            context: what the value is; the receiver must give the same to open it.

        Raises:
            SealError: the key of the receiver's site is not known.
        """
        key = self._key_of(receiver)
        view = memoryview(plaintext)
        try:
            encapsulated, sealing = hpke.setup_sender(key, self._own, _INFO + context)
        except ValueError:
            raise SealError(f"the key of the site of {receiver} cannot be used") from None
        last = max(len(view) - 1, 0) // _PIECE_BYTES * _PIECE_BYTES
        count = last // _PIECE_BYTES + 1
        # At its size from the start: a large value is not held twice to put it together.
        sealed = bytearray(_HEAD_BYTES + len(view) + count * hpke.TAG_BYTES)
        sealed[:_HEAD_BYTES] = _MAGIC + encapsulated
        end = _HEAD_BYTES
        for start in range(0, last + 1, _PIECE_BYTES):
            mark = _LAST if start == last else _MORE
            piece = sealing.seal(view[start : start + _PIECE_BYTES], mark)
            sealed[end : end + len(piece)] = piece
            end += len(piece)
        return sealed

    def open(
        self,
        sealed: bytes | bytearray,
        *,
        sender: Party,
        context: bytes,
        name: str = "a value",
    ) -> bytes | bytearray:
        """What ``sender``'s site has sealed.

        Args:
            sealed: a ``bytearray`` is opened in place: large values are not held twice.
            name: of the value, for texts.

        Raises:
            SealError: not sealed, by somebody else, for somebody else, as something else,
                changed or cut.
        """
        self.require_sealed(sealed, sender=sender, name=name)
        encapsulated = bytes(sealed[len(_MAGIC) : _HEAD_BYTES])
        key = self._key_of(sender)
        broken = SealError(
            f"{name} of {sender} is not what the site of {sender} sealed for this party and "
            "this attempt: refused"
        )
        try:
            opening = hpke.setup_receiver(encapsulated, self._own, key, _INFO + context)
            if isinstance(sealed, bytearray):
                return _open_in_place(opening, sealed)
            return _open(opening, sealed)
        except (ValueError, InvalidTag):
            raise broken from None

    @staticmethod
    def require_sealed(data: bytes | bytearray, *, sender: Party, name: str) -> None:
        """
        Raises:
            SealError: the data has never been sealed.
        """
        if data[: len(_MAGIC)] != _MAGIC:
            raise SealError(f"{name} of {sender} came unsealed in a job of several sites: refused")

    def _key_of(self, party: Party) -> X25519PublicKey:
        try:
            return X25519PublicKey.from_public_bytes(bytes.fromhex(self._keys[party]))
        except (KeyError, ValueError):
            raise SealError(
                f"the sealing key of the site of {party} is not known in this job",
                remedy="Submit the job again; every pair of its sites must know each other",
            ) from None


def context_of(
    job_id: str,
    component: str,
    attempt: tuple[str, int],
    what: tuple[str, str],
    sender: Party,
    receivers: Sequence[Party],
) -> bytes:
    """Canonical bytes that say what a value is.

    Args:
        attempt: incarnation and number.
        what: variable and tag.
        receivers: all that get these same bytes.
    """
    addressed = sorted(party.key for party in receivers)
    fields = [job_id, component, *attempt, *what, sender.key, addressed]
    return json.dumps(fields, separators=(",", ":")).encode()


def _open(opening: hpke.Context, sealed: bytes) -> bytes:
    view = memoryview(sealed)
    return b"".join(opening.open(view[a:b], mark) for a, b, mark in _pieces(len(sealed)))


def _open_in_place(opening: hpke.Context, sealed: bytearray) -> bytearray:
    end = 0
    with memoryview(sealed) as view:
        for start, stop, mark in _pieces(len(sealed)):
            piece = opening.open(view[start:stop], mark)
            # Behind what is still to be opened: a piece is shorter than its sealed form.
            view[end : end + len(piece)] = piece
            end += len(piece)
    del sealed[end:]
    return sealed


def _pieces(size: int) -> list[tuple[int, int, bytes]]:
    """Start, end and mark of each sealed piece."""
    starts = range(_HEAD_BYTES, size, _SEALED_PIECE_BYTES)
    if not starts:
        raise ValueError("no pieces")
    return [
        (start, min(start + _SEALED_PIECE_BYTES, size), _LAST if start == starts[-1] else _MORE)
        for start in starts
    ]
