"""What a gateway costs: delay of a small value, speed of a large one, an idle process.

    python benchmarks/gateway.py [--rounds 500] [--megabytes 200]

Starts a gateway and one process for each of two parties on this machine. The delay is that of
a whole round: guest sends, host receives and sends back, guest receives (two values pass).
The same again with the parties at two sites: the host's gateway relays to the guest's over
mutual TLS, one hop more for each of its values. CPU times count, beside wall times, because a
machine with other work makes the latter long.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.support.federated import FederatedGateway
from tests.support.gateway import GUEST, HOST, GatewayProcess

PAIR = {"guest": [9999], "host": [10000]}
WARM_UP = 50


def _site(home: Path, port: int) -> GatewayProcess:
    gateway = GatewayProcess.__new__(GatewayProcess)
    gateway.home, gateway.port = home, port
    return gateway


def _cpu(pid: int | None = None) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def host(home: Path, port: int, rounds: int, large: int, options: Mapping[str, Any]) -> None:
    with _site(home, port).session(HOST, component="bench", roles=PAIR, **options) as session:
        session.join()
        for i in range(rounds + WARM_UP):
            session.send("pong", session.receive("ping", GUEST, [i]), GUEST, [i])
        for i in range(large):
            matrix = session.receive("matrix", GUEST, [i])
            session.send("got", int(matrix.nbytes), GUEST, [i])
        session.finish()


def guest(gateway: GatewayProcess, rounds: int, megabytes: int, large: int) -> None:
    with gateway.session(GUEST, component="bench", roles=PAIR) as session:
        session.join()
        times = []
        for i in range(rounds + WARM_UP):
            if i == WARM_UP:
                cpu, own = _cpu(gateway.pid), _cpu()
            start = time.perf_counter()
            session.send("ping", {"loss": 0.5, "n": i}, HOST, [i])
            session.receive("pong", HOST, [i])
            times.append(time.perf_counter() - start)
        times = sorted(times[WARM_UP:])
        print(
            f"round of a small value: median {statistics.median(times) * 1e3:.2f} ms, "
            f"best {times[0] * 1e3:.2f} ms, 99 % under {times[int(rounds * 0.99)] * 1e3:.2f} ms; "
            f"CPU per round: gateway {(_cpu(gateway.pid) - cpu) / rounds * 1e3:.2f} ms, "
            f"one party {(_cpu() - own) / rounds * 1e3:.2f} ms"
        )
        matrix = np.random.default_rng(0).random(megabytes * 125_000)
        sent, through = [], []
        cpu, peak = _cpu(gateway.pid), gateway.rss()
        for i in range(large):
            start = time.perf_counter()
            session.send("matrix", matrix, HOST, [i])
            sent.append(time.perf_counter() - start)
            peak = max(peak, gateway.rss())
            session.receive("got", HOST, [i])
            through.append(time.perf_counter() - start)
        print(
            f"value of {megabytes} MB: sent at {megabytes / min(sent):.0f} MB/s, "
            f"through to the other party at {megabytes / min(through):.0f} MB/s "
            f"(best of {large}); gateway: "
            f"{(_cpu(gateway.pid) - cpu) / large / megabytes * 1e3:.2f} CPU s per GB, "
            f"{peak / 1e6:.0f} MB resident"
        )
        session.finish()


def measure(
    near: GatewayProcess, far: GatewayProcess, options: argparse.Namespace, **ticket: Any
) -> None:
    """Guest at ``near``, host at ``far``."""
    other = multiprocessing.get_context("spawn").Process(
        target=host, args=(far.home, far.port, options.rounds, options.large, ticket)
    )
    other.start()
    guest(near, options.rounds, options.megabytes, options.large)
    other.join()


def direct(folder: Path, options: argparse.Namespace) -> None:
    gateway = GatewayProcess(folder / "home", {"MAILBOX_MEMORY_BYTES": 256 << 20})
    gateway.start()
    try:
        before = _cpu(gateway.pid)
        time.sleep(3)
        print(
            f"idle gateway: {gateway.rss() / 1e6:.0f} MB resident, "
            f"{(_cpu(gateway.pid) - before) / 3:.3f} CPU"
        )
        measure(gateway, gateway, options)
    finally:
        gateway.stop()


def relayed(folder: Path, options: argparse.Namespace) -> None:
    extra = {"MAILBOX_MEMORY_BYTES": 256 << 20}
    bank = FederatedGateway(folder / "bank", extra, name="bank", parties=(GUEST,))
    shop = FederatedGateway(folder / "shop", extra, name="shop", parties=(HOST,))
    try:
        for site in (bank, shop):
            site.start()
        bank.know(shop)
        shop.know(bank)
        before = _cpu(shop.pid)
        measure(bank, shop, options, home=GUEST, ticket=bank.ticket([HOST]))
        print(
            f"relaying gateway: {_cpu(shop.pid) - before:.2f} CPU s in all, "
            f"{shop.rss() / 1e6:.0f} MB resident"
        )
    finally:
        for site in (bank, shop):
            site.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=500)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--large", type=int, default=3, help="large values sent")
    options = parser.parse_args()
    for name, run in (("one site", direct), ("two sites", relayed)):
        print(f"-- {name}")
        with tempfile.TemporaryDirectory() as folder:
            run(Path(folder), options)


if __name__ == "__main__":
    main()
