"""HeteroLR's algorithm in the clear, on the joined columns of all parties.

Written from the algorithm's description alone and on purpose not with the functions of
``fate_flow.ml``, so that the two can be compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass
class PlainFit:
    weights: list[np.ndarray[Any, Any]]
    intercept: float
    losses: list[float]
    iterations: int
    converged: bool


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
            step = _step(optimizer, gradient, rate, state)
            moved += step
            w = w - step
            if penalty == "L1":
                with np.errstate(divide="ignore"):
                    limit = alpha * learning_rate / np.sqrt(np.float64(t))
                shrunk = np.sign(w) * np.maximum(0, np.abs(w) - limit)
                w = np.where(free > 0, shrunk, w)
        losses.append(float(np.mean(batch_losses)))
        if early_stop == "diff":
            converged = len(losses) > 1 and abs(losses[-2] - losses[-1]) < tol
        elif early_stop == "abs":
            converged = losses[-1] <= tol
        else:
            converged = bool(np.sqrt(np.sum(moved**2)) < tol)
        t += 1
    split = np.cumsum([b.shape[1] for b in blocks])
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
