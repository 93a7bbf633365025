"""A stochastic quasi-Newton optimiser for gradients that arrive batch by batch.

Curvature is not read off noisy gradient differences: every L updates the change s of the
mean weights of the last L updates is paired with the Hessian product y = ∇²F·s on a sample
(Byrd, Hansen, Nocedal and Singer 2016, *A stochastic quasi-Newton method for large-scale
optimization*, SIAM J. Optim. 26, algorithm 1). From the last M pairs the step H·g is
computed by the two-loop recursion (Nocedal 1980), which is the BFGS inverse update applied
to ρ·I, pair after pair, without ever forming H.
"""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from fate_flow.ml.optimizers import LearningRate, Optimizer

Floats = NDArray[np.float64]

#: A pair is used when y·s is more than this share of ‖y‖·‖s‖. It is for every convex loss,
#: but where rounding is all that is left; there an update would break H's definiteness.
MINIMUM_CURVATURE = 1e-12


class MeanChange:
    """The change between means of successive runs of ``interval`` weight vectors."""

    def __init__(self, interval: int) -> None:
        self._interval = interval
        self._count = 0
        self._sum: Floats | float = 0.0
        self._mean: Floats | None = None

    def add(self, weights: Floats) -> Floats | None:
        """Take the weights after one update.

        Returns:
            This run's mean minus the one before, of the weights' shape, when a run is
            complete and another was before it; else None.
        """
        self._count += 1
        self._sum = self._sum + np.asarray(weights, dtype=np.float64)
        if self._count % self._interval:
            return None
        mean = np.asarray(self._sum / self._interval, dtype=np.float64)
        before, self._mean, self._sum = self._mean, mean, 0.0
        return None if before is None else mean - before


class QuasiNewton(Optimizer):
    """Steps r·H·g, and r·g as long as there is no H.

    Args:
        rate: the decaying rate r.
        memory: number of pairs that are kept.
    """

    def __init__(self, rate: LearningRate, memory: int) -> None:
        super().__init__(rate)
        self._pairs: deque[tuple[Floats, Floats]] = deque(maxlen=memory)

    def learn(self, change: Floats, product: Floats) -> bool:
        """Take a pair (s, y = ∇²F·s); False when it says nothing about the curvature."""
        size = float(np.linalg.norm(change) * np.linalg.norm(product))
        if not float(change @ product) > MINIMUM_CURVATURE * size:
            return False
        self._pairs.append((change, product))
        return True

    def _step(self, gradient: Floats, rate: float) -> Floats:
        if not self._pairs:
            return rate * gradient
        rest = gradient.copy()
        shares = []
        for change, product in reversed(self._pairs):
            share = float(change @ rest) / float(product @ change)
            rest -= share * product
            shares.append(share)
        change, product = self._pairs[-1]
        direction = float(product @ change) / float(product @ product) * rest
        for (change, product), share in zip(self._pairs, reversed(shares), strict=True):
            back = float(product @ direction) / float(product @ change)
            direction = direction + (share - back) * change
        result: Floats = rate * direction
        return result


class SampleDraw:
    """Draws of rows of a batch, without repetition.

    Args:
        size: rows of a draw, at most.
        seed: of numpy's Mersenne Twister; None for other rows in each run.
    """

    def __init__(self, size: int, seed: int | None) -> None:
        self._size = size
        self._generator = np.random.RandomState(seed)

    def rows(self, count: int) -> NDArray[np.int64]:
        """Ascending positions below ``count``: all of them when the size allows it."""
        if count <= self._size:
            return np.arange(count, dtype=np.int64)
        drawn = self._generator.choice(count, self._size, replace=False)
        return np.sort(drawn).astype(np.int64)
