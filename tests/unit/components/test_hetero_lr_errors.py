"""Data, parameters and models that HeteroLR refuses, and what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fate_flow.components.hetero_lr.params import HeteroLogisticParam
from fate_flow.errors import DataError, FateFlowError, InvalidInputError, UnsupportedError
from tests.support.hetero_lr import ARBITER, GUEST, HOSTS, Site
from tests.unit.components.test_hetero_lr import Example

HOST = HOSTS[0]


@pytest.mark.parametrize(
    ("labels", "error", "text"),
    [
        (np.ones(48, dtype=int), DataError, r"guest 9999 have the label 1; .*both classes"),
        (np.arange(48) % 3 / 2, DataError, r"guest 9999 has 3 different labels and 0.5 is one"),
        (np.arange(48) % 2 + 1, DataError, r"labels of .*guest 9999 are 1 and 2.*label_type"),
        ([str(i % 2) for i in range(48)], DataError, r"guest 9999 are texts.*label_type"),
        (np.where(np.arange(48) < 2, np.nan, 1.0), DataError, "2 of 48 rows .* have no label"),
        (None, DataError, "has no label column"),
    ],
)
def test_labels(tmp_path: Path, labels: Any, error: type[FateFlowError], text: str) -> None:
    example = Example(tmp_path)
    example.tables[GUEST] = {"train_data": example.site.table(GUEST, example.guest, labels)}
    with pytest.raises(error, match=text):
        example.run()


@pytest.mark.parametrize("party", [GUEST, HOST])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_missing_and_infinite_values(tmp_path: Path, party: Any, value: float) -> None:
    example = Example(tmp_path)
    features = (example.guest if party == GUEST else example.hosts[0]).copy()
    features[5, 1] = value
    labels = example.labels if party == GUEST else None
    example.tables[party] = {"train_data": example.site.table(party, features, labels)}
    with pytest.raises(DataError, match=rf"1 of 48 rows of table train of {party}.*in x1.*DataIO"):
        example.run()


@pytest.mark.parametrize("party", [GUEST, HOST])
def test_no_features(tmp_path: Path, party: Any) -> None:
    example = Example(tmp_path)
    labels = example.labels if party == GUEST else None
    example.tables[party] = {"train_data": example.site.table(party, np.empty((48, 0)), labels)}
    with pytest.raises(DataError, match=f"{party} has no feature columns"):
        example.run()


def test_parties_with_other_rows(tmp_path: Path) -> None:
    example = Example(tmp_path)
    ids = [str(index + 1) for index in range(48)]
    example.tables[HOST] = {"train_data": example.site.table(HOST, example.hosts[0], None, ids)}
    with pytest.raises(DataError, match=r"48 rows of host 10000 are not those.*Intersection"):
        example.run()
    shorter = example.site.table(HOST, example.hosts[0][:40])
    example.tables[HOST] = {"train_data": shorter}
    with pytest.raises(DataError, match=r"40 rows of host 10000 are not those of the 48 rows"):
        example.run()


def test_prediction_of_other_rows_or_columns(tmp_path: Path) -> None:
    example = Example(tmp_path)
    site = example.site
    trained = example.run(max_iter=1)
    models = {party: trained[party].model() for party in (GUEST, HOST, ARBITER)}
    guest = {"eval_data": site.table(GUEST, example.guest[:9], name="new")}
    host = {"eval_data": site.table(HOST, example.hosts[0][:8], name="new")}
    with pytest.raises(
        DataError, match="host 10000 scored 8 rows whose ids are not those of the 9"
    ):
        site.run({GUEST: guest, HOST: host}, models)
    narrow = {"eval_data": site.table(HOST, example.hosts[0][:9, :1], name="new")}
    with pytest.raises(DataError, match=r"host 10000 lacks 1 columns of the model: x1"):
        site.run({GUEST: guest, HOST: narrow}, models)


def test_a_model_of_another_module(tmp_path: Path) -> None:
    example = Example(tmp_path)
    models = {party: {"DataIOMeta": b"", "DataIOParam": b""} for party in (GUEST, HOST, ARBITER)}
    tables = {party: {"eval_data": by["train_data"]} for party, by in example.tables.items()}
    wanted = r"not a HeteroLR model; it has \['DataIOMeta', 'DataIOParam'\]"
    with pytest.raises(DataError, match=wanted):
        example.site.run(tables, models)


def test_several_hosts_need_weight_diff(tmp_path: Path) -> None:
    example = Example(tmp_path, hosts=2)
    with pytest.raises(UnsupportedError, match=r"Multiple host situation.*weight_diff"):
        example.run(early_stop="diff")
    two = {"guest": [1], "host": [2, 3], "arbiter": [4]}
    (problem,) = HeteroLogisticParam.from_conf({"early_stop": "abs"}).check_roles(two)
    assert problem.path == "early_stop"
    assert "Multiple host situation" in problem.message
    assert not list(HeteroLogisticParam.from_conf({"early_stop": "weight_diff"}).check_roles(two))
    assert not list(HeteroLogisticParam().check_roles({**two, "host": [2]}))


def test_early_stopping_needs_validation_data_on_both_sides(tmp_path: Path) -> None:
    example = Example(tmp_path)
    with pytest.raises(DataError, match="validate data is needed"):
        example.run(validation_freqs=1, early_stopping_rounds=1)
    example.tables[GUEST]["eval_data"] = example.tables[GUEST]["train_data"]
    with pytest.raises(DataError, match="guest 9999 has eval_data for HeteroLR and host 10000"):
        example.run(max_iter=1)


def test_a_fit_that_diverges_says_so(tmp_path: Path) -> None:
    example = Example(tmp_path)
    with pytest.raises(DataError, match="grow without limit in iteration"):
        example.run(learning_rate=1e40, max_iter=20)


def test_an_empty_table(tmp_path: Path) -> None:
    site = Site(tmp_path)
    tables = {
        GUEST: {"train_data": site.table(GUEST, np.empty((0, 2)), np.empty(0, dtype=int))},
        HOST: {"train_data": site.table(HOST, np.empty((0, 2)))},
    }
    with pytest.raises(DataError, match="Count of data_instance is 0"):
        site.run(tables)


@pytest.mark.parametrize(
    ("conf", "path", "text"),
    [
        ({"optimizer": "newton"}, "optimizer", "nesterov_momentum_sgd, sqn"),
        ({"sqn_param": {"memory_M": 0}}, "sqn_param.memory_M", "1 <= value"),
        ({"cv_param": {"need_cv": True, "n_splits": 1}}, "cv_param.n_splits", "at least 2"),
        ({"stepwise_param": {"nvmin": 4, "nvmax": 3}}, "stepwise_param.nvmax", "less than nvmin"),
        ({"encrypt_param": {"key_length": 512}}, "encrypt_param.key_length", "found 512"),
        ({"encrypt_param": {"method": "IterativeAffine"}}, "encrypt_param.method", "Paillier"),
        ({"batch_size": 5}, "batch_size", "-1 (all rows)"),
        ({"batch_size": 0}, "batch_size", "10 <= value"),
        ({"max_iter": 0}, "max_iter", "1 <= value"),
        ({"penalty": "L3"}, "penalty", "L1, L2, NONE"),
        ({"early_stop": "loss"}, "early_stop", "diff, abs, weight_diff"),
        ({"metrics": ["rocc"]}, "metrics[0]", "did you mean 'roc'"),
        ({"early_stopping_rounds": 2}, "early_stopping_rounds", "validation_freqs"),
        ({"init_param": {"init_method": "magic"}}, "init_param.init_method", "random_uniform"),
    ],
)
def test_parameters(conf: dict[str, Any], path: str, text: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        HeteroLogisticParam.from_conf(conf)
    (problem,) = caught.value.problems
    assert problem.path == path
    assert text in str(problem)


def test_words_are_taken_in_any_case() -> None:
    param = HeteroLogisticParam.from_conf(
        {"penalty": "l1", "optimizer": "ADAM", "early_stop": "Weight_Diff", "batch_size": -1}
    )
    assert (param.penalty, param.optimizer, param.early_stop) == ("L1", "adam", "weight_diff")
    assert HeteroLogisticParam.from_conf({"penalty": "none"}).penalty_term.kind is None
    assert HeteroLogisticParam.from_conf({"penalty": None}).penalty_term.kind is None


def test_effective_defaults() -> None:
    conf = HeteroLogisticParam.defaults()
    assert conf["batch_size"] == 320
    assert conf["alpha"] == 0.01
    assert conf["init_param"]["init_method"] == "random_normal"
    assert conf["encrypt_param"] == {"method": "Paillier", "key_length": 2048}
    assert conf["cv_param"]["need_cv"] is False
    assert conf["multi_class"] == "ovr"


def test_validations_fall_where_the_frequency_says() -> None:
    every_second = HeteroLogisticParam.from_conf({"validation_freqs": 2})
    assert [every_second.is_validated_after(i) for i in range(4)] == [False, True, False, True]
    listed = HeteroLogisticParam.from_conf({"validation_freqs": [0, 3]})
    assert [listed.is_validated_after(i) for i in range(4)] == [True, False, False, True]
    assert not HeteroLogisticParam.from_conf({}).is_validated_after(0)
