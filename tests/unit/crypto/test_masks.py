from __future__ import annotations

import os
import time

import numpy as np
import pytest

from fate_flow.crypto.cipher_column import CipherColumn
from fate_flow.crypto.masks import MaskPool
from fate_flow.errors import CryptoError
from tests.unit.crypto.keys import private_key

KEY = private_key()


def wait_until_ready(pool: MaskPool, count: int) -> None:
    end = time.monotonic() + 20
    while pool.ready < count:
        assert time.monotonic() < end, f"{pool.ready} of {count} masks are ready"
        time.sleep(0.005)


@pytest.mark.parametrize("key", [KEY, KEY.public])
def test_prepared_masks_are_given_out_once(key: object) -> None:
    with MaskPool(key) as pool:  # type: ignore[arg-type]
        pool.prepare(50)
        wait_until_ready(pool, 50)
        first = pool.take(30)
        assert pool.ready == 20
        second = pool.take(40)
    assert len({*first, *second}) == 70
    assert KEY.decrypt([*first, *second], KEY.public.capacity) == [0] * 70


def test_nothing_prepared_still_gives_masks() -> None:
    with MaskPool(KEY.public) as pool:
        assert len(set(pool.take(5))) == 5
        assert pool.take(0) == []


def test_taking_leaves_the_rest_of_what_was_prepared() -> None:
    with MaskPool(KEY) as pool:
        pool.prepare(64)
        pool.take(10)
        wait_until_ready(pool, 54)


def test_columns_use_the_pool() -> None:
    values = np.arange(10.0)
    with MaskPool(KEY.public) as pool:
        pool.prepare(30)
        wait_until_ready(pool, 30)
        column = CipherColumn.encrypt(values, KEY.public, masks=pool)
        assert pool.ready == 20
        again = column.rerandomise(pool)
        assert pool.ready == 10
    assert again.decrypt(KEY).tolist() == values.tolist()


def test_a_pool_of_another_key_is_refused() -> None:
    with (
        MaskPool(private_key(number=1)) as pool,
        pytest.raises(CryptoError, match="another key"),
    ):
        CipherColumn.encrypt(np.ones(2), KEY.public, masks=pool)


def test_a_closed_pool_says_so() -> None:
    pool = MaskPool(KEY)
    pool.prepare(1000)
    pool.close()
    pool.close()
    with pytest.raises(CryptoError, match="closed"):
        pool.take(1)
    with pytest.raises(CryptoError, match="closed"):
        pool.prepare(1)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_does_not_use_its_parents_masks() -> None:
    with MaskPool(KEY) as pool:
        pool.prepare(4)
        wait_until_ready(pool, 4)
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(writer, "\n".join(str(m) for m in pool.take(4)).encode())
            os._exit(0)
        os.waitpid(child, 0)
        os.close(writer)
        with os.fdopen(reader) as stream:
            theirs = {int(line) for line in stream}
        assert len(theirs) == 4
        assert not theirs & {int(mask) for mask in pool.take(4)}
