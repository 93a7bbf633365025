"""Parameter objects that several modules nest; keys and defaults are FATE 1.4's.

A module that does not use all values of an object narrows it in its own ``check``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from fate_flow.errors import Problem
from fate_flow.runtime.params import Param, boolean, integer, null, number, one_of, param

#: Shortest key of homomorphic encryption that is used without a warning.
SAFE_KEY_LENGTH = 2048

INIT_METHODS = ("random_uniform", "random_normal", "ones", "zeros", "const")


@dataclass
class InitParam(Param):
    """How weights are initialised."""

    conf_name: ClassVar[str] = "InitParam"

    init_method: str = param("random_uniform", one_of(*INIT_METHODS))
    init_const: float = param(1, number())
    fit_intercept: bool = param(True, boolean())
    random_seed: int | None = param(None, integer(0, 2**32 - 1) | null())


@dataclass
class EncryptParam(Param):
    """Homomorphic encryption. Keys are 2048 bits unless the conf says otherwise."""

    conf_name: ClassVar[str] = "EncryptParam"

    method: str | None = param("Paillier", one_of("Paillier", "IterativeAffine") | null())
    key_length: int = param(SAFE_KEY_LENGTH, integer(1))

    def doubts(self) -> Iterator[Problem]:
        if self.key_length < SAFE_KEY_LENGTH:
            yield Problem(
                "key_length",
                f"a key of {self.key_length} bits can be broken by who has the means",
                hint=f"use {SAFE_KEY_LENGTH} to protect data for years",
            )


@dataclass
class EncryptedModeCalculatorParam(Param):
    """FATE 1.4's choice of how fresh encryptions are.

    Accepted and shown. This version always encrypts every value afresh (``strict``): the
    other modes use one mask twice, which shows the receiver the difference of two values.
    """

    conf_name: ClassVar[str] = "EncryptedModeCalculatorParam"

    mode: str = param(
        "strict", one_of("strict", "fast", "balance", "confusion_opt", "confusion_opt_balance")
    )
    re_encrypted_rate: float = param(1, number(0, 1))


@dataclass
class PredictParam(Param):
    """A score above ``threshold`` gives label 1."""

    conf_name: ClassVar[str] = "PredictParam"

    threshold: float = param(0.5, number())


@dataclass
class CrossValidationParam(Param):
    """k-fold cross validation; ``mode`` and ``role`` are set by the module."""

    conf_name: ClassVar[str] = "CrossValidationParam"

    n_splits: int = param(5, integer(1))
    mode: str = param("hetero", one_of("hetero", "homo"), internal=True)
    role: str = param("guest", one_of("guest", "host", "arbiter"), internal=True)
    shuffle: bool = param(True, boolean())
    random_seed: int | None = param(1, integer(1, 2**32 - 1) | null())
    need_cv: bool = param(False, boolean())

    def check(self) -> Iterator[Problem]:
        if self.need_cv and self.n_splits < 2:
            yield Problem("n_splits", f"found {self.n_splits}", "at least 2 for cross validation")


@dataclass
class StepwiseParam(Param):
    """Stepwise selection of features; ``mode`` and ``role`` are set by the module."""

    conf_name: ClassVar[str] = "StepwiseParam"

    score_name: str = param("AIC", one_of("AIC", "BIC"))
    mode: str = param("hetero", one_of("hetero", "homo"), internal=True)
    role: str = param("guest", one_of("guest", "host", "arbiter"), internal=True)
    direction: str = param("both", one_of("forward", "backward", "both"))
    max_step: int = param(10, integer(1))
    nvmin: int = param(2, integer(2))
    nvmax: int | None = param(None, integer(2) | null())
    need_stepwise: bool = param(False, boolean())

    def check(self) -> Iterator[Problem]:
        if self.nvmax is not None and self.nvmax < self.nvmin:
            yield Problem("nvmax", f"found {self.nvmax}, less than nvmin", f"at least {self.nvmin}")

    def check_roles(self, roles: Mapping[str, Sequence[int]]) -> Iterator[Problem]:
        hosts = len(roles.get("host", ()))
        if self.need_stepwise and hosts != 1:
            yield Problem(
                "need_stepwise",
                f"stepwise selection works with one host, found {hosts}",
                "false, or one host",
            )


@dataclass
class SqnParam(Param):
    """Stochastic quasi-Newton; only with optimizer ``sqn``."""

    conf_name: ClassVar[str] = "StochasticQuasiNewtonParam"

    update_interval_L: int = param(3, integer(1))  # noqa: N815
    memory_M: int = param(5, integer(1))  # noqa: N815
    sample_size: int = param(5000, integer(1))
    random_seed: int | None = param(None, integer(1, 2**32 - 1) | null())
