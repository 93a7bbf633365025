"""Federated HeteroLR, all parties encrypted, against FATE 1.4's recorded runs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from fate_flow.components.hetero_lr.params import HeteroLogisticParam
from fate_flow.ml.metrics_binary import BinaryScores
from fate_flow.models.proto.lr_model_meta_pb2 import LRModelMeta
from fate_flow.models.proto.lr_model_param_pb2 import LRModelParam
from tests.support.breast import golden_run, joined_breast
from tests.support.hetero_lr import ARBITER, GUEST, HOSTS, Site, losses_of
from tests.support.reference import reference_path

HOST = HOSTS[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lr_adam_-1_L2", "lr_sgd_-1_L1", "lr_sgd_-1_L2"])
def test_encrypted_fit_reaches_the_recorded_weights_losses_and_auc(
    tmp_path: Path, name: str
) -> None:
    golden, data, site = golden_run(name), joined_breast(), Site(tmp_path)
    tables = {
        GUEST: {"train_data": site.table(GUEST, data.guest, data.labels, data.ids)},
        HOST: {"train_data": site.table(HOST, data.host, None, data.ids)},
    }
    run = site.run(tables, **golden["conf"])
    for party, role in ((GUEST, "guest"), (HOST, "host")):
        got = LRModelParam.FromString(run[party].model()["HeteroLogisticRegressionParam"])
        wanted = golden[role]
        assert list(got.header) == wanted["header"]
        for column in got.header:
            assert got.weight[column] == pytest.approx(wanted["weight"][column], abs=1e-6)
        assert got.intercept == pytest.approx(wanted["intercept"], abs=1e-6)
        assert (got.iters, got.is_converged, got.best_iteration) == (5, False, -1)
    wanted_losses = [value for _, value in golden["loss"]["train"]["loss"]["data"]]
    np.testing.assert_allclose(losses_of(run), wanted_losses, atol=1e-6)
    assert run[ARBITER].tracker.metas["train", "loss"] == golden["loss"]["train"]["loss"]["meta"]
    output = run[GUEST].output.data
    assert output is not None
    rows = output.arrow()
    scores = BinaryScores(
        rows.column("label").to_numpy() == 1, rows.column("predict_score").to_numpy()
    )
    summary = dict(golden["evaluation"]["data"])
    assert round(scores.auc(), 6) == summary["auc"]
    assert round(scores.ks().value, 6) == summary["ks"]


@pytest.mark.parametrize("role", ["guest", "host", "arbiter"])
def test_recorded_model_parts_are_read_to_the_last_field(role: str) -> None:
    folder = reference_path("golden-1.4", "hetero_logistic_regression.lr")
    parts = folder / "model" / f"cache_{role}_10000" / "variables/data/hetero_lr_0/hetero_lr"
    answer = json.loads(
        (folder / "components/hetero_lr_0" / f"{role}_10000" / "output_model.json").read_text()
    )
    raw = (parts / "HeteroLogisticRegressionMeta").read_bytes()
    meta = LRModelMeta.FromString(raw)
    assert meta.SerializeToString() == raw
    assert meta.fit_intercept is answer["meta"]["meta_data"]["fitIntercept"]
    assert meta.optimizer == answer["meta"]["meta_data"]["optimizer"]
    param = LRModelParam.FromString((parts / "HeteroLogisticRegressionParam").read_bytes())
    assert list(param.header) == answer["data"]["header"]
    assert dict(param.weight) == answer["data"]["weight"]
    assert param.intercept == answer["data"]["intercept"]
    assert param.best_iteration == answer["data"]["bestIteration"]


def test_parameters_of_a_recorded_job_are_shown_as_recorded() -> None:
    folder = reference_path("golden-1.4", "hetero_logistic_regression.lr")
    shown = json.loads((folder / "components/hetero_lr_0/guest_10000/parameters.json").read_text())[
        "data"
    ]["HeteroLogisticParam"]
    assert set(shown) == set(HeteroLogisticParam.defaults())
    assert HeteroLogisticParam.from_conf(shown).to_conf() == shown
