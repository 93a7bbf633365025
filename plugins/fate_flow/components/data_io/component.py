"""The DataIO component; the same program at guest and host, without messages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import pyarrow as pa
from google.protobuf.message import DecodeError, Message

from fate_flow.components.data_io import dense, sparse
from fate_flow.components.data_io.cast import arrow_type
from fate_flow.components.data_io.impute import Replacement, Rule
from fate_flow.components.data_io.params import DataIOParam
from fate_flow.data.table import Table, TableKind, TableSchema
from fate_flow.errors import DataError
from fate_flow.models.proto.data_io_meta_pb2 import DataIOMeta, ImputerMeta, OutlierMeta
from fate_flow.models.proto.data_io_param_pb2 import (
    DataIOParam as DataIOParamMessage,
)
from fate_flow.models.proto.data_io_param_pb2 import ImputerParam, OutlierParam
from fate_flow.runtime.component import Component
from fate_flow.runtime.context import ModelBuffers

_SPARSE_SID = "sid"
_TAG_LABEL = "label"
_SHOWN = 10


class DataIO(Component[DataIOParam]):
    """Reads raw rows; ``fit`` learns header and replacements, ``transform`` uses a model's."""

    param_class = DataIOParam

    def fit(self, data: Table | None, validate: Table | None = None) -> Table | None:
        table = self._raw(data)
        param = self.param
        self._replacement = Replacement(
            Rule.of(
                param.missing_fill,
                param.missing_impute,
                param.missing_fill_method,
                param.default_value,
            ),
            Rule.of(
                param.outlier_replace,
                param.outlier_impute,
                param.outlier_replace_method,
                param.outlier_replace_value,
            ),
        )
        self._label_name = param.label_name or ""
        if param.input_format == "dense":
            layout = dense.layout_of(table, param.with_label, param.label_name, param.delimitor)
            self._sid_name, self._header = layout.sid_name, layout.features
            self._replacement = dense.learn(
                table, layout, self._replacement.missing, self._replacement.outlier
            )
            return self._convert(table, layout)
        self._sid_name = _SPARSE_SID
        if param.input_format == "tag":
            self._label_name = _TAG_LABEL if param.with_label else ""
        self._header = sparse.find_columns(table, self._form())
        return self._expand(table)

    def transform(self, data: Table | None) -> Table | None:
        table = self._raw(data)
        if self.param.input_format != "dense":
            return self._expand(table)
        layout = dense.layout_of(
            table, self.param.with_label, self._label_name, self.param.delimitor
        )
        self._check_same(layout, table)
        return self._convert(table, layout)

    def _raw(self, data: Table | None) -> Table:
        table = self.require_table(data)
        if table.schema.kind is not TableKind.RAW:
            raise DataError(
                f"DataIO reads uploaded rows, table {table.name!r} of namespace"
                f" {table.namespace!r} holds {table.schema.kind.value}",
                remedy="Leave DataIO out, or give it the uploaded table",
            )
        return table

    def _check_same(self, layout: dense.Layout, table: Table) -> None:
        differences = []
        if layout.sid_name != self._sid_name:
            differences.append(f"the id is called {layout.sid_name!r}, not {self._sid_name!r}")
        found, wanted = layout.features, tuple(self._header)
        missing = [name for name in wanted if name not in set(found)]
        added = [name for name in found if name not in set(wanted)]
        if missing:
            differences.append(f"columns are missing: {', '.join(missing[:_SHOWN])}")
        if added:
            differences.append(f"columns were added: {', '.join(added[:_SHOWN])}")
        if not differences and found != wanted:
            differences.append("the columns are in another order")
        if differences:
            raise DataError(
                "input data's schema for fit and transform should be same; in table"
                f" {table.name!r} of namespace {table.namespace!r} " + "; ".join(differences),
                remedy=f"Upload the data with the columns {', '.join(wanted[:_SHOWN])}"
                + (" …" if len(wanted) > _SHOWN else ""),
            )

    # -- writing -----------------------------------------------------------------------

    def _convert(self, table: Table, layout: dense.Layout) -> Table:
        param = self.param
        unknown = sorted(set(param.exclusive_data_type or {}) - set(self._header))
        if unknown:
            self.note(f"exclusive_data_type names columns the data does not have: {unknown}")
        conversion = dense.Conversion(
            dense.feature_types(self._header, param.data_type, param.exclusive_data_type),
            arrow_type(param.label_type),
            self._replacement,
            param.output_format == "sparse",
        )
        return self._write(table, dense.convert(table, layout, conversion), self._label_name)

    def _form(self) -> sparse.Format:
        param = self.param
        if param.input_format == "sparse":
            return sparse.Format(param.delimitor, ":", has_label=True, is_numbered=True)
        separator = param.tag_value_delimitor if param.tag_with_value else None
        return sparse.Format(param.delimitor, separator, param.with_label, is_numbered=False)

    def _expand(self, table: Table) -> Table:
        form = self._form()
        label = (self._label_name, arrow_type(self.param.label_type)) if form.has_label else None
        kind = arrow_type(self.param.data_type)
        ignored = 0

        def blocks() -> Iterator[pa.Table]:
            nonlocal ignored
            for block, unknown in sparse.expand(table, form, self._header, kind, label):
                ignored += unknown
                yield block

        result = self._write(table, blocks(), self._label_name if form.has_label else "")
        if ignored:
            self.note(f"{ignored} items of columns that the model does not know were left out")
        return result

    def _write(self, source: Table, blocks: Iterator[pa.Table], label_name: str) -> Table:
        schema = TableSchema(
            TableKind.INSTANCES,
            self._sid_name,
            tuple(self._header),
            label_name or None,
            sparse=self.param.output_format == "sparse",
        )
        done = 0
        with self.context.tables.writer(
            *self.context.output,
            schema,
            partitions=source.partitions,
            expected_rows=source.count,
        ) as writer:
            for block in blocks:
                writer.write(block)
                done += block.num_rows
                self.context.tracker.progress(done / source.count, "reading rows")
        return writer.table

    # -- model -------------------------------------------------------------------------

    def export_model(self) -> Mapping[str, Message]:
        param, replacement = self.param, self._replacement
        missing, outlier = replacement.missing, replacement.outlier
        meta = DataIOMeta(
            input_format=param.input_format,
            delimitor=param.delimitor,
            data_type=param.data_type,
            tag_with_value=param.tag_with_value,
            tag_value_delimitor=param.tag_value_delimitor,
            with_label=param.with_label,
            label_name=self._label_name,
            label_type=param.label_type,
            output_format=param.output_format,
            imputer_meta=ImputerMeta(
                is_imputer=missing.is_on,
                strategy=(missing.method or "") if missing.is_on else "",
                missing_value=missing.texts,
            ),
            outlier_meta=OutlierMeta(
                is_outlier=outlier.is_on,
                strategy=(outlier.method or "") if outlier.is_on else "",
                outlier_value=outlier.texts,
            ),
            need_run=True,
            exclusive_data_type=param.exclusive_data_type or {},
        )
        learnt = DataIOParamMessage(
            header=self._header,
            sid_name=self._sid_name,
            label_name=self._label_name,
            imputer_param=ImputerParam(
                missing_replace_value=replacement.missing_values,
                missing_value_ratio=replacement.missing_ratios,
            ),
            outlier_param=OutlierParam(
                outlier_replace_value=replacement.outlier_values,
                outlier_value_ratio=replacement.outlier_ratios,
            ),
        )
        return {"DataIOMeta": meta, "DataIOParam": learnt}

    def load_model(self, buffers: ModelBuffers) -> None:
        """Everything but what the reading itself needs comes from the model."""
        meta, learnt = _messages(buffers)
        param = self.param
        param.input_format = meta.input_format
        param.delimitor = meta.delimitor
        param.data_type = meta.data_type
        param.exclusive_data_type = dict(meta.exclusive_data_type) or None
        param.tag_with_value = meta.tag_with_value
        param.tag_value_delimitor = meta.tag_value_delimitor
        param.with_label = meta.with_label
        param.label_type = meta.label_type
        param.output_format = meta.output_format
        self._header = tuple(learnt.header)
        self._sid_name = learnt.sid_name
        self._label_name = learnt.label_name
        self._replacement = Replacement(
            _rule(
                meta.imputer_meta.is_imputer,
                meta.imputer_meta.missing_value,
                meta.imputer_meta.strategy,
            ),
            _rule(
                meta.outlier_meta.is_outlier,
                meta.outlier_meta.outlier_value,
                meta.outlier_meta.strategy,
            ),
            dict(learnt.imputer_param.missing_replace_value),
            dict(learnt.outlier_param.outlier_replace_value),
            dict(learnt.imputer_param.missing_value_ratio),
            dict(learnt.outlier_param.outlier_value_ratio),
        )


def _rule(is_on: bool, texts: Iterable[str], method: str) -> Rule:
    return Rule(True, tuple(texts), method or None) if is_on else Rule()


def _messages(buffers: ModelBuffers) -> tuple[DataIOMeta, DataIOParamMessage]:
    """Both messages; their names differ between dense and sparse input.

    Raises:
        DataError: the buffers are of another model.
    """
    try:
        meta, learnt = (_ending_with(buffers, ending) for ending in ("Meta", "Param"))
        return DataIOMeta.FromString(meta), DataIOParamMessage.FromString(learnt)
    except (KeyError, DecodeError):
        raise DataError(
            f"the model is not a DataIO model; it has {sorted(buffers)}",
            remedy="Connect the output.model of a DataIO",
        ) from None


def _ending_with(buffers: ModelBuffers, ending: str) -> bytes:
    for name, data in buffers.items():
        if name.endswith(ending):
            return data
    raise KeyError(ending)
