"""Steps of generalised linear models that parties compute on their own columns.

The logistic loss is replaced by its second-order Taylor form around 0, so that its
gradient is linear in the scores and can be computed on additively homomorphic
ciphertexts (Hardy et al. 2017, *Private federated learning on vertically partitioned
data via entity resolution and additively homomorphic encryption*, section 4.2):

    ℓ(u, y) ≈ ln 2 − y·u/2 + u²/8,    ∂ℓ/∂u ≈ u/4 − y/2,    y ∈ {−1, +1}.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LN2 = math.log(2.0)
#: ∂ℓ/∂u = SCORE_FACTOR·u + LABEL_FACTOR·y
SCORE_FACTOR = 0.25
LABEL_FACTOR = -0.5


@dataclass(frozen=True)
class LinearWeights:
    """Weights of one party.

    Attributes:
        coefficients: float64, shape (d,).
        intercept: 0 where none is fitted.
        fit_intercept: whether this party carries the intercept.
    """

    coefficients: Floats
    intercept: float = 0.0
    fit_intercept: bool = False

    @classmethod
    def from_vector(cls, vector: Floats, fit_intercept: bool) -> LinearWeights:
        """Of one vector, the intercept last."""
        if fit_intercept:
            return cls(vector[:-1], float(vector[-1]), True)
        return cls(vector)

    def vector(self) -> Floats:
        """Coefficients, then the intercept if it is fitted."""
        return (
            np.append(self.coefficients, self.intercept)
            if self.fit_intercept
            else (self.coefficients.copy())
        )

    def scores(self, features: Floats) -> Floats:
        """w·x + b for each row; ``features`` has shape (n, d).

        A row's score has the same bits in whatever table it stands: each row is summed by
        itself, where a matrix product would group rows by their position.
        """
        own: Floats = np.einsum("ij,j->i", np.ascontiguousarray(features), self.coefficients)
        return own + self.intercept

    def minus(self, step: Floats) -> LinearWeights:
        """Weights after subtracting a step laid out as :meth:`vector`."""
        return self.from_vector(self.vector() - step, self.fit_intercept)


def sigmoid(scores: Floats) -> Floats:
    """1 ÷ (1 + e^−u), without overflow for any u."""
    small = np.exp(-np.abs(scores))
    result: Floats = np.where(scores >= 0, 1.0, small) / (1.0 + small)
    return result


def taylor_residual(scores: Floats, signs: Floats) -> Floats:
    """∂ℓ/∂u of each row; ``signs`` are the labels as −1 and +1."""
    return SCORE_FACTOR * scores + LABEL_FACTOR * signs


def taylor_loss(signed_score_sum: float, squared_score_sum: float, rows: int) -> float:
    """Mean Taylor loss from Σ y·u, Σ u² and the number of rows to divide by."""
    return LN2 - signed_score_sum / (2 * rows) + squared_score_sum / (8 * rows)
