"""Privileges: granting, and the checks at create, run, save and clean."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fate_flow.dsl.parser import compile_plan
from fate_flow.entities import Party, Plan
from fate_flow.errors import FateFlowError
from fate_flow.federation.tokens import Claims
from fate_flow.jobs import permission
from fate_flow.jobs.permission import COMMANDS, Gate, NotAuthorizedError
from fate_flow.jobs.reports import apply_reports
from fate_flow.jobs.sealing import seal_job
from fate_flow.jobs.states import status_of
from fate_flow.models.store import ModelStore
from fate_flow.operators.plans import write_plan
from tests.support.site import CONF, DSL, JOB_ID, Site, add_job, add_task

GUEST, HOST = Party("guest", 9999), Party("host", 10000)
ALL = {"role": "all", "command": "all", "component": "all"}


@pytest.fixture
def guarded(
    tmp_path: Path, database_template: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Site]:
    from fate_flow.jobs import service

    monkeypatch.setattr(service, "fail_run", lambda *_: None)
    monkeypatch.setattr(service, "admit", lambda _: [])
    monkeypatch.setattr(service, "cancel_at_gateway", lambda *_: None)
    site = Site.make(tmp_path / "g", database_template, monkeypatch, USE_AUTHENTICATION=True)
    yield site
    site.close()


def _plan() -> Plan:
    return compile_plan(DSL, CONF)


def _create(site: Site, plan: Plan | None = None, **settings: Any) -> None:
    found = replace(site.settings, values={**site.settings.values, **settings})
    plan = plan or _plan()
    with site.session() as session:
        Gate(session, found, plan.initiator).check_creation(plan)


def _grant(site: Site, **wanted: str | None) -> None:
    with site.session() as session:
        permission.grant(session, "9999", "guest", wanted)


def _revoke(site: Site, **wanted: str | None) -> None:
    with site.session() as session:
        permission.revoke(session, "9999", "guest", wanted)


def test_grants_add_up_and_are_taken_back(guarded: Site) -> None:
    _grant(guarded, role="host", component="HeteroLR, dataio")
    _grant(guarded, role="host,arbiter", command=None)
    with guarded.session() as session:
        assert permission.granted(session, "9999", "guest", "role") == ["host", "arbiter"]
        assert permission.granted(session, "9999", "guest", "component") == ["dataio", "heterolr"]
        assert permission.granted(session, "9999", "guest", "command") == []
        assert permission.granted(session, "1", "guest", "role") == []
    _revoke(guarded, role="host", component="all")
    with guarded.session() as session:
        assert permission.granted(session, "9999", "guest", "role") == ["arbiter"]
        assert permission.granted(session, "9999", "guest", "component") == []


def test_all_means_every_known_name(guarded: Site) -> None:
    _grant(guarded, **ALL)
    with guarded.session() as session:
        components = permission.granted(session, "9999", "guest", "component")
        assert permission.granted(session, "9999", "guest", "command") == list(COMMANDS)
    assert {"heterolr", "intersection", "homonn"} <= set(components)
    assert not {"upload", "download"} & set(components)


@pytest.mark.parametrize("kind", ["role", "command", "component"])
def test_unknown_names_grant_nothing(guarded: Site, kind: str) -> None:
    text = f"nothing does not exist in the permission {kind}"
    with pytest.raises(FateFlowError, match=text):
        _grant(guarded, **{**dict.fromkeys(("role", "command", "component")), kind: "all, nothing"})
    with guarded.session() as session:
        assert permission.granted(session, "9999", "guest", kind) == []


def test_only_what_is_granted_can_be_taken_back(guarded: Site) -> None:
    _grant(guarded, role="host")
    with pytest.raises(FateFlowError, match="role guest is not authorized ,it cannot be deleted"):
        _revoke(guarded, role="host,guest")
    with pytest.raises(FateFlowError, match="No permission to delete"):
        _revoke(guarded, role="host", command="all")
    with guarded.session() as session:
        assert permission.granted(session, "9999", "guest", "role") == ["host"]


def test_creation_needs_role_all_commands_and_the_job_s_components(guarded: Site) -> None:
    refused = "creating the job: role host party_id 10000\n"
    with pytest.raises(NotAuthorizedError, match=f"{refused}role host not authorized"):
        _create(guarded)
    _grant(guarded, role="host")
    with pytest.raises(NotAuthorizedError, match=f"{refused}command create_job not authorized"):
        _create(guarded)
    _grant(guarded, command="create_job,clean")
    missing = "commond authentication that needs to be run failed:run_task, save_pipeline"
    with pytest.raises(NotAuthorizedError, match=missing):
        _create(guarded)
    _grant(guarded, command="all", component="dataio")
    with pytest.raises(NotAuthorizedError, match=r"component .* failed:intersection"):
        _create(guarded)
    _grant(guarded, component="intersection")
    _create(guarded)


def test_nothing_is_asked_without_authentication_or_of_oneself(guarded: Site) -> None:
    _create(guarded, USE_AUTHENTICATION=False)
    own = {**CONF, "role": {"guest": [9999], "host": [9999]}}
    _create(guarded, compile_plan(DSL, own))


def test_the_white_list_needs_no_grant(guarded: Site) -> None:
    _create(guarded, PRIVILEGE_COMMAND_WHITELIST=["host", *COMMANDS, "dataio", "intersection"])


def test_only_guests_may_ask_and_guests_are_no_hosts(guarded: Site) -> None:
    _grant(guarded, **ALL)
    by_host = replace(_plan(), initiator=HOST)
    with pytest.raises(NotAuthorizedError, match="src_role host is not guest"):
        _create(guarded, by_host)
    both = replace(_plan(), roles={"guest": [9999, 10000], "host": [10000]})
    with pytest.raises(NotAuthorizedError, match=r"host \[10000\] can not be used as guest"):
        _create(guarded, both)


def _stored(site: Site) -> None:
    with site.session() as session:
        add_job(session, status="running")
    write_plan(site.settings.jobs_dir, JOB_ID, _plan())


def _start(site: Site, party: Party) -> str:
    claims = Claims(JOB_ID, "intersection_0", party, 0.0)
    event = {"kind": "status", "status": "running"}
    with site.session() as session:
        return apply_reports(session, claims, {"number": 1, "events": [event]})


def test_a_withdrawn_component_ends_the_job_when_its_task_starts(guarded: Site) -> None:
    _stored(guarded)
    _grant(guarded, **ALL)
    assert _start(guarded, HOST) == ""
    _revoke(guarded, component="intersection")
    assert _start(guarded, GUEST) == ""
    with guarded.session() as session:
        assert status_of(session, JOB_ID).value == "running"  # type: ignore[union-attr]
    answer = _start(guarded, Party("host", 10001))
    assert answer == "job is over: component intersection not authorized"
    with guarded.session() as session:
        assert status_of(session, JOB_ID).value == "failed"  # type: ignore[union-attr]


def test_pipelines_are_not_saved_at_a_party_that_refuses(guarded: Site) -> None:
    _stored(guarded)
    with guarded.session() as session:
        for component in ("dataio_0", "intersection_0"):
            add_task(session, component)
            add_task(session, component, "host", 10000)
    _grant(guarded, role="host", command="run_task")
    with guarded.session() as session:
        seal_job(session, JOB_ID)
    with guarded.session() as session:
        assert status_of(session, JOB_ID).value == "failed"  # type: ignore[union-attr]
    assert not ModelStore(guarded.settings.models_dir).root.exists()


def test_cleaning_needs_the_privilege(guarded: Site) -> None:
    from fate_flow.jobs.service import clean_job

    _stored(guarded)
    with guarded.session() as session:
        add_task(session, "dataio_0", "host", 10000)
        with pytest.raises(NotAuthorizedError, match="role host not authorized"):
            clean_job(session, {"job_id": JOB_ID})
        permission.grant(session, "9999", "guest", {"role": "host", "command": "clean"})
        assert clean_job(session, {"job_id": JOB_ID}) == 1
