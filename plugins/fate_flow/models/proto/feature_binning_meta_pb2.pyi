from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TransformMeta(_message.Message):
    __slots__ = ("transform_cols", "transform_type")
    TRANSFORM_COLS_FIELD_NUMBER: _ClassVar[int]
    TRANSFORM_TYPE_FIELD_NUMBER: _ClassVar[int]
    transform_cols: _containers.RepeatedScalarFieldContainer[int]
    transform_type: str
    def __init__(self, transform_cols: _Optional[_Iterable[int]] = ..., transform_type: _Optional[str] = ...) -> None: ...

class FeatureBinningMeta(_message.Message):
    __slots__ = ("need_run", "compress_thres", "head_size", "error", "bin_num", "cols", "adjustment_factor", "local_only", "transform_param", "method")
    NEED_RUN_FIELD_NUMBER: _ClassVar[int]
    COMPRESS_THRES_FIELD_NUMBER: _ClassVar[int]
    HEAD_SIZE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    BIN_NUM_FIELD_NUMBER: _ClassVar[int]
    COLS_FIELD_NUMBER: _ClassVar[int]
    ADJUSTMENT_FACTOR_FIELD_NUMBER: _ClassVar[int]
    LOCAL_ONLY_FIELD_NUMBER: _ClassVar[int]
    TRANSFORM_PARAM_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    need_run: bool
    compress_thres: int
    head_size: int
    error: float
    bin_num: int
    cols: _containers.RepeatedScalarFieldContainer[str]
    adjustment_factor: float
    local_only: bool
    transform_param: TransformMeta
    method: str
    def __init__(self, need_run: _Optional[bool] = ..., compress_thres: _Optional[int] = ..., head_size: _Optional[int] = ..., error: _Optional[float] = ..., bin_num: _Optional[int] = ..., cols: _Optional[_Iterable[str]] = ..., adjustment_factor: _Optional[float] = ..., local_only: _Optional[bool] = ..., transform_param: _Optional[_Union[TransformMeta, _Mapping]] = ..., method: _Optional[str] = ...) -> None: ...
