"""Early stopping by validation metrics."""

from __future__ import annotations

from fate_flow.ml.early_stopping import EarlyStopping


def test_it_stops_when_one_metric_did_not_improve_for_so_many_rounds() -> None:
    stopping = EarlyStopping(2)
    assert not stopping.is_best
    stopping.record({"auc": 0.7, "root_mean_squared_error": 2.0})
    assert stopping.is_best
    stopping.record({"auc": 0.8, "root_mean_squared_error": 2.0})
    assert (stopping.is_best, stopping.should_stop) == (False, False)
    stopping.record({"auc": 0.9, "root_mean_squared_error": 2.5})
    assert stopping.should_stop


def test_errors_are_better_when_smaller() -> None:
    stopping = EarlyStopping(1)
    stopping.record({"mean_absolute_error": 2.0})
    stopping.record({"mean_absolute_error": 1.0})
    assert stopping.is_best
    assert not stopping.should_stop


def test_first_metric_only() -> None:
    stopping = EarlyStopping(1, first_only=True)
    stopping.record({"auc": 0.7, "ks": 0.5})
    stopping.record({"auc": 0.8, "ks": 0.4})
    assert stopping.is_best
    assert not stopping.should_stop
