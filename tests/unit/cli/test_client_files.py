"""``fate_flow_client``: where files go, and where they are looked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from fate_flow.cli.client_commands import find_file
from tests.support.recording_server import SUCCESS, RecordingServer, Reply, archive, form
from tests.unit.cli.client_runs import PARTY, Run, write

pytestmark = pytest.mark.usefixtures("client_environment")


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
