"""A contract with Airflow's internals: what the registration writes is what Airflow reads.

Should a later Airflow change one of them, this file says which.
"""

from __future__ import annotations

import datetime as dt
import json
import runpy
from collections.abc import Iterator
from pathlib import Path

import pytest
from airflow.models.dag import DagModel
from airflow.models.dag_version import DagVersion
from airflow.models.dagbundle import DagBundleModel
from airflow.models.dagrun import DagRun
from airflow.models.serialized_dag import SerializedDagModel
from airflow.models.taskinstance import TaskInstance
from sqlalchemy import func, select

from fate_flow.compiler import register
from fate_flow.compiler.build import build_dag
from fate_flow.compiler.bundle import (
    JobBundle,
    ShippedDagBundle,
    dispatcher_folder,
    shipped_dags_folder,
)
from fate_flow.compiler.names import DAGS_BUNDLE, DISPATCHER_FILE, JOB_BUNDLE
from fate_flow.errors import ConfigurationError
from fate_flow.operators.plans import write_plan
from tests.support.site import Site
from tests.unit.compiler.test_build import JOB, component, example_plan, plan

DAG_ID = f"fate_flow_{JOB}"


@pytest.fixture
def full_site(
    tmp_path: Path, airflow_template: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Site]:
    made = Site.make(tmp_path / "site", airflow_template, monkeypatch)
    yield made
    made.close()


@pytest.fixture
def registered(full_site: Site) -> Site:
    with full_site.session() as session:
        register.register_job(
            session, build_dag(JOB, plan(component("a_0"), component("b_0", "a_0")), 2), JOB
        )
    return full_site


def test_the_parts_that_are_used_are_there() -> None:
    register.check_internals.cache_clear()
    register.check_internals()


def test_another_airflow_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    register.check_internals.cache_clear()
    monkeypatch.setattr("airflow.__version__", "3.4.0")
    with pytest.raises(ConfigurationError, match=r"3\.4\.0 was not tested"):
        register.check_internals()
    monkeypatch.undo()
    register.check_internals()


def test_the_dag_is_one_that_the_scheduler_runs(registered: Site) -> None:
    with registered.session() as session:
        model = session.get(DagModel, DAG_ID)
        assert model is not None
        assert (model.bundle_name, model.relative_fileloc) == (JOB_BUNDLE, DISPATCHER_FILE)
        assert model.fileloc == str(dispatcher_folder() / DISPATCHER_FILE)
        assert model.is_paused is False
        assert model.is_stale is False
        assert model.has_import_errors is False
        # Later than any parse of the dispatcher file, or Airflow would call the DAG stale.
        assert model.last_parsed_time is not None
        assert model.last_parsed_time.replace(tzinfo=dt.timezone.utc) == register.NEVER_STALE
        version = session.scalars(select(DagVersion).where(DagVersion.dag_id == DAG_ID)).one()
        assert (version.bundle_name, version.bundle_version) == (JOB_BUNDLE, None)


def test_the_run_is_due_at_once(registered: Site) -> None:
    """SQLite compares times as texts of whole seconds: a fraction would cost a second."""
    with registered.session() as session:
        run = session.scalars(select(DagRun).where(DagRun.dag_id == DAG_ID)).one()
        assert (run.run_id, run.state, run.run_type) == (JOB, "queued", "manual")
        assert run.run_after is not None
        due = run.run_after.replace(tzinfo=dt.timezone.utc)
        assert due.microsecond == 0
        assert due <= dt.datetime.now(dt.timezone.utc) - dt.timedelta(seconds=1)
        now = session.scalar(select(func.current_timestamp()))
        assert now is not None
        assert run.run_after.replace(tzinfo=None) < now.replace(tzinfo=None)
        instances = session.scalars(select(TaskInstance).where(TaskInstance.dag_id == DAG_ID)).all()
        assert {instance.task_id for instance in instances} == {
            "a_0.guest_9999",
            "a_0.host_10000",
            "b_0.guest_9999",
            "b_0.host_10000",
            "finish",
        }
        assert all(instance.dag_version_id for instance in instances)


def test_what_is_stored_can_be_read_by_airflow(registered: Site) -> None:
    with registered.session() as session:
        dag = SerializedDagModel.get_dag(DAG_ID, session=session)
        assert dag is not None
        task = dag.get_task("b_0.host_10000")
        assert task.upstream_task_ids == {"a_0.guest_9999", "a_0.host_10000"}
        assert task.retries == 2


def test_all_of_it_rolls_back(full_site: Site) -> None:
    class Lost(Exception):
        pass

    def register_and_lose() -> None:
        with full_site.session() as session:
            register.register_job(session, build_dag(JOB, example_plan(), 2), JOB)
            session.flush()
            raise Lost

    with pytest.raises(Lost):
        register_and_lose()
    with full_site.session() as session:
        for model in (DagModel, DagVersion, SerializedDagModel, DagRun, TaskInstance):
            assert session.scalar(select(func.count()).select_from(model)) == 0, model.__name__


def test_states_are_read_and_a_run_is_failed(registered: Site) -> None:
    with registered.session() as session:
        assert register.run_state(session, JOB) == "queued"
        assert register.run_state(session, "1") is None
        states = register.task_states(session, [JOB, "1"])
        assert set(states) == {JOB, "1"}
        assert states["1"] == {}
        assert states[JOB]["finish"] == (None, 0)
        register.fail_run(session, JOB)
        register.fail_run(session, "1")
    with registered.session() as session:
        assert register.run_state(session, JOB) == "failed"
        states = register.task_states(session, [JOB])
        last, _ = states[JOB].pop("finish")
        assert last == "upstream_failed"
        assert {state for state, _ in states[JOB].values()} <= {"skipped", "failed"}
        register.fail_run(session, JOB)
        assert register.run_state(session, JOB) == "failed"


def test_a_running_task_of_a_failed_run_is_told_to_stop(registered: Site) -> None:
    with registered.session() as session:
        instance = session.scalars(
            select(TaskInstance).where(TaskInstance.task_id == "a_0.guest_9999")
        ).one()
        instance.state = "running"
        session.flush()
        register.fail_run(session, JOB)
    with registered.session() as session:
        states = register.task_states(session, [JOB])[JOB]
        assert states["a_0.guest_9999"][0] == "failed"
        assert states["b_0.guest_9999"][0] == "skipped"


def test_a_scheduler_at_the_same_run_does_not_make_a_success_of_it(registered: Site) -> None:
    """It has read the run before it was failed, and counts it by its tasks afterwards."""
    with registered.session() as session:
        register.fail_run(session, JOB)
    with registered.session() as session:
        run = session.scalars(select(DagRun).where(DagRun.run_id == JOB)).one()
        run.dag = SerializedDagModel.get_dag(DAG_ID, session=session)
        run.update_state(session=session, execute_callbacks=False)
    with registered.session() as session:
        assert register.run_state(session, JOB) == "failed"


def test_a_retired_dag_leaves_the_lists(registered: Site) -> None:
    with registered.session() as session:
        register.retire_dag(session, JOB)
        register.retire_dag(session, "1")
    with registered.session() as session:
        model = session.get(DagModel, DAG_ID)
        assert model is not None
        assert model.is_stale is True
        assert register.run_state(session, JOB) == "queued", "its history stays"


def test_bundles_are_known_to_the_database(
    full_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.configuration import conf

    bundles = [
        {"name": name, "classpath": f"fate_flow.compiler.bundle.{kind.__name__}", "kwargs": {}}
        for name, kind in ((JOB_BUNDLE, JobBundle), (DAGS_BUNDLE, ShippedDagBundle))
    ]
    monkeypatch.setattr(conf, "getjson", lambda *_, **__: bundles)
    with full_site.session() as session:
        register.sync_bundles(session)
    with full_site.session() as session:
        found = {b.name for b in session.scalars(select(DagBundleModel)) if b.active}
    assert {JOB_BUNDLE, DAGS_BUNDLE} <= found


def test_bundles_lie_in_the_package() -> None:
    assert JobBundle(name=JOB_BUNDLE).path == dispatcher_folder()
    assert (dispatcher_folder() / DISPATCHER_FILE).is_file()
    shipped = ShippedDagBundle(name=DAGS_BUNDLE)
    assert shipped.path == shipped_dags_folder()
    assert (shipped.path / "fate_flow_submit.py").is_file()
    shipped.refresh()


class TestDispatcher:
    def _run(self) -> dict[str, object]:
        return runpy.run_path(str(dispatcher_folder() / DISPATCHER_FILE))

    def test_it_yields_nothing_unasked(self) -> None:
        from airflow.sdk import DAG

        assert not [value for value in self._run().values() if isinstance(value, DAG)]

    def test_it_yields_the_dag_that_is_asked_for(
        self, full_site: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from airflow.sdk import DAG
        from airflow.sdk.definitions.context import AirflowParsingContext

        write_plan(full_site.settings.jobs_dir, JOB, example_plan())
        context = AirflowParsingContext(dag_id=DAG_ID, task_id=None)
        monkeypatch.setattr("airflow.sdk.get_parsing_context", lambda: context)
        found = [value for value in self._run().values() if isinstance(value, DAG)]
        assert [dag.dag_id for dag in found] == [DAG_ID]
        assert {"dataio_0.guest_9999", "hetero_lr_0.arbiter_10000", "finish"} <= {
            task.task_id for task in found[0].tasks
        }


def test_the_plan_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    file = write_plan(tmp_path, JOB, plan(component("a_0")))
    assert json.loads(file.read_text())["components"]
    assert [path.name for path in file.parent.iterdir()] == ["plan.json"]
