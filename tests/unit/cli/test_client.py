"""``fate_flow_client``: what is sent for each function, what is printed, where files go."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import fate_flow
from fate_flow.cli.client import FUNCTIONS, build_parser, main
from fate_flow.cli.client_commands import find_file
from tests.support.recording_server import (
    SUCCESS,
    RecordingServer,
    Reply,
    archive,
    form,
    recording_server,
)

Run = Callable[..., dict[str, Any]]
PARTY = ["-j", "1", "-cpn", "lr_0", "-r", "guest", "-p", "9999"]
PARTY_BODY = {
    "job_id": "1",
    "component_name": "lr_0",
    "role": "guest",
    "party_id": "9999",
    "local": {"role": "guest", "party_id": "9999"},
}


@pytest.fixture
def server() -> Iterator[RecordingServer]:
    with recording_server() as running:
        yield running


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("FATE_FLOW_ADDRESS", "FATE_FLOW_TOKEN", "FATE_FLOW_EXIT_CODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FATE_FLOW_HOME", str(tmp_path / "home"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


@pytest.fixture
def run(server: RecordingServer, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command with exit status 0; its answer."""

    def call(*arguments: str, status: int = 0) -> dict[str, Any]:
        assert main([*arguments, "--address", server.url]) == status
        out, err = capsys.readouterr()
        assert err == ""
        assert out.endswith("}\n\n")
        answer: dict[str, Any] = json.loads(out)
        assert out == json.dumps(answer, indent=4, ensure_ascii=False) + "\n\n"
        return answer

    return call


def write(path: Path, value: Any) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
    return str(path)


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


# -- files ---------------------------------------------------------------------------------


def test_job_config(run: Run, server: RecordingServer, tmp_path: Path) -> None:
    data = {
        "job_id": "1",
        "dsl": {"components": {}},
        "runtime_conf": {"a": "表"},
        "train_runtime_conf": {},
        "model_info": {"model_id": "m"},
    }
    server.answer("job/config", {"data": data, **SUCCESS})
    answer = run("-f", "job_config", "-j", "1", "-r", "guest", "-p", "9", "-o", "out")
    folder = tmp_path / "work" / "out" / "job_1_config"
    assert answer == {
        "data": {"job_id": "1", "model_info": {"model_id": "m"}, "train_runtime_conf": {}},
        "retcode": 0,
        "retmsg": f"download successfully, please check {folder} directory",
        "directory": str(folder),
    }
    assert {p.name for p in folder.iterdir()} == {
        "dsl.json",
        "runtime_conf.json",
        "train_runtime_conf.json",
        "model_info.json",
    }
    assert (folder / "runtime_conf.json").read_text() == '{\n    "a": "表"\n}'


def test_job_log(run: Run, server: RecordingServer, tmp_path: Path) -> None:
    server.answer("job/log", archive({"guest/9/INFO.log": b"line"}))
    answer = run("-f", "job_log", "-j", "1", "-o", "out")
    folder = tmp_path / "work" / "out" / "job_1_log"
    assert server.last.method == "GET"
    assert server.last.json["job_id"] == "1"
    assert list(answer) == ["retcode", "directory", "retmsg"]
    assert answer["directory"] == str(folder)
    assert (folder / "guest" / "9" / "INFO.log").read_bytes() == b"line"
    assert list((tmp_path / "work").iterdir()) == [tmp_path / "work" / "out"]


def test_job_log_of_an_unknown_job(run: Run, server: RecordingServer) -> None:
    server.answer("job/log", {"retcode": 100, "retmsg": "unknown"})
    assert run("-f", "job_log", "-j", "1", "-o", "o") == {"retcode": 100, "retmsg": "unknown"}


def test_component_output_data(run: Run, server: RecordingServer, tmp_path: Path) -> None:
    path = "tracking/component/output/data/download"
    server.answer(path, archive({"output_data.csv": b"a"}))
    answer = run("-f", "component_output_data", *PARTY, "-o", "out", "-limit", "10")
    folder = tmp_path / "work" / "out" / "job_1_lr_0_guest_9999_output_data"
    assert server.last.json["limit"] == 10
    assert answer["retmsg"] == f"download successfully, please check {folder} directory"
    assert (folder / "output_data.csv").read_bytes() == b"a"
    server.answer(path, {"retcode": 100, "retmsg": "why"})
    answer = run("-f", "component_output_data", *PARTY, "-o", "out")
    text = "download failed, please check if the parameters are correct"
    assert answer == {"retcode": 100, "retmsg": text, "detail": "why"}
    server.answer(path, Reply.of({"retcode": 500, "retmsg": "no data"}, 500))
    answer = run("-f", "component_output_data", *PARTY, "-o", "out")
    assert answer == {"retcode": 500, "retmsg": "no data"}


def test_an_id_cannot_leave_the_folder(run: Run, server: RecordingServer) -> None:
    answer = run("-f", "job_log", "-j", "../../x", "-o", "out")
    assert "job_id: found '../../x'" in answer["retmsg"]
    assert server.requests == []


def test_export(run: Run, server: RecordingServer, tmp_path: Path) -> None:
    header = {"Content-Disposition": "attachment; filename=guest#9#m_1.zip"}
    server.answer("model/export", Reply(b"zip", headers=header))
    config = {"model_id": "guest#9#m", "model_version": "1", "output_path": "models"}
    answer = run("-f", "export", "-c", write(tmp_path / "c", config))
    file = tmp_path / "work" / "models" / "guest#9#m_1.zip"
    assert answer == {
        "retcode": 0,
        "file": str(file),
        "retmsg": f"download successfully, please check {file}",
    }
    assert file.read_bytes() == b"zip"
    server.answer("model/export", {"retcode": 100, "retmsg": "Can not found"})
    assert run("-f", "export", "-c", str(tmp_path / "c"))["retmsg"] == "Can not found"


def test_folder_that_cannot_be_written(run: Run, server: RecordingServer, tmp_path: Path) -> None:
    (tmp_path / "work" / "file").touch()
    server.answer("job/log", archive({"a": b""}))
    assert "cannot be written" in run("-f", "job_log", "-j", "1", "-o", "file")["retmsg"]


def test_import(run: Run, server: RecordingServer, tmp_path: Path) -> None:
    (tmp_path / "m.zip").write_bytes(b"zip")
    config = {"model_id": "m", "model_version": "1", "file": "m.zip"}
    run("-f", "import", "-c", write(tmp_path / "c", config))
    assert form(server.last)["file/m.zip"] == b"zip"
    assert form(server.last)["model_id"] == b"m"


def test_upload_as_the_examples_do(run: Run, server: RecordingServer, tmp_path: Path) -> None:
    """The file is named from the project's root, the command runs in another folder."""
    project = tmp_path / "project"
    (project / "examples" / "data").mkdir(parents=True)
    (project / "examples" / "data" / "a.csv").write_bytes(b"id,x\n1,2\n")
    config = {"file": "examples/data/a.csv", "head": 1, "partition": 10, "work_mode": 0}
    config |= {"namespace": "n", "table_name": "t", "in_version": False}
    file = write(project / "fate_flow" / "examples" / "upload.json", config)
    run("-f", "upload", "-c", file, "-drop", "1")
    assert form(server.last) == {
        "function": b"upload",
        "config": file.encode(),
        "head": b"1",
        "partition": b"10",
        "work_mode": b"0",
        "namespace": b"n",
        "table_name": b"t",
        "drop": b"1",
        "file/a.csv": b"id,x\n1,2\n",
    }


def test_upload_of_a_missing_file(run: Run, server: RecordingServer, tmp_path: Path) -> None:
    answer = run("-f", "upload", "-i", "none.csv")
    assert answer["retmsg"] == (
        "The file is obtained from the fate flow client machine, but it does not exist, please "
        f"check the path: {tmp_path / 'work' / 'none.csv'}"
    )
    assert server.requests == []


def test_upload_of_a_file_of_the_server(
    run: Run, server: RecordingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FATE_FLOW__USE_LOCAL_DATA", "false")
    run("-f", "upload", "-i", "/on/the/server.csv", "-n", "ns")
    assert server.last.json == {
        "function": "upload",
        "file": "/on/the/server.csv",
        "namespace": "ns",
    }


def test_where_files_are_looked_for(tmp_path: Path) -> None:
    config = str(tmp_path / "a" / "b" / "c.json")
    home = tmp_path / "home"
    for folder in (home, tmp_path, tmp_path / "a" / "b", tmp_path / "work"):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "x.csv").touch()
        expected = folder / "x.csv"
        assert find_file("x.csv", config) == expected
    assert find_file("x.csv", None) == tmp_path / "work" / "x.csv"
    (tmp_path / "work" / "x.csv").unlink()
    assert find_file("x.csv", None) == home / "x.csv"
    assert find_file(str(tmp_path / "x.csv"), None) == tmp_path / "x.csv"
    assert find_file(str(tmp_path), None) is None


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
