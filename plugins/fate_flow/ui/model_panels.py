"""A component's model (JSON form of its messages) -> panels.

Which view fits is decided by the fields that are there, not by the module's name, so that
all linear models share one view and a new module gets at least its document.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from fate_flow.ui import panels
from fate_flow.ui.panels import COUNT, NUMBER, RATIO, Panel

Document = Mapping[str, Any]


def model_panels(param: Document, meta: Document, party: str) -> list[Panel]:
    """Panels for a model.

    Args:
        param, meta: as FATE-Flow's ``output/model`` answers them (lowerCamelCase, 64-bit
            integers as texts).
        party: whose model it is, for titles (``guest 9999``).
    """
    for fits, build in _VIEWS:
        if fits(param):
            return list(build(param, meta, party))
    return [panels.document("Model", dict(param))] if param else []


def number(value: Any) -> float | None:
    """A finite number of a message's JSON form; None for NaN, infinities and texts."""
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    return found if math.isfinite(found) else None


def _has(*names: str) -> Callable[[Document], bool]:
    return lambda param: all(name in param for name in names)


# -- linear models ---------------------------------------------------------------------------


def _linear(param: Document, meta: Document, party: str) -> Iterator[Panel]:
    """Coefficients, largest first; one set per class for one-vs-rest."""
    has_intercept = bool(meta.get("fitIntercept", True))
    result = param.get("oneVsRestResult") or {}
    models = result.get("completedModels") or []
    classes = result.get("oneVsRestClasses") or []
    if models:
        names = [f"class {name}" for name in classes]
        names += [f"model {index}" for index in range(len(names), len(models))]
        named = list(zip(names, models, strict=False))
    else:
        named = [("", param)]
    yield {
        "kind": "weights",
        "title": f"Coefficients of {party}",
        "models": [_weights(name, model, has_intercept) for name, model in named],
    }
    losses = [number(value) for value in param.get("lossHistory") or []]
    points = [[index, value] for index, value in enumerate(losses) if value is not None]
    if len(points) > 1:
        series = [panels.line("loss", points)]
        yield panels.lines("Loss history", panels.axis("iteration"), panels.axis("loss"), series)


def _weights(name: str, model: Document, has_intercept: bool) -> dict[str, Any]:
    weight = model.get("weight") or {}
    ordered = [one for one in model.get("header") or [] if one in weight]
    ordered += [one for one in sorted(weight) if one not in set(ordered)]
    rows = [[one, number(weight[one])] for one in ordered]
    rows.sort(key=lambda row: -abs(row[1] or 0.0))
    best = int(model.get("bestIteration", -1))
    return {
        "name": name,
        "rows": rows,
        "intercept": number(model.get("intercept")) if has_intercept else None,
        "iterations": int(model.get("iters", 0)),
        "converged": bool(model.get("isConverged", False)),
        "best_iteration": best if best >= 0 else None,
    }


# -- binning ---------------------------------------------------------------------------------


def _binning(param: Document, meta: Document, party: str) -> Iterator[Panel]:
    """WOE and IV per feature of every party whose bins this party knows."""
    own = (param.get("binningResult") or {}).get("binningResult") or {}
    parties = [_binned(party, own, param.get("header") or [])]
    for host in param.get("hostResults") or []:
        name = f"{host.get('role', 'host')} {host.get('partyId', '')}".strip()
        columns = host.get("binningResult") or {}
        parties.append(_binned(name, columns, sorted(columns, key=_natural)))
    parties = [one for one in parties if one["features"]]
    method = meta.get("method")
    yield {
        "kind": "binning",
        "title": "Bins" + (f", by {method}" if method else ""),
        "parties": parties,
    }


def _natural(name: str) -> tuple[str, int]:
    """``host.2`` before ``host.10``."""
    head = name.rstrip("0123456789")
    return head, int(name[len(head) :] or -1)


def _binned(party: str, columns: Mapping[str, Any], order: Sequence[str]) -> dict[str, Any]:
    names = [name for name in order if name in columns]
    features = [_feature(name, columns[name]) for name in names]
    has_iv = any(feature["has_labels"] for feature in features)
    if has_iv:
        features.sort(key=lambda feature: -(feature["iv"] or 0.0))
    return {"party": party, "has_iv": has_iv, "features": features}


_BIN_FIELDS = (
    "eventCountArray",
    "nonEventCountArray",
    "eventRateArray",
    "nonEventRateArray",
    "woeArray",
    "ivArray",
)


def _feature(name: str, values: Document) -> dict[str, Any]:
    """One feature; a bin is [interval, events, others, share of events, share of others,
    WOE, IV]."""
    splits = [number(value) for value in values.get("splitPoints") or []]
    arrays = [values.get(key) or [] for key in _BIN_FIELDS]
    count = max([len(splits), *map(len, arrays)])
    intervals = _intervals(splits, count)
    bins = [
        [interval, *(number(one[index]) if index < len(one) else None for one in arrays)]
        for index, interval in enumerate(intervals)
    ]
    has_labels = bool(values.get("woeArray"))
    return {
        "name": name,
        "has_labels": has_labels,
        "iv": number(values.get("iv")) if has_labels else None,
        "monotonic": bool(values.get("isWoeMonotonic")) if has_labels else None,
        "bins": bins,
    }


def _intervals(splits: Sequence[float | None], count: int) -> list[str]:
    """Texts of ``count`` bins; a peer's columns come without their limits."""
    if not splits:
        return [f"bin {index}" for index in range(count)]
    limits = [f"{value:.6g}" if value is not None else "?" for value in splits[: count - 1]]
    if not limits:
        return ["all values"] * count
    middle = [f"({low}, {high}]" for low, high in pairwise(limits)]
    return [f"≤ {limits[0]}", *middle, f"> {limits[-1]}"]


# -- selection -------------------------------------------------------------------------------


def _selection(param: Document, meta: Document, party: str) -> Iterator[Panel]:
    """Which columns stayed and what each filter found."""
    filters = param.get("results") or []
    final = set(_left(param.get("finalLeftCols")))
    header = list(param.get("header") or [])
    own = [_judged(entry, entry.get("leftCols"), entry.get("featureValues")) for entry in filters]
    parties = [_selected(party, header, own, final)]
    for index, host in enumerate(param.get("hostColNames") or []):
        names = list(host.get("colNames") or [])
        judged = [
            _judged(entry, _at(entry, "hostLeftCols", index), _host_values(entry, index))
            for entry in filters
        ]
        kept = set(names)
        for one in judged:
            kept -= one["seen"] - one["left"]
        parties.append(_selected(f"host {host.get('partyId', '')}".strip(), names, judged, kept))
    yield {
        "kind": "selection",
        "title": "Selected columns",
        "filters": [_filter_name(entry) for entry in filters],
        "parties": parties,
    }


def _filter_name(entry: Document) -> str:
    return str(entry.get("filterName", "")).lower().replace("_", " ")


def _left(columns: Document | None) -> list[str]:
    found = (columns or {}).get("leftCols") or {}
    return [name for name, stays in found.items() if stays]


def _at(entry: Document, key: str, index: int) -> Document | None:
    found = entry.get(key) or []
    return found[index] if index < len(found) else None


def _host_values(entry: Document, index: int) -> Document:
    return (_at(entry, "hostFeatureValues", index) or {}).get("featureValues") or {}


def _judged(entry: Document, columns: Document | None, values: Document | None) -> dict[str, Any]:
    return {
        "seen": set((columns or {}).get("originalCols") or []),
        "left": set(_left(columns)),
        "values": values or {},
    }


def _selected(
    party: str, names: Sequence[str], judged: Sequence[Mapping[str, Any]], kept: set[str]
) -> dict[str, Any]:
    """A cell is [value, stays] per filter, or None where the filter did not look."""
    rows = [
        {
            "name": name,
            "kept": name in kept,
            "cells": [
                [number(one["values"].get(name)), name in one["left"]]
                if name in one["seen"]
                else None
                for one in judged
            ],
        }
        for name in names
    ]
    return {"party": party, "kept": sum(row["kept"] for row in rows), "rows": rows}


# -- small ones ------------------------------------------------------------------------------


def _scale(param: Document, meta: Document, party: str) -> Iterator[Panel]:
    columns = param.get("colScaleParam") or {}
    order = [name for name in param.get("header") or [] if name in columns]
    order += [name for name in columns if name not in set(order)]
    keys = ("columnLower", "columnUpper", "mean", "std")
    rows = [[name, *(number(columns[name].get(key)) for key in keys)] for name in order]
    labels = ("lower", "upper", "mean", "standard deviation")
    heads = [panels.column("column"), *(panels.column(label, NUMBER) for label in labels)]
    yield panels.table("Scaled columns", heads, rows)


def _one_hot(param: Document, meta: Document, party: str) -> Iterator[Panel]:
    rows = []
    for name, entry in sorted(
        (param.get("colMap") or {}).items(), key=lambda one: _natural(one[0])
    ):
        values = entry.get("values") or []
        rows.append([name, len(values), ", ".join(map(str, values))])
    heads = [panels.column("column"), panels.column("values", COUNT), panels.column("which")]
    yield panels.table("Encoded columns", heads, rows)


def _data_io(param: Document, meta: Document, party: str) -> Iterator[Panel]:
    header = param.get("header") or []
    yield panels.facts(
        "Instances",
        [
            panels.fact("features", len(header), COUNT),
            panels.fact("id column", param.get("sidName") or None),
            panels.fact("label column", (meta.get("withLabel") and param.get("labelName")) or None),
        ],
    )
    for key, kind, title in (
        ("imputerParam", "missing", "Missing values"),
        ("outlierParam", "outlier", "Outliers"),
    ):
        found = param.get(key) or {}
        replaced = found.get(f"{kind}ReplaceValue") or {}
        ratio = found.get(f"{kind}ValueRatio") or {}
        rows = [[name, ratio.get(name), replaced[name]] for name in header if name in replaced]
        if rows:
            heads = [
                panels.column("column"),
                panels.column("share of rows", RATIO),
                panels.column("replaced by"),
            ]
            yield panels.table(title, heads, rows)


_VIEWS: tuple[
    tuple[Callable[[Document], bool], Callable[[Document, Document, str], Iterator[Panel]]], ...
] = (
    (_has("weight"), _linear),
    (_has("binningResult"), _binning),
    (_has("finalLeftCols"), _selection),
    (_has("colScaleParam"), _scale),
    (_has("colMap"), _one_hot),
    (_has("imputerParam"), _data_io),
)
