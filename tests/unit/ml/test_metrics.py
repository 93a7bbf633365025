"""Metric kernels against scikit-learn and against direct counting."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from fate_flow.errors import DataError
from fate_flow.ml.evaluation import (
    DEFAULT_METRICS,
    INFINITE,
    binary_report,
    metric_problems,
    multi_report,
    regression_report,
    resolve_metrics,
)
from fate_flow.ml.metrics_binary import BinaryScores
from fate_flow.ml.metrics_regression import REGRESSION_METRICS


def sample(rows: int, seed: int = 3, digits: int | None = None) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    scores = rng.random(rows)
    positive = rng.random(rows) < scores
    return positive, scores if digits is None else scores.round(digits)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 12)), min_size=2, max_size=60))
def test_auc_equals_scikit_learn_with_ties(rows: list[tuple[bool, int]]) -> None:
    positive = np.array([row[0] for row in rows])
    scores = np.array([row[1] / 12 for row in rows])
    if positive.all() or not positive.any():
        with pytest.raises(DataError, match="all labels are positive or negative"):
            BinaryScores(positive, scores).auc()
        return
    expected = reference.roc_auc_score(positive, scores)
    assert BinaryScores(positive, scores).auc() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("digits", [None, 1])
def test_curves_hold_what_counting_above_the_threshold_gives(digits: int | None) -> None:
    positive, scores = sample(700, digits=digits)
    ranked = BinaryScores(positive, scores)
    for curve in (ranked.lift(), ranked.gain()):
        assert curve.x[-1] == curve.y[-1] == 1
        assert np.all(np.diff(curve.x) > 0)
    gain = ranked.gain()
    for x, y, threshold in list(zip(gain.x, gain.y, gain.thresholds, strict=True))[:-1]:
        above = scores > threshold
        assert x == above.mean()
        assert y == (above & positive).sum() / positive.sum()
    accuracy = ranked.accuracy()
    assert len(accuracy.x) == 100
    for y, threshold in zip(accuracy.y, accuracy.thresholds, strict=True):
        assert y == np.mean((scores > threshold) == positive)
    result = ranked.precision_recall()
    for precision, recall, threshold in zip(
        result.precision, result.recall, result.thresholds, strict=True
    ):
        predicted = scores > threshold
        assert recall == pytest.approx(reference.recall_score(positive, predicted))
        assert precision == pytest.approx(
            reference.precision_score(positive, predicted, zero_division=1)
        )
    assert len(set(result.recall)) == len(result.recall)


def test_ks_is_the_largest_gap_at_the_hundred_cuts() -> None:
    positive, scores = sample(569)
    ks = BinaryScores(positive, scores).ks()
    ordered = np.sort(scores)[::-1]
    gaps = []
    for index in range(100):
        above = scores > ordered[int(569 * (index / 100))]
        gaps.append(above[positive].mean() - above[~positive].mean())
    assert ks.value == pytest.approx(max(gaps), abs=1e-15)
    assert (len(ks.cuts), len(ks.thresholds)) == (101, 100)
    assert (ks.cuts[-1], ks.fpr[-1], ks.tpr[-1]) == (1, 1, 1)


def test_roc_points_lie_on_scikit_learns_curve() -> None:
    positive, scores = sample(90)
    curve = BinaryScores(positive, scores).roc()
    fpr, tpr, _ = reference.roc_curve(positive, scores, drop_intermediate=False)
    known = set(zip(fpr, tpr, strict=True))
    assert all(point in known for point in zip(curve.x, curve.y, strict=True))
    assert (curve.x[-1], curve.y[-1]) == (1, 1)


def test_missing_scores_and_empty_tables_are_refused() -> None:
    with pytest.raises(DataError, match="1 of 2 rows have no score"):
        BinaryScores(np.array([True, False]), np.array([0.5, np.nan]))
    with pytest.raises(DataError, match="no rows"):
        BinaryScores(np.array([], dtype=bool), np.array([]))


def test_multi_class_metrics_equal_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    truth, predicted = rng.integers(0, 5, 400), rng.integers(1, 6, 400)
    series = multi_report("k", truth, predicted, DEFAULT_METRICS["multi"])
    single = {key: value for s in series if s.name == "k" for key, value in s.points}
    options = {"average": "macro", "zero_division": 0}
    assert single == {
        "accuracy": round(reference.accuracy_score(truth, predicted), 6),
        "precision": round(reference.precision_score(truth, predicted, **options), 6),
        "recall": round(reference.recall_score(truth, predicted, **options), 6),
    }
    by_class = next(s for s in series if s.name == "k_recall")
    assert [key for key, _ in by_class.points] == [0, 1, 2, 3, 4, 5]
    np.testing.assert_allclose(
        [value for _, value in by_class.points],
        reference.recall_score(truth, predicted, average=None, zero_division=0),
        atol=1e-6,
    )
    assert by_class.meta["metric_type"] == "RECALL_MULTI_EVALUATION"


def test_regression_metrics_equal_scikit_learn() -> None:
    rng = np.random.default_rng(1)
    truth = rng.random(300) * 9
    predicted = truth + rng.normal(size=300) * 0.5
    predicted = np.abs(predicted)
    expected = {
        "explained_variance": reference.explained_variance_score,
        "mean_absolute_error": reference.mean_absolute_error,
        "mean_squared_error": reference.mean_squared_error,
        "mean_squared_log_error": reference.mean_squared_log_error,
        "median_absolute_error": reference.median_absolute_error,
        "r2_score": reference.r2_score,
        "root_mean_squared_error": lambda a, b: reference.mean_squared_error(a, b) ** 0.5,
    }
    assert set(expected) == set(REGRESSION_METRICS)
    for name, function in expected.items():
        value = REGRESSION_METRICS[name](truth, predicted)
        assert value == pytest.approx(function(truth, predicted), rel=1e-12)


def test_infinite_values_are_stored_as_a_number() -> None:
    with np.errstate(over="ignore"):
        (series,) = regression_report(
            "k", np.array([0.0]), np.array([1e200]), ("mean_squared_error",)
        )
    assert series.points == [("mean_squared_error", INFINITE)]


def test_names_are_resolved_and_unknown_ones_explained() -> None:
    assert resolve_metrics(["AUC", "acc", "recall"], "binary", DEFAULT_METRICS) == (
        "auc",
        "accuracy",
        "recall",
        "precision",
    )
    assert resolve_metrics(None, "multi", DEFAULT_METRICS) == DEFAULT_METRICS["multi"]
    unknown, misplaced = metric_problems(["aucc", "rmse"], "binary", "metrics")
    assert str(unknown).startswith("metrics[0]: metric aucc is not supported; allowed: auc, ks")
    assert "did you mean 'auc'" in str(unknown)
    assert "metric rmse is not used for binary task" in str(misplaced)


def test_a_million_rows_take_less_than_two_seconds() -> None:
    positive, scores = sample(1_000_000)
    start = time.perf_counter()
    series = binary_report("k", positive, scores, DEFAULT_METRICS["binary"])
    assert time.perf_counter() - start < 2
    assert len(series) == 10
