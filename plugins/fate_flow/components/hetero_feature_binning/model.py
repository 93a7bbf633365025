"""The binning model: in memory, and as the stored messages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

import numpy as np
from google.protobuf.message import Message

from fate_flow.components.hetero_feature_binning.params import FeatureBinningParam
from fate_flow.components.stored import read_pair
from fate_flow.entities import Party
from fate_flow.ml.binning_iv import InformationValue
from fate_flow.ml.quantile import FloatArray
from fate_flow.models.proto.feature_binning_meta_pb2 import FeatureBinningMeta, TransformMeta
from fate_flow.models.proto.feature_binning_param_pb2 import FeatureBinningParam as ParamMessage
from fate_flow.models.proto.feature_binning_param_pb2 import FeatureBinningResult, IVParam
from fate_flow.runtime.context import ModelBuffers

META_NAME = "FeatureBinningMeta"
PARAM_NAME = "FeatureBinningParam"


@dataclass
class BinningModel:
    """What a binning knows.

    Attributes:
        header: columns of the table it was made with.
        splits: binned column -> inclusive upper limits.
        information: binned column -> WOE and IV; empty where no labels are known.
        hosts: (host, anonymous column -> WOE and IV) in conf order; guest only.
        transform_names: columns to transform.
        transform_type: bin_num, woe or "" (leave the data alone).
        meta: what the binning was asked to do; None until it was stored and loaded again.
    """

    header: tuple[str, ...] = ()
    splits: dict[str, FloatArray] = field(default_factory=dict)
    information: dict[str, InformationValue] = field(default_factory=dict)
    hosts: list[tuple[Party, dict[str, InformationValue]]] = field(default_factory=list)
    transform_names: list[str] = field(default_factory=list)
    transform_type: str = ""
    meta: FeatureBinningMeta | None = None

    def to_messages(self, param: FeatureBinningParam, party: Party) -> dict[str, Message]:
        own = {
            name: _to_iv_param(self.information.get(name), splits)
            for name, splits in self.splits.items()
        }
        hosts = [
            FeatureBinningResult(
                binning_result={name: _to_iv_param(value) for name, value in columns.items()},
                role=host.role,
                party_id=str(host.party_id),
            )
            for host, columns in self.hosts
        ]
        return {
            META_NAME: self.meta or self._meta(param),
            PARAM_NAME: ParamMessage(
                binning_result=FeatureBinningResult(
                    binning_result=own, role=party.role, party_id=str(party.party_id)
                ),
                host_results=hosts,
                header=self.header,
            ),
        }

    def _meta(self, param: FeatureBinningParam) -> FeatureBinningMeta:
        place = {name: position for position, name in enumerate(self.header)}
        return FeatureBinningMeta(
            need_run=param.need_run,
            compress_thres=param.compress_thres,
            head_size=param.head_size,
            error=param.error,
            bin_num=param.bin_num,
            cols=list(self.splits),
            adjustment_factor=param.adjustment_factor,
            local_only=param.local_only,
            transform_param=TransformMeta(
                transform_cols=[place[name] for name in self.transform_names],
                transform_type=self.transform_type,
            ),
            method=param.method,
        )


def read_model(buffers: ModelBuffers) -> BinningModel:
    """The model of stored messages.

    Raises:
        DataError: the buffers are not those of a binning.
    """
    meta, param = read_pair(
        buffers,
        FeatureBinningMeta,
        ParamMessage,
        what="feature binning",
        module="HeteroFeatureBinning",
    )
    header = tuple(param.header)
    columns = cast("Mapping[str, IVParam]", param.binning_result.binning_result)
    in_order = [name for name in header if name in columns]
    return BinningModel(
        header=header,
        splits={name: np.array(columns[name].split_points) for name in in_order},
        information={
            name: _from_iv_param(columns[name]) for name in in_order if columns[name].woe_array
        },
        hosts=[
            (Party(result.role, int(result.party_id)), _host_columns(result))
            for result in param.host_results
        ],
        transform_names=[header[place] for place in meta.transform_param.transform_cols],
        transform_type=meta.transform_param.transform_type,
        meta=meta,
    )


def anonymous(position: int) -> str:
    """How a host's column is called at the guest: by its place in the host's header."""
    return f"host.{position}"


def _host_columns(result: FeatureBinningResult) -> dict[str, InformationValue]:
    """Columns by place: the map of the message has no order."""
    names = sorted(result.binning_result, key=lambda name: int(name.rpartition(".")[2]))
    return {name: _from_iv_param(result.binning_result[name]) for name in names}


def _to_iv_param(value: InformationValue | None, splits: FloatArray | None = None) -> IVParam:
    own = {} if splits is None else {"split_points": splits.tolist()}
    names = [f"bin_{index}" for index in range(0 if splits is None else len(splits))]
    if value is None:
        return IVParam(is_woe_monotonic=True, bin_anonymous=names, **own)
    return IVParam(
        woe_array=value.woe.tolist(),
        iv_array=value.iv.tolist(),
        event_count_array=value.events.tolist(),
        non_event_count_array=value.non_events.tolist(),
        event_rate_array=value.event_rates.tolist(),
        non_event_rate_array=value.non_event_rates.tolist(),
        iv=value.total,
        is_woe_monotonic=value.is_monotonic,
        bin_nums=len(value.woe),
        bin_anonymous=names,
        **own,
    )


def _from_iv_param(message: IVParam) -> InformationValue:
    return InformationValue(
        events=np.array(message.event_count_array, dtype=np.int64),
        non_events=np.array(message.non_event_count_array, dtype=np.int64),
        event_rates=np.array(message.event_rate_array, dtype=np.float64),
        non_event_rates=np.array(message.non_event_rate_array, dtype=np.float64),
        woe=np.array(message.woe_array, dtype=np.float64),
        iv=np.array(message.iv_array, dtype=np.float64),
    )
