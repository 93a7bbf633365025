"""HeteroFeatureBinning at the guest, who has the labels and the key."""

from __future__ import annotations

from typing import Any

import numpy as np

from fate_flow.components.hetero_feature_binning import messages
from fate_flow.components.hetero_feature_binning.alignment import ids_digest
from fate_flow.components.hetero_feature_binning.bin_sums import HostBins, receive_bin_sums
from fate_flow.components.hetero_feature_binning.binner import ColumnBins, learn, rule_of
from fate_flow.components.hetero_feature_binning.component import HeteroFeatureBinning
from fate_flow.components.hetero_feature_binning.model import anonymous
from fate_flow.crypto.cipher_column import CipherColumn
from fate_flow.crypto.paillier import PrivateKey
from fate_flow.data.table import Table
from fate_flow.entities import Party
from fate_flow.errors import DataError
from fate_flow.ml.binning_iv import InformationValue, information_value
from fate_flow.ml.binning_optimal import merged_counts, optimal_bins

Events = np.ndarray[Any, np.dtype[np.int64]]


class HeteroFeatureBinningGuest(HeteroFeatureBinning):
    """Encrypts its labels, bins its own columns, and decrypts the hosts' sums per bin."""

    def fit(self, data: Table | None, validate: Table | None = None) -> Table | None:
        """Learn the bins, WOE and IV of all columns of all parties; transform the own ones.

        Raises:
            DataError: no label, more than two labels, or a column without numbers.
            ProtocolError, CryptoError: a host sent sums that cannot be.
        """
        table = self.require_table(data)
        events = events_of(table)
        hosts = self.context.hosts
        key = self._send_labels(table, events) if hosts else None
        columns = learn(table, self.param)
        self._weigh(columns, events)
        self._remember(table, columns)
        if key is not None:
            self.model.hosts = [(host, self._weigh_host(host, key, len(events))) for host in hosts]
        return self._transform_learned(table, columns)

    def _send_labels(self, table: Table, events: Events) -> PrivateKey | None:
        federation, hosts = self.context.federation, self.context.hosts
        if self.param.local_only:
            federation.send(messages.PUBLIC_KEY, {"local_only": True}, hosts)
            return None
        key = PrivateKey.generate()
        head = {
            "local_only": False,
            "key": key.public.to_payload(),
            "rows": len(events),
            "ids": ids_digest(table),
        }
        federation.send(messages.PUBLIC_KEY, head, hosts)
        for index, start in enumerate(range(0, len(events), messages.CHUNK)):
            chunk = CipherColumn.encrypt_int(events[start : start + messages.CHUNK], key)
            federation.send(messages.LABELS, chunk.to_arrow(), hosts, (index,))
            self.context.tracker.progress(0.7 * start / len(events), "encrypting labels")
        return key

    def _weigh(self, columns: list[ColumnBins], events: Events) -> None:
        """WOE and IV of the own columns; merges the small bins of method optimal."""
        for column in columns:
            counts = column.counts()
            hits = np.bincount(column.codes, weights=events, minlength=len(counts))
            hits = np.rint(hits).astype(np.int64)
            if self.param.method == "optimal" and not column.is_category:
                ends = optimal_bins(hits, counts - hits, rule_of(self.param))
                column.keep(ends)
                hits, counts = merged_counts(hits, ends), merged_counts(counts, ends)
            self.model.information[column.name] = information_value(
                hits, counts - hits, self.param.adjustment_factor
            )

    def _weigh_host(self, host: Party, key: PrivateKey, rows: int) -> dict[str, InformationValue]:
        """WOE and IV of a host's columns, under their anonymous names."""
        sums = receive_bin_sums(self.context.federation, host, key, rows)
        if sums is None:
            self.note(f"{host} is set to local_only: its columns get no information value")
            return {}
        if sums.rule is not None:
            self._merge_host(host, sums)
        self.context.tracker.progress(1.0, f"bins of {host} weighed")
        return {
            anonymous(position): information_value(
                hits, counts - hits, self.param.adjustment_factor
            )
            for position, hits, counts in zip(sums.positions, sums.events, sums.counts, strict=True)
        }

    def _merge_host(self, host: Party, sums: HostBins) -> None:
        """Merge a host's small bins and tell it which limits stay."""
        assert sums.rule is not None
        kept: dict[str, Any] = {}
        for place, position in enumerate(sums.positions):
            if position in sums.categories:
                continue
            hits, counts = sums.events[place], sums.counts[place]
            ends = optimal_bins(hits, counts - hits, sums.rule)
            kept[anonymous(position)] = ends
            sums.events[place] = merged_counts(hits, ends)
            sums.counts[place] = merged_counts(counts, ends)
        self.context.federation.send(messages.KEPT_LIMITS, kept, host)


def events_of(table: Table) -> Events:
    """1 for rows whose label is 1, else 0; int64, shape (count,).

    Raises:
        DataError: no label column, or more than two labels.
    """
    labels = table.labels()
    if labels.dtype == object:
        labels = np.array([str(label) for label in labels])
    distinct = np.unique(labels)
    if len(distinct) > 2:
        raise DataError(
            "Iv calculation support binary-data only in this version."
            f" The label {table.schema.label_name} has {len(distinct)} values",
            remedy="Make it binary: 1 for the event, 0 for anything else",
        )
    is_event = labels == ("1" if labels.dtype.kind in "SU" else 1)
    return np.asarray(is_event, dtype=np.int64)
