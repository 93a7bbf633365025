"""What the parties of HeteroLR tell each other.

w_g, w_h are the parties' weights, y ∈ {−1, +1} the labels, n the rows of a batch, N all
rows, E() Paillier under the arbiter's key. Messages carry the suffix (iteration, batch)
unless noted. One iteration, for each batch:

    host    → guest      HOST_FORWARD      E(w_h·x) of every row
    guest   → hosts      FORE_GRADIENT     E(d), d = ¼(w_g·x + b + Σ_h w_h·x) − ½y
    host    → arbiter    HOST_GRADIENT     E(Σ x·d ÷ n + penalty)
    guest   → arbiter    GUEST_GRADIENT    the same, E(Σ d ÷ n) for the intercept last
    arbiter → each       HOST_/GUEST_OPTIM_GRADIENT   the step to subtract, its own part only
    host    → guest      LOSS_INTERMEDIATE, HOST_LOSS_REGULAR   E(Σ (w_h·x)²), E(penalty)
    guest   → arbiter    LOSS              E(loss); with one host only

and at its end arbiter → guest, hosts CONVERGE_FLAG, suffix (iteration,). With optimizer
``sqn`` some batches have messages more, see :mod:`.curvature`.

What each side sees:

- the hosts: ciphertexts only, and their own step. Labels, scores and residuals stay hidden.
- the guest: ciphertexts and its own step; when predicting, w_h·x of each host in clear.
- the arbiter: the gradient of all columns and the loss in clear, no row and no column name.
  It must not work together with a guest or a host.

Every ciphertext that leaves a party gets fresh randomness there: what guest and hosts
compute with plain numbers on each other's ciphertexts could be divided out again otherwise.
The protocol is FATE 1.4's, after Hardy et al. 2017 (arXiv:1711.10677), section 4.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fate_flow.crypto.cipher_column import CipherColumn
from fate_flow.crypto.paillier import PublicKey
from fate_flow.entities import Party
from fate_flow.errors import ProtocolError

#: arbiter → guest, hosts, no suffix.
PUBLIC_KEY = "paillier_pubkey"
#: guest → hosts, arbiter, no suffix: a :class:`BatchInfo`.
BATCH_INFO = "batch_info"

HOST_FORWARD = "host_forward_dict"
FORE_GRADIENT = "fore_gradient"
HOST_GRADIENT = "host_gradient"
GUEST_GRADIENT = "guest_gradient"
HOST_OPTIM_GRADIENT = "host_optim_gradient"
GUEST_OPTIM_GRADIENT = "guest_optim_gradient"
LOSS_INTERMEDIATE = "loss_intermediate"
HOST_LOSS_REGULAR = "host_loss_regular"
LOSS = "loss"
CONVERGE_FLAG = "converge_flag"

SQN_SAMPLE_INDEX = "sqn_sample_index"
HOST_SQN_FORWARDS = "host_sqn_forwards"
FORWARD_HESS = "forward_hess"
GUEST_HESS_VECTOR = "guest_hess_vector"
HOST_HESS_VECTOR = "host_hess_vector"

#: host → guest, no suffix, when predicting: :class:`HostScores`.
HOST_PROB = "host_prob"
#: guest → hosts, arbiter, suffix (iteration,), only with early stopping by validation.
VALIDATION_STATUS = "validation_status"


def ids_digest(ids: pa.Array) -> str:
    """SHA-256 (hex) of ids in canonical order: equal only for parties with the same rows."""
    digest = hashlib.sha256()
    for sid in ids.to_pylist():
        raw = sid.encode()
        digest.update(len(raw).to_bytes(4, "big") + raw)
    return digest.hexdigest()


@dataclass(frozen=True)
class BatchInfo:
    """How the guest cut its rows.

    All parties cut the same batches from their own tables in canonical order, so the ids of
    a batch need not be sent, only a digest that shows that all have the same rows.

    Attributes:
        batch_size: rows of a batch, -1 for all.
        batch_num: number of batches.
        rows: rows of the table.
        ids: digest of the ids.
        validate: whether there are rows to validate with.
    """

    batch_size: int
    batch_num: int
    rows: int
    ids: str
    validate: bool

    def to_payload(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_payload(cls, payload: object, sender: Party) -> BatchInfo:
        """What a guest sent; ProtocolError when it cannot be."""
        wanted = {"batch_size": int, "batch_num": int, "rows": int, "ids": str, "validate": bool}
        if (
            not isinstance(payload, dict)
            or set(payload) != set(wanted)
            or any(type(payload[name]) is not kind for name, kind in wanted.items())
        ):
            raise ProtocolError(f"{sender} sent no readable {BATCH_INFO}")
        info = cls(**payload)
        if info.rows < 1 or info.batch_num < 1 or (info.batch_size < 1 and info.batch_size != -1):
            raise ProtocolError(f"{sender} announced {info.batch_num} batches of {info.rows} rows")
        return info


@dataclass(frozen=True)
class HostScores:
    """w_h·x of a host's rows, in clear.

    Attributes:
        ids: digest of the ids.
        scores: float64, shape (n,).
    """

    ids: str
    scores: NDArray[np.float64]

    def to_payload(self) -> dict[str, Any]:
        return {"ids": self.ids, "scores": self.scores}

    @classmethod
    def from_payload(cls, payload: object, sender: Party) -> HostScores:
        """What a host sent; ProtocolError when it cannot be."""
        if not isinstance(payload, dict) or set(payload) != {"ids", "scores"}:
            raise ProtocolError(f"{sender} sent no readable {HOST_PROB}")
        scores = payload["scores"]
        if (
            not isinstance(scores, np.ndarray)
            or scores.dtype != np.float64
            or scores.ndim != 1
            or not np.isfinite(scores).all()
        ):
            raise ProtocolError(f"{sender} sent scores that are not finite numbers")
        return cls(str(payload["ids"]), scores)


def read_column(batch: object, key: PublicKey, size: int, sender: Party) -> CipherColumn:
    """A column of ``size`` ciphertexts that a peer sent.

    Raises:
        CryptoError: not ciphertexts of this key.
        ProtocolError: another number of them.
    """
    column = CipherColumn.from_arrow(batch, key)
    if len(column) != size:
        raise ProtocolError(f"{sender} sent {len(column)} ciphertexts, {size} were due")
    return column
