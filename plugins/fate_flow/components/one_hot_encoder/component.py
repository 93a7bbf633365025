"""The OneHotEncoder component; the same program at guest and host, without messages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from google.protobuf.message import Message

from fate_flow.components.columns import choose
from fate_flow.components.one_hot_encoder.params import OneHotEncoderParam
from fate_flow.components.stored import read_pair
from fate_flow.data.engine import map_partitions, reduce_partitions
from fate_flow.data.table import LABEL, SID, Table
from fate_flow.errors import DataError
from fate_flow.models.proto.one_hot_encoder_meta_pb2 import OneHotMeta
from fate_flow.models.proto.one_hot_encoder_param_pb2 import ColsMap, OneHotParam
from fate_flow.runtime.component import Component
from fate_flow.runtime.context import ModelBuffers

MOST_VALUES = 1024


class OneHotEncoder(Component[OneHotEncoderParam]):
    """``fit`` finds each column's values; ``transform`` gives zeros for values it does not know."""

    param_class = OneHotEncoderParam

    _header: tuple[str, ...] = ()
    #: Encoded column -> value -> name of its new column; values ascending.
    _columns: Mapping[str, Mapping[int, str]] = {}

    def fit(self, data: Table | None, validate: Table | None = None) -> Table | None:
        table = self.require_table(data)
        self._header = table.schema.header
        chosen = self._chosen()

        def values(block: pa.Table) -> list[set[int]]:
            return [set(_integers(block, name)[1].unique().to_pylist()) for name in chosen]

        def join(left: list[set[int]], right: list[set[int]]) -> list[set[int]]:
            joined = [one | other for one, other in zip(left, right, strict=True)]
            for name, found in zip(chosen, joined, strict=True):
                _check_number(name, found)
            return joined

        found = reduce_partitions(table, values, join, [SID, *chosen]) if chosen else []
        for name, seen in zip(chosen, found, strict=True):
            _check_number(name, seen)
        self._columns = {
            name: {value: f"{name}_{value}" for value in sorted(seen)}
            for name, seen in zip(chosen, found, strict=True)
        }
        self._check_names()
        return self._encode(table)

    def transform(self, data: Table | None) -> Table | None:
        table = self.require_table(data)
        missing = [name for name in self._header if name not in set(table.schema.header)]
        if missing:
            raise DataError(
                f"table {table.name!r} lacks columns of the model: {', '.join(missing[:10])}",
                remedy="The data must have the columns that the model was made with",
            )
        return self._encode(table)

    def _chosen(self) -> list[str]:
        """Columns to encode; indexes beyond the header and unknown names are passed over."""
        indexes, names = self.param.transform_col_indexes, self.param.transform_col_names
        if indexes != -1 and indexes is not None:
            listed = [indexes] if isinstance(indexes, int) else indexes
            indexes = [index for index in listed if index < len(self._header)]
            ignored = len(listed) - len(indexes)
            if ignored:
                self.note(f"{ignored} of transform_col_indexes are beyond the header")
        places = choose(
            self._header,
            indexes,
            None if indexes == -1 else names,
            path="transform_col_indexes",
        )
        return [self._header[place] for place in places]

    def _result_header(self) -> list[str]:
        result: list[str] = []
        for name in self._header:
            result += self._columns[name].values() if name in self._columns else [name]
        return result

    def _check_names(self) -> None:
        seen: set[str] = set()
        for name in self._result_header():
            if name in seen:
                raise DataError(
                    f"encoding would make two columns of the name {name!r}",
                    remedy="Rename one of the columns in the data",
                )
            seen.add(name)

    def _encode(self, table: Table) -> Table:
        kept = [SID, *([LABEL] if table.has_label else [])]
        columns = self._columns

        def encode_block(block: pa.Table) -> pa.Table:
            result = {name: block.column(name) for name in kept}
            for name in self._header:
                if name not in columns:
                    result[name] = block.column(name)
                    continue
                values = _integers(block, name)[1].to_numpy(zero_copy_only=False)
                for value, column in columns[name].items():
                    result[column] = pa.array((values == value).astype(np.int8))
            return pa.table(result)

        schema = replace(table.schema, header=tuple(self._result_header()))
        with self.context.tables.writer(
            *self.context.output,
            schema,
            partitions=table.partitions,
            expected_rows=table.count,
        ) as writer:
            for block in map_partitions(table, encode_block, [*kept, *self._header]):
                writer.write(block)
        return writer.table

    # -- model -------------------------------------------------------------------------

    def export_model(self) -> Mapping[str, Message]:
        meta = OneHotMeta(
            transform_col_names=list(self._columns),
            header=self._header,
            need_run=self.param.need_run,
        )
        learnt = OneHotParam(
            col_map={
                name: ColsMap(
                    values=[str(value) for value in values],
                    transformed_headers=list(values.values()),
                )
                for name, values in self._columns.items()
            },
            result_header=self._result_header(),
        )
        return {"OneHotMeta": meta, "OneHotParam": learnt}

    def load_model(self, buffers: ModelBuffers) -> None:
        meta, learnt = read_pair(
            buffers, OneHotMeta, OneHotParam, what="one-hot model", module="OneHotEncoder"
        )
        self._header = tuple(meta.header)
        self._columns = {
            name: {
                _value(text): column
                for text, column in zip(mapped.values, mapped.transformed_headers, strict=True)
            }
            for name in meta.transform_col_names
            if (mapped := learnt.col_map.get(name)) is not None
        }


def _check_number(name: str, values: set[int]) -> None:
    if len(values) > MOST_VALUES:
        raise DataError(
            f"Input data should not have more than {MOST_VALUES} possible value when doing"
            f" one-hot encode: column {name!r} has at least {len(values)}",
            remedy="Leave the column out with transform_col_indexes, or bin it first",
        )


def _value(text: str) -> int:
    """A value of a model; FATE writes whole numbers, maybe as ``1.0``."""
    number = float(text)
    if not number.is_integer():
        raise DataError(f"the model holds the value {text!r}, which is not an integer")
    return int(number)


def _integers(block: pa.Table, name: str) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
    """Ids and the column's values as int64.

    Raises:
        DataError: names the id whose value is missing or no integer.
    """
    column, ids = block.column(name), block.column(SID)
    if pa.types.is_integer(column.type) and not column.null_count:
        return ids, column.cast(pa.int64())
    if not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type)):
        raise DataError(
            f"Onehot input data support integer only: column {name!r} holds {column.type}",
            remedy="Leave the column out with transform_col_indexes",
        )
    whole = pc.fill_null(pc.equal(pc.floor(column), column), False)
    whole = pc.and_(whole, pc.fill_null(pc.less(pc.abs(column), 2.0**63), False))
    if not pc.all(whole).as_py():
        position = pc.index(whole, False).as_py()
        raise DataError(
            f"Onehot input data support integer only: column {name!r}, id"
            f" {ids[position].as_py()!r} has {column[position].as_py()!r}",
            remedy="Bin the column first, or leave it out with transform_col_indexes",
        )
    return ids, column.cast(pa.int64())
