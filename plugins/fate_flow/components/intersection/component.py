"""What guest and host of an intersection have in common: checks, metrics, output."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

import numpy as np
import pyarrow as pa

from fate_flow.components.intersection.closing import Session
from fate_flow.components.intersection.matching import Positions
from fate_flow.components.intersection.params import IntersectParam
from fate_flow.components.intersection.repeated import RepeatedIds, expand, without_id_column
from fate_flow.data.cache import SiteCache
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
            cache=self._cache(),
        )
        method = self.param.intersect_method
        self.note(f"intersection by {method}: {table.count} ids at {context.party}")
        if self.param.repeated_id_process:
            return self._with_repeated_ids(session, table)
        rows = self.protocols[method](session, table.ids())
        self._report(rows if rows is None else len(rows), table.count)
        return None if rows is None else self._keep(table, self._rows(table, rows))

    def _with_repeated_ids(self, session: Session, table: Table) -> Table | None:
        protocol = self.protocols[self.param.intersect_method]
        if self.context.party.role == self.param.repeated_id_owner:
            own = RepeatedIds.of(table)
            common = protocol(session, own.distinct)
            if common is None:
                self._report(None, table.count)
                return None
            if self.param.sync_intersect_ids:
                own.tell(session, common)
            kept = self._rows(table, own.rows(common))
            self._report(kept.num_rows, table.count)
            if self.param.only_output_key:
                return self._keep(table, kept)
            return self._keep(table, *without_id_column(table, kept))
        rows = protocol(session, table.ids())
        if rows is None:
            self._report(None, table.count)
            return None
        expanded = expand(session, self._rows(table, rows))
        # FATE 1.4 repeats the rows first: those that are not common count once.
        self._report(expanded.num_rows, table.count - len(rows) + expanded.num_rows)
        return self._keep(table, expanded)

    def _rows(self, table: Table, rows: Positions) -> pa.Table:
        wanted = [SID] if self.param.only_output_key else None
        return table.arrow(wanted).take(pa.array(np.sort(rows)))

    def _cache(self) -> SiteCache | None:
        if not self.param.intersect_cache_param.use_cache:
            return None
        if self.param.intersect_method != "rsa":
            self.note("intersect_cache_param.use_cache has no effect: it belongs to rsa")
            return None
        return SiteCache(self.context.tables.root)

    def _report(self, rows: int | None, total: int) -> None:
        count = -1 if rows is None else rows
        rate = -1 if rows is None else rows / total
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

    def _keep(self, table: Table, kept: pa.Table, schema: TableSchema | None = None) -> Table:
        namespace, name = self.context.output
        schema = schema or table.schema
        if self.param.only_output_key:
            # FATE drops the schema here too: the id column is then called "sid".
            schema = TableSchema(TableKind.KEYS)
            kept = kept.select([SID]).append_column(VALUE, self._placeholders(kept.num_rows))
        return self.context.tables.put(
            namespace, name, kept, schema, partitions=table.partitions, ordered=True
        )

    def _placeholders(self, count: int) -> pa.Array:
        """FATE 1.4's values of key-only rows: 1 at the guest of rsa, else a word."""
        if self.param.intersect_method == "raw":
            return pa.array(["intersect_id"] * count)
        return pa.array([1] * count if self.context.party.role == "guest" else ["id"] * count)
