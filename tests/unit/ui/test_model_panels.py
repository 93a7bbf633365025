"""Models become panels, through the JSON form that the API answers."""

from __future__ import annotations

import math
from typing import Any

import pytest
from google.protobuf.message import Message

from fate_flow.models.proto.data_io_param_pb2 import DataIOParam, ImputerParam
from fate_flow.models.proto.feature_binning_param_pb2 import (
    FeatureBinningParam,
    FeatureBinningResult,
    IVParam,
)
from fate_flow.models.proto.feature_scale_param_pb2 import ColumnScaleParam, ScaleParam
from fate_flow.models.proto.feature_selection_param_pb2 import (
    FeatureSelectionFilterParam,
    FeatureSelectionParam,
    FeatureValue,
    HostColNames,
    LeftCols,
)
from fate_flow.models.proto.lr_model_meta_pb2 import LRModelMeta
from fate_flow.models.proto.lr_model_param_pb2 import LRModelParam, OneVsRestResult, SingleModel
from fate_flow.models.proto.one_hot_encoder_param_pb2 import ColsMap, OneHotParam
from fate_flow.models.registry import to_json
from fate_flow.ui.model_panels import model_panels


def _panels(param: Message, meta: Message | None = None) -> list[dict[str, Any]]:
    return model_panels(to_json(param), to_json(meta) if meta else {}, "guest 9999")


def test_coefficients_largest_first() -> None:
    param = LRModelParam(
        weight={"x0": 0.1, "x1": -0.5, "x2": 0.0},
        header=["x0", "x1", "x2"],
        intercept=0.25,
        iters=7,
        is_converged=True,
        best_iteration=-1,
    )
    (panel,) = _panels(param, LRModelMeta(fit_intercept=True))
    (model,) = panel["models"]
    assert panel["title"] == "Coefficients of guest 9999"
    assert model["rows"] == [["x1", -0.5], ["x0", 0.1], ["x2", 0.0]]
    assert (model["intercept"], model["iterations"], model["converged"]) == (0.25, 7, True)
    assert model["best_iteration"] is None


def test_a_host_has_no_intercept_and_coefficients_may_be_no_numbers() -> None:
    param = LRModelParam(weight={"x0": math.nan}, header=["x0"], best_iteration=3)
    (panel,) = _panels(param, LRModelMeta(fit_intercept=False))
    (model,) = panel["models"]
    assert model["intercept"] is None
    assert model["rows"] == [["x0", None]]
    assert model["best_iteration"] == 3


def test_the_loss_history_is_a_curve() -> None:
    _, panel = _panels(LRModelParam(loss_history=[0.7, math.inf, 0.5], best_iteration=-1))
    assert panel["series"][0]["points"] == [[0, 0.7], [2, 0.5]]


def test_one_model_per_class() -> None:
    result = OneVsRestResult(
        completed_models=[SingleModel(weight={"x": 1.0}), SingleModel(weight={"x": 2.0})],
        one_vs_rest_classes=["0", "1"],
    )
    (panel,) = _panels(LRModelParam(need_one_vs_rest=True, one_vs_rest_result=result))
    assert [one["name"] for one in panel["models"]] == ["class 0", "class 1"]
    assert panel["models"][1]["rows"] == [["x", 2.0]]


def _iv(total: float, *, splits: bool = True) -> IVParam:
    return IVParam(
        woe_array=[0.5, -0.5, 0.1],
        iv_array=[0.1, 0.2, 0.3],
        event_count_array=[3, 2, 1],
        non_event_count_array=[1, 2, 3],
        event_rate_array=[0.5, 0.3, 0.2],
        non_event_rate_array=[0.2, 0.3, 0.5],
        split_points=[-1.0, 2.5, 9.0] if splits else [],
        iv=total,
        is_woe_monotonic=False,
        bin_nums=3,
    )


def test_bins_of_own_and_host_features() -> None:
    param = FeatureBinningParam(
        binning_result=FeatureBinningResult(
            binning_result={"low": _iv(0.1), "high": _iv(0.9)}, role="guest", party_id="9999"
        ),
        host_results=[
            FeatureBinningResult(
                binning_result={f"host.{i}": _iv(0.5, splits=False) for i in (10, 2)},
                role="host",
                party_id="10000",
            )
        ],
        header=["low", "high"],
    )
    (panel,) = _panels(param)
    own, host = panel["parties"]
    assert (own["party"], host["party"]) == ("guest 9999", "host 10000")
    assert [one["name"] for one in own["features"]] == ["high", "low"], "by information value"
    assert [one["name"] for one in host["features"]] == ["host.2", "host.10"]
    bins = own["features"][0]["bins"]
    assert [one[0] for one in bins] == ["≤ -1", "(-1, 2.5]", "> 2.5"]
    assert bins[0] == ["≤ -1", 3.0, 1.0, 0.5, 0.2, 0.5, 0.1]
    assert [one[0] for one in host["features"][0]["bins"]] == ["bin 0", "bin 1", "bin 2"]


def test_bins_without_labels_have_limits_only() -> None:
    result = FeatureBinningResult(binning_result={"x": IVParam(split_points=[1.0, 2.0])})
    (panel,) = _panels(FeatureBinningParam(binning_result=result, header=["x"]))
    (party,) = panel["parties"]
    assert party["has_iv"] is False
    assert party["features"][0]["bins"] == [["≤ 1", *[None] * 6], ["> 1", *[None] * 6]]


def test_a_single_bin() -> None:
    result = FeatureBinningResult(binning_result={"x": IVParam(split_points=[1.0])})
    (panel,) = _panels(FeatureBinningParam(binning_result=result, header=["x"]))
    assert panel["parties"][0]["features"][0]["bins"][0][0] == "all values"


def test_selection_by_filter() -> None:
    def left(*names: str) -> dict[str, bool]:
        return dict.fromkeys(names, True)

    param = FeatureSelectionParam(
        results=[
            FeatureSelectionFilterParam(
                filter_name="UNIQUE_VALUE",
                feature_values={"a": 1.0, "b": 0.0},
                left_cols=LeftCols(original_cols=["a", "b"], left_cols=left("a")),
            ),
            FeatureSelectionFilterParam(
                filter_name="IV_VALUE_THRES",
                feature_values={"a": 0.7},
                left_cols=LeftCols(original_cols=["a"], left_cols=left("a")),
                host_feature_values=[FeatureValue(feature_values={"host.0": 0.9, "host.1": 0.01})],
                host_left_cols=[
                    LeftCols(original_cols=["host.0", "host.1"], left_cols=left("host.0"))
                ],
            ),
        ],
        final_left_cols=LeftCols(original_cols=["a", "b", "c"], left_cols=left("a", "c")),
        col_names=["a", "b"],
        host_col_names=[HostColNames(col_names=["host.0", "host.1"], party_id="10000")],
        header=["a", "b", "c"],
    )
    (panel,) = _panels(param)
    assert panel["filters"] == ["unique value", "iv value thres"]
    own, host = panel["parties"]
    assert [(row["name"], row["kept"]) for row in own["rows"]] == [
        ("a", True),
        ("b", False),
        ("c", True),
    ]
    assert own["rows"][1]["cells"] == [[0.0, False], None]
    assert own["rows"][2]["cells"] == [None, None]
    assert (host["party"], host["kept"]) == ("host 10000", 1)
    assert host["rows"][1]["cells"] == [None, [0.01, False]]


def test_small_views() -> None:
    scale = ScaleParam(
        col_scale_param={"b": ColumnScaleParam(mean=1.0, std=2.0)}, header=["a", "b"]
    )
    (panel,) = _panels(scale)
    assert panel["rows"] == [["b", 0.0, 0.0, 1.0, 2.0]]
    (panel,) = _panels(OneHotParam(col_map={"c": ColsMap(values=["1", "2"])}))
    assert panel["rows"] == [["c", 2, "1, 2"]]
    imputed = ImputerParam(missing_replace_value={"x": "0"}, missing_value_ratio={"x": 0.25})
    figures, missing = _panels(DataIOParam(header=["x"], sid_name="id", imputer_param=imputed))
    assert figures["items"][0]["value"] == 1
    assert missing["rows"] == [["x", 0.25, "0"]]


def test_unknown_models_are_shown_as_they_are() -> None:
    (panel,) = model_panels({"trees": []}, {}, "guest 9999")
    assert (panel["kind"], panel["value"]) == ("document", {"trees": []})
    assert model_panels({}, {}, "guest 9999") == []


@pytest.mark.parametrize(
    "message", [LRModelParam, FeatureBinningParam, FeatureSelectionParam, ScaleParam, OneHotParam]
)
def test_empty_models(message: type[Message]) -> None:
    assert all(panel["title"] for panel in _panels(message()))
