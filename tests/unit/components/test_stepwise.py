"""Stepwise selection against a search in the clear."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fate_flow.errors import DataError, UnsupportedError
from fate_flow.models.proto.lr_model_param_pb2 import LRModelParam
from tests.support.hetero_lr import ARBITER, GUEST, HOSTS, details_of, weights_of
from tests.support.parties import Run
from tests.support.plain_lr import PlainFit, fit_plain
from tests.unit.components.test_hetero_lr import ROWS, TOLERANCE, Example

pytestmark = pytest.mark.slow

HOST = HOSTS[0]
PARAM = "HeteroLogisticRegressionParam"
SETTINGS: dict[str, Any] = {"learning_rate": 2.0, "max_iter": 2, "penalty": None, "decay": 0.0}
Mask = tuple[int, ...]


class PlainSearch:
    """All candidates fitted in the clear; host columns first in a mask."""

    def __init__(self, example: Example, charge: float, intercept: bool = True) -> None:
        self.example, self.charge, self.intercept = example, charge, intercept
        self.fits: dict[Mask, PlainFit] = {}

    def fit(self, mask: Mask) -> PlainFit:
        if mask not in self.fits:
            host = self.example.hosts[0][:, np.flatnonzero(mask[:2])]
            guest = self.example.guest[:, np.flatnonzero(mask[2:])]
            start = [np.zeros(host.shape[1]), np.zeros(guest.shape[1] + self.intercept)]
            self.fits[mask] = fit_plain(
                [host, guest],
                self.example.labels,
                start,
                fit_intercept=self.intercept,
                **SETTINGS,
            )
        return self.fits[mask]

    def loss(self, mask: Mask) -> float:
        if any(mask):
            return self.fit(mask).losses[-1]
        mean = np.where(self.example.labels == 1, 1, -1).mean()
        return math.log(2) - mean**2 / 2 if self.intercept else math.log(2)

    def score(self, mask: Mask) -> float:
        return self.charge * (sum(mask) + self.intercept) + 2 * ROWS * self.loss(mask)

    def walk(self, drop: bool, add: bool, start: int, nvmin: int = 2, nvmax: int = 9) -> list[Mask]:
        """The best mask of each step."""
        path: list[Mask] = [(start,) * 5]
        while True:
            best = path[-1]
            near = [best]
            for old, allowed in ((1, drop and sum(best) > nvmin), (0, add and sum(best) < nvmax)):
                for i in range(5):
                    if allowed and best[i] == old:
                        near.append((*best[:i], 1 - old, *best[i + 1 :]))
            path.append(min(near, key=self.score))
            count, before = sum(path[-1]), sum(best)
            if path[-1] == best or count == 5 or count == nvmin < before or before < nvmax == count:
                return path


def search(example: Example, **stepwise: Any) -> Run:
    init = stepwise.pop("init_param", {"init_method": "zeros"})
    return example.run(
        **SETTINGS, init_param=init, stepwise_param={"need_stepwise": True, **stepwise}
    )


def masks(run: Run, party: Any) -> list[Mask]:
    metas = run[party].tracker.metas
    steps = [metas["train", f"stepwise_{step}"] for step in range(len(metas))]
    return [(*meta["host_mask"], *meta["guest_mask"]) for meta in steps]


@pytest.mark.parametrize("name", ["AIC", "BIC"])
@pytest.mark.parametrize(
    ("direction", "drop", "add", "start"),
    [("backward", True, False, 1), ("forward", False, True, 0), ("both", True, True, 1)],
)
def test_every_step_chooses_what_a_search_in_the_clear_chooses(
    tmp_path: Path, name: str, direction: str, drop: bool, add: bool, start: int
) -> None:
    example = Example(tmp_path)
    plain = PlainSearch(example, 2 if name == "AIC" else math.log(ROWS))
    path = plain.walk(drop, add, start)
    run = search(example, score_name=name, direction=direction)
    assert len(path) > 2
    for party in (GUEST, HOST, ARBITER):
        assert masks(run, party) == path
    for step, mask in enumerate(path):
        meta = run[ARBITER].tracker.metas["train", f"stepwise_{step}"]
        assert meta["loss"] == pytest.approx(plain.loss(mask), abs=TOLERANCE)
        assert meta["current_ic_val"] == pytest.approx(plain.score(mask), abs=TOLERANCE * 100)
    best = plain.fit(path[-1])
    for party, wanted in ((HOST, best.weights[0]), (GUEST, best.weights[1])):
        got, _ = weights_of(run, party)
        np.testing.assert_allclose(got, wanted, rtol=0, atol=TOLERANCE)


def test_meta_of_all_roles(tmp_path: Path) -> None:
    run = search(Example(tmp_path), direction="backward", max_step=1)
    shared = {
        "name": "stepwise_1",
        "metric_type": "STEPWISE",
        "score_name": "AIC",
        "direction": "backward",
        "n_count": ROWS,
        "host_features_anonym": ["host_10000_0", "host_10000_1"],
        "guest_features_anonym": ["guest_9999_0", "guest_9999_1", "guest_9999_2"],
    }
    for party, header in ((GUEST, ["x0", "x1", "x2"]), (HOST, ["x0", "x1"]), (ARBITER, None)):
        assert run[party].tracker.points["train", "stepwise_1"] == [("stepwise_1", 1)]
        meta = dict(run[party].tracker.metas["train", "stepwise_1"])
        assert meta.items() >= shared.items()
        assert meta["number_in"] == sum(meta["host_mask"]) + sum(meta["guest_mask"])
        assert (meta["loss"] is None) == (party == HOST)
        assert meta["fit_intercept"] is (party != HOST)
        assert ("all_features" in meta) == (header is not None)
        if header is not None:
            mask = meta["host_mask" if party == HOST else "guest_mask"]
            entered = [name for name, is_in in zip(header, mask, strict=True) if is_in]
            assert meta["all_features"] == header
            assert meta["to_enter"] == meta["header"] == list(meta["weight"]) == entered
    assert ("train", "loss") not in run[ARBITER].tracker.points


def test_predictions_use_the_chosen_columns_only_and_are_made_again_by_the_model(
    tmp_path: Path,
) -> None:
    example = Example(tmp_path)
    run = search(example, direction="forward", max_step=1)
    assert sum(masks(run, GUEST)[-1]) == 1
    table = run[GUEST].output.data
    assert table is not None
    rows = table.arrow()
    assert rows.column("type").to_pylist() == ["train"] * ROWS
    own, intercept = weights_of(run, GUEST)
    host, _ = weights_of(run, HOST)
    columns = {
        party: list(LRModelParam.FromString(run[party].model()[PARAM]).header)
        for party in (GUEST, HOST)
    }
    assert sorted(map(len, columns.values())) == [0, 1]
    x, z = (
        block[:, [int(name[1:]) for name in columns[party]]]
        for party, block in ((GUEST, example.guest), (HOST, example.hosts[0]))
    )
    u = x @ own + z @ host + intercept
    scores = rows.column("predict_score").to_numpy()
    np.testing.assert_allclose(scores, 1 / (1 + np.exp(-u)), rtol=1e-12)
    models = {party: run[party].model() for party in (GUEST, HOST, ARBITER)}
    tables = {party: {"eval_data": by["train_data"]} for party, by in example.tables.items()}
    again = example.site.run(tables, models, stepwise_param={"need_stepwise": True})
    table = again[GUEST].output.data
    assert table is not None
    np.testing.assert_array_equal(table.arrow().column("predict_score").to_numpy(), scores)


def test_noise_is_left_with_the_intercept_alone(tmp_path: Path) -> None:
    example = Example(tmp_path)
    labels = (np.arange(ROWS) % 4 == 0).astype(int)
    example.labels = labels
    example.tables[GUEST] = {"train_data": example.site.table(GUEST, example.guest, labels)}
    run = search(example, direction="forward", score_name="BIC")
    assert masks(run, GUEST) == [(0,) * 5] * 2
    meta = run[GUEST].tracker.metas["train", "stepwise_0"]
    assert (meta["intercept"], meta["weight"], meta["header"]) == (-1.0, {}, [])
    table = run[GUEST].output.data
    assert table is not None
    expected = 1 / (1 + math.exp(1))
    assert {round(detail["1"], 12) for detail in details_of(table)} == {round(expected, 12)}
    models = {party: run[party].model() for party in (GUEST, HOST, ARBITER)}
    tables = {party: {"eval_data": by["train_data"]} for party, by in example.tables.items()}
    assert example.site.run(tables, models)[GUEST].output.data is not None


def test_without_an_intercept(tmp_path: Path) -> None:
    example = Example(tmp_path)
    plain = PlainSearch(example, 2, intercept=False)
    init = {"init_method": "zeros", "fit_intercept": False}
    run = search(example, direction="forward", init_param=init)
    assert masks(run, HOST) == plain.walk(False, True, 0)
    meta = run[ARBITER].tracker.metas["train", "stepwise_0"]
    assert meta["current_ic_val"] == pytest.approx(2 * ROWS * math.log(2))
    assert meta["fit_intercept"] is False


@pytest.mark.parametrize(
    ("stepwise", "drop", "add", "start"),
    [
        ({"direction": "forward", "nvmax": 2}, False, True, 0),
        ({"direction": "backward", "nvmin": 4}, True, False, 1),
        ({"direction": "both", "nvmin": 5}, True, True, 1),
    ],
)
def test_limits_of_the_number_of_columns(
    tmp_path: Path, stepwise: Any, drop: bool, add: bool, start: int
) -> None:
    example = Example(tmp_path)
    limits = {key: value for key, value in stepwise.items() if key.startswith("nv")}
    path = PlainSearch(example, 2).walk(drop, add, start, **limits)
    run = search(example, **stepwise)
    assert masks(run, ARBITER) == path


def test_steps_are_counted(tmp_path: Path) -> None:
    run = search(Example(tmp_path), direction="forward", max_step=1)
    assert len(masks(run, GUEST)) == 2


def test_flows_and_one_fit_per_mask(tmp_path: Path) -> None:
    run = search(Example(tmp_path), direction="both", max_step=2, score_name="BIC")
    path = masks(run, GUEST)
    flows = [r.tag for r in run.mailbox.records if r.variable == "batch_info"]
    fits = sorted(set(flows))
    assert fits[0] == "train.step0.model0"
    assert [f for f in fits if ".step1." in f] == [f"train.step1.model{m}" for m in range(5)]
    if path[1] != path[0]:
        # Of step 2's neighbours the full mask was fitted in step 0.
        assert len([f for f in fits if ".step2." in f]) == sum(path[1])
    said = [r for r in run.mailbox.records if r.variable == "step_best"]
    assert {(r.sender, r.receiver) for r in said} == {(ARBITER, GUEST), (ARBITER, HOST)}
    scores = [r for r in run.mailbox.records if r.variable == "step_score"]
    assert {r.receiver for r in scores} == {GUEST}


def test_validation_in_training_is_off(tmp_path: Path) -> None:
    example = Example(tmp_path)
    run = example.run(
        **SETTINGS,
        validation_freqs=1,
        stepwise_param={"need_stepwise": True, "max_step": 1, "direction": "backward"},
    )
    assert set(run[GUEST].tracker.points) == {("train", "stepwise_0"), ("train", "stepwise_1")}


def test_what_it_refuses(tmp_path: Path) -> None:
    two = Example(tmp_path / "two", hosts=2)
    with pytest.raises(UnsupportedError, match="works with one host, found 2"):
        two.run(early_stop="weight_diff", stepwise_param={"need_stepwise": True})
    example = Example(tmp_path)
    three = np.arange(ROWS) % 3
    tables = dict(example.tables)
    example.tables[GUEST] = {"train_data": example.site.table(GUEST, example.guest, three)}
    with pytest.raises(UnsupportedError, match="works with two classes, the labels have 3"):
        search(example)
    example.tables = tables
    example.tables[HOST] = {"train_data": example.site.table(HOST, example.hosts[0][:40])}
    with pytest.raises(DataError, match="guest 9999 has 48 rows and host 10000 has 40"):
        search(example)


def test_rows_to_validate_with_are_left_alone(tmp_path: Path) -> None:
    example = Example(tmp_path)
    for party, features, labels in (
        (GUEST, example.guest[:9], example.labels[:9]),
        (HOST, example.hosts[0][:9], None),
    ):
        example.tables[party]["eval_data"] = example.site.table(
            party, features, labels, [f"v{index}" for index in range(9)], "eval"
        )
    run = search(example, direction="backward", max_step=1)
    table = run[GUEST].output.data
    assert table is not None
    assert (table.namespace, table.name) == run[GUEST].context.output
    assert table.count == ROWS
    stored = [info.name for info in example.site.stores[GUEST].list(table.namespace)]
    assert stored == [table.name]
