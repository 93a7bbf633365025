"""HeteroLR between guest, hosts and arbiter against the same algorithm in the clear."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from fate_flow.data.table import PREDICTION_HEADER, TableKind
from fate_flow.models.proto.lr_model_meta_pb2 import LRModelMeta
from fate_flow.models.proto.lr_model_param_pb2 import LRModelParam
from tests.support.hetero_lr import (
    ARBITER,
    GUEST,
    HOSTS,
    Site,
    details_of,
    losses_of,
    weights_of,
)
from tests.support.parties import Run
from tests.support.plain_lr import PlainFit, fit_plain

HOST, SECOND_HOST = HOSTS
ROWS = 48
#: Bound of the encrypted fit's error in weights and losses at the default exponents.
TOLERANCE = 1e-7


class Example:
    """A small data set, in memory and at its sites."""

    def __init__(self, folder: Path, hosts: int = 1) -> None:
        rng = np.random.default_rng(11)
        self.guest = rng.normal(size=(ROWS, 3)).round(6)
        self.hosts = [rng.normal(size=(ROWS, 2 + index)).round(6) for index in range(hosts)]
        score = self.guest @ [1.0, -2.0, 0.5] + self.hosts[0] @ [1.0, 0.3]
        self.labels = (score + rng.normal(size=ROWS) > 0).astype(np.int64)
        self.site = Site(folder)
        self.tables = {GUEST: {"train_data": self.site.table(GUEST, self.guest, self.labels)}}
        for party, features in zip(HOSTS, self.hosts, strict=False):
            self.tables[party] = {"train_data": self.site.table(party, features)}

    def run(self, **parameters: Any) -> Run:
        return self.site.run(
            self.tables,
            **{
                "init_param": {"init_method": "const", "init_const": 0.1},
                "learning_rate": 0.15,
                "max_iter": 3,
                "batch_size": -1,
                "tol": 1e-9,
                **parameters,
            },
        )

    def plain(self, **parameters: Any) -> PlainFit:
        blocks = [*self.hosts, self.guest]
        start = [np.full(block.shape[1], 0.1) for block in blocks]
        if parameters.get("fit_intercept", True):
            start[-1] = np.append(start[-1], 0.1)
        return fit_plain(
            blocks, self.labels, start, **{"max_iter": 3, "learning_rate": 0.15, **parameters}
        )

    def compare(self, run: Run, plain: PlainFit) -> None:
        parties = [*HOSTS[: len(self.hosts)], GUEST]
        for party, wanted in zip(parties, plain.weights, strict=True):
            got, intercept = weights_of(run, party)
            np.testing.assert_allclose(got, wanted, rtol=0, atol=TOLERANCE)
            assert intercept == pytest.approx(
                plain.intercept if party == GUEST else 0.0, abs=TOLERANCE
            )


@pytest.mark.parametrize("batch_size", [-1, 20])
@pytest.mark.parametrize("penalty", ["L1", "L2", None])
@pytest.mark.parametrize(
    "optimizer", ["sgd", "rmsprop", "adam", "adagrad", "nesterov_momentum_sgd"]
)
def test_weights_and_losses_are_those_of_the_algorithm_in_the_clear(
    tmp_path: Path, optimizer: str, penalty: str | None, batch_size: int
) -> None:
    example = Example(tmp_path)
    settings: dict[str, Any] = {
        "optimizer": optimizer,
        "penalty": penalty,
        "batch_size": batch_size,
    }
    run = example.run(**settings)
    plain = example.plain(**settings)
    example.compare(run, plain)
    np.testing.assert_allclose(losses_of(run), plain.losses, rtol=0, atol=TOLERANCE)


def test_several_hosts_fit_together_without_a_loss(tmp_path: Path) -> None:
    example = Example(tmp_path, hosts=2)
    settings: dict[str, Any] = {"early_stop": "weight_diff", "optimizer": "adam", "batch_size": 30}
    run = example.run(**settings)
    example.compare(run, example.plain(**settings))
    assert losses_of(run) == []


def test_no_intercept_and_other_decay(tmp_path: Path) -> None:
    example = Example(tmp_path)
    settings: dict[str, Any] = {"decay": 0.3, "decay_sqrt": False}
    run = example.run(
        **settings,
        init_param={"init_method": "const", "init_const": 0.1, "fit_intercept": False},
    )
    example.compare(run, example.plain(fit_intercept=False, **settings))
    meta = LRModelMeta.FromString(run[GUEST].model()["HeteroLogisticRegressionMeta"])
    assert meta.fit_intercept is False


@pytest.mark.parametrize(
    ("rule", "tol"), [("diff", 0.02), ("abs", 0.6), ("weight_diff", 0.12)], ids=str
)
def test_training_stops_where_the_rule_says(tmp_path: Path, rule: str, tol: float) -> None:
    example = Example(tmp_path)
    settings: dict[str, Any] = {"early_stop": rule, "tol": tol, "max_iter": 12}
    run, plain = example.run(**settings), example.plain(**settings)
    assert plain.converged
    assert 1 <= plain.iterations < 12
    for party in (GUEST, HOST):
        model = LRModelParam.FromString(run[party].model()["HeteroLogisticRegressionParam"])
        assert (model.iters, model.is_converged) == (plain.iterations, True)
    example.compare(run, plain)


def test_output_models_metrics_and_progress(tmp_path: Path) -> None:
    example = Example(tmp_path)
    run = example.run(predict_param={"threshold": 0.4})
    table = run[GUEST].output.data
    assert table is not None
    assert run[HOST].output.data is None
    assert run[ARBITER].output.data is None
    assert table.schema.kind is TableKind.PREDICTIONS
    assert table.schema.header == PREDICTION_HEADER
    assert table.schema.sid_name == "id"
    rows = table.arrow()
    own, intercept = weights_of(run, GUEST)
    hosts, _ = weights_of(run, HOST)
    u = example.guest @ own + intercept + example.hosts[0] @ hosts
    score = rows.column("predict_score").to_numpy()
    np.testing.assert_allclose(score, 1 / (1 + np.exp(-u)), rtol=1e-12)
    assert rows.column("predict_result").to_pylist() == (score > 0.4).astype(int).tolist()
    assert rows.column("label").to_pylist() == example.labels.tolist()
    assert rows.column("type").to_pylist() == ["train"] * ROWS
    assert details_of(table) == [{"0": 1 - p, "1": p} for p in score.tolist()]
    arbiter = LRModelParam.FromString(run[ARBITER].model()["HeteroLogisticRegressionParam"])
    assert arbiter == LRModelParam()
    assert run[ARBITER].tracker.metas["train", "loss"] == {
        "name": "train",
        "metric_type": "LOSS",
        "unit_name": "iters",
        "curve_name": "loss",
    }
    done, text = run[ARBITER].tracker.progress_reports[-1]
    assert done == 1
    assert text.startswith("iteration 3 of 3, loss 0.")
    assert run[HOST].tracker.progress_reports[0] == (1 / 3, "iteration 1 of 3")


def test_a_stored_model_predicts_rows_in_any_column_order(tmp_path: Path) -> None:
    example = Example(tmp_path)
    trained = example.run()
    models = {party: trained[party].model() for party in (GUEST, HOST, ARBITER)}
    site = example.site
    fresh = {
        GUEST: {"eval_data": site.table(GUEST, example.guest[:9], name="new")},
        HOST: {
            "eval_data": site.table(
                HOST, example.hosts[0][:9, ::-1], name="new", header=("x1", "x0")
            )
        },
    }
    run = site.run(fresh, models)
    table = run[GUEST].output.data
    assert table is not None
    rows = table.arrow()
    assert rows.column("type").to_pylist() == ["predict"] * 9
    assert rows.column("label").null_count == 9
    before = trained[GUEST].output.data
    assert before is not None
    np.testing.assert_array_equal(
        rows.column("predict_score").to_numpy(),
        before.arrow().column("predict_score").to_numpy()[:9],
    )
    for party in (GUEST, HOST, ARBITER):
        kept, loaded = (
            LRModelParam.FromString(model["HeteroLogisticRegressionParam"])
            for model in (run[party].model(), models[party])
        )
        assert kept == loaded


def test_train_and_eval_rows_share_one_table(tmp_path: Path) -> None:
    example = Example(tmp_path)
    site = example.site
    ids = [f"v{index}" for index in range(10)]
    for party, features, labels in (
        (GUEST, example.guest, example.labels[:10]),
        (HOST, example.hosts[0], None),
    ):
        example.tables[party]["eval_data"] = site.table(
            party, features[:10], labels, ids, name="eval"
        )
    run = example.run(max_iter=1)
    table = run[GUEST].output.data
    assert table is not None
    kinds = table.arrow().column("type").to_pylist()
    assert (kinds.count("train"), kinds.count("validate")) == (ROWS, 10)
    namespace, name = run[GUEST].context.output
    store = run[GUEST].context.tables
    assert (table.namespace, table.name) == (namespace, name)
    assert not store.exists(namespace, f"{name}.train_data")
    assert not store.exists(namespace, f"{name}.train")
    assert not store.exists(namespace, f"{name}.validate")


def test_validation_reports_metrics_and_stops_early(tmp_path: Path) -> None:
    example = Example(tmp_path)
    site, ids = example.site, [f"v{index}" for index in range(20)]
    # Labels of the validation rows are turned around: it gets worse from the start.
    example.tables[GUEST]["eval_data"] = site.table(
        GUEST, example.guest[:20], 1 - example.labels[:20], ids, name="eval"
    )
    example.tables[HOST]["eval_data"] = site.table(
        HOST, example.hosts[0][:20], None, ids, name="eval"
    )
    run = example.run(
        max_iter=12, validation_freqs=1, early_stopping_rounds=2, use_first_metric_only=True
    )
    points = run[GUEST].tracker.points
    assert ("validate", "iteration_0") in points
    assert {name for name, _ in points["train", "iteration_1"]} == {"auc", "ks"}
    for party in (GUEST, HOST):
        model = LRModelParam.FromString(run[party].model()["HeteroLogisticRegressionParam"])
        assert 3 <= model.iters < 12
        assert model.best_iteration == model.iters - 3
    stopped = model.best_iteration + 1
    plain = example.plain(max_iter=stopped)
    example.compare(run, plain)


def test_a_short_key_is_used_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "fate_flow.task"):
        Example(tmp_path).run(max_iter=1)
    assert any("Paillier key has 1024 bits" in message for message in caplog.messages)


def test_float_and_minus_one_labels_are_accepted(tmp_path: Path) -> None:
    example = Example(tmp_path)
    reference = example.run(max_iter=1)
    signs = np.where(example.labels == 1, 1.0, -1.0)
    example.tables[GUEST] = {"train_data": example.site.table(GUEST, example.guest, signs)}
    run = example.run(max_iter=1)
    np.testing.assert_allclose(
        weights_of(run, GUEST)[0], weights_of(reference, GUEST)[0], atol=1e-12
    )
    table = run[GUEST].output.data
    assert table is not None
    assert table.arrow().column("label").type == pa.float64()
