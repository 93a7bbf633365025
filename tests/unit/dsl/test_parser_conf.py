"""What the parser refuses in the runtime conf: parties, tables, parameters."""

from __future__ import annotations

from typing import Any

import pytest

from fate_flow.dsl.parser import compile_plan
from fate_flow.errors import InvalidInputError
from tests.unit.dsl import jobs
from tests.unit.dsl.changes import Change, refused


@pytest.mark.parametrize("empty", [None, {}, [], ""])
def test_no_conf(empty: Any) -> None:
    with pytest.raises(InvalidInputError, match="submit conf does exist or format is wrong"):
        compile_plan(jobs.dsl(), empty)


CONF_PROBLEMS: list[tuple[str, Change, str, str]] = [
    ("no initiator", lambda d, c: c.pop("initiator"), "initiator", "'initiator' is missing"),
    ("no role", lambda d, c: c.pop("role"), "role", "'role' is missing"),
    ("no job_parameters", lambda d, c: c.pop("job_parameters"), "job_parameters", "is missing"),
    (
        "work_mode missing",
        lambda d, c: c["job_parameters"].clear(),
        "job_parameters.work_mode",
        "is missing",
    ),
    (
        "work_mode is a text",
        lambda d, c: c["job_parameters"].update(work_mode="0"),
        "job_parameters.work_mode",
        "found '0'; allowed: 0, 1; without quotes",
    ),
    (
        "work_mode is true",
        lambda d, c: c["job_parameters"].update(work_mode=True),
        "job_parameters.work_mode",
        "found true",
    ),
    (
        "job_type misspelt",
        lambda d, c: c["job_parameters"].update(job_type="predit"),
        "job_parameters.job_type",
        "did you mean 'predict'?",
    ),
    (
        "initiator not in role",
        lambda d, c: c["initiator"].update(party_id=5),
        "initiator",
        "initiator party id error 5",
    ),
    (
        "party id is no integer",
        lambda d, c: c["role"].update(guest=["abc"]),
        "role.guest[0]",
        "an integer",
    ),
    ("party id is true", lambda d, c: c["role"].update(guest=[True]), "role.guest[0]", "true"),
    (
        "id of eleven digits",
        lambda d, c: c["role"].update(guest=[10_000_000_000]),
        "role.guest[0]",
        "an integer from 0 to 9999999999",
    ),
    (
        "id of eleven digits as a text",
        lambda d, c: c["role"].update(guest=["10000000000"]),
        "role.guest[0]",
        "an integer from 0 to 9999999999",
    ),
    ("negative id", lambda d, c: c["role"].update(guest=[-1]), "role.guest[0]", "found -1"),
    (
        "empty list of a role that a module needs",
        lambda d, c: c["role"].update(arbiter=[]),
        "role",
        "learn_0 (Learn) needs role arbiter",
    ),
    (
        "empty list of the only role",
        lambda d, c: c.update(role={"guest": []}),
        "role.guest",
        "an empty list",
    ),
    (
        "party twice",
        lambda d, c: c["role"].update(host=[10000, "10000"]),
        "role.host[1]",
        "party id 10000 is listed twice",
    ),
    (
        "unknown role",
        lambda d, c: c["role"].update(gest=[1]),
        "role.gest",
        "guest, host, arbiter, local",
    ),
    (
        "module without its arbiter",
        lambda d, c: c["role"].pop("arbiter"),
        "role",
        "learn_0 (Learn) needs role arbiter",
    ),
    (
        "two guests",
        lambda d, c: c["role"].update(guest=[9999, 9998]),
        "role.guest",
        "works with one guest, found 2",
    ),
    (
        "too few tables",
        lambda d, c: c["role_parameters"]["host"]["args"]["data"]["train_data"].pop(),
        "role_parameters.host.args.data.train_data",
        "1 tables for 2 parties",
    ),
    (
        "table without namespace",
        lambda d, c: c["role_parameters"]["guest"]["args"]["data"]["train_data"][0].pop(
            "namespace"
        ),
        "role_parameters.guest.args.data.train_data[0].namespace",
        "is missing",
    ),
    (
        "bad value",
        lambda d, c: c["algorithm_parameters"]["learn_0"].update(max_iter=0),
        "algorithm_parameters.learn_0.max_iter",
        "found 0",
    ),
    (
        "bad nested value",
        lambda d, c: c["algorithm_parameters"]["learn_0"]["init_param"].update(init_method="one"),
        "algorithm_parameters.learn_0.init_param.init_method",
        "one of zeros, ones, const",
    ),
    (
        "nested parameter is a number",
        lambda d, c: c["algorithm_parameters"]["learn_0"].update(init_param=5),
        "algorithm_parameters.learn_0.init_param",
        "found 5; allowed: an object",
    ),
    (
        "bad value of one party",
        lambda d, c: c["role_parameters"]["host"]["learn_0"].update(alpha=[0.1, "x"]),
        "role_parameters.host.learn_0.alpha[1]",
        "found 'x'",
    ),
    (
        "scalar where a list per party is wanted",
        lambda d, c: c["role_parameters"]["guest"]["read_0"].update(label_name="yy"),
        "role_parameters.guest.read_0.label_name",
        "a list with one entry per party of role guest",
    ),
    (
        "rule over two values, one from a party",
        lambda d, c: (
            c["role_parameters"]["host"]["learn_0"].update(alpha=[0, 0.1]),
            c["algorithm_parameters"]["learn_0"].update(penalty="L1"),
        ),
        "role_parameters.host.learn_0.alpha[0]",
        "found 0 with penalty L1",
    ),
    (
        "huge number",
        lambda d, c: c["algorithm_parameters"]["learn_0"].update(alpha=10**400),
        "algorithm_parameters.learn_0.alpha",
        "a number",
    ),
    (
        "not a number",
        lambda d, c: c["algorithm_parameters"]["learn_0"].update(alpha=float("nan")),
        "algorithm_parameters.learn_0.alpha",
        "a finite number",
    ),
    (
        "predict job",
        lambda d, c: c["job_parameters"].update(job_type="predict"),
        "job_parameters.job_type",
        "from a trained model",
    ),
]


@pytest.mark.parametrize(
    ("change", "path", "text"),
    [row[1:] for row in CONF_PROBLEMS],
    ids=[r[0] for r in CONF_PROBLEMS],
)
def test_conf_problem(change: Change, path: str, text: str) -> None:
    found = refused(change)
    assert text in found[f"job_runtime_conf.{path}"]


def test_data_key_that_no_table_has() -> None:
    dsl = jobs.dsl()
    dsl["components"]["read_0"]["input"]["data"]["data"] = ["args.train"]
    with pytest.raises(InvalidInputError) as caught:
        compile_plan(dsl, jobs.conf())
    texts = [str(problem) for problem in caught.value.problems]
    where = "job_dsl.components.read_0.input.data.data[0]: job_runtime_conf.role_parameters"
    rest = "args.data has no 'train', which read_0 reads; allowed: args.train_data; did you mean"
    assert [text.partition(" 'train_data'")[0] for text in texts] == [
        f"{where}.guest.{rest}",
        f"{where}.host.{rest}",
    ]


def test_all_problems_at_once() -> None:
    def change(dsl: dict[str, Any], conf: dict[str, Any]) -> None:
        dsl["components"]["read_0"]["module"] = "Reed"
        dsl["components"]["learn_0"]["input"]["data"]["train_data"] = ["ghost_0.x"]
        dsl["components"]["judge_0"]["need_deploy"] = 1
        conf["initiator"]["party_id"] = 1
        conf["job_parameters"]["work_mode"] = 2
        conf["algorithm_parameters"]["learn_0"]["max_iter"] = "many"
        conf["role_parameters"]["host"]["learn_0"]["alpha"] = 3

    assert set(refused(change)) == {
        "job_dsl.components.read_0.module",
        "job_dsl.components.learn_0.input.data.train_data[0]",
        "job_dsl.components.judge_0.need_deploy",
        "job_runtime_conf.initiator",
        "job_runtime_conf.job_parameters.work_mode",
        "job_runtime_conf.algorithm_parameters.learn_0.max_iter",
        "job_runtime_conf.role_parameters.host.learn_0.alpha",
    }


def test_one_problem_of_common_parameters_is_said_once_for_all_parties() -> None:
    found = refused(lambda d, c: c["algorithm_parameters"]["learn_0"].update(max_iter=0))
    assert len(found) == 1
