"""Metrics of a component -> panels, by metric type (names as in FATE 1.4)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from fate_flow.ui import curve_panels, panels, stepwise_panels
from fate_flow.ui.metric_board import (
    ITERATION,
    Board,
    Entry,
    Metric,
    Metrics,
    board_of,
    is_number,
    newest,
)
from fate_flow.ui.panels import COUNT, NUMBER, RATIO, Panel

#: A single data set with so few values is shown in large figures instead of a table.
MAX_FIGURES = 6


def metric_panels(metrics: Metrics, others: Mapping[str, Metrics] | None = None) -> list[Panel]:
    """Panels for all metrics of a component: single values and tables, then curves.

    Args:
        metrics: namespace -> name -> metric, in the order in which they were written.
        others: the same of other parties (``arbiter 10000``) that run the component. Their
            loss is shown where the party has none, because in hetero training only the
            arbiter learns it.
    """
    found = [*_other_losses(metrics, others or {}), *_panels(metrics)]
    return sorted(found, key=lambda panel: panel["kind"] not in ("facts", "table"))


def _other_losses(metrics: Metrics, others: Mapping[str, Metrics]) -> list[Panel]:
    if _losses(metrics):
        return []
    return [
        {**panel, "title": f"Loss, at {party}"}
        for party, theirs in others.items()
        for panel in _panels(_losses(theirs))
    ]


def _losses(metrics: Metrics) -> dict[str, dict[str, Metric]]:
    found = {
        namespace: {
            name: metric
            for name, metric in by_name.items()
            if metric.meta.get("metric_type") == "LOSS"
        }
        for namespace, by_name in metrics.items()
    }
    return {namespace: by_name for namespace, by_name in found.items() if by_name}


def _panels(metrics: Metrics) -> list[Panel]:
    board = board_of(metrics)
    found: list[Panel] = []
    for build in _BUILDERS:
        found.extend(build(board))
    return found


# -- single values ---------------------------------------------------------------------------


def _counts(board: Board) -> Iterator[Panel]:
    for entry in board.take("INTERSECTION"):
        values = dict(map(tuple, entry.points))
        yield panels.facts(
            "Intersection",
            [
                panels.fact("common ids", values.get("intersect_count"), COUNT),
                panels.fact("share of own rows", values.get("intersect_rate"), RATIO),
            ],
        )
    for kind, title, label in (
        ("UPLOAD", "Upload", "rows stored"),
        ("DOWNLOAD", "Download", "rows written"),
        ("SAMPLE_TEXT", "Sample", "rows kept"),
    ):
        for entry in board.take(kind):
            if entry.points:
                yield panels.facts(title, [panels.fact(label, entry.points[-1][1], COUNT)])
    for entry in board.take("SCALE"):
        yield panels.facts("Scaling", [panels.fact("method", entry.meta.get("method"))])
    for entry in board.take("UNION"):
        columns = [panels.column("source"), panels.column("rows", COUNT)]
        yield panels.table("Union", columns, entry.points)
    yield from _samples(board.take("SAMPLE_TABLE"))


def _samples(entries: Sequence[Entry]) -> Iterator[Panel]:
    by_namespace = {entry.namespace: dict(map(tuple, entry.points)) for entry in entries}
    before = by_namespace.get("original_count", {})
    after = by_namespace.get("sample_count", {})
    labels = list(dict.fromkeys([*before, *after]))
    if labels:
        columns = [
            panels.column("label"),
            panels.column("rows before", COUNT),
            panels.column("rows kept", COUNT),
        ]
        rows = [[str(label), before.get(label), after.get(label)] for label in labels]
        yield panels.table("Stratified sample", columns, rows)


def _summary(board: Board) -> Iterator[Panel]:
    entries = board.take("EVALUATION_SUMMARY")
    if not entries:
        return
    shown, note = newest(entries)
    names = list(dict.fromkeys(str(key) for entry in shown for key, _ in entry.points))
    rows = []
    for entry in shown:
        values = {str(key): value for key, value in entry.points}
        rows.append([board.label(entry), *(values.get(name) for name in names)])
    if len(rows) == 1 and len(names) <= MAX_FIGURES:
        title = f"Evaluation on {rows[0][0]}"
        figures = zip(names, rows[0][1:], strict=True)
        yield panels.facts(title, [panels.fact(_title(n), value, NUMBER) for n, value in figures])
    else:
        heads = [panels.column(_title(name), NUMBER) for name in names]
        yield panels.table("Evaluation", [panels.column("data set"), *heads], rows, note)
    yield from _history(board, entries)


def _title(metric: str) -> str:
    return metric.upper() if metric in ("auc", "ks") else metric.replace("_", " ")


def _history(board: Board, entries: Sequence[Entry]) -> Iterator[Panel]:
    """Single values by iteration: one chart per metric, one curve per namespace."""
    curves: dict[str, dict[str, list[list[float]]]] = {}
    colors: dict[str, int] = {}
    for entry in entries:
        match = ITERATION.match(entry.data_set)
        if not match:
            continue
        colors[entry.namespace] = board.color(entry)
        for key, value in entry.points:
            if is_number(value):
                curve = curves.setdefault(str(key), {}).setdefault(entry.namespace, [])
                curve.append([int(match.group(1)), value])
    for metric, by_namespace in curves.items():
        series = [
            panels.line(namespace, sorted(points), color=colors[namespace])
            for namespace, points in by_namespace.items()
        ]
        title = f"{_title(metric)} by iteration"
        yield panels.lines(title, panels.axis("iteration"), panels.axis(_title(metric)), series)


def _others(board: Board) -> Iterator[Panel]:
    """Metrics of a type that has no view of its own: still shown."""
    for kind in list(board.by_kind):
        for entry in board.take(kind):
            title = f"{entry.namespace} / {entry.name}"
            numbers = entry.numbers
            if len(numbers) > 1 and len(numbers) == len(entry.points):
                x = panels.axis(str(entry.meta.get("unit_name") or "key"))
                series = [panels.line(entry.name, numbers)]
                yield panels.lines(title, x, panels.axis("value"), series)
            elif entry.points:
                columns = [panels.column("key"), panels.column("value", NUMBER)]
                yield panels.table(title, columns, entry.points)
            else:
                yield panels.document(title, dict(entry.meta))


_BUILDERS = (
    _counts,
    stepwise_panels.steps,
    _summary,
    curve_panels.loss,
    curve_panels.roc,
    curve_panels.ks,
    curve_panels.precision_recall,
    curve_panels.classes,
    curve_panels.depth_curves,
    _others,
)
