"""When an iterative fit has converged."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: Rules that look at the loss; the other one looks at the weights.
LOSS_RULES = ("diff", "abs")


@dataclass
class ConvergenceTest:
    """Asked once per iteration.

    Attributes:
        rule: ``diff``: the loss changed by less than tol (never in the first iteration);
            ``abs``: the loss is at most tol; ``weight_diff``: the norm of the iteration's
            summed steps is less than tol.
        tol: the tolerance.
    """

    rule: str
    tol: float
    _previous: float | None = field(default=None, init=False)

    def is_converged(self, loss: float | None, steps: Floats) -> bool:
        """Whether to stop after this iteration.

        Args:
            loss: the iteration's loss; needed by ``diff`` and ``abs``.
            steps: sum of the steps of the iteration's batches.
        """
        if self.rule == "weight_diff":
            return bool(np.linalg.norm(steps) < self.tol)
        if loss is None:
            raise ValueError(f"rule {self.rule} needs a loss")
        if self.rule == "abs":
            return loss <= self.tol
        previous, self._previous = self._previous, loss
        return previous is not None and abs(previous - loss) < self.tol
