from __future__ import annotations

import pickle

import gmpy2
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fate_flow.crypto import ecdh
from fate_flow.crypto.ecdh import EcdhSecret
from fate_flow.errors import CryptoError

IDS = st.lists(st.text(max_size=8), unique=True, max_size=15)
PRIME = 2**255 - 19


def rows(points: np.ndarray) -> list[bytes]:
    return [row.tobytes() for row in points]


@settings(max_examples=40, deadline=None)
@given(IDS, IDS)
def test_points_meet_exactly_at_common_ids(guest: list[str], host: list[str]) -> None:
    a, b = EcdhSecret.generate(), EcdhSecret.generate()
    mine = rows(b.blind_points(a.blind_ids(guest)))
    theirs = set(rows(a.blind_points(b.blind_ids(host))))
    common = [name for name, point in zip(guest, mine, strict=True) if point in theirs]
    assert common == [name for name in guest if name in set(host)]


def test_arrow_ids_are_the_same_ids() -> None:
    secret = EcdhSecret.generate()
    texts = ["", "1", "ü"]
    expected = secret.blind_ids(texts)
    assert expected.shape == (3, 32)
    assert expected.dtype == np.uint8
    for kind in (pa.string(), pa.large_string()):
        np.testing.assert_array_equal(secret.blind_ids(pa.array(texts, kind)), expected)
    chunked = pa.chunked_array([["", "1"], ["ü"]])
    np.testing.assert_array_equal(secret.blind_ids(chunked), expected)


def test_hashed_ids_are_on_the_curve_and_stay_there() -> None:
    hashed = [ecdh._hash_to_curve(str(k).encode()) for k in range(200)]
    assert len(set(hashed)) == 200
    blinded = rows(EcdhSecret.generate().blind_ids([str(k) for k in range(200)]))
    for point in [*hashed, *blinded]:
        u = int.from_bytes(point, "little")
        assert 0 < u < PRIME
        assert gmpy2.legendre((u**3 + 486662 * u**2 + u) % PRIME, PRIME) == 1


def test_another_secret_gives_other_points() -> None:
    first = rows(EcdhSecret.generate().blind_ids(["a"]))
    second = rows(EcdhSecret.generate().blind_ids(["a"]))
    assert first != second


# Orders 1, 2, 4 and 8 on the curve, and encodings beyond the prime (RFC 7748, section 5).
SMALL = [
    0,
    1,
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
    PRIME - 1,
]


@pytest.mark.parametrize("u", [*SMALL, PRIME, PRIME + 1, 2**255 + 9, 2**256 - 1])
def test_small_and_strangely_encoded_points_are_refused(u: int) -> None:
    point = np.frombuffer(u.to_bytes(32, "little"), np.uint8).reshape(1, 32)
    with pytest.raises(CryptoError, match="peer"):
        EcdhSecret.generate().blind_points(point)


def test_points_of_the_twist_are_refused() -> None:
    u = next(
        u for u in range(2, 50) if gmpy2.legendre((u**3 + 486662 * u**2 + u) % PRIME, PRIME) == -1
    )
    point = np.frombuffer(u.to_bytes(32, "little"), np.uint8).reshape(1, 32)
    with pytest.raises(CryptoError, match="not a point of the curve"):
        EcdhSecret.generate().blind_points(point)


@pytest.mark.parametrize(
    "points", [np.zeros((2, 31), np.uint8), np.zeros(32, np.uint8), np.zeros((1, 32)), b"x" * 32]
)
def test_points_of_another_form_are_refused(points: object) -> None:
    with pytest.raises(CryptoError, match="shape"):
        EcdhSecret.generate().blind_points(points)  # type: ignore[arg-type]


def test_the_secret_stays_where_it_is() -> None:
    with pytest.raises(TypeError):
        pickle.dumps(EcdhSecret.generate())
