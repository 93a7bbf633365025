"""Files that go to the server, and archives that come from it and are not trusted."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest

from fate_flow.client import ApiError, FateFlowClient, ServerUnreachableError
from fate_flow.errors import DataError, FateFlowError
from tests.support.recording_server import SUCCESS, RecordingServer, Reply, archive, form

SCOPE = {"job_id": "1", "component_name": "lr_0", "role": "guest", "party_id": 9999}


def test_upload_streams_the_file(
    client: FateFlowClient, server: RecordingServer, tmp_path: Path
) -> None:
    content = os.urandom(3_000_000)
    file = tmp_path / 'da"ta.csv'
    file.write_bytes(content)
    server.answer("data/upload", {**SUCCESS, "jobId": "9"})
    done: list[tuple[int, int | None]] = []
    made = client.upload(
        file, "n", "表", partition=8, drop=1, on_progress=lambda *step: done.append(step)
    )
    assert made.job_id == "9"
    assert form(server.last) == {
        "work_mode": b"0",
        "namespace": b"n",
        "table_name": "表".encode(),
        "head": b"1",
        "partition": b"8",
        "drop": b"1",
        "file/da%22ta.csv": content,
    }
    assert len(done) > 3
    assert done[-1] == (len(server.last.body), len(server.last.body))


def test_upload_of_an_empty_and_of_a_missing_file(
    client: FateFlowClient, server: RecordingServer, tmp_path: Path
) -> None:
    (tmp_path / "empty").touch()
    client.upload(tmp_path / "empty", "n", "t")
    assert form(server.last)["file/empty"] == b""
    with pytest.raises(DataError, match="No such file"):
        client.upload(tmp_path / "none", "n", "t")


def test_output_data_download(
    client: FateFlowClient, server: RecordingServer, tmp_path: Path
) -> None:
    path = "tracking/component/output/data/download"
    server.answer(path, archive({"output_data.csv": b"a\n", "output_data_meta.json": b"{}"}))
    files = client.download_output_data("1", "lr_0", "guest", 9999, tmp_path / "new", limit=5)
    assert server.last.method == "GET"
    assert server.last.json == {**SCOPE, "limit": 5, "head": True}
    assert sorted(f.name for f in files) == ["output_data.csv", "output_data_meta.json"]
    assert (tmp_path / "new" / "output_data.csv").read_bytes() == b"a\n"
    assert len(list((tmp_path / "new").iterdir())) == 2


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (archive({"../evil": b"x"}), "outside of its folder"),
        (archive({"/evil": b"x"}), "outside of its folder"),
        (archive({}, link=tarfile.SYMTYPE), "which is no file"),
        (archive({}, device=tarfile.CHRTYPE), "which is no file"),
        (Reply(b"nothing"), "no tar.gz archive"),
        (Reply(archive({"a": b"x" * 9999}).body[:60]), "no tar.gz archive"),
        (Reply.of({"retcode": 100, "retmsg": "no such job"}), "no such job"),
        (Reply.of({"retcode": 500, "retmsg": "no data"}, 500), "no data"),
    ],
)
def test_archives_are_not_trusted(
    client: FateFlowClient, server: RecordingServer, tmp_path: Path, reply: Reply, text: str
) -> None:
    server.answer("job/log", reply)
    with pytest.raises(FateFlowError, match=text):
        client.job_log("1", tmp_path / "a" / "b")
    left = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert left == []


def test_a_cut_download_is_noticed(
    client: FateFlowClient, server: RecordingServer, tmp_path: Path
) -> None:
    reply = Reply(archive({"a": b"x"}).body, headers={"Content-Length": "100000"})
    server.answer("job/log", reply)
    with pytest.raises(ServerUnreachableError):
        client.job_log("1", tmp_path)


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ('attachment; filename="m#1.zip"', "m#1.zip"),
        ('attachment; filename="../../m.zip"', "m.zip"),
        ("attachment; filename=..\\m.zip", "m.zip"),
        ("attachment; filename*=UTF-8''a%20b.zip", "a b.zip"),
        ("attachment", "guest#1#m_v.zip"),
    ],
)
def test_export(
    client: FateFlowClient, server: RecordingServer, tmp_path: Path, header: str, name: str
) -> None:
    server.answer("model/export", Reply(b"zip", headers={"Content-Disposition": header}))
    file = client.export_model("guest#1#m", "v", tmp_path)
    assert file == tmp_path / name
    assert file.read_bytes() == b"zip"
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_import(client: FateFlowClient, server: RecordingServer, tmp_path: Path) -> None:
    (tmp_path / "m.zip").write_bytes(b"zip")
    client.import_model("guest#1#m", "v", tmp_path / "m.zip")
    assert server.last.path == "/v1/model/import"
    assert form(server.last) == {
        "model_id": b"guest#1#m",
        "model_version": b"v",
        "file/m.zip": b"zip",
    }
    server.answer("model/import", {"retcode": 100, "retmsg": "already existed"})
    with pytest.raises(ApiError, match="already existed"):
        client.import_model("guest#1#m", "v", tmp_path / "m.zip")
