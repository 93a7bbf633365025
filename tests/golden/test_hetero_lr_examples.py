"""HeteroLR with the parameters of FATE 1.4's example jobs, on their data, encrypted.

No numbers of the reference are recorded for these; each is compared with the same algorithm
in the clear, which gives the recorded numbers where there are some. Keys are short and
iterations few, so that it takes seconds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, roc_auc_score
from sklearn.model_selection import KFold

from fate_flow.models.proto.lr_model_param_pb2 import LRModelParam
from tests.support.breast import Joined, joined_breast, joined_vehicle
from tests.support.hetero_lr import ARBITER, GUEST, HOSTS, Site, losses_of
from tests.support.parties import Run
from tests.support.plain_lr import PlainFit, PlainSqn, fit_plain
from tests.support.reference import reference_path

pytestmark = pytest.mark.slow
HOST = HOSTS[0]
#: With sqn the step multiplies the gradient's rounding by the inverse curvature.
TOLERANCE = 1e-6
#: The first curvature pair comes with the sixth update.
ITERATIONS = 7


def parameters(job: str) -> dict[str, Any]:
    """What the job's conf says about HeteroLR."""
    folder = reference_path("examples-1.4", "dsl", "hetero_logistic_regression")
    conf = json.loads((folder / f"test_hetero_lr_{job}_job_conf.json").read_text())
    given: dict[str, Any] = conf["algorithm_parameters"]["hetero_lr_0"]
    return {**given, "max_iter": ITERATIONS}


def fitted(folder: Path, data: Joined, conf: Mapping[str, Any]) -> Run:
    site = Site(folder)
    tables = {
        GUEST: {"train_data": site.table(GUEST, data.guest, data.labels, data.ids)},
        HOST: {"train_data": site.table(HOST, data.host, None, data.ids)},
    }
    return site.run(tables, deadline=300, **conf)


def plain(data: Joined, conf: Mapping[str, Any], positive: Any = 1, rows: Any = None) -> PlainFit:
    rows = np.arange(len(data.ids)) if rows is None else rows
    names = ("optimizer", "penalty", "alpha", "learning_rate", "batch_size", "max_iter")
    settings = {name: conf[name] for name in names}
    settings["decay"] = conf.get("decay", 1)
    settings["tol"] = conf.get("tol", 1e-5)
    sqn = PlainSqn(3, 5, 5000) if conf["optimizer"] == "sqn" else None
    start = [np.zeros(data.host.shape[1]), np.zeros(data.guest.shape[1] + 1)]
    return fit_plain(
        [data.host[rows], data.guest[rows]],
        (data.labels[rows] == positive).astype(int),
        start,
        sqn=sqn,
        **settings,
    )


def compare(got: Any, party: Any, wanted: PlainFit) -> None:
    weights = [got.weight[name] for name in got.header]
    place = 0 if party == HOST else 1
    np.testing.assert_allclose(weights, wanted.weights[place], rtol=0, atol=TOLERANCE)
    assert got.intercept == pytest.approx(wanted.intercept if place else 0, abs=TOLERANCE)
    assert (got.iters, got.is_converged) == (wanted.iterations, wanted.converged)


def param_of(run: Run, party: Any) -> LRModelParam:
    return LRModelParam.FromString(run[party].model()["HeteroLogisticRegressionParam"])


def test_quasi_newton_on_the_breast_data(tmp_path: Path) -> None:
    data, conf = joined_breast(), parameters("sqn")
    run, wanted = fitted(tmp_path, data, conf), plain(data, conf)
    for party in (GUEST, HOST):
        compare(param_of(run, party), party, wanted)
    np.testing.assert_allclose(losses_of(run), wanted.losses, atol=TOLERANCE)


@pytest.mark.parametrize("job", ["one_vs_rest", "ovr_sqn"])
def test_four_classes_of_vehicles(tmp_path: Path, job: str) -> None:
    data, conf = joined_vehicle(), parameters(job)
    if job == "one_vs_rest":
        conf["max_iter"] = 3
    run = fitted(tmp_path, data, conf)
    fits = [plain(data, conf, label) for label in range(4)]
    for party in (GUEST, HOST):
        result = param_of(run, party).one_vs_rest_result
        assert list(result.one_vs_rest_classes) == ["0", "1", "2", "3"]
        for single, wanted in zip(result.completed_models, fits, strict=True):
            compare(single, party, wanted)
    table = run[GUEST].output.data
    assert table is not None
    scores = np.column_stack([fit.scores([data.host, data.guest]) for fit in fits])
    result_rows = table.arrow().column("predict_result").to_numpy()
    assert (result_rows == scores.argmax(1)).mean() > 0.998
    assert accuracy_score(data.labels, result_rows) > 0.4  # one class in four: 0.25


@pytest.mark.parametrize("job", ["cv", "cv_ovr"])
def test_folds(tmp_path: Path, job: str) -> None:
    several = job == "cv_ovr"
    data, conf = joined_vehicle() if several else joined_breast(), parameters(job)
    conf["max_iter"] = 2
    run = fitted(tmp_path, data, conf)
    blocks = [data.host, data.guest]
    folds = KFold(conf["cv_param"]["n_splits"]).split(data.ids)
    for fold, (train, test) in enumerate(folds):
        fits = [plain(data, conf, label, train) for label in (range(4) if several else [1])]
        scores = np.column_stack([fit.scores([b[test] for b in blocks]) for fit in fits])
        got = dict(run[GUEST].tracker.points["validate", f"validate_fold_{fold}"])
        if several:
            accuracy = accuracy_score(data.labels[test], scores.argmax(1))
            assert got["accuracy"] == pytest.approx(accuracy, abs=0.005)
        else:
            auc = roc_auc_score(data.labels[test], scores[:, 0])
            assert got["auc"] == pytest.approx(auc, abs=1e-6)
            losses = [v for _, v in run[ARBITER].tracker.points["train", f"loss.{fold}"]]
            np.testing.assert_allclose(losses, fits[0].losses, atol=TOLERANCE)
