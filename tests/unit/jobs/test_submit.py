"""Submission: everything or nothing, limits, stop."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import inspect, select, text

from fate_flow.compiler.register import run_state, task_states
from fate_flow.db.models import Job, JobDetail, Queue
from fate_flow.entities import JobStatus, Plan
from fate_flow.errors import FateFlowError, InvalidInputError
from fate_flow.jobs import admission, creation, service
from fate_flow.jobs.admission import width_of
from fate_flow.jobs.states import Failure, open_jobs, status_of
from fate_flow.models.store import ModelStore
from fate_flow.operators.plans import read_plan
from fate_flow.tracking import store as tracking
from tests.support.site import Site
from tests.unit.jobs.conftest import Document, Jobs


def _content(site: Site) -> dict[str, Any]:
    """Number of rows of every table, and every file and folder of the site but the database."""
    with site.session() as session:
        names = inspect(site.engine).get_table_names()
        rows = {name: session.scalar(text(f'SELECT count(*) FROM "{name}"')) for name in names}
    found: dict[str, Any] = {name: count for name, count in rows.items() if count}
    home = site.settings.home
    paths = (path.relative_to(home) for path in home.rglob("*"))
    empty = {Path(name) for name in ("jobs", "logs", "tmp", "model_local_cache")}
    found["files"] = sorted(
        str(path)
        for path in paths
        if path not in empty and "fate_flow_sqlite" not in str(path) and ".lock" not in str(path)
    )
    return found


def test_a_job_is_there_as_a_whole(jobs: Jobs) -> None:
    result = jobs.submit()
    settings, job_id = jobs.site.settings, result.job_id
    assert result.data["model_info"] == {
        "model_id": "guest-9999#host-10000#model",
        "model_version": job_id,
    }
    folder = settings.jobs_dir / job_id
    assert json.loads(Path(result.data["job_dsl_path"]).read_text()) == jobs.documents()[0]
    conf = json.loads(Path(result.data["job_runtime_conf_path"]).read_text())
    assert conf["job_parameters"]["model_version"] == job_id
    assert (folder / "train_runtime_conf.json").read_text() == "{}"
    assert Path(result.data["logs_directory"]).is_dir()
    who = f"job_id={result.job_id}&role=guest&party_id=9999"
    assert result.data["board_url"].endswith(f"/runs/{result.job_id}?{who}")
    for owner in ("guest#9999", "host#10000"):
        model = f"{owner}#guest-9999#host-10000#model"
        assert (settings.models_dir / model / job_id).is_dir()
    with jobs.site.session() as session:
        rows = session.scalars(select(Job).where(Job.f_job_id == job_id)).all()
        assert {(row.f_role, row.f_party_id, row.f_is_initiator) for row in rows} == {
            ("guest", "9999", 1),
            ("host", "10000", 0),
        }
        assert {row.f_status for row in rows} == {"waiting"}
        assert run_state(session, job_id) == "queued"
        states = task_states(session, [job_id])[job_id]
        assert set(states) == {
            "dataio_0.guest_9999",
            "dataio_0.host_10000",
            "intersection_0.guest_9999",
            "intersection_0.host_10000",
            "finish",
        }
        detail = session.get(JobDetail, job_id)
        assert detail is not None
        assert detail.width == 2
        assert detail.plan_hash == read_plan(settings.jobs_dir, job_id).content_hash
        assert detail.timeout_at is not None


def test_the_conf_of_the_caller_is_left_alone(jobs: Jobs) -> None:
    dsl, conf = jobs.documents()
    jobs.submit(dsl, conf)
    assert (dsl, conf) == jobs.documents()


def _break_documents(_: pytest.MonkeyPatch, dsl: Document, conf: Document) -> None:
    dsl["components"]["dataio_0"]["module"] = "DataOI"


def _break_reference(_: pytest.MonkeyPatch, dsl: Document, conf: Document) -> None:
    dsl["components"]["intersection_0"]["input"]["data"]["data"] = ["nowhere_0.train"]


def _break_parameter(_: pytest.MonkeyPatch, dsl: Document, conf: Document) -> None:
    conf["algorithm_parameters"] = {"intersection_0": {"intersect_method": "guess"}}


def _break_table(_: pytest.MonkeyPatch, dsl: Document, conf: Document) -> None:
    data = conf["role_parameters"]["host"]["args"]["data"]
    data["train_data"] = [{"name": "absent", "namespace": "n"}]


def _raises(patch: pytest.MonkeyPatch, owner: Any, name: str, after: bool = True) -> None:
    original = getattr(owner, name)

    def fail(*arguments: Any, **more: Any) -> None:
        if after:
            original(*arguments, **more)
        raise OSError(28, "No space left on device")

    patch.setattr(owner, name, fail)


def _break_files(patch: pytest.MonkeyPatch, dsl: Document, conf: Document) -> None:
    _raises(patch, creation, "write_plan")


def _break_models(patch: pytest.MonkeyPatch, dsl: Document, conf: Document) -> None:
    _raises(patch, ModelStore, "create")


def _break_views(patch: pytest.MonkeyPatch, dsl: Document, conf: Document) -> None:
    _raises(patch, tracking, "save_job_view")


def _break_registration(patch: pytest.MonkeyPatch, dsl: Document, conf: Document) -> None:
    _raises(patch, admission, "register_job")


@pytest.mark.parametrize(
    "harm",
    [
        _break_documents,
        _break_reference,
        _break_parameter,
        _break_table,
        _break_files,
        _break_models,
        _break_views,
        _break_registration,
    ],
    ids=lambda harm: harm.__name__.removeprefix("_break_"),
)
def test_nothing_is_left_behind_on_an_error(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch, harm: Callable[..., None]
) -> None:
    before = _content(jobs.site)
    dsl, conf = jobs.documents()
    harm(monkeypatch, dsl, conf)
    with pytest.raises((InvalidInputError, OSError)):
        jobs.submit(dsl, conf)
    assert _content(jobs.site) == before


def test_nothing_is_left_behind_when_the_commit_fails(jobs: Jobs) -> None:
    before = _content(jobs.site)

    class LostConnection(Exception):
        pass

    def submit_and_lose() -> None:
        with jobs.site.session() as session:
            service.submit_job(session, *jobs.documents())
            raise LostConnection

    with pytest.raises(LostConnection):
        submit_and_lose()
    assert _content(jobs.site) == before
    jobs.submit()
    assert _content(jobs.site) != before


def test_a_rollback_after_the_commit_removes_nothing(jobs: Jobs) -> None:
    with jobs.site.session() as session:
        result = service.submit_job(session, *jobs.documents())
        session.commit()
        session.rollback()
    assert (jobs.site.settings.jobs_dir / result.job_id / "plan.json").exists()


def test_all_problems_of_the_documents_are_told_at_once(jobs: Jobs) -> None:
    dsl, conf = jobs.documents()
    dsl["components"]["dataio_0"]["module"] = "DataOI"
    data = conf["role_parameters"]["guest"]["args"]["data"]
    data["train_data"] = [{"name": "absent", "namespace": "n"}]
    with pytest.raises(InvalidInputError) as refusal:
        jobs.submit(dsl, conf)
    paths = {problem.path for problem in refusal.value.problems}
    assert "job_dsl.components.dataio_0.module" in paths
    assert "job_runtime_conf.role_parameters.guest.args.data.train_data[0]" in paths


def test_a_party_of_another_site_is_refused(make_jobs: Callable[..., Jobs]) -> None:
    jobs = make_jobs(PARTIES=["guest:9999"])
    before = _content(jobs.site)
    with pytest.raises(InvalidInputError, match="host 10000 is not hosted"):
        jobs.submit()
    assert _content(jobs.site) == before


class TestLimits:
    def _states(self, jobs: Jobs, *ids: str) -> list[bool]:
        """Whether Airflow has a run of each job."""
        with jobs.site.session() as session:
            return [run_state(session, job_id) is not None for job_id in ids]

    def test_jobs_beyond_the_limit_wait_in_order(self, make_jobs: Callable[..., Jobs]) -> None:
        jobs = make_jobs(MAX_CONCURRENT_JOB_RUN=2)
        first, second, third, fourth = [jobs.submit().job_id for _ in range(4)]
        assert self._states(jobs, first, second, third, fourth) == [True, True, False, False]
        with jobs.site.session() as session:
            assert list(open_jobs(session, taken=False)) == [third, fourth]
            service.end(session, second, JobStatus.FAILED, Failure("test"))
        assert self._states(jobs, third, fourth) == [True, False]
        with jobs.site.session() as session:
            service.end(session, first, JobStatus.SUCCESS, None)
        assert self._states(jobs, fourth) == [True]

    def test_the_page_of_a_waiting_job_is_ours(self, make_jobs: Callable[..., Jobs]) -> None:
        """Airflow does not know it yet: its page of the run would be an error."""
        jobs = make_jobs(MAX_CONCURRENT_JOB_RUN=1)
        pages = [jobs.submit().data["board_url"] for _ in range(2)]
        assert "/dags/fate_flow_" in pages[0]
        assert "/v1/ui/run/fate_flow_" in pages[1]

    def test_task_processes_are_limited_too(self, make_jobs: Callable[..., Jobs]) -> None:
        """Parts of many components that wait for each other must not fill all slots."""
        jobs = make_jobs(MAX_CONCURRENT_JOB_RUN=100, PARALLELISM=5)
        ids = [jobs.submit().job_id for _ in range(3)]
        assert self._states(jobs, *ids) == [True, True, False]

    def test_a_job_that_is_too_wide_runs_alone(self, make_jobs: Callable[..., Jobs]) -> None:
        jobs = make_jobs(PARALLELISM=3)
        dsl, conf = jobs.documents()
        component = dsl["components"].pop("dataio_0")
        del dsl["components"]["intersection_0"]
        dsl["components"] = {f"dataio_{i}": component for i in range(4)}
        wide = jobs.submit(dsl, conf).job_id
        narrow = jobs.submit().job_id
        assert self._states(jobs, wide, narrow) == [True, False]

    def test_width_is_the_fullest_level(self, jobs: Jobs) -> None:
        dsl, conf = jobs.documents()
        dsl["components"]["dataio_1"] = dsl["components"]["dataio_0"]
        plan = read_plan(jobs.site.settings.jobs_dir, jobs.submit(dsl, conf).job_id)
        assert width_of(plan) == 4

    def test_width_of_an_empty_plan(self) -> None:
        from fate_flow.entities import Party

        assert width_of(Plan({"local": [0]}, Party("local", 0), (), {}, {})) == 1

    def test_two_transactions_cannot_pass_the_limit_together(
        self, make_jobs: Callable[..., Jobs]
    ) -> None:
        """The one that comes second counts what the first one took."""
        import threading

        jobs = make_jobs(MAX_CONCURRENT_JOB_RUN=1)
        running, *waiting = [jobs.submit().job_id for _ in range(3)]
        with jobs.site.session() as session:
            from fate_flow.jobs.states import end_job

            end_job(session, running, JobStatus.SUCCESS)
        taken: list[list[str]] = []

        def admit() -> None:
            with jobs.site.session() as session:
                taken.append(admission.admit(session))

        threads = [threading.Thread(target=admit) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(taken) == [[], [], [], [waiting[0]]]

    def test_a_job_whose_plan_is_lost_fails_and_lets_others_in(
        self, make_jobs: Callable[..., Jobs]
    ) -> None:
        jobs = make_jobs(MAX_CONCURRENT_JOB_RUN=1)
        running, lost, last = [jobs.submit().job_id for _ in range(3)]
        (jobs.site.settings.jobs_dir / lost / "plan.json").unlink()
        with jobs.site.session() as session:
            service.end(session, running, JobStatus.SUCCESS, None)
        with jobs.site.session() as session:
            assert status_of(session, lost) is JobStatus.FAILED
            assert run_state(session, last) == "queued"
            detail = session.get(JobDetail, lost)
            assert detail is not None
            assert "plan is lost" in (detail.reason or "")


class TestStop:
    def test_a_waiting_job_is_canceled(self, make_jobs: Callable[..., Jobs]) -> None:
        jobs = make_jobs(MAX_CONCURRENT_JOB_RUN=1)
        _, waiting = [jobs.submit().job_id for _ in range(2)]
        with jobs.site.session() as session:
            assert service.stop_job(session, waiting) == "cancel job success"
        with jobs.site.session() as session:
            assert status_of(session, waiting) is JobStatus.CANCELED
            assert run_state(session, waiting) is None
            assert waiting not in open_jobs(session, taken=False)

    def test_a_job_in_airflow_fails_and_its_run_ends(self, jobs: Jobs) -> None:
        job_id = jobs.submit().job_id
        with jobs.site.session() as session:
            assert service.stop_job(session, job_id) == "kill job success"
        with jobs.site.session() as session:
            assert status_of(session, job_id) is JobStatus.FAILED
            assert run_state(session, job_id) == "failed"
            states = task_states(session, [job_id])[job_id].values()
            assert {state for state, _ in states} <= {"failed", "skipped", "upstream_failed"}

    @pytest.mark.parametrize("status", [s for s in JobStatus if s.is_terminal])
    def test_a_job_that_ended_stays_as_it_is(self, jobs: Jobs, status: JobStatus) -> None:
        job_id = jobs.submit().job_id
        with jobs.site.session() as session:
            service.end(session, job_id, status, None)
        with jobs.site.session() as session:
            assert service.stop_job(session, job_id) == "kill job success"
            assert status_of(session, job_id) is status

    def test_an_unknown_job(self, jobs: Jobs) -> None:
        with (
            jobs.site.session() as session,
            pytest.raises(FateFlowError, match="can not found job: 1") as refusal,
        ):
            service.stop_job(session, "1")
        assert refusal.value.retcode == 100

    def test_the_gateway_is_told_after_the_commit(self, jobs: Jobs) -> None:
        job_id = jobs.submit().job_id
        with jobs.site.session() as session:
            service.stop_job(session, job_id)
            assert jobs.told == []
        for _ in range(100):
            if jobs.told:
                break
            import time

            time.sleep(0.05)
        assert jobs.told == [(job_id, "stopped by request")]

    def test_clean_queue(self, make_jobs: Callable[..., Jobs]) -> None:
        jobs = make_jobs(MAX_CONCURRENT_JOB_RUN=1)
        running, *waiting = [jobs.submit().job_id for _ in range(3)]
        with jobs.site.session() as session:
            assert service.clean_queue(session) == 2
        with jobs.site.session() as session:
            assert {status_of(session, job_id) for job_id in waiting} == {JobStatus.CANCELED}
            assert status_of(session, running) is JobStatus.WAITING
            assert service.clean_queue(session) == 0
            removed = session.scalars(select(Queue.f_is_waiting).where(Queue.f_job_id != ""))
            assert sorted(removed) == [0, 2, 2]


class TestUpload:
    def test_a_missing_key_or_file_leaves_nothing(self, jobs: Jobs, tmp_path: Path) -> None:
        before = _content(jobs.site)
        keys: Document = {"work_mode": 0, "namespace": "n", "table_name": "t", "head": 1}
        with jobs.site.session() as session:
            with pytest.raises(FateFlowError, match="required: partition"):
                service.submit_upload(session, keys, tmp_path / "data.csv")
            with pytest.raises(FateFlowError, match="integer"):
                service.submit_upload(session, {**keys, "partition": "many"}, tmp_path / "x")
            with pytest.raises(FateFlowError):
                service.submit_upload(session, {**keys, "partition": 1, "file": "/none.csv"}, None)
        assert _content(jobs.site) == before

    def test_a_job_of_the_local_party(self, jobs: Jobs, tmp_path: Path) -> None:
        file = jobs.site.settings.home / "data.csv"
        file.write_text("id,x0\n1,2\n")
        keys: Document = {"work_mode": "0", "namespace": "n", "table_name": "t", "head": "1"}
        with jobs.site.session() as session:
            result = service.submit_upload(session, {**keys, "partition": "2"}, file)
        assert result.data["namespace"] == "n"
        assert "model_info" not in result.data
        plan = read_plan(jobs.site.settings.jobs_dir, result.job_id)
        (component,) = plan.components
        assert component.parameters["local_0"]["UploadParam"]["partition"] == 2
