"""The selection model as the stored messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from google.protobuf.message import Message

from fate_flow.components.hetero_feature_selection.filters import FilterResult, Judgement
from fate_flow.components.hetero_feature_selection.params import FeatureSelectionParam
from fate_flow.components.stored import read_pair
from fate_flow.models.proto.feature_selection_meta_pb2 import (
    FeatureSelectionMeta,
    IVPercentileSelectionMeta,
    IVValueSelectionMeta,
    ManuallyFilterMeta,
    OutlierColsSelectionMeta,
    UniqueValueMeta,
    VarianceOfCoeSelectionMeta,
)
from fate_flow.models.proto.feature_selection_param_pb2 import (
    FeatureSelectionFilterParam,
    FeatureValue,
    HostColNames,
    LeftCols,
)
from fate_flow.models.proto.feature_selection_param_pb2 import FeatureSelectionParam as ParamMessage
from fate_flow.runtime.context import ModelBuffers

META_NAME = "FeatureSelectionMeta"
PARAM_NAME = "FeatureSelectionParam"
CONCLUSION = "conclusion"


@dataclass
class SelectionModel:
    """What a selection decided.

    Attributes:
        header: columns of the table it was made with.
        candidates: columns that the filters could drop.
        left: columns that stay, in header order (with the columns that were no candidates).
        results: one per filter, in order.
        host_columns: (party id, anonymous candidates) of each host; guest only.
        meta: what the selection was asked to do; None until it was stored and loaded again.
    """

    header: tuple[str, ...] = ()
    candidates: Sequence[str] = ()
    left: Sequence[str] = ()
    results: list[FilterResult] = field(default_factory=list)
    host_columns: Sequence[tuple[str, Sequence[str]]] = ()
    meta: FeatureSelectionMeta | None = None

    def to_messages(self, param: FeatureSelectionParam) -> dict[str, Message]:
        return {
            META_NAME: self.meta or _meta(param, self.candidates),
            PARAM_NAME: ParamMessage(
                results=[_filter_message(result) for result in self.results],
                final_left_cols=_left_message(self.header, self.left),
                col_names=list(self.candidates),
                host_col_names=[
                    HostColNames(col_names=list(names), party_id=party_id)
                    for party_id, names in self.host_columns
                ],
                header=self.header,
            ),
        }


def read_model(buffers: ModelBuffers) -> SelectionModel:
    """The model of stored messages; what it kept is added as a result ``conclusion``.

    Raises:
        DataError: the buffers are not those of a selection.
    """
    meta, param = read_pair(
        buffers,
        FeatureSelectionMeta,
        ParamMessage,
        what="feature selection",
        module="HeteroFeatureSelection",
    )
    header = tuple(param.header)
    left = [name for name in header if param.final_left_cols.left_cols.get(name)]
    results = [_read_filter(result) for result in param.results]
    if not results or results[-1].name != CONCLUSION:
        results.append(FilterResult(CONCLUSION, Judgement(header, {}, left)))
    return SelectionModel(
        header=header,
        candidates=tuple(param.col_names),
        left=left,
        results=results,
        host_columns=[(host.party_id, tuple(host.col_names)) for host in param.host_col_names],
        meta=meta,
    )


def _meta(param: FeatureSelectionParam, candidates: Sequence[str]) -> FeatureSelectionMeta:
    return FeatureSelectionMeta(
        filter_methods=param.filter_methods,
        cols=list(candidates),
        unique_meta=UniqueValueMeta(eps=param.unique_param.eps),
        iv_value_meta=IVValueSelectionMeta(
            value_threshold=param.iv_value_param.value_threshold,
            local_only=param.iv_value_param.local_only,
        ),
        iv_percentile_meta=IVPercentileSelectionMeta(
            percentile_threshold=param.iv_percentile_param.percentile_threshold,
            local_only=param.iv_percentile_param.local_only,
        ),
        variance_coe_meta=VarianceOfCoeSelectionMeta(
            value_threshold=param.variance_coe_param.value_threshold
        ),
        outlier_meta=OutlierColsSelectionMeta(
            percentile=param.outlier_param.percentile,
            upper_threshold=param.outlier_param.upper_threshold,
        ),
        manually_meta=ManuallyFilterMeta(
            filter_out_names=param.manually_param.filter_out_names or []
        ),
        need_run=param.need_run,
    )


def _filter_message(result: FilterResult) -> FeatureSelectionFilterParam:
    return FeatureSelectionFilterParam(
        feature_values=dict(result.own.values),
        host_feature_values=[
            FeatureValue(feature_values=dict(host.values)) for host in result.hosts
        ],
        left_cols=_left_message(result.own.original, result.own.left),
        host_left_cols=[_left_message(host.original, host.left) for host in result.hosts],
        filter_name=result.name,
    )


def _left_message(original: Sequence[str], left: Sequence[str]) -> LeftCols:
    return LeftCols(original_cols=list(original), left_cols=dict.fromkeys(left, True))


def _read_filter(message: FeatureSelectionFilterParam) -> FilterResult:
    hosts = zip(message.host_feature_values, message.host_left_cols, strict=True)
    return FilterResult(
        message.filter_name,
        _read_judgement(message.feature_values, message.left_cols),
        [_read_judgement(values.feature_values, left) for values, left in hosts],
    )


def _read_judgement(values: Mapping[str, float], left: LeftCols) -> Judgement:
    original = tuple(left.original_cols)
    return Judgement(
        original, dict(values), [name for name in original if left.left_cols.get(name)]
    )
