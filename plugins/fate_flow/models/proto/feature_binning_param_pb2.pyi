from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class IVParam(_message.Message):
    __slots__ = ("woe_array", "iv_array", "event_count_array", "non_event_count_array", "event_rate_array", "non_event_rate_array", "split_points", "iv", "is_woe_monotonic", "bin_nums", "bin_anonymous")
    WOE_ARRAY_FIELD_NUMBER: _ClassVar[int]
    IV_ARRAY_FIELD_NUMBER: _ClassVar[int]
    EVENT_COUNT_ARRAY_FIELD_NUMBER: _ClassVar[int]
    NON_EVENT_COUNT_ARRAY_FIELD_NUMBER: _ClassVar[int]
    EVENT_RATE_ARRAY_FIELD_NUMBER: _ClassVar[int]
    NON_EVENT_RATE_ARRAY_FIELD_NUMBER: _ClassVar[int]
    SPLIT_POINTS_FIELD_NUMBER: _ClassVar[int]
    IV_FIELD_NUMBER: _ClassVar[int]
    IS_WOE_MONOTONIC_FIELD_NUMBER: _ClassVar[int]
    BIN_NUMS_FIELD_NUMBER: _ClassVar[int]
    BIN_ANONYMOUS_FIELD_NUMBER: _ClassVar[int]
    woe_array: _containers.RepeatedScalarFieldContainer[float]
    iv_array: _containers.RepeatedScalarFieldContainer[float]
    event_count_array: _containers.RepeatedScalarFieldContainer[int]
    non_event_count_array: _containers.RepeatedScalarFieldContainer[int]
    event_rate_array: _containers.RepeatedScalarFieldContainer[float]
    non_event_rate_array: _containers.RepeatedScalarFieldContainer[float]
    split_points: _containers.RepeatedScalarFieldContainer[float]
    iv: float
    is_woe_monotonic: bool
    bin_nums: int
    bin_anonymous: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, woe_array: _Optional[_Iterable[float]] = ..., iv_array: _Optional[_Iterable[float]] = ..., event_count_array: _Optional[_Iterable[int]] = ..., non_event_count_array: _Optional[_Iterable[int]] = ..., event_rate_array: _Optional[_Iterable[float]] = ..., non_event_rate_array: _Optional[_Iterable[float]] = ..., split_points: _Optional[_Iterable[float]] = ..., iv: _Optional[float] = ..., is_woe_monotonic: _Optional[bool] = ..., bin_nums: _Optional[int] = ..., bin_anonymous: _Optional[_Iterable[str]] = ...) -> None: ...

class FeatureBinningResult(_message.Message):
    __slots__ = ("binning_result", "role", "party_id")
    class BinningResultEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: IVParam
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[IVParam, _Mapping]] = ...) -> None: ...
    BINNING_RESULT_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    PARTY_ID_FIELD_NUMBER: _ClassVar[int]
    binning_result: _containers.MessageMap[str, IVParam]
    role: str
    party_id: str
    def __init__(self, binning_result: _Optional[_Mapping[str, IVParam]] = ..., role: _Optional[str] = ..., party_id: _Optional[str] = ...) -> None: ...

class FeatureBinningParam(_message.Message):
    __slots__ = ("binning_result", "host_results", "header")
    BINNING_RESULT_FIELD_NUMBER: _ClassVar[int]
    HOST_RESULTS_FIELD_NUMBER: _ClassVar[int]
    HEADER_FIELD_NUMBER: _ClassVar[int]
    binning_result: FeatureBinningResult
    host_results: _containers.RepeatedCompositeFieldContainer[FeatureBinningResult]
    header: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, binning_result: _Optional[_Union[FeatureBinningResult, _Mapping]] = ..., host_results: _Optional[_Iterable[_Union[FeatureBinningResult, _Mapping]]] = ..., header: _Optional[_Iterable[str]] = ...) -> None: ...
