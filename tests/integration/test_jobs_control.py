"""Stopping jobs in each phase of their life, and many jobs at once."""

from __future__ import annotations

import json
import time

import pytest

from fate_flow.client import ApiError
from tests.support.live_jobs import (
    GUEST,
    long_job,
    lr_job,
    main_job,
    small_job,
    upload_breast,
    upload_small,
)
from tests.support.live_site import LiveSite

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

LIMIT = 5


def _stop(site: LiveSite, job_id: str) -> str:
    """Stop a job; no process of it is left 10 s later."""
    began = time.monotonic()
    text = site.client.stop_job(job_id)
    state = site.wait(job_id, 10)
    site.nothing_left(job_id, 10 - (time.monotonic() - began))
    assert state.status.value in ("failed", "canceled")
    time.sleep(1.5)
    # Nothing may start afterwards, not even by a retry.
    assert site.living_of(job_id) == []
    assert site.client.job_state(job_id).status == state.status
    return text


class TestStop:
    def test_in_its_first_component(self, live_site: LiveSite) -> None:
        upload_breast(live_site)
        job_id = live_site.submit(*main_job())
        live_site.wait_until("a first process", lambda: live_site.processes_of(job_id))
        assert _stop(live_site, job_id) == "kill job success"
        assert live_site.client.job_state(job_id).status.value == "failed"
        assert "stopped" in live_site.reason(job_id)

    def test_right_after_submission(self, live_site: LiveSite) -> None:
        upload_breast(live_site)
        job_id = live_site.submit(*main_job())
        _stop(live_site, job_id)

    def test_in_the_middle_of_hetero_lr(self, live_site: LiveSite) -> None:
        upload_breast(live_site)
        job_id = live_site.submit(*long_job())
        live_site.wait_until(
            "three parties compute",
            lambda: sum(p.component == "hetero_lr_0" for p in live_site.processes_of(job_id)) == 3,
        )
        live_site.wait_until(
            "it runs",
            lambda: live_site.task(job_id, "hetero_lr_0", GUEST).get("f_status") == "running",
        )
        assert _stop(live_site, job_id) == "kill job success"
        tasks = live_site.client.query_tasks(job_id=job_id, component_name="hetero_lr_0")
        assert {t["f_status"] for t in tasks} == {"failed"}

    def test_after_its_end_nothing_changes(self, live_site: LiveSite) -> None:
        upload_small(live_site)
        job_id = live_site.finish(*small_job())
        before = live_site.client.query_jobs(job_id=job_id)
        assert live_site.client.stop_job(job_id) == "kill job success"
        time.sleep(1.5)
        assert live_site.client.query_jobs(job_id=job_id) == before

    def test_an_unknown_job(self, live_site: LiveSite) -> None:
        with pytest.raises(ApiError, match="can not found job"):
            live_site.client.stop_job("20260101000000000000001")

    def test_while_it_waits_and_the_others_go_on(self, live_site: LiveSite) -> None:
        upload_breast(live_site)
        running = [live_site.submit(*long_job()) for _ in range(LIMIT)]
        waiting = live_site.submit(*long_job())
        try:
            time.sleep(3)
            assert live_site.client.job_state(waiting).status.value == "waiting"
            assert live_site.living_of(waiting) == []
            assert _stop(live_site, waiting) == "cancel job success"
            assert live_site.client.job_state(waiting).status.value == "canceled"
            assert all(
                live_site.client.job_state(job_id).status.value in ("waiting", "running")
                for job_id in running
            )
        finally:
            for job_id in running:
                live_site.client.stop_job(job_id)
        for job_id in running:
            live_site.wait(job_id)
            live_site.nothing_left(job_id)


class TestManyJobs:
    def test_two_jobs_at_once(self, live_site: LiveSite) -> None:
        upload_breast(live_site)
        first = live_site.submit(*main_job(max_iter=5))
        second = live_site.submit(*main_job("raw", max_iter=5))

        def overlap() -> bool:
            return all(
                live_site.client.job_state(job_id).status.value == "running"
                for job_id in (first, second)
            )

        live_site.wait_until("both run", overlap)
        for job_id in (first, second):
            live_site.must_succeed(job_id)
            live_site.nothing_left(job_id)

    def test_twenty_jobs_on_a_limit_of_five(self, live_site: LiveSite) -> None:
        upload_small(live_site)
        jobs = [live_site.submit(*small_job()) for _ in range(20)]
        most_running, seen_waiting = 0, False
        deadline = time.monotonic() + 300
        left = set(jobs)
        while left:
            assert time.monotonic() < deadline, [live_site.why(job_id) for job_id in left]
            active = 0
            for job_id in list(left):
                state = live_site.client.job_state(job_id)
                if state.status.is_terminal:
                    left.discard(job_id)
                elif state.status.value == "running":
                    active += 1
                else:
                    seen_waiting = True
            most_running = max(most_running, active)
        for job_id in jobs:
            assert live_site.client.job_state(job_id).status.value == "success", live_site.why(
                job_id
            )
        assert seen_waiting
        assert 1 < most_running <= LIMIT
        rows = [live_site.client.query_jobs(job_id=job_id)[0] for job_id in jobs]
        assert _most_at_once([(r["f_start_time"], r["f_end_time"]) for r in rows]) <= LIMIT
        starts = [row["f_create_time"] for row in rows]
        assert starts == sorted(starts)

    def test_clean_queue_cancels_what_waits(self, live_site: LiveSite) -> None:
        upload_breast(live_site)
        running = [live_site.submit(*long_job()) for _ in range(LIMIT)]
        waiting = [live_site.submit(*lr_job()) for _ in range(2)]
        try:
            assert live_site.cli("clean_queue")["retcode"] == 0
            assert {live_site.wait(j, 10).status.value for j in waiting} == {"canceled"}
        finally:
            for job_id in running:
                live_site.client.stop_job(job_id)
        for job_id in running:
            live_site.wait(job_id)
            live_site.nothing_left(job_id)


def _most_at_once(spans: list[tuple[int, int]]) -> int:
    events = sorted([(begin, 1) for begin, _ in spans] + [(end, -1) for _, end in spans])
    most = now = 0
    for _, step in events:
        now += step
        most = max(most, now)
    return most


def test_submit_by_airflow_s_own_command(live_site: LiveSite) -> None:
    """``airflow dags trigger fate_flow_submit --conf …`` with the site's environment."""
    upload_small(live_site)
    dsl, conf = small_job()
    before = {r["f_job_id"] for r in live_site.client.query_jobs(role="guest", party_id="9999")}
    document = json.dumps({"job_dsl": dsl, "job_runtime_conf": conf})
    done = live_site.module(
        "airflow", "dags", "trigger", "fate_flow_submit", "--conf", document, timeout=300
    )
    assert done.returncode == 0, done.stderr

    def new_job() -> str | None:
        rows = live_site.client.query_jobs(role="guest", party_id="9999")
        return next((r["f_job_id"] for r in rows if r["f_job_id"] not in before), None)

    job_id = live_site.wait_until("a job of the triggered run", new_job)
    live_site.must_succeed(job_id)
    live_site.wait_until(
        "the end of the triggered run",
        lambda: live_site.run_states("fate_flow_submit")[-1] not in ("queued", "running"),
    )
    assert live_site.run_states("fate_flow_submit")[-1] == "success"


def test_airflow_refuses_documents_that_break_the_schema(live_site: LiveSite) -> None:
    document = json.dumps({"job_dsl": {"components": []}, "job_runtime_conf": {}})
    done = live_site.module(
        "airflow", "dags", "trigger", "fate_flow_submit", "--conf", document, timeout=300
    )
    assert done.returncode != 0
    assert "job_dsl" in done.stderr + done.stdout
