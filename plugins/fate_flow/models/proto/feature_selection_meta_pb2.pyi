from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class UniqueValueMeta(_message.Message):
    __slots__ = ("eps",)
    EPS_FIELD_NUMBER: _ClassVar[int]
    eps: float
    def __init__(self, eps: _Optional[float] = ...) -> None: ...

class IVValueSelectionMeta(_message.Message):
    __slots__ = ("value_threshold", "local_only")
    VALUE_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    LOCAL_ONLY_FIELD_NUMBER: _ClassVar[int]
    value_threshold: float
    local_only: bool
    def __init__(self, value_threshold: _Optional[float] = ..., local_only: _Optional[bool] = ...) -> None: ...

class IVPercentileSelectionMeta(_message.Message):
    __slots__ = ("percentile_threshold", "local_only")
    PERCENTILE_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    LOCAL_ONLY_FIELD_NUMBER: _ClassVar[int]
    percentile_threshold: float
    local_only: bool
    def __init__(self, percentile_threshold: _Optional[float] = ..., local_only: _Optional[bool] = ...) -> None: ...

class VarianceOfCoeSelectionMeta(_message.Message):
    __slots__ = ("value_threshold",)
    VALUE_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    value_threshold: float
    def __init__(self, value_threshold: _Optional[float] = ...) -> None: ...

class OutlierColsSelectionMeta(_message.Message):
    __slots__ = ("percentile", "upper_threshold")
    PERCENTILE_FIELD_NUMBER: _ClassVar[int]
    UPPER_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    percentile: float
    upper_threshold: float
    def __init__(self, percentile: _Optional[float] = ..., upper_threshold: _Optional[float] = ...) -> None: ...

class ManuallyFilterMeta(_message.Message):
    __slots__ = ("filter_out_names",)
    FILTER_OUT_NAMES_FIELD_NUMBER: _ClassVar[int]
    filter_out_names: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, filter_out_names: _Optional[_Iterable[str]] = ...) -> None: ...

class FeatureSelectionMeta(_message.Message):
    __slots__ = ("filter_methods", "cols", "unique_meta", "iv_value_meta", "iv_percentile_meta", "variance_coe_meta", "outlier_meta", "manually_meta", "need_run")
    FILTER_METHODS_FIELD_NUMBER: _ClassVar[int]
    COLS_FIELD_NUMBER: _ClassVar[int]
    UNIQUE_META_FIELD_NUMBER: _ClassVar[int]
    IV_VALUE_META_FIELD_NUMBER: _ClassVar[int]
    IV_PERCENTILE_META_FIELD_NUMBER: _ClassVar[int]
    VARIANCE_COE_META_FIELD_NUMBER: _ClassVar[int]
    OUTLIER_META_FIELD_NUMBER: _ClassVar[int]
    MANUALLY_META_FIELD_NUMBER: _ClassVar[int]
    NEED_RUN_FIELD_NUMBER: _ClassVar[int]
    filter_methods: _containers.RepeatedScalarFieldContainer[str]
    cols: _containers.RepeatedScalarFieldContainer[str]
    unique_meta: UniqueValueMeta
    iv_value_meta: IVValueSelectionMeta
    iv_percentile_meta: IVPercentileSelectionMeta
    variance_coe_meta: VarianceOfCoeSelectionMeta
    outlier_meta: OutlierColsSelectionMeta
    manually_meta: ManuallyFilterMeta
    need_run: bool
    def __init__(self, filter_methods: _Optional[_Iterable[str]] = ..., cols: _Optional[_Iterable[str]] = ..., unique_meta: _Optional[_Union[UniqueValueMeta, _Mapping]] = ..., iv_value_meta: _Optional[_Union[IVValueSelectionMeta, _Mapping]] = ..., iv_percentile_meta: _Optional[_Union[IVPercentileSelectionMeta, _Mapping]] = ..., variance_coe_meta: _Optional[_Union[VarianceOfCoeSelectionMeta, _Mapping]] = ..., outlier_meta: _Optional[_Union[OutlierColsSelectionMeta, _Mapping]] = ..., manually_meta: _Optional[_Union[ManuallyFilterMeta, _Mapping]] = ..., need_run: _Optional[bool] = ...) -> None: ...
