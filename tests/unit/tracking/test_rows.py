from __future__ import annotations

from typing import Any

import pytest

from fate_flow.db.models import DataView, Job, JobDetail, Task, TaskDetail
from fate_flow.errors import InvalidInputError
from fate_flow.tracking import store
from fate_flow.tracking.store import TaskScope
from tests.support.site import JOB_ID, Site, add_job, add_task

SCOPE = TaskScope(JOB_ID, "dataio_0", "guest", "9999")


def _task(site: Site) -> Task:
    with site.session() as session:
        task = session.query(Task).one()
        session.expunge(task)
    return task


def test_a_task_goes_through_its_life_and_stays_ended(site: Site) -> None:
    with site.session() as session:
        assert store.save_task(session, SCOPE)
    assert (_task(site).f_status, _task(site).f_operator) == ("waiting", "python_operator")
    with site.session() as session:
        assert store.save_task(session, SCOPE, status="running", f_start_time=1000, run_pid=7)
        assert store.save_task(session, SCOPE, status="success", end_time=1500)
    ended = _task(site)
    assert (ended.f_status, ended.f_elapsed, ended.f_run_pid) == ("success", 500, 7)
    with site.session() as session:
        assert not store.save_task(session, SCOPE, status="failed", run_pid=8)
    assert (_task(site).f_status, _task(site).f_run_pid) == ("success", 7)


def test_an_end_without_times_gets_them(site: Site) -> None:
    with site.session() as session:
        store.save_task(session, SCOPE, status="failed", start_time=1000)
    task = _task(site)
    assert task.f_end_time is not None
    assert task.f_elapsed == task.f_end_time - 1000


def test_unknown_columns_are_a_programming_error(site: Site) -> None:
    with site.session() as session, pytest.raises(TypeError, match="colour"):
        store.save_task(session, SCOPE, colour="red")


def test_a_data_view_is_completed_step_by_step(site: Site) -> None:
    with site.session() as session:
        store.save_data_view(
            session, SCOPE, table_name="t", table_namespace="n", table_count_actual=0, partition=4
        )
        store.save_data_view(session, SCOPE, party_model_id="guest#1#m", table_name=None, tag="")
        assert session.query(DataView).count() == 1
        view = store.data_view(session, SCOPE)
        assert view is not None
        assert (view.f_table_name, view.f_table_count_actual, view.f_partition) == ("t", 0, 4)
        assert (view.f_party_model_id, view.f_component_name) == ("guest#1#m", "dataio_0")


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, 0),
        ({"colour": "red"}, 0),
        ({"job_id": JOB_ID}, 2),
        ({"job_id": JOB_ID, "colour": "red"}, 2),
        ({"job_id": JOB_ID, "role": "guest"}, 1),
        ({"party_id": 9999}, 1),
        ({"party_id": "9999", "role": "host"}, 0),
        ({"progress": "0"}, 2),
        ({"progress": 0.0}, 2),
        ({"end_time": None}, 2),
        ({"is_initiator": True}, 1),
    ],
)
def test_job_filters(site: Site, wanted: dict[str, Any], found: int) -> None:
    with site.session() as session:
        add_job(session)
        assert len(store.query_jobs(session, wanted)) == found


def test_without_a_filter_all_tasks_but_no_jobs_and_views(site: Site) -> None:
    with site.session() as session:
        add_job(session)
        add_task(session, "dataio_0")
        store.save_data_view(session, SCOPE, table_name="t")
        assert len(store.query_tasks(session, {})) == 1
        assert store.query_data_views(session, {"namespace": "n"}) == []
        assert len(store.query_data_views(session, {"table_name": "t"})) == 1


def test_wrong_filter_values_are_all_named(site: Site) -> None:
    wanted = {"job_id": ["a"], "progress": "many", "role": {"x": 1}, "create_time": 2**70}
    with site.session() as session, pytest.raises(InvalidInputError) as caught:
        store.query_jobs(session, wanted)
    paths = {problem.path for problem in caught.value.problems}
    assert paths == {"job_id", "progress", "role", "create_time"}
    assert "found a list; allowed: a text" in str(caught.value)


def test_a_failed_job_says_why(site: Site) -> None:
    with site.session() as session:
        add_job(session, status="failed")
        session.add(
            JobDetail(
                f_job_id=JOB_ID,
                reason="label is not binary",
                failed_component="hetero_lr_0",
                failed_role="guest",
                failed_party_id="9999",
            )
        )
        session.flush()
        rows = store.job_dicts(session, store.query_jobs(session, {"job_id": JOB_ID}))
        assert rows[0]["f_reason"] == "hetero_lr_0 at guest 9999: label is not binary"
        session.query(Job).update({"f_status": "success"})
        rows = store.job_dicts(session, store.query_jobs(session, {"job_id": JOB_ID}))
        assert "f_reason" not in rows[0]


@pytest.mark.parametrize("status", ["waiting", "running", "success", "failed"])
@pytest.mark.parametrize("home", ["guest_9999", ""])
def test_an_open_job_says_what_it_waits_for(site: Site, status: str, home: str) -> None:
    with site.session() as session:
        add_job(session, status=status)
        detail = JobDetail(f_job_id=JOB_ID, home=home, reason="waiting for site bank-b")
        session.add(detail)
        session.flush()
        (row, *_) = store.job_dicts(session, store.query_jobs(session, {"job_id": JOB_ID}))
        is_open = status in ("waiting", "running")
        assert row.get("f_message") == ("waiting for site bank-b" if is_open else None)
        assert ("f_reason" in row) == (status == "failed")
        detail.reason = None
        session.flush()
        (row, *_) = store.job_dicts(session, store.query_jobs(session, {"job_id": JOB_ID}))
        assert "f_message" not in row, "as FATE-Flow answers"


def test_a_task_says_what_it_waits_for(site: Site) -> None:
    with site.session() as session:
        add_task(session, "dataio_0", status="running")
        detail = TaskDetail(
            job_id=JOB_ID, component_name="dataio_0", role="guest", party_id="9999",
            attempt=2, message="reading", waiting_for="host 10000", error="boom",
        )  # fmt: skip
        session.add(detail)
        session.flush()
        row = store.task_dicts(session, store.query_tasks(session, {}))[0]
        assert (row["f_message"], row["f_attempt"], row["f_error"]) == ("host 10000", 2, "boom")
        detail.waiting_for = ""
        session.flush()
        row = store.task_dicts(session, store.query_tasks(session, {}))[0]
        assert row["f_message"] == "reading"


def test_notes(site: Site) -> None:
    with site.session() as session:
        add_job(session)
        assert store.save_notes(session, JOB_ID, "guest", "9999", "first try")
        assert store.save_notes(session, JOB_ID, "guest", "9999", "")
        assert not store.save_notes(session, JOB_ID, "guest", "1", "x")
        job = store.initiator_row(session, JOB_ID)
        assert job is not None
        assert job.f_description == "first try"


def test_versions_form_a_chain(site: Site) -> None:
    with site.session() as session:
        for name in ("a", "b", "b"):
            store.save_version(session, "n", name, log=f"saved {name}")
        history = store.version_history(session, "n")
        assert store.newest_name(session, "n") == "b"
        assert store.newest_name(session, "other") is None
    assert [(c["commitId"], c["parent"]) for c in history] == [("b", "a"), ("a", None)]
    assert history[0]["repeatCommit"] is True
    assert "repeatCommit" not in history[1]
