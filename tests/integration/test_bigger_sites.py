"""A site on a database server, with Celery, several schedulers and API servers.

The same jobs as on a standalone site give the same numbers; what a standalone site survives,
these survive too.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import psutil
import pytest

from tests.support import servers
from tests.support.live_jobs import (
    GUEST,
    HOST,
    long_job,
    lr_job,
    main_job,
    small_job,
    upload_breast,
    upload_small,
    weights,
)
from tests.support.live_site import LiveSite

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

Numbers = dict[str, float]


def _numbers(site: LiveSite) -> Numbers:
    """Weights and evaluation of the main job, which is run for them."""
    upload_breast(site)
    job_id = site.finish(*main_job())
    found = weights(site, job_id)
    evaluation = site.client.all_metrics(job_id, "evaluation_0", "guest", 9999)["train"]
    found |= {name: float(value) for name, value in evaluation["hetero_lr_0"]["data"]}
    loss = site.client.all_metrics(job_id, "hetero_lr_0", "arbiter", 10000)["train"]["loss"]
    found |= {f"loss {key}": float(value) for key, value in loss["data"]}
    return found


@pytest.fixture(scope="module")
def expected(live_site: LiveSite) -> Numbers:
    """The main job on SQLite with the local executor."""
    return _numbers(live_site)


@pytest.fixture(scope="class")
def celery_site(expected: Numbers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveSite]:
    """PostgreSQL, Redis, a Celery worker, two schedulers, two processes of the API server."""
    values = {
        "SCHEDULERS": 2,
        "API_SERVERS": 2,
        "PARALLELISM": 6,
        # How soon a task of a killed worker is noticed; 90 s where nobody waits for it.
        "AIRFLOW": {"scheduler": {"task_instance_heartbeat_timeout": 12}},
    }
    with servers.postgresql() as database, servers.redis() as broker:
        values |= database.site_values("celery_site") | broker.site_values()
        home = tmp_path_factory.mktemp("celery") / "site"
        with servers.started_on(home, **values) as site:
            yield site


@pytest.fixture(scope="module")
def mariadb_site(expected: Numbers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveSite]:
    """MariaDB, the local executor, two schedulers."""
    with servers.mariadb() as database:
        values = {"SCHEDULERS": 2, "PARALLELISM": 6, **database.site_values("mariadb_site")}
        home = tmp_path_factory.mktemp("mariadb") / "site"
        with servers.started_on(home, **values) as site:
            yield site


def _status(site: LiveSite) -> dict[str, str]:
    """Name of each process -> what is wrong with it."""
    report = json.loads(site.run("service", "status", "--json").stdout)
    return {process["name"]: process["problem"] for process in report["processes"]}


class TestCelery:
    """Celery with Redis on PostgreSQL."""

    def test_its_processes_answer(self, celery_site: LiveSite) -> None:
        names = ("supervisor", "gateway", "api-server", "scheduler", "scheduler-2")
        assert _status(celery_site) == dict.fromkeys((*names, "celery-worker"), "")
        running = celery_site.select("SELECT job_type FROM job WHERE state = 'running'")
        assert [row[0] for row in running].count("SchedulerJob") == 2
        for name in ("api-server", "celery-worker"):
            done = celery_site.run("service", "health", name)
            assert (done.returncode, done.stdout) == (0, f"{name}: ok\n")

    def test_check_names_the_servers(self, celery_site: LiveSite) -> None:
        done = celery_site.run("check")
        assert done.returncode == 0, done.stdout
        assert "database celery_site at 127.0.0.1:" in done.stdout
        assert "Redis at 127.0.0.1:" in done.stdout
        assert celery_site.settings.REDIS["password"] not in done.stdout
        assert celery_site.settings.DATABASE["passwd"] not in done.stdout

    def test_the_main_job_gives_the_same_numbers(
        self, celery_site: LiveSite, expected: Numbers
    ) -> None:
        assert _numbers(celery_site) == pytest.approx(expected, rel=1e-9)

    def test_a_stop_ends_the_task_processes(self, celery_site: LiveSite) -> None:
        job_id = celery_site.submit(*long_job())
        for party in (GUEST, HOST):
            celery_site.process_of(job_id, "hetero_lr_0", party)
        began = time.monotonic()
        celery_site.client.stop_job(job_id)
        celery_site.nothing_left(job_id, timeout=8.0)
        assert time.monotonic() - began < 10
        assert celery_site.wait(job_id).status.value == "failed"
        assert "stopped" in celery_site.reason(job_id)

    def test_a_job_outlives_its_killed_worker(self, celery_site: LiveSite) -> None:
        job_id = celery_site.submit(*lr_job(max_iter=8, tol=0.0))
        process = celery_site.process_of(job_id, "hetero_lr_0", HOST)
        workers = psutil.Process(celery_site.service("celery-worker")["pid"])
        old = workers.children(recursive=True)
        celery_site.kill("celery-worker")
        celery_site.wait_until("its tasks are ended", lambda: not process.is_alive, 10)
        celery_site.must_succeed(job_id)
        assert celery_site.service("celery-worker")["restarts"] == 1
        assert not psutil.wait_procs(old, timeout=5)[1]
        tries = celery_site.select(
            "SELECT try_number FROM task_instance WHERE dag_id = ? AND task_id LIKE ?",
            f"fate_flow_{job_id}",
            "hetero_lr_0.%",
        )
        assert max(row[0] for row in tries) == 2

    def test_one_scheduler_is_enough(self, celery_site: LiveSite) -> None:
        upload_small(celery_site)
        celery_site.kill("scheduler-2")
        celery_site.finish(*small_job(), timeout=60)
        celery_site.wait_healthy(60)


def test_the_main_job_on_mariadb_gives_the_same_numbers(
    mariadb_site: LiveSite, expected: Numbers
) -> None:
    assert set(_status(mariadb_site).values()) == {""}
    assert _numbers(mariadb_site) == pytest.approx(expected, rel=1e-9)


def test_a_job_is_stopped_on_mariadb(mariadb_site: LiveSite) -> None:
    job_id = mariadb_site.submit(*long_job())
    mariadb_site.process_of(job_id, "hetero_lr_0", HOST)
    mariadb_site.client.stop_job(job_id)
    mariadb_site.nothing_left(job_id, timeout=8.0)
    assert mariadb_site.wait(job_id).status.value == "failed"
    assert "stopped" in mariadb_site.reason(job_id)
