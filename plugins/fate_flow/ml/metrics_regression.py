"""Single-value metrics of regressions; definitions as in scikit-learn."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from fate_flow.errors import DataError

Floats = NDArray[np.float64]


def explained_variance(truth: Floats, predicted: Floats) -> float:
    """1 − Var(error) ÷ Var(truth); for a constant truth 1 if exact, else 0."""
    return _share_explained(float(np.var(truth - predicted)), float(np.var(truth)))


def r2_score(truth: Floats, predicted: Floats) -> float:
    """1 − Σ error² ÷ Σ (truth − mean)²; for a constant truth 1 if exact, else 0."""
    left = float(np.sum((truth - predicted) ** 2))
    return _share_explained(left, float(np.sum((truth - truth.mean()) ** 2)))


def _share_explained(left: float, whole: float) -> float:
    if whole == 0:
        return 1.0 if left == 0 else 0.0
    return 1 - left / whole


def mean_absolute_error(truth: Floats, predicted: Floats) -> float:
    return float(np.mean(np.abs(truth - predicted)))


def median_absolute_error(truth: Floats, predicted: Floats) -> float:
    return float(np.median(np.abs(truth - predicted)))


def mean_squared_error(truth: Floats, predicted: Floats) -> float:
    return float(np.mean((truth - predicted) ** 2))


def root_mean_squared_error(truth: Floats, predicted: Floats) -> float:
    return float(np.sqrt(mean_squared_error(truth, predicted)))


def mean_squared_log_error(truth: Floats, predicted: Floats) -> float:
    """Mean squared difference of ln(1 + value).

    Raises:
        DataError: a negative value.
    """
    if (truth < 0).any() or (predicted < 0).any():
        raise DataError(
            "mean_squared_log_error cannot be computed, there are negative labels or predictions",
            remedy="Leave it out of the metrics of the Evaluation component",
        )
    return mean_squared_error(np.log1p(truth), np.log1p(predicted))


#: Metric name -> function of (truth, predicted), both float64 of shape (n,).
REGRESSION_METRICS: Mapping[str, Callable[[Floats, Floats], float]] = {
    "explained_variance": explained_variance,
    "mean_absolute_error": mean_absolute_error,
    "mean_squared_error": mean_squared_error,
    "mean_squared_log_error": mean_squared_log_error,
    "median_absolute_error": median_absolute_error,
    "r2_score": r2_score,
    "root_mean_squared_error": root_mean_squared_error,
}
