"""The public data of the reference's examples, and its recorded deterministic runs."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.support.reference import reference_path


@dataclass
class Joined:
    """Rows of the common ids in canonical order."""

    ids: list[str]
    labels: np.ndarray[Any, Any]
    guest: np.ndarray[Any, Any]
    host: np.ndarray[Any, Any]
    guest_header: list[str]
    host_header: list[str]


def joined_breast() -> Joined:
    """Two classes, 10 columns at the guest and 20 at the host."""
    return _joined("breast_b.csv", "breast_a.csv")


def joined_vehicle() -> Joined:
    """Four classes, 9 columns at each side."""
    return _joined("vehicle_scale_b.csv", "vehicle_scale_a.csv")


def _joined(guest_name: str, host_name: str) -> Joined:
    guest_header, guest = _read(guest_name)
    host_header, host = _read(host_name)
    ids = sorted(guest.keys() & host.keys(), key=lambda sid: (len(sid), sid))
    table = np.array([guest[sid] for sid in ids])
    return Joined(
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
