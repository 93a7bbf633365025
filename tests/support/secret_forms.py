"""Data of two parties, and every form in which a program might send it by mistake.

Numbers as float64 of both byte orders and as texts; runs of labels as arrays of any width and
as texts; ids as texts, as common digests and as unblinded points.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fate_flow.crypto import ecdh

GUEST_ROWS, HOST_ROWS, COMMON = 64, 60, 44
GUEST_COLUMNS, HOST_COLUMNS = 3, 4
#: Labels in a row that no chance brings together.
RUN = 24


@dataclass
class Secrets:
    """Data of a guest and a host that know some ids in common."""

    guest_ids: list[str]
    host_ids: list[str]
    labels: np.ndarray[Any, Any]
    guest: np.ndarray[Any, Any]
    host: np.ndarray[Any, Any]

    @classmethod
    def make(cls) -> Secrets:
        random = np.random.default_rng(secrets.randbits(64))
        names = [f"patient-{secrets.token_hex(8)}" for _ in range(GUEST_ROWS + HOST_ROWS - COMMON)]
        guest_ids, host_ids = names[:GUEST_ROWS], names[GUEST_ROWS - COMMON :]
        random.shuffle(host_ids)
        guest = random.normal(size=(GUEST_ROWS, GUEST_COLUMNS)).round(6)
        noise = random.normal(size=GUEST_ROWS)
        return cls(
            guest_ids,
            host_ids,
            (guest @ [1.0, -2.0, 0.5] + noise > 0).astype(np.int64),
            guest,
            random.normal(size=(HOST_ROWS, HOST_COLUMNS)).round(6),
        )

    @property
    def strangers(self) -> list[str]:
        """Ids that only one party has."""
        return sorted(set(self.guest_ids) ^ set(self.host_ids))

    @property
    def numbers(self) -> np.ndarray[Any, Any]:
        return np.concatenate([self.guest.ravel(), self.host.ravel()])

    def forms(self) -> Iterator[tuple[str, bytes]]:
        """What must not be found, with a name for it."""
        for value in self.numbers:
            yield from forms_of_number("feature", float(value))
        yield from self._forms_of_labels()
        for one in self.strangers:
            yield from _forms_of_id(one)

    def _forms_of_labels(self) -> Iterator[tuple[str, bytes]]:
        by_id = dict(zip(self.guest_ids, self.labels, strict=True))
        orders: dict[str, Iterable[str]] = {
            "as given": self.guest_ids,
            "sorted": sorted(self.guest_ids, key=lambda sid: (len(sid), sid)),
            "common, sorted": sorted(
                set(self.guest_ids) & set(self.host_ids), key=lambda sid: (len(sid), sid)
            ),
        }
        for name, order in orders.items():
            run = np.array([by_id[sid] for sid in order])[:RUN]
            for signed in (run, np.where(run == 1, 1, -1)):
                for kind in ("i1", "<i4", "<i8", "<f4", "<f8", ">i4", ">i8", ">f8"):
                    yield f"labels {name} as {kind}", signed.astype(kind).tobytes()
            for separator in (",", ", ", "", " ", "\n"):
                yield f"labels {name} as text", separator.join(map(str, run)).encode()
            yield f"labels {name} as bits", np.packbits(run).tobytes() + b"\0" * 13


def forms_of_number(name: str, value: float) -> Iterator[tuple[str, bytes]]:
    yield f"{name} as float64", np.array(value, "<f8").tobytes()
    yield f"{name} as big-endian float64", np.array(value, ">f8").tobytes()
    yield f"{name} as text", f"{value:.6f}".encode()
    yield f"{name} as hexadecimal text", value.hex().encode()


def _forms_of_id(sid: str) -> Iterator[tuple[str, bytes]]:
    text = sid.encode()
    yield "id as text", text
    yield "part of an id as text", text[-12:]
    for method in ("md5", "sha1", "sha224", "sha256", "sha512"):
        digest = hashlib.new(method, text)
        yield f"{method} of an id", digest.digest()[:16]
        yield f"{method} of an id in hexadecimal", digest.hexdigest()[:24].encode()
    yield "unblinded point of an id", ecdh._hash_to_curve(text)


def search(messages: Mapping[str, bytes], forms: Iterable[tuple[str, bytes]]) -> list[str]:
    everything = b"\n".join(messages.values())
    return [
        f"{name} {form!r} in {[key for key, data in messages.items() if form in data]}"
        for name, form in forms
        if form in everything
    ]
