"""Cross validation of HeteroLR against the same folds fitted in the clear."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import KFold

from fate_flow.components.hetero_lr.party import HeteroLRParty
from fate_flow.errors import DataError, UnsupportedError
from fate_flow.federation.codec import decode
from fate_flow.models.proto.lr_model_param_pb2 import LRModelParam
from tests.support.hetero_lr import ARBITER, GUEST, HOSTS
from tests.support.plain_lr import fit_plain
from tests.unit.components.test_hetero_lr import ROWS, TOLERANCE, Example
from tests.unit.components.test_hetero_lr_classes import Iris

HOST = HOSTS[0]


def folds(splits: int, seed: int | None) -> list[tuple[Any, Any]]:
    split = KFold(splits, shuffle=seed is not None, random_state=seed)
    return list(split.split(np.empty(ROWS)))


@pytest.mark.parametrize("seed", [None, 103])
def test_losses_and_metrics_of_every_fold(tmp_path: Path, seed: int | None) -> None:
    example = Example(tmp_path)
    cv = {"need_cv": True, "n_splits": 3, "shuffle": seed is not None, "random_seed": seed or 1}
    run = example.run(cv_param=cv)
    blocks, start = [example.hosts[0], example.guest], [np.full(2, 0.1), np.full(4, 0.1)]
    for fold, (train, test) in enumerate(folds(3, seed)):
        plain = fit_plain(
            [block[train] for block in blocks], example.labels[train], start, max_iter=3
        )
        points = run[ARBITER].tracker.points["train", f"loss.{fold}"]
        np.testing.assert_allclose([v for _, v in points], plain.losses, atol=TOLERANCE)
        meta = run[ARBITER].tracker.metas["train", f"loss.{fold}"]
        assert meta == {
            "name": "train",
            "metric_type": "LOSS",
            "unit_name": "iters",
            "curve_name": str(fold),
        }
        for kind, rows in (("train", train), ("validate", test)):
            scores = plain.scores([block[rows] for block in blocks])
            metrics = dict(run[GUEST].tracker.points[kind, f"{kind}_fold_{fold}"])
            assert set(metrics) == {"auc", "ks"}
            auc = roc_auc_score(example.labels[rows], scores)
            assert metrics["auc"] == pytest.approx(auc, abs=1e-6)
    assert len(run[ARBITER].tracker.points) == 3


def test_no_data_no_fitted_model_and_nothing_left_on_disk(tmp_path: Path) -> None:
    example = Example(tmp_path)
    run = example.run(max_iter=1, cv_param={"need_cv": True, "n_splits": 2})
    for party in (GUEST, HOST, ARBITER):
        assert run[party].output.data is None
        message = run[party].model()["HeteroLogisticRegressionParam"]
        assert LRModelParam.FromString(message) == LRModelParam()
        assert [info.namespace for info in example.site.stores[party].list()] == (
            [] if party == ARBITER else ["data"]
        )
    models = {party: run[party].model() for party in (GUEST, HOST, ARBITER)}
    tables = {party: {"eval_data": by["train_data"]} for party, by in example.tables.items()}
    with pytest.raises(DataError, match=r"was not fitted.*cross validation leaves no model"):
        example.site.run(tables, models)
    assert [text for _, text in run[HOST].tracker.progress_reports] == [
        "fold 1 of 2, iteration 1 of 1",
        "fold 2 of 2, iteration 1 of 1",
    ]


def test_flows_and_messages(tmp_path: Path) -> None:
    example = Example(tmp_path)
    cv = {"need_cv": True, "n_splits": 2, "shuffle": False}
    run = example.run(max_iter=1, cv_param=cv)
    records = run.mailbox.records
    told = {(r.variable, r.tag): decode(r.data) for r in records if r.variable.endswith("_sid")}
    assert set(told) == {
        (name, f"fit.train.{k}") for name in ("train_sid", "test_sid") for k in (0, 1)
    }
    first = told["test_sid", "fit.train.0"].column(0).to_pylist()
    assert first == [str(index) for index in range(24)]
    assert told["train_sid", "fit.train.1"].column(0).to_pylist() == first
    assert [r.tag for r in records if r.variable == "host_prob"] == [
        f"predict_{kind}.{k}" for k in (0, 1) for kind in ("train", "validate")
    ]
    assert {r.tag for r in records if r.variable == "host_gradient"} == {
        "train.0.0.0",
        "train.1.0.0",
    }


def test_validation_in_training_uses_the_test_part(tmp_path: Path) -> None:
    example = Example(tmp_path)
    run = example.run(max_iter=1, validation_freqs=1, cv_param={"need_cv": True, "n_splits": 2})
    points = run[GUEST].tracker.points
    for fold in (0, 1):
        during = dict(points["validate", f"fold_{fold}.iteration_0"])
        assert during == dict(points["validate", f"validate_fold_{fold}"])


def test_several_classes(tmp_path: Path) -> None:
    iris = Iris(tmp_path)
    run = iris.run(max_iter=2, cv_param={"need_cv": True, "n_splits": 2, "random_seed": 5})
    points = run[GUEST].tracker.points
    for fold in (0, 1):
        metrics = dict(points["validate", f"validate_fold_{fold}"])
        assert set(metrics) == {"accuracy", "precision", "recall"}
        assert metrics["accuracy"] > 0.7
    assert run[ARBITER].tracker.points == {}


def test_several_hosts(tmp_path: Path) -> None:
    example = Example(tmp_path, hosts=2)
    run = example.run(
        max_iter=1, early_stop="weight_diff", cv_param={"need_cv": True, "n_splits": 2}
    )
    assert ("validate", "validate_fold_1") in run[GUEST].tracker.points
    with pytest.raises(UnsupportedError, match="weight_diff"):
        example.run(early_stop="diff", cv_param={"need_cv": True})


def test_a_fold_of_one_class_is_fitted_and_not_evaluated(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    example = Example(tmp_path)
    labels = np.zeros(ROWS, dtype=int)
    labels[[3, 20, 30]] = 1
    example.tables[GUEST] = {"train_data": example.site.table(GUEST, example.guest, labels)}
    cv = {"need_cv": True, "n_splits": 3, "shuffle": False}
    run = example.run(max_iter=1, validation_freqs=1, cv_param=cv)
    names = set(run[GUEST].tracker.points)
    assert ("validate", "validate_fold_0") in names
    assert ("validate", "validate_fold_2") not in names
    assert ("validate", "fold_2.iteration_0") not in names
    assert "all rows of validate_fold_2 have the same label, it is not evaluated" in caplog.messages


def test_rows_that_a_host_does_not_have(tmp_path: Path) -> None:
    example = Example(tmp_path)
    example.tables[HOST] = {"train_data": example.site.table(HOST, example.hosts[0][:40])}
    with pytest.raises(DataError, match=r"lacks \d+ of the 24 rows of a fold.*Intersection"):
        example.run(cv_param={"need_cv": True, "n_splits": 2})


def test_a_prediction_is_not_cross_validated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    example = Example(tmp_path)
    trained = example.run(max_iter=1)
    models = {party: trained[party].model() for party in (GUEST, HOST, ARBITER)}
    monkeypatch.delattr(HeteroLRParty, "cross_validate")
    tables = {party: {"eval_data": by["train_data"]} for party, by in example.tables.items()}
    run = example.site.run(tables, models, cv_param={"need_cv": True})
    assert run[GUEST].output.data is not None
