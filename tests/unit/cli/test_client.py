"""``fate_flow_client``: what is sent for each function, and what is printed."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import fate_flow
from fate_flow.cli.client import FUNCTIONS, build_parser, main
from tests.support.recording_server import SUCCESS, RecordingServer
from tests.unit.cli.client_runs import PARTY, Run, write

pytestmark = pytest.mark.usefixtures("client_environment")

PARTY_BODY = {
    "job_id": "1",
    "component_name": "lr_0",
    "role": "guest",
    "party_id": "9999",
    "local": {"role": "guest", "party_id": "9999"},
}


SIMPLE: list[tuple[list[str], str, dict[str, Any]]] = [
    (["stop_job", "-j", "1"], "job/stop", {"job_id": "1"}),
    (
        ["query_job", "-s", "running", "-r", "host", "-p", "5"],
        "job/query",
        {
            "status": "running",
            "role": "host",
            "party_id": "5",
            "local": {"role": "host", "party_id": "5"},
        },
    ),
    (["data_view_query", "-j", "1"], "job/data/view/query", {"job_id": "1"}),
    (
        ["clean_job", "-j", "1", "-r", "host"],
        "job/clean",
        {"job_id": "1", "role": "host", "local": {"role": "host"}},
    ),
    (["clean_queue"], "job/clean/queue", {}),
    (
        ["query_task", "-j", "1", "-cpn", "x_0"],
        "job/task/query",
        {"job_id": "1", "component_name": "x_0"},
    ),
    (["component_parameters", *PARTY], "tracking/component/parameters", PARTY_BODY),
    (["component_metric_all", *PARTY], "tracking/component/metric/all", PARTY_BODY),
    (["component_metrics", *PARTY], "tracking/component/metrics", PARTY_BODY),
    (["component_output_model", *PARTY], "tracking/component/output/model", PARTY_BODY),
    (["component_output_data_table", *PARTY], "tracking/component/output/data/table", PARTY_BODY),
    (
        ["component_metric_delete", "-m", "20200514"],
        "tracking/component/metric/delete",
        {"model": "20200514"},
    ),
    (["upload_history", "-limit", "2"], "data/upload/history", {"limit": 2}),
    (
        ["table_info", "-n", "ns", "-t", "tab"],
        "table/table_info",
        {"namespace": "ns", "table_name": "tab"},
    ),
    (["table_delete", "-j", "1"], "table/delete", {"job_id": "1"}),
    (
        ["grant_privilege", "-src_party_id", "9", "-src_role", "guest", "-privilege_role", "all"],
        "permission/grant/privilege",
        {"src_party_id": "9", "src_role": "guest", "privilege_role": "all"},
    ),
    (
        ["delete_privilege", "-src_party_id", "9", "-src_role", "g", "-privilege_command", "a"],
        "permission/delete/privilege",
        {"src_party_id": "9", "src_role": "g", "privilege_command": "a"},
    ),
    (
        ["query_privilege", "-src_party_id", "9", "-src_role", "g", "-privilege_component", "a"],
        "permission/query/privilege",
        {"src_party_id": "9", "src_role": "g", "privilege_component": "a"},
    ),
]


@pytest.mark.parametrize(("arguments", "path", "body"), SIMPLE, ids=[row[0][0] for row in SIMPLE])
def test_flags_become_the_body(
    run: Run, server: RecordingServer, arguments: list[str], path: str, body: dict[str, Any]
) -> None:
    assert run("-f", *arguments) == SUCCESS
    assert server.last.method == "POST"
    assert server.last.path == f"/v1/{path}"
    assert server.last.json == {"function": arguments[0], **body}


@pytest.mark.parametrize("function", ["download", "load", "bind", "store", "restore"])
def test_config_file_becomes_the_body(
    run: Run, server: RecordingServer, tmp_path: Path, function: str
) -> None:
    config = {"model_id": "m", "work_mode": 0, "output_path": "out.csv", "local": {"a": 1}}
    file = write(tmp_path / "c.json", config)
    run("-f", function, "-c", file, "-w", "1", "-p", "9")
    assert server.last.json == {
        "function": function,
        "config": file,
        "model_id": "m",
        "work_mode": 1,
        "party_id": "9",
        "output_path": str(tmp_path / "work" / "out.csv"),
        "local": {"a": 1, "party_id": "9"},
    }
    folder = "data" if function == "download" else "model"
    assert server.last.path == f"/v1/{folder}/{function}"


REQUIRED = [
    (["stop_job"], "job_id "),
    (["clean_job"], "job_id "),
    (["job_config", "-j", "1"], "role,party_id,output_path "),
    (["job_log"], "job_id,output_path "),
    (["component_metrics", "-j", "1"], "component_name,role,party_id "),
    (["component_output_data", *PARTY], "output_path "),
    (["table_info", "-n", "x"], "table_name "),
    (["query_privilege"], "src_party_id,src_role "),
    (["export"], "model_id,model_version,output_path "),
    (["import"], "model_id,model_version,file "),
    (["submit_job"], "runtime conf path"),
]


@pytest.mark.parametrize(("arguments", "names"), REQUIRED, ids=[row[0][0] for row in REQUIRED])
def test_missing_flags(run: Run, server: RecordingServer, arguments: list[str], names: str) -> None:
    answer = run("-f", *arguments)
    assert answer["retcode"] == 100
    assert answer["retmsg"] == f"the following arguments are required: {names}"
    assert answer["traceback"]
    assert server.requests == []


def test_every_function_is_tested() -> None:
    tested = {row[0][0] for row in SIMPLE} | {row[0][0] for row in REQUIRED}
    tested |= {"download", "load", "bind", "store", "restore", "upload"}
    assert tested == set(FUNCTIONS)
    assert len(FUNCTIONS) == 30


# -- submit --------------------------------------------------------------------------------


def test_submit(run: Run, server: RecordingServer, tmp_path: Path) -> None:
    conf = {"role": {"guest": [1]}, "job_parameters": {"work_mode": 0}}
    dsl: dict[str, Any] = {"components": {}}
    server.answer("job/submit", {**SUCCESS, "jobId": "1"})
    answer = run(
        "-f", "submit_job", "-c", write(tmp_path / "c", conf), "-d", write(tmp_path / "d", dsl)
    )
    assert answer["jobId"] == "1"
    assert server.last.json == {"job_dsl": dsl, "job_runtime_conf": conf}


def test_submit_without_dsl(run: Run, server: RecordingServer, tmp_path: Path) -> None:
    file = write(tmp_path / "c", {"job_parameters": {"job_type": "train"}})
    assert run("-f", "submit_job", "-c", file)["retmsg"].endswith("required: dsl path")
    conf = {"job_parameters": {"job_type": "predict"}}
    run("-f", "submit_job", "-c", write(tmp_path / "c", conf))
    assert server.last.json == {"job_dsl": {}, "job_runtime_conf": conf}


def test_submit_with_a_role_is_refused(run: Run, server: RecordingServer, tmp_path: Path) -> None:
    file = write(tmp_path / "c", {"role": {"guest": [1]}})
    answer = run("-f", "submit_job", "-c", file, "-d", file, "-r", "guest")
    assert "-r and -p would overwrite them" in answer["retmsg"]
    assert server.requests == []


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "line 1, column 2: not JSON"), ("[]", "holds a list"), (None, "cannot be read")],
)
def test_config_that_cannot_be_used(
    run: Run, server: RecordingServer, tmp_path: Path, text: str | None, message: str
) -> None:
    if text is not None:
        (tmp_path / "c").write_text(text)
    answer = run("-f", "query_job", "-c", str(tmp_path / "c"))
    assert answer["retcode"] == 100
    assert message in answer["retmsg"]
    assert server.requests == []


# -- answers -------------------------------------------------------------------------------


def test_query_job_leaves_the_long_columns_out(run: Run, server: RecordingServer) -> None:
    row = {"f_job_id": "1", "f_dsl": "{}", "f_runtime_conf": "{}", "f_train_runtime_conf": "{}"}
    server.answer("job/query", {**SUCCESS, "data": [row]})
    answer = run("-f", "query_job", "-j", "1")
    assert answer["data"] == [{"f_job_id": "1", "f_train_runtime_conf": "{}"}]


def test_text_that_is_not_ascii(server: RecordingServer, capfd: pytest.CaptureFixture[str]) -> None:
    server.answer("job/stop", {"retcode": 100, "retmsg": "没有"})
    main(["-f", "stop_job", "-j", "1", "--address", server.url])
    assert "没有" in capfd.readouterr().out


def test_exit_status(run: Run, server: RecordingServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.answer("job/stop", {"retcode": 100, "retmsg": "no"})
    run("-f", "stop_job", "-j", "1")
    run("-f", "stop_job", "-j", "1", "--exit-code", status=1)
    run("-f", "clean_queue", "--exit-code")
    monkeypatch.setenv("FATE_FLOW_EXIT_CODE", "1")
    run("-f", "stop_job", "-j", "1", status=1)


def test_wrong_function() -> None:
    with pytest.raises(SystemExit) as caught:
        main(["-f", "frobnicate"])
    assert caught.value.code == 2


def test_refused_connection(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("FATE_FLOW_ADDRESS", f"127.0.0.1:{closed.getsockname()[1]}")
        assert main(["-f", "query_job", "-j", "1"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "retcode": 100,
        "retmsg": "Connection refused, Please check if the fate flow service is started",
    }


# -- the program ---------------------------------------------------------------------------

SCRIPT = Path(fate_flow.__file__).parent / "fate_flow_client.py"


def _python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        env={**clean, **environment},
        check=False,
        timeout=60,
    )


def test_script_from_any_folder(server: RecordingServer) -> None:
    done = _python(str(SCRIPT), "-f", "clean_queue", FATE_FLOW_ADDRESS=server.url)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == SUCCESS
    assert done.stderr == ""
    help_text = _python(str(SCRIPT), "-h").stdout
    assert help_text.startswith("usage: fate_flow_client.py ")


def test_a_terminal_that_cannot_show_the_characters(server: RecordingServer) -> None:
    answer = {"retcode": 100, "retmsg": "没有"}
    server.answer("job/stop", answer)
    call = [str(SCRIPT), "-f", "stop_job", "-j", "1"]
    done = _python(*call, FATE_FLOW_ADDRESS=server.url, PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == answer


def test_nothing_heavy_is_imported(server: RecordingServer) -> None:
    code = (
        "import sys; from fate_flow.cli.client import main; "
        f"main(['-f', 'clean_queue', '--address', {server.url!r}]); "
        "heavy = {'airflow', 'numpy', 'pyarrow', 'duckdb', 'sqlalchemy', 'grpc', 'rich'}; "
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = _python("-c", code)
    assert done.stderr.strip() == "[]"


def test_a_reader_that_stops_reading(server: RecordingServer) -> None:
    server.answer("job/query", {**SUCCESS, "data": [{"f_name": "x" * 1000}] * 1000})
    command = f"{sys.executable} {SCRIPT} -f query_job -j 1 --address {server.url} | head -c 10"
    done = subprocess.run(
        command, shell=True, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stderr == ""


def test_help_names_every_flag() -> None:
    text = build_parser().format_help()
    for flag in ("-cpn", "-drop", "-limit", "-src_party_id", "-privilege_component", "--exit-code"):
        assert flag in text
