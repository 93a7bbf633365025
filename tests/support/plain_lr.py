"""HeteroLR's algorithm in the clear, on the joined columns of all parties.

Written from the algorithm's description alone and on purpose not with the functions of
``fate_flow.ml``, so that the two can be compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass
class PlainFit:
    weights: list[np.ndarray[Any, Any]]
    intercept: float
    losses: list[float]
    iterations: int
    converged: bool

    def scores(self, blocks: Sequence[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
        """P(1) of the rows of ``blocks``."""
        u = sum((b @ w for b, w in zip(blocks, self.weights, strict=True)), self.intercept)
        return np.asarray(1 / (1 + np.exp(-u)))


@dataclass
class PlainSqn:
    """Settings and state of the quasi-Newton procedure; H is formed and updated in full."""

    interval: int = 3
    memory: int = 5
    sample_size: int = 5000
    seed: int | None = None
    updates: int = 0
    pairs: list[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]] = field(default_factory=list)
    hessian: np.ndarray[Any, Any] | None = None

    def __post_init__(self) -> None:
        self._random = np.random.RandomState(self.seed)
        self._weights: list[np.ndarray[Any, Any]] = []
        self._moved: list[np.ndarray[Any, Any]] = []

    def after_update(
        self,
        w: np.ndarray[Any, Any],
        moved: np.ndarray[Any, Any],
        x: np.ndarray[Any, Any],
        penalty: np.ndarray[Any, Any],
    ) -> None:
        """``w``: weights, ``moved``: sum of all steps, ``penalty``: factor of Δw in y."""
        self.updates += 1
        self._weights.append(w)
        self._moved.append(moved)
        if self.updates % self.interval or self.updates < 2 * self.interval:
            return
        n = self.interval
        change = np.mean(self._weights[-n:], 0) - np.mean(self._weights[-2 * n : -n], 0)
        s = np.mean(self._moved[-2 * n : -n], 0) - np.mean(self._moved[-n:], 0)
        if self.sample_size < len(x):
            x = x[np.sort(self._random.choice(len(x), self.sample_size, replace=False))]
        y = x.T @ (0.25 * (x @ change)) / len(x) + penalty * change
        if s @ y <= 1e-12 * np.linalg.norm(s) * np.linalg.norm(y):
            return
        self.pairs = [*self.pairs, (s, y)][-self.memory :]
        one = np.eye(len(s))
        self.hessian = (y @ s) / (y @ y) * one
        for s, y in self.pairs:
            rho = 1 / (y @ s)
            left = one - rho * np.outer(s, y)
            self.hessian = left @ self.hessian @ left.T + rho * np.outer(s, s)


def fit_plain(
    blocks: Sequence[np.ndarray[Any, Any]],
    labels: np.ndarray[Any, Any],
    start: Sequence[np.ndarray[Any, Any]],
    *,
    optimizer: str = "sgd",
    penalty: str | None = "L2",
    alpha: float = 0.01,
    learning_rate: float = 0.15,
    decay: float = 1.0,
    decay_sqrt: bool = True,
    batch_size: int = -1,
    max_iter: int = 5,
    early_stop: str = "diff",
    tol: float = 1e-9,
    fit_intercept: bool = True,
    sqn: PlainSqn | None = None,
) -> PlainFit:
    """``blocks``/``start``: hosts in order, then the guest (its last start value: intercept)."""
    x = np.hstack([*blocks, np.ones((len(labels), 1))]) if fit_intercept else np.hstack(blocks)
    w = np.concatenate(start).astype(float)
    free = np.ones(len(w))
    if fit_intercept:
        free[-1] = 0.0
    y = np.where(labels == 1, 1.0, -1.0)
    n = len(y)
    size = n if batch_size == -1 else batch_size
    state: dict[str, Any] = {"m": np.zeros(len(w)), "v": np.zeros(len(w)), "k": 0}
    losses: list[float] = []
    total = np.zeros(len(w))
    converged, t = False, 0
    while t < max_iter and not converged:
        rate = learning_rate / (np.sqrt(1 + decay * t) if decay_sqrt else 1 + decay * t)
        batch_losses, moved = [], np.zeros(len(w))
        for first in range(0, n, size):
            xb, yb = x[first : first + size], y[first : first + size]
            u = xb @ w
            gradient = xb.T @ (0.25 * u - 0.5 * yb) / len(yb)
            loss = np.log(2) - (yb @ u) / (2 * n) + (u @ u) / (8 * n)
            if penalty == "L2":
                gradient = gradient + alpha * w * free
                loss += 0.5 * alpha * np.sum((w * free) ** 2)
            elif penalty == "L1":
                loss += alpha * np.sum(np.abs(w * free))
            batch_losses.append(loss)
            if sqn is not None:
                step = rate * (gradient if sqn.hessian is None else sqn.hessian @ gradient)
            else:
                step = _step(optimizer, gradient, rate, state)
            moved += step
            total = total + step
            w = w - step
            if penalty == "L1":
                with np.errstate(divide="ignore"):
                    limit = alpha * learning_rate / np.sqrt(np.float64(t))
                shrunk = np.sign(w) * np.maximum(0, np.abs(w) - limit)
                w = np.where(free > 0, shrunk, w)
            if sqn is not None:
                sqn.after_update(w, total, xb, alpha * free if penalty == "L2" else 0 * free)
        losses.append(float(np.mean(batch_losses)))
        if early_stop == "diff":
            converged = len(losses) > 1 and abs(losses[-2] - losses[-1]) < tol
        elif early_stop == "abs":
            converged = losses[-1] <= tol
        else:
            converged = bool(np.sqrt(np.sum(moved**2)) < tol)
        t += 1
    split = np.cumsum([b.shape[1] for b in blocks]).astype(int)
    weights = [part.copy() for part in np.split(w, split)][: len(blocks)]
    return PlainFit(weights, float(w[-1]) if fit_intercept else 0.0, losses, t, converged)


def _step(name: str, g: np.ndarray[Any, Any], rate: float, state: dict[str, Any]) -> Any:
    state["k"] += 1
    if name == "sgd":
        return rate * g
    if name == "nesterov_momentum_sgd":
        old, state["m"] = state["m"], 0.9 * state["m"] - rate * g
        return 0.9 * old - 1.9 * state["m"]
    if name == "rmsprop":
        state["m"] = 0.99 * state["m"] + 0.01 * g * g
        return rate * g / np.sqrt(state["m"] + 1e-6)
    if name == "adagrad":
        state["m"] = state["m"] + g * g
        return rate * g / (np.sqrt(state["m"]) + 1e-7)
    assert name == "adam"
    state["m"] = 0.9 * state["m"] + 0.1 * g
    state["v"] = 0.999 * state["v"] + 0.001 * g * g
    mean = state["m"] / (1 - 0.9 ** state["k"])
    square = state["v"] / (1 - 0.999 ** state["k"])
    return rate * mean / (np.sqrt(square) + 1e-8)
