"""Kernels of linear models against formulas written out and finite differences."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from fate_flow.ml.batches import batch_slices
from fate_flow.ml.convergence import ConvergenceTest
from fate_flow.ml.glm import LinearWeights, sigmoid, taylor_loss, taylor_residual
from fate_flow.ml.initialization import initial_vector
from fate_flow.ml.optimizers import OPTIMIZERS, LearningRate, make_optimizer
from fate_flow.ml.regularization import Penalty
from tests.support.plain_lr import _step


def test_residual_is_the_derivative_of_the_taylor_loss() -> None:
    rng = np.random.default_rng(0)
    scores, signs = rng.normal(size=9), rng.choice([-1.0, 1.0], 9)

    def loss(u: Any) -> float:
        return taylor_loss(float(signs @ u), float(u @ u), 1)

    step = 1e-6
    numeric = [
        (loss(scores + step * unit) - loss(scores - step * unit)) / (2 * step) for unit in np.eye(9)
    ]
    np.testing.assert_allclose(taylor_residual(scores, signs), numeric, atol=1e-8)
    assert loss(np.zeros(9)) == pytest.approx(math.log(2))


def test_sigmoid_is_exact_and_never_overflows() -> None:
    scores = np.array([-1e9, -800.0, -2.0, 0.0, 2.0, 800.0, 1e9])
    with np.errstate(all="raise", under="ignore"):
        got = sigmoid(scores)
    expected = [0, 0, 1 / (1 + math.exp(2)), 0.5, 1 / (1 + math.exp(-2)), 1, 1]
    np.testing.assert_allclose(got, expected, atol=1e-16)


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_optimizers_follow_their_written_rules(name: str) -> None:
    rng = np.random.default_rng(5)
    rate = LearningRate(0.15, 0.7, False)
    optimizer = make_optimizer(name, rate)
    state: dict[str, Any] = {"m": np.zeros(4), "v": np.zeros(4), "k": 0}
    for iteration in (0, 0, 1, 1, 2, 5):
        gradient = rng.normal(size=4)
        expected = _step(name, gradient, 0.15 / (1 + 0.7 * iteration), state)
        np.testing.assert_allclose(optimizer.step(gradient, iteration), expected, rtol=1e-14)


def test_rate_decays_with_the_iteration() -> None:
    assert LearningRate(0.1, 3.0, True).at(1) == pytest.approx(0.05)
    assert LearningRate(0.1, 3.0, False).at(1) == pytest.approx(0.025)
    assert LearningRate(0.1, 0.0).at(50) == 0.1


def test_penalties_spare_the_intercept() -> None:
    weights = LinearWeights(np.array([3.0, -0.5]), 2.0, True)
    l2, l1 = Penalty("L2", 0.1, 0.5), Penalty("L1", 0.1, 0.5)
    np.testing.assert_allclose(l2.gradient(weights), [0.3, -0.05, 0.0])
    assert l2.loss(weights) == pytest.approx(0.05 * 9.25)
    assert l1.loss(weights) == pytest.approx(0.35)
    assert Penalty(None, 0.1, 0.5).loss(weights) is None
    assert not l1.gradient(weights).any()
    assert l2.shrink(weights, 0) is weights
    first, later = l1.shrink(weights, 0), l1.shrink(weights, 4)
    assert not first.coefficients.any()
    np.testing.assert_allclose(later.coefficients, [2.975, -0.475])
    assert first.intercept == later.intercept == 2.0


def test_weights_round_trip_and_step() -> None:
    weights = LinearWeights.from_vector(np.array([1.0, 2.0, 3.0]), True)
    assert weights.intercept == 3.0
    np.testing.assert_array_equal(weights.minus(np.array([1.0, 0.0, 1.0])).vector(), [0, 2, 2])
    plain = LinearWeights.from_vector(np.array([1.0, 2.0]), False)
    np.testing.assert_array_equal(plain.scores(np.array([[1.0, 1.0], [0.0, 2.0]])), [3, 4])


def test_convergence_rules() -> None:
    none = np.zeros(1)
    diff = ConvergenceTest("diff", 0.1)
    assert [diff.is_converged(loss, none) for loss in (0.0, 1.0, 0.95)] == [False, False, True]
    absolute = ConvergenceTest("abs", 0.1)
    assert [absolute.is_converged(loss, none) for loss in (0.2, 0.1)] == [False, True]
    weight = ConvergenceTest("weight_diff", 0.1)
    assert not weight.is_converged(None, np.array([0.08, 0.08]))
    assert weight.is_converged(None, np.array([0.06, 0.06]))


def test_batches_are_consecutive_and_the_last_one_short() -> None:
    assert batch_slices(569, -1) == [slice(0, 569)]
    assert batch_slices(569, 320) == [slice(0, 320), slice(320, 569)]
    assert batch_slices(20, 10) == [slice(0, 10), slice(10, 20)]
    assert batch_slices(5, 10) == [slice(0, 5)]


def test_initial_vectors() -> None:
    assert initial_vector(3, "zeros").tolist() == [0, 0, 0]
    assert initial_vector(2, "ones").tolist() == [1, 1]
    assert initial_vector(2, "const", constant=4).tolist() == [4, 4]
    uniform = initial_vector(500, "random_uniform", seed=7)
    assert 0 <= uniform.min() < 0.1 < 0.9 < uniform.max() < 1
    np.testing.assert_array_equal(uniform, initial_vector(500, "random_uniform", seed=7))
    assert abs(initial_vector(2000, "random_normal", seed=1).std() - 1) < 0.1
    assert (initial_vector(9, "random_normal") != initial_vector(9, "random_normal")).any()
    with pytest.raises(ValueError, match="init_method"):
        initial_vector(1, "magic")


@pytest.mark.parametrize("columns", [1, 7, 33])
def test_a_rows_score_has_the_same_bits_in_every_table(columns: int) -> None:
    rng = np.random.default_rng(columns)
    features, weights = rng.normal(size=(101, columns)), rng.normal(size=columns)
    model = LinearWeights(weights, 0.3, True)
    whole = model.scores(features)
    np.testing.assert_array_equal(whole, model.scores(np.asfortranarray(features)))
    for start, stop in ((0, 1), (3, 4), (50, 101), (17, 20)):
        np.testing.assert_array_equal(whole[start:stop], model.scores(features[start:stop]))
    np.testing.assert_allclose(whole, features @ weights + 0.3, rtol=1e-12, atol=1e-12)
