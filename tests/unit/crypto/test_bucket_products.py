from __future__ import annotations

import gmpy2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fate_flow.crypto import bucket_products
from fate_flow.crypto.bucket_products import DotPlan, bin_products
from fate_flow.crypto.cipher_column import CipherColumn
from fate_flow.errors import CryptoError
from tests.unit.crypto.keys import private_key

KEY = private_key()
#: Columns of very different scales take more room than a short key has.
LONG = private_key(1024)
#: A prime: powers can be checked by pow().
PRIME = gmpy2.mpz(2) ** 127 - 1


def dot_error(matrix: np.ndarray, values: np.ndarray, bits: int) -> np.ndarray:
    """The stated bound, and the rounding of the encrypted values and of numpy's own sum."""
    largest = np.abs(matrix).max(axis=0, initial=0.0)
    largest = np.maximum(largest, np.max(largest, initial=0.0) * 2.0**-128)
    total = np.abs(values).sum()
    error: np.ndarray = (2.0**-bits + 1e-12) * largest * (total + 1)
    error += len(values) * largest * 2.0**-40
    return error


@st.composite
def problems(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = draw(st.integers(0, 12)), draw(st.integers(1, 4))
    matrix = draw(hnp.arrays(np.float64, (rows, columns), elements=st.floats(-1e5, 1e5)))
    # Columns of very different scales keep their own precision.
    scales = draw(hnp.arrays(np.int64, columns, elements=st.integers(-25, 25)))
    values = draw(hnp.arrays(np.float64, rows, elements=st.floats(-100, 100)))
    return matrix * 2.0**scales, values


@settings(max_examples=40, deadline=None)
@given(problems(), st.integers(4, 40))
def test_dot_is_within_its_bound(problem: tuple[np.ndarray, np.ndarray], bits: int) -> None:
    matrix, values = problem
    column = CipherColumn.encrypt(values, LONG)
    result = column.dot(matrix, bits=bits).decrypt(LONG)
    assert result.shape == (matrix.shape[1],)
    assert (np.abs(result - matrix.T @ values) <= dot_error(matrix, values, bits)).all()


@pytest.mark.parametrize("rows", [1, 2, 30, 700])
def test_dot_of_whole_numbers_is_exact(rows: int) -> None:
    rng = np.random.default_rng(rows)
    matrix = rng.integers(-1000, 1000, size=(rows, 3)).astype(float)
    values = rng.integers(-1000, 1000, size=rows)
    column = CipherColumn.encrypt_int(values, KEY)
    result = column.dot(matrix)
    assert result.decrypt(KEY).tolist() == (matrix.T @ values).tolist()


def test_a_plan_serves_many_columns() -> None:
    rng = np.random.default_rng(1)
    matrix = rng.normal(size=(50, 4))
    plan = DotPlan(matrix, bits=30)
    for seed in range(3):
        values = np.random.default_rng(seed).normal(size=50)
        column = CipherColumn.encrypt(values, KEY)
        planned = column.dot(plan)
        assert planned.items == column.dot(matrix, bits=30).items
        np.testing.assert_allclose(planned.decrypt(KEY), matrix.T @ values, atol=1e-6)
    with pytest.raises(CryptoError, match="50 rows for 3 ciphertexts"):
        CipherColumn.encrypt(np.ones(3), KEY).dot(plan)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.integers(-(2**60), 2**60), min_size=1, max_size=25),
    st.integers(1, 15),
)
def test_signed_digits_make_up_their_numbers(numbers: list[int], window: int) -> None:
    integers = np.array(numbers, dtype=np.int64)
    bits = int(np.abs(integers).max()).bit_length()
    if bits > 1 and window == 1:
        window = 2
    digits = list(bucket_products._digits(integers, window, bits))
    total = [
        sum(int(d[i]) << (window * k) for k, d in enumerate(digits)) for i in range(len(numbers))
    ]
    assert total == numbers
    assert all((np.abs(d) <= max(1, 2 ** (window - 1))).all() for d in digits)


@settings(max_examples=80, deadline=None)
@given(
    hnp.arrays(
        np.int64,
        st.tuples(st.integers(1, 30), st.integers(1, 3)),
        elements=st.integers(-(2**23), 2**23),
    ),
    st.integers(0, 1000),
)
def test_products_against_plain_powers(exponents: np.ndarray, seed: int) -> None:
    rng = np.random.default_rng(seed)
    bases = [gmpy2.mpz(int(x)) for x in rng.integers(2, 2**62, size=len(exponents))]
    plan = DotPlan(exponents.astype(float), bits=24)
    expected = []
    for j in range(exponents.shape[1]):
        # The plan's integers are the column's, shifted to the common exponent.
        value = gmpy2.mpz(1)
        for base, exponent in zip(bases, exponents[:, j].tolist(), strict=True):
            assert exponent * 2**plan.exponent == int(exponent * 2.0**plan.exponent)
            value = value * gmpy2.powmod(base, int(exponent * 2.0**plan.exponent), PRIME) % PRIME
        expected.append(value)
    assert plan.products(bases, PRIME) == expected


def test_indicator_columns_cost_one_product_per_one() -> None:
    matrix = np.zeros((1000, 1))
    matrix[:7] = 0.3
    plan = DotPlan(matrix != 0)
    (column,) = plan._columns
    (position,) = column.positions
    assert len(position.negative.rows) == 0
    assert position.positive.rows.tolist() == list(range(7))
    assert position.positive.steps == [1]


def test_the_exponent_shows_little_about_the_scale() -> None:
    matrix = np.random.default_rng(0).normal(size=(9, 2))
    assert {DotPlan(matrix * scale).exponent for scale in (0.1, 1.0, 7.3)} == {32}
    assert DotPlan(np.round(matrix * 2.0**40)).exponent == 0


def test_overflow_is_found_before_anything_is_computed() -> None:
    column = CipherColumn.encrypt(np.ones(2), KEY, exponent=460)
    with pytest.raises(CryptoError, match="longer key"):
        column.dot(np.array([[0.1], [0.7]]), bits=60)


@pytest.mark.parametrize(
    ("matrix", "bits"),
    [
        (np.ones((3, 2)), 24),
        (np.ones(2), 24),
        (np.array([[1.0], [np.nan]]), 24),
        (np.ones((2, 1)), 0),
        (np.ones((2, 1)), 61),
    ],
)
def test_matrices_that_do_not_fit_are_refused(matrix: np.ndarray, bits: int) -> None:
    with pytest.raises(CryptoError):
        CipherColumn.encrypt(np.ones(2), KEY).dot(matrix, bits=bits)


@st.composite
def histograms(draw: st.DrawFn) -> tuple[np.ndarray, list[int]]:
    bins = draw(st.lists(st.integers(1, 6), min_size=1, max_size=6))
    rows = draw(st.sampled_from([0, 1, 5, 40, 300]))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    return np.stack([rng.integers(0, b, size=rows) for b in bins], axis=1), bins


@settings(max_examples=80, deadline=None)
@given(histograms())
def test_bin_products_against_a_plain_loop(problem: tuple[np.ndarray, list[int]]) -> None:
    codes, bins = problem
    items = [gmpy2.mpz(3 + 2 * i) for i in range(len(codes))]
    expected = [[gmpy2.mpz(1)] * count for count in bins]
    for row, item in enumerate(items):
        for feature, code in enumerate(codes[row].tolist()):
            expected[feature][code] = expected[feature][code] * item % PRIME
    assert bin_products(items, codes, bins, PRIME) == expected


def test_bin_sums_are_histograms() -> None:
    rng = np.random.default_rng(3)
    values = rng.normal(size=200)
    bins = [4, 8, 3]
    codes = np.stack([rng.integers(0, b - 1, size=200) for b in bins], axis=1)
    columns = CipherColumn.encrypt(values, KEY).bin_sum(codes, bins)
    for feature, column in enumerate(columns):
        expected = np.bincount(codes[:, feature], values, minlength=bins[feature])
        np.testing.assert_allclose(column.decrypt(KEY), expected, atol=1e-9)
        assert column.items[-1] == 1, "an empty bin is a trivial zero"


def test_joint_histograms_need_fewer_products() -> None:
    groups = bucket_products._group(20_000, [32] * 10)
    assert sorted(j for group in groups for j in group) == list(range(10))
    assert len(groups) == 5
    assert len(bucket_products._group(20, [32] * 10)) == 10


@pytest.mark.parametrize(
    ("codes", "bins"),
    [
        (np.zeros((2, 2), int), [1]),
        (np.zeros((3, 1), int), [1]),
        (np.zeros((2, 1)), [1]),
        (np.array([[0], [2]]), [2]),
        (np.array([[0], [-1]]), [2]),
    ],
)
def test_codes_that_do_not_fit_are_refused(codes: np.ndarray, bins: list[int]) -> None:
    with pytest.raises(CryptoError, match="bin code"):
        CipherColumn.encrypt(np.ones(2), KEY).bin_sum(codes, bins)
