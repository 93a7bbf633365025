"""The Download component: what was uploaded comes back, in table order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fate_flow.components.download.params import DownloadParam
from fate_flow.data.table import TableStore
from fate_flow.data.upload import upload
from fate_flow.entities import Party
from fate_flow.errors import DataError, InvalidInputError, TableNotFoundError
from tests.support.parties import PartyResult, run_component

LOCAL = Party("local", 0)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FATE_FLOW_HOME", str(tmp_path))
    (tmp_path / "data.csv").write_text("id,y,x0\nb,1,2\naa,,\na,0,3\n")
    upload(TableStore(tmp_path / "tables"), tmp_path / "data.csv", "n", "t")
    return tmp_path


def run(home: Path, **conf: Any) -> PartyResult:
    store = TableStore(home / "tables")
    given = {"output_path": "out/x.csv", "namespace": "n", "table_name": "t", **conf}
    return run_component("Download", {LOCAL: store}, {LOCAL: given}, {})[LOCAL]


def test_effective_defaults() -> None:
    assert DownloadParam.defaults() == {
        "output_path": "",
        "delimitor": ",",
        "namespace": "",
        "table_name": "",
        "work_mode": 0,
    }


def test_lines_and_reports(home: Path) -> None:
    result = run(home)
    assert (home / "out" / "x.csv").read_text() == "a,0,3\nb,1,2\naa,,\n"
    assert result.tracker.points == {("download", "data_access"): [("count", 3)]}
    assert result.tracker.metas == {
        ("download", "data_access"): {"name": "download", "metric_type": "DOWNLOAD"}
    }
    assert result.tracker.progress_reports[-1][0] == 1.0
    assert result.output.data is None


def test_delimitor(home: Path) -> None:
    run(home, delimitor="\t")
    assert (home / "out" / "x.csv").read_text().startswith("a\t0,3\n")


def test_what_is_missing(home: Path) -> None:
    with pytest.raises(InvalidInputError) as caught:
        run(home, output_path="", table_name="")
    assert [problem.path for problem in caught.value.problems] == ["output_path", "table_name"]
    with pytest.raises(TableNotFoundError, match="there is no table 'u'"):
        run(home, table_name="u")
    assert not (home / "out").exists()


def test_the_site_s_own_files_are_safe(home: Path) -> None:
    with pytest.raises(DataError, match="own state"):
        run(home, output_path=str(home / "fate_flow_sqlite.db"))
