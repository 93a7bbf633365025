"""HeteroLR's state as FATE 1.4's model messages, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fate_flow.components.hetero_lr.params import HeteroLogisticParam
from fate_flow.components.stored import read_pair
from fate_flow.errors import DataError
from fate_flow.ml.glm import LinearWeights
from fate_flow.models.proto.lr_model_meta_pb2 import LRModelMeta
from fate_flow.models.proto.lr_model_param_pb2 import LRModelParam, OneVsRestResult, SingleModel
from fate_flow.runtime.context import ModelBuffers

if TYPE_CHECKING:
    from fate_flow.components.hetero_lr.party import HeteroLRParty

META, PARAM = "HeteroLogisticRegressionMeta", "HeteroLogisticRegressionParam"


def meta_message(
    param: HeteroLogisticParam, *, fit_intercept: bool, one_vs_rest: bool
) -> LRModelMeta:
    return LRModelMeta(
        penalty=param.penalty or "NONE",
        tol=param.tol,
        alpha=param.alpha,
        optimizer=param.optimizer,
        batch_size=param.batch_size,
        learning_rate=param.learning_rate,
        max_iter=param.max_iter,
        early_stop=param.early_stop,
        fit_intercept=fit_intercept,
        need_one_vs_rest=one_vs_rest,
    )


def param_message(party: HeteroLRParty) -> LRModelParam:
    """Weights of one party; empty as long as nothing was fitted."""
    if party.one_vs_rest is None:
        return LRModelParam(**_fields(party)) if party.iterations else LRModelParam()
    result = OneVsRestResult(
        completed_models=[SingleModel(**_fields(model)) for model in party.one_vs_rest.models],
        one_vs_rest_classes=[str(label) for label in party.one_vs_rest.classes],
    )
    return LRModelParam(
        header=party.header, need_one_vs_rest=True, one_vs_rest_result=result, best_iteration=-1
    )


def _fields(party: HeteroLRParty) -> dict[str, Any]:
    """What a whole model and the model of one class have in common."""
    weights = party.weights.coefficients.tolist()
    return {
        "iters": party.iterations,
        "is_converged": party.is_converged,
        "weight": dict(zip(party.header, weights, strict=True)),
        "intercept": party.weights.intercept,
        "header": party.header,
        "best_iteration": party.best_iteration,
    }


def read(buffers: ModelBuffers) -> tuple[LRModelMeta, LRModelParam]:
    """Both messages of a stored model.

    Raises:
        DataError: not a HeteroLR model.
    """
    return read_pair(
        buffers,
        LRModelMeta,
        LRModelParam,
        what="HeteroLR model",
        module="HeteroLR",
        names=(META, PARAM),
    )


def restore(party: HeteroLRParty, stored: LRModelParam | SingleModel, fit_intercept: bool) -> None:
    """Give a party the weights of a message.

    Raises:
        DataError: the message holds none, or not for all columns.
    """
    missing = [name for name in stored.header if name not in stored.weight]
    if missing:
        raise DataError(
            f"the HeteroLR model of {party.context.party} is damaged: "
            f"no weight for {', '.join(missing)}"
        )
    if not stored.iters:
        raise DataError(
            f"the HeteroLR model of {party.context.party} was not fitted",
            remedy="A cross validation leaves no model: train once more without cv_param.need_cv",
        )
    party.header = tuple(stored.header)
    coefficients = np.array([stored.weight[name] for name in party.header], dtype=np.float64)
    party.weights = LinearWeights(coefficients, stored.intercept, fit_intercept)
    party.iterations = stored.iters
    party.is_converged = stored.is_converged
    party.best_iteration = stored.best_iteration
