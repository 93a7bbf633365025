"""Metrics of multi-class classifiers from a confusion count; macro averages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fate_flow.errors import DataError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class MultiScores:
    """Result of comparing predicted classes with the truth.

    Attributes:
        classes: sorted union of true and predicted classes, shape (k,).
        accuracy: share of rows with the right class.
        precision: per class, 0 for a class that was never predicted, shape (k,).
        recall: per class, 0 for a class that never occurs, shape (k,).
    """

    classes: NDArray[Any]
    accuracy: float
    precision: Floats
    recall: Floats

    @property
    def mean_precision(self) -> float:
        """Macro average: every class counts the same."""
        return float(self.precision.mean())

    @property
    def mean_recall(self) -> float:
        return float(self.recall.mean())


def multi_scores(truth: NDArray[Any], predicted: NDArray[Any]) -> MultiScores:
    """Compare two arrays of classes, shape (n,), both of numbers or both of texts.

    Raises:
        DataError: no rows.
    """
    if not len(truth):
        raise DataError("there are no rows to evaluate")
    classes, codes = np.unique(np.concatenate([truth, predicted]), return_inverse=True)
    codes = codes.reshape(-1)
    true_codes, predicted_codes = codes[: len(truth)], codes[len(truth) :]
    right = true_codes == predicted_codes
    size = len(classes)
    hits = np.bincount(true_codes[right], minlength=size)
    return MultiScores(
        classes=classes,
        accuracy=float(right.mean()),
        precision=hits / np.maximum(np.bincount(predicted_codes, minlength=size), 1),
        recall=hits / np.maximum(np.bincount(true_codes, minlength=size), 1),
    )
