"""The metrics of a component by type, with what their names tell about the data set."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

ITERATION = re.compile(r"^(?:fold_\d+\.)?iteration_(\d+)$")
#: A reader can tell apart so many curves of one chart; of more, the last are shown.
MAX_CURVES = 12


class Metric(Protocol):
    """What the tracking store returns for one metric."""

    @property
    def points(self) -> Sequence[Sequence[Any]]: ...

    @property
    def meta(self) -> Mapping[str, Any]: ...


@dataclass(frozen=True)
class Entry:
    """One metric with its address.

    Attributes:
        data_set: what was measured (``hetero_lr_0``, ``iteration_3``): the name without the
            suffix of the curve.
    """

    namespace: str
    name: str
    points: Sequence[Sequence[Any]]
    meta: Mapping[str, Any]
    data_set: str = ""

    @property
    def kind(self) -> str:
        return str(self.meta.get("metric_type") or "")

    @property
    def thresholds(self) -> Sequence[Any]:
        found = self.meta.get("thresholds")
        return found if isinstance(found, list) else []

    @property
    def numbers(self) -> list[list[float]]:
        """Points whose key and value are numbers."""
        return [[x, y] for x, y in self.points if is_number(x) and is_number(y)]


@dataclass
class Board:
    """All metrics of a component by type, and a colour per data set."""

    by_kind: dict[str, list[Entry]] = field(default_factory=dict)
    colors: dict[tuple[str, str], int] = field(default_factory=dict)

    def take(self, *kinds: str) -> list[Entry]:
        """Remove and return the entries of the given types."""
        return [entry for kind in kinds for entry in self.by_kind.pop(kind, [])]

    def color(self, entry: Entry) -> int:
        data_set = "" if ITERATION.match(entry.data_set) else entry.data_set
        return self.colors.setdefault((entry.namespace, data_set), len(self.colors))

    def label(self, entry: Entry) -> str:
        """``train``, or ``hetero_lr_0 · train`` where several data sets were measured."""
        sets = {data_set for _, data_set in self.colors}
        match = ITERATION.match(entry.data_set)
        if match:
            return f"{entry.namespace}, iteration {match.group(1)}"
        if len(sets) > 1 and entry.data_set:
            return f"{entry.data_set} · {entry.namespace}"
        return entry.namespace


Metrics = Mapping[str, Mapping[str, Metric]]


SUFFIXES = {
    "ROC_EVALUATION": ("_roc",),
    "KS_EVALUATION": ("_ks_fpr", "_ks_tpr"),
    "LIFT_EVALUATION": ("_lift",),
    "GAIN_EVALUATION": ("_gain",),
    "ACCURACY_EVALUATION": ("_accuracy",),
    "PRECISION_BINARY_EVALUATION": ("_precision",),
    "RECALL_BINARY_EVALUATION": ("_recall",),
    "PRECISION_MULTI_EVALUATION": ("_precision",),
    "RECALL_MULTI_EVALUATION": ("_recall",),
    "EVALUATION_SUMMARY": ("",),
}


def data_set_of(kind: str, name: str) -> str:
    for suffix in SUFFIXES.get(kind, ()):
        if name.endswith(suffix):
            return name.removesuffix(suffix)
    return name


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def newest(entries: Sequence[Entry]) -> tuple[list[Entry], str]:
    """Of curves per iteration the last one of each namespace; and a note that says so."""
    last: dict[tuple[str, str], tuple[int, Entry]] = {}
    count = 0
    for entry in entries:
        match = ITERATION.match(entry.data_set)
        number = int(match.group(1)) if match else 0
        count = max(count, number + 1 if match else 0)
        key = (entry.namespace, "" if match else entry.data_set)
        if key not in last or number >= last[key][0]:
            last[key] = (number, entry)
    kept = [entry for _, entry in last.values()]
    notes = [f"after the last of {count} iterations"] if count > 1 else []
    if len(kept) > MAX_CURVES:
        notes.append(f"the last {MAX_CURVES} of {len(kept)} data sets")
        kept = kept[-MAX_CURVES:]
    return kept, "; ".join(notes)


def board_of(metrics: Metrics) -> Board:
    """Sort the metrics of one component by type."""
    board = Board()
    for namespace, by_name in metrics.items():
        for name, metric in by_name.items():
            kind = str(metric.meta.get("metric_type") or "")
            data_set = data_set_of(kind, name)
            entry = Entry(namespace, name, metric.points, metric.meta, data_set)
            board.by_kind.setdefault(kind, []).append(entry)
            if kind in SUFFIXES:
                board.color(entry)
    return board
