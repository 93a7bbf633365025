"""What guest and host of an intersection have in common: checks, metrics, output."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

import numpy as np
import pyarrow as pa

from fate_flow.components.intersection.closing import Session
from fate_flow.components.intersection.matching import Positions
from fate_flow.components.intersection.params import IntersectParam
from fate_flow.data.table import SID, VALUE, Table, TableKind, TableSchema
from fate_flow.errors import InvalidInputError, Problem
from fate_flow.runtime.component import Component

Protocol = Callable[[Session, pa.Array], "Positions | None"]


class Intersection(Component[IntersectParam]):
    """Frame of both roles; ``protocols`` are the role's sides of the methods."""

    param_class = IntersectParam
    keeps_rows = False
    protocols: ClassVar[Mapping[str, Protocol]] = {}

    def fit(self, data: Table | None, validate: Table | None = None) -> Table | None:
        """Rows of ``data`` whose ids all parties have, or None where the result is not told.

        Raises:
            DataError: no rows were given, or no id is common.
            InvalidInputError: the job has no host.
        """
        table = self.require_table(data)
        context = self.context
        if not context.hosts:
            raise InvalidInputError(
                [Problem("role.host", "Intersection found no host", "one host or more")]
            )
        session = Session(
            party=context.party,
            guest=context.guest,
            hosts=context.hosts,
            param=self.param,
            federation=context.federation,
            tracker=context.tracker,
        )
        method = self.param.intersect_method
        if self.param.intersect_cache_param.use_cache:
            self.note("intersect_cache_param.use_cache has no effect: nothing is cached")
        self.note(f"intersection by {method}: {table.count} ids at {context.party}")
        rows = self.protocols[method](session, table.ids())
        self._report(rows, table.count)
        return None if rows is None else self._keep(table, rows)

    def _report(self, rows: Positions | None, total: int) -> None:
        count = -1 if rows is None else len(rows)
        rate = -1 if rows is None else len(rows) / total
        self.context.tracker.metrics(
            "train",
            "intersection",
            [("intersect_count", count), ("intersect_rate", rate)],
            {"name": "intersection", "metric_type": "INTERSECTION"},
        )
        self.note(
            "the result stays with the other side"
            if rows is None
            else f"{count} of {total} ids are common to all parties"
        )

    def _keep(self, table: Table, rows: Positions) -> Table:
        namespace, name = self.context.output
        keys_only = self.param.only_output_key
        kept = table.arrow([SID] if keys_only else None).take(pa.array(np.sort(rows)))
        schema = table.schema
        if keys_only:
            # FATE drops the schema here too: the id column is then called "sid".
            schema = TableSchema(TableKind.KEYS)
            kept = kept.append_column(VALUE, self._placeholders(len(rows)))
        return self.context.tables.put(
            namespace, name, kept, schema, partitions=table.partitions, ordered=True
        )

    def _placeholders(self, count: int) -> pa.Array:
        """FATE 1.4's values of key-only rows: 1 at the guest of rsa, else a word."""
        if self.param.intersect_method == "raw":
            return pa.array(["intersect_id"] * count)
        return pa.array([1] * count if self.context.party.role == "guest" else ["id"] * count)
