"""What guest and hosts of a selection have in common: candidates, local filters, output."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from google.protobuf.message import Message

from fate_flow.components.columns import choose, with_header
from fate_flow.components.hetero_feature_binning.model import BinningModel
from fate_flow.components.hetero_feature_binning.model import read_model as read_binning
from fate_flow.components.hetero_feature_selection import messages
from fate_flow.components.hetero_feature_selection.filters import (
    FilterResult,
    Judgement,
    apply_local,
)
from fate_flow.components.hetero_feature_selection.model import SelectionModel, read_model
from fate_flow.components.hetero_feature_selection.params import FeatureSelectionParam
from fate_flow.data.table import Table
from fate_flow.entities import Party
from fate_flow.errors import DataError, InvalidInputError, Problem
from fate_flow.runtime.component import Component
from fate_flow.runtime.context import ModelBuffers, TaskContext

INFORMATION_VALUE_FILTERS = ("iv_value_thres", "iv_percentile")


class HeteroFeatureSelection(Component[FeatureSelectionParam], ABC):
    """Frame of both roles; a role says how it runs the information value filters."""

    param_class = FeatureSelectionParam

    def __init__(self, context: TaskContext) -> None:
        super().__init__(context)
        self.model = SelectionModel()
        self.binning: BinningModel | None = None

    # What a role does

    @abstractmethod
    def agree(self) -> None:
        """Make sure that all parties run the same information value filters."""

    @abstractmethod
    def filter_by_information(
        self, place: int, method: str, columns: Sequence[str]
    ) -> FilterResult:
        """Run the filter at position ``place`` of ``filter_methods``."""

    def compare_plans(self, variable: str, peer: Party) -> None:
        """Check that a peer runs the same information value filters as this party.

        A party without such filters does not ask: it needs nobody.

        Raises:
            InvalidInputError: they differ, so one side would wait for the other for ever.
        """
        mine = self.param.federated_filters()
        if not mine:
            return
        theirs = self.context.federation.receive(variable, peer, (messages.PLAN,))
        if theirs != mine:
            raise InvalidInputError(
                [
                    Problem(
                        "filter_methods",
                        f"{self.context.party} has the information value filters {mine},"
                        f" {peer} has {theirs} (those with local_only left out)",
                        "the same ones in the same order at all parties",
                    )
                ]
            )

    # The frame

    def export_model(self) -> Mapping[str, Message]:
        return self.model.to_messages(self.param)

    def load_model(self, buffers: ModelBuffers) -> None:
        self.model = read_model(buffers)

    def load_isometric_model(self, models: Mapping[str, ModelBuffers]) -> None:
        self.binning = read_binning(next(iter(models.values())))

    def fit(self, data: Table | None, validate: Table | None = None) -> Table | None:
        """Apply the filters one after the other; the table with the columns that stay.

        Raises:
            DataError: no binning model for an information value filter, or a column that
                has no numbers.
            InvalidInputError: an index outside the header, or filters that differ between
                the parties.
        """
        table = self.require_table(data)
        header = table.schema.header
        columns: Sequence[str] = [
            header[position]
            for position in choose(
                header,
                self.param.select_col_indexes,
                self.param.select_names,
                path="select_col_indexes",
            )
        ]
        self.agree()
        self.model.header, self.model.candidates = header, tuple(columns)
        for place, method in enumerate(self.param.filter_methods):
            if method in INFORMATION_VALUE_FILTERS:
                result = self.filter_by_information(place, method, columns)
            else:
                result = FilterResult(method, apply_local(method, table, columns, self.param))
            self.note(f"{method}: {len(result.own.left)} of {len(columns)} columns stay")
            columns = result.own.left
            self.model.results.append(result)
            self.context.tracker.progress((place + 1) / len(self.param.filter_methods), method)
        dropped = set(self.model.candidates) - set(columns)
        self.model.left = [name for name in header if name not in dropped]
        return with_header(self.context, table, self.model.left)

    def transform(self, data: Table | None) -> Table | None:
        """The table with the columns that the model kept.

        Raises:
            DataError: a column that was kept is missing.
        """
        table = self.require_table(data)
        missing = [name for name in self.model.left if name not in table.schema.header]
        if missing:
            raise DataError(
                f"table {table.name} has no column {missing[0]!r}",
                remedy="The data must have the columns that the model was made with",
            )
        kept = set(self.model.left)
        left = [name for name in table.schema.header if name in kept]
        return with_header(self.context, table, left)

    def require_binning(self) -> BinningModel:
        """The binning model.

        Raises:
            DataError: there is none.
        """
        if self.binning is None:
            raise DataError(
                "To use iv filter, binning module should be called and setup in"
                " 'isomatric_model' input for feature selection.",
                remedy="Connect the output.model of a HeteroFeatureBinning to"
                " input.isometric_model",
            )
        return self.binning


def untouched(columns: Sequence[str]) -> Judgement:
    """Of a filter that does not look at a party's columns."""
    return Judgement(tuple(columns), {}, list(columns))
