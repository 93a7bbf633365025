"""What guest, hosts and arbiter of HeteroLR have in common: the model and the checks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from google.protobuf.message import Message
from numpy.typing import NDArray

from fate_flow.components.cross_validation import cross_validate
from fate_flow.components.hetero_lr.model import (
    META,
    PARAM,
    meta_message,
    param_message,
    read,
    restore,
)
from fate_flow.components.hetero_lr.params import NO_LOSS, HeteroLogisticParam
from fate_flow.components.hetero_lr.rows import KeyRing
from fate_flow.components.learner import FitScope, Share, StepwiseLearner, in_flow
from fate_flow.components.one_vs_rest import (
    AGGREGATE_CLASSES,
    OneVsRest,
    class_parts,
    stored_classes,
)
from fate_flow.components.predictions import unite_predictions
from fate_flow.components.stepwise import StepwiseSearch
from fate_flow.data.table import Table
from fate_flow.errors import DataError, ProtocolError, UnsupportedError
from fate_flow.ml.convergence import LOSS_RULES
from fate_flow.ml.glm import LinearWeights
from fate_flow.ml.initialization import initial_vector
from fate_flow.models.proto.lr_model_meta_pb2 import LRModelMeta
from fate_flow.models.proto.lr_model_param_pb2 import LRModelParam
from fate_flow.runtime.context import ModelBuffers, TaskContext

Floats = NDArray[np.float64]
Q = TypeVar("Q", bound="HeteroLRParty")

#: Labels with more different values than this are no classes.
MAXIMUM_CLASSES = 1000


class HeteroLRParty(StepwiseLearner[HeteroLogisticParam]):
    """State of one party's model."""

    param_class = HeteroLogisticParam
    #: Whether this party carries the intercept.
    has_intercept = False

    weights: LinearWeights
    header: tuple[str, ...] = ()
    iterations = 0
    is_converged = False
    best_iteration = -1

    #: The label that counts as the positive one.
    positive_class = 1
    #: The models of all classes, when there are more than two.
    one_vs_rest: OneVsRest[Any] | None = None
    #: Whether there are; the arbiter knows it, though it has no models.
    has_many_classes = False

    def __init__(self, context: TaskContext) -> None:
        super().__init__(context)
        self.keys = KeyRing()

    def part(
        self: Q, share: Share, scope: FitScope, parameters: Mapping[str, Any] | None = None
    ) -> Q:
        made = super().part(share, scope, parameters)
        made.keys = self.keys
        return made

    @property
    def evaluation_type(self) -> str:
        return "multi" if self.has_many_classes else "binary"

    def cross_validate(self, data: Table | None) -> None:
        self.check_parties()
        cross_validate(self, data)

    # -- model ---------------------------------------------------------------------------

    def export_model(self) -> Mapping[str, Message] | None:
        meta = meta_message(
            self.param,
            fit_intercept=self.has_intercept and self.param.init_param.fit_intercept,
            one_vs_rest=self.has_many_classes,
        )
        return {META: meta, PARAM: self._param()}

    def _param(self) -> LRModelParam:
        return param_message(self)

    def load_model(self, buffers: ModelBuffers) -> None:
        """Restore weights.

        Raises:
            DataError: not a HeteroLR model, a damaged one, or one that was not fitted.
        """
        meta, stored = read(buffers)
        self.has_many_classes = meta.need_one_vs_rest
        self._restore(meta, stored)

    def _restore(self, meta: LRModelMeta, stored: LRModelParam) -> None:
        if not stored.need_one_vs_rest:
            restore(self, stored, meta.fit_intercept)
            return
        result = stored.one_vs_rest_result
        singles = list(result.completed_models)
        classes = stored_classes(list(result.one_vs_rest_classes), len(singles))
        models = []
        for index, single in enumerate(singles):
            models.append(self.part(Share.of("class", index, len(singles)), self.scope))
            restore(models[-1], single, meta.fit_intercept)
        self.header = tuple(stored.header)
        self.one_vs_rest = OneVsRest(classes, models)

    # -- stepwise selection --------------------------------------------------------------

    def select_stepwise(self, data: Table | None) -> Table | None:
        StepwiseSearch(self, data).run()
        with in_flow(self.context.federation, "validate"):
            scores = self.predict(data, "train")
        if scores is None or scores.name == self.context.output[1]:
            return scores
        return unite_predictions(self.context, [scores])

    def fit_null(self, data: Table) -> float | None:
        self.header, self.iterations = (), 1
        self.weights = LinearWeights(np.empty(0))
        return None

    def adopt(self: Q, other: Q) -> None:
        self.header = other.header
        self.iterations = other.iterations
        self.is_converged = other.is_converged
        if hasattr(other, "weights"):
            self.weights = other.weights

    def coefficients(self) -> Mapping[str, Any]:
        values = self.weights.coefficients.tolist()
        return {
            "intercept": self.weights.intercept,
            "weight": dict(zip(self.header, values, strict=True)),
            "header": list(self.header),
        }

    def _stack(self, first: Table | None, second: Table | None) -> Table | None:
        if first is None or second is None:
            return first or second
        return unite_predictions(self.context, [first, second])

    # -- start of a fit -------------------------------------------------------------------

    @property
    def has_loss(self) -> bool:
        """The loss needs products of two parties' scores: it is computed with one host only."""
        return len(self.context.hosts) == 1

    def check_parties(self) -> None:
        """Refuse a convergence rule that these parties cannot evaluate; all see it alike.

        Raises:
            UnsupportedError: several hosts and a rule about the loss.
        """
        if not self.has_loss and self.param.early_stop in LOSS_RULES:
            raise UnsupportedError(
                NO_LOSS,
                remedy=f"Set early_stop of {self.context.identity.component} to weight_diff",
            )

    def receive_classes(self) -> int:
        """How many classes the guest's labels have.

        Raises:
            ProtocolError: not a number of classes.
        """
        count = self.context.federation.receive(AGGREGATE_CLASSES, self.context.guest)
        if type(count) is not int or not 2 <= count <= MAXIMUM_CLASSES:
            raise ProtocolError(f"the guest announced {count!r} label classes")
        return count

    def fit_classes(self: Q, classes: Sequence[int], fit_one: Callable[[Q], None]) -> None:
        """One binary model per class; see :mod:`fate_flow.components.one_vs_rest`."""
        self.has_many_classes = True
        models = []
        for index, part in class_parts(self, len(classes)):
            part.positive_class = classes[index]
            fit_one(part)
            models.append(part)
        self.one_vs_rest = OneVsRest(tuple(classes), models)

    def start_weights(self, features: Floats) -> LinearWeights:
        """Initial weights for a feature matrix of shape (n, d)."""
        init = self.param.init_param
        fit_intercept = self.has_intercept and init.fit_intercept
        vector = initial_vector(
            features.shape[1] + fit_intercept,
            init.init_method,
            constant=init.init_const,
            seed=init.random_seed,
        )
        return LinearWeights.from_vector(vector, fit_intercept)

    def apply(self, step: object, iteration: int) -> None:
        """Subtract the arbiter's step from the weights.

        Raises:
            ProtocolError: not a vector of the right length.
            DataError: the fit diverges.
        """
        size = len(self.weights.vector())
        if not isinstance(step, np.ndarray) or step.shape != (size,) or step.dtype.kind != "f":
            raise ProtocolError(f"the arbiter did not send a step of {size} numbers")
        moved = self.weights.minus(step)
        if not (np.abs(moved.vector()) <= 1e100).all():
            raise DataError(
                f"the weights of {self.context.party} grow without limit in iteration {iteration}",
                remedy="Lower learning_rate, or scale the features first (FeatureScale)",
            )
        self.weights = self.param.penalty_term.shrink(moved, iteration)

    def show_progress(self, loss: float | None = None) -> None:
        """Report the finished iterations of all, and the loss where it is known."""
        done, total = self.iterations, self.param.max_iter
        text = f"iteration {done} of {total}"
        if loss is not None:
            text += f", loss {loss:.6g}"
        self.context.tracker.progress(done / total, text)

    # -- data -----------------------------------------------------------------------------

    def features_of(self, data: Table, columns: Sequence[str] | None = None) -> Floats:
        """Feature matrix of a table, float64, shape (n, d), every number finite.

        Args:
            data: a table of instances.
            columns: the columns of a model; the table may have them in another order.

        Raises:
            DataError: no feature columns, columns of the model are missing, or NaN/infinite
                values.
        """
        where = f"table {data.name} of {self.context.party}"
        header = data.schema.header
        if columns is not None and not columns:
            return np.empty((data.count, 0))
        if not header and not self.scope.no_columns:
            raise DataError(
                f"{where} has no feature columns",
                remedy="HeteroLR needs at least one feature at the guest and at every host: look "
                "at what the components before it (feature selection) left over",
            )
        matrix = data.features()
        if columns is not None and tuple(columns) != tuple(header):
            missing = [name for name in columns if name not in header]
            if missing:
                raise DataError(
                    f"{where} lacks {len(missing)} columns of the model: "
                    f"{', '.join(missing[:5])}{' …' if len(missing) > 5 else ''}",
                    remedy="Predict with a table that has the columns the model was trained on",
                )
            matrix = np.ascontiguousarray(matrix[:, [header.index(name) for name in columns]])
            header = tuple(columns)
        bad = ~np.isfinite(matrix)
        if bad.any():
            names = [name for name, column in zip(header, bad.T, strict=True) if column.any()]
            raise DataError(
                f"{int(bad.any(axis=1).sum())} of {len(matrix)} rows of {where} have missing or "
                f"infinite values, in {', '.join(names[:5])}{' …' if len(names) > 5 else ''}",
                remedy="Fill them in DataIO (missing_fill) before HeteroLR",
            )
        return matrix
