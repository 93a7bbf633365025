"""What one party keeps ready for many iterations, classes and candidates: rows, keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from fate_flow.components.hetero_lr.messages import ids_digest
from fate_flow.crypto.bucket_products import DotPlan
from fate_flow.crypto.paillier import PrivateKey, PublicKey
from fate_flow.data.table import Table
from fate_flow.ml.batches import batch_slices

Floats = NDArray[np.float64]

#: Fixed-point bits of the features in products with ciphertexts, at each column's own scale.
#: With scores encrypted to 2**-41 the error of gradient component j is at most
#: ``2**-30 * max|x_j| * mean|d| + 2**-41 * mean|x_j|``, about 1e-9 for scaled features; weights
#: come out as in the clear within 1e-6 (1e-8 as measured), whatever the optimiser makes of it.
MATRIX_BITS = 30


@dataclass(frozen=True)
class Batch:
    """Rows of one batch, cut once.

    Attributes:
        rows: which rows of the table.
        features: shape (n, d).
        plan: features ÷ n, ready for products with ciphertexts.
    """

    rows: slice
    features: Floats
    plan: DotPlan

    @property
    def size(self) -> int:
        return len(self.features)


def mean_plan(features: Floats) -> DotPlan:
    """``features ÷ n``, shape (n, d): its products with a column are means over the rows."""
    return DotPlan(features / len(features), MATRIX_BITS)


class TrainingRows:
    """The rows a party trains on.

    Args:
        table: where they come from.
        features: its feature matrix, shape (n, d).

    Attributes:
        digest: of the ids.
    """

    def __init__(self, table: Table, features: Floats) -> None:
        self.table = table
        self.features = features
        self.digest = ids_digest(table.ids())
        self._batch_size = 0
        self._batches: list[Batch] = []

    @property
    def count(self) -> int:
        return self.table.count

    def batches(self, batch_size: int) -> list[Batch]:
        """The batches of that size (-1: one of all rows); the same list each time."""
        if batch_size != self._batch_size:
            self._batch_size = batch_size
            self._batches = [
                Batch(rows, self.features[rows], mean_plan(self.features[rows]))
                for rows in batch_slices(self.count, batch_size)
            ]
        return self._batches


class KeyRing:
    """The Paillier key of a task: made once by the arbiter, used in all fits of the task.

    Its tables for encryption are costly, and the parties of all its fits are the same.
    """

    def __init__(self) -> None:
        self._private: PrivateKey | None = None
        self._public: PublicKey | None = None

    @property
    def is_made(self) -> bool:
        return self._private is not None

    def make(self, bits: int) -> PrivateKey:
        """The private key, at the arbiter."""
        if self._private is None:
            self._private = PrivateKey.generate(bits)
        return self._private

    def take(self, payload: object) -> PublicKey:
        """The public key that the arbiter sent.

        Raises:
            CryptoError: not a usable key.
        """
        # What is not a mapping is refused there, with the rest that a peer may send.
        key = PublicKey.from_payload(cast("Mapping[str, Any]", payload))
        if self._public is None or self._public != key:
            self._public = key
        return self._public
