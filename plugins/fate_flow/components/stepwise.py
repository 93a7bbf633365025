"""Stepwise selection of columns by an information criterion, on vertically split data.

A candidate is a mask over the host's columns, then the guest's. Step 0 fits the model to
start from: all columns (directions ``backward`` and ``both``), or the intercept alone
(``forward``), which the guest fits by itself. Every step after it fits what is one column
less (``backward``, ``both``) or one more (``forward``, ``both``) than the best so far,
model m of step s in flow ``train.step<s>.model<m>``; masks that were fitted before keep
their score. The arbiter scores

    k·(columns + 1 with an intercept) + deviance,    k = 2 (AIC) or ln rows (BIC),

and tells guest and host the mask with the lowest score. The search ends when the mask
stays, all columns are in, ``nvmin`` columns are reached from above or ``nvmax`` from below,
or after ``max_step`` steps. All parties go through the same masks in the same order.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from fate_flow.components.common_params import StepwiseParam
from fate_flow.components.learner import FitScope, Share, StepwiseLearner, in_flow
from fate_flow.data.table import Table
from fate_flow.entities import Party
from fate_flow.errors import DataError, ProtocolError, UnsupportedError

#: guest → arbiter, host and host → arbiter, guest, no suffix: [rows, columns].
GUEST_DATA_INFO = "guest_data_info"
HOST_DATA_INFO = "host_data_info"
#: guest → arbiter, no suffix: loss of the model of the intercept alone; forward only.
NULL_LOSS = "guest_null_loss"
#: arbiter → guest, host, suffix (step,): the best mask, ``1`` for a column that is in.
STEP_BEST = "step_best"
#: arbiter → guest, suffix (step,): [loss, score] of the best mask, for the step's report.
STEP_SCORE = "step_score"

Mask = tuple[bool, ...]
S = TypeVar("S", bound=StepwiseLearner[Any])


@dataclass(frozen=True)
class _Shape:
    """What all parties know of the data: rows, and columns of host and guest."""

    rows: int
    host: int
    guest: int

    def split(self, mask: Mask) -> tuple[Mask, Mask]:
        """The host's part and the guest's."""
        return mask[: self.host], mask[self.host :]


@dataclass(frozen=True)
class _Score:
    loss: float
    criterion: float


class StepwiseSearch(Generic[S]):
    """The search at one party.

    Args:
        learner: unfitted; it takes over the best model in the end.
        data: rows to fit; None at the arbiter.

    Raises:
        UnsupportedError: several hosts.
        DataError: guest and host have other numbers of rows.
    """

    def __init__(self, learner: S, data: Table | None) -> None:
        context = learner.context
        if len(context.hosts) != 1:
            raise UnsupportedError(
                f"stepwise selection works with one host, found {len(context.hosts)}",
                remedy="Set stepwise_param.need_stepwise to false",
            )
        self._learner = learner
        self._param: StepwiseParam = learner.param.stepwise_param
        self._role = context.party.role
        self._data = None if self._role == "arbiter" else learner.require_table(data)
        self._shape = self._exchange_shapes()
        self._fitted: dict[Mask, S] = {}
        self._scores: dict[Mask, _Score] = {}

    def run(self) -> None:
        """Search, and let the learner adopt the best model."""
        best = self._start()
        for step in range(1, self._param.max_step + 1):
            candidates = [best, *self._neighbours(best)]
            fresh = [mask for mask in candidates if mask not in self._fitted]
            for index, mask in enumerate(fresh):
                self._fit(mask, step, index, len(fresh))
            before, best = best, self._agree(step, candidates)
            self._report(step, best)
            if self._is_over(before, best):
                break
        self._learner.adopt(self._fitted[best])

    # -- candidates ----------------------------------------------------------------------

    def _start(self) -> Mask:
        """Step 0."""
        forward = self._param.direction == "forward"
        mask: Mask = (not forward,) * (self._shape.host + self._shape.guest)
        if forward:
            self._fit_null(mask)
        else:
            self._fit(mask, 0, 0, 1)
        best = self._agree(0, [mask])
        self._report(0, best)
        return best

    def _neighbours(self, mask: Mask) -> Iterator[Mask]:
        """What is one column less, then what is one more; in the order of the columns."""
        param, count = self._param, sum(mask)
        drops = param.direction != "forward" and count > param.nvmin
        adds = param.direction != "backward" and (param.nvmax is None or count < param.nvmax)
        for wanted in [True] * drops + [False] * adds:
            for index, is_in in enumerate(mask):
                if is_in is wanted:
                    yield (*mask[:index], not is_in, *mask[index + 1 :])

    def _is_over(self, before: Mask, best: Mask) -> bool:
        count, count_before = sum(best), sum(before)
        nvmin, nvmax = self._param.nvmin, self._param.nvmax
        return (
            best == before
            or all(best)
            or count == nvmin < count_before
            or (nvmax is not None and count_before < nvmax == count)
        )

    # -- fits ----------------------------------------------------------------------------

    def _part(self, label: str, begin: float, size: float) -> S:
        scope = FitScope(loss=None, no_columns=True)
        quiet = {"validation_freqs": None, "early_stopping_rounds": None}
        return self._learner.part(Share(label, begin, size), scope, quiet)

    def _fit(self, mask: Mask, step: int, index: int, count: int) -> None:
        begin, size = step / (self._param.max_step + 1), 1 / (self._param.max_step + 1)
        label = f"step {step}, model {index + 1} of {count}"
        part = self._part(label, begin + size * index / count, size / count)
        with in_flow(self._learner.context.federation, f"train.step{step}.model{index}"):
            part.fit(self._with_columns(mask))
        self._keep(mask, part, part.loss)

    def _fit_null(self, mask: Mask) -> None:
        context, loss = self._learner.context, None
        part = self._part("step 0, the intercept alone", 0.0, 1 / (self._param.max_step + 1))
        if self._role == "arbiter":
            loss = _finite(context.federation.receive(NULL_LOSS, context.guest), context.guest)
        else:
            own = self._with_columns(mask)
            assert own is not None
            loss = part.fit_null(own)
        if self._role == "guest":
            context.federation.send(NULL_LOSS, loss, context.arbiter)
        self._keep(mask, part, loss)

    def _with_columns(self, mask: Mask) -> Table | None:
        """This party's table as if it had the columns of the mask only."""
        if self._data is None:
            return None
        header = tuple(self._chosen(mask))
        return replace(self._data, schema=replace(self._data.schema, header=header))

    def _chosen(self, mask: Mask) -> list[str]:
        assert self._data is not None
        own = self._shape.split(mask)[0 if self._role == "host" else 1]
        return [name for name, is_in in zip(self._data.schema.header, own, strict=True) if is_in]

    def _keep(self, mask: Mask, part: S, loss: float | None) -> None:
        self._fitted[mask] = part
        if self._role == "arbiter":
            if loss is None:
                raise ProtocolError("a candidate of the stepwise selection was fitted without loss")
            self._scores[mask] = _Score(loss, self._criterion(sum(mask), loss))

    def _criterion(self, columns: int, loss: float) -> float:
        rows = self._shape.rows
        charge = 2.0 if self._param.score_name == "AIC" else math.log(rows)
        freedom = columns + int(self._learner.param.init_param.fit_intercept)
        deviance: float = self._learner.deviance(loss, rows)
        return charge * freedom + deviance

    # -- agreement -----------------------------------------------------------------------

    def _exchange_shapes(self) -> _Shape:
        context = self._learner.context
        host, guest, arbiter = context.hosts[0], context.guest, context.arbiter
        messages = {
            host: (HOST_DATA_INFO, [arbiter, guest]),
            guest: (GUEST_DATA_INFO, [arbiter, host]),
        }
        shapes: dict[Party, list[int]] = {}
        if self._data is not None:
            own = [self._data.count, len(self._data.schema.header)]
            variable, others = messages[context.party]
            context.federation.send(variable, own, others)
            shapes[context.party] = own
        for party, (variable, _) in messages.items():
            if party != context.party:
                shapes[party] = _shape_of(context.federation.receive(variable, party), party)
        if shapes[host][0] != shapes[guest][0]:
            raise DataError(
                f"{guest} has {shapes[guest][0]} rows and {host} has {shapes[host][0]}",
                remedy="Put an Intersection before it at both parties, with sync_intersect_ids on",
            )
        if not shapes[host][1] + shapes[guest][1]:
            raise DataError(f"neither {guest} nor {host} has a column to choose from")
        return _Shape(shapes[guest][0], shapes[host][1], shapes[guest][1])

    def _agree(self, step: int, candidates: list[Mask]) -> Mask:
        """The best candidate, as the arbiter says."""
        context, suffix = self._learner.context, (step,)
        if self._role == "arbiter":
            best = min(candidates, key=lambda mask: self._scores[mask].criterion)
            others = [context.guest, *context.hosts]
            context.federation.send(STEP_BEST, _text(best), others, suffix)
            score = self._scores[best]
            context.federation.send(
                STEP_SCORE, [score.loss, score.criterion], context.guest, suffix
            )
            return best
        said = context.federation.receive(STEP_BEST, context.arbiter, suffix)
        known = {_text(mask): mask for mask in candidates}
        if not isinstance(said, str) or said not in known:
            raise ProtocolError(f"{context.arbiter} chose {said!r}, which is no candidate")
        if self._role == "guest":
            pair = context.federation.receive(STEP_SCORE, context.arbiter, suffix)
            if not isinstance(pair, list) or len(pair) != 2:
                raise ProtocolError(f"{context.arbiter} sent no readable {STEP_SCORE}")
            loss, criterion = (_finite(value, context.arbiter) for value in pair)
            self._scores[known[said]] = _Score(loss, criterion)
        return known[said]

    # -- report --------------------------------------------------------------------------

    def _report(self, step: int, best: Mask) -> None:
        name = f"stepwise_{step}"
        self._learner.context.tracker.metrics("train", name, [(name, step)], self._meta(name, best))

    def _meta(self, name: str, best: Mask) -> Mapping[str, Any]:
        context, shape, score = self._learner.context, self._shape, self._scores.get(best)
        host_mask, guest_mask = shape.split(best)
        host, guest = context.hosts[0].party_id, context.guest.party_id
        intercept = self._learner.param.init_param.fit_intercept
        meta: dict[str, Any] = {
            "name": name,
            "metric_type": "STEPWISE",
            "host_mask": [int(is_in) for is_in in host_mask],
            "guest_mask": [int(is_in) for is_in in guest_mask],
            "score_name": self._param.score_name,
            "number_in": sum(best),
            "direction": self._param.direction,
            "n_count": shape.rows,
            "host_features_anonym": [f"host_{host}_{index}" for index in range(shape.host)],
            "guest_features_anonym": [f"guest_{guest}_{index}" for index in range(shape.guest)],
            "loss": score.loss if score else None,
            "current_ic_val": score.criterion if score else None,
            "fit_intercept": intercept and self._role != "host",
        }
        if self._data is not None:
            meta["all_features"] = list(self._data.schema.header)
            meta["to_enter"] = self._chosen(best)
            meta.update(self._fitted[best].coefficients())
        return meta


def _text(mask: Mask) -> str:
    return "".join("01"[is_in] for is_in in mask)


def _finite(value: object, sender: Party) -> float:
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ProtocolError(f"{sender} sent {value!r}, not a number")
    return float(value)


def _shape_of(value: object, sender: Party) -> list[int]:
    if (
        not isinstance(value, list)
        or len(value) != 2
        or any(type(one) is not int or one < 0 for one in value)
    ):
        raise ProtocolError(f"{sender} sent no readable shape of its data")
    return value
