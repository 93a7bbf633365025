"""First-order optimisers: from a gradient to the step that is subtracted from the weights.

All work elementwise on one vector and keep their moments between steps. The rate
decays with the iteration number t (from 0, the same for all batches of an iteration):
learning_rate ÷ √(1 + decay·t), or ÷ (1 + decay·t). Update rules and constants are those
of FATE 1.4; adam is Kingma and Ba 2015 (algorithm 1).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class LearningRate:
    """A decaying rate.

    Attributes:
        initial: rate of iteration 0.
        decay: how fast it falls.
        square_root: fall with the square root.
    """

    initial: float
    decay: float = 1.0
    square_root: bool = True

    def at(self, iteration: int) -> float:
        fall = 1 + self.decay * iteration
        return self.initial / (math.sqrt(fall) if self.square_root else fall)


class Optimizer(ABC):
    """Turns gradients into steps; one object per fit."""

    def __init__(self, rate: LearningRate) -> None:
        self.rate = rate

    def step(self, gradient: Floats, iteration: int) -> Floats:
        """The step to subtract, of the gradient's shape."""
        return self._step(np.asarray(gradient, dtype=np.float64), self.rate.at(iteration))

    @abstractmethod
    def _step(self, gradient: Floats, rate: float) -> Floats: ...


class Sgd(Optimizer):
    def _step(self, gradient: Floats, rate: float) -> Floats:
        return rate * gradient


class NesterovMomentumSgd(Optimizer):
    MOMENTUM = 0.9

    def __init__(self, rate: LearningRate) -> None:
        super().__init__(rate)
        self._velocity: Floats | float = 0.0

    def _step(self, gradient: Floats, rate: float) -> Floats:
        velocity = self.MOMENTUM * self._velocity - rate * gradient
        step: Floats = self.MOMENTUM * self._velocity - (1 + self.MOMENTUM) * velocity
        self._velocity = velocity
        return step


class RmsProp(Optimizer):
    RHO = 0.99
    EPSILON = 1e-6

    def __init__(self, rate: LearningRate) -> None:
        super().__init__(rate)
        self._square: Floats | float = 0.0

    def _step(self, gradient: Floats, rate: float) -> Floats:
        self._square = self.RHO * self._square + (1 - self.RHO) * gradient**2
        step: Floats = rate * gradient / np.sqrt(self._square + self.EPSILON)
        return step


class AdaGrad(Optimizer):
    EPSILON = 1e-7

    def __init__(self, rate: LearningRate) -> None:
        super().__init__(rate)
        self._square: Floats | float = 0.0

    def _step(self, gradient: Floats, rate: float) -> Floats:
        self._square = self._square + gradient**2
        step: Floats = rate * gradient / (np.sqrt(self._square) + self.EPSILON)
        return step


class Adam(Optimizer):
    BETA1 = 0.9
    BETA2 = 0.999
    EPSILON = 1e-8

    def __init__(self, rate: LearningRate) -> None:
        super().__init__(rate)
        self._mean: Floats | float = 0.0
        self._square: Floats | float = 0.0
        self._steps = 0

    def _step(self, gradient: Floats, rate: float) -> Floats:
        self._steps += 1
        self._mean = self.BETA1 * self._mean + (1 - self.BETA1) * gradient
        self._square = self.BETA2 * self._square + (1 - self.BETA2) * gradient**2
        mean = self._mean / (1 - self.BETA1**self._steps)
        square = self._square / (1 - self.BETA2**self._steps)
        step: Floats = rate * mean / (np.sqrt(square) + self.EPSILON)
        return step


OPTIMIZERS: dict[str, type[Optimizer]] = {
    "sgd": Sgd,
    "rmsprop": RmsProp,
    "adam": Adam,
    "adagrad": AdaGrad,
    "nesterov_momentum_sgd": NesterovMomentumSgd,
}


def make_optimizer(name: str, rate: LearningRate) -> Optimizer:
    """The optimiser of a name in :data:`OPTIMIZERS`; KeyError for others."""
    return OPTIMIZERS[name](rate)
