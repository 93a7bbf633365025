"""HeteroFeatureSelection at a host, whose information values only the guest knows."""

from __future__ import annotations

from collections.abc import Sequence

from fate_flow.components.hetero_feature_binning.model import anonymous
from fate_flow.components.hetero_feature_selection import messages
from fate_flow.components.hetero_feature_selection.component import (
    HeteroFeatureSelection,
    untouched,
)
from fate_flow.components.hetero_feature_selection.filters import FilterResult, Judgement
from fate_flow.errors import ProtocolError


class HeteroFeatureSelectionHost(HeteroFeatureSelection):
    """Asks the guest which of its columns stay."""

    def agree(self) -> None:
        plan = self.param.federated_filters()
        guest = self.context.guest
        self.context.federation.send(messages.HOST_COLUMNS, plan, guest, (messages.PLAN,))
        self.compare_plans(messages.LEFT_COLUMNS, guest)

    def filter_by_information(
        self, place: int, method: str, columns: Sequence[str]
    ) -> FilterResult:
        if method not in self.param.federated_filters():
            return FilterResult(method, untouched(columns))
        header = self.require_binning().header
        # Columns that came after the binning have no information value and stay.
        positions = {name: position for position, name in enumerate(header)}
        names = {name: anonymous(positions[name]) for name in columns if name in positions}
        federation, guest = self.context.federation, self.context.guest
        federation.send(messages.HOST_COLUMNS, list(names.values()), guest, (place,))
        left = federation.receive(messages.LEFT_COLUMNS, guest, (place,))
        if not isinstance(left, list) or not set(left) <= set(names.values()):
            raise ProtocolError(f"{guest} kept columns that {self.context.party} does not have")
        kept = set(left)
        stay = [name for name in columns if name not in names or names[name] in kept]
        return FilterResult(method, Judgement(tuple(columns), {}, stay))
