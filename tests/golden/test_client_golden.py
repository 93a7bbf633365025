"""What ``fate_flow_client`` prints, against recordings of FATE 1.4."""

from __future__ import annotations

import io
import json
import re
import shlex
import tarfile
from pathlib import Path
from typing import Any

import pytest

from fate_flow.cli.client import FLAGS, FUNCTIONS, build_parser, main
from tests.support.recording_server import RecordingServer, Reply, recording_server
from tests.support.reference import reference_path


def recorded(name: str) -> tuple[list[str], str]:
    """Arguments and printed text of a recording."""
    text = reference_path("golden-1.4", "_cli", f"{name}.txt").read_text()
    command, _, rest = text.partition("\n")
    printed, _, _ = rest.rpartition("exit status: 0")
    return shlex.split(command)[2:], printed


def keys(value: Any) -> Any:
    """Keys in their order, without values."""
    if isinstance(value, dict):
        return [(key, keys(inner)) for key, inner in value.items()]
    return [keys(value[0])] if isinstance(value, list) and value else None


def run(
    name: str, server: RecordingServer, capsys: pytest.CaptureFixture[str], *more: str
) -> tuple[str, str]:
    arguments, printed = recorded(name)
    assert main([*arguments, *more, "--address", server.url]) == 0
    return capsys.readouterr().out, printed


@pytest.mark.parametrize(
    ("name", "path"),
    [("component_metrics", "tracking/component/metrics"), ("table_info", "table/table_info")],
)
def test_answers_are_printed_as_they_come(
    name: str, path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with recording_server() as server:
        server.answer(path, json.loads(recorded(name)[1]))
        out, printed = run(name, server, capsys)
    assert out == printed


def test_query_job(capsys: pytest.CaptureFixture[str]) -> None:
    answer = json.loads(recorded("query_job")[1])
    for row in answer["data"]:
        row.update(f_dsl="{}", f_runtime_conf="{}")
    with recording_server() as server:
        server.answer("job/query", answer)
        out, printed = run("query_job", server, capsys)
    assert out == printed


def test_job_config(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    answer = json.loads(recorded("job_config")[1])
    del answer["directory"]
    answer["data"] = {**answer["data"], "dsl": {}, "runtime_conf": {}}
    with recording_server() as server:
        server.answer("job/config", answer)
        out, printed = run("job_config", server, capsys, "-o", str(tmp_path))
    assert out.replace(str(tmp_path), "xxx/cliout") == printed


def test_component_output_data(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        tar.addfile(tarfile.TarInfo("output_data.csv"))
    with recording_server() as server:
        server.answer("tracking/component/output/data/download", Reply(buffer.getvalue()))
        out, printed = run("component_output_data", server, capsys, "-o", str(tmp_path))
    assert out.replace(str(tmp_path), "xxx/cliout") == printed


@pytest.mark.parametrize("name", ["submit_no_dsl", "upload_missing_file"])
def test_client_errors_have_the_recorded_shape(
    name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FATE_FLOW_HOME", str(tmp_path / "home"))
    (tmp_path / "c.json").write_text("{}")
    with recording_server() as server:
        out, printed = run(name, server, capsys, "-c", "c.json")
        assert server.requests == []
    ours, theirs = json.loads(out), json.loads(printed)
    assert keys(ours) == keys(theirs)
    assert ours["retmsg"].replace(str(tmp_path), "xxx") == theirs["retmsg"]


def test_flags_and_functions_are_the_recorded_ones() -> None:
    text = reference_path("golden-1.4", "_cli", "help.txt").read_text()
    functions = re.search(r"-f\s+\{([^}]*)\}", text)
    assert functions is not None
    assert tuple(functions.group(1).split(",")) == FUNCTIONS
    ours = build_parser().format_help()
    pairs = re.findall(r"^  (-\w+)[^,\n]*, (--\w+)", text, re.MULTILINE)
    assert len(pairs) == len(FLAGS) + 3  # -h, -c and -d; -f is listed otherwise
    for short, long in pairs:
        assert re.search(rf"{short}[ ,]", ours)
        assert long in ours
    assert len(FLAGS) == 18
