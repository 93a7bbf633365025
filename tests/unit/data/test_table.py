"""The table store: order, atomic change, readers beside writers, union and selection."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fate_flow.data import files
from fate_flow.data.table import (
    LABEL,
    SID,
    VALUE,
    Table,
    TableKind,
    TableSchema,
    TableStore,
    shortlex_order,
)
from fate_flow.data.writer import BLOCK_ROWS
from fate_flow.errors import DataError, InvalidInputError, TableNotFoundError

RAW = TableSchema(TableKind.RAW, "id", ("x",))
ids_lists = st.lists(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5), unique=True
)


def raw(ids: list[str], value: str = "v") -> pa.Table:
    return pa.table({SID: pa.array(ids, pa.string()), VALUE: pa.array([value] * len(ids))})


def shortlex(ids: list[str]) -> list[str]:
    return sorted(ids, key=lambda text: (len(text.encode()), text.encode()))


@pytest.fixture
def store(tmp_path: Path) -> TableStore:
    return TableStore(tmp_path / "tables")


def instances(rows: int, columns: int = 3) -> tuple[pa.Table, TableSchema, np.ndarray]:
    matrix = np.random.default_rng(7).normal(size=(rows, columns))
    header = tuple(f"x.{index}" for index in range(columns))
    data = pa.table(
        {
            SID: pa.array([f"{index:07d}" for index in range(rows)]),
            LABEL: pa.array(np.arange(rows) % 2),
            **{name: matrix[:, index] for index, name in enumerate(header)},
        }
    )
    return data, TableSchema(TableKind.INSTANCES, "id", header, "y"), matrix


class TestPut:
    @given(ids_lists)
    @settings(
        suppress_health_check=[HealthCheck.function_scoped_fixture],
        deadline=None,
        max_examples=30,
    )
    def test_rows_come_back_in_shortlex_order(self, store: TableStore, ids: list[str]) -> None:
        table = store.put("n", "t", raw(ids), RAW)
        assert table.ids().to_pylist() == shortlex(ids)
        assert store.open("n", "t").count == len(ids)

    def test_matrix_and_labels(self, store: TableStore) -> None:
        data, schema, matrix = instances(BLOCK_ROWS + 10)
        table = store.put("n", "t", data, schema, partitions=3)
        assert np.array_equal(table.features(), matrix)
        assert table.features().flags.c_contiguous
        assert table.labels().tolist() == [index % 2 for index in range(data.num_rows)]
        assert sum(table.rows) == table.count
        assert len(table.rows) == 3

    def test_integers_with_gaps_become_nan(self, store: TableStore) -> None:
        data = pa.table({SID: ["a", "b"], "x": pa.array([1, None], pa.int64())})
        table = store.put("n", "t", data, TableSchema(TableKind.INSTANCES, header=("x",)))
        assert np.array_equal(table.features(), [[1.0], [np.nan]], equal_nan=True)

    def test_dotted_and_prefix_names_stay_apart(self, store: TableStore) -> None:
        header = ("a", "a.b", "a.b.c", "a/b")
        data = pa.table({SID: ["1"], **{name: [float(i)] for i, name in enumerate(header)}})
        table = store.put("n", "t", data, TableSchema(TableKind.INSTANCES, header=header))
        assert table.features().tolist() == [[0.0, 1.0, 2.0, 3.0]]
        assert table.arrow(["a.b"]).column_names == ["a.b"]
        assert table.arrow(["a"]).column_names == ["a"]

    def test_text_column_is_no_matrix(self, store: TableStore) -> None:
        data = pa.table({SID: ["1"], "city": ["Köln"]})
        table = store.put("n", "t", data, TableSchema(TableKind.INSTANCES, header=("city",)))
        with pytest.raises(DataError, match="'city'"):
            table.features()

    def test_equal_ids_are_refused_and_nothing_is_left(self, store: TableStore) -> None:
        with pytest.raises(DataError, match="'a' occurs more than once"):
            store.put("n", "t", raw(["a", "b", "a"]), RAW)
        assert not store.exists("n", "t")
        assert not list((store.root / files.SCRATCH).iterdir())

    def test_wrong_order_is_refused(self, store: TableStore) -> None:
        with pytest.raises(DataError, match="canonical order"):
            store.put("n", "t", raw(["bb", "a"]), RAW, ordered=True)
        with store.writer("n", "t", RAW) as writer:
            writer.write(raw(["b"]))
            with pytest.raises(DataError, match="canonical order"):
                writer.write(raw(["a"]))

    def test_empty_table_keeps_columns(self, store: TableStore) -> None:
        data, schema, _ = instances(0)
        table = store.put("n", "t", data, schema, partitions=16)
        assert table.features().shape == (0, 3)
        assert table.has_label
        assert table.labels().shape == (0,)

    @pytest.mark.parametrize("name", ["", "x" * 201])
    def test_bad_names(self, store: TableStore, name: str) -> None:
        with pytest.raises(InvalidInputError, match="1 to 200 bytes"):
            store.put("n", name, raw(["a"]), RAW)

    @pytest.mark.parametrize("name", ["../../etc", "a/b", ".", "é" * 100, ".locks", "a" * 200])
    def test_strange_names_stay_below_the_root(self, store: TableStore, name: str) -> None:
        table = store.put(name, name, raw(["a"]), RAW)
        assert table.path.resolve().is_relative_to(store.root.resolve())
        assert store.open(name, name).namespace == name
        assert [info.name for info in store.list(name)] == [name]

    def test_long_names_that_begin_alike_are_different(self, store: TableStore) -> None:
        store.put("n", "é" * 99 + "a", raw(["a"]), RAW)
        assert not store.exists("n", "é" * 99 + "b")


class TestReplace:
    def test_an_open_handle_reads_what_it_was_opened_on(self, store: TableStore) -> None:
        old = store.put("n", "t", raw(["a", "b"], "old"), RAW)
        store.put("n", "t", raw(["c"], "new"), RAW)
        assert old.arrow().column(VALUE).to_pylist() == ["old", "old"]
        assert store.open("n", "t").ids().to_pylist() == ["c"]

    def test_replaced_data_goes_after_its_grace(
        self, store: TableStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        old = store.put("n", "t", raw(["a"]), RAW)
        store.put("n", "t", raw(["b"]), RAW)
        monkeypatch.setattr("fate_flow.data.table.GRACE_SECONDS", -1.0)
        store.collect()
        assert not old.path.exists()
        with pytest.raises(TableNotFoundError, match="replaced or removed while it was read"):
            old.arrow()

    def test_leftovers_of_a_crash_are_removed(self, store: TableStore) -> None:
        left = files.new_scratch(store.root)
        (left / "part-00000.parquet").write_bytes(b"half")
        os.utime(left, (0, 0))
        store.put("n", "t", raw(["a"]), RAW)
        assert not left.exists()

    def test_a_failing_writer_changes_nothing(self, store: TableStore) -> None:
        store.put("n", "t", raw(["a"]), RAW)

        def fail_half_way() -> None:
            with store.writer("n", "t", RAW) as writer:
                writer.write(raw(["b"]))
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail_half_way()
        assert store.open("n", "t").ids().to_pylist() == ["a"]
        assert not list((store.root / files.SCRATCH).iterdir())

    def test_readers_beside_writers_see_whole_tables(self, store: TableStore) -> None:
        sizes = [10, 400, 70]
        store.put("n", "t", raw([str(i) for i in range(sizes[0])], "0"), RAW)
        stop, wrong = threading.Event(), []

        def read() -> None:
            while not stop.is_set():
                table = store.open("n", "t")
                values = table.arrow().column(VALUE).to_pylist()
                if len(set(values)) != 1 or len(values) != sizes[int(values[0])]:
                    wrong.append(values)

        readers = [threading.Thread(target=read) for _ in range(2)]
        for reader in readers:
            reader.start()
        for turn in range(30):
            which = turn % len(sizes)
            ids = [str(i) for i in range(sizes[which])]
            store.put("n", "t", raw(ids, str(which)), RAW, partitions=2)
        stop.set()
        for reader in readers:
            reader.join()
        assert not wrong

    def test_commit_counts_what_was_written(self, store: TableStore) -> None:
        table = store.put("n", "t", raw(["a"]), RAW)
        aside = files.new_scratch(store.root)
        (aside / "part-00000.parquet").write_bytes((table.path / "part-00000.parquet").read_bytes())
        with pytest.raises(DataError, match="was to get 2 rows, 1 were written"):
            store.commit(aside, "n", "u", RAW, 2, 1)
        assert store.commit(aside, "n", "u", RAW, 1, 1).ids().to_pylist() == ["a"]

    def test_drop(self, store: TableStore) -> None:
        store.put("n", "t", raw(["a"]), RAW)
        assert store.drop("n", "t")
        assert not store.drop("n", "t")
        with pytest.raises(TableNotFoundError, match="there is no table 't'"):
            store.open("n", "t")

    def test_lock_keeps_a_second_writer_waiting(self, store: TableStore) -> None:
        order = []

        def second() -> None:
            with store.lock("n", "t"):
                order.append("second")

        with store.lock("n", "t"):
            thread = threading.Thread(target=second)
            thread.start()
            thread.join(0.1)
            order.append("first")
        thread.join()
        assert order == ["first", "second"]


class TestInfo:
    def test_info_and_list(self, store: TableStore) -> None:
        store.put("n", "b", raw(["a", "b"]), RAW, partitions=10)
        store.put("n", "a", raw(["a"]), RAW)
        store.put("m", "c", raw(["a"]), RAW)
        info = store.info("n", "b")
        assert (info.count, info.partitions, info.files) == (2, 10, 1)
        assert info.size > 0
        assert info.updated > 1_700_000_000_000
        assert [(i.namespace, i.name) for i in store.list()] == [("m", "c"), ("n", "a"), ("n", "b")]
        assert [i.name for i in store.list("n")] == ["a", "b"]


class TestUnionAndSelect:
    @given(ids_lists, ids_lists)
    @settings(
        suppress_health_check=[HealthCheck.function_scoped_fixture],
        deadline=None,
        max_examples=30,
    )
    def test_union_keeps_the_first_of_equals(
        self, store: TableStore, first: list[str], second: list[str]
    ) -> None:
        one = store.put("n", "one", raw(first, "1"), RAW)
        two = store.put("n", "two", raw(second, "2"), RAW)
        both = store.union("n", "both", [one, two])
        rows = dict(
            zip(both.ids().to_pylist(), both.arrow().column(VALUE).to_pylist(), strict=True)
        )
        assert list(rows) == shortlex(list({*first, *second}))
        assert rows == {**dict.fromkeys(second, "2"), **dict.fromkeys(first, "1")}

    def test_union_of_many_blocks(self, store: TableStore) -> None:
        tables: list[Table] = []
        for turn in range(3):
            ids = [str(i) for i in range(turn, 300_000, turn + 2)]
            tables.append(store.put("n", f"t{turn}", raw(ids, str(turn)), RAW))
        both = store.union("n", "both", tables)
        expected = {
            str(i): str(turn) for turn in reversed(range(3)) for i in range(turn, 300_000, turn + 2)
        }
        found = both.arrow()
        assert found.column(SID).to_pylist() == shortlex(list(expected))
        assert found.column(VALUE).to_pylist() == [expected[i] for i in shortlex(list(expected))]

    def test_union_brings_types_together(self, store: TableStore) -> None:
        schema = TableSchema(TableKind.INSTANCES, header=("x",))
        one = store.put("n", "one", pa.table({SID: ["a"], "x": [1]}), schema)
        two = store.put("n", "two", pa.table({SID: ["b"], "x": [0.5]}), schema)
        assert store.union("n", "both", [one, two]).features().tolist() == [[1.0], [0.5]]

    @given(ids_lists, ids_lists)
    @settings(
        suppress_health_check=[HealthCheck.function_scoped_fixture],
        deadline=None,
        max_examples=30,
    )
    def test_select(self, store: TableStore, ids: list[str], wanted: list[str]) -> None:
        table = store.put("n", "t", raw(ids), RAW)
        asked = pa.array(wanted + wanted[:1], pa.string())
        expected = shortlex([text for text in ids if text in wanted])
        assert table.select(asked, [SID]).column(SID).to_pylist() == expected
        assert store.select("n", "s", table, asked).ids().to_pylist() == expected

    def test_select_over_blocks_of_different_id_lengths(self, store: TableStore) -> None:
        ids = [str(i) for i in range(200_000)]
        table = store.put("n", "t", raw(ids), RAW, partitions=5)
        wanted = pa.chunked_array([ids[::7], ["nobody", "1000000"]])
        assert table.select(wanted).column(SID).to_pylist() == ids[::7]
        assert table.select(wanted, [VALUE]).column_names == [VALUE]


def test_shortlex_order_is_by_bytes() -> None:
    ids = pa.array(["é", "z", "aa", "b", "10", "9"])
    assert ids.take(shortlex_order(ids)).to_pylist() == ["9", "b", "z", "10", "aa", "é"]


def test_columns_are_read_in_groups(store: TableStore, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"x{index}" for index in range(7)]
    data = pa.table({SID: ["a", "b"], **{name: [place, 2.0] for place, name in enumerate(names)}})
    table = store.put("n", "t", data, TableSchema(TableKind.INSTANCES, "id", tuple(names)))
    monkeypatch.setattr("fate_flow.data.handle._GROUP_BYTES", 3 * 2 * 8)
    wanted = [*reversed(names)]
    found = list(table.columns(wanted))
    assert [name for name, _ in found] == wanted
    assert [column.to_pylist() for _, column in found] == [[6 - i, 2.0] for i in range(7)]
    assert list(table.columns([])) == []
