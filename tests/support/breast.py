"""The public breast data of the reference's examples, and its recorded deterministic runs."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.support.reference import reference_path


@dataclass
class JoinedBreast:
    """Rows of the common ids in canonical order."""

    ids: list[str]
    labels: np.ndarray[Any, Any]
    guest: np.ndarray[Any, Any]
    host: np.ndarray[Any, Any]
    guest_header: list[str]
    host_header: list[str]


def joined_breast() -> JoinedBreast:
    guest_header, guest = _read("breast_b.csv")
    host_header, host = _read("breast_a.csv")
    ids = sorted(guest.keys() & host.keys(), key=lambda sid: (len(sid), sid))
    table = np.array([guest[sid] for sid in ids])
    return JoinedBreast(
        ids=ids,
        labels=table[:, 0].astype(np.int64),
        guest=table[:, 1:],
        host=np.array([host[sid] for sid in ids]),
        guest_header=guest_header[1:],
        host_header=host_header,
    )


def _read(name: str) -> tuple[list[str], dict[str, list[float]]]:
    with reference_path("examples-1.4", "data", name).open(newline="") as source:
        header, *rows = csv.reader(source)
    return header[1:], {row[0]: [float(value) for value in row[1:]] for row in rows}


def golden_run(name: str) -> dict[str, Any]:
    """One recorded run from zero weights, 5 iterations, full batch."""
    path = reference_path("golden-1.4", "deterministic", f"{name}.json")
    document: dict[str, Any] = json.loads(path.read_text())
    return document
