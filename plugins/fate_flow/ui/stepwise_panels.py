"""Stepwise selection of columns -> a table of its steps, and what was chosen."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fate_flow.ui import panels
from fate_flow.ui.metric_board import Board, Entry
from fate_flow.ui.panels import COUNT, NUMBER, TEXT, Panel

_STEP = re.compile(r"stepwise_(\d+)$")
_LONGEST_CHANGE = 12


def steps(board: Board) -> Iterator[Panel]:
    """One table per search; entries that are no steps are left to others."""
    searches: dict[str, dict[int, Entry]] = {}
    left = []
    for entry in board.take("STEPWISE"):
        match = _STEP.search(entry.name)
        if match and _mask(entry.meta):
            place = entry.namespace + entry.name[: match.start()]
            searches.setdefault(place, {})[int(match.group(1))] = entry
        else:
            left.append(entry)
    if left:
        board.by_kind["STEPWISE"] = left
    for place, found in searches.items():
        where = f", {place}" if len(searches) > 1 else ""
        yield from _search([(number, found[number].meta) for number in sorted(found)], where)


def _search(found: Sequence[tuple[int, Mapping[str, Any]]], where: str) -> Iterator[Panel]:
    last = found[-1][1]
    criterion = str(last.get("score_name") or "criterion")
    columns = [
        panels.column("step", COUNT),
        panels.column("columns in", COUNT),
        panels.column("change", TEXT),
        panels.column("loss", NUMBER),
        panels.column(criterion, NUMBER),
    ]
    rows, before = [], None
    for number, meta in found:
        change = "start" if before is None else _change(before, meta)
        inside = meta.get("number_in", sum(_mask(meta)))
        rows.append([number, inside, change, meta.get("loss"), meta.get("current_ic_val")])
        before = meta
    title = f"Stepwise selection ({last.get('direction') or 'steps'}){where}"
    yield panels.table(title, columns, rows)
    own = last.get("to_enter")
    if isinstance(own, list):
        chosen = ", ".join(map(str, own)) or "none"
        total = len(last.get("all_features") or own)
        label = f"own columns chosen, {len(own)} of {total}"
        yield panels.facts(f"Stepwise result{where}", [panels.fact(label, chosen)])


def _mask(meta: Mapping[str, Any]) -> list[int]:
    """Which columns are in: the host's, then the guest's; empty when the meta has none."""
    parts = [meta.get("host_mask"), meta.get("guest_mask")]
    if not all(isinstance(part, list) for part in parts):
        return []
    return [int(bool(one)) for part in parts for one in part or []]


def _change(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    names = [
        str(name)
        for key in ("host_features_anonym", "guest_features_anonym")
        for name in after.get(key) or []
    ]
    old, new = _mask(before), _mask(after)
    if not len(old) == len(new) == len(names):
        return ""
    changed = [
        ("+ " if is_in else "\N{MINUS SIGN} ") + name
        for name, was_in, is_in in zip(names, old, new, strict=True)
        if was_in != is_in
    ]
    more = f" and {len(changed) - _LONGEST_CHANGE} more" if len(changed) > _LONGEST_CHANGE else ""
    return ", ".join(changed[:_LONGEST_CHANGE]) + more or "none: the search ends"
