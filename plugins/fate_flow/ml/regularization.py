"""L1 and L2 penalties of linear models; the intercept is never penalised."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fate_flow.ml.glm import LinearWeights

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Penalty:
    """A penalty term.

    Attributes:
        kind: ``L1``, ``L2`` or None.
        alpha: its strength.
        learning_rate: initial learning rate, which scales the L1 threshold.
    """

    kind: str | None
    alpha: float
    learning_rate: float

    def gradient(self, weights: LinearWeights) -> Floats:
        """What the penalty adds to the gradient, laid out as ``weights.vector()``.

        L1 adds nothing here: it acts by :meth:`shrink`.
        """
        vector = weights.vector()
        if self.kind != "L2":
            return np.zeros_like(vector)
        result: Floats = self.alpha * vector
        if weights.fit_intercept:
            result[-1] = 0.0
        return result

    def loss(self, weights: LinearWeights) -> float | None:
        """Its share of the loss; None without a penalty."""
        if self.kind == "L1":
            return float(self.alpha * np.sum(np.abs(weights.coefficients)))
        if self.kind == "L2":
            return float(0.5 * self.alpha * np.sum(weights.coefficients**2))
        return None

    def shrink(self, weights: LinearWeights, iteration: int) -> LinearWeights:
        """Soft threshold of L1 (proximal step) after an update; other penalties change nothing.

        The threshold is alpha·learning_rate ÷ √iteration, which is infinite in iteration 0:
        there all coefficients become 0. FATE 1.4 does so, and results follow from it.
        """
        if self.kind != "L1":
            return weights
        threshold = (
            self.alpha * self.learning_rate / math.sqrt(iteration) if iteration else math.inf
        )
        old = weights.coefficients
        shrunk = np.sign(old) * np.maximum(np.abs(old) - threshold, 0.0)
        return LinearWeights(shrunk, weights.intercept, weights.fit_intercept)
