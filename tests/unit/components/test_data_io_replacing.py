"""DataIO: missing values and outliers, and what stands in their place."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fate_flow.data.export import preview
from fate_flow.errors import DataError
from tests.support.data_io import Bench, model_of


class TestReplacing:
    def test_text_zero_without_a_method(self, bench: Bench) -> None:
        result = bench.run(
            "id,y,x,z\na,1,none,1\nb,0,3,4\n",
            missing_fill=True,
            default_value=7,
            outlier_replace=True,
        )
        assert preview(result.output.data)[1] == [["a", 1, 0.0, 1.0], ["b", 0, 3.0, 4.0]]  # type: ignore[arg-type]
        model = model_of(result)
        assert model["imputerParam"] == {
            "missingReplaceValue": {"x": "0", "z": "0"},
            "missingValueRatio": {"x": 0.5, "z": 0.0},
        }
        assert model["outlierParam"]["outlierReplaceValue"] == {"x": "0", "z": "0"}

    @pytest.mark.parametrize(
        ("method", "expected"), [("min", 1.0), ("max", 5.0), ("Mean", 2.666667)]
    )
    def test_statistics(self, bench: Bench, method: str, expected: float) -> None:
        text = "id,y,x\na,1,1\nb,1,2\nc,0,5\nd,0,na\n"
        rows = bench.rows(text, missing_fill=True, missing_fill_method=method)
        assert rows[3] == ["d", 0, expected]

    def test_designated(self, bench: Bench) -> None:
        text = "id,y,x,z\na,1,-999,\n"
        rows = bench.rows(
            text,
            missing_fill=True,
            missing_fill_method="designated",
            default_value=[0.5, 7],
            missing_impute=[-999, ""],
        )
        assert rows == [["a", 1, 0.5, 7.0]]

    def test_outliers(self, bench: Bench) -> None:
        text = "id,y,x\na,1,99\nb,1,2\nc,0,4\n"
        result = bench.run(
            text, outlier_replace=True, outlier_impute=["99"], outlier_replace_method="mean"
        )
        assert preview(result.output.data)[1][0] == ["a", 1, 3.0]  # type: ignore[arg-type]
        ratios = model_of(result)["outlierParam"]["outlierValueRatio"]
        assert ratios["x"] == pytest.approx(1 / 3)

    def test_filled_values_count_for_the_outliers(self, bench: Bench) -> None:
        # missing -> min of (2, 4, 99) = 2; outliers -> mean of (2, 4 and the filled 2)
        text = "id,y,x\na,1,99\nb,1,2\nc,0,4\nd,0,\n"
        rows = bench.rows(
            text,
            missing_fill=True,
            missing_fill_method="min",
            outlier_replace=True,
            outlier_impute=["99"],
            outlier_replace_method="mean",
        )
        assert [row[2] for row in rows] == [2.666667, 2.0, 4.0, 2.0]

    def test_a_filled_value_can_be_an_outlier(self, bench: Bench) -> None:
        rows = bench.rows(
            "id,y,x\na,1,\nb,1,3\n",
            missing_fill=True,
            outlier_replace=True,
            outlier_impute=["0"],
            outlier_replace_method="max",
        )
        assert [row[2] for row in rows] == [3.0, 3.0]

    @given(
        st.lists(st.sampled_from(["", "na", "99", "0", "1", "2.5", "-3"]), min_size=1, max_size=12),
        st.sampled_from([None, "min", "max", "mean", "designated"]),
        st.sampled_from([None, "min", "max", "mean", "designated"]),
        st.booleans(),
        st.booleans(),
    )
    @settings(
        suppress_health_check=[HealthCheck.function_scoped_fixture],
        deadline=None,
        max_examples=60,
    )
    def test_against_a_cell_by_cell_reference(
        self,
        bench: Bench,
        cells: list[str],
        fill_method: str | None,
        replace_method: str | None,
        fill: bool,
        replace: bool,
    ) -> None:
        missing, outliers = ["", "na"], ["99", "0", "na"]
        expected = cells
        try:
            if fill:
                expected = _replaced(expected, missing, fill_method, "7")
            if replace:
                expected = _replaced(expected, outliers, replace_method, "8")
        except ValueError:
            expected = []
        text = "id,x\n" + "".join(f"{i:02d},{cell}\n" for i, cell in enumerate(cells))
        arguments: dict[str, Any] = {
            "with_label": False,
            "data_type": "str",
            "missing_fill": fill,
            "missing_fill_method": fill_method,
            "default_value": 7,
            "missing_impute": missing,
            "outlier_replace": replace,
            "outlier_replace_method": replace_method,
            "outlier_replace_value": 8,
            "outlier_impute": outliers,
        }
        if expected:
            assert [row[1] for row in bench.rows(text, **arguments)] == expected
        else:
            with pytest.raises(DataError):
                bench.run(text, **arguments)

    def test_nothing_to_learn_from(self, bench: Bench) -> None:
        with pytest.raises(DataError, match="column 'x' has no usable value"):
            bench.run("id,y,x\na,1,\n", missing_fill=True, missing_fill_method="mean")


def _replaced(cells: list[str], texts: list[str], method: str | None, value: str) -> list[str]:
    """The definition: statistics over the cells that are not replaced."""
    if method in ("min", "max", "mean"):
        seen = [float(cell) for cell in cells if cell not in texts]
        if not seen:
            raise ValueError
        value = str(
            round(
                {"min": min(seen), "max": max(seen), "mean": math.fsum(seen) / len(seen)}[method], 6
            )
        )
    elif method is None:
        value = "0"
    return [value if cell in texts else cell for cell in cells]
