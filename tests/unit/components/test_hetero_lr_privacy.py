"""What crosses between the parties of HeteroLR, read from the recorded messages."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from fate_flow.crypto.cipher_column import CipherColumn
from fate_flow.crypto.paillier import PrivateKey
from fate_flow.federation.codec import decode
from tests.support.hetero_lr import ARBITER, GUEST, HOSTS
from tests.support.parties import Record, Run
from tests.unit.components.test_hetero_lr import Example

HOST = HOSTS[0]
ITERATIONS, BATCHES = 2, 2

#: (variable, from, to) -> messages of one fit with one host, L2, and the prediction after it.
EXPECTED = {
    ("aggregate_classes", GUEST, HOST): 1,
    ("aggregate_classes", GUEST, ARBITER): 1,
    ("paillier_pubkey", ARBITER, GUEST): 1,
    ("paillier_pubkey", ARBITER, HOST): 1,
    ("batch_info", GUEST, HOST): 1,
    ("batch_info", GUEST, ARBITER): 1,
    ("host_forward_dict", HOST, GUEST): ITERATIONS * BATCHES,
    ("fore_gradient", GUEST, HOST): ITERATIONS * BATCHES,
    ("host_gradient", HOST, ARBITER): ITERATIONS * BATCHES,
    ("guest_gradient", GUEST, ARBITER): ITERATIONS * BATCHES,
    ("host_optim_gradient", ARBITER, HOST): ITERATIONS * BATCHES,
    ("guest_optim_gradient", ARBITER, GUEST): ITERATIONS * BATCHES,
    ("loss_intermediate", HOST, GUEST): ITERATIONS * BATCHES,
    ("host_loss_regular", HOST, GUEST): ITERATIONS * BATCHES,
    ("loss", GUEST, ARBITER): ITERATIONS * BATCHES,
    ("converge_flag", ARBITER, GUEST): ITERATIONS,
    ("converge_flag", ARBITER, HOST): ITERATIONS,
    ("host_prob", HOST, GUEST): 1,
}
ENCRYPTED = {
    "host_forward_dict",
    "fore_gradient",
    "host_gradient",
    "guest_gradient",
    "loss_intermediate",
    "host_loss_regular",
    "loss",
}


class Recorded:
    """A fit whose private key the test kept."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        keys: list[PrivateKey] = []
        generate = PrivateKey.generate

        def generate_and_keep(bits: int = 2048) -> PrivateKey:
            keys.append(generate(bits))
            return keys[-1]

        monkeypatch.setattr(PrivateKey, "generate", generate_and_keep)
        self.example = Example(folder)
        self.run: Run = self.example.run(max_iter=ITERATIONS, batch_size=24)
        (self.key,) = keys

    def records(self, variable: str) -> list[Record]:
        return [r for r in self.run.mailbox.records if r.variable == variable]

    def column(self, record: Record) -> CipherColumn:
        value = decode(record.data)
        batch = value[0] if isinstance(value, list) else value
        return CipherColumn.from_arrow(batch, self.key.public)


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recorded:
    return Recorded(tmp_path, monkeypatch)


def ciphertexts(column: CipherColumn) -> set[bytes]:
    return set(column.to_arrow().column(0).to_pylist())


def test_only_the_messages_of_the_protocol_cross(recorded: Recorded) -> None:
    counted = Counter((r.variable, r.sender, r.receiver) for r in recorded.run.mailbox.records)
    assert counted == EXPECTED


def test_what_concerns_rows_crosses_as_ciphertexts_only(recorded: Recorded) -> None:
    for variable in ENCRYPTED:
        for record in recorded.records(variable):
            value = decode(record.data)
            batch = value[0] if isinstance(value, list) else value
            assert isinstance(batch, pa.RecordBatch)
            assert batch.schema.types == [pa.binary(recorded.key.public.width)]


def test_no_label_feature_or_score_stands_in_a_message_in_clear(recorded: Recorded) -> None:
    example = recorded.example
    secrets: list[bytes] = [example.labels.tobytes(), example.labels.astype(float).tobytes()]
    for block in (example.guest, example.hosts[0]):
        secrets += [np.ascontiguousarray(column).tobytes()[:64] for column in block.T]
        secrets += [np.ascontiguousarray(row).tobytes()[:16] for row in block]
    for record in recorded.run.mailbox.records:
        for secret in secrets:
            assert secret not in record.data, record.variable
        if record.variable == "host_prob":
            continue
        assert not _row_vectors(decode(record.data)), record.variable


def _row_vectors(value: Any) -> list[Any]:
    """Plain arrays with one number per row of a batch or of the table."""
    if isinstance(value, np.ndarray):
        return [value] if value.size in (24, 48) else []
    if isinstance(value, dict):
        return [found for item in value.values() for found in _row_vectors(item)]
    if isinstance(value, list):
        return [found for item in value for found in _row_vectors(item)]
    return []


def test_the_guests_residuals_cannot_be_divided_out_of_the_hosts_own_ciphertexts(
    recorded: Recorded,
) -> None:
    """Without fresh masks fore_gradient ÷ forward^(scale) would be 1 + n·m, m in clear."""
    n, n_squared = int(recorded.key.public.n), int(recorded.key.public.n_squared)
    pairs = zip(
        recorded.records("host_forward_dict"), recorded.records("fore_gradient"), strict=True
    )
    for sent, returned in pairs:
        assert sent.tag == returned.tag
        forward, residual = recorded.column(sent), recorded.column(returned)
        for before, after in zip(
            forward.to_arrow().column(0).to_pylist(),
            residual.to_arrow().column(0).to_pylist(),
            strict=True,
        ):
            own, got = int.from_bytes(before, "big"), int.from_bytes(after, "big")
            quotient = got * pow(own, -1, n_squared) % n_squared
            assert quotient % n != 1


def test_every_ciphertext_that_crosses_is_a_fresh_one(recorded: Recorded) -> None:
    seen: set[bytes] = set()
    for variable in ENCRYPTED:
        for record in recorded.records(variable):
            column = recorded.column(record)
            fresh = ciphertexts(column)
            assert len(fresh) == len(column)
            assert not fresh & seen
            seen |= fresh


def test_the_ciphertexts_hold_what_the_protocol_says(recorded: Recorded) -> None:
    example = recorded.example
    start = [np.full(2, 0.1), np.full(3, 0.1)]
    own = example.guest[:24] @ start[1] + 0.1
    host = example.hosts[0][:24] @ start[0]
    forward = recorded.column(recorded.records("host_forward_dict")[0]).decrypt(recorded.key)
    np.testing.assert_allclose(forward, host, atol=1e-11)
    residual = recorded.column(recorded.records("fore_gradient")[0]).decrypt(recorded.key)
    signs = np.where(example.labels[:24] == 1, 1, -1)
    np.testing.assert_allclose(residual, 0.25 * (own + host) - 0.5 * signs, atol=1e-11)
    gradient = recorded.column(recorded.records("host_gradient")[0]).decrypt(recorded.key)
    expected = example.hosts[0][:24].T @ residual / 24 + 0.01 * start[0]
    np.testing.assert_allclose(gradient, expected, atol=1e-7)
    step = decode(recorded.records("host_optim_gradient")[0].data)
    np.testing.assert_allclose(step, 0.15 * gradient, rtol=1e-12)


def test_the_private_key_never_crosses(recorded: Recorded) -> None:
    factors = [int(recorded.key._p), int(recorded.key._q)]
    forms: list[bytes] = []
    for factor in factors:
        size = (factor.bit_length() + 7) // 8
        forms += [
            str(factor).encode(),
            f"{factor:x}".encode(),
            factor.to_bytes(size, "big"),
            factor.to_bytes(size, "little"),
        ]
    for record in recorded.run.mailbox.records:
        assert not any(form in record.data for form in forms)
