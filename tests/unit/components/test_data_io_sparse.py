"""DataIO: svmlight and tags."""

from __future__ import annotations

from typing import Any

import pytest

from fate_flow.data.export import preview
from fate_flow.errors import DataError
from tests.support.data_io import Bench, model_of


class TestSparse:
    def test_svmlight(self, bench: Bench) -> None:
        result = bench.run(
            "a,1 0:0.5 3:2\nb,-1 2:1e-3\nc,0\n",
            head=False,
            input_format="sparse",
            delimitor=" ",
            output_format="sparse",
        )
        table = result.output.data
        assert table is not None
        assert preview(table) == (
            ["sid", "y", "0", "1", "2", "3"],
            [
                ["a", 1, 0.5, 0.0, 0.0, 2.0],
                ["b", -1, 0.0, 0.0, 0.001, 0.0],
                ["c", 0, 0.0, 0.0, 0.0, 0.0],
            ],
        )
        assert table.schema.sparse

    def test_svmlight_with_commas(self, bench: Bench) -> None:
        assert bench.rows("a,1,1:2\n", head=False, input_format="sparse") == [["a", 1, 0.0, 2.0]]

    def test_svmlight_transform_ignores_new_columns(self, bench: Bench) -> None:
        fitted = bench.run("a,1,1:2\n", head=False, input_format="sparse")
        result = bench.run("b,0,0:5,7:1\n", head=False, model=fitted.model())
        assert preview(result.output.data)[1] == [["b", 0, 5.0, 0.0]]  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("line", "expected"),
        [
            ("a,1,x:2", "column 'index', id 'a': found 'x', which is not an integer"),
            ("a,1,-1:2", "id 'a': index -1 is below 0"),
            ("a,1,1:z", "column 'value', id 'a': found 'z', which is not a number"),
            ("a,1,1", "id 'a': found '1' where index:value was expected"),
            ("a,q,1:1", "column 'y', id 'a': found 'q', which is not an integer"),
            ("a,1,200000:1", "more than 100000"),
        ],
    )
    def test_bad_svmlight(self, bench: Bench, line: str, expected: str) -> None:
        with pytest.raises(DataError, match=expected):
            bench.run(line + "\n", head=False, input_format="sparse")

    def test_tags(self, bench: Bench) -> None:
        result = bench.run(
            "a,1,red,big\nb,0,blue\nc,1\n", head=False, input_format="tag", data_type="int"
        )
        assert preview(result.output.data) == (  # type: ignore[arg-type]
            ["sid", "label", "big", "blue", "red"],
            [["a", 1, 1, 0, 1], ["b", 0, 0, 1, 0], ["c", 1, 0, 0, 0]],
        )
        assert model_of(result)["header"] == ["big", "blue", "red"]

    def test_tags_with_values(self, bench: Bench) -> None:
        arguments: dict[str, Any] = {
            "input_format": "tag",
            "tag_with_value": True,
            "with_label": False,
        }
        fitted = bench.run("a,t2:5,t1:0.5\nb,t1\nc\n", head=False, **arguments)
        assert preview(fitted.output.data) == (  # type: ignore[arg-type]
            ["sid", "t1", "t2"],
            [["a", 0.5, 5.0], ["b", 1.0, 0.0], ["c", 0.0, 0.0]],
        )
        with pytest.raises(DataError, match="found '2:2', which is not a number"):
            bench.run("d,t3:1,t2:2:2\n", head=False, model=fitted.model())
        again = bench.run("d,t3:1,t2:2\n", head=False, model=fitted.model())
        assert preview(again.output.data)[1] == [["d", 0.0, 2.0]]  # type: ignore[arg-type]
