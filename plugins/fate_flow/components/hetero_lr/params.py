"""Parameters of HeteroLR; keys and effective defaults are FATE 1.4's, but for the key length."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from fate_flow.components.common_params import (
    CrossValidationParam,
    EncryptedModeCalculatorParam,
    EncryptParam,
    InitParam,
    PredictParam,
    SqnParam,
    StepwiseParam,
)
from fate_flow.errors import Problem
from fate_flow.ml.convergence import LOSS_RULES
from fate_flow.ml.evaluation import TRAINING_METRICS, metric_problems, resolve_metrics
from fate_flow.ml.optimizers import OPTIMIZERS, LearningRate
from fate_flow.ml.regularization import Penalty
from fate_flow.runtime.params import (
    Check,
    Param,
    boolean,
    integer,
    list_of,
    nested,
    null,
    number,
    one_of,
    param,
    text,
)

#: The loss needs products of two parties' scores.
NO_LOSS = (
    "Multiple host situation, loss early stop function is not available. "
    "You should use 'weight_diff' instead"
)

#: Shortest and longest key that is accepted.
MINIMUM_KEY_LENGTH, MAXIMUM_KEY_LENGTH = 1024, 8192


def _all_rows() -> Check:
    inner = integer(-1, -1)
    return Check("-1 (all rows)", inner.convert)


@dataclass
class HeteroLogisticParam(Param):
    """Logistic regression on vertically split data."""

    conf_name: ClassVar[str] = "HeteroLogisticParam"

    penalty: str | None = param("L2", one_of("L1", "L2", "NONE") | null())
    tol: float = param(1e-5, number())
    alpha: float = param(0.01, number(0))
    optimizer: str = param("sgd", one_of(*OPTIMIZERS, "sqn"))
    batch_size: int = param(320, integer(10) | _all_rows())
    learning_rate: float = param(0.01, number(0))
    init_param: InitParam = nested(InitParam, init_method="random_normal")
    max_iter: int = param(100, integer(1))
    early_stop: str = param("diff", one_of("diff", "abs", "weight_diff"))
    encrypt_param: EncryptParam = nested(EncryptParam)
    predict_param: PredictParam = nested(PredictParam)
    cv_param: CrossValidationParam = nested(CrossValidationParam)
    decay: float = param(1, number(0))
    decay_sqrt: bool = param(True, boolean())
    validation_freqs: Any = param(None, integer(1) | list_of(integer(0)) | null())
    early_stopping_rounds: int | None = param(None, integer(1) | null())
    stepwise_param: StepwiseParam = nested(StepwiseParam)
    metrics: list[str] | None = param(["auc", "ks"], list_of(text()) | null())
    use_first_metric_only: bool = param(False, boolean())
    encrypted_mode_calculator_param: EncryptedModeCalculatorParam = nested(
        EncryptedModeCalculatorParam
    )
    sqn_param: SqnParam = nested(SqnParam)
    multi_class: str = param("ovr", text())

    def check(self) -> Iterator[Problem]:
        yield from self._check_encryption()
        yield from metric_problems(self.metrics or (), "binary", "metrics")
        if self.early_stopping_rounds is not None and not self.validation_freqs:
            yield Problem(
                "early_stopping_rounds",
                "early stopping needs validations during training",
                hint="set validation_freqs too",
            )

    def check_roles(self, roles: Mapping[str, Sequence[int]]) -> Iterator[Problem]:
        hosts = len(roles.get("host", ()))
        if hosts > 1 and self.early_stop in LOSS_RULES:
            yield Problem("early_stop", f"{NO_LOSS}, found {self.early_stop} with {hosts} hosts")
        if not self.cv_param.need_cv:  # cross validation comes first and selects nothing
            for problem in self.stepwise_param.check_roles(roles):
                yield replace(problem, path=f"stepwise_param.{problem.path}")

    def _check_encryption(self) -> Iterator[Problem]:
        if self.encrypt_param.method == "IterativeAffine":
            yield Problem(
                "encrypt_param.method",
                "HeteroLR cannot compute with IterativeAffine",
                "Paillier or null (Paillier is used then too)",
            )
        length = self.encrypt_param.key_length
        if length % 2 or not MINIMUM_KEY_LENGTH <= length <= MAXIMUM_KEY_LENGTH:
            yield Problem(
                "encrypt_param.key_length",
                f"found {length}",
                f"an even number of bits from {MINIMUM_KEY_LENGTH} to {MAXIMUM_KEY_LENGTH}",
            )

    @property
    def rate(self) -> LearningRate:
        return LearningRate(self.learning_rate, self.decay, self.decay_sqrt)

    @property
    def penalty_term(self) -> Penalty:
        kind = None if self.penalty == "NONE" else self.penalty
        return Penalty(kind, self.alpha, self.learning_rate)

    @property
    def validation_metrics(self) -> tuple[str, ...]:
        """Full names of what is computed at a validation during training."""
        return resolve_metrics(self.metrics, "binary", TRAINING_METRICS)

    def is_validated_after(self, iteration: int) -> bool:
        """Whether a validation follows iteration ``iteration`` (from 0)."""
        if self.validation_freqs is None:
            return False
        if isinstance(self.validation_freqs, int):
            return (iteration + 1) % self.validation_freqs == 0
        return iteration in self.validation_freqs
