"""Encrypted counts of events per bin of a host: made at the host, opened at the guest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from fate_flow.components.hetero_feature_binning import messages
from fate_flow.components.hetero_feature_binning.binner import ColumnBins
from fate_flow.crypto.cipher_column import CipherColumn
from fate_flow.crypto.packing import (
    pack_ciphertexts,
    slot_width,
    slots_per_plaintext,
    unpack_decrypted,
)
from fate_flow.crypto.paillier import PrivateKey, PublicKey
from fate_flow.entities import Party
from fate_flow.errors import ProtocolError
from fate_flow.ml.binning import CountArray
from fate_flow.ml.binning_optimal import OptimalRule
from fate_flow.runtime.context import Federation


@dataclass
class HostBins:
    """What the guest knows of a host's columns; lists run over the columns.

    Attributes:
        positions: place of the column in the host's header.
        counts: rows per bin, int64 (bins,).
        events: events per bin, int64 (bins,).
        categories: positions of columns whose bins are never merged.
        rule: how the guest is to merge the bins, or None.
    """

    positions: list[int]
    counts: list[CountArray]
    events: list[CountArray]
    categories: set[int]
    rule: OptimalRule | None


def sum_labels(
    federation: Federation, guest: Party, key: PublicKey, columns: Sequence[ColumnBins], rows: int
) -> CipherColumn | None:
    """Host: sum the guest's encrypted labels per column and bin as they arrive.

    Returns:
        the sums, columns one after the other, joined to as many per ciphertext as the key
        holds (they count rows, so they are small), re-randomised; None without columns.

    Raises:
        ProtocolError: a chunk has another number of rows than was announced.
    """
    bins = [len(column.splits) for column in columns]
    totals: list[CipherColumn] | None = None
    for index, start in enumerate(range(0, rows, messages.CHUNK)):
        stop = min(start + messages.CHUNK, rows)
        batch = federation.receive(messages.LABELS, guest, (index,))
        labels = _cipher(batch, key, guest)
        if len(labels) != stop - start:
            raise ProtocolError(f"{guest} sent {len(labels)} labels for {stop - start} rows")
        if not columns:
            continue
        codes = np.stack([column.codes[start:stop] for column in columns], axis=1).astype(np.int64)
        sums = labels.bin_sum(codes, bins)
        totals = (
            sums
            if totals is None
            else [total.add(part) for total, part in zip(totals, sums, strict=True)]
        )
    if totals is None:
        return None
    return pack_ciphertexts(CipherColumn.concat(totals), slot_width(rows)).rerandomise()


def send_bin_sums(
    federation: Federation,
    guest: Party,
    positions: Sequence[int],
    columns: Sequence[ColumnBins],
    sums: CipherColumn | None,
    rule: OptimalRule | None,
) -> None:
    """Host: counts of rows in clear, counts of events encrypted."""
    places = zip(positions, columns, strict=True)
    head: dict[str, Any] = {
        "local_only": False,
        "columns": np.array(positions, dtype=np.int64),
        "bins": np.array([len(column.splits) for column in columns], dtype=np.int64),
        "counts": np.concatenate(
            [np.empty(0, dtype=np.int64), *(column.counts() for column in columns)]
        ),
        "categories": [position for position, column in places if column.is_category],
        "optimal": asdict(rule) if rule is not None else None,
    }
    federation.send(messages.BIN_SUMS, head, guest)
    total = 0 if sums is None else len(sums)
    for index, start in enumerate(range(0, total, messages.CHUNK)):
        assert sums is not None
        part = sums.take(np.arange(start, min(start + messages.CHUNK, total)))
        federation.send(messages.BIN_SUMS, part.to_arrow(), guest, (index,))


def receive_bin_sums(
    federation: Federation, host: Party, key: PrivateKey, rows: int
) -> HostBins | None:
    """Guest: a host's bins with their events; None when the host is set to local_only.

    Raises:
        ProtocolError: the counts do not add up to the table's rows, or are impossible.
        CryptoError: the ciphertexts are not of this key.
    """
    head = federation.receive(messages.BIN_SUMS, host)
    if not isinstance(head, dict):
        raise ProtocolError(f"{host} sent no description of its bins")
    if head.get("local_only"):
        return None
    positions, bins, counts = (
        _integers(head, name, host) for name in ("columns", "bins", "counts")
    )
    if len(positions) != len(bins) or bins.sum() != len(counts) or (bins < 1).any():
        raise ProtocolError(f"{host} sent counts that do not fit its bins")
    events = _open(federation, host, key, len(counts), rows)
    ends = np.cumsum(bins)[:-1]
    count_parts, event_parts = np.split(counts, ends), np.split(events, ends)
    if not len(bins):
        count_parts, event_parts = [], []
    if any(part.sum() != rows for part in count_parts) or (events > counts).any():
        raise ProtocolError(f"{host} sent counts that cannot be those of {rows} rows")
    return HostBins(
        positions=[int(position) for position in positions],
        counts=list(count_parts),
        events=list(event_parts),
        categories={int(position) for position in head.get("categories", ())},
        rule=_rule(head.get("optimal"), host),
    )


def _open(
    federation: Federation, host: Party, key: PrivateKey, total: int, rows: int
) -> CountArray:
    """Decrypted sums of all bins; int64, shape (total,)."""
    width = slot_width(rows)
    packed: list[int] = []
    ciphertexts = -(-total // slots_per_plaintext(key.public, width))
    for index in range(-(-ciphertexts // messages.CHUNK)):
        batch = federation.receive(messages.BIN_SUMS, host, (index,))
        packed += _cipher(batch, key.public, host).decrypt_int(key)
    sums = unpack_decrypted(packed, total, key.public, width)
    if any(not 0 <= value <= rows for value in sums):
        raise ProtocolError(f"{host} sent a sum of labels that cannot be")
    return np.array(sums, dtype=np.int64)


def _cipher(batch: object, key: PublicKey, sender: Party) -> CipherColumn:
    if not isinstance(batch, pa.RecordBatch):
        raise ProtocolError(f"{sender} sent something else than ciphertexts")
    return CipherColumn.from_arrow(batch, key)


def _integers(head: Mapping[str, Any], name: str, host: Party) -> CountArray:
    values = head.get(name)
    if not isinstance(values, np.ndarray) or values.dtype != np.int64 or values.ndim != 1:
        raise ProtocolError(f"{host} sent no {name} of its bins")
    if (values < 0).any():
        raise ProtocolError(f"{host} sent negative {name}")
    return values


def _rule(given: object, host: Party) -> OptimalRule | None:
    if given is None:
        return None
    if not isinstance(given, Mapping):
        raise ProtocolError(f"{host} sent an unknown rule for its bins")
    try:
        rule = OptimalRule(**given)
    except TypeError:
        raise ProtocolError(f"{host} sent an unknown rule for its bins") from None
    numbers = (rule.bins, rule.min_share, rule.max_share, rule.adjustment)
    if rule.metric not in ("iv", "gini", "chi_square", "ks") or not all(
        isinstance(value, (int, float)) and value >= 0 for value in numbers
    ):
        raise ProtocolError(f"{host} sent a rule for its bins that has no meaning")
    return rule
