"""HeteroFeatureSelection at the guest, who knows all information values."""

from __future__ import annotations

from collections.abc import Sequence

from fate_flow.components.hetero_feature_selection import messages
from fate_flow.components.hetero_feature_selection.component import HeteroFeatureSelection
from fate_flow.components.hetero_feature_selection.filters import (
    FilterResult,
    Judgement,
    judge,
    percentile_threshold,
)
from fate_flow.entities import Party
from fate_flow.errors import DataError, InvalidInputError, Problem, ProtocolError


class HeteroFeatureSelectionGuest(HeteroFeatureSelection):
    """Judges its own columns and, by anonymous names, those of the hosts."""

    def agree(self) -> None:
        federation, hosts = self.context.federation, self.context.hosts
        if hosts:
            plan = self.param.federated_filters()
            federation.send(messages.LEFT_COLUMNS, plan, hosts, (messages.PLAN,))
        for host in hosts:
            self.compare_plans(messages.HOST_COLUMNS, host)

    def filter_by_information(
        self, place: int, method: str, columns: Sequence[str]
    ) -> FilterResult:
        binning = self.require_binning()
        own = {name: value.total for name, value in binning.information.items()}
        values = {name: own[name] for name in columns if name in own}
        if method not in self.param.federated_filters():
            threshold = self._threshold(method, list(values.values()))
            return FilterResult(method, judge(columns, values, lambda v: v > threshold))
        hosts = self.context.hosts
        candidates = [self._candidates(host, place) for host in hosts]
        host_values = [
            self._values_of(host, names) for host, names in zip(hosts, candidates, strict=True)
        ]
        pooled = [*values.values(), *(v for part in host_values for v in part.values())]
        threshold = self._threshold(method, pooled)
        judged: list[Judgement] = []
        for index, (host, names) in enumerate(zip(hosts, candidates, strict=True)):
            limit = self._host_threshold(method, index, threshold)
            judgement = judge(names, host_values[index], limit.__lt__)
            self.context.federation.send(
                messages.LEFT_COLUMNS, list(judgement.left), host, (place,)
            )
            judged.append(judgement)
        if not self.model.host_columns:
            self.model.host_columns = [
                (str(host.party_id), names) for host, names in zip(hosts, candidates, strict=True)
            ]
        return FilterResult(method, judge(columns, values, lambda v: v > threshold), judged)

    def _threshold(self, method: str, values: Sequence[float]) -> float:
        if method == "iv_value_thres":
            return self.param.iv_value_param.value_threshold
        if not values:
            return 0.0
        return percentile_threshold(values, self.param.iv_percentile_param.percentile_threshold)

    def _host_threshold(self, method: str, index: int, common: float) -> float:
        thresholds = self.param.iv_value_param.host_thresholds
        if method != "iv_value_thres" or thresholds is None:
            return common
        if len(thresholds) != len(self.context.hosts):
            raise InvalidInputError(
                [
                    Problem(
                        "iv_value_param.host_thresholds",
                        f"found {len(thresholds)} thresholds",
                        f"one for each of the {len(self.context.hosts)} hosts",
                    )
                ]
            )
        return thresholds[index]

    def _candidates(self, host: Party, place: int) -> Sequence[str]:
        names = self.context.federation.receive(messages.HOST_COLUMNS, host, (place,))
        if (
            not isinstance(names, list)
            or not all(isinstance(name, str) for name in names)
            or len(set(names)) != len(names)
        ):
            raise ProtocolError(f"{host} sent no list of its columns")
        return tuple(names)

    def _values_of(self, host: Party, names: Sequence[str]) -> dict[str, float]:
        known = dict(self.require_binning().hosts).get(host) or {}
        if names and not known:
            raise DataError(
                f"the binning model has no information values of {host}",
                remedy="Set local_only of HeteroFeatureBinning to false at all parties, or"
                " local_only of the filter to true",
            )
        return {name: known[name].total for name in names if name in known}
