from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fate_flow.db.models import Metric
from fate_flow.entities import Party, TaskIdentity
from fate_flow.tracking import store
from fate_flow.tracking.store import TaskScope
from tests.support.site import JOB_ID, Site

SCOPE = TaskScope(JOB_ID, "hetero_lr_0", "arbiter", "10000")


def test_points_are_sorted_duplicates_kept_and_metas_merged(site: Site) -> None:
    with site.session() as session:
        store.add_metrics(session, SCOPE, "train", "loss", [(2, 0.2), (0, 0.9)], {"name": "a"})
        store.add_metrics(
            session, SCOPE, "train", "loss", [(1, 0.5), (0, 0.8)], {"name": "train", "Best": 0.2}
        )
        metric = store.read_metric(session, SCOPE, "train", "loss")
    assert metric.points == [[0, 0.9], [0, 0.8], [1, 0.5], [2, 0.2]]
    assert metric.meta == {"name": "train", "Best": 0.2}


def test_names_come_in_the_order_of_writing(site: Site) -> None:
    with site.session() as session:
        for name in ("zeta", "alpha", "zeta"):
            store.add_metrics(session, SCOPE, "train", name, [(0, 1)])
        store.add_metrics(session, SCOPE, "validate", "only_meta", (), {"metric_type": "SCALE"})
        assert store.metric_names(session, SCOPE) == {
            "train": ["zeta", "alpha"],
            "validate": ["only_meta"],
        }
        found = store.read_all_metrics(session, SCOPE)
    assert found["validate"]["only_meta"].points == []
    assert found["validate"]["only_meta"].meta == {"metric_type": "SCALE"}


def test_numbers_come_before_texts(site: Site) -> None:
    with site.session() as session:
        store.add_metrics(session, SCOPE, "n", "m", [("ks", 1), (2, 1), ("auc", 1), (1.5, 1)])
        points = store.read_metric(session, SCOPE, "n", "m").points
    assert [key for key, _ in points] == [1.5, 2, "auc", "ks"]


def test_numpy_values_and_large_batches(site: Site) -> None:
    points = [(np.int64(i), np.float32(0.5)) for i in range(1234)]
    with site.session() as session:
        written = store.add_metrics(
            session, SCOPE, "n", "m", points, {"thresholds": np.array([0.1, 0.2])}
        )
        metric = store.read_metric(session, SCOPE, "n", "m")
    assert written == 1235
    assert metric.points[-1] == [1233, 0.5]
    assert metric.meta == {"thresholds": [0.1, 0.2]}
    with site.session() as session, pytest.raises(TypeError, match="object"):
        store.add_metrics(session, SCOPE, "n", "m", [(0, object())])


def test_identity_and_job_level(site: Site) -> None:
    identity = TaskIdentity(JOB_ID, "c_0", "M", Party("guest", 9), {"guest": [9]})
    with site.session() as session:
        store.add_metrics(session, identity, "n", "m", [(0, 1)], job_level=True)
        job = TaskScope(JOB_ID, store.JOB_LEVEL, "guest", "9")
        assert store.metric_names(session, job) == {"n": ["m"]}
        assert store.metric_names(session, TaskScope.of(identity)) == {}
        assert job.task_id == f"{JOB_ID}_dag"


def test_deleting_keeps_other_tasks_and_the_job_view(site: Site) -> None:
    other = SCOPE._replace(role="guest")
    with site.session() as session:
        for scope in (SCOPE, other):
            store.add_metrics(session, scope, "n", "m", [(0, 1)])
        store.save_job_view(session, JOB_ID, "arbiter", 10000, {"roles": {"guest": [1]}})
        assert store.delete_task_metrics(session, SCOPE) == 1
        assert store.metric_names(session, SCOPE) == {}
        assert store.metric_names(session, other) == {"n": ["m"]}
        everything = [Metric.f_job_id == JOB_ID]
        assert store.delete_metrics(session, everything) == 1
        assert store.read_job_view(session, JOB_ID, "arbiter", "10000")["roles"] == {"guest": [1]}


ROLES = {"guest": [9999], "host": [10000, 10001], "arbiter": [10000]}
DATASET = {
    "guest": {"9999": {"train_data": "n.g"}},
    "host": {"10000": {"train_data": "n.h"}, "10001": {"train_data": "n.i"}},
}


def test_the_initiator_sees_all_data_sets(site: Site) -> None:
    view = store.job_view(ROLES, "guest", 9999, DATASET, is_initiator=True)
    assert view["partner"] == {"host": [10000, 10001], "arbiter": [10000]}
    assert view["roles"] == ROLES
    assert view["dataset"] == DATASET


@pytest.mark.parametrize(
    ("role", "party_id", "dataset"),
    [
        ("host", 10000, {"host": {"10000": {"train_data": "n.h"}}}),
        ("arbiter", 10000, {}),
    ],
)
def test_others_see_their_own(
    site: Site, role: str, party_id: int, dataset: dict[str, object]
) -> None:
    view = store.job_view(ROLES, role, party_id, DATASET, is_initiator=False)
    assert view["roles"] == {role: [party_id]}
    assert view["dataset"] == dataset
    assert party_id not in view["partner"].get(role, [])
    with site.session() as session:
        store.save_job_view(session, JOB_ID, role, party_id, {"dataset": {"old": {}}})
        store.save_job_view(session, JOB_ID, role, party_id, view)
        stored = store.read_job_view(session, JOB_ID, role, party_id)
    assert stored == {**view, "model_summary": {"job": {"job_view": {}}}}


KEYS = st.one_of(st.integers(-(2**53), 2**53), st.floats(allow_nan=False), st.text(max_size=20))
VALUES = st.one_of(KEYS, st.none(), st.booleans(), st.floats())


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(points=st.lists(st.tuples(KEYS, VALUES), max_size=30))
def test_any_points_come_back(site: Site, points: list[tuple[object, object]]) -> None:
    with site.session() as session:
        store.delete_task_metrics(session, SCOPE)
        store.add_metrics(session, SCOPE, "n", "m", points)
        back = store.read_metric(session, SCOPE, "n", "m").points

    def plain(value: object) -> object:
        return "nan" if isinstance(value, float) and math.isnan(value) else value

    expected = sorted(repr((k, plain(v))) for k, v in points)
    assert sorted(repr((k, plain(v))) for k, v in back) == expected
