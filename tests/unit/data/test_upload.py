"""Upload: whatever a good file holds comes back; a bad file says where and changes nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fate_flow.data import files
from fate_flow.data.export import text_blocks
from fate_flow.data.table import SID, VALUE, TableKind, TableSchema, TableStore
from fate_flow.data.upload import DESTROY_FIRST, REFUSE, upload
from fate_flow.errors import DataError, InvalidInputError

items = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\t,"), max_size=6)
keys = items.filter(lambda text: text != "" and not text.startswith("\ufeff"))


@pytest.fixture
def store(tmp_path: Path) -> TableStore:
    return TableStore(tmp_path / "tables")


def write(store: TableStore, content: str | bytes) -> Path:
    path = store.root.parent / "data.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def rows_of(store: TableStore, name: str = "t") -> dict[str, str]:
    data = store.open("n", name).arrow()
    return dict(zip(data.column(SID).to_pylist(), data.column(VALUE).to_pylist(), strict=True))


class TestGoodFiles:
    @given(
        st.lists(st.tuples(keys, st.lists(items, max_size=3)), min_size=1, max_size=40),
        st.sampled_from(["\n", "\r\n", "\r"]),
        st.sampled_from([",", "\t"]),
        st.integers(8, 60),
        st.booleans(),
    )
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
    def test_whatever_is_uploaded_comes_back(
        self,
        store: TableStore,
        lines: list[tuple[str, list[str]]],
        line_end: str,
        separator: str,
        block_bytes: int,
        ends_with_line_end: bool,
    ) -> None:
        text = line_end.join(separator.join([key, *values]) for key, values in lines)
        path = write(store, text + (line_end if ends_with_line_end else ""))
        report = upload(
            store, path, "n", "t", head=False, drop=DESTROY_FIRST, block_bytes=block_bytes
        )
        expected = {key: ",".join(values) for key, values in lines}
        assert rows_of(store) == expected
        assert list(rows_of(store)) == sorted(
            expected, key=lambda key: (len(key.encode()), key.encode())
        )
        assert report.upload_count == len(lines)
        assert report.actual_count == len(expected)
        assert report.duplicates == len(lines) - len(expected)

    def test_header_becomes_the_schema(self, store: TableStore) -> None:
        report = upload(store, write(store, " id ,y,x 0, x1 \nb,1,2,3\na,0, 5,\n"), "n", "t")
        assert report.table.schema.sid_name == "id"
        assert report.table.schema.header == ("y", "x 0", " x1")
        assert rows_of(store) == {"a": "0, 5,", "b": "1,2,3"}

    def test_byte_order_mark_is_no_part_of_the_header(self, store: TableStore) -> None:
        report = upload(store, write(store, "\ufeffid,x\na,1\n"), "n", "t")
        assert report.table.schema.sid_name == "id"

    def test_ids_only(self, store: TableStore) -> None:
        report = upload(store, write(store, "id\nb\na\n"), "n", "t")
        assert report.table.schema.header == ()
        assert rows_of(store) == {"a": "", "b": ""}

    def test_empty_lines_at_the_end(self, store: TableStore) -> None:
        report = upload(store, write(store, "id,x\na,1\n\n\n\n"), "n", "t", block_bytes=3)
        assert (report.upload_count, report.actual_count) == (1, 1)

    def test_other_delimiter(self, store: TableStore) -> None:
        upload(store, write(store, "id;x;y\na;1;2\n"), "n", "t", delimiter=";")
        assert rows_of(store) == {"a": "1,2"}

    def test_duplicates_are_reported(self, store: TableStore) -> None:
        report = upload(store, write(store, "id,x\na,1\nb,1\na,2\na,3\n"), "n", "t")
        assert rows_of(store) == {"a": "3", "b": "1"}
        assert (report.upload_count, report.actual_count, report.duplicates) == (4, 2, 2)
        assert report.duplicate_ids == ("a",)
        assert any("2 lines were replaced" in text for text in report.warnings)

    def test_duplicates_far_apart(self, store: TableStore) -> None:
        text = "id,x\n" + "".join(f"{i % 50},{i}\n" for i in range(500))
        report = upload(store, write(store, text), "n", "t", block_bytes=100)
        assert rows_of(store) == {str(i): str(450 + i) for i in range(50)}
        assert report.duplicates == 450
        assert len(report.duplicate_ids) == 5

    def test_partitions_and_progress(self, store: TableStore) -> None:
        shares: list[float] = []
        text = "id,x\n" + "".join(f"{i},{i}\n" for i in range(100_000))
        report = upload(
            store,
            write(store, text),
            "n",
            "t",
            partitions=4,
            progress=shares.append,
            block_bytes=100_000,
        )
        assert report.table.partitions == 4
        assert report.table.rows == (25_000,) * 4
        assert shares == sorted(shares)
        assert shares[-1] == 1.0
        assert len(shares) > 10

    def test_quotes_are_warned_about(self, store: TableStore) -> None:
        report = upload(store, write(store, '"id","x"\na,1\n'), "n", "t")
        assert any("quoted" in text for text in report.warnings)

    def test_lines_come_back(self, store: TableStore) -> None:
        table = upload(store, write(store, "id,x\na,1\nb,\n"), "n", "t").table
        assert "".join(text for _, text in text_blocks(table)) == "a,1\nb\n"


class TestExistingTable:
    def test_keep_and_add(self, store: TableStore) -> None:
        upload(store, write(store, "id,x\na,1\nb,1\n"), "n", "t")
        report = upload(store, write(store, "id,x\nb,2\nc,2\nc,3\n"), "n", "t")
        assert rows_of(store) == {"a": "1", "b": "2", "c": "3"}
        assert (report.upload_count, report.actual_count) == (3, 3)
        assert (report.overwritten, report.duplicates) == (1, 1)

    def test_destroy_first(self, store: TableStore) -> None:
        upload(store, write(store, "id,x\na,1\n"), "n", "t")
        upload(store, write(store, "id,z,w\nb,2,3\n"), "n", "t", drop=DESTROY_FIRST)
        assert rows_of(store) == {"b": "2,3"}

    def test_refuse(self, store: TableStore) -> None:
        upload(store, write(store, "id,x\na,1\n"), "n", "t", drop=REFUSE)
        with pytest.raises(DataError, match="already exists, table data count:1"):
            upload(store, write(store, "id,x\nb,2\n"), "n", "t", drop=REFUSE)
        assert rows_of(store) == {"a": "1"}

    def test_other_columns_are_refused(self, store: TableStore) -> None:
        upload(store, write(store, "id,x\na,1\n"), "n", "t")
        with pytest.raises(DataError, match="has the columns x, the file has z"):
            upload(store, write(store, "id,z\nb,2\n"), "n", "t")
        assert rows_of(store) == {"a": "1"}

    def test_other_columns_may_replace_all_rows(self, store: TableStore) -> None:
        upload(store, write(store, "id,x\na,1\n"), "n", "t")
        table = upload(store, write(store, "uid,z,w\nb,2,3\na,4,5\n"), "n", "t").table
        assert rows_of(store) == {"a": "4,5", "b": "2,3"}
        assert (table.schema.sid_name, table.schema.header) == ("uid", ("z", "w"))

    def test_rows_that_are_added_without_a_header_leave_the_tables(self, store: TableStore) -> None:
        upload(store, write(store, "id,x\na,1\n"), "n", "t", in_version=True)
        table = upload(store, write(store, "b,2\n"), "n", "t", head=False, in_version=True).table
        assert rows_of(store) == {"a": "1", "b": "2"}
        assert (table.schema.sid_name, table.schema.header) == ("id", ("x",))
        assert len(table.schema.extra["versions"]) == 2
        table = upload(store, write(store, "c,3\n"), "n", "t", head=False, drop=DESTROY_FIRST).table
        assert table.schema.extra == {"head": False}

    def test_a_result_table_is_not_extended(self, store: TableStore) -> None:
        table = upload(store, write(store, "id,x\na,1\n"), "n", "t").table
        schema = TableSchema(TableKind.KEYS)
        store.put("n", "keys", table.arrow([SID]), schema)
        with pytest.raises(DataError, match="holds keys"):
            upload(store, write(store, "id,x\na,1\n"), "n", "keys")

    def test_versions(self, store: TableStore) -> None:
        for _ in range(2):
            report = upload(store, write(store, "id,x\na,1\n"), "n", "t", in_version=True)
        newest, oldest = report.table.schema.extra["versions"]
        assert newest["parent"] == oldest["commitId"]
        assert newest["log"].startswith("[AUTO] save data at ")


class TestBadFiles:
    @pytest.mark.parametrize(
        ("content", "expected"),
        [
            ("id,x\na,1\n,2\n", "line 3: the id is empty"),
            ("id,x\na,1\n\nb,2\n", "line 3: empty line"),
            ("id,x\na,1\nb\nc,1,2\n", "line 3: 1 item where the header has 2"),
            ("id,x\na,1\nb\nc,1,2\n", "line 4: 3 items where the header has 2"),
            (b"id,x\na,1\nb,\xff\n", r"line 3: byte 3 \(0xff\) is not UTF-8"),
            (b"i\xff,x\na,1\n", r"line 1: byte 2 \(0xff\) is not UTF-8"),
            ("", "data.csv is empty"),
            ("\n\n", "data.csv is empty"),
            ("id,x\n", "has a header but no rows"),
            ("id,x", "has a header but no rows"),
            ("id,x,x\na,1,2\n", "column 3: the name 'x' occurs twice"),
            ("id,,x\na,1,2\n", "column 2: has no name"),
            ("id,__sid__\na,1\n", "'__sid__' is reserved"),
            (b"\x1f\x8b\x08\x00rest", "gzip"),
            ("id,x\na,1\n".encode("utf-16"), "UTF-16"),
        ],
    )
    def test_says_where_and_leaves_nothing(
        self, store: TableStore, content: str | bytes, expected: str
    ) -> None:
        with pytest.raises(DataError, match=expected):
            upload(store, write(store, content), "n", "t", block_bytes=4)
        assert not store.exists("n", "t")
        assert not list((store.root / files.SCRATCH).iterdir())

    def test_many_bad_lines_are_counted(self, store: TableStore) -> None:
        text = "id,x\n" + "a,1\n,2\n" * 100
        with pytest.raises(DataError, match="100 lines cannot be used") as caught:
            upload(store, write(store, text), "n", "t", block_bytes=50)
        assert "line 21: the id is empty\nand 90 more" in str(caught.value)

    def test_comma_in_a_file_with_another_delimiter(self, store: TableStore) -> None:
        with pytest.raises(DataError, match="line 2: holds a comma"):
            upload(store, write(store, "id;x\na;1,5\n"), "n", "t", delimiter=";")

    def test_line_without_end(self, store: TableStore, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("fate_flow.data.lines.LONGEST_LINE", 1000)
        with pytest.raises(DataError, match="line 2 is longer than"):
            upload(store, write(store, "id,x\n" + "a" * 5000), "n", "t", block_bytes=100)

    def test_the_old_table_stays(self, store: TableStore) -> None:
        upload(store, write(store, "id,x\na,1\n"), "n", "t")
        with pytest.raises(DataError):
            upload(store, write(store, "id,x\nb\n"), "n", "t", drop=DESTROY_FIRST)
        assert rows_of(store) == {"a": "1"}

    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            ({"partitions": 0}, "between 0 and 1024"),
            ({"partitions": 1024}, "1 to 1023"),
            ({"delimiter": ";;"}, "one ASCII character"),
            ({"delimiter": "\n"}, "one ASCII character"),
            ({"drop": 3}, "0, 1 or 2"),
        ],
    )
    def test_arguments(self, store: TableStore, arguments: dict[str, Any], expected: str) -> None:
        with pytest.raises(InvalidInputError, match=expected):
            upload(store, write(store, "id,x\na,1\n"), "n", "t", **arguments)


_MEASURE = """
import json, resource, sys
from pathlib import Path
from fate_flow.data.table import TableStore
from fate_flow.data.upload import upload

def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

folder = Path(sys.argv[1])
(folder / "small.csv").write_text("id,x\\na,1\\n")
store = TableStore(folder / "tables")
upload(store, folder / "small.csv", "n", "small")
before = peak()
report = upload(store, folder / "big.csv", "n", "big", head=False)
print(json.dumps({"rows": report.actual_count, "kilobytes": peak() - before}))
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    item = "0.123456," * 40
    with (tmp_path / "big.csv").open("w") as handle:
        for start in range(0, 1_500_000, 10_000):
            handle.writelines(
                f"u{(index * 7919) % 1_500_000},{item}1\n" for index in range(start, start + 10_000)
            )
    assert (tmp_path / "big.csv").stat().st_size > 540_000_000
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE, str(tmp_path)], check=True, capture_output=True, text=True
    )
    found = json.loads(done.stdout)
    assert found["rows"] == 1_500_000
    assert found["kilobytes"] < 400_000
