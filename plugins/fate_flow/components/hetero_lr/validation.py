"""Validation during training, and early stopping by it.

After the iterations that ``validation_freqs`` names, guest and hosts score the training
rows, and the validation rows if there are any, as in a prediction; the guest evaluates.
With ``early_stopping_rounds`` the guest tells hosts and arbiter the outcome.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from fate_flow.components.hetero_lr import messages
from fate_flow.components.learner import in_flow
from fate_flow.data.table import Table
from fate_flow.errors import DataError, ProtocolError
from fate_flow.ml.early_stopping import EarlyStopping
from fate_flow.ml.evaluation import binary_report
from fate_flow.ml.glm import LinearWeights

if TYPE_CHECKING:
    from fate_flow.components.hetero_lr.guest import HeteroLRGuest
    from fate_flow.components.hetero_lr.host import HeteroLRHost
    from fate_flow.components.hetero_lr.party import HeteroLRParty


class _Validation:
    """What the three roles share: when to validate, whether to stop, the best weights."""

    def __init__(self, party: HeteroLRParty) -> None:
        self.party = party
        self._best: LinearWeights | None = None

    @property
    def _stops_early(self) -> bool:
        return self.party.param.early_stopping_rounds is not None

    def stops_after(self, iteration: int) -> bool:
        """Validate if it is due; True when training is to stop."""
        if not self.party.param.is_validated_after(iteration):
            return False
        self._validate(iteration)
        if not self._stops_early:
            return False
        status = self._status(iteration)
        if status["best"]:
            self._keep_best(iteration)
        return bool(status["stop"])

    def _validate(self, iteration: int) -> None:
        """Score the rows of this party, if it has any."""

    def _status(self, iteration: int) -> dict[str, bool]:
        context = self.party.context
        status = context.federation.receive(messages.VALIDATION_STATUS, context.guest, (iteration,))
        if not isinstance(status, dict) or set(status) != {"best", "stop"}:
            raise ProtocolError("the guest sent no readable validation status")
        return status

    def _keep_best(self, iteration: int) -> None:
        self._best = self.party.weights
        self.party.best_iteration = iteration

    def restore_best(self) -> None:
        """Go back to the weights of the best validation, if one was kept."""
        if self._best is not None:
            self.party.weights = self._best

    def _flow(self, iteration: int, data_type: str) -> AbstractContextManager[None]:
        federation = self.party.context.federation
        return in_flow(federation, f"{federation.flow}_iteration_{iteration}_{data_type}")


class GuestValidation(_Validation):
    """Evaluates and decides.

    Raises:
        DataError: early stopping without validation data.
    """

    party: HeteroLRGuest

    def __init__(self, guest: HeteroLRGuest, train: Table, validate: Table | None) -> None:
        super().__init__(guest)
        self._tables = {"train": train, "validate": validate}
        rounds = guest.param.early_stopping_rounds
        if rounds is not None and validate is None:
            raise DataError(
                "validate data is needed when early stopping is enabled",
                remedy="Give the component eval_data, or set early_stopping_rounds to null",
            )
        self._rounds = EarlyStopping(rounds or 1, guest.param.use_first_metric_only)

    def _validate(self, iteration: int) -> None:
        for data_type, table in self._tables.items():
            if table is None:
                continue
            with self._flow(iteration, data_type):
                probability = self.party.probabilities(table)
            positive = table.labels() == self.party.positive_class
            singles = self._report(f"iteration_{iteration}", data_type, positive, probability)
            if data_type == "validate" and self._stops_early:
                self._rounds.record(singles)

    def _report(
        self, name: str, data_type: str, positive: NDArray[Any], probability: NDArray[Any]
    ) -> dict[str, float]:
        """Log the metrics of one data set; its single values."""
        context, prefix = self.party.context, self.party.scope.data_set
        name = prefix + name
        if prefix and positive.all() == positive.any():
            # A fold or a class may leave the other label out; the task itself may not.
            context.log.warning("the %s rows of %s are of one class only", data_type, name)
            return {}
        singles: dict[str, float] = {}
        metrics = self.party.param.validation_metrics
        for series in binary_report(name, positive, probability, metrics):
            context.tracker.metrics(data_type, series.name, series.points, series.meta)
            if series.name == name:
                singles.update(series.points)
        return singles

    def _status(self, iteration: int) -> dict[str, bool]:
        context = self.party.context
        status = {"best": self._rounds.is_best, "stop": self._rounds.should_stop}
        others = [*context.hosts, context.arbiter]
        context.federation.send(messages.VALIDATION_STATUS, status, others, (iteration,))
        return status


class HostValidation(_Validation):
    """Sends scores of its rows."""

    party: HeteroLRHost

    def __init__(self, host: HeteroLRHost, train: Table, validate: Table | None) -> None:
        super().__init__(host)
        self._tables = {"train": train, "validate": validate}

    def _validate(self, iteration: int) -> None:
        for data_type, table in self._tables.items():
            if table is not None:
                with self._flow(iteration, data_type):
                    self.party.send_scores(table)


class ArbiterValidation(_Validation):
    """Has no rows: listens only."""

    def _keep_best(self, iteration: int) -> None:
        return None
