"""Parameters of Evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from fate_flow.errors import Problem
from fate_flow.ml.evaluation import DEFAULT_METRICS, metric_problems, resolve_metrics
from fate_flow.runtime.params import (
    Param,
    boolean,
    list_of,
    mapping,
    null,
    number,
    one_of,
    param,
    text,
)


def _metrics_by_type() -> dict[str, Any]:
    return {kind: list(names) for kind, names in DEFAULT_METRICS.items()}


@dataclass
class EvaluateParam(Param):
    """What to evaluate, and how labels are read.

    ``default_metrics`` and ``allowed_metrics`` are shown because FATE 1.4 shows them;
    what is set there has no effect.
    """

    conf_name: ClassVar[str] = "EvaluateParam"

    eval_type: str = param("binary", one_of("binary", "multi", "regression"))
    pos_label: Any = param(1, number() | text())
    need_run: bool = param(True, boolean())
    metrics: list[str] | None = param(None, list_of(text()) | null())
    default_metrics: dict[str, Any] = param(_metrics_by_type(), mapping(), internal=True)
    allowed_metrics: dict[str, Any] = param(_metrics_by_type(), mapping(), internal=True)

    def check(self) -> Iterator[Problem]:
        yield from metric_problems(self.metrics or (), self.eval_type, "metrics")

    @property
    def effective_metrics(self) -> tuple[str, ...]:
        """Full names of what is computed."""
        return resolve_metrics(self.metrics, self.eval_type, DEFAULT_METRICS)
