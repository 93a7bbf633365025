"""Parameter classes: every problem with its path, every key shown, aliases and nesting."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fate_flow.errors import InvalidInputError, Problem
from fate_flow.runtime.params import (
    Check,
    Param,
    anything,
    boolean,
    integer,
    list_of,
    mapping,
    nested,
    null,
    number,
    one_of,
    param,
    text,
)
from fate_flow.runtime.registry import modules


@dataclass
class Inner(Param):
    key_length: int = param(1024, integer(minimum=512))
    method: str = param("Paillier", one_of("Paillier", "none"))


@dataclass
class Outer(Param):
    conf_name: ClassVar[str] = "OuterParam"

    max_iter: int = param(100, integer(1, 1000))
    alpha: float = param(0.01, number(minimum=0))
    columns: Any = param(-1, integer(-1, -1) | list_of(integer(minimum=0)))
    names: list[str] = param([], list_of(text()))
    encrypt_param: Inner = nested(Inner, key_length=2048)

    def check(self) -> Iterator[Problem]:
        if self.max_iter > 500 and self.alpha == 0:
            yield Problem("alpha", "found 0", "more than 0 with that many iterations")


def test_defaults_are_complete_and_their_own_each_time() -> None:
    first = Outer.defaults()
    assert first == {
        "max_iter": 100,
        "alpha": 0.01,
        "columns": -1,
        "names": [],
        "encrypt_param": {"key_length": 2048, "method": "Paillier"},
    }
    first["names"].append("x")
    assert Outer.defaults()["names"] == []


def test_all_problems_are_found_with_their_paths() -> None:
    conf = {
        "max_iter": 0,
        "alpha": "big",
        "columns": [0, -3],
        "encrypt_param": {"key_length": 3, "method": "rot13"},
    }
    param_object, problems = Outer.parse(conf, "job.lr_0")
    assert {problem.path for problem in problems} == {
        "job.lr_0.max_iter",
        "job.lr_0.alpha",
        "job.lr_0.columns",
        "job.lr_0.encrypt_param.key_length",
        "job.lr_0.encrypt_param.method",
    }
    kept = {**Outer.defaults(), "encrypt_param": param_object.encrypt_param.to_conf()}
    assert param_object.to_conf() == kept
    with pytest.raises(InvalidInputError) as refusal:
        Outer.from_conf(conf)
    assert len(refusal.value.problems) == 5
    by_path = {problem.path: problem for problem in refusal.value.problems}
    assert by_path["max_iter"].message == "found 0"
    assert "1 <= value <= 1000" in by_path["max_iter"].allowed
    assert "one of Paillier, none" in by_path["encrypt_param.method"].allowed


def test_rules_over_several_fields() -> None:
    _, problems = Outer.parse({"max_iter": 600, "alpha": 0}, "x")
    assert [(p.path, p.message) for p in problems] == [("x.alpha", "found 0")]


def test_a_nested_object_keeps_the_overridden_defaults() -> None:
    made = Outer.from_conf({"encrypt_param": {"method": "none"}})
    assert made.encrypt_param == Inner(2048, "none")
    _, problems = Outer.parse({"encrypt_param": "Paillier"})
    assert problems[0].allowed == "an object"


def test_unknown_keys_are_named_with_the_nearest_known_one() -> None:
    conf = {"max_itr": 3, "encrypt_param": {"key_lenght": 1}, "zzz": 0}
    assert Outer.parse(conf)[1] == []
    found = {problem.path: problem.hint for problem in Outer.unknown_keys(conf)}
    assert found == {
        "max_itr": "did you mean 'max_iter'?",
        "encrypt_param.key_lenght": "did you mean 'key_length'?",
        "zzz": "",
    }


def test_long_values_are_cut_in_errors() -> None:
    _, problems = Outer.parse({"names": ["x" * 10_000, 3]})
    assert len(problems[0].message) < 300


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (integer(), [0, -5, 10**30], [1.0, True, "1", None, [1]]),
        (number(0, 1), [0, 1, 0.5], [-0.1, 1.1, float("nan"), float("inf"), True, "0.5"]),
        (number(0, 1, open_interval=True), [0.5], [0, 1]),
        (boolean(), [True, False], [0, 1, "true", None]),
        (text(), ["", "x"], [1, None, ["x"]]),
        (null(), [None], [0, "", False]),
        (mapping(), [{}, {"a": 1}], [[], "x", None]),
        (list_of(integer()), [[], [1], (2,)], ["12", [1.5], 3, None]),
        (anything(), [None, object, []], []),
        (null() | text(), [None, "x"], [1, []]),
    ],
)
def test_checks(check: Check, good: list[Any], bad: list[Any]) -> None:
    for value in good:
        check.convert(value)
    for value in bad:
        with pytest.raises((ValueError, TypeError)):
            check.convert(value)
    assert check.allowed


def test_words_are_taken_in_any_case_and_by_alias() -> None:
    check = one_of("weight_diff", "diff", aliases={"weight-diff": "weight_diff"})
    assert [check.convert(word) for word in ("DIFF", "Weight-Diff")] == ["diff", "weight_diff"]
    with pytest.raises(ValueError):  # noqa: PT011 - the text is the caller's
        check.convert("other")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from([*Outer.defaults(), "other"]), JSON))
def test_no_document_raises_anything_but_problems(conf: dict[str, Any]) -> None:
    made, problems = Outer.parse(conf, "p")
    assert all(problem.path.startswith("p.") and problem.message for problem in problems)
    # What was accepted is accepted again, and gives the same.
    assert Outer.parse(made.to_conf())[0] == made


OURS = sorted(name for name, spec in modules().items() if spec.param.startswith("fate_flow."))


@pytest.mark.parametrize("name", OURS)
def test_the_defaults_of_every_module_are_plain_and_read_back(name: str) -> None:
    param_class = modules()[name].param_class
    defaults = param_class.defaults()
    assert json.loads(json.dumps(defaults)) == defaults
    made, problems = param_class.parse(defaults)
    assert made.to_conf() == defaults
    # Only keys without which a module cannot run may be missing from its defaults.
    assert all("found" in problem.message or problem.message for problem in problems)
