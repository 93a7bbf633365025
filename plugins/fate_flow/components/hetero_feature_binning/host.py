"""HeteroFeatureBinning at a host, who never sees a label."""

from __future__ import annotations

import numpy as np

from fate_flow.components.hetero_feature_binning import messages
from fate_flow.components.hetero_feature_binning.alignment import ids_digest
from fate_flow.components.hetero_feature_binning.bin_sums import send_bin_sums, sum_labels
from fate_flow.components.hetero_feature_binning.binner import ColumnBins, learn, rule_of
from fate_flow.components.hetero_feature_binning.component import HeteroFeatureBinning
from fate_flow.components.hetero_feature_binning.model import anonymous
from fate_flow.crypto.paillier import PublicKey
from fate_flow.data.table import Table
from fate_flow.errors import DataError, ProtocolError, UnsupportedError


class HeteroFeatureBinningHost(HeteroFeatureBinning):
    """Bins its own columns and sums the guest's encrypted labels per bin."""

    def fit(self, data: Table | None, validate: Table | None = None) -> Table | None:
        """Learn the bins of the own columns and transform them.

        Raises:
            DataError: the tables of guest and host do not hold the same rows, or a column
                has no numbers.
        """
        table = self.require_table(data)
        columns = learn(table, self.param)
        if self.param.local_only:
            self._refuse_local_optimal()
            self.context.federation.send(
                messages.BIN_SUMS, {"local_only": True}, self.context.guest
            )
        else:
            self._help_guest(table, columns)
        self._remember(table, columns)
        return self._transform_learned(table, columns)

    def _help_guest(self, table: Table, columns: list[ColumnBins]) -> None:
        federation, guest = self.context.federation, self.context.guest
        head = federation.receive(messages.PUBLIC_KEY, guest)
        if not isinstance(head, dict):
            raise ProtocolError(f"{guest} sent no public key")
        if head.get("local_only"):
            self._refuse_local_optimal()
            self.note("the guest is set to local_only: no information value is computed here")
            return
        key = PublicKey.from_payload(head["key"])
        if head.get("rows") != table.count or head.get("ids") != ids_digest(table):
            raise DataError(
                f"{guest} has {head.get('rows')} rows, {self.context.party} has {table.count},"
                " and they are not the same ids in the same order",
                remedy="Put an Intersection before HeteroFeatureBinning, at all parties",
            )
        rule = rule_of(self.param) if self.param.method == "optimal" else None
        sums = sum_labels(federation, guest, key, columns, table.count)
        place = {name: position for position, name in enumerate(table.schema.header)}
        positions = [place[column.name] for column in columns]
        send_bin_sums(federation, guest, positions, columns, sums, rule)
        if rule is not None:
            self._merge(columns, positions)

    def _merge(self, columns: list[ColumnBins], positions: list[int]) -> None:
        """Keep the limits that the guest chose."""
        guest = self.context.guest
        kept = self.context.federation.receive(messages.KEPT_LIMITS, guest)
        for position, column in zip(positions, columns, strict=True):
            if column.is_category:
                continue
            ends = kept.get(anonymous(position)) if isinstance(kept, dict) else None
            last = len(column.splits) - 1
            if (
                not isinstance(ends, np.ndarray)
                or ends.dtype != np.int64
                or ends.ndim != 1
                or len(ends) == 0
                or ends[0] < 0
                or ends[-1] != last
                or (np.diff(ends) <= 0).any()
            ):
                raise ProtocolError(f"{guest} chose limits that {column.name} does not have")
            column.keep(ends)

    def _refuse_local_optimal(self) -> None:
        if self.param.method == "optimal":
            raise UnsupportedError(
                f"method optimal at {self.context.party} needs the guest's labels, so it cannot"
                " be used with local_only",
                remedy="Use quantile or bucket at hosts, or set local_only to false everywhere",
            )
