"""A job of two sites: what each knows of it, and how it starts and ends at both."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import event, func, select

from fate_flow.compiler.register import run_state, task_states
from fate_flow.db.models import Job, JobDetail, Task, now_ms
from fate_flow.entities import JobStatus
from fate_flow.errors import FateFlowError, InvalidInputError
from fate_flow.federation.peers import PeerRefusedError, PeerUnreachableError
from fate_flow.federation.tokens import verify_ticket
from fate_flow.jobs import approval, service, starting
from fate_flow.jobs.states import status_of
from fate_flow.operators.plans import read_placement
from fate_flow.sites import delivery, outbox, peers
from tests.support.site import CONF, DSL, Site
from tests.unit.jobs.two_sites import GUEST, HOST, Two

pytestmark = pytest.mark.slow


def test_each_site_has_its_own_part(two: Two) -> None:
    job_id = two.submit()
    assert two.calls == [("bank-b", "job.create")]
    assert two.states(job_id) == {"guest": {"waiting"}, "host": {"waiting"}}
    for site, party, other in ((two.guest, GUEST, HOST), (two.host, HOST, GUEST)):
        placement = read_placement(site.settings.jobs_dir, job_id)
        assert placement is not None
        assert placement.local == {party}
        assert placement.home == GUEST
        assert placement.seal_keys.keys() == {GUEST, HOST}
        models = {path.name.split("#")[0] for path in site.settings.models_dir.iterdir()}
        assert models == {party.role}
        assert other.role not in models
    host = read_placement(two.host.settings.jobs_dir, job_id)
    assert host is not None
    ticket = verify_ticket(two.guest.settings.secret(), host.ticket)
    assert (ticket.job_id, ticket.parties) == (job_id, {HOST})
    two.start(job_id)
    for site, party in ((two.guest, "guest_9999"), (two.host, "host_10000")):
        with two.at(site) as session:
            tasks = set(task_states(session, [job_id])[job_id])
        assert tasks == {f"dataio_0.{party}", f"intersection_0.{party}", "finish"}


def test_success_is_agreed(two: Two) -> None:
    job_id = two.submit()
    two.start(job_id)
    two.work(job_id)
    two.seal(two.host, job_id)
    assert two.states(job_id)["host"] == {"running"}, "the home decides"
    two.seal(two.guest, job_id)
    assert two.states(job_id)["guest"] == {"running"}, "the host's reports have not come yet"
    two.deliver()
    two.seal(two.guest, job_id)
    assert two.states(job_id)["guest"] == {"success"}
    two.deliver()
    assert two.states(job_id) == {"guest": {"success"}, "host": {"success"}}
    assert two.is_quiet()
    with two.at(two.guest) as session:
        tasks = session.scalars(select(Task).where(Task.f_job_id == job_id)).all()
        seen = {(t.f_component_name, t.f_role, t.f_status) for t in tasks}
    assert seen == {
        (component, role, "success")
        for component in ("dataio_0", "intersection_0")
        for role in ("guest", "host")
    }
    for site, role in ((two.guest, "guest"), (two.host, "host")):
        pipelines = list(site.settings.models_dir.glob(f"{role}#*/{job_id}/**/*ipeline*"))
        assert pipelines, f"{role} has no pipeline model"


def test_a_failure_elsewhere_ends_the_job_with_its_reason(two: Two) -> None:
    job_id = two.submit()
    two.start(job_id)
    two.work(job_id, last="failed")
    assert two.states(job_id) == {"guest": {"running"}, "host": {"running"}}
    with two.at(two.host) as session:
        assert run_state(session, job_id) == "failed", "its own part is over at once"
    two.deliver()
    assert two.states(job_id) == {"guest": {"failed"}, "host": {"failed"}}
    for site in (two.guest, two.host):
        detail = two.detail(site, job_id)
        assert (detail.reason, detail.failed_component) == ("broke", "intersection_0")
        assert (detail.failed_role, detail.failed_party_id) == ("host", "10000")
    assert two.is_quiet()


@pytest.mark.parametrize("where", ["guest", "host"])
def test_stop_from_either_site(two: Two, where: str) -> None:
    job_id = two.submit()
    two.start(job_id)
    two.report(two.guest, job_id, "dataio_0", GUEST, "running")
    site: Site = getattr(two, where)
    with two.at(site) as session:
        assert service.stop_job(session, job_id) == "kill job success"
    two.deliver()
    assert two.states(job_id) == {"guest": {"failed"}, "host": {"failed"}}
    assert "stopped by request" in str(two.detail(two.host, job_id).reason)
    assert two.is_quiet()


@pytest.mark.parametrize("where", ["guest", "host"])
def test_a_job_that_waits_is_canceled_at_both(two: Two, where: str) -> None:
    job_id = two.submit()
    with two.at(getattr(two, where)) as session:
        service.stop_job(session, job_id)
    two.deliver()
    assert two.states(job_id) == {"guest": {"canceled"}, "host": {"canceled"}}
    two.start(job_id)
    for site in (two.guest, two.host):
        with two.at(site) as session:
            assert run_state(session, job_id) is None
    assert two.is_quiet()


def test_messages_may_come_twice_and_late(two: Two) -> None:
    job_id = two.submit()
    two.start(job_id)
    two.work(job_id)
    two.deliver(keep=True)
    old = []
    with two.at(two.host) as session:
        old = outbox.due(session, now_ms() + 10**9)
    two.deliver()
    two.seal(two.guest, job_id)
    two.deliver()
    for message in old:
        two.call(message.peer, message.method, dict(message.body))
    two.deliver()
    assert two.states(job_id) == {"guest": {"success"}, "host": {"success"}}


def test_what_is_wrong_at_another_site_is_in_the_one_answer(two: Two) -> None:
    conf = json.loads(json.dumps(CONF))
    conf["role_parameters"]["host"]["args"]["data"]["train_data"][0]["name"] = "nowhere"
    with pytest.raises(InvalidInputError) as refused:
        two.submit(conf)
    (problem,) = refused.value.problems
    assert problem.path == "job_runtime_conf.role_parameters.host.args.data.train_data[0]"
    assert "bank-b" in problem.message
    assert "nowhere" in problem.message
    two.deliver()
    for site in (two.guest, two.host):
        with two.at(site) as session:
            assert session.scalar(select(func.count()).select_from(Job)) == 0
        assert list(site.settings.jobs_dir.glob("*")) == []


def test_a_site_that_does_not_answer_has_nothing_left_later(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = two.call

    def lost_answer(peer: str, method: str, body: dict[str, Any], timeout: float = 0) -> Any:
        real(peer, method, body, timeout)
        raise PeerUnreachableError("the answer was lost")

    monkeypatch.setattr(delivery, "call", lost_answer)
    with pytest.raises(PeerUnreachableError):
        two.submit()
    with two.at(two.host) as session:
        assert session.scalar(select(func.count()).select_from(Job)) == 2
    monkeypatch.setattr(delivery, "call", real)
    two.deliver()
    with two.at(two.host) as session:
        assert session.scalar(select(func.count()).select_from(Job)) == 0
    assert two.is_quiet()


def test_an_unknown_party_and_a_foreign_initiator_are_refused(two: Two) -> None:
    conf = json.loads(json.dumps(CONF))
    conf["role"]["host"] = [10001]
    with pytest.raises(InvalidInputError, match="host 10001 is not hosted at this site, nor"):
        two.submit(conf)
    with pytest.raises(InvalidInputError, match="at the site bank-a"), two.at(two.host) as session:
        service.submit_job(session, DSL, CONF)
    assert two.calls == []


def test_approval_is_waited_for(two: Two) -> None:
    with two.at(two.host) as session:
        peers.change_policy(session, "bank-a", {"approval": "ask"})
    job_id = two.submit()
    two.start(job_id)
    assert two.states(job_id) == {"guest": {"waiting"}, "host": {"waiting"}}
    assert "bank-b" in str(two.detail(two.guest, job_id).reason)
    with two.at(two.host) as session:
        (waiting,) = approval.waiting(session)
        assert (waiting.site, waiting.tables) == ("bank-a", ["n/h"])
        assert waiting.modules == ["DataIO", "Intersection"]
        approval.approve(session, job_id, by="ann")
    two.deliver()
    two.start(job_id)
    with two.at(two.host) as session:
        assert run_state(session, job_id) == "queued"
        assert approval.waiting(session) == []
        with pytest.raises(FateFlowError, match="approved"):
            approval.refuse(session, job_id)


def test_a_refusal_cancels_the_job_everywhere(two: Two) -> None:
    with two.at(two.host) as session:
        peers.change_policy(session, "bank-a", {"approval": "ask"})
    job_id = two.submit()
    with two.at(two.host) as session:
        approval.refuse(session, job_id, "not this quarter", by="ann")
    two.deliver()
    assert two.states(job_id) == {"guest": {"canceled"}, "host": {"canceled"}}
    assert "not this quarter" in str(two.detail(two.guest, job_id).reason)


def test_policy_is_kept(two: Two) -> None:
    with two.at(two.host) as session:
        peers.change_policy(session, "bank-a", {"tables": ["other/*"]})
    with pytest.raises(PeerRefusedError, match="table n/h"):
        two.submit()


def test_no_place_at_another_site(two: Two) -> None:
    two.host.settings.values["MAX_CONCURRENT_JOB_RUN_HOST"] = 1  # type: ignore[index]
    first, second = two.submit(), two.submit()
    two.start(first)
    assert "all its places are taken" in str(two.detail(two.guest, second).reason)
    with two.at(two.guest) as session:
        assert run_state(session, second) is None, "no place is held while another is waited for"
        service.stop_job(session, first)
    two.deliver()
    two.start(second)
    with two.at(two.host) as session:
        assert run_state(session, second) == "queued"


@pytest.mark.parametrize(
    ("sender", "method"),
    [("guest", "job.report"), ("guest", "job.query"), ("host", "job.state"), ("host", "job.start")],
)
def test_nobody_speaks_out_of_turn(two: Two, sender: str, method: str) -> None:
    """The home sends no reports, and nobody but the home gives states."""
    job_id = two.submit()
    body = {"job_id": job_id, "version": 10**6, "state_version": 10**6, "status": "failed"}
    peer = "bank-b" if sender == "guest" else "bank-a"
    if method == "job.query":
        assert two.call(peer, method, body) == {"known": False}
    else:
        with pytest.raises(PeerRefusedError, match="not known"):
            two.call(peer, method, body)
    assert two.states(job_id) == {"guest": {"waiting"}, "host": {"waiting"}}


def test_a_site_reports_its_own_tasks_only(two: Two) -> None:
    job_id = two.submit()
    two.start(job_id)
    task = {"component": "dataio_0", "role": "guest", "party_id": "9999", "status": "failed"}
    two.call("bank-a", "job.report", {"job_id": job_id, "version": 1, "tasks": [task]})
    with two.at(two.guest) as session:
        assert session.scalars(select(Task)).all() == []


@pytest.mark.parametrize(
    "body",
    [
        {"tasks": 1},
        {"tasks": [1]},
        {"tasks": [{"component": "dataio_0", "role": "robot", "party_id": 1}]},
        {
            "tasks": [
                {"component": "dataio_0", "role": "host", "party_id": "10000", "status": "odd"}
            ]
        },
        {"version": "x", "tasks": []},
        {"tasks": [], "proposal": {"status": "success"}},
    ],
)
def test_garbage_changes_nothing(two: Two, body: dict[str, Any]) -> None:
    job_id = two.submit()
    two.start(job_id)
    before = two.detail(two.guest, job_id).seen
    with pytest.raises(PeerRefusedError):
        two.call("bank-a", "job.report", {"job_id": job_id, "version": 1, **body})
    assert two.detail(two.guest, job_id).seen == before
    assert two.states(job_id)["guest"] == {"waiting"}


def _forget_at_home(two: Two, job_id: str) -> None:
    with two.at(two.guest) as session:
        session.delete(session.get_one(JobDetail, job_id))


def _silent(two: Two, job_id: str) -> None:
    with two.at(two.host) as session:
        session.get_one(JobDetail, job_id).heard_at = 0


@pytest.mark.parametrize(
    ("prepare", "status", "reason"),
    [
        (_forget_at_home, "canceled", "does not know the job"),
        (lambda two, _: setattr(two, "is_cut", True), "waiting", "does not answer"),
    ],
)
def test_a_site_asks_when_it_hears_nothing(
    two: Two, prepare: Callable[[Two, str], None], status: str, reason: str
) -> None:
    job_id = two.submit()
    prepare(two, job_id)
    _silent(two, job_id)
    two.host.settings.values["ORPHAN_LIMIT"] = 10**9  # type: ignore[index]
    two.active = two.host
    starting.HomeWatch()()
    assert two.states(job_id)["host"] == {status}
    assert reason in str(two.detail(two.host, job_id).reason)


def test_a_home_that_is_gone_for_good(two: Two) -> None:
    job_id = two.submit()
    two.is_cut = True
    _silent(two, job_id)
    two.active = two.host
    starting.HomeWatch()()
    with two.at(two.host) as session:
        assert status_of(session, job_id) is JobStatus.FAILED
    assert "too long" in str(two.detail(two.host, job_id).reason)


def test_all_take_the_locks_of_a_job_in_one_order(two: Two) -> None:
    """Other orders are deadlocks of a database server, when several speak of a job at once."""
    job_id = two.submit()
    two.start(job_id)
    report = {"job_id": job_id, "version": 5, "tasks": []}
    state = {"job_id": job_id, "state_version": 50, "status": "running", "progress": 0, "tasks": []}
    steps: list[tuple[Site, Callable[[], object]]] = [
        (two.guest, lambda: two.call("bank-a", "job.report", report)),
        (two.guest, lambda: two.call("bank-a", "job.query", {"job_id": job_id})),
        (two.guest, lambda: two.report(two.guest, job_id, "dataio_0", GUEST, "running")),
        (two.host, lambda: two.call("bank-b", "job.state", state)),
        (two.host, lambda: two.call("bank-b", "job.ready", {"job_id": job_id})),
        (two.host, lambda: starting.ask_home(job_id)),
    ]
    for number, (site, step) in enumerate(steps):
        written: list[str] = []

        def note(*arguments: Any, written: list[str] = written) -> None:
            if arguments[2].startswith("UPDATE"):
                written.append(arguments[2].split()[1])

        event.listen(site.engine, "before_cursor_execute", note)
        two.active = site
        step()
        event.remove(site.engine, "before_cursor_execute", note)
        assert written[0] == "t_job", f"step {number}: {written}"
        assert "ff_job_detail" in written, f"step {number}: {written}"
