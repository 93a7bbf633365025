"""DataIO: parameters, dense data, types, models, and errors that name the cell."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fate_flow.components.data_io.params import DataIOParam
from fate_flow.data.export import preview
from fate_flow.errors import DataError, FateFlowError, InvalidInputError
from fate_flow.runtime.context import TaskInputs
from tests.support.data_io import GUEST, Bench, model_of
from tests.support.parties import run_component


def test_effective_defaults() -> None:
    assert DataIOParam.defaults() == {
        "input_format": "dense",
        "delimitor": ",",
        "data_type": "float64",
        "exclusive_data_type": None,
        "tag_with_value": False,
        "tag_value_delimitor": ":",
        "missing_fill": False,
        "default_value": 0,
        "missing_fill_method": None,
        "missing_impute": None,
        "outlier_replace": False,
        "outlier_replace_method": None,
        "outlier_impute": None,
        "outlier_replace_value": 0,
        "with_label": True,
        "label_name": "y",
        "label_type": "int",
        "output_format": "dense",
    }


@pytest.mark.parametrize(
    ("conf", "path"),
    [
        ({"input_format": "csv"}, "input_format"),
        ({"data_type": "double"}, "data_type"),
        ({"missing_fill_method": "median"}, "missing_fill_method"),
        ({"delimitor": ""}, "delimitor"),
        ({"label_name": None}, "label_name"),
        ({"exclusive_data_type": {"x": "blob"}}, "exclusive_data_type.x"),
        (
            {"missing_fill": True, "missing_fill_method": "designated", "default_value": None},
            "default_value",
        ),
    ],
)
def test_bad_parameters(conf: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        DataIOParam.from_conf({**DataIOParam.defaults(), **conf})
    assert [problem.path for problem in caught.value.problems] == [path]


def test_words_in_any_case(bench: Bench) -> None:
    rows = bench.rows("id,y,x\na,1,2\n", input_format="DENSE", data_type="Float")
    assert rows == [["a", 1, 2.0]]


class TestDense:
    def test_label_anywhere(self, bench: Bench) -> None:
        result = bench.run("id,x0,target,x1\nb,1.5,0,2\na,3,1,-4e-1\n", label_name="target")
        table = result.output.data
        assert table is not None
        assert preview(table) == (
            ["id", "target", "x0", "x1"],
            [["a", 1, 3.0, -0.4], ["b", 0, 1.5, 2.0]],
        )
        assert table.schema.label_name == "target"
        assert not table.schema.sparse

    def test_without_label_the_column_is_a_feature(self, bench: Bench) -> None:
        result = bench.run("id,y,x\na,1,2\n", with_label=False)
        table = result.output.data
        assert table is not None
        assert preview(table) == (["id", "y", "x"], [["a", 1.0, 2.0]])
        assert model_of(result)["labelName"] == "y"

    def test_label_only(self, bench: Bench) -> None:
        assert bench.rows("id,y\na,1\nb,0\n") == [["a", 1], ["b", 0]]

    @pytest.mark.parametrize(
        ("label_type", "expected"),
        [("int", 1), ("float", 1.0), ("int64", 1), ("long", 1), ("str", "1")],
    )
    def test_label_types(self, bench: Bench, label_type: str, expected: object) -> None:
        (row,) = bench.rows("id,y,x\na,1,2\n", label_type=label_type)
        assert row[1] == expected
        assert type(row[1]) is type(expected)

    @pytest.mark.parametrize(
        ("data_type", "expected"), [("int", 2), ("long", 2), ("float", 2.0), ("str", "2")]
    )
    def test_data_types(self, bench: Bench, data_type: str, expected: object) -> None:
        (row,) = bench.rows("id,y,x\na,1,2\n", data_type=data_type)
        assert row[2] == expected
        assert type(row[2]) is type(expected)

    def test_exclusive_types(self, bench: Bench) -> None:
        rows = bench.rows(
            "id,y,x,n,s\na,1,2,3,k\n", exclusive_data_type={"n": "int", "s": "str", "q": "int"}
        )
        assert rows == [["a", 1, 2.0, 3, "k"]]

    @pytest.mark.parametrize("text", ["+1.5", " 1.5", "1.5 ", "15e-1", "1.50"])
    def test_numbers_as_python_reads_them(self, bench: Bench, text: str) -> None:
        assert bench.rows(f"id,y,x\na,1,{text}\n") == [["a", 1, 1.5]]

    @given(
        st.lists(
            st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2, max_size=2),
            min_size=1,
            max_size=30,
        )
    )
    @settings(
        suppress_health_check=[HealthCheck.function_scoped_fixture],
        deadline=None,
        max_examples=30,
    )
    def test_numbers_survive_exactly(self, bench: Bench, rows: list[list[float]]) -> None:
        text = "id,x0,x1\n" + "".join(
            f"{index:03d},{row[0]!r},{row[1]!r}\n" for index, row in enumerate(rows)
        )
        table = bench.run(text, with_label=False).output.data
        assert table is not None
        assert np.array_equal(table.features(), np.array(rows))

    def test_missing_texts_become_nan(self, bench: Bench) -> None:
        text = "id,y,a,b,c,d\n1,1,,NULL,null,NA\n"
        table = bench.run(text).output.data
        assert table is not None
        assert np.isnan(table.features()).all()

    def test_several_blocks(self, bench: Bench) -> None:
        text = "id,y,x\n" + "".join(f"{i},{i % 2},{i}\n" for i in range(150_000))
        result = bench.run(text, missing_fill=True, missing_fill_method="mean")
        table = result.output.data
        assert table is not None
        ids = np.array(table.ids().to_pylist(), dtype=np.float64)
        assert np.array_equal(table.features()[:, 0], ids)
        assert model_of(result)["imputerParam"]["missingReplaceValue"] == {"x": "74999.5"}
        assert result.tracker.progress_reports[-1][0] == 1.0

    def test_other_delimitor(self, bench: Bench) -> None:
        # A value that was uploaded as one item and is cut here: the header is cut alike.
        text = "id,y|x0|x1\na,1|2|3\n"
        assert bench.rows(text, delimitor="|") == [["a", 1, 2.0, 3.0]]
        assert bench.rows("id,y::x0\na,1::2\n", delimitor="::") == [["a", 1, 2.0]]

    def test_sparse_output_drops_tiny_numbers(self, bench: Bench) -> None:
        result = bench.run("id,y,x,z\na,1,9e-7,-2\n", output_format="sparse")
        table = result.output.data
        assert table is not None
        assert table.schema.sparse
        assert table.features().tolist() == [[0.0, -2.0]]


class TestTransform:
    def test_uses_what_was_learnt(self, bench: Bench) -> None:
        fitted = bench.run(
            "id,y,x\na,1,1\nb,0,3\nc,0,na\n", missing_fill=True, missing_fill_method="mean"
        )
        result = bench.run("id,y,x\nd,1,na\ne,0,100\n", model=fitted.model())
        assert preview(result.output.data)[1] == [["d", 1, 2.0], ["e", 0, 100.0]]  # type: ignore[arg-type]
        assert model_of(result) == model_of(fitted)

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("key,y,x,z\na,1,2,3\n", "the id is called 'key', not 'id'"),
            ("id,y,x\na,1,2\n", "columns are missing: z"),
            ("id,y,x,z,w\na,1,2,3,4\n", "columns were added: w"),
            ("id,y,z,x\na,1,2,3\n", "another order"),
            ("id,x,z\na,2,3\n", "label column 'y' is not in table"),
        ],
    )
    def test_other_schema(self, bench: Bench, text: str, expected: str) -> None:
        fitted = bench.run("id,y,x,z\na,1,2,3\n")
        with pytest.raises(DataError, match=expected):
            bench.run(text, model=fitted.model())

    def test_foreign_model(self, bench: Bench) -> None:
        with pytest.raises(FateFlowError, match="the model is not a DataIO model"):
            bench.run("id,y,x\na,1,2\n", model={"Weights": b""})


class TestErrors:
    def test_label_missing(self, bench: Bench) -> None:
        with pytest.raises(DataError) as caught:
            bench.run("id,Y,x0\na,1,2\n")
        assert str(caught.value) == (
            "label column 'y' is not in table 't' of namespace 'n'; its columns are Y, x0."
            " Set label_name, or with_label to false at a party without labels"
        )

    def test_label_misspelt(self, bench: Bench) -> None:
        with pytest.raises(DataError, match="Did you mean 'target'"):
            bench.run("id,target,x0\na,1,2\n", label_name="tarket")

    def test_no_header(self, bench: Bench) -> None:
        with pytest.raises(DataError, match="dense input-format should have header schema"):
            bench.run("a,1,2\n", head=False)

    @pytest.mark.parametrize(
        ("text", "parameters", "expected"),
        [
            ("a,1,red", {}, "column 'x', id 'a': found 'red', which is not a number"),
            ("a,1,1_0", {}, "found '1_0'"),
            ("a,1,2.5", {"data_type": "int"}, "found '2.5', which is not an integer"),
            ("a,1,99999999999999999999", {"data_type": "int"}, "which is not an integer"),
            ("a,1,inf", {"data_type": "int"}, "which is not an integer"),
            ("a,yes,1", {}, "column 'y', id 'a': found 'yes', which is not an integer"),
            ("a,,1", {}, "id 'a' has no label"),
            (
                "a,1,NA",
                {"data_type": "int"},
                "column 'x', id 'a': the value is missing, which an integer column",
            ),
            (
                "a,1,NA",
                {"output_format": "sparse"},
                "column 'x', id 'a': the value is missing, which sparse output",
            ),
        ],
    )
    def test_names_the_cell(
        self, bench: Bench, text: str, parameters: dict[str, Any], expected: str
    ) -> None:
        with pytest.raises(DataError, match=expected):
            bench.run(f"id,y,x\n{text}\n", **parameters)
        assert not bench.store.exists("output_data_2026010100000000000001_dataio_0", "dataio_0")

    def test_other_delimitor_than_the_data(self, bench: Bench) -> None:
        with pytest.raises(DataError, match="label column 'y' is not in table"):
            bench.run("id,y,x\na,1,2\n", delimitor=";")

    def test_not_raw(self, bench: Bench) -> None:
        table = bench.run("id,y,x\na,1,2\n").output.data
        assert table is not None
        inputs = TaskInputs(data={"dataio_0": {"data": table}})
        with pytest.raises(DataError, match="DataIO reads uploaded rows"):
            run_component("DataIO", {GUEST: bench.store}, {GUEST: {}}, {GUEST: inputs})

    def test_empty(self, bench: Bench) -> None:
        table = bench.upload("id,y,x\na,1,2\n")
        empty = bench.store.put("n", "e", table.arrow().slice(0, 0), table.schema)
        inputs = TaskInputs(data={"args": {"data": empty}})
        with pytest.raises(DataError, match="Count of data_instance is 0, table_name: e"):
            run_component("DataIO", {GUEST: bench.store}, {GUEST: {}}, {GUEST: inputs})
