from __future__ import annotations

import io
import zipfile
from typing import Any

import pytest
from starlette.testclient import TestClient

from fate_flow.models.proto.feature_binning_param_pb2 import FeatureBinningParam
from tests.support.site import Site
from tests.unit.api.test_job_routes import post

ID = "guest#9999#guest-9999#host-10000#model"
MODEL = {"model_id": ID, "model_version": "1"}


@pytest.fixture
def model(site: Site) -> Site:
    message = FeatureBinningParam(header=["x0"])
    site.models.save(ID, "1", "bin_0", "M", "model", {"FeatureBinningParam": message})
    return site


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_export_and_import(model: Site, client: TestClient, method: str) -> None:
    answer = client.request(method, "/model/export", json=MODEL)
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["content-disposition"] == f"attachment; filename={ID}_1.zip"
    assert int(answer.headers["content-length"]) == len(answer.content)
    names = zipfile.ZipFile(io.BytesIO(answer.content)).namelist()
    assert "define/define_meta.yaml" in names
    files = {"file": ("m.zip", answer.content)}
    form = {**MODEL, "model_version": "2"}
    assert client.post("/model/import", data=form, files=files).json() == {
        "retcode": 0,
        "retmsg": "success",
    }
    assert model.models.load(ID, "2", "bin_0", "model")
    again = client.post("/model/import", data=form, files=files).json()
    assert again == {"retcode": 100, "retmsg": f"Model {ID} 2 local cache already existed"}
    assert list((model.settings.storage_root / "tmp").iterdir()) == []


def test_export_errors(client: TestClient) -> None:
    unknown = post(client, "/model/export", MODEL)
    assert unknown == {"retcode": 100, "retmsg": f"Can not found {ID} 1 model local cache"}
    outside = post(client, "/model/export", {**MODEL, "model_version": "../.."})
    assert outside["retcode"] == 100
    assert outside["retmsg"].startswith("model_version: found '../..'")


def test_import_errors(site: Site, client: TestClient) -> None:
    assert "form" in post(client, "/model/import", MODEL)["retmsg"]
    no_file = client.post("/model/import", data=MODEL, files={"x": (None, "y")}).json()
    assert no_file["retmsg"].startswith("file: missing")
    no_zip = client.post("/model/import", data=MODEL, files={"file": ("m.zip", b"zip")}).json()
    assert "zip archive" in no_zip["retmsg"]
    no_version = client.post("/model/import", data={"model_id": ID}, files={"file": ("m", b"")})
    assert no_version.json()["retmsg"] == "the following arguments are required: model_version "
    assert list((site.settings.storage_root / "tmp").iterdir()) == []


def test_versions(client: TestClient) -> None:
    assert post(client, "/model/version_history", {"namespace": "n"}).keys() == {
        "retcode",
        "retmsg",
    }
    for name in ("a", "b"):
        body = {"namespace": "n", "name": name, "version_log": f"log {name}"}
        assert post(client, "/model/version/save", body)["retcode"] == 0
    history = post(client, "/model/version_history", {"namespace": "n"})["data"]
    assert [(c["commitId"], c["parent"], c["log"]) for c in history] == [
        ("b", "a", "log b"),
        ("a", None, "log a"),
    ]
    info = post(client, "/model/table_info", {"config": {"namespace": "n"}, "create": False})
    assert info["data"] == {"namespace": "n", "table_name": "b"}


@pytest.mark.parametrize("operation", ["store", "restore"])
def test_store_and_restore_are_jobs(
    site: Site, client: TestClient, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    from fate_flow.jobs import service

    seen: list[Any] = []

    def submit_job(_: Any, dsl: Any, conf: Any) -> service.SubmitResult:
        seen.append((dsl, conf))
        return service.SubmitResult("7", {"logs_directory": "/l", "model_info": {}})

    monkeypatch.setattr(service, "submit_job", submit_job)
    if operation == "store":
        missing = post(client, "/model/store", MODEL)
        assert missing["retmsg"] == f"Can not found {ID} 1 model local cache"
        site.models.create(ID, "1")
    no_address = post(client, f"/model/{operation}", MODEL)
    assert "DEFAULT_MODEL_STORE_ADDRESS" in no_address["retmsg"]
    bad = post(client, f"/model/{operation}", {**MODEL, "store_address": {"storage": "x"}})
    assert bad["retmsg"] == "store_address.storage: found 'x'; allowed: redis, file"
    address = {"storage": "redis", "host": "127.0.0.1", "password": "secret"}
    answer = post(client, f"/model/{operation}", {**MODEL, "store_address": address})
    assert answer["jobId"] == "7"
    assert answer["data"] == {"logs_directory": "/l"}
    ((dsl, conf),) = seen
    assert list(dsl["components"]) == [f"{operation}_0"]
    given = conf["role_parameters"]["local"][f"{operation}_0"]
    assert given["model_id"] == [ID]
    assert given["store_address"][0]["password"].startswith("sealed:")
    site.models.folder(ID, "1").mkdir(parents=True, exist_ok=True)
    if operation == "restore":
        exists = post(client, "/model/restore", {**MODEL, "store_address": address})
        assert exists["retmsg"] == f"Model {ID} 1 local cache already existed"


def test_unknown_operation(client: TestClient) -> None:
    text = "Can not support this operating now: twist"
    assert post(client, "/model/twist", {}) == {"retcode": 100, "retmsg": text}
