from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fate_flow.crypto import fixed_point
from fate_flow.errors import CryptoError

FINITE = st.floats(allow_nan=False, allow_infinity=False, width=64)
MODERATE = st.floats(-1e100, 1e100)


@settings(deadline=None)
@given(st.lists(MODERATE, max_size=20), st.integers(-60, 200))
def test_encoding_is_off_by_half_a_unit_at_most(values: list[float], exponent: int) -> None:
    integers = fixed_point.encode(np.array(values, dtype=np.float64), exponent)
    unit = Fraction(1, 2) ** exponent
    for value, integer in zip(values, integers, strict=True):
        assert isinstance(integer, int)
        assert abs(Fraction(value) - integer * unit) <= unit / 2


@settings(deadline=None)
@given(st.lists(st.integers(-(2**600), 2**600), max_size=20), st.integers(-50, 300))
def test_decoding_gives_the_nearest_float(integers: list[int], exponent: int) -> None:
    decoded = fixed_point.decode(integers, exponent)
    expected = [float(Fraction(x) / Fraction(2) ** exponent) for x in integers]
    assert decoded.tolist() == expected


def test_decoding_beyond_float64_is_an_error_and_long_integers_are_not() -> None:
    assert fixed_point.decode([2**3000], 2990).tolist() == [1024.0]
    assert fixed_point.decode([-(2**3000)], 2990).tolist() == [-1024.0]
    with pytest.raises(CryptoError, match="too large"):
        fixed_point.decode([2**1024], 0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_a_number_is_refused(bad: float) -> None:
    with pytest.raises(CryptoError, match="1 of 2 numbers are NaN"):
        fixed_point.encode(np.array([1.0, bad]), 40)


def test_numbers_that_overflow_the_scale_are_refused() -> None:
    with pytest.raises(CryptoError, match="too large"):
        fixed_point.encode(np.array([1e300]), 200)


@settings(deadline=None)
@given(
    hnp.arrays(np.float64, st.integers(0, 12), elements=FINITE),
    st.integers(1, fixed_point.MAX_BITS),
)
def test_quantising_keeps_the_promised_bits(values: np.ndarray, bits: int) -> None:
    integers, shift = fixed_point.quantise(values, bits)
    assert integers.dtype == np.int64
    assert (np.abs(integers) <= 2**bits).all()
    largest = max((abs(Fraction(x)) for x in values.tolist()), default=Fraction(0))
    for value, integer in zip(values.tolist(), integers.tolist(), strict=True):
        error = abs(Fraction(value) - Fraction(integer) / Fraction(2) ** shift)
        # The smallest subnormals have fewer bits than were asked for.
        assert error <= largest / 2**bits + Fraction(2) ** -1074


@pytest.mark.parametrize("bits", [0, -1, 61])
def test_bits_have_a_range(bits: int) -> None:
    with pytest.raises(CryptoError, match="1 to 60"):
        fixed_point.quantise(np.ones(1), bits)


def test_common_zeros_are_dropped() -> None:
    integers, shift = fixed_point.quantise(np.array([0.0, 1.0, -2.0, 3.0]), 24)
    assert integers.tolist() == [0, 1, -2, 3]
    assert shift == 0


@pytest.mark.parametrize("exponent", [5000, -5000, 1.5, True])
def test_exponents_have_a_range(exponent: object) -> None:
    with pytest.raises(CryptoError, match="exponent"):
        fixed_point.check_exponent(exponent)  # type: ignore[arg-type]
