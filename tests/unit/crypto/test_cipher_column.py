from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fate_flow.crypto.cipher_column import CipherColumn
from fate_flow.errors import CryptoError
from tests.unit.crypto.keys import private_key

KEY = private_key()
PUBLIC = KEY.public
UNIT = 2.0**-40

MODERATE = st.floats(-1e6, 1e6)


def vectors(length: int | None = None) -> st.SearchStrategy[np.ndarray]:
    return hnp.arrays(
        np.float64, st.integers(0, 6) if length is None else length, elements=MODERATE
    )


@st.composite
def pairs(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    length = draw(st.integers(0, 6))
    return draw(vectors(length)), draw(vectors(length))


def encrypt(values: np.ndarray, exponent: int = 40) -> CipherColumn:
    return CipherColumn.encrypt(values, PUBLIC, exponent=exponent)


@settings(max_examples=40, deadline=None)
@given(vectors(), st.integers(0, 60), st.booleans())
def test_encrypted_values_come_back(values: np.ndarray, exponent: int, owner: bool) -> None:
    column = CipherColumn.encrypt(values, KEY if owner else PUBLIC, exponent=exponent)
    assert len(column) == len(values)
    assert column.exponent == exponent
    decoded = column.decrypt(KEY)
    assert decoded.dtype == np.float64
    # Half a unit of the fixed point, and a last rounding to float64.
    assert (np.abs(decoded - values) <= 2.0 ** -(exponent + 1) + 2.0**-52 * np.abs(values)).all()


@pytest.mark.parametrize("bits", [1024, 2048])
@pytest.mark.parametrize("owner", [True, False])
def test_production_key_sizes(bits: int, owner: bool) -> None:
    key = private_key(bits)
    values = np.array([0.0, 1.5, -2.25, 1e9, -1e-9])
    column = CipherColumn.encrypt(values, key if owner else key.public)
    np.testing.assert_allclose(column.decrypt(key), values, rtol=0, atol=UNIT)
    matrix = np.array([[1.0, 0.5], [2.0, -1.0], [0.0, 3.0], [0.25, 0.0], [1.0, 1.0]])
    np.testing.assert_allclose(column.dot(matrix).decrypt(key), matrix.T @ values, atol=1e-10)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(-(2**62), 2**62), max_size=8))
def test_integers_are_exact(values: list[int]) -> None:
    array = np.array(values, dtype=np.int64)
    column = CipherColumn.encrypt_int(array, KEY)
    assert column.exponent == 0
    assert column.decrypt_int(KEY) == values
    assert CipherColumn.encrypt_int(values, PUBLIC).decrypt_int(KEY) == values


def test_the_same_value_never_has_the_same_ciphertext() -> None:
    values = np.zeros(30)
    columns = [CipherColumn.encrypt(values, KEY), encrypt(values)]
    columns += [column.rerandomise() for column in columns]
    columns.append(columns[0].rerandomise(key=KEY))
    rows = [row for column in columns for row in column.to_arrow().column(0).to_pylist()]
    assert len(set(rows)) == 150
    for column in columns:
        assert column.decrypt(KEY).tolist() == [0.0] * 30


@settings(max_examples=40, deadline=None)
@given(pairs(), st.integers(20, 60), st.integers(20, 60))
def test_sums_and_differences(
    both: tuple[np.ndarray, np.ndarray], exponent: int, other: int
) -> None:
    a, b = both
    left, right = encrypt(a, exponent), encrypt(b, other)
    error = 2.0**-exponent + 2.0**-other + 1e-9
    np.testing.assert_allclose(left.add(right).decrypt(KEY), a + b, atol=error)
    np.testing.assert_allclose(left.subtract(right).decrypt(KEY), a - b, atol=error)
    np.testing.assert_allclose(left.negate().decrypt(KEY), -a, atol=error)
    np.testing.assert_allclose(left.add_plain(b).decrypt(KEY), a + b, atol=error)
    assert left.add(right).exponent == max(exponent, other)
    np.testing.assert_allclose(left.sum().decrypt(KEY), [a.sum()], atol=error * 7)


def test_plain_numbers_raise_a_small_exponent_only_when_they_must() -> None:
    column = CipherColumn.encrypt_int(np.array([1, 2]), PUBLIC)
    whole = column.add_plain(np.array([3.0, -4.0]))
    assert whole.exponent == 0
    assert whole.decrypt(KEY).tolist() == [4.0, -2.0]
    fraction = column.add_plain(np.array([0.5, 0.125]))
    assert fraction.exponent == 40
    assert fraction.decrypt(KEY).tolist() == [1.5, 2.125]


@settings(max_examples=40, deadline=None)
@given(pairs(), st.integers(8, 50))
def test_products_with_plain_numbers(both: tuple[np.ndarray, np.ndarray], bits: int) -> None:
    values, factors = both
    result = encrypt(values).multiply_plain(factors, bits=bits).decrypt(KEY)
    largest = np.abs(factors).max() if len(factors) else 0.0
    error = 2.0**-bits * largest * np.abs(values) + UNIT * np.abs(factors) + 1e-9 + UNIT * largest
    assert (np.abs(result - values * factors) <= error + 1e-12 * np.abs(values * factors)).all()


@settings(max_examples=40, deadline=None)
@given(vectors(), MODERATE)
def test_scaling(values: np.ndarray, factor: float) -> None:
    result = encrypt(values).scale(factor).decrypt(KEY)
    error = 2.0**-24 * abs(factor) * (np.abs(values) + 1) + 1e-6 * UNIT + 1e-9
    assert (np.abs(result - values * factor) <= error).all()


def test_scaling_by_a_power_of_two_only_moves_the_exponent() -> None:
    column = encrypt(np.array([3.0, -1.0]))
    halved = column.scale(0.5)
    assert halved.exponent == 41
    assert halved.items == column.items
    assert halved.decrypt(KEY).tolist() == [1.5, -0.5]
    assert column.scale(-4.0).decrypt(KEY).tolist() == [-12.0, 4.0]
    assert column.scale(0.0).decrypt(KEY).tolist() == [0.0, 0.0]


def test_rows_by_position_and_by_mask() -> None:
    column = encrypt(np.arange(5.0))
    assert column.take([3, 0, 3]).decrypt(KEY).tolist() == [3.0, 0.0, 3.0]
    assert column.take(np.array([0, 1, 0, 0, 1], bool)).decrypt(KEY).tolist() == [1.0, 4.0]
    assert len(column.take([])) == 0
    for bad in ([5], [-1], [0.5], [[0]], [True]):
        with pytest.raises(CryptoError):
            column.take(bad)


def test_concatenation_aligns_exponents() -> None:
    column = CipherColumn.concat([encrypt(np.array([0.5]), 20), encrypt(np.array([-1.0, 4.0]), 30)])
    assert column.exponent == 30
    assert column.decrypt(KEY).tolist() == [0.5, -1.0, 4.0]
    with pytest.raises(CryptoError, match="nothing"):
        CipherColumn.concat([])


def test_empty_columns() -> None:
    column = encrypt(np.zeros(0))
    assert column.decrypt(KEY).tolist() == []
    assert column.sum().decrypt(KEY).tolist() == [0.0]
    assert column.dot(np.zeros((0, 3))).decrypt(KEY).tolist() == [0.0] * 3
    assert len(column.rerandomise()) == 0


@pytest.mark.parametrize(
    "operation",
    [
        lambda c, o: c.add(o),
        lambda c, o: c.subtract(o),
        lambda c, o: CipherColumn.concat([c, o]),
        lambda c, o: o.decrypt(KEY),
    ],
)
def test_foreign_keys_are_refused(
    operation: Callable[[CipherColumn, CipherColumn], object],
) -> None:
    foreign = CipherColumn.encrypt(np.ones(2), private_key(number=1))
    with pytest.raises(CryptoError, match="key"):
        operation(encrypt(np.ones(2)), foreign)


@pytest.mark.parametrize(
    "operation",
    [
        lambda c: c.add(encrypt(np.ones(3))),
        lambda c: c.add_plain(np.ones(3)),
        lambda c: c.add_int([1]),
        lambda c: c.add_int([1.5, 2]),
        lambda c: c.multiply_plain(np.ones((2, 1))),
        lambda c: c.multiply_plain(np.array([1.0, np.nan])),
        lambda c: c.add_plain(np.array([np.inf, 0.0])),
        lambda c: c.scale(float("nan")),
        lambda c: c.raise_exponent(39),
        lambda c: CipherColumn.encrypt(np.array([np.nan]), KEY),
        lambda c: CipherColumn.encrypt_int(np.array([0.5]), KEY),
    ],
)
def test_what_does_not_fit_is_refused(operation: Callable[[CipherColumn], object]) -> None:
    with pytest.raises(CryptoError):
        operation(encrypt(np.ones(2)))


def test_nothing_wraps_silently() -> None:
    column = encrypt(np.full(4, 1e9))
    with pytest.raises(CryptoError, match="longer key"):
        functools.reduce(lambda total, _: total.add(total), range(600), column)
    with pytest.raises(CryptoError, match="longer key"):
        encrypt(np.ones(1)).raise_exponent(600)
    with pytest.raises(CryptoError, match="longer key"):
        CipherColumn.encrypt_int([PUBLIC.capacity + 1], PUBLIC)
    edge = CipherColumn.encrypt_int([PUBLIC.capacity, -PUBLIC.capacity], PUBLIC)
    assert edge.decrypt_int(KEY) == [PUBLIC.capacity, -PUBLIC.capacity]
    with pytest.raises(CryptoError, match="longer key"):
        edge.add_int([1, -1])
    product = encrypt(np.full(2, 1e6))
    factors = np.array([0.7, -0.3])
    with pytest.raises(CryptoError, match="longer key"):
        functools.reduce(lambda p, _: p.multiply_plain(factors, bits=60), range(30), product)


def test_a_bound_that_was_a_lie_is_found() -> None:
    column = encrypt(np.array([1.0, 2.0**60])).with_bound(2**64)
    with pytest.raises(CryptoError, match="beyond its bound"):
        column.decrypt(KEY)
