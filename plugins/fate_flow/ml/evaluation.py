"""From predictions to named metric series, as FATE-Flow stores and FATE-Board draws them.

Names, types and extra entries are FATE 1.4's; all numbers are rounded to 6 digits.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fate_flow.errors import Problem
from fate_flow.ml.metrics_binary import BinaryScores, Curve, KsCurves
from fate_flow.ml.metrics_multi import multi_scores
from fate_flow.ml.metrics_regression import REGRESSION_METRICS

DIGITS = 6
#: Stored in place of an infinite value.
INFINITE = -9999999

#: Evaluation type -> what is computed when nothing is asked for.
DEFAULT_METRICS: Mapping[str, tuple[str, ...]] = {
    "binary": ("auc", "ks", "lift", "gain", "accuracy", "precision", "recall", "roc"),
    "multi": ("accuracy", "precision", "recall"),
    "regression": (
        "explained_variance",
        "mean_absolute_error",
        "mean_squared_error",
        "median_absolute_error",
        "r2_score",
        "root_mean_squared_error",
    ),
}
#: The same for evaluation during training.
TRAINING_METRICS: Mapping[str, tuple[str, ...]] = {
    "binary": ("auc", "ks"),
    "multi": ("accuracy", "precision", "recall"),
    "regression": ("root_mean_squared_error", "mean_absolute_error"),
}
#: Evaluation type -> what may be asked for.
ALLOWED_METRICS: Mapping[str, tuple[str, ...]] = {
    **DEFAULT_METRICS,
    "regression": (*DEFAULT_METRICS["regression"], "mean_squared_log_error"),
}
ALIASES: Mapping[str, str] = {
    **dict.fromkeys(("l1", "mae", "regression_l1"), "mean_absolute_error"),
    **dict.fromkeys(("l2", "mse", "regression_l2", "regression"), "mean_squared_error"),
    **dict.fromkeys(("l2_root", "rmse"), "root_mean_squared_error"),
    "msle": "mean_squared_log_error",
    "r2": "r2_score",
    "acc": "accuracy",
}
_KNOWN = {name for names in ALLOWED_METRICS.values() for name in names}


@dataclass(frozen=True)
class MetricSeries:
    """One stored metric.

    Attributes:
        name: metric name.
        points: (key, value) pairs.
        meta: ``name``, ``metric_type`` and what the drawing needs.
    """

    name: str
    points: list[tuple[Any, Any]]
    meta: dict[str, Any]


def metric_problems(metrics: Iterable[object], eval_type: str, path: str) -> Iterator[Problem]:
    """What is wrong with a list of metric names."""
    allowed = ", ".join(ALLOWED_METRICS[eval_type])
    for index, given in enumerate(metrics):
        name = _canonical(given)
        where = f"{path}[{index}]"
        if name not in _KNOWN:
            near = difflib.get_close_matches(str(given).lower(), [*_KNOWN, *ALIASES], n=1)
            hint = f"did you mean {near[0]!r}?" if near else ""
            yield Problem(where, f"metric {given} is not supported", allowed, hint)
        elif name not in ALLOWED_METRICS[eval_type]:
            yield Problem(where, f"metric {given} is not used for {eval_type} task", allowed)


def _canonical(name: object) -> str:
    lower = str(name).lower()
    return ALIASES.get(lower, lower)


def resolve_metrics(
    metrics: Sequence[str] | None, eval_type: str, defaults: Mapping[str, Sequence[str]]
) -> tuple[str, ...]:
    """Full names without repetition; precision and recall always come as a pair."""
    names = [_canonical(name) for name in metrics or defaults[eval_type]]
    for one, other in (("precision", "recall"), ("recall", "precision")):
        if one in names and other not in names:
            names.append(other)
    return tuple(dict.fromkeys(names))


def binary_report(
    data_set: str, positive: NDArray[Any], scores: NDArray[Any], metrics: Sequence[str]
) -> list[MetricSeries]:
    """Series of binary metrics.

    Args:
        data_set: name of the evaluated data set, the stem of the metric names.
        positive: bool, shape (n,).
        scores: float, shape (n,).
        metrics: full names (see :func:`resolve_metrics`).

    Raises:
        DataError: no rows, missing scores, or only one class.
    """
    ranked = BinaryScores(positive, scores)
    writers: dict[str, Callable[[], list[MetricSeries]]] = {
        "auc": lambda: [_summary(data_set, "auc", ranked.auc())],
        "ks": lambda: _ks_series(data_set, ranked.ks()),
        "roc": lambda: [
            _curve(
                data_set, "roc", "ROC", ranked.roc(), {"unit_name": "fpr", "ordinate_name": "tpr"}
            )
        ],
        "lift": lambda: [_curve(data_set, "lift", "LIFT", ranked.lift())],
        "gain": lambda: [_curve(data_set, "gain", "GAIN", ranked.gain())],
        "accuracy": lambda: [_curve(data_set, "accuracy", "ACCURACY", ranked.accuracy())],
        "precision": lambda: [_precision_or_recall(data_set, "precision", ranked)],
        "recall": lambda: [_precision_or_recall(data_set, "recall", ranked)],
    }
    return [series for name in metrics for series in writers[name]()]


def multi_report(
    data_set: str, truth: NDArray[Any], predicted: NDArray[Any], metrics: Sequence[str]
) -> list[MetricSeries]:
    """Series of multi-class metrics; ``truth`` and ``predicted`` are classes, shape (n,)."""
    result = multi_scores(truth, predicted)
    series: list[MetricSeries] = []
    for name in metrics:
        if name == "accuracy":
            series.append(_summary(data_set, name, result.accuracy))
            continue
        values, mean = (
            (result.precision, result.mean_precision)
            if name == "precision"
            else (result.recall, result.mean_recall)
        )
        meta = {
            "name": f"{data_set}_{name}",
            "metric_type": f"{name.upper()}_MULTI_EVALUATION",
            "curve_name": f"{data_set}_{name}",
            "pair_type": data_set,
        }
        points = list(zip(result.classes.tolist(), _rounded(values), strict=True))
        series.append(MetricSeries(f"{data_set}_{name}", points, meta))
        series.append(_summary(data_set, name, mean))
    return series


def regression_report(
    data_set: str, truth: NDArray[Any], predicted: NDArray[Any], metrics: Sequence[str]
) -> list[MetricSeries]:
    """Series of regression metrics; both arrays are float64 of shape (n,)."""
    return [_summary(data_set, m, REGRESSION_METRICS[m](truth, predicted)) for m in metrics]


def _rounded(values: NDArray[np.float64]) -> list[float]:
    return [float(value) for value in np.round(values, DIGITS)]


def _summary(data_set: str, metric: str, value: float) -> MetricSeries:
    shown = INFINITE if math.isinf(value) else round(value, DIGITS)
    meta = {"name": data_set, "metric_type": "EVALUATION_SUMMARY"}
    return MetricSeries(data_set, [(metric, shown)], meta)


def _curve(
    data_set: str, metric: str, kind: str, curve: Curve, extra: Mapping[str, str] | None = None
) -> MetricSeries:
    name = f"{data_set}_{metric}"
    meta = {
        "name": name,
        "metric_type": f"{kind}_EVALUATION",
        **(extra or {}),
        "curve_name": data_set,
        "thresholds": _rounded(curve.thresholds),
    }
    return MetricSeries(name, list(zip(_rounded(curve.x), _rounded(curve.y), strict=True)), meta)


def _ks_series(data_set: str, ks: KsCurves) -> list[MetricSeries]:
    series = [_summary(data_set, "ks", ks.value)]
    for rate, values in (("fpr", ks.fpr), ("tpr", ks.tpr)):
        name = f"{data_set}_ks_{rate}"
        meta = {
            "name": name,
            "metric_type": "KS_EVALUATION",
            "curve_name": f"{data_set}_{rate}",
            "pair_type": data_set,
            "thresholds": _rounded(ks.thresholds),
        }
        points = list(zip(_rounded(ks.cuts), _rounded(values), strict=True))
        series.append(MetricSeries(name, points, meta))
    return series


def _precision_or_recall(data_set: str, metric: str, ranked: BinaryScores) -> MetricSeries:
    result = ranked.precision_recall()
    values = result.precision if metric == "precision" else result.recall
    curve = Curve(result.cuts, values, result.thresholds)
    extra = {"ordinate_name": metric.capitalize(), "pair_type": data_set}
    return _curve(data_set, metric, f"{metric.upper()}_BINARY", curve, extra)
