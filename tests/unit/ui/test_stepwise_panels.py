"""Steps of a stepwise selection become a table and what was chosen."""

from __future__ import annotations

from typing import Any

from fate_flow.tracking.metrics import MetricData
from fate_flow.ui.metric_panels import metric_panels


def _step(number: int, host: list[int], guest: list[int], score: float, **meta: Any) -> MetricData:
    own = ["a", "b"]
    found = {
        "metric_type": "STEPWISE",
        "host_mask": host,
        "guest_mask": guest,
        "host_features_anonym": ["host_1_0"],
        "guest_features_anonym": ["guest_2_0", "guest_2_1"],
        "score_name": "AIC",
        "direction": "backward",
        "number_in": sum(host) + sum(guest),
        "loss": score / 10,
        "current_ic_val": score,
        "all_features": own,
        "to_enter": [name for name, is_in in zip(own, guest, strict=True) if is_in],
    }
    return MetricData([[f"stepwise_{number}", number]], {**found, **meta})


def test_steps_are_a_table_in_their_order() -> None:
    steps = {
        "stepwise_10": _step(10, [0], [1, 0], 7.0),
        "stepwise_0": _step(0, [1], [1, 1], 9.0),
        "stepwise_1": _step(1, [0], [1, 1], 8.0),
        "stepwise_11": _step(11, [0], [1, 0], 7.0),
    }
    table, chosen = metric_panels({"train": steps})
    assert table["title"] == "Stepwise selection (backward)"
    assert [column["label"] for column in table["columns"]][-1] == "AIC"
    assert table["rows"] == [
        [0, 3, "start", 0.9, 9.0],
        [1, 2, "\N{MINUS SIGN} host_1_0", 0.8, 8.0],
        [10, 1, "\N{MINUS SIGN} guest_2_1", 0.7, 7.0],
        [11, 1, "none: the search ends", 0.7, 7.0],
    ]
    assert chosen["items"] == [
        {"label": "own columns chosen, 1 of 2", "value": "a", "kind": "text"}
    ]


def test_an_arbiter_has_no_columns_and_a_host_no_scores() -> None:
    step = _step(0, [1], [0, 0], 9.0, loss=None, current_ic_val=None)
    for key in ("all_features", "to_enter"):
        del step.meta[key]
    (table,) = metric_panels({"train": {"stepwise_0": step}})
    assert table["rows"] == [[0, 1, "start", None, None]]


def test_columns_that_enter() -> None:
    steps = {"stepwise_0": _step(0, [0], [0, 0], 9.0), "stepwise_1": _step(1, [0], [0, 1], 8.0)}
    table, chosen = metric_panels({"train": steps})
    assert table["rows"][1][2] == "+ guest_2_1"
    assert chosen["items"][0]["value"] == "b"
