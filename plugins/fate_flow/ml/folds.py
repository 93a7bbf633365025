"""Splitting rows for k-fold cross validation."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from fate_flow.errors import DataError

Ints = NDArray[np.int64]


def k_folds(
    rows: int, splits: int, *, shuffle: bool = True, seed: int | None = None
) -> Iterator[tuple[Ints, Ints]]:
    """Ascending positions of the training and the test rows of each fold.

    The folds are those of scikit-learn's ``KFold`` with the same settings, which FATE 1.4
    splits with: the rows, shuffled or not, are cut into ``splits`` runs whose lengths
    differ by one at most, longer ones first.

    Args:
        rows: number of rows.
        splits: number of folds.
        shuffle: shuffle the rows first.
        seed: of the shuffle (numpy's Mersenne Twister); None for other folds each time.

    Raises:
        DataError: fewer rows than folds.
    """
    if rows < splits:
        raise DataError(
            f"{rows} rows cannot be split into {splits} folds", remedy="Lower cv_param.n_splits"
        )
    order = np.arange(rows, dtype=np.int64)
    if shuffle:
        np.random.RandomState(seed).shuffle(order)
    for part in np.array_split(order, splits):
        is_test = np.zeros(rows, dtype=bool)
        is_test[part] = True
        yield np.flatnonzero(~is_test), np.flatnonzero(is_test)
