"""What guest, hosts and arbiter of HeteroLR have in common: the model and the checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from google.protobuf.message import DecodeError, Message
from numpy.typing import NDArray

from fate_flow.components.hetero_lr.params import HeteroLogisticParam
from fate_flow.components.predictions import unite_predictions
from fate_flow.data.table import Table
from fate_flow.errors import DataError, ProtocolError, UnsupportedError
from fate_flow.ml.convergence import LOSS_RULES
from fate_flow.ml.glm import LinearWeights
from fate_flow.ml.initialization import initial_vector
from fate_flow.models.proto.lr_model_meta_pb2 import LRModelMeta
from fate_flow.models.proto.lr_model_param_pb2 import LRModelParam
from fate_flow.runtime.component import Component
from fate_flow.runtime.context import ModelBuffers

Floats = NDArray[np.float64]

#: Fixed-point bits of the features in products with ciphertexts, at each column's own scale.
#: With scores encrypted to 2**-41 the error of gradient component j is at most
#: ``2**-30 * max|x_j| * mean|d| + 2**-41 * mean|x_j|``, about 1e-9 for scaled features; weights
#: come out as in the clear within 1e-6 (1e-8 as measured), whatever the optimiser makes of it.
MATRIX_BITS = 30

META, PARAM = "HeteroLogisticRegressionMeta", "HeteroLogisticRegressionParam"


class HeteroLRParty(Component[HeteroLogisticParam]):
    """State of one party's model."""

    param_class = HeteroLogisticParam
    #: Whether this party carries the intercept.
    has_intercept = False

    weights: LinearWeights
    header: tuple[str, ...] = ()
    iterations = 0
    is_converged = False
    best_iteration = -1

    # -- model ---------------------------------------------------------------------------

    def export_model(self) -> Mapping[str, Message] | None:
        return {META: self._meta(), PARAM: self._param()}

    def _meta(self) -> LRModelMeta:
        param = self.param
        return LRModelMeta(
            penalty=param.penalty or "NONE",
            tol=param.tol,
            alpha=param.alpha,
            optimizer=param.optimizer,
            batch_size=param.batch_size,
            learning_rate=param.learning_rate,
            max_iter=param.max_iter,
            early_stop=param.early_stop,
            fit_intercept=self.has_intercept and param.init_param.fit_intercept,
        )

    def _param(self) -> LRModelParam:
        weights = self.weights.coefficients.tolist() if self.header else []
        return LRModelParam(
            iters=self.iterations,
            is_converged=self.is_converged,
            weight=dict(zip(self.header, weights, strict=True)),
            intercept=self.weights.intercept if self.header else 0.0,
            header=self.header,
            best_iteration=self.best_iteration,
        )

    def load_model(self, buffers: ModelBuffers) -> None:
        """Restore weights.

        Raises:
            DataError: not a HeteroLR model, or a damaged one.
            UnsupportedError: a one-vs-rest model.
        """
        try:
            meta = LRModelMeta.FromString(buffers[META])
            stored = LRModelParam.FromString(buffers[PARAM])
        except (KeyError, DecodeError):
            raise DataError(
                f"{self.context.identity.component} got a model that is not of HeteroLR, "
                f"it has {', '.join(sorted(buffers)) or 'no parts'}",
                remedy="input.model must name the model output of a HeteroLR component",
            ) from None
        if stored.need_one_vs_rest:
            raise UnsupportedError("one-vs-rest models of HeteroLR are not available yet")
        self._restore(meta, stored)

    def _restore(self, meta: LRModelMeta, stored: LRModelParam) -> None:
        missing = [name for name in stored.header if name not in stored.weight]
        if missing or not stored.header:
            raise DataError(
                f"the HeteroLR model of {self.context.party} is damaged: "
                f"no weight for {', '.join(missing) or 'any column'}"
            )
        self.header = tuple(stored.header)
        coefficients = np.array([stored.weight[name] for name in self.header])
        self.weights = LinearWeights(coefficients, stored.intercept, meta.fit_intercept)
        self.iterations = stored.iters
        self.is_converged = stored.is_converged
        self.best_iteration = stored.best_iteration

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
                "Multiple host situation, loss early stop function is not available. "
                "You should use 'weight_diff' instead",
                remedy=f"Set early_stop of {self.context.identity.component} to weight_diff",
            )

    def check_classes(self, count: object) -> None:
        """Check what the guest said about its labels.

        Raises:
            UnsupportedError: more than two classes.
            ProtocolError: not a number of classes.
        """
        if not isinstance(count, int) or count < 2:
            raise ProtocolError(f"the guest announced {count!r} label classes")
        if count > 2:
            raise UnsupportedError(
                f"the labels have {count} classes; one-vs-rest is not available in this version",
                remedy="Train with labels 0 and 1",
            )

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
        if not np.isfinite(moved.vector()).all() or np.abs(moved.vector()).max() > 1e100:
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
        if not header:
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
            matrix = matrix[:, [header.index(name) for name in columns]]
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
