from __future__ import annotations

from starlette.testclient import TestClient

from tests.unit.api.test_job_routes import post

SOURCE = {"src_party_id": "9999", "src_role": "guest"}


def test_grant_query_delete(client: TestClient) -> None:
    body = {**SOURCE, "privilege_role": "host", "privilege_component": "heterolr,dataio"}
    success = {"retcode": 0, "retmsg": "success"}
    assert post(client, "/permission/grant/privilege", body) == success
    assert post(client, "/permission/grant", {**SOURCE, "privilege_command": "all"}) == success
    answer = post(client, "/permission/query/privilege", SOURCE)
    assert answer["data"] == {
        "src_party_id": "9999",
        "role": "guest",
        "privilege_role": ["host"],
        "privilege_command": ["create_job", "save_pipeline", "clean", "run_task"],
        "privilege_component": ["dataio", "heterolr"],
    }
    assert post(client, "/permission/delete/privilege", body) == success
    data = post(client, "/permission/query", {**SOURCE, "src_party_id": 9999})["data"]
    assert data["privilege_role"] == data["privilege_component"] == []
    assert len(data["privilege_command"]) == 4


def test_errors_name_what_is_wrong(client: TestClient) -> None:
    missing = post(client, "/permission/grant/privilege", {"privilege_role": "host"})
    text = "the following arguments are required: src_party_id,src_role "
    assert missing == {"retcode": 100, "retmsg": text}
    role = post(client, "/permission/query/privilege", {**SOURCE, "src_role": "king"})
    assert role["retmsg"].startswith("src_role: found 'king'; allowed: guest, host")
    unknown = post(client, "/permission/grant/privilege", {**SOURCE, "privilege_role": "king"})
    assert unknown["retmsg"].startswith("king does not exist in the permission role")
    absent = post(client, "/permission/delete/privilege", {**SOURCE, "privilege_role": "host"})
    assert absent["retmsg"].startswith("role host is not authorized ,it cannot be deleted")
    listed = post(client, "/permission/grant/privilege", {**SOURCE, "privilege_role": ["host"]})
    assert listed["retmsg"] == "privilege_role: found a list; allowed: a text"
