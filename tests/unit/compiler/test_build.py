"""Plan -> DAG: a task group per component, a task per party, the DSL's edges, the same bytes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from airflow.sdk import DAG

from fate_flow.compiler.build import build_dag
from fate_flow.compiler.names import airflow_task_id, dag_id_of, job_id_of
from fate_flow.dsl.parser import canonical_json, compile_plan, plan_from_json
from fate_flow.entities import ComponentPlan, Party, Plan
from fate_flow.operators.submit import examples_folder

JOB = "2026010112000012345612"
GUEST, HOST, ARBITER = Party("guest", 9999), Party("host", 10000), Party("arbiter", 10000)


def component(
    name: str, *upstream: str, parties: tuple[Party, ...] = (GUEST, HOST)
) -> ComponentPlan:
    return ComponentPlan(name, "DataIO", {}, (), (), ("train",), (), parties, {}, upstream)


def plan(*components: ComponentPlan) -> Plan:
    roles = {"guest": [9999], "host": [10000], "arbiter": [10000]}
    return Plan(roles, GUEST, components, {}, {})


def edges(dag: DAG) -> set[tuple[str, str]]:
    return {(task.task_id, after) for task in dag.tasks for after in task.downstream_task_ids}


def serialised(dag: DAG) -> str:
    from airflow.serialization.serialized_objects import LazyDeserializedDAG

    dag.fileloc = "/dispatcher.py"
    dag.relative_fileloc = "dispatcher.py"
    return json.dumps(LazyDeserializedDAG.from_dag(dag).data, sort_keys=False)


def example_plan() -> Plan:
    folder = examples_folder() / "hetero_lr"
    dsl, conf = (json.loads((folder / f"{name}.json").read_text()) for name in ("dsl", "conf"))
    return compile_plan(dsl, conf)


def test_groups_tasks_and_edges() -> None:
    dag = build_dag(JOB, plan(component("a_0"), component("b_0", "a_0")), retries=2)
    assert dag.dag_id == f"fate_flow_{JOB}"
    assert set(dag.task_group.children) == {"a_0", "b_0", "finish"}
    assert edges(dag) == {
        ("a_0.guest_9999", "b_0.guest_9999"),
        ("a_0.guest_9999", "b_0.host_10000"),
        ("a_0.host_10000", "b_0.guest_9999"),
        ("a_0.host_10000", "b_0.host_10000"),
        ("b_0.guest_9999", "finish"),
        ("b_0.host_10000", "finish"),
    }


def test_independent_branches_run_side_by_side() -> None:
    dag = build_dag(
        JOB,
        plan(component("a_0"), component("b_0"), component("c_0", "a_0", "b_0")),
        retries=0,
        local_parties=[GUEST],
    )
    assert edges(dag) == {
        ("a_0.guest_9999", "c_0.guest_9999"),
        ("b_0.guest_9999", "c_0.guest_9999"),
        ("c_0.guest_9999", "finish"),
    }


def test_every_end_leads_to_finish() -> None:
    dag = build_dag(JOB, plan(component("a_0"), component("b_0", "a_0"), component("c_0")), 1)
    before = {first for first, second in edges(dag) if second == "finish"}
    assert before == {"b_0.guest_9999", "b_0.host_10000", "c_0.guest_9999", "c_0.host_10000"}


def test_order_is_kept_across_a_component_of_other_sites() -> None:
    chain = plan(
        component("a_0"), component("b_0", "a_0", parties=(HOST,)), component("c_0", "b_0")
    )
    dag = build_dag(JOB, chain, 0, local_parties=[GUEST])
    assert edges(dag) == {("a_0.guest_9999", "c_0.guest_9999"), ("c_0.guest_9999", "finish")}


def test_a_site_without_any_task_still_finishes() -> None:
    dag = build_dag(JOB, plan(component("a_0", parties=(HOST,))), 0, local_parties=[ARBITER])
    assert [task.task_id for task in dag.tasks] == ["finish"]


def test_an_empty_plan() -> None:
    assert [task.task_id for task in build_dag(JOB, plan(), 0).tasks] == ["finish"]


def test_what_a_task_carries() -> None:
    dag = build_dag(JOB, plan(component("a_0")), retries=3)
    task: Any = dag.get_task("a_0.host_10000")
    assert (task.job_id, task.component, task.role, task.party_id) == (JOB, "a_0", "host", 10000)
    assert task.retries == 3
    assert task.do_xcom_push is False
    assert dag.get_task("finish").retries == 3
    assert build_dag(JOB, plan(), retries=0).get_task("finish").retries == 2
    assert dag.max_active_runs == 1
    assert dag.is_paused_upon_creation is False
    assert {"fate_flow", "guest_9999", "DataIO"} <= set(dag.tags)


def test_the_same_job_compiles_to_the_same_bytes() -> None:
    first = serialised(build_dag(JOB, example_plan(), 2))
    assert serialised(build_dag(JOB, example_plan(), 2)) == first
    stored = plan_from_json(canonical_json(example_plan()))
    assert serialised(build_dag(JOB, stored, 2)) == first


def test_another_job_id_changes_nothing_but_the_id() -> None:
    other = "2026020202000012345699"
    first = serialised(build_dag(JOB, example_plan(), 2))
    assert serialised(build_dag(other, example_plan(), 2)).replace(other, JOB) == first


def test_no_secret_and_no_parameter_stands_in_the_dag() -> None:
    """The DAG carries names only: the metadata database shows it to every user of Airflow."""
    text = serialised(build_dag(JOB, example_plan(), 2))
    for word in ("breast_guest", "learning_rate", "key_length", "label_name"):
        assert word not in text


def test_ids_come_back_from_names() -> None:
    assert job_id_of(dag_id_of(JOB)) == JOB
    assert airflow_task_id("hetero_lr_0", GUEST) == "hetero_lr_0.guest_9999"


@pytest.mark.parametrize("name", ["my_dag", "fate_flow_", "fate_flow_submit", JOB])
def test_other_dags_are_not_taken_for_jobs(name: str) -> None:
    with pytest.raises(ValueError, match="is not the DAG of a FATE-Flow job"):
        job_id_of(name)
