"""Panels: the few forms in which a page shows what a component has.

A panel is a plain JSON object; ``kind`` names the form, and the script of the same name
under ``static/panels/`` draws it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Panel = dict[str, Any]

#: Kinds of a column or a fact; they decide alignment and number format.
TEXT, NUMBER, COUNT, RATIO, FLAG = "text", "number", "count", "ratio", "flag"


def fact(label: str, value: Any, kind: str = TEXT) -> dict[str, Any]:
    return {"label": label, "value": value, "kind": kind}


def facts(title: str, items: Sequence[Mapping[str, Any]]) -> Panel:
    """Single values with labels."""
    return {"kind": "facts", "title": title, "items": list(items)}


def column(label: str, kind: str = TEXT) -> dict[str, str]:
    return {"label": label, "kind": kind}


def table(
    title: str,
    columns: Sequence[Mapping[str, str]],
    rows: Sequence[Sequence[Any]],
    note: str = "",
) -> Panel:
    """Rows under headers; None is shown as a dash."""
    return {
        "kind": "table",
        "title": title,
        "columns": list(columns),
        "rows": [list(row) for row in rows],
        "note": note,
    }


def axis(label: str, low: float | None = None, high: float | None = None) -> dict[str, Any]:
    """An axis; without limits it fits the data."""
    return {"label": label, "min": low, "max": high}


def line(
    name: str,
    points: Sequence[Sequence[float]],
    *,
    color: int = 0,
    dashed: bool = False,
    thresholds: Sequence[Any] = (),
) -> dict[str, Any]:
    """One curve.

    Args:
        points: (x, y) pairs.
        color: index into the palette; the same data set has the same colour everywhere.
        thresholds: per point, shown in the tooltip; empty when they do not match the points.
    """
    matched = list(thresholds) if len(thresholds) == len(points) else []
    return {
        "name": name,
        "points": [list(point) for point in points],
        "color": color,
        "dashed": dashed,
        "thresholds": matched,
    }


def lines(
    title: str,
    x: Mapping[str, Any],
    y: Mapping[str, Any],
    series: Sequence[Mapping[str, Any]],
    *,
    diagonal: bool = False,
    marks: Sequence[Mapping[str, Any]] = (),
    note: str = "",
) -> Panel:
    """Curves over a common axis.

    Args:
        diagonal: draw the line of a random model from (0, 0) to (1, 1).
        marks: vertical distances ``{x, low, high, label, color}``.
    """
    return {
        "kind": "lines",
        "title": title,
        "x": dict(x),
        "y": dict(y),
        "series": list(series),
        "diagonal": diagonal,
        "marks": list(marks),
        "note": note,
    }


def bars(
    title: str, x_label: str, categories: Sequence[str], series: Sequence[Mapping[str, Any]]
) -> Panel:
    """Bars per category; each series is ``{name, values, color}``."""
    return {
        "kind": "bars",
        "title": title,
        "x_label": x_label,
        "categories": list(categories),
        "series": list(series),
    }


def document(title: str, value: Any) -> Panel:
    """Any JSON value, collapsible."""
    return {"kind": "document", "title": title, "value": value}
