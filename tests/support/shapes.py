"""Answers to the same question about two runs of one job: alike but for numbers and ids."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

#: Ours only, beside what was recorded.
ADDED = {"f_error", "f_message", "f_attempt", "f_task_progress", "total", "warnings"}
#: Texts that do not depend on the run.
FIXED = {
    "retmsg",
    "f_status",
    "f_component_name",
    "f_role",
    "f_party_id",
    "f_operator",
    "f_roles",
    "f_description",
    "metric_type",
    "name",
    "curve_name",
    "pair_type",
    "unit_name",
    "ordinate_name",
    "module",
    "module_name",
    "component_name",
    "type",
}
#: Numbers that do not depend on the run.
COUNTS = {"retcode", "f_table_count_actual", "f_progress", "f_is_initiator"}
#: As long as there are distinct scores, which differ from run to run.
ANY_LENGTH = {"data", "thresholds"}


def differences(found: Any, expected: Any, path: str = "") -> Iterator[str]:
    """What a client could notice: keys, types, fixed texts, emptiness, numbers of rows."""
    key = path.rpartition(".")[2]
    if isinstance(expected, dict) and isinstance(found, dict):
        for name in sorted(expected.keys() ^ (found.keys() - ADDED)):
            yield f"{path}.{name}: only in the {'recording' if name in expected else 'answer'}"
        for name in expected.keys() & found.keys():
            yield from differences(found[name], expected[name], f"{path}.{name}")
    elif isinstance(expected, list) and isinstance(found, list):
        if bool(found) != bool(expected) or (key not in ANY_LENGTH and len(found) != len(expected)):
            yield f"{path}: {len(found)} entries, recorded {len(expected)}"
        for index, (one, other) in enumerate(zip(found, expected, strict=False)):
            yield from differences(one, other, f"{path}[{index}]")
    elif type(found) is not type(expected):
        yield f"{path}: {found!r:.60}, recorded {expected!r:.60}"
    elif isinstance(expected, str):
        # The reference's machine had no address.
        same_emptiness = bool(found) == bool(expected) or key == "f_run_ip"
        if not same_emptiness or (key in FIXED and found != expected):
            yield f"{path}: {found!r:.60}, recorded {expected!r:.60}"
    elif key in COUNTS and found != expected:
        yield f"{path}: {found}, recorded {expected}"
