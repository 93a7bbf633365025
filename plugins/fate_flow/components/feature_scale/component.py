"""The FeatureScale component; the same program at guest and host, without messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from google.protobuf.message import Message

from fate_flow.components.columns import choose, numbers
from fate_flow.components.feature_scale.params import Limit, ScaleParam
from fate_flow.components.stored import read_pair
from fate_flow.data.engine import map_partitions
from fate_flow.data.table import Table
from fate_flow.errors import DataError, InvalidInputError, Problem
from fate_flow.models.proto.feature_scale_meta_pb2 import ScaleMeta
from fate_flow.models.proto.feature_scale_param_pb2 import ColumnScaleParam
from fate_flow.models.proto.feature_scale_param_pb2 import ScaleParam as ScaleParamMessage
from fate_flow.runtime.component import Component
from fate_flow.runtime.context import ModelBuffers

_DIGITS = 6
#: A range smaller than this counts as 1, so that a constant column becomes 0.
_SMALLEST_RANGE = 1e-6

_Column = np.ndarray[tuple[int], np.dtype[np.float64]]


@dataclass(frozen=True)
class Scale:
    """What is done to one column: clip to [lower, upper], subtract, divide, round to 6 digits."""

    lower: float
    upper: float
    mean: float = 0.0
    std: float = 0.0

    def apply(self, values: _Column, method: str) -> _Column:
        """Missing values stay missing."""
        clipped = np.clip(values, self.lower, self.upper)
        if method == "min_max_scale":
            width = self.upper - self.lower
            scaled = (clipped - self.lower) / (width if width >= _SMALLEST_RANGE else 1.0)
        else:
            scaled = (clipped - self.mean) / self.std
        rounded: _Column = np.round(scaled, _DIGITS)
        return rounded


class FeatureScale(Component[ScaleParam]):
    """``fit`` learns each column's range and moments, ``transform`` uses a model's."""

    param_class = ScaleParam

    _header: tuple[str, ...] = ()
    _scales: Mapping[str, Scale] = {}

    def fit(self, data: Table | None, validate: Table | None = None) -> Table | None:
        table = self.require_table(data)
        self._header = table.schema.header
        if self.param.method is None:
            self.note("method is null: the data are passed on as they are")
            return table
        self._tell()
        chosen = self._chosen()
        lower = _limits(self.param.feat_lower, len(self._header), "feat_lower")
        upper = _limits(self.param.feat_upper, len(self._header), "feat_upper")
        # One column after the other: memory holds some columns, not the matrix.
        read = numbers(table, [self._header[place] for place in chosen], finite=False)
        self._scales = {
            name: self._learn(values, name, lower[place], upper[place])
            for place, (name, values) in zip(chosen, read, strict=True)
        }
        return self._scale(table, self.param.method)

    def transform(self, data: Table | None) -> Table | None:
        table = self.require_table(data)
        if self.param.method is None:
            return table
        self._tell()
        missing = [name for name in self._scales if name not in set(table.schema.header)]
        if missing:
            raise DataError(
                f"table {table.name!r} lacks columns the model scales: {', '.join(missing[:10])}",
                remedy="The data must have the columns that the model was made with",
            )
        return self._scale(table, self.param.method)

    def _chosen(self) -> list[int]:
        indexes = self.param.scale_col_indexes
        names = [] if indexes == -1 else self.param.scale_names
        return choose(self._header, indexes, names, path="scale_col_indexes", strict_names=True)

    def _learn(self, values: _Column, name: str, low: float | None, high: float | None) -> Scale:
        present = values[~np.isnan(values)]
        if not len(present):
            raise DataError(
                f"column {name!r} has no value that is not missing",
                remedy="Leave it out with scale_col_indexes, or set missing_fill of DataIO",
            )
        lower, upper = self._range(present, low, high)
        if self.param.method == "min_max_scale":
            return Scale(lower, upper)
        clipped = np.clip(present, lower, upper)
        mean = float(clipped.mean()) if self.param.with_mean else 0.0
        std = float(clipped.std()) if self.param.with_std else 1.0
        return Scale(lower, upper, mean, std if std != 0 else 1.0)

    def _range(self, values: _Column, low: float | None, high: float | None) -> tuple[float, float]:
        if self.param.mode == "cap":
            # A quantile is a value of the column (no interpolation), as in FATE's summaries.
            points = np.quantile(
                values,
                [0.0 if low is None else low, 1.0 if high is None else high],
                method="inverted_cdf",
            )
            return float(points[0]), float(points[1])
        smallest, largest = float(values.min()), float(values.max())
        if low is not None:
            smallest, largest = max(smallest, low), max(largest, low)
        if high is not None:
            smallest, largest = min(smallest, high), min(largest, high)
        return smallest, largest

    def _scale(self, table: Table, method: str) -> Table:
        scales = self._scales

        def scale_block(block: pa.Table) -> pa.Table:
            columns = dict(zip(block.column_names, block.columns, strict=True))
            for name in columns.keys() & scales.keys():
                values = columns[name].cast(pa.float64()).to_numpy(zero_copy_only=False)
                columns[name] = pa.array(scales[name].apply(values, method))
            return pa.table(columns)

        with self.context.tables.writer(
            *self.context.output,
            table.schema,
            partitions=table.partitions,
            expected_rows=table.count,
        ) as writer:
            for block in map_partitions(table, scale_block):
                writer.write(block)
        return writer.table

    def _tell(self) -> None:
        self.context.tracker.metrics(
            "train",
            "scale",
            meta={
                "name": "scale",
                "metric_type": "SCALE",
                "method": self.param.method,
                "curve_name": "scale",
            },
        )

    # -- model -------------------------------------------------------------------------

    def export_model(self) -> Mapping[str, Message]:
        param, width = self.param, len(self._header)
        meta = ScaleMeta(
            method=param.method or "",
            mode=param.mode,
            area="null",
            scale_column=list(self._scales),
            feat_upper=_texts(param.feat_upper, width),
            feat_lower=_texts(param.feat_lower, width),
            with_mean=param.with_mean,
            with_std=param.with_std,
            need_run=param.need_run,
        )
        learnt = ScaleParamMessage(
            col_scale_param={
                name: ColumnScaleParam(
                    column_upper=round(scale.upper, _DIGITS),
                    column_lower=round(scale.lower, _DIGITS),
                    mean=round(scale.mean, _DIGITS),
                    std=round(scale.std, _DIGITS),
                )
                for name, scale in self._scales.items()
            },
            header=self._header,
        )
        return {"ScaleMeta": meta, "ScaleParam": learnt}

    def load_model(self, buffers: ModelBuffers) -> None:
        meta, learnt = read_pair(
            buffers, ScaleMeta, ScaleParamMessage, what="scale model", module="FeatureScale"
        )
        self.param.method = meta.method or None
        self.param.mode = meta.mode
        self.param.with_mean, self.param.with_std = meta.with_mean, meta.with_std
        self.param.feat_upper = _values(meta.feat_upper)
        self.param.feat_lower = _values(meta.feat_lower)
        self._header = tuple(learnt.header)
        smallest_std = 1.0 if meta.method == "standard_scale" else 0.0
        self._scales = {
            name: Scale(
                column.column_lower, column.column_upper, column.mean, column.std or smallest_std
            )
            for name in meta.scale_column
            if (column := learnt.col_scale_param.get(name)) is not None
        }


def _limits(limit: Limit, width: int, path: str) -> Sequence[float | None]:
    """One limit per column."""
    if not isinstance(limit, list):
        return [limit] * width
    if len(limit) != width:
        raise InvalidInputError(
            [Problem(path, f"found {len(limit)} numbers", f"one, or {width} (one per column)")]
        )
    return limit


def _texts(limit: Limit, width: int) -> list[str]:
    return [str(value) for value in (limit if isinstance(limit, list) else [limit] * width)]


def _values(texts: Sequence[str]) -> Limit:
    """Inverse of _texts, for a model that is stored again."""
    if not texts or texts[0] == "None":
        return None
    values = [float(text) for text in texts]
    return values[0] if len(set(values)) == 1 else values
