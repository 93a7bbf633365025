"""What the cryptography costs on this machine: one table, microseconds per operation.

Run: ``python benchmarks/crypto.py [--bits 1024 2048] [--quick]``. Rows of one core show CPU
time, so that other processes hardly disturb them; rows of several cores show elapsed time.
Each is the best of several runs.
"""

from __future__ import annotations

import argparse
import os
import platform
import secrets
import time
from collections.abc import Callable
from pathlib import Path

import cryptography
import gmpy2
import numpy as np

from fate_flow.crypto import integers
from fate_flow.crypto.bucket_products import DotPlan
from fate_flow.crypto.cipher_column import CipherColumn
from fate_flow.crypto.ecdh import EcdhSecret
from fate_flow.crypto.masks import MaskPool
from fate_flow.crypto.packing import GradientPacking
from fate_flow.crypto.paillier import PrivateKey
from fate_flow.crypto.rsa_blind import Blinder, RsaKeyPair, own_tokens, sign

CORES = integers.threads()


def best(work: Callable[[], object], repeats: int = 3) -> float:
    """Seconds of the fastest of some runs: CPU time on one core, else elapsed time."""
    clock = time.process_time if integers.threads() == 1 else time.perf_counter
    times = []
    for _ in range(repeats):
        start = clock()
        work()
        times.append(clock() - start)
    return min(times)


def cores(count: int) -> None:
    integers.threads = lambda: count


def cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown"


def row(name: str, bits: int, value: float, unit: str = "µs", note: str = "") -> None:
    print(f"{name:<44} {bits or '-':>5} {value:>12,.2f} {unit:<3} {note}", flush=True)


def paillier(bits: int) -> float:
    """Prints the rows of one key length; returns seconds of a product of two ciphertexts."""
    count = 200
    key = PrivateKey.generate(bits)
    public = key.public
    cores(1)
    row("table of the public key", bits, best(lambda: public.masks(1), 1) * 1e3, "ms", "once")
    row("tables of the owner", bits, best(lambda: key.masks(1), 1) * 1e3, "ms", "once")
    values = np.random.default_rng(0).normal(size=count)
    column = CipherColumn.encrypt(values, key)
    items = [gmpy2.mpz(secrets.randbelow(int(public.n_squared))) for _ in range(4000)]
    product = best(lambda: integers.product(items, public.n_squared), 5) / len(items)
    row("product of two ciphertexts", bits, product * 1e6)

    def encrypt(owner: bool) -> Callable[[], object]:
        return lambda: CipherColumn.encrypt(values, key if owner else public)

    row("encryption, DJN with table", bits, best(encrypt(False)) / count * 1e6)
    row("encryption, key's owner", bits, best(encrypt(True)) / count * 1e6)
    with MaskPool(key) as pool:
        pool.prepare(count)
        while pool.ready < count:
            time.sleep(0.01)
        ready = best(lambda: CipherColumn.encrypt(values, key, masks=pool), 1)
    row("encryption, mask ready", bits, ready / count * 1e6)
    row("re-randomisation, public key", bits, best(column.rerandomise) / count * 1e6)
    row("decryption, bounded (one prime)", bits, best(lambda: column.decrypt(key)) / count * 1e6)
    wide = column.with_bound(public.capacity)
    row("decryption, full range", bits, best(lambda: wide.decrypt(key)) / count * 1e6)
    batch = column.to_arrow()
    received = best(lambda: CipherColumn.from_arrow(batch, public)) / count * 1e6
    row("received ciphertext, checked", bits, received)
    if CORES > 1:
        cores(CORES)
        note = f"all cores ({CORES})"
        row("encryption, DJN with table", bits, best(encrypt(False)) / count * 1e6, note=note)
        row("decryption, bounded", bits, best(lambda: column.decrypt(key)) / count * 1e6, note=note)
    return product


def dot(bits: int, rows: int, columns: int, product: float) -> None:
    rng = np.random.default_rng(1)
    matrix = rng.normal(size=(rows, columns))
    # Encryption is not what is measured here: few masks, many products of them.
    some = CipherColumn.encrypt(rng.normal(size=64), PrivateKey.generate(bits))
    column = some.take(rng.integers(0, 64, size=rows))
    plan = DotPlan(matrix)
    terms = rows * columns
    name = f"dot {rows} x {columns}, 24 bits"
    cores(1)
    row(f"  cutting the matrix {rows} x {columns}", bits, best(lambda: DotPlan(matrix)) * 1e3, "ms")
    for count in sorted({1, CORES}):
        cores(count)
        seconds = best(lambda: column.dot(plan), 3 if terms < 100_000 else 1)
        note = f"{seconds / terms * 1e6:.1f} µs per term, {seconds / terms / product:.2f} products"
        row(name, bits, seconds, "s", f"{note}, {count} core(s)")


def histograms(bits: int, rows: int) -> None:
    rng = np.random.default_rng(2)
    key = PrivateKey.generate(bits)
    layout = GradientPacking.plan(rows, 1.0, exponent=30)
    column = layout.encrypt(rng.uniform(-1, 1, 64), rng.uniform(0, 0.25, 64), key)
    column = column.take(rng.integers(0, 64, size=rows))
    bins = [32] * 10
    codes = rng.integers(0, 32, size=(rows, 10))
    cores(1)
    sums = column.bin_sum(codes, bins)
    seconds = best(lambda: column.bin_sum(codes, bins), 1)
    note = f"{seconds / rows / 10 * 1e6:.2f} µs per row and feature"
    row(f"histograms {rows} x 10, 32 bins", bits, seconds, "s", note)
    joined = CipherColumn.concat(sums)
    packed = layout.pack_bins(joined)
    row("packing of a bin", bits, best(lambda: layout.pack_bins(joined), 1) / 320 * 1e6)
    unpacked = best(lambda: layout.decrypt_bins(packed, 320, key), 1)
    row("decryption of a packed bin (g and h)", bits, unpacked / 320 * 1e6)


def intersection(bits: int, count: int) -> None:
    ids = [str(k) for k in range(count)]
    pair = RsaKeyPair.generate(bits)
    cores(1)
    blinder = Blinder(pair.public, ids)
    row("RSA blind, per id", bits, best(lambda: Blinder(pair.public, ids)) / count * 1e6)
    signed = sign(blinder.blinded, pair)
    row("RSA sign, per id", bits, best(lambda: sign(blinder.blinded, pair)) / count * 1e6)
    row("RSA unblind and verify, per id", bits, best(lambda: blinder.unblind(signed)) / count * 1e6)
    row("RSA own token, per id", bits, best(lambda: own_tokens(ids, pair)) / count * 1e6)
    if CORES > 1:
        cores(CORES)
        seconds = best(lambda: sign(blinder.blinded, pair))
        row("RSA sign, per id", bits, seconds / count * 1e6, note=f"all cores ({CORES})")


def curve(count: int) -> None:
    ids = [str(k) for k in range(count)]
    cores(1)
    secret, other = EcdhSecret.generate(), EcdhSecret.generate()
    points = secret.blind_ids(ids)
    row(
        "X25519 blind an id (hash and multiply)",
        0,
        best(lambda: secret.blind_ids(ids)) / count * 1e6,
    )
    row(
        "X25519 blind a point again (checked)",
        0,
        best(lambda: other.blind_points(points)) / count * 1e6,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bits", type=int, nargs="+", default=[1024, 2048])
    parser.add_argument("--quick", action="store_true", help="leave out the 20,000-row products")
    options = parser.parse_args()
    print(f"cpu: {cpu_model()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}")
    print(
        f"python {platform.python_version()}, gmpy2 {gmpy2.version()} ({gmpy2.mp_version()}), "
        f"cryptography {cryptography.__version__}, numpy {np.__version__}"
    )
    print(f"{'operation':<44} {'bits':>5} {'time':>12}")
    for bits in options.bits:
        product = paillier(bits)
        dot(bits, 569, 20, product)
        if not options.quick:
            dot(bits, 20_000, 20, product)
            histograms(bits, 20_000)
        intersection(bits, 200)
    curve(2000)


if __name__ == "__main__":
    main()
