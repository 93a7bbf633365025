"""Models that are fitted several times within one task: for folds, classes, candidates.

Cross validation, one-vs-rest and stepwise selection fit *parts*: fresh components of the
same kind, at the same party, that report as a part of the task and keep their tables in
the task's folder. All parties fit the same parts in the same order, each part in a flow of
its own, so that their messages cannot be mixed up.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from fate_flow.data.table import Table, TableStore
from fate_flow.runtime.component import Component, P
from fate_flow.runtime.context import Federation, Tracker

L = TypeVar("L", bound="Learner[Any]")


@dataclass(frozen=True)
class FitScope:
    """How a fit inside a larger procedure shows itself.

    Attributes:
        loss: metric name and curve name of the loss; None keeps the loss back.
        data_set: what stands before the names of data sets that are evaluated in training.
        no_columns: a party may take part without any column.
    """

    loss: tuple[str, str] | None = ("loss", "loss")
    data_set: str = ""
    no_columns: bool = False


@dataclass(frozen=True)
class Share:
    """Which part of the whole work a part is.

    Attributes:
        label: what it is, for the progress text.
        begin, size: the range of the progress, both 0..1.
    """

    label: str
    begin: float = 0.0
    size: float = 1.0

    @classmethod
    def of(cls, what: str, index: int, count: int) -> Share:
        """The part at ``index`` (from 0) of ``count`` equal ones."""
        return cls(f"{what} {index + 1} of {count}", index / count, 1 / count)


@dataclass
class PartTracker:
    """A tracker whose progress is that of a part."""

    tracker: Tracker
    share: Share

    def metrics(
        self,
        namespace: str,
        name: str,
        points: Iterable[tuple[Any, Any]] = (),
        meta: Mapping[str, Any] | None = None,
        *,
        job_level: bool = False,
    ) -> None:
        self.tracker.metrics(namespace, name, points, meta, job_level=job_level)

    def progress(self, done: float, message: str = "") -> None:
        text = f"{self.share.label}, {message}" if message else self.share.label
        self.tracker.progress(self.share.begin + self.share.size * done, text)

    def data_view(self, **columns: Any) -> None:
        self.tracker.data_view(**columns)


@contextmanager
def in_flow(federation: Federation, flow: str) -> Iterator[None]:
    """Messages inside the block are those of ``flow``."""
    before = federation.flow
    federation.flow = flow
    try:
        yield
    finally:
        federation.flow = before


class Learner(Component[P], ABC):
    """A component that can be fitted in parts."""

    scope = FitScope()

    def part(
        self: L, share: Share, scope: FitScope, parameters: Mapping[str, Any] | None = None
    ) -> L:
        """An unfitted one of the same kind, for a part of this task.

        Args:
            share: which part.
            scope: how its fit shows itself.
            parameters: what is configured differently.
        """
        context = self.context
        made = type(self)(
            replace(
                context,
                parameters={**context.parameters, **(parameters or {})},
                tables=TableStore(Path(context.work_dir) / "parts"),
                output=("parts", "predictions"),
                tracker=PartTracker(context.tracker, share),
            )
        )
        made.scope = scope
        return made

    @property
    @abstractmethod
    def evaluation_type(self) -> str:
        """How its predictions are evaluated: ``binary``, ``multi`` or ``regression``."""


class StepwiseLearner(Learner[P]):
    """A learner whose columns can be chosen step by step."""

    #: Loss of the last iteration, at the party that knows it.
    loss: float | None = None

    @abstractmethod
    def fit_null(self, data: Table) -> float | None:
        """Become the model of the intercept alone; its loss where the labels are."""

    @abstractmethod
    def adopt(self: L, other: L) -> None:
        """Take over what another one has learned."""

    @abstractmethod
    def coefficients(self) -> Mapping[str, Any]:
        """``intercept``, ``weight`` (column to coefficient) and ``header``, own columns."""

    def deviance(self, loss: float, rows: int) -> float:
        """What an information criterion adds to its charge for the number of columns."""
        return 2 * rows * loss
