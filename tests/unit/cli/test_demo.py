"""The demo's data, its view of a job and its answers to failures."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest
from rich.console import Console

from fate_flow.cli import demo, demo_data
from fate_flow.cli.job_view import LiveView, PlainView, TaskRow
from fate_flow.client import FateFlowClient, JobState, ServerUnreachableError, Submission
from fate_flow.errors import NotFoundError
from fate_flow.settings import KEYS, Settings


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> demo_data.DemoFiles:
    return demo_data.write(tmp_path_factory.mktemp("demo"))


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_data_is_split_by_columns_and_overlaps_in_part(files: demo_data.DemoFiles) -> None:
    guest, host = _rows(files.guest), _rows(files.host)
    assert list(guest[0]) == ["id", "y", *(f"x{i}" for i in range(10))]
    assert list(host[0]) == ["id", *(f"x{i}" for i in range(20))]
    guest_ids, host_ids = {row["id"] for row in guest}, {row["id"] for row in host}
    assert (len(guest), len(host)) == (files.guest_rows, files.host_rows) == (523, 535)
    assert (len(guest_ids), len(host_ids)) == (523, 535)
    assert len(guest_ids & host_ids) == files.common_rows == 494
    assert {row["y"] for row in guest} == {"0", "1"}


def test_rows_of_one_id_belong_to_the_same_case(files: demo_data.DemoFiles) -> None:
    """The mean radius (guest) and the worst radius (host) correlate strongly by nature."""
    import numpy as np

    host = {row["id"]: float(row["x10"]) for row in _rows(files.host)}
    pairs = [(float(row["x0"]), host[row["id"]]) for row in _rows(files.guest) if row["id"] in host]
    assert np.corrcoef(np.array(pairs).T)[0, 1] > 0.95


def test_data_is_the_same_every_time(files: demo_data.DemoFiles, tmp_path: Path) -> None:
    again = demo_data.write(tmp_path)
    assert again.guest.read_bytes() == files.guest.read_bytes()
    assert again.host.read_bytes() == files.host.read_bytes()


def _task(component: str, party: str, status: str, message: str = "") -> TaskRow:
    return TaskRow(component, party, status, message, 1.5)


def test_plain_view_says_changes_once() -> None:
    said: list[str] = []
    view = PlainView(said.append, every=1000)
    waiting = _task("lr_0", "guest 1", "waiting")
    running = _task("lr_0", "guest 1", "running", "iteration 1 of 3")
    with view:
        view.show([waiting])
        view.show([running])
        view.show([running])
        view.show([_task("lr_0", "guest 1", "running", "iteration 2 of 3")])
        view.show([_task("lr_0", "guest 1", "failed", "no common ids")])
    assert [line.split(maxsplit=5)[-1] for line in said] == [
        "running  iteration 1 of 3",
        "failed  no common ids",
    ]


def test_live_view_has_a_row_per_component_and_a_column_per_party() -> None:
    console = Console(width=100, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    view = LiveView(console, ["a_0", "b_0"], ["guest 1", "arbiter 2"])
    console.print(view.table([_task("a_0", "guest 1", "running", "step 3")]))
    text = console.export_text()
    assert "guest 1" in text
    assert "arbiter 2" in text
    assert "running 1.5 s" in text
    assert "step 3" in text
    assert "b_0" in text


def test_task_row_of_an_answer() -> None:
    row = {
        "f_component_name": "lr_0",
        "f_role": "guest",
        "f_party_id": "9999",
        "f_status": "running",
        "f_start_time": 1000,
        "f_end_time": None,
    }
    assert TaskRow.of(row, now=3.5) == TaskRow("lr_0", "guest 9999", "running", "", 2.5)


class FakeClient:
    """As much of a client as the demo uses; the job's rows come from a list."""

    def __init__(self, jobs: list[dict[str, Any]], tasks: list[dict[str, Any]]) -> None:
        self.jobs, self.tasks = jobs, tasks

    def submit_job(self, dsl: Mapping[str, Any], conf: Mapping[str, Any]) -> Submission:
        return Submission("7", "m", "7")

    def job_state(self, job_id: str) -> JobState:
        row = self.jobs.pop(0) if len(self.jobs) > 1 else self.jobs[0]
        if row["f_status"] == "away":
            raise ServerUnreachableError("nobody answers")
        return JobState.from_rows(job_id, [row])

    def query_tasks(self, **filters: Any) -> list[dict[str, Any]]:
        assert filters == {"job_id": "7"}
        return self.tasks

    def all_metrics(self, job_id: str, component: str, role: str, party: int) -> dict[str, Any]:
        found = {
            ("evaluation_0", "guest", 9999): {"hetero_lr_0": {"data": [["auc", 0.9], ["ks", 0.8]]}},
            ("hetero_lr_0", "arbiter", 10000): {"loss": {"data": [[0, 0.7], [1, 0.6]]}},
        }
        return {"train": found[component, role, party]}


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "POLL_SECONDS", 0.0)


def _run(
    jobs: list[dict[str, Any]], tasks: list[dict[str, Any]] | None = None, timeout: float = 10
) -> demo.Outcome:
    folder = demo.example_folder("hetero_lr")
    dsl, conf = (json.loads((folder / f"{name}.json").read_text()) for name in ("dsl", "conf"))
    console = Console(file=open("/dev/null", "w"))  # noqa: SIM115
    client = cast(FateFlowClient, FakeClient(jobs, tasks or []))
    return demo.run_job(client, dsl, conf, console, timeout=timeout, live=False)


def test_outcome_of_a_job() -> None:
    outcome = _run([{"f_status": "running"}, {"f_status": "success"}])
    assert (outcome.auc, outcome.ks, outcome.losses) == (0.9, 0.8, [0.7, 0.6])
    assert (outcome.job_id, outcome.model_id, outcome.model_version) == ("7", "m", "7")


def test_a_failed_job_says_why() -> None:
    with pytest.raises(demo.DemoFailedError, match="ended as failed: no common ids"):
        _run([{"f_status": "failed", "f_reason": "no common ids"}])


def test_without_a_reason_the_failed_task_is_named() -> None:
    task = {
        "f_component_name": "lr_0",
        "f_role": "host",
        "f_party_id": "1",
        "f_status": "failed",
        "f_message": "killed",
    }
    with pytest.raises(demo.DemoFailedError, match="lr_0 at host 1: killed"):
        _run([{"f_status": "failed"}], [task])


def test_a_job_that_takes_too_long() -> None:
    with pytest.raises(demo.DemoFailedError, match="stop_job -j 7"):
        _run([{"f_status": "running"}], timeout=0.0)


def test_a_server_that_restarts_is_waited_for() -> None:
    states = ["running", "away", "away", "running", "success"]
    assert _run([{"f_status": state} for state in states]).auc == 0.9


def test_a_server_that_stays_away_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "PATIENCE_SECONDS", -1.0)
    with pytest.raises(ServerUnreachableError):
        _run([{"f_status": "running"}, {"f_status": "away"}])


def test_no_server(tmp_path: Path) -> None:
    values = {**{key.name: key.default for key in KEYS}, "IP": "127.0.0.1", "HTTP_PORT": 1}
    with pytest.raises(demo.DemoFailedError, match="fate_flow service start"):
        demo.run(Settings(tmp_path, values))
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_example() -> None:
    with pytest.raises(NotFoundError):
        demo.example_folder("nothing")


@pytest.mark.parametrize("name", ["hetero_lr", "intersect_rsa", "intersect_raw"])
def test_examples_pass_the_linter_without_a_warning(name: str) -> None:
    from fate_flow.dsl.lint import lint_files

    folder = demo.example_folder(name)
    report = lint_files(folder / "dsl.json", folder / "conf.json")
    assert report.ok, report.text()
    assert list(report.warnings) == []
    assert (folder / "README.md").is_file()
