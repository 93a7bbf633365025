"""Keys shared by the tests: short ones, because only production refuses them."""

from __future__ import annotations

import functools

from fate_flow.crypto.paillier import PrivateKey
from fate_flow.crypto.rsa_blind import RsaKeyPair


@functools.cache
def private_key(bits: int = 512, number: int = 0) -> PrivateKey:
    return PrivateKey.generate(bits, minimum_bits=256)


@functools.cache
def rsa_pair(bits: int = 512) -> RsaKeyPair:
    return RsaKeyPair.generate(bits, minimum_bits=256)
