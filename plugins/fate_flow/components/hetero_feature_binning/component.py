"""What guest and hosts of a binning have in common: model, transformation."""

from __future__ import annotations

from collections.abc import Mapping

from google.protobuf.message import Message

from fate_flow.components.columns import numbers, with_columns
from fate_flow.components.hetero_feature_binning.binner import ColumnBins, transform_columns
from fate_flow.components.hetero_feature_binning.model import BinningModel, read_model
from fate_flow.components.hetero_feature_binning.params import FeatureBinningParam
from fate_flow.data.table import Table
from fate_flow.ml.binning import assign_bins
from fate_flow.ml.quantile import FloatArray
from fate_flow.runtime.component import Component
from fate_flow.runtime.context import ModelBuffers, TaskContext


class HeteroFeatureBinning(Component[FeatureBinningParam]):
    """Frame of both roles."""

    param_class = FeatureBinningParam

    def __init__(self, context: TaskContext) -> None:
        super().__init__(context)
        self.model = BinningModel()

    def export_model(self) -> Mapping[str, Message]:
        return self.model.to_messages(self.param, self.context.party)

    def load_model(self, buffers: ModelBuffers) -> None:
        self.model = read_model(buffers)

    def transform(self, data: Table | None) -> Table | None:
        """The table with the model's bins; nothing is exchanged.

        Raises:
            DataError: a column of the model is missing or has no numbers.
        """
        table = self.require_table(data)
        wanted = [name for name in self.model.transform_names if self._is_transformed(name)]
        return self._apply(
            table,
            {
                name: assign_bins(values, self.model.splits[name]).astype("float64")
                for name, values in numbers(table, wanted)
            },
        )

    def _remember(self, table: Table, columns: list[ColumnBins]) -> None:
        self.model.header = table.schema.header
        self.model.splits = {column.name: column.splits for column in columns}
        self.model.transform_type = self.param.transform_param.transform_type or ""
        self.model.transform_names = transform_columns(
            table.schema.header, self.param, list(self.model.splits)
        )

    def _transform_learned(self, table: Table, columns: list[ColumnBins]) -> Table:
        wanted = set(self.model.transform_names)
        return self._apply(
            table,
            {
                column.name: column.codes.astype("float64")
                for column in columns
                if column.name in wanted and self._is_transformed(column.name)
            },
        )

    def _is_transformed(self, name: str) -> bool:
        """WOE values are known only where labels are: hosts leave their data alone."""
        kind = self.model.transform_type
        return kind == "bin_num" or (kind == "woe" and name in self.model.information)

    def _apply(self, table: Table, codes: dict[str, FloatArray]) -> Table:
        if not codes:
            return table
        if self.model.transform_type == "woe":
            codes = {
                name: self.model.information[name].woe[column.astype("int64")]
                for name, column in codes.items()
            }
        return with_columns(self.context, table, codes)
