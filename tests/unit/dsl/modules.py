"""Modules for the parser's tests, with parameter classes of every shape."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from fate_flow.errors import Problem
from fate_flow.runtime.params import (
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
from fate_flow.runtime.registry import ModuleSpec

HERE = "tests.unit.dsl.modules"


@dataclass
class InitParam(Param):
    conf_name: ClassVar[str] = "InitializeParam"
    init_method: str = param("zeros", one_of("zeros", "ones", "const"))
    random_seed: Any = param(None, null() | integer(0))

    def doubts(self) -> Iterator[Problem]:
        if self.random_seed == 13:
            yield Problem("random_seed", "found 13", hint="use 12")


@dataclass
class LearnParam(Param):
    conf_name: ClassVar[str] = "LearnTestParam"
    max_iter: int = param(100, integer(1))
    alpha: float = param(0.01, number(0))
    penalty: str = param("L2", one_of("L1", "L2"))
    columns: Any = param(-1, integer() | list_of(integer(0)))
    options: dict[str, Any] = param({"a": 1}, mapping())
    init_param: InitParam = nested(InitParam, init_method="ones")

    def check(self) -> Iterator[Problem]:
        if self.penalty == "L1" and self.alpha == 0:
            yield Problem("alpha", "found 0 with penalty L1", "a positive number")

    def check_roles(self, roles: Mapping[str, Sequence[int]]) -> Iterator[Problem]:
        if self.max_iter == 77 and len(roles["host"]) > 1:
            yield Problem("max_iter", "found 77", "another number with several hosts")


@dataclass
class ReadParam(Param):
    conf_name: ClassVar[str] = "ReadTestParam"
    with_label: bool = param(False, boolean())
    label_name: str = param("y", text())
    anything: Any = param(None, anything())
    need_run: bool = param(True, boolean())


def _spec(name: str, roles: str, params: str, **more: Any) -> ModuleSpec:
    return ModuleSpec(
        name=name,
        programs=dict.fromkeys(roles.split(), f"{HERE}:{name}"),
        param=f"{HERE}:{params}",
        code_path={role: f"federated/{name.lower()}.py/{role.title()}" for role in roles.split()},
        **more,
    )


SPECS = (
    _spec("Read", "guest host", "ReadParam"),
    _spec("Learn", "guest host arbiter", "LearnParam", trainable=True),
    _spec("Judge", "guest host", "ReadParam", need_deploy=False),
    _spec("Sample", "guest host", "ReadParam", need_deploy=False),
    _spec("Load", "local", "ReadParam"),
    ModuleSpec(name="Planned", code_path={"guest": "x"}),
)
