"""Parameters of Intersection."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from fate_flow.errors import Problem
from fate_flow.runtime.params import (
    Param,
    anything,
    boolean,
    integer,
    nested,
    one_of,
    param,
    text,
)

ENCODINGS = ("none", "md5", "sha1", "sha224", "sha256", "sha384", "sha512")


@dataclass
class EncodeParam(Param):
    """How ids are hashed before a raw intersection.

    Attributes:
        salt: appended to each id; must be the same at all parties.
        encode_method: hash function, or none.
        base64: base64 of the digest rather than hex.
    """

    salt: str = param("", text())
    encode_method: str = param("none", one_of(*ENCODINGS))
    base64: bool = param(False, boolean())


@dataclass
class IntersectCacheParam(Param):
    """The cache of a host's signed ids; FATE checks none of these words.

    Attributes:
        use_cache: keep a host's key and signed ids, and use them again while its ids are the
            same.
        id_type, encrypt_type: select the entry, and nothing else.
    """

    use_cache: bool = param(False, boolean())
    id_type: str = param("phone", anything())
    encrypt_type: str = param("sha256", anything())


@dataclass
class IntersectParam(Param):
    """Which method to use, and who gets the result.

    Attributes:
        intersect_method: rsa, ecdh or raw.
        random_bit: bits of the blinding numbers (rsa).
        sync_intersect_ids: the hosts get the result too (raw: the side that does not join).
        join_role: who compares the ids (raw).
        with_encode: ids are hashed before they are sent (raw).
        only_output_key: the output has the ids only, no values.

        intersect_cache_param: a host's signed ids are kept for later jobs (rsa).
        repeated_id_process: ids may occur in several rows of the guest; they stand in its first
            column then.
    """

    conf_name: ClassVar[str] = "IntersectParam"

    intersect_method: str = param("rsa", one_of("rsa", "raw", "ecdh"))
    random_bit: int = param(128, integer(minimum=1))
    sync_intersect_ids: bool = param(True, boolean())
    join_role: str = param("guest", one_of("guest", "host"))
    with_encode: bool = param(False, boolean())
    encode_params: EncodeParam = nested(EncodeParam)
    only_output_key: bool = param(False, boolean())
    intersect_cache_param: IntersectCacheParam = nested(IntersectCacheParam)
    repeated_id_process: bool = param(False, boolean())
    repeated_id_owner: str = param("guest", one_of("guest"))

    @classmethod
    def must_agree(cls, params: Sequence[IntersectParam]) -> Sequence[str]:
        shared = ["intersect_method", "repeated_id_process"]
        if all(param.intersect_method == "raw" for param in params):
            shared += ["join_role", "with_encode"]
            if all(param.with_encode for param in params):
                shared.append("encode_params")
        return shared

    def check(self) -> Iterator[Problem]:
        host_alone = self.intersect_method == "raw" and self.join_role == "host"
        if self.repeated_id_process and host_alone and not self.sync_intersect_ids:
            yield Problem(
                "repeated_id_process",
                "found true where only the host learns the common ids (join_role host without"
                " synchronisation): the guest could not say which rows they have",
                "false, or sync_intersect_ids true",
            )
