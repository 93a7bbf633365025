"""Curves of training and evaluation -> panels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from fate_flow.ui import panels
from fate_flow.ui.metric_board import Board, Entry, is_number, newest
from fate_flow.ui.panels import Panel


def loss(board: Board) -> Iterator[Panel]:
    entries = board.take("LOSS")
    series = []
    for color, entry in enumerate(entries):
        fold = entry.name.partition(".")[2]
        name = f"fold {fold}" if fold else entry.namespace
        series.append(panels.line(name, entry.numbers, color=color))
    if series:
        unit = str(entries[0].meta.get("unit_name") or "iters")
        label = "iteration" if unit == "iters" else unit
        yield panels.lines("Loss", panels.axis(label), panels.axis("loss"), series)


def roc(board: Board) -> Iterator[Panel]:
    entries, note = newest(board.take("ROC_EVALUATION"))
    if entries:
        yield panels.lines(
            "ROC",
            panels.axis("false positive rate", 0, 1),
            panels.axis("true positive rate", 0, 1),
            _series(board, entries),
            diagonal=True,
            note=note,
        )


def _series(board: Board, entries: Sequence[Entry]) -> list[dict[str, Any]]:
    return [
        panels.line(
            board.label(entry),
            entry.numbers,
            color=board.color(entry),
            thresholds=entry.thresholds,
        )
        for entry in entries
    ]


def ks(board: Board) -> Iterator[Panel]:
    entries = board.take("KS_EVALUATION")
    shown_tpr, note = newest([e for e in entries if e.name.endswith("_tpr")])
    fpr = {(e.namespace, e.data_set): e for e in entries if not e.name.endswith("_tpr")}
    series: list[dict[str, Any]] = []
    marks = []
    for entry in shown_tpr:
        other = fpr.get((entry.namespace, entry.data_set))
        label, color = board.label(entry), board.color(entry)
        series.append(
            panels.line(f"{label} TPR", entry.numbers, color=color, thresholds=entry.thresholds)
        )
        if other is None:
            continue
        series.append(
            panels.line(
                f"{label} FPR",
                other.numbers,
                color=color,
                dashed=True,
                thresholds=other.thresholds,
            )
        )
        mark = _largest_gap(entry.numbers, other.numbers)
        if mark:
            marks.append({**mark, "label": f"KS {mark['high'] - mark['low']:.4f}", "color": color})
    if series:
        yield panels.lines(
            "KS",
            panels.axis("share of rows, by descending score", 0, 1),
            panels.axis("rate", 0, 1),
            series,
            marks=marks,
            note=note,
        )


def _largest_gap(
    high: Sequence[Sequence[float]], low: Sequence[Sequence[float]]
) -> dict[str, float] | None:
    below = {point[0]: point[1] for point in low}
    pairs = [(y - below[x], x, y) for x, y in high if x in below]
    if not pairs:
        return None
    gap, x, y = max(pairs)
    return {"x": x, "low": y - gap, "high": y}


def depth_curves(board: Board) -> Iterator[Panel]:
    for kind, title, x_label, y_label, top in (
        ("LIFT_EVALUATION", "Lift", "share of rows predicted positive", "lift", None),
        ("GAIN_EVALUATION", "Gain", "share of rows predicted positive", "recall", 1),
        ("ACCURACY_EVALUATION", "Accuracy", "quantile of the threshold", "accuracy", 1),
    ):
        entries, note = newest(board.take(kind))
        if entries:
            yield panels.lines(
                title,
                panels.axis(x_label, 0, 1),
                panels.axis(y_label, 0, top),
                _series(board, entries),
                diagonal=kind == "GAIN_EVALUATION",
                note=note,
            )


def precision_recall(board: Board) -> Iterator[Panel]:
    precision, note = newest(board.take("PRECISION_BINARY_EVALUATION"))
    recall = {(e.namespace, e.data_set): e for e in board.take("RECALL_BINARY_EVALUATION")}
    series = []
    for entry in precision:
        other = recall.get((entry.namespace, entry.data_set))
        if other is None:
            continue
        points, thresholds = _join_by_cut(entry, other)
        series.append(
            panels.line(board.label(entry), points, color=board.color(entry), thresholds=thresholds)
        )
    if series:
        yield panels.lines(
            "Precision and recall",
            panels.axis("recall", 0, 1),
            panels.axis("precision", 0, 1),
            series,
            note=note,
        )


def _join_by_cut(precision: Entry, recall: Entry) -> tuple[list[list[float]], list[Any]]:
    """(recall, precision) of equal cuts; of equal recalls the highest precision."""
    thresholds = precision.thresholds
    if len(thresholds) != len(precision.points):
        thresholds = [None] * len(precision.points)
    by_cut: dict[Any, Any] = {point[0]: point[1] for point in recall.points}
    best: dict[float, tuple[float, Any]] = {}
    for (cut, value), threshold in zip(precision.points, thresholds, strict=True):
        x: Any = by_cut.get(cut)
        if is_number(x) and is_number(value) and (x not in best or value > best[x][0]):
            best[x] = (value, threshold)
    ordered = sorted(best.items())
    points = [[x, value] for x, (value, _) in ordered]
    return points, [threshold for _, (_, threshold) in ordered]


def classes(board: Board) -> Iterator[Panel]:
    entries, _ = newest(board.take("PRECISION_MULTI_EVALUATION"))
    recall, _ = newest(board.take("RECALL_MULTI_EVALUATION"))
    both = [("precision", entry) for entry in entries] + [("recall", entry) for entry in recall]
    names = list(dict.fromkeys(str(label) for _, entry in both for label, _ in entry.points))
    series = []
    for color, (metric, entry) in enumerate(both):
        values = {str(label): value for label, value in entry.points}
        name = f"{board.label(entry)} {metric}"
        series.append({"name": name, "values": [values.get(one) for one in names], "color": color})
    if series:
        yield panels.bars("Precision and recall by class", "class", names, series)
