"""Metrics become panels: by type, over data sets, over iterations, and whatever is unknown."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fate_flow.ml.evaluation import binary_report, multi_report
from fate_flow.tracking.metrics import MetricData
from fate_flow.ui.metric_panels import metric_panels

BINARY = ("auc", "ks", "lift", "gain", "accuracy", "precision", "recall", "roc")


def _metric(kind: str, points: Any = (), **meta: Any) -> MetricData:
    return MetricData([list(point) for point in points], {"metric_type": kind, **meta})


def _reported(data_set: str, seed: int = 0, metrics: tuple[str, ...] = BINARY) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    positive = rng.random(200) < 0.4
    score = np.clip(0.35 * positive + rng.random(200) * 0.65, 0, 1)
    series = binary_report(data_set, positive, score, metrics)
    found: dict[str, MetricData] = {}
    for one in series:
        data = found.setdefault(one.name, MetricData())
        data.points.extend([list(point) for point in one.points])
        data.meta.update(one.meta)
    return found


def _by_title(panels: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    found = {panel["title"]: panel for panel in panels}
    assert len(found) == len(panels), "two panels with one title"
    return found


def test_no_metrics_no_panels() -> None:
    assert metric_panels({}) == []
    assert metric_panels({"train": {}}) == []


def test_loss_is_a_curve_over_iterations() -> None:
    loss = _metric("LOSS", [(0, 0.69), (1, 0.5)], name="train", unit_name="iters")
    (panel,) = metric_panels({"train": {"loss": loss}})
    assert (panel["kind"], panel["title"], panel["x"]["label"]) == ("lines", "Loss", "iteration")
    assert panel["series"][0]["points"] == [[0, 0.69], [1, 0.5]]


def test_losses_of_folds_share_a_chart() -> None:
    losses = {f"loss.{fold}": _metric("LOSS", [(0, 1.0 / (fold + 1))]) for fold in range(3)}
    (panel,) = metric_panels({"train": losses})
    assert [one["name"] for one in panel["series"]] == ["fold 0", "fold 1", "fold 2"]
    assert len({one["color"] for one in panel["series"]}) == 3


def test_the_arbiters_loss_is_shown_where_there_is_none() -> None:
    theirs = {"train": {"loss": _metric("LOSS", [(0, 0.6)]), "other": _metric("UNION")}}
    (panel,) = metric_panels({}, {"arbiter 10000": theirs})
    assert panel["title"] == "Loss, at arbiter 10000"
    own = {"train": {"loss": _metric("LOSS", [(0, 0.7)])}}
    (panel,) = metric_panels(own, {"arbiter 10000": theirs})
    assert panel["title"] == "Loss"


def test_evaluation_of_one_data_set() -> None:
    panels = _by_title(metric_panels({"train": _reported("hetero_lr_0")}))
    figures = panels["Evaluation on train"]["items"]
    assert [one["label"] for one in figures] == ["AUC", "KS"]
    assert 0.5 < figures[0]["value"] < 1
    assert list(panels)[1:] == [
        "ROC",
        "KS",
        "Precision and recall",
        "Lift",
        "Gain",
        "Accuracy",
    ]
    for title in ("ROC", "Lift", "Gain", "Accuracy"):
        (curve,) = panels[title]["series"]
        assert curve["name"] == "train"
        assert len(curve["thresholds"]) == len(curve["points"]) > 10
    assert panels["ROC"]["series"][0]["points"][-1] == [1.0, 1.0]


def test_the_mark_of_the_ks_chart_is_the_ks_value() -> None:
    panels = _by_title(metric_panels({"train": _reported("hetero_lr_0")}))
    value = panels["Evaluation on train"]["items"][1]["value"]
    (mark,) = panels["KS"]["marks"]
    assert mark["high"] - mark["low"] == pytest.approx(value, abs=1e-6)
    assert mark["label"] == f"KS {value:.4f}"
    tpr, fpr = panels["KS"]["series"]
    assert (tpr["name"], fpr["name"]) == ("train TPR", "train FPR")
    assert fpr["dashed"]
    assert tpr["color"] == fpr["color"]


def test_precision_and_recall_are_joined_by_cut() -> None:
    metrics = {
        "train": {
            "a_precision": _metric(
                "PRECISION_BINARY_EVALUATION",
                [(0.0, 1.0), (0.5, 0.8), (0.6, 0.9), (1.0, 0.5)],
                thresholds=[0.9, 0.5, 0.4, 0.0],
            ),
            "a_recall": _metric(
                "RECALL_BINARY_EVALUATION", [(0.0, 0.1), (0.5, 0.6), (0.6, 0.6), (0.7, 1.0)]
            ),
        }
    }
    (panel,) = metric_panels(metrics)
    (curve,) = panel["series"]
    assert curve["points"] == [[0.1, 1.0], [0.6, 0.9]], "of equal recalls the best precision"
    assert curve["thresholds"] == [0.9, 0.4]


def test_several_data_sets_keep_their_colour_in_every_chart() -> None:
    metrics = {
        "train": {**_reported("hetero_lr_0"), **_reported("hetero_lr_1", 1)},
        "validate": _reported("hetero_lr_0", 2),
    }
    panels = _by_title(metric_panels(metrics))
    table = panels["Evaluation"]
    names = [row[0] for row in table["rows"]]
    assert names == ["hetero_lr_0 · train", "hetero_lr_1 · train", "hetero_lr_0 · validate"]
    expected = dict(zip(names, range(3), strict=True))
    for title in ("ROC", "Lift", "Gain", "Accuracy", "Precision and recall"):
        assert {one["name"]: one["color"] for one in panels[title]["series"]} == expected


def test_validation_while_training_becomes_a_history() -> None:
    train: dict[str, Any] = {}
    for iteration in range(12):
        train.update(_reported(f"iteration_{iteration}", iteration, ("auc", "ks")))
    validate = _reported("iteration_11", 99, ("auc", "ks"))
    panels = _by_title(metric_panels({"train": train, "validate": validate}))
    assert [len(one["points"]) for one in panels["AUC by iteration"]["series"]] == [12, 1]
    assert [one["name"] for one in panels["AUC by iteration"]["series"]] == ["train", "validate"]
    xs = [x for x, _ in panels["KS by iteration"]["series"][0]["points"]]
    assert xs == list(range(12)), "by number, not by text"
    assert panels["KS"]["note"] == "after the last of 12 iterations"
    assert len(panels["KS"]["series"]) == 4
    assert [row[0] for row in panels["Evaluation"]["rows"]] == [
        "train, iteration 11",
        "validate, iteration 11",
    ]


def test_very_many_data_sets_are_cut() -> None:
    metrics = {"train": {f"m{i}_roc": _metric("ROC_EVALUATION", [(0, 0)]) for i in range(40)}}
    (panel,) = metric_panels(metrics)
    assert len(panel["series"]) == 12
    assert panel["note"] == "the last 12 of 40 data sets"


def test_classes() -> None:
    truth = np.array(["a", "b", "c"] * 20)
    series = multi_report("m", truth, np.roll(truth, 1), ("accuracy", "precision", "recall"))
    found: dict[str, MetricData] = {}
    for one in series:
        data = found.setdefault(one.name, MetricData())
        data.points.extend([list(point) for point in one.points])
        data.meta.update(one.meta)
    panels = _by_title(metric_panels({"train": found}))
    chart = panels["Precision and recall by class"]
    assert chart["categories"] == ["a", "b", "c"]
    assert [one["name"] for one in chart["series"]] == ["train precision", "train recall"]
    assert {one["label"] for one in panels["Evaluation on train"]["items"]} == {
        "accuracy",
        "precision",
        "recall",
    }


def test_counts() -> None:
    metrics = {
        "train": {
            "intersection": _metric(
                "INTERSECTION", [("intersect_count", 494), ("intersect_rate", 0.9446)]
            ),
            "scale": _metric("SCALE", method="standard_scale"),
            "union": _metric("UNION", [("a_0", 3), ("Total", 3)]),
        },
        "upload": {"data_access": _metric("UPLOAD", [("count", 569)])},
    }
    panels = _by_title(metric_panels(metrics))
    assert [one["value"] for one in panels["Intersection"]["items"]] == [494, 0.9446]
    assert panels["Upload"]["items"][0]["value"] == 569
    assert panels["Scaling"]["items"][0]["value"] == "standard_scale"
    assert panels["Union"]["rows"] == [["a_0", 3], ["Total", 3]]


def test_stratified_samples_are_joined_by_label() -> None:
    metrics = {
        "original_count": {"stratified": _metric("SAMPLE_TABLE", [(0, 10), (1, 4)])},
        "sample_count": {"stratified": _metric("SAMPLE_TABLE", [(1, 2)])},
    }
    (panel,) = metric_panels(metrics)
    assert panel["rows"] == [["0", 10, None], ["1", 4, 2]]


def test_unknown_types_are_shown_all_the_same() -> None:
    metrics = {
        "train": {
            "curve": _metric("NEW_CURVE", [(0, 1.5), (1, 2.5)]),
            "words": _metric("NEW_TABLE", [("a", 1), ("b", "x")]),
            "step": _metric("STEPWISE", all_features=["x0"]),
        }
    }
    panels = _by_title(metric_panels(metrics))
    assert panels["train / curve"]["kind"] == "lines"
    assert panels["train / words"]["rows"] == [["a", 1], ["b", "x"]]
    assert panels["train / step"]["value"]["all_features"] == ["x0"]


_KINDS = [
    *("LOSS", "ROC_EVALUATION", "KS_EVALUATION", "LIFT_EVALUATION", "EVALUATION_SUMMARY"),
    *("PRECISION_BINARY_EVALUATION", "RECALL_BINARY_EVALUATION", "INTERSECTION", "UPLOAD"),
    *("PRECISION_MULTI_EVALUATION", "RECALL_MULTI_EVALUATION", "UNION", "SAMPLE_TABLE", "", "X"),
]
_SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()


@given(
    st.dictionaries(
        st.sampled_from(["train", "validate", "sample_count"]),
        st.dictionaries(
            st.sampled_from(["loss", "loss.1", "a", "a_roc", "a_ks_tpr", "a_ks_fpr", "a_precision"])
            | st.sampled_from(["a_recall", "iteration_3", "iteration_10_ks_tpr", "_roc"]),
            st.builds(
                lambda kind, points, limits: _metric(kind, points, thresholds=limits),
                st.sampled_from(_KINDS),
                st.lists(st.tuples(st.integers() | st.text(), _SCALARS), max_size=4),
                st.none() | st.lists(st.floats(allow_nan=False), max_size=4),
            ),
            max_size=6,
        ),
    )
)
def test_no_metric_breaks_the_page(metrics: dict[str, dict[str, MetricData]]) -> None:
    for panel in metric_panels(metrics):
        assert panel["title"]
        for one in panel.get("series", []):
            points = one.get("points", [])
            assert all(isinstance(x, (int, float)) and not isinstance(x, bool) for x, _ in points)
            assert len(one.get("thresholds", [])) in (0, len(points))
