"""Metrics of binary classifiers: AUC, KS, ROC, lift, gain, accuracy, precision, recall.

The rules by which thresholds are chosen and points are thinned out are FATE 1.4's
(evaluation curves are read by FATE-Board). All curves come from one descending sort
of the scores and one cumulative count of the positives, so a metric costs
O(n log n) once and O(100 log n) per curve.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fate_flow.errors import DataError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Cut points at which thresholds are taken: 0, 0.01 … 0.99 of the list of scores.
CUTS: Floats = np.arange(100) / 100

#: How far below the smallest threshold the one that predicts everything positive lies.
_BELOW_ALL = 0.001


@dataclass(frozen=True)
class Curve:
    """Points of a curve; the three arrays are of equal length.

    Attributes:
        x: abscissa.
        y: ordinate.
        thresholds: score threshold of each point.
    """

    x: Floats
    y: Floats
    thresholds: Floats


@dataclass(frozen=True)
class KsCurves:
    """Kolmogorov-Smirnov statistic and its two curves.

    Attributes:
        value: largest difference of tpr and fpr.
        cuts: 0, 0.01 … 0.99, 1 (101 values).
        fpr: false positive rate at each cut.
        tpr: true positive rate at each cut.
        thresholds: score of each cut but the last (100 values).
    """

    value: float
    cuts: Floats
    fpr: Floats
    tpr: Floats
    thresholds: Floats


@dataclass(frozen=True)
class PrecisionRecall:
    """Precision and recall of class 1 at some thresholds; arrays are of equal length."""

    cuts: Floats
    precision: Floats
    recall: Floats
    thresholds: Floats


class BinaryScores:
    """Scores of a binary classifier against the truth, sorted once for all metrics.

    Args:
        positive: shape (n,), True where the row belongs to class 1.
        scores: float, shape (n,); the higher the likelier class 1.

    Raises:
        DataError: no rows, or a score that is not a number.
    """

    def __init__(self, positive: NDArray[Any], scores: NDArray[Any]) -> None:
        scores = np.asarray(scores, dtype=np.float64)
        if not len(scores):
            raise DataError("there are no rows to evaluate")
        if np.isnan(scores).any():
            raise DataError(
                f"{int(np.isnan(scores).sum())} of {len(scores)} rows have no score",
                remedy="Evaluate the table of a party that has the predictions",
            )
        order = np.argsort(-scores, kind="stable")
        self._scores: Floats = scores[order]
        self._ascending: Floats = -self._scores
        hits = np.asarray(positive, dtype=bool)[order]
        self._positives_before: Ints = np.concatenate(
            [np.zeros(1, dtype=np.int64), np.cumsum(hits, dtype=np.int64)]
        )
        self.count = len(scores)
        self.positives = int(self._positives_before[-1])
        self.negatives = self.count - self.positives
        starts = np.flatnonzero(np.diff(self._scores, prepend=np.inf))
        self._distinct: Floats = self._scores[starts]
        #: Rows with a score equal to or above each distinct score.
        self._down_to: Ints = np.append(starts[1:], self.count).astype(np.int64)

    def require_both_classes(self) -> None:
        """Refuse data in which ranking metrics are not defined.

        Raises:
            DataError: all rows are positive, or all are negative.
        """
        if not self.positives or not self.negatives:
            raise DataError(
                "all labels are positive or negative, please check your data!",
                remedy=f"Of {self.count} rows {self.positives} have the label pos_label: look at "
                "the labels and at the parameter pos_label of the Evaluation component",
            )

    def _above(self, thresholds: Floats) -> tuple[Ints, Ints]:
        """Rows with a score strictly above each threshold: (all of them, positive ones)."""
        rows = np.searchsorted(self._ascending, -thresholds, side="left").astype(np.int64)
        return rows, self._positives_before[rows]

    def _thresholds(self) -> Floats:
        """100 of the distinct scores, descending; repeated when there are fewer."""
        return self._distinct[_cut_indices(len(self._distinct))]

    def auc(self) -> float:
        """Area under the ROC curve; ties count half."""
        self.require_both_classes()
        tp = np.concatenate([[0], self._positives_before[self._down_to]]).astype(np.float64)
        fp = np.concatenate([[0], self._down_to]) - tp
        area = np.sum(np.diff(fp) * (tp[1:] + tp[:-1])) / 2
        return float(area / (self.positives * self.negatives))

    def ks(self) -> KsCurves:
        """KS at the scores of the rows at 0 %, 1 % … 99 % of the sorted table."""
        self.require_both_classes()
        thresholds = self._scores[_cut_indices(self.count)]
        rows, hits = self._above(thresholds)
        tpr = np.append(hits / self.positives, 1.0)
        fpr = np.append((rows - hits) / self.negatives, 1.0)
        return KsCurves(float(np.max(tpr - fpr)), np.append(CUTS, 1.0), fpr, tpr, thresholds)

    def roc(self) -> Curve:
        """At most 101 points of the ROC curve; of equal fpr the one with the highest tpr.

        The points are corners of the full curve (those inside a straight piece are left
        out) and its start (0, 0). Other than in the other curves, a row whose score
        equals a threshold counts as predicted positive here, as the recorded curves show.
        """
        self.require_both_classes()
        tp = self._positives_before[self._down_to]
        fp = self._down_to - tp
        keep = _corners(fp, tp)
        tp, fp = np.append(0, tp[keep]), np.append(0, fp[keep])
        thresholds = np.append(self._distinct[0] + 1, self._distinct[keep])
        chosen = _cut_indices(len(thresholds))
        x = np.append(fp[chosen] / self.negatives, 1.0)
        y = np.append(tp[chosen] / self.positives, 1.0)
        return _highest(x, y, np.append(thresholds[chosen], 0.0))

    def lift(self) -> Curve:
        """Lift over the share of rows predicted positive."""
        self.require_both_classes()
        thresholds = self._thresholds()
        rows, hits = self._above(thresholds)
        lift = _precision(rows, hits) / (self.positives / self.count)
        return self._by_depth(rows, lift, thresholds)

    def gain(self) -> Curve:
        """Share of the positives found over the share of rows predicted positive."""
        self.require_both_classes()
        thresholds = self._thresholds()
        rows, hits = self._above(thresholds)
        return self._by_depth(rows, hits / self.positives, thresholds)

    def _by_depth(self, rows: Ints, y: Floats, thresholds: Floats) -> Curve:
        depth = np.append(rows / self.count, 1.0)
        return _highest(depth, np.append(y, 1.0), np.append(thresholds, 0.0))

    def accuracy(self) -> Curve:
        """Accuracy over the cut points (100 points)."""
        thresholds = self._thresholds()
        rows, hits = self._above(thresholds)
        right = hits + (self.negatives - (rows - hits))
        return Curve(CUTS, right / self.count, thresholds)

    def precision_recall(self) -> PrecisionRecall:
        """Precision and recall of class 1; of equal recall the highest precision is kept."""
        thresholds = self._thresholds()
        thresholds = np.append(thresholds, thresholds[-1] - _BELOW_ALL)
        cuts = np.append(CUTS, 1.0)
        rows, hits = self._above(thresholds)
        precision = _precision(rows, hits)
        recall = hits / self.positives if self.positives else np.zeros(len(hits))
        keep = _first_highest(recall, precision)
        return PrecisionRecall(cuts[keep], precision[keep], recall[keep], thresholds[keep])


def _cut_indices(length: int) -> Ints:
    return (length * CUTS).astype(np.int64)


def _precision(rows: Ints, hits: Ints) -> Floats:
    """Precision of class 1, 1 where nothing is predicted positive."""
    result: Floats = np.where(rows > 0, hits / np.maximum(rows, 1), 1.0)
    return result


def _corners(fp: Ints, tp: Ints) -> NDArray[np.bool_]:
    """Points of a ROC curve that do not lie inside a straight piece of it."""
    if len(fp) <= 2:
        return np.ones(len(fp), dtype=bool)
    bends = np.logical_or(np.diff(fp, 2), np.diff(tp, 2))
    result: NDArray[np.bool_] = np.concatenate([[True], bends, [True]])
    return result


def _first_highest(x: Floats, y: Floats) -> Ints:
    """Positions, ascending, of the first highest y of each distinct x."""
    order = np.lexsort((np.arange(len(x)), -y, x))
    first = np.flatnonzero(np.diff(x[order], prepend=-np.inf))
    return np.sort(order[first]).astype(np.int64)


def _highest(x: Floats, y: Floats, thresholds: Floats) -> Curve:
    keep = _first_highest(x, y)
    return Curve(x[keep], y[keep], thresholds[keep])
