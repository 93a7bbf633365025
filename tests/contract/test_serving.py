"""Publishing a model: REST API -> gRPC -> a serving that fetches the model over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from fate_flow.models.proto.lr_model_meta_pb2 import LRModelMeta
from fate_flow.models.proto.lr_model_param_pb2 import LRModelParam
from tests.support.serving import Serving, http_server, serving_server
from tests.support.site import JOB_ID, Site, add_job
from tests.unit.api.test_job_routes import post

MODEL_ID = "arbiter-10000#guest-9999#host-10000#model"
GUEST_ID, HOST_ID = f"guest#9999#{MODEL_ID}", f"host#10000#{MODEL_ID}"
LOAD: dict[str, Any] = {
    "initiator": {"role": "guest", "party_id": "9999"},
    "role": {"guest": ["9999"], "host": ["10000"], "arbiter": ["10000"]},
    "job_parameters": {"work_mode": 0, "model_id": MODEL_ID, "model_version": "1"},
}
BIND = {**LOAD, "service_id": "lending"}


@pytest.fixture
def serving() -> Iterator[Serving]:
    with serving_server() as made:
        yield made


def _with_models(site: Site) -> None:
    for number, name in enumerate((GUEST_ID, HOST_ID, f"arbiter#10000#{MODEL_ID}")):
        message = LRModelParam(weight={"x0": 0.5 + number}, iters=3)
        site.models.save(
            name, "1", "hetero_lr_0", "HeteroLR", "model",
            {
                "HeteroLogisticRegressionParam": message,
                "HeteroLogisticRegressionMeta": LRModelMeta(),
            },
        )  # fmt: skip
        site.models.save_pipeline(
            name, "1", inference_dsl={}, train_dsl={}, train_runtime_conf={}, model_id=MODEL_ID
        )


@pytest.fixture(params=[False, True], ids=["open", "authenticated"])
def published(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    database_template: Path,
    monkeypatch: pytest.MonkeyPatch,
    serving: Serving,
) -> Iterator[tuple[Site, TestClient]]:
    """A site that is served over HTTP and knows the serving; with and without tokens."""
    site = Site.make(
        tmp_path / "s",
        database_template,
        monkeypatch,
        USE_AUTHENTICATION=request.param,
        SERVERS={"servings": [serving.address]},
    )
    if request.param:  # users are let in here; the serving has no token and must have its key
        from fate_flow.api import guards

        site.app.dependency_overrides[guards.may_run] = lambda: None
    _with_models(site)
    with http_server(site.app) as port:
        site.settings.values["HTTP_PORT"] = port  # type: ignore[index]
        with site.client() as client:
            yield site, client
    site.close()


def test_load_and_bind(published: tuple[Site, TestClient], serving: Serving) -> None:
    site, client = published
    answer = post(client, "/model/load", LOAD)
    assert answer["retcode"] == 0, answer
    assert answer["data"] == {"guest": {"9999": 0}, "host": {"10000": 0}}
    assert answer["jobId"].isdecimal()
    assert serving.models == {
        (name, "1"): site.models.load_all(name, "1") for name in (GUEST_ID, HOST_ID)
    }
    assert "pipeline.pipeline:Pipeline" in serving.models[GUEST_ID, "1"]
    assert post(client, "/model/bind", BIND) == {
        "retcode": 0,
        "retmsg": "service id is lending",
    }
    assert serving.services == {"lending": (GUEST_ID, "1")}


def test_what_is_sent(published: tuple[Site, TestClient], serving: Serving) -> None:
    """Fields of the wire contract: all roles, all models in a load, the initiator's in a bind."""
    _, client = published
    post(client, "/model/load", LOAD)
    post(client, "/model/bind", BIND)
    (kind, first), (_, second), (_, binding) = serving.requests
    assert (kind, first.local.role, first.local.partyId) == ("load", "guest", "9999")
    assert (second.local.role, second.local.partyId) == ("host", "10000")
    for request in (first, second):
        assert {r: list(p.partyId) for r, p in request.role.items()} == LOAD["role"]
        models = {
            (role, party): (info.namespace, info.tableName)
            for role, by_party in request.model.items()
            for party, info in by_party.roleModelInfo.items()
        }
        assert models == {
            ("guest", "9999"): (GUEST_ID, "1"),
            ("host", "10000"): (HOST_ID, "1"),
            ("arbiter", "10000"): (f"arbiter#10000#{MODEL_ID}", "1"),
        }
        assert request.loadType == "FATEFLOW"
        assert request.serviceId == ""
    assert list(binding.model) == ["guest"]
    assert binding.serviceId == "lending"
    assert {r: list(p.partyId) for r, p in binding.role.items()} == LOAD["role"]


def test_numbers_and_a_job_s_id_do_as_well(
    published: tuple[Site, TestClient], serving: Serving
) -> None:
    site, client = published
    role = {"guest": [9999], "host": [10000], "arbiter": [10000]}
    body = {**LOAD, "role": role, "initiator": {"role": "guest", "party_id": 9999}}
    assert post(client, "/model/load", body)["retcode"] == 0
    conf = {**LOAD, "initiator": body["initiator"], "role": role, "role_parameters": {}}
    with site.session() as session:
        add_job(session, conf=conf, parameters=LOAD["job_parameters"])
    assert post(client, "/model/load", {"job_id": JOB_ID})["retcode"] == 0
    bound = {"job_id": JOB_ID, "service_id": "x"}
    assert post(client, "/model/bind", bound)["retmsg"] == "service id is x"
    assert (
        post(client, "/model/load/do", {**LOAD, "local": {"role": "host", "party_id": "10000"}})[
            "retcode"
        ]
        == 0
    )


def test_a_serving_that_refuses_is_reported(
    published: tuple[Site, TestClient], serving: Serving
) -> None:
    _, client = published
    serving.answer_status = 110
    answer = post(client, "/model/load", LOAD)
    assert answer["retcode"] == 101
    assert answer["data"] == {"guest": {"9999": 101}, "host": {"10000": 101}}
    said = f"serving {serving.address} answered 110: as told"
    assert answer["retmsg"] == f"failed\nguest 9999: {said}\nhost 10000: {said}"
    refused = post(client, "/model/bind", BIND)
    assert refused["retcode"] == 101
    assert refused["retmsg"].startswith("service id is lending; serving")
    assert refused["retmsg"].endswith("answered 100: model is not loaded")


def test_servings_that_are_away(published: tuple[Site, TestClient], serving: Serving) -> None:
    """The one that answers is asked all the same."""
    site, client = published
    site.settings.SERVERS["servings"] = ["127.0.0.1:1", serving.address]
    answer = post(client, "/model/load", LOAD)
    assert answer["retcode"] == 101
    assert answer["data"] == {"guest": {"9999": 100}, "host": {"10000": 100}}
    assert "serving 127.0.0.1:1 did not answer publishLoad: UNAVAILABLE" in answer["retmsg"]
    assert len(serving.models) == 2
    bound = post(client, "/model/bind", {**BIND, "servings": [serving.address]})
    assert bound["retcode"] == 0
    away = post(client, "/model/bind", {**BIND, "servings": ["127.0.0.1:1"]})
    assert away["retcode"] == 100


def test_servings_of_each_party(published: tuple[Site, TestClient], serving: Serving) -> None:
    site, client = published
    site.settings.SERVERS["servings"] = {"guest:9999": [serving.address], "host_10000": []}
    answer = post(client, "/model/load", LOAD)
    assert answer["data"] == {"guest": {"9999": 0}, "host": {"10000": 100}}
    assert "no serving of host 10000 is configured" in answer["retmsg"]


def test_a_model_that_is_not_here(published: tuple[Site, TestClient], serving: Serving) -> None:
    _, client = published
    body = {**LOAD, "job_parameters": {**LOAD["job_parameters"], "model_version": "2"}}
    answer = post(client, "/model/load", body)
    assert answer["retcode"] == 101
    assert f"there is no model {GUEST_ID} 2 here" in answer["retmsg"]
    assert serving.requests == []


@pytest.mark.parametrize(
    ("path", "change", "text"),
    [
        ("load", {"role": None}, "the following arguments are required: role "),
        ("load", {"role": {"king": ["1"]}}, "role.king: found something else"),
        ("load", {"role": {"guest": ["x"]}}, "role.guest: found something else"),
        ("load", {"role": {"guest": "9999"}}, "role.guest: found something else"),
        ("load", {"job_parameters": {"model_id": 1}}, "job_parameters.model_version: missing"),
        ("load", {"initiator": {"role": "guest"}}, "initiator: missing or wrong"),
        ("load/do", {}, "the following arguments are required: local "),
        ("bind", {}, "no service id"),
        ("bind", {"service_id": "a/b"}, "service_id: found 'a/b'"),
        ("bind", {"service_id": "a", "servings": ["http://x"]}, "servings[0]: found 'http://x'"),
        ("bind", {"service_id": "a", "servings": [7]}, "servings[0]: found 7"),
        ("transfer", {"name": "1"}, "the following arguments are required: namespace "),
        ("transfer", {"name": "../..", "namespace": "x"}, "model_version: found '../..'"),
    ],
)
def test_requests_that_are_not_right(
    client: TestClient, path: str, change: dict[str, Any], text: str
) -> None:
    base = LOAD if path != "transfer" else {}
    answer = post(client, f"/model/{path}", {**base, **change})
    assert answer["retcode"] == (101 if text == "no service id" else 100)
    assert text in answer["retmsg"]


def test_without_servings(site: Site, client: TestClient) -> None:
    _with_models(site)
    answer = post(client, "/model/load", LOAD)
    assert answer["retcode"] == 101
    assert 'Set SERVERS: {"servings": ["host:port"]}' in answer["retmsg"]


def test_transfer_of_an_unknown_model(client: TestClient) -> None:
    body = {"name": "1", "namespace": GUEST_ID}
    assert post(client, "/model/transfer", body)["retcode"] == 100


def test_a_key_opens_its_model_only(
    tmp_path: Path, database_template: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from urllib.parse import urlsplit

    from fate_flow.jobs.publishing import transfer_url

    site = Site.make(tmp_path / "s", database_template, monkeypatch, USE_AUTHENTICATION=True)
    _with_models(site)
    query = urlsplit(transfer_url(site.settings, GUEST_ID, "1")).query
    with site.client() as client:
        right = client.post(f"/model/transfer?{query}", json={"name": "1", "namespace": GUEST_ID})
        assert right.json()["retcode"] == 0
        other = client.post(f"/model/transfer?{query}", json={"name": "1", "namespace": HOST_ID})
        assert other.status_code == 403
        for key in ("x", "", query[4:-2]):
            refused = client.post(f"/model/transfer?key={key}", json={"name": "1"})
            assert refused.status_code in (401, 403)
        assert client.post(f"/job/query?{query}", json={"job_id": "1"}).status_code == 401
    site.close()
