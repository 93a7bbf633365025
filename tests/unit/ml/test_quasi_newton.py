"""The limited-memory quasi-Newton step against the matrix it stands for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fate_flow.ml.optimizers import LearningRate
from fate_flow.ml.quasi_newton import MeanChange, QuasiNewton, SampleDraw

RATE = LearningRate(0.5, decay=0.0)


def _bfgs(pairs: list[Any], size: int) -> Any:
    s, y = pairs[-1]
    hessian = (y @ s) / (y @ y) * np.eye(size)
    for s, y in pairs:
        rho = 1 / (y @ s)
        left = np.eye(size) - rho * np.outer(s, y)
        hessian = left @ hessian @ left.T + rho * np.outer(s, s)
    return hessian


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 6), st.integers(1, 4), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_steps_are_those_of_the_bfgs_matrix(size: int, memory: int, count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(size, size))
    curvature = root @ root.T + np.eye(size)
    optimizer = QuasiNewton(RATE, memory)
    pairs: list[Any] = []
    for _ in range(count):
        change = rng.normal(size=size)
        assert optimizer.learn(change, curvature @ change)
        pairs = [*pairs, (change, curvature @ change)][-memory:]
        gradient = rng.normal(size=size)
        expected = 0.5 * _bfgs(pairs, size) @ gradient
        np.testing.assert_allclose(optimizer.step(gradient, 0), expected, rtol=1e-6, atol=1e-9)


def test_the_newest_pair_is_met_exactly() -> None:
    optimizer = QuasiNewton(RATE, 3)
    for change, product in (([1.0, 0.0], [2.0, 1.0]), ([0.0, 1.0], [1.0, 3.0])):
        optimizer.learn(np.array(change), np.array(product))
    np.testing.assert_allclose(optimizer.step(np.array([1.0, 3.0]), 0), [0.0, 0.5], atol=1e-15)


@pytest.mark.parametrize(
    ("change", "product"),
    [([0.0, 0.0], [1.0, 1.0]), ([1.0, 0.0], [-1.0, 0.0]), ([1.0, 0.0], [0.0, 1.0])],
)
def test_pairs_without_curvature_are_passed_over(change: Any, product: Any) -> None:
    optimizer = QuasiNewton(RATE, 3)
    assert not optimizer.learn(np.array(change), np.array(product))
    np.testing.assert_array_equal(optimizer.step(np.array([1.0, 2.0]), 0), [0.5, 1.0])


def test_changes_are_between_means_of_whole_runs() -> None:
    change = MeanChange(2)
    found = [change.add(np.array([value])) for value in (1.0, 3.0, 5.0, 7.0, 7.0, 9.0)]
    assert [None if one is None else one.tolist() for one in found] == [
        None,
        None,
        None,
        [4.0],
        None,
        [2.0],
    ]


def test_samples_are_distinct_rows_in_order() -> None:
    draw = SampleDraw(5, seed=3)
    first, second = draw.rows(20), draw.rows(20)
    assert first.dtype == np.int64
    assert len(set(first.tolist())) == 5
    assert (np.diff(first) > 0).all()
    assert 0 <= first[0] <= first[-1] < 20
    assert first.tolist() != second.tolist()
    assert SampleDraw(5, seed=3).rows(20).tolist() == first.tolist()
    assert draw.rows(5).tolist() == [0, 1, 2, 3, 4]
