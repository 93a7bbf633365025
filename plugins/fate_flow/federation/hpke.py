"""Hybrid public key encryption with an authenticated sender: RFC 9180, mode auth.

KEM: DHKEM(X25519, HKDF-SHA256); KDF: HKDF-SHA256; AEAD: AES-GCM. The library at hand has the
base mode only, in which anybody could be the sender.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

KEY_BYTES = 32
TAG_BYTES = 16
_MODE_AUTH = b"\x02"
_NONCE_BYTES = 12
_KEM_SUITE = b"KEM" + (0x0020).to_bytes(2, "big")


@dataclass(frozen=True)
class Suite:
    """Which AES.

    Attributes:
        aead_id: number in the registry of RFC 9180.
        key_bytes: length of its key.
    """

    aead_id: int
    key_bytes: int

    @property
    def suite_id(self) -> bytes:
        numbers = (0x0020, 0x0001, self.aead_id)
        return b"HPKE" + b"".join(number.to_bytes(2, "big") for number in numbers)


AES_128_GCM = Suite(0x0001, 16)
AES_256_GCM = Suite(0x0002, 32)


class Context:
    """Seals or opens the pieces of one message, in order; each has a nonce of its own."""

    def __init__(self, shared_secret: bytes, info: bytes, suite: Suite) -> None:
        name = suite.suite_id
        schedule = b"".join(
            (
                _MODE_AUTH,
                _extract(name, b"", b"psk_id_hash", b""),
                _extract(name, b"", b"info_hash", info),
            )
        )
        secret = _extract(name, shared_secret, b"secret", b"")
        self._aead = AESGCM(_expand(name, secret, b"key", schedule, suite.key_bytes))
        nonce = _expand(name, secret, b"base_nonce", schedule, _NONCE_BYTES)
        self._base_nonce = int.from_bytes(nonce, "big")
        self._count = 0

    def seal(self, plaintext: bytes | memoryview, aad: bytes) -> bytes:
        return self._aead.encrypt(self._nonce(), plaintext, aad)

    def open(self, sealed: bytes | memoryview, aad: bytes) -> bytes:
        """
        Raises:
            cryptography.exceptions.InvalidTag: anything is not what was sealed.
        """
        return self._aead.decrypt(self._nonce(), sealed, aad)

    def _nonce(self) -> bytes:
        nonce = self._base_nonce ^ self._count
        self._count += 1
        return nonce.to_bytes(_NONCE_BYTES, "big")


def setup_sender(
    receiver: X25519PublicKey,
    sender: X25519PrivateKey,
    info: bytes,
    suite: Suite = AES_256_GCM,
    ephemeral: X25519PrivateKey | None = None,
) -> tuple[bytes, Context]:
    """What the receiver needs besides its key, and the context to seal with.

    Args:
        info: bound to the message: the receiver must give the same.
        ephemeral: for tests; a key that is used twice gives the secret away.

    Raises:
        ValueError: a public key of low order.
    """
    ephemeral = ephemeral or X25519PrivateKey.generate()
    encapsulated = ephemeral.public_key().public_bytes_raw()
    shared = ephemeral.exchange(receiver) + sender.exchange(receiver)
    names = (receiver.public_bytes_raw(), sender.public_key().public_bytes_raw())
    secret = _kem_secret(shared, b"".join((encapsulated, *names)))
    return encapsulated, Context(secret, info, suite)


def setup_receiver(
    encapsulated: bytes,
    receiver: X25519PrivateKey,
    sender: X25519PublicKey,
    info: bytes,
    suite: Suite = AES_256_GCM,
) -> Context:
    """The context to open with.

    Raises:
        ValueError: a public key of low order.
    """
    ephemeral = X25519PublicKey.from_public_bytes(encapsulated)
    shared = receiver.exchange(ephemeral) + receiver.exchange(sender)
    names = (receiver.public_key().public_bytes_raw(), sender.public_bytes_raw())
    secret = _kem_secret(shared, b"".join((encapsulated, *names)))
    return Context(secret, info, suite)


def _kem_secret(shared: bytes, kem_context: bytes) -> bytes:
    key = _extract(_KEM_SUITE, b"", b"eae_prk", shared)
    return _expand(_KEM_SUITE, key, b"shared_secret", kem_context, KEY_BYTES)


def _extract(suite_id: bytes, salt: bytes, label: bytes, key: bytes) -> bytes:
    labeled = b"".join((b"HPKE-v1", suite_id, label, key))
    return hmac.new(salt or bytes(KEY_BYTES), labeled, hashlib.sha256).digest()


def _expand(suite_id: bytes, key: bytes, label: bytes, info: bytes, length: int) -> bytes:
    labeled = b"".join((length.to_bytes(2, "big"), b"HPKE-v1", suite_id, label, info))
    return HKDFExpand(hashes.SHA256(), length, labeled).derive(key)
