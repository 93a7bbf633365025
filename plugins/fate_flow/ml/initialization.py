"""Initial weights of linear models."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def initial_vector(
    size: int, method: str, *, constant: float = 1.0, seed: int | None = None
) -> Floats:
    """A start vector.

    Args:
        size: its length, the intercept included.
        method: ``random_uniform`` in [0, 1), ``random_normal`` (standard), ``ones``,
            ``zeros`` or ``const``.
        constant: the value of ``const``.
        seed: of numpy's Mersenne Twister (the generator FATE 1.4 seeds, so that equal seeds
            give its numbers); None for different numbers each time.
    """
    generator = np.random.RandomState(seed)
    if method == "random_uniform":
        return generator.random_sample(size)
    if method == "random_normal":
        return generator.standard_normal(size)
    if method == "ones":
        return np.ones(size)
    if method == "zeros":
        return np.zeros(size)
    if method == "const":
        return np.full(size, float(constant))
    raise ValueError(f"unknown init_method {method!r}")
