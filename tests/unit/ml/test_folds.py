"""Folds are scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.model_selection import KFold

from fate_flow.errors import DataError
from fate_flow.ml.folds import k_folds


@pytest.mark.parametrize("rows", [10, 11, 97])
@pytest.mark.parametrize("splits", [2, 3, 10])
@pytest.mark.parametrize(("shuffle", "seed"), [(False, None), (True, 1), (True, 103)])
def test_folds_are_those_of_scikit_learn(
    rows: int, splits: int, shuffle: bool, seed: int | None
) -> None:
    wanted = KFold(splits, shuffle=shuffle, random_state=seed).split(np.empty(rows))
    got = k_folds(rows, splits, shuffle=shuffle, seed=seed)
    for (train, test), (wanted_train, wanted_test) in zip(got, wanted, strict=True):
        np.testing.assert_array_equal(train, wanted_train)
        np.testing.assert_array_equal(test, wanted_test)


def test_more_folds_than_rows() -> None:
    with pytest.raises(DataError, match=r"4 rows cannot be split into 5 folds.*n_splits"):
        next(k_folds(4, 5))
