"""Every way in which a job fails: it ends within seconds, everywhere, with a reason that says
which component of which party failed and what to do."""

from __future__ import annotations

import time
from typing import Any

import pytest

from fate_flow.client import ApiError
from fate_flow.data.table import TableStore
from fate_flow.entities import Party
from fate_flow.runtime.inputs import output_address
from tests.support.live_jobs import (
    GUEST,
    HOST,
    NAMESPACE,
    changed,
    lr_job,
    main_job,
    read,
    small_job,
    upload_breast,
    upload_rows,
    upload_small,
)
from tests.support.live_site import LiveSite

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

#: From the failure of one task to the end of the whole job.
SECONDS = 20.0


def _fails(
    site: LiveSite, documents: tuple[dict[str, Any], dict[str, Any]], component: str, party: Party
) -> str:
    """Submit a job that must fail at one task; its reason, after all else was checked."""
    job_id = site.submit(*documents)
    state = site.wait(job_id)
    assert state.status.value == "failed", site.why(job_id)
    assert {row["f_status"] for row in state.rows} == {"failed"}
    reason = site.reason(job_id)
    assert component in reason, reason
    assert str(party) in reason, reason
    task = site.task(job_id, component, party)
    assert task["f_status"] == "failed"
    assert task["f_error"], "query_task has no reason"
    assert task["f_error"] == reason
    tasks = site.client.query_tasks(job_id=job_id)
    assert all(t["f_status"] in ("success", "failed") for t in tasks)
    ended = max(row["f_end_time"] for row in state.rows)
    assert ended - task["f_end_time"] < SECONDS * 1000
    site.nothing_left(job_id)
    assert not TableStore(site.settings.tables_dir).exists(
        *output_address(job_id, component, party)
    )
    return reason


def test_a_missing_table_is_refused_at_submission(live_site: LiveSite) -> None:
    upload_breast(live_site)
    dsl, conf = main_job(guest="no_such_guest", host="no_such_host")
    jobs = set((live_site.settings.jobs_dir).iterdir())
    with pytest.raises(ApiError) as refusal:
        live_site.submit(dsl, conf)
    text = str(refusal.value)
    for role, name in (("guest", "no_such_guest"), ("host", "no_such_host")):
        assert f"job_runtime_conf.role_parameters.{role}.args.data.train_data[0]" in text
        assert name in text
    assert set((live_site.settings.jobs_dir).iterdir()) == jobs


def test_a_table_that_vanishes_after_submission(live_site: LiveSite) -> None:
    upload_small(live_site)
    rows = [(f"u{i}", i % 2, i) for i in range(10)]
    upload_rows(live_site, "vanishing", ("id", "y", "x0"), rows)
    dsl, conf = small_job()
    read(conf, "vanishing", "small_host")
    live_site.tables.discard((NAMESPACE, "vanishing"))

    # Submission and deletion race with the first task, which a busy queue decides: a job that
    # waits behind others reads its table late.
    job_id = live_site.submit(dsl, conf)
    TableStore(live_site.settings.tables_dir).drop(NAMESPACE, "vanishing")
    state = live_site.wait(job_id)
    if state.status.value == "failed":
        reason = live_site.reason(job_id)
        assert "dataio_0" in reason
        assert "guest 9999" in reason
        assert "vanishing" in reason


def test_a_label_column_that_is_missing(live_site: LiveSite) -> None:
    upload_breast(live_site)
    dsl, conf = main_job()
    conf = changed(conf, "role_parameters.guest.dataio_0.label_name", ["diagnosis"])
    reason = _fails(live_site, (dsl, conf), "dataio_0", GUEST)
    assert "diagnosis" in reason
    assert "Traceback" not in reason


def test_a_host_without_common_ids(live_site: LiveSite) -> None:
    upload_breast(live_site)
    rows = [(f"stranger{i}", i / 3, -i) for i in range(40)]
    upload_rows(live_site, "strangers", ("id", "x0", "x1"), rows)
    for method in ("ecdh", "raw", "rsa"):
        dsl, conf = main_job(method, host="strangers")
        job_id = live_site.submit(dsl, conf)
        assert live_site.wait(job_id).status.value == "failed"
        reason = live_site.reason(job_id)
        assert "intersection_0" in reason, reason
        assert "guest 9999" in reason or "host 10000" in reason
        errors = [
            live_site.task(job_id, "intersection_0", party)["f_error"] for party in (GUEST, HOST)
        ]
        assert all(errors), errors
        live_site.nothing_left(job_id)


def test_a_component_that_raises(live_site: LiveSite) -> None:
    """Damaged data: an exception that nobody foresaw reaches the user as one sentence."""
    rows = [(f"u{i:03d}", i % 2, i / 10) for i in range(60)]
    upload_small(live_site)
    upload_rows(live_site, "damaged", ("id", "y", "x0"), rows)
    store = TableStore(live_site.settings.tables_dir)
    files = list(store.open(NAMESPACE, "damaged").path.rglob("*.parquet"))
    assert files
    for file in files:
        content = bytearray(file.read_bytes())
        content[len(content) // 3 : len(content) // 3 + 60] = bytes(60)
        content[-60:-8] = bytes(52)
        file.write_bytes(content)
    dsl, conf = lr_job()
    read(conf, "damaged", "small_host")
    reason = _fails(live_site, (dsl, conf), "dataio_0", GUEST)
    assert "Traceback" not in reason
    live_site.tables.discard((NAMESPACE, "damaged"))


def test_a_failure_of_one_party_ends_the_others_at_once(live_site: LiveSite) -> None:
    """The guest finds at the start of HeteroLR that it has one class only: nobody waits on."""
    upload_small(live_site)
    rows = [(f"u{i:03d}", 1, i / 10, -i / 7) for i in range(60)]
    upload_rows(live_site, "one_class", ("id", "y", "x0", "x1"), rows)
    dsl, conf = lr_job()
    read(conf, "one_class", "small_host")
    job_id = live_site.submit(dsl, conf)
    state = live_site.wait(job_id)
    assert state.status.value == "failed"
    reason = live_site.reason(job_id)
    assert "hetero_lr_0" in reason
    assert "guest 9999" in reason
    tasks = live_site.client.query_tasks(job_id=job_id, component_name="hetero_lr_0")
    assert {t["f_status"] for t in tasks} == {"failed"}
    assert all(t["f_error"] for t in tasks), tasks
    ends = [t["f_end_time"] for t in tasks]
    assert max(ends) - min(ends) < SECONDS * 1000
    live_site.nothing_left(job_id)


def test_a_job_that_takes_too_long(live_site: LiveSite) -> None:
    from tests.support.live_jobs import long_job

    upload_breast(live_site)
    dsl, conf = long_job()
    conf["job_parameters"]["timeout"] = 12
    job_id = live_site.submit(dsl, conf)
    began = time.monotonic()
    state = live_site.wait(job_id)
    assert state.status.value == "timeout", live_site.why(job_id)
    assert time.monotonic() - began > 10
    assert "timeout" in live_site.reason(job_id)
    live_site.nothing_left(job_id)


def test_the_failure_reaches_the_terminal(live_site: LiveSite) -> None:
    """What ``query_job`` and ``query_task`` of the command line print."""
    upload_breast(live_site)
    dsl, conf = main_job()
    conf = changed(conf, "role_parameters.guest.dataio_0.label_name", ["diagnosis"])
    job_id = live_site.submit(dsl, conf)
    live_site.wait(job_id)
    (row,) = live_site.cli("query_job", "-j", job_id, "-r", "host", "-p", "10000")["data"]
    assert row["f_status"] == "failed"
    assert "diagnosis" in row["f_reason"]
    (task,) = live_site.cli(
        "query_task", "-j", job_id, "-cpn", "dataio_0", "-r", "guest", "-p", "9999"
    )["data"]
    assert "diagnosis" in task["f_error"]
