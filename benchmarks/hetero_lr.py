"""Seconds per iteration of HeteroLR, against the cost of the multiplications it needs.

All parties run as threads of this process; a multiplication is one product of two
ciphertexts modulo n². Counted are those that the protocol cannot do without: masks (DJN,
one product per byte of the exponent), the joins of masks and plain numbers, and the digits
and buckets of Xᵀ·E(d). The ratio says how much of the processor time is something else.

    python benchmarks/hetero_lr.py [--rows 569 20000] [--bits 1024 2048] [--iterations 3]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import gmpy2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.support.hetero_lr import GUEST, HOSTS, Site
from tests.support.parties import MemoryTracker

from fate_flow.components.hetero_lr.party import MATRIX_BITS
from fate_flow.crypto.bucket_products import DotPlan
from fate_flow.crypto.paillier import PrivateKey, PublicKey

GUEST_FEATURES, HOST_FEATURES = 10, 20


def cost_of_product(key: PublicKey) -> float:
    """Processor seconds of one product modulo n², best of five."""
    modulus = key.n_squared
    values = [gmpy2.mpz(mask) for mask in key.masks(200)]
    best = float("inf")
    for _ in range(5):
        start = time.process_time()
        running = gmpy2.mpz(1)
        for _ in range(10):
            for value in values:
                running = running * value % modulus
        best = min(best, (time.process_time() - start) / 2000)
    return best


def products_of_plan(matrix: Any) -> int:
    """Products of one pass over a matrix: one per non-zero digit, one per bucket."""
    count = 0
    for column in DotPlan(matrix, MATRIX_BITS)._columns:
        for position in column.positions:
            for buckets in (position.positive, position.negative):
                count += len(buckets.rows) + len(buckets.ends)
    return count


def products_of_iteration(guest: Any, host: Any, bits: int) -> int:
    rows = len(guest)
    masks = (rows + 2 + host.shape[1]) + (rows + guest.shape[1] + 2)
    per_mask = bits // 2 // 8 + 1
    # Encrypted scores and residuals: one product for the mask, one for the plain number.
    joins = 4 * rows + rows  # and the sum for the intercept
    loss = products_of_plan(np.random.default_rng(0).normal(size=(rows, 1)))
    products = masks * per_mask + joins + loss
    return int(products + products_of_plan(guest) + products_of_plan(host))


def run_once(rows: int, bits: int, iterations: int) -> dict[str, Any]:
    rng = np.random.default_rng(1)
    guest = rng.normal(size=(rows, GUEST_FEATURES)).round(6)
    host = rng.normal(size=(rows, HOST_FEATURES)).round(6)
    labels = (guest[:, 0] + host[:, 0] + rng.normal(size=rows) > 0).astype(np.int64)
    ends: list[tuple[float, float]] = []
    report = MemoryTracker.metrics

    def timed(self: MemoryTracker, *args: Any, **kwargs: Any) -> None:
        ends.append((time.perf_counter(), time.process_time()))
        report(self, *args, **kwargs)

    MemoryTracker.metrics = timed  # type: ignore[method-assign]
    try:
        with tempfile.TemporaryDirectory() as folder:
            site = Site(Path(folder))
            site.run(
                {
                    GUEST: {"train_data": site.table(GUEST, guest, labels)},
                    HOSTS[0]: {"train_data": site.table(HOSTS[0], host)},
                },
                deadline=3600.0,
                encrypt_param={"key_length": bits},
                batch_size=-1,
                max_iter=iterations,
                tol=0,
            )
    finally:
        MemoryTracker.metrics = report  # type: ignore[method-assign]
    walls, works = np.diff(np.array(ends), axis=0).T
    products = products_of_iteration(guest, host, bits)
    cost = cost_of_product(PrivateKey.generate(bits).public)
    return {
        "rows": rows,
        "features": GUEST_FEATURES + HOST_FEATURES,
        "bits": bits,
        "seconds_per_iteration": float(np.median(walls)),
        "processor_seconds": float(np.median(works)),
        "multiplications": products,
        "microseconds_each": cost * 1e6,
        "ratio": float(np.median(works)) / (products * cost),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[569, 20_000])
    parser.add_argument("--bits", type=int, nargs="+", default=[1024, 2048])
    parser.add_argument("--iterations", type=int, default=3)
    options = parser.parse_args()
    results = []
    print(f"{'rows':>7}{'bits':>6}{'s/iter':>9}{'cpu s':>9}{'products':>11}{'µs':>7}{'ratio':>7}")
    for rows in options.rows:
        for bits in options.bits:
            result = run_once(rows, bits, options.iterations)
            results.append(result)
            print(
                f"{rows:>7}{bits:>6}{result['seconds_per_iteration']:>9.2f}"
                f"{result['processor_seconds']:>9.2f}{result['multiplications']:>11,}"
                f"{result['microseconds_each']:>7.2f}{result['ratio']:>7.2f}",
                flush=True,
            )
    print(json.dumps(results))


if __name__ == "__main__":
    main()
