from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fate_flow.crypto import packing
from fate_flow.crypto.cipher_column import CipherColumn
from fate_flow.crypto.packing import GradientPacking
from fate_flow.errors import CryptoError
from tests.unit.crypto.keys import private_key

KEY = private_key()
PUBLIC = KEY.public


@settings(deadline=None)
@given(
    st.integers(2, 70).flatmap(
        lambda width: st.tuples(
            st.just(width),
            st.lists(
                st.lists(
                    st.integers(-(2 ** (width - 1)) + 1, 2 ** (width - 1) - 1),
                    min_size=3,
                    max_size=3,
                ),
                min_size=1,
                max_size=5,
            ),
        )
    )
)
def test_integers_come_out_of_their_slots(problem: tuple[int, list[list[int]]]) -> None:
    width, columns = problem
    packed = packing.pack_integers(columns, width)
    assert len(packed) == 3
    assert packing.unpack_integers(packed, len(columns), width) == columns


def test_what_does_not_fit_a_slot_is_refused() -> None:
    with pytest.raises(CryptoError, match="slot"):
        packing.pack_integers([[8]], 4)
    with pytest.raises(CryptoError, match="same length"):
        packing.pack_integers([[1], [1, 2]], 4)
    with pytest.raises(CryptoError, match="more than its slots"):
        packing.unpack_integers([1 << 20], 2, 8)
    with pytest.raises(CryptoError, match="does not hold"):
        packing.slots_per_plaintext(PUBLIC, 600)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(-(2**30), 2**30), max_size=40), st.integers(32, 90))
def test_ciphertexts_are_joined_before_decryption(values: list[int], width: int) -> None:
    column = CipherColumn.encrypt_int(values, KEY)
    packed = packing.pack_ciphertexts(column, width)
    slots = packing.slots_per_plaintext(PUBLIC, width)
    assert len(packed) == -(-len(values) // slots)
    decrypted = packed.rerandomise().decrypt_int(KEY)
    assert packing.unpack_decrypted(decrypted, len(values), PUBLIC, width) == values


def test_a_wrong_number_of_packed_plaintexts_is_refused() -> None:
    with pytest.raises(CryptoError, match="for 3 values"):
        packing.unpack_decrypted([1, 2], 3, PUBLIC, 40)
    with pytest.raises(CryptoError, match="more than its slots"):
        packing.unpack_decrypted([1 << 45], 1, PUBLIC, 40)


def test_histograms_of_gradients_and_hessians() -> None:
    rng = np.random.default_rng(0)
    rows, bins = 120, [5, 9]
    g, h = rng.uniform(-1, 1, rows), rng.uniform(0, 0.25, rows)
    codes = np.stack([rng.integers(0, b, size=rows) for b in bins], axis=1)
    layout = GradientPacking.plan(rows, 1.0)
    column = layout.encrypt(g, h, PUBLIC)
    assert len(column) == rows
    # The sibling's histogram is the difference of the parent's and the other child's.
    left = np.flatnonzero(g < 0)
    parent = CipherColumn.concat(column.bin_sum(codes, bins))
    child = CipherColumn.concat(column.take(left).bin_sum(codes[left], bins))
    sibling = parent.subtract(child)
    for histogram, chosen in ((parent, g < 2), (child, g < 0), (sibling, g >= 0)):
        packed = layout.pack_bins(histogram).rerandomise()
        assert len(packed) < len(histogram)
        sum_g, sum_h = layout.decrypt_bins(packed, sum(bins), KEY)
        for sums, values in ((sum_g, g), (sum_h, h)):
            expected = [
                np.bincount(codes[chosen, j], values[chosen], minlength=b)
                for j, b in enumerate(bins)
            ]
            np.testing.assert_allclose(sums, np.concatenate(expected), atol=rows * 2.0**-41)


def test_more_than_was_planned_for_is_refused() -> None:
    layout = GradientPacking.plan(4, 1.0)
    with pytest.raises(CryptoError, match="planned"):
        layout.encrypt(np.ones(5), np.ones(5), KEY)
    with pytest.raises(CryptoError, match="planned"):
        layout.encrypt(np.full(4, 3.0), np.ones(4), KEY)
    with pytest.raises(CryptoError):
        layout.encrypt(np.ones(4), np.ones(3), KEY)
