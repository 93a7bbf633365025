"""When further training no longer improves any metric of the validation data."""

from __future__ import annotations

from collections.abc import Mapping

#: Metrics that are better when larger; all others are errors.
LARGER_IS_BETTER = frozenset(
    ("auc", "ks", "precision", "recall", "accuracy", "explained_variance", "r2_score")
)


class EarlyStopping:
    """Counts, for each metric, the validations since its best value.

    Args:
        rounds: training stops when a counter reaches it.
        first_only: look at the first metric only.
    """

    def __init__(self, rounds: int, first_only: bool = False) -> None:
        self._rounds = rounds
        self._first_only = first_only
        self._best: dict[str, float] = {}
        self._since: dict[str, int] = {}

    def record(self, values: Mapping[str, float]) -> None:
        """Take the single values (metric -> value) of one validation."""
        names = list(values)[:1] if self._first_only else list(values)
        for name in names:
            value = values[name] if name in LARGER_IS_BETTER else -values[name]
            if name not in self._best or value > self._best[name]:
                self._best[name], self._since[name] = value, 0
            else:
                self._since[name] += 1

    @property
    def is_best(self) -> bool:
        """Whether every metric was best in the last validation."""
        return bool(self._since) and not any(self._since.values())

    @property
    def should_stop(self) -> bool:
        return any(count >= self._rounds for count in self._since.values())
