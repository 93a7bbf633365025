"""A whole site under real jobs: latencies, processor seconds, memory.

Starts a site of its own in a temporary folder on free ports, uploads the breast-cancer
data of scikit-learn (569 rows: 10 features and the label at the guest, 20 at the host),
runs the jobs below, and stops the site. Processor seconds are those of all processes of
the site together, ended task processes included.

    python benchmarks/whole_site.py [--repeats 3] [--json FILE]
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
from sklearn.datasets import load_breast_cancer

from fate_flow.client import FateFlowClient

NAMESPACE = "benchmark"
TICK = os.sysconf("SC_CLK_TCK")


@dataclass
class Run:
    """One job: seconds, and processor seconds of the site."""

    submit: float
    wall: float
    cpu: float
    first_task: float
    gaps: list[float] = field(default_factory=list)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now, all different."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports


class BenchmarkSite:
    """A running site."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.http_port, self.grpc_port = free_ports(2)
        self.client = FateFlowClient(f"127.0.0.1:{self.http_port}")
        self.start_seconds = 0.0

    def command(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "fate_flow.cli.main", *arguments, "--home", str(self.home)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(done.stderr or done.stdout)
        return done.stdout

    def start(self) -> None:
        ports = ("--http-port", str(self.http_port), "--grpc-port", str(self.grpc_port))
        self.command("init", *ports)
        begin = time.monotonic()
        self.command("service", "start")
        self.start_seconds = time.monotonic() - begin

    def stop(self) -> None:
        self.command("service", "stop")

    def processes(self) -> dict[str, list[psutil.Process]]:
        """Name -> the process and its children."""
        status = json.loads(self.command("service", "status", "--json"))
        found: dict[str, list[psutil.Process]] = {}
        for row in status["processes"]:
            process = psutil.Process(row["pid"])
            children = [] if row["name"] == "supervisor" else process.children(recursive=True)
            found[row["name"]] = [process, *children]
        return found

    def cpu(self) -> dict[str, float]:
        """Processor seconds per process, those of ended children included."""
        used: dict[str, float] = {}
        for name, group in self.processes().items():
            used[name] = 0.0
            for process in group:
                try:
                    text = Path(f"/proc/{process.pid}/stat").read_text()
                except OSError:
                    continue
                numbers = text.rpartition(")")[2].split()
                used[name] += sum(map(int, numbers[11:15])) / TICK
        return used

    def memory(self) -> dict[str, float]:
        """Proportional set size per process, MB."""
        return {
            name: sum(p.memory_full_info().pss for p in group) / 1e6
            for name, group in self.processes().items()
        }


@contextmanager
def running_site() -> Iterator[BenchmarkSite]:
    with tempfile.TemporaryDirectory(prefix="fate-flow-bench-") as folder:
        site = BenchmarkSite(Path(folder))
        site.start()
        try:
            yield site
        finally:
            site.stop()


def upload_data(site: BenchmarkSite) -> None:
    data = load_breast_cancer()
    scaled = (data.data - data.data.mean(axis=0)) / data.data.std(axis=0)
    parts: dict[str, tuple[list[str], Callable[[int], list[Any]]]] = {
        "guest": (
            ["y", *(f"x{i}" for i in range(10))],
            lambda row: [int(data.target[row]), *scaled[row, :10].round(6)],
        ),
        "host": ([f"x{i}" for i in range(20)], lambda row: list(scaled[row, 10:].round(6))),
    }
    for name, (header, values) in parts.items():
        path = site.home / f"{name}.csv"
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["id", *header])
            for row in range(len(data.target)):
                writer.writerow([row, *values(row)])
        done = site.client.upload(
            path, namespace=NAMESPACE, table_name=name, head=1, partition=4, work_mode=0
        )
        site.client.wait(done.job_id, interval=0.1)


def conf(**algorithm_parameters: Any) -> dict[str, Any]:
    def table(name: str) -> dict[str, Any]:
        return {"data": {"train_data": [{"name": name, "namespace": NAMESPACE}]}}

    return {
        "initiator": {"role": "guest", "party_id": 9999},
        "job_parameters": {"work_mode": 0},
        "role": {"guest": [9999], "host": [10000], "arbiter": [10000]},
        "role_parameters": {
            "guest": {"args": table("guest"), "dataio_0": {"with_label": [True]}},
            "host": {"args": table("host"), "dataio_0": {"with_label": [False]}},
        },
        "algorithm_parameters": algorithm_parameters,
    }


DATAIO = {
    "module": "DataIO",
    "input": {"data": {"data": ["args.train_data"]}},
    "output": {"data": ["train"], "model": ["dataio"]},
}


def logistic_regression(iterations: int, bits: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """The reference's job: DataIO, Intersection, HeteroLR, Evaluation."""
    dsl = {
        "components": {
            "dataio_0": DATAIO,
            "intersection_0": {
                "module": "Intersection",
                "input": {"data": {"data": ["dataio_0.train"]}},
                "output": {"data": ["train"]},
            },
            "hetero_lr_0": {
                "module": "HeteroLR",
                "input": {"data": {"train_data": ["intersection_0.train"]}},
                "output": {"data": ["train"], "model": ["lr"]},
            },
            "evaluation_0": {
                "module": "Evaluation",
                "input": {"data": {"data": ["hetero_lr_0.train"]}},
            },
        }
    }
    parameters = {
        "max_iter": iterations,
        "batch_size": -1,
        "learning_rate": 0.15,
        "tol": 1e-12,
        "optimizer": "nesterov_momentum_sgd",
        "init_param": {"init_method": "zeros"},
        "encrypt_param": {"key_length": bits},
    }
    return dsl, conf(hetero_lr_0=parameters)


def no_op_chain(length: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """DataIO, then components that hand their input on: what a task costs by itself."""
    components: dict[str, Any] = {"dataio_0": DATAIO}
    source = "dataio_0.train"
    for index in range(length):
        name = f"feature_scale_{index}"
        components[name] = {
            "module": "FeatureScale",
            "input": {"data": {"data": [source]}},
            "output": {"data": ["train"]},
        }
        source = f"{name}.train"
    parameters = {f"feature_scale_{i}": {"need_run": False} for i in range(length)}
    return {"components": components}, conf(**parameters)


def measure(site: BenchmarkSite, dsl: Mapping[str, Any], runtime_conf: Mapping[str, Any]) -> Run:
    before = sum(site.cpu().values())
    begin = time.time()
    submission = site.client.submit_job(dsl, runtime_conf)
    answered = time.time()
    state = site.client.wait(submission.job_id, interval=0.2)
    if state.status.value != "success":
        raise RuntimeError(f"job {submission.job_id} {state.status.value}: {state.rows}")
    job = state.rows[0]
    # The scheduler and the workers account for a task a moment after it has reported.
    time.sleep(2)
    tasks = site.client.query_tasks(job_id=submission.job_id)
    return Run(
        submit=answered - begin,
        wall=job["f_end_time"] / 1000 - begin,
        cpu=sum(site.cpu().values()) - before,
        first_task=min(t["f_start_time"] for t in tasks) / 1000 - answered,
        gaps=_gaps(tasks),
    )


def _gaps(tasks: list[dict[str, Any]]) -> list[float]:
    """Seconds from the last end of one component to the first start of the next."""
    spans: dict[str, list[int]] = {}
    for task in tasks:
        span = spans.setdefault(task["f_component_name"], [2**62, 0])
        span[0] = min(span[0], task["f_start_time"])
        span[1] = max(span[1], task["f_end_time"])
    ordered = sorted(spans.values())
    return [(later[0] - earlier[1]) / 1000 for earlier, later in pairwise(ordered)]


def demo_seconds(site: BenchmarkSite) -> float:
    """The whole demo job: 2048-bit key, 10 iterations, from submission to its end."""
    site.command("demo", "--plain")
    jobs = site.client.query_jobs(role="arbiter", status="success")
    newest = max(jobs, key=lambda row: row["f_create_time"])
    return (newest["f_end_time"] - newest["f_create_time"]) / 1000


def idle(site: BenchmarkSite, seconds: float = 30.0) -> float:
    """Share of one core that the idle site uses."""
    time.sleep(5)
    before, begin = sum(site.cpu().values()), time.monotonic()
    time.sleep(seconds)
    return (sum(site.cpu().values()) - before) / (time.monotonic() - begin)


def hardware() -> dict[str, Any]:
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9),
        "load_at_start": round(os.getloadavg()[0], 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the figures there too")
    arguments = parser.parse_args()
    figures: dict[str, Any] = {"hardware": hardware()}
    with running_site() as site:
        figures["start_s"] = site.start_seconds
        upload_data(site)
        figures["idle_cores"] = idle(site)
        figures["idle_memory_mb"] = site.memory()
        length = 8
        chains = [measure(site, *no_op_chain(length)) for _ in range(arguments.repeats)]
        median = statistics.median
        figures["submit_s"] = median(run.submit for run in chains)
        figures["first_task_s"] = median(run.first_task for run in chains)
        figures["task_to_task_s"] = median(gap for run in chains for gap in run.gaps)
        tasks = 2 * (length + 1) + 1
        figures["overhead_cpu_s_per_task"] = median(run.cpu for run in chains) / tasks
        jobs = {
            "dataio_only": no_op_chain(0),
            "lr_3_iterations_1024": logistic_regression(3, 1024),
            "lr_30_iterations_1024": logistic_regression(30, 1024),
            "lr_3_iterations_2048": logistic_regression(3, 2048),
        }
        for name, documents in jobs.items():
            runs = [measure(site, *documents) for _ in range(arguments.repeats)]
            figures[name] = {
                "cpu_s": median(run.cpu for run in runs),
                "wall_s": median(run.wall for run in runs),
            }
        figures["demo_job_s"] = demo_seconds(site)
        figures["memory_after_mb"] = site.memory()
    show(figures)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


def show(figures: Mapping[str, Any], prefix: str = "") -> None:
    for name, value in figures.items():
        if isinstance(value, Mapping):
            show(value, f"{prefix}{name}.")
            if name.endswith("_mb"):
                print(f"{prefix + name + '.total':<44}{sum(value.values()):>12.0f}")
        else:
            text = f"{value:.3f}" if isinstance(value, float) else str(value)
            print(f"{prefix + name:<44}{text:>12}")


if __name__ == "__main__":
    main()
