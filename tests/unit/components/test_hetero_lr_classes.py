"""One-vs-rest of HeteroLR: one encrypted fit per class, against fits in the clear."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_iris

from fate_flow.data.export import preview, text_blocks
from fate_flow.errors import DataError
from fate_flow.models.proto.lr_model_meta_pb2 import LRModelMeta
from fate_flow.models.proto.lr_model_param_pb2 import LRModelParam
from tests.support.hetero_lr import ARBITER, GUEST, HOSTS, Site, details_of, losses_of
from tests.support.parties import Run
from tests.support.plain_lr import PlainSqn, fit_plain
from tests.unit.components.test_hetero_lr import TOLERANCE

HOST = HOSTS[0]
META, PARAM = "HeteroLogisticRegressionMeta", "HeteroLogisticRegressionParam"


class Iris:
    """Every third of iris's rows, two columns at each side, labels 3, 5 and 8."""

    def __init__(self, folder: Path) -> None:
        data = load_iris()
        features = (data.data[::3] - data.data.mean(0)) / data.data.std(0)
        self.guest, self.host = features[:, :2], features[:, 2:]
        self.classes = np.array([3, 5, 8])
        self.labels = self.classes[data.target[::3]]
        self.site = Site(folder)
        self.tables = {
            GUEST: {"train_data": self.site.table(GUEST, self.guest, self.labels)},
            HOST: {"train_data": self.site.table(HOST, self.host)},
        }

    def run(self, **parameters: Any) -> Run:
        conf = {"max_iter": 4, "learning_rate": 0.5, "batch_size": 30, "tol": 1e-9, **parameters}
        return self.site.run(
            self.tables, **{"init_param": {"init_method": "zeros"}, "optimizer": "adam", **conf}
        )

    def plain(self, **settings: Any) -> list[Any]:
        conf = {"max_iter": 4, "learning_rate": 0.5, "batch_size": 30, **settings}
        blocks, start = [self.host, self.guest], [np.zeros(2), np.zeros(3)]
        return [
            fit_plain(blocks, self.labels == label, start, **{"optimizer": "adam", **conf})
            for label in self.classes
        ]

    def models(self, run: Run) -> dict[Any, Any]:
        return {party: run[party].model() for party in (GUEST, HOST, ARBITER)}


def param_of(run: Run, party: Any) -> LRModelParam:
    return LRModelParam.FromString(run[party].model()[PARAM])


def compare(run: Run, plain: list[Any]) -> None:
    for party, place in ((HOST, 0), (GUEST, 1)):
        singles = param_of(run, party).one_vs_rest_result.completed_models
        for single, wanted in zip(singles, plain, strict=True):
            got = [single.weight[name] for name in single.header]
            np.testing.assert_allclose(got, wanted.weights[place], rtol=0, atol=TOLERANCE)
            assert single.iters == wanted.iterations
            if party == GUEST:
                assert single.intercept == pytest.approx(wanted.intercept, abs=TOLERANCE)


def test_every_class_gets_the_model_of_a_fit_in_the_clear(tmp_path: Path) -> None:
    iris = Iris(tmp_path)
    run, plain = iris.run(), iris.plain()
    compare(run, plain)
    table = run[GUEST].output.data
    assert table is not None
    rows = table.arrow()
    scores = np.column_stack([fit.scores([iris.host, iris.guest]) for fit in plain])
    best = scores.argmax(1)
    assert rows.column("predict_result").to_pylist() == iris.classes[best].tolist()
    assert rows.column("label").to_pylist() == iris.labels.tolist()
    np.testing.assert_allclose(
        rows.column("predict_score").to_numpy(), scores.max(1), rtol=0, atol=TOLERANCE
    )
    for detail, wanted in zip(details_of(table), scores, strict=True):
        assert list(detail) == ["3", "5", "8"]
        np.testing.assert_allclose(list(detail.values()), wanted, atol=TOLERANCE)
    (_, text), *_ = text_blocks(table, limit=1)
    assert "{3: 0." in text
    assert preview(table, 1)[1][0][4].keys() == {"3", "5", "8"}
    accuracy = (iris.classes[best] == iris.labels).mean()
    assert accuracy > 0.8


def test_quasi_newton_starts_anew_for_every_class(tmp_path: Path) -> None:
    iris = Iris(tmp_path)
    run = iris.run(optimizer="sqn", sqn_param={"update_interval_L": 2}, batch_size=-1)
    plain = []
    for label in iris.classes:
        plain.append(
            fit_plain(
                [iris.host, iris.guest],
                iris.labels == label,
                [np.zeros(2), np.zeros(3)],
                max_iter=4,
                learning_rate=0.5,
                sqn=PlainSqn(2),
            )
        )
    compare(run, plain)


def test_messages_flows_and_loss(tmp_path: Path) -> None:
    run = Iris(tmp_path).run(max_iter=1)
    records = run.mailbox.records
    told = [r for r in records if r.variable == "aggregate_classes"]
    assert {(r.receiver, r.tag) for r in told} == {(HOST, "fit"), (ARBITER, "fit")}
    keys = {(r.receiver, r.tag): r.data for r in records if r.variable == "paillier_pubkey"}
    assert {tag for _, tag in keys} == {f"fit_one_vs_rest_{i}" for i in range(3)}
    assert len(set(keys.values())) == 1
    scored = [r.tag for r in records if r.variable == "host_prob"]
    assert scored == [f"validate_one_vs_rest_{i}" for i in range(3)]
    assert losses_of(run) == []
    assert run[ARBITER].tracker.points == {}
    done = [share for share, _ in run[GUEST].tracker.progress_reports]
    np.testing.assert_allclose(done, [1 / 3, 2 / 3, 1])
    assert run[GUEST].tracker.progress_reports[1][1] == "class 2 of 3, iteration 1 of 1"


def test_model_messages_of_all_roles(tmp_path: Path) -> None:
    run = Iris(tmp_path).run(max_iter=1)
    for party in (GUEST, HOST, ARBITER):
        assert LRModelMeta.FromString(run[party].model()[META]).need_one_vs_rest
    guest, host = param_of(run, GUEST), param_of(run, HOST)
    assert param_of(run, ARBITER) == LRModelParam()
    for param, classes in ((guest, ["3", "5", "8"]), (host, ["0", "1", "2"])):
        assert param.need_one_vs_rest
        assert list(param.header) == ["x0", "x1"]
        assert (len(param.weight), param.best_iteration) == (0, -1)
        assert list(param.one_vs_rest_result.one_vs_rest_classes) == classes
        assert [m.best_iteration for m in param.one_vs_rest_result.completed_models] == [-1] * 3


def test_a_stored_model_gives_the_same_scores_to_the_last_bit(tmp_path: Path) -> None:
    iris = Iris(tmp_path)
    trained = iris.run()
    some = slice(11, 30)
    ids = [str(index) for index in range(11, 30)]
    site = iris.site
    fresh = {
        GUEST: {"eval_data": site.table(GUEST, iris.guest[some], ids=ids, name="new")},
        HOST: {"eval_data": site.table(HOST, iris.host[some], ids=ids, name="new")},
    }
    run = site.run(fresh, iris.models(trained))
    before, table = trained[GUEST].output.data, run[GUEST].output.data
    assert before is not None
    assert table is not None
    old, new = before.arrow().slice(11, 19), table.arrow()
    for column in ("predict_score", "predict_detail", "predict_result"):
        assert new.column(column).to_pylist() == old.column(column).to_pylist()
    assert new.column("type").to_pylist() == ["predict"] * 19
    for party in (GUEST, HOST, ARBITER):
        assert param_of(run, party) == param_of(trained, party)


def test_each_class_is_validated_and_stopped_by_itself(tmp_path: Path) -> None:
    iris = Iris(tmp_path)
    ids = [f"v{index}" for index in range(len(iris.labels))]
    for party, features, labels in ((GUEST, iris.guest, iris.labels), (HOST, iris.host, None)):
        iris.tables[party]["eval_data"] = iris.site.table(party, features, labels, ids, "eval")
    run = iris.run(
        max_iter=6, validation_freqs=1, early_stopping_rounds=1, use_first_metric_only=True
    )
    points = run[GUEST].tracker.points
    assert dict(points["validate", "one_vs_rest_0.iteration_0"])["auc"] > 0.9
    singles = param_of(run, GUEST).one_vs_rest_result.completed_models
    assert [m.iters for m in singles] == [
        m.iters for m in param_of(run, HOST).one_vs_rest_result.completed_models
    ]
    assert all(m.best_iteration == m.iters - 2 for m in singles)
    table = run[GUEST].output.data
    assert table is not None
    kinds = table.arrow().column("type").to_pylist()
    assert kinds.count("train") == kinds.count("validate") == len(iris.labels)


def test_damaged_models(tmp_path: Path) -> None:
    iris = Iris(tmp_path)
    models = iris.models(iris.run(max_iter=1))
    tables = {party: {"eval_data": by["train_data"]} for party, by in iris.tables.items()}
    message = LRModelParam.FromString(models[GUEST][PARAM])
    message.one_vs_rest_result.one_vs_rest_classes[1] = "x"
    models[GUEST][PARAM] = message.SerializeToString()
    with pytest.raises(DataError, match="damaged: 3 models for the classes 3, x, 8"):
        iris.site.run(tables, models)


def test_too_many_labels_are_no_classes(tmp_path: Path) -> None:
    site, rows = Site(tmp_path), 1001
    features = np.ones((rows, 1))
    tables = {
        GUEST: {"train_data": site.table(GUEST, features, np.arange(rows))},
        HOST: {"train_data": site.table(HOST, features)},
    }
    with pytest.raises(DataError, match="1001 different labels"):
        site.run(tables)
