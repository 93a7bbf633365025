"""Data of the demo: scikit-learn's breast-cancer set, split between a guest and a host.

The set (569 cases, 30 measurements of cell nuclei; W. H. Wolberg, W. N. Street and
O. L. Mangasarian, "Breast Cancer Wisconsin (Diagnostic)", 1995) comes with scikit-learn,
so nothing is fetched. The guest knows the label and the ten mean values, the host the ten
standard errors and the ten worst values; each misses some of the other's cases.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SEED = 20201124
#: Share of the cases that each party has.
GUEST_SHARE, HOST_SHARE = 0.92, 0.94
GUEST_FEATURES = 10


@dataclass(frozen=True)
class DemoFiles:
    """What was written.

    Attributes:
        guest, host: the CSV files.
        guest_rows, host_rows, common_rows: numbers of cases.
    """

    guest: Path
    host: Path
    guest_rows: int
    host_rows: int
    common_rows: int


def write(folder: Path) -> DemoFiles:
    """Write ``breast_guest.csv`` and ``breast_host.csv``; the same bytes every time.

    Columns: ``id``, the label ``y`` (guest; 1 benign, 0 malignant), then ``x0`` … with
    mean 0 and variance 1 over all cases.
    """
    from sklearn.datasets import load_breast_cancer

    bunch = load_breast_cancer()
    features: NDArray[np.float64] = bunch.data
    labels: NDArray[np.int64] = bunch.target
    scaled = (features - features.mean(axis=0)) / features.std(axis=0)
    random = np.random.default_rng(SEED)
    # Ids look like case numbers and say nothing about the order of the rows.
    ids = random.choice(np.arange(100_000, 1_000_000), size=len(labels), replace=False)
    guest = random.permutation(len(labels))[: round(GUEST_SHARE * len(labels))]
    host = random.permutation(len(labels))[: round(HOST_SHARE * len(labels))]
    folder.mkdir(parents=True, exist_ok=True)
    files = DemoFiles(
        guest=folder / "breast_guest.csv",
        host=folder / "breast_host.csv",
        guest_rows=len(guest),
        host_rows=len(host),
        common_rows=len(np.intersect1d(guest, host)),
    )
    _write_csv(files.guest, ids[guest], scaled[guest, :GUEST_FEATURES], labels[guest])
    _write_csv(files.host, ids[host], scaled[host, GUEST_FEATURES:], None)
    return files


def _write_csv(
    path: Path,
    ids: NDArray[np.int64],
    values: NDArray[np.float64],
    labels: NDArray[np.int64] | None,
) -> None:
    names = [f"x{i}" for i in range(values.shape[1])]
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["id", *(["y"] if labels is not None else []), *names])
        for row, case in enumerate(ids):
            label = [int(labels[row])] if labels is not None else []
            writer.writerow([case, *label, *(f"{value:.6f}" for value in values[row])])
