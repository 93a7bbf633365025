"""What it costs that parties are apart: the demo's job on one site and between three.

Sets up one standalone site and three sites with mutual TLS on this machine, in a temporary
folder on free ports, and runs the shipped example ``hetero_lr`` (569 rows, 10 iterations, 2048
bit) on both. Bytes are those of values that pass the home gateway, by component. Then a task of
the host is killed, and a job is stopped, and the time until all sites know is taken.

    python benchmarks/sites.py [--repeats 3] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fate_flow.cli import demo, demo_sites
from fate_flow.client import FateFlowClient
from fate_flow.federation.admin import GatewayAdmin
from fate_flow.settings import load

SITES = ("bank-a", "bank-b", "trust-c")
LR = "hetero_lr_0"


def command(*arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "fate_flow.cli.main", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr or done.stdout)


def row_of_ports(count: int) -> int:
    """The first of so many free ports that follow each other."""
    for first in range(21_000, 60_000, 97):
        try:
            for port in range(first, first + count):
                socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return first
    raise RuntimeError("no free ports")


def documents(iterations: int | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
    folder = demo.example_folder(demo.EXAMPLE)
    dsl = json.loads((folder / "dsl.json").read_text())
    conf = json.loads((folder / "conf.json").read_text())
    if iterations is not None:
        conf["algorithm_parameters"][LR].update(max_iter=iterations, tol=0.0)
    return dsl, conf


def wall(client: FateFlowClient) -> float:
    began = time.monotonic()
    job = client.submit_job(*documents())
    state = client.wait(job.job_id, interval=0.1)
    assert state.status.value == "success", state
    return time.monotonic() - began


def bytes_by_component(client: FateFlowClient, gateway: GatewayAdmin) -> dict[str, int]:
    """Run the job once more and look at the mailbox whenever a component begins."""
    job = client.submit_job(*documents())
    last, found, component = gateway.counters().get("bytes_in", 0), dict[str, int](), ""
    while True:
        state = client.job_state(job.job_id)
        running = [
            task["f_component_name"]
            for task in client.query_tasks(job_id=job.job_id)
            if task["f_status"] == "running"
        ]
        now = gateway.counters().get("bytes_in", 0)
        if component and now != last:
            found[component] = found.get(component, 0) + now - last
        last = now
        component = running[0] if running else component
        if state.status.is_terminal:
            return found
        time.sleep(0.05)


def until(condition: Callable[[], bool], seconds: float = 120.0) -> float:
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > seconds:
            raise RuntimeError("took too long")
        time.sleep(0.05)
    return time.monotonic() - began


def in_the_middle(clients: Mapping[str, FateFlowClient]) -> str:
    job_id = clients["bank-a"].submit_job(*documents(200)).job_id

    def iterates() -> bool:
        found = clients["trust-c"].all_metrics(job_id, LR, "arbiter", 10000)
        return len(found.get("train", {}).get("loss", {}).get("data", [])) >= 2

    until(iterates)
    return job_id


def all_are(clients: Mapping[str, FateFlowClient], job_id: str, status: str) -> bool:
    return all(
        {row["f_status"] for row in client.query_jobs(job_id=job_id)} == {status}
        for client in clients.values()
    )


def after_a_kill(clients: Mapping[str, FateFlowClient]) -> tuple[float, float]:
    """Seconds from kill -9 of the host's task to the next attempt of all; from stop to the end."""
    job_id = in_the_middle(clients)
    task = clients["bank-b"].query_tasks(job_id=job_id, component_name=LR, role="host")[0]
    os.kill(task["f_run_pid"], signal.SIGKILL)

    def computes_anew() -> bool:
        rows = clients["bank-a"].query_tasks(job_id=job_id, component_name=LR)
        return {row["f_attempt"] for row in rows} == {1}

    kill = until(computes_anew)
    clients["trust-c"].stop_job(job_id)
    return kill, until(lambda: all_are(clients, job_id, "failed"))


def measure(repeats: int) -> dict[str, float]:
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="fate-flow-bench-") as name:
        folder = Path(name)
        alone, apart = folder / "alone", folder / "sites"
        http, grpc = row_of_ports(4), row_of_ports(8) + 4
        command("init", "--home", str(alone), "--http-port", str(http + 3), "--grpc-port",
                str(grpc + 3))  # fmt: skip
        try:
            command("service", "start", "--home", str(alone))
            command("demo", "--home", str(alone), "--data-only")
            client = FateFlowClient(load(alone).http_url)
            wall(client)
            figures["standalone.job_s"] = statistics.median(wall(client) for _ in range(repeats))
        finally:
            command("service", "stop", "--home", str(alone))
        try:
            ports = ("--http-port", str(http), "--grpc-port", str(grpc))
            command("demo-sites", "--home", str(apart), *ports, "--plain")
            clients = {
                each.name: FateFlowClient(each.settings.http_url)
                for each in demo_sites.members(apart, http, grpc)
            }
            home = clients["bank-a"]
            figures["sites.job_s"] = statistics.median(wall(home) for _ in range(repeats))
            with GatewayAdmin.of(load(apart / "bank-a")) as gateway:
                for component, count in bytes_by_component(home, gateway).items():
                    figures[f"sites.bytes.{component}"] = count
            kill, stop = after_a_kill(clients)
            figures["sites.kill_to_next_attempt_s"] = kill
            figures["sites.stop_to_agreement_s"] = stop
        finally:
            command("demo-sites", "--stop", "--home", str(apart))
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description="Sites apart against one site.")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    hardware = {
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 2),
    }
    figures = measure(options.repeats)
    for name, value in hardware.items():
        print(f"hardware.{name:<40} {value}")
    for name, value in figures.items():
        print(f"{name:<49} {value:12,.2f}")
    if options.json:
        options.json.write_text(json.dumps({"hardware": hardware, **figures}, indent=2))


if __name__ == "__main__":
    main()
