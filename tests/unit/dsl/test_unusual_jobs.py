"""Jobs of the real modules as people write them, odd but legal, and what each compiles to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fate_flow.dsl.parser import compile_plan, derive_predict_dsl
from fate_flow.entities import Plan
from fate_flow.errors import InvalidInputError

Document = dict[str, Any]
Change = Callable[[Document, Document], object]


def component(module: str, data: Document, *, out: str = "", model: str = "") -> Document:
    """One component; ``out`` and ``model`` are the names of its outputs."""
    names = {"data": [out] if out else [], "model": [model] if model else []}
    output = {key: value for key, value in names.items() if value}
    return {"module": module, "input": {"data": data}, "output": output}


def applied(module: str, data: Document, model: str) -> Document:
    """One that applies a model in training only."""
    found = component(module, data, out="eval")
    found["input"]["model"] = [model]
    return {**found, "need_deploy": False}


def table(name: str) -> Document:
    return {"name": name, "namespace": "exp"}


def job() -> tuple[Document, Document]:
    dsl = {
        "dataio_0": component("DataIO", {"data": ["args.train_data"]}, out="train", model="dataio"),
        "intersection_0": component("Intersection", {"data": ["dataio_0.train"]}, out="train"),
        "hetero_lr_0": component(
            "HeteroLR", {"train_data": ["intersection_0.train"]}, out="train", model="lr"
        ),
        "evaluation_0": component("Evaluation", {"data": ["hetero_lr_0.train"]}, out="evaluate"),
    }
    conf = {
        "initiator": {"role": "guest", "party_id": 9999},
        "job_parameters": {"work_mode": 0},
        "role": {"guest": [9999], "host": [10000], "arbiter": [10001]},
        "role_parameters": {
            "guest": {"args": {"data": {"train_data": [table("g")]}}},
            "host": {
                "args": {"data": {"train_data": [table("h")]}},
                "dataio_0": {"with_label": [False]},
            },
        },
        "algorithm_parameters": {},
    }
    return {"components": dsl}, conf


def compiled(change: Change) -> tuple[Plan, Document]:
    """The plan of the changed job, and its predict DSL's components."""
    dsl, conf = job()
    change(dsl["components"], conf)
    return compile_plan(dsl, conf), derive_predict_dsl(dsl)["components"]


def add_evaluation_data(components: Document, conf: Document) -> None:
    components["dataio_1"] = applied("DataIO", {"data": ["args.eval_data"]}, "dataio_0.dataio")
    for role in ("guest", "host"):
        conf["role_parameters"][role]["args"]["data"]["eval_data"] = [table("e")]


def two_hosts(components: Document, conf: Document) -> None:
    conf["role"]["host"] = ["10000", 10002]
    conf["role_parameters"]["host"] = {
        "args": {"data": {"train_data": [table("h"), table("i")]}},
        "dataio_0": {"with_label": [False, False]},
        "hetero_lr_0": {"init_param": {"random_seed": [1, 2]}},
    }
    conf["algorithm_parameters"]["hetero_lr_0"] = {"early_stop": "weight_diff"}


LEGAL: dict[str, Change] = {
    "no algorithm_parameters": lambda c, conf: conf.pop("algorithm_parameters"),
    "algorithm_parameters null": lambda c, conf: conf.update(algorithm_parameters=None),
    "empty parameters": lambda c, conf: conf.update(algorithm_parameters={"hetero_lr_0": {}}),
    "parameters of no component": lambda c, conf: conf.update(algorithm_parameters={"x_0": {}}),
    "initiator host": lambda c, conf: conf.update(initiator={"role": "host", "party_id": "10000"}),
    "initiator arbiter": lambda c, conf: conf["initiator"].update(role="arbiter", party_id=10001),
    "local beside others": lambda c, conf: conf["role"].update(local=[0]),
    "one party in all roles": lambda c, conf: (
        conf.update(role={"guest": [5], "host": [5], "arbiter": [5]}),
        conf["initiator"].update(party_id=5),
    ),
    "arbiter with empty tables": lambda c, conf: conf["role_parameters"].update(
        arbiter={"args": {"data": {"train_data": [{"name": "", "namespace": ""}]}}}
    ),
    "arbiter with empty args": lambda c, conf: conf["role_parameters"].update(arbiter={"args": {}}),
    "more in a table's entry": lambda c, conf: conf["role_parameters"]["guest"]["args"]["data"][
        "train_data"
    ][0].update(partition=4),
    "spark": lambda c, conf: conf["job_parameters"].update(
        backend=1, spark_submit_config={"num-executors": 2, "conf": {"a": "b"}}
    ),
    "timeout as a text": lambda c, conf: conf["job_parameters"].update(timeout="3600"),
    "keys of other versions": lambda c, conf: conf["job_parameters"].update(task_parallelism=2),
    "several hosts": two_hosts,
    "a list that is too short": lambda c, conf: (
        two_hosts(c, conf),
        conf["role_parameters"]["host"].update(dataio_0={"label_name": ["z"]}),
    ),
    "two outputs": lambda c, conf: c["dataio_0"]["output"].update(data=["train", "second"]),
    "empty lists of inputs": lambda c, conf: c["hetero_lr_0"]["input"].update(
        model=[], isometric_model=[]
    ),
    "several tables": lambda c, conf: (
        c.update(hetero_lr_1=c["hetero_lr_0"]),
        c["evaluation_0"]["input"]["data"].update(data=["hetero_lr_0.train", "hetero_lr_1.train"]),
    ),
    "the same table twice": lambda c, conf: c["evaluation_0"]["input"]["data"].update(
        data=["hetero_lr_0.train", "hetero_lr_0.train"]
    ),
    "validation data": lambda c, conf: (
        add_evaluation_data(c, conf),
        c["hetero_lr_0"]["input"]["data"].update(eval_data=["dataio_1.eval"]),
    ),
    "keys that nobody reads": lambda c, conf: (
        c["dataio_0"].update(comment="x", CodePath="y"),
        conf.update(comment=1, function="submit_job"),
    ),
}


@pytest.mark.parametrize("change", LEGAL.values(), ids=LEGAL)
def test_legal(change: Change) -> None:
    plan, _ = compiled(change)
    lr = plan.component("hetero_lr_0")
    assert [party.role for party in lr.parties][-1] == "arbiter"
    assert plan.component("evaluation_0").upstream[0] == "hetero_lr_0"


REFUSED: dict[str, tuple[Change, str]] = {
    "module in other case": (
        lambda c, conf: c["hetero_lr_0"].update(module="HeteroLr"),
        "did you mean 'HeteroLR'",
    ),
    "module of another version": (
        lambda c, conf: c["dataio_0"].update(module="Reader"),
        "unknown module 'Reader'",
    ),
    "module that is not there yet": (
        lambda c, conf: c["hetero_lr_0"].update(module="HomoLR"),
        "module 'HomoLR' of FATE 1.4 is not available in this version",
    ),
    "model of another module": (
        lambda c, conf: c["evaluation_0"]["input"].update(model=["hetero_lr_0.lr"]),
        "give a model of another module as isometric_model",
    ),
    "no arbiter": (lambda c, conf: conf["role"].pop("arbiter"), "needs role arbiter"),
    "host without tables": (
        lambda c, conf: conf["role_parameters"]["host"].pop("args"),
        "role_parameters.host.args.data has no 'train_data', which dataio_0 reads",
    ),
    "numbers as texts": (
        lambda c, conf: conf["algorithm_parameters"].update(hetero_lr_0={"max_iter": "10"}),
        "hetero_lr_0.max_iter: found '10'; allowed: an integer",
    ),
    "two hosts and a loss rule": (
        lambda c, conf: (two_hosts(c, conf), conf["algorithm_parameters"].clear()),
        "Multiple host situation, loss early stop function is not available",
    ),
    "a gap in the indexes": (
        lambda c, conf: c.update(hetero_lr_2=c["hetero_lr_0"]),
        "index is start from 0 and be consecutive",
    ),
    "loop through a model": (
        lambda c, conf: c["dataio_0"]["input"].update(isometric_model=["hetero_lr_0.lr"]),
        "component dependencies form loop, please check: dataio_0 -> intersection_0",
    ),
}


@pytest.mark.parametrize(("change", "text"), REFUSED.values(), ids=REFUSED)
def test_refused(change: Change, text: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        compiled(change)
    assert text in str(caught.value)


def test_components_may_stand_in_any_order() -> None:
    def reverse(components: Document, conf: Document) -> None:
        found = list(components.items())[::-1]
        components.clear()
        components.update(found)

    plan, predict = compiled(reverse)
    order = ["dataio_0", "intersection_0", "hetero_lr_0", "evaluation_0"]
    assert [c.name for c in plan.components] == order
    assert list(predict) == order[:3]


def test_a_long_chain() -> None:
    def lengthen(components: Document, conf: Document) -> None:
        last = "intersection_0.train"
        for i in range(100):
            components[f"scale_{i}"] = component("FeatureScale", {"data": [last]}, out="t")
            last = f"scale_{i}.t"
        components["hetero_lr_0"]["input"]["data"]["train_data"] = [last]

    plan, _ = compiled(lengthen)
    assert [c.name for c in plan.components][-3:] == ["scale_99", "hetero_lr_0", "evaluation_0"]


def test_evaluation_data_is_not_deployed() -> None:
    def change(components: Document, conf: Document) -> None:
        add_evaluation_data(components, conf)
        components["hetero_lr_1"] = applied(
            "HeteroLR", {"eval_data": ["dataio_1.eval"]}, "hetero_lr_0.lr"
        )

    plan, predict = compiled(change)
    assert list(predict) == ["dataio_0", "intersection_0", "hetero_lr_0"]
    assert plan.component("hetero_lr_1").parameters == plan.component("hetero_lr_0").parameters
    assert plan.component("hetero_lr_1").upstream == ("hetero_lr_0", "dataio_1")
