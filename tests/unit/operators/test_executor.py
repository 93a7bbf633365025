"""The executor's pool: as large as the work, not as large as allowed."""

from __future__ import annotations

import atexit
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from airflow.executors.local_executor import LocalExecutor

from fate_flow.operators import executor as module
from fate_flow.operators.executor import FIRST_WORKERS, IDLE_SECONDS, FateLocalExecutor


@pytest.fixture
def spawned(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many workers were asked for each time; none is really forked."""
    counts: list[int] = []

    def spawn(self: LocalExecutor, number: int) -> None:
        counts.append(number)
        for _ in range(number):
            pid = 10_000 + len(self.workers)
            self.workers[pid] = SimpleNamespace(is_alive=lambda: True, close=lambda: None)  # type: ignore[assignment]

    monkeypatch.setattr(LocalExecutor, "_spawn_workers_with_gc_freeze", spawn)
    monkeypatch.setattr(module, "preload", lambda: None)
    return counts


@pytest.fixture
def executor(spawned: list[int]) -> Iterator[FateLocalExecutor]:
    made = FateLocalExecutor(parallelism=8)
    made.start()
    yield made
    atexit.unregister(made._end_workers)
    made.activity_queue.close()
    made.result_queue.close()


def _submit(executor: FateLocalExecutor, *names: str) -> None:
    for name in names:
        executor.queued_tasks[name] = SimpleNamespace()  # type: ignore[index,assignment]
    executor._process_workloads([SimpleNamespace(key=name) for name in names])


def test_a_few_workers_at_the_start(executor: FateLocalExecutor, spawned: list[int]) -> None:
    assert spawned == [FIRST_WORKERS]


def test_the_pool_grows_with_the_work_up_to_the_limit(
    executor: FateLocalExecutor, spawned: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    # A lambda cannot go through a real queue of processes.
    monkeypatch.setattr(executor, "activity_queue", _Queue())
    _submit(executor, "a", "b")
    assert len(executor.workers) == FIRST_WORKERS
    _submit(executor, "c", "d", "e")
    assert len(executor.workers) == 5
    _submit(executor, *"fghijkl")
    assert len(executor.workers) == 8
    assert sum(spawned) == 8


def test_finished_work_makes_room(
    executor: FateLocalExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor, "activity_queue", _Queue())
    _submit(executor, "a", "b", "c")
    for name in ("a", "b", "c"):
        executor.change_state(name, "running", remove_running=False)
        executor.change_state(name, "success")
    _submit(executor, "d", "e", "f")
    assert len(executor.workers) == FIRST_WORKERS


def test_idle_workers_are_retired_late(
    executor: FateLocalExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = _Queue()
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(executor, "activity_queue", queue)
    monkeypatch.setattr(module.time, "monotonic", lambda: clock.now)
    _submit(executor, *"abcde")
    executor._retire_idle_workers()
    clock.now += IDLE_SECONDS + 1
    executor._retire_idle_workers()
    assert None not in queue.items
    for name in "abcde":
        executor.change_state(name, "failed")
    executor._retire_idle_workers()
    assert None not in queue.items
    clock.now += IDLE_SECONDS + 1
    executor._retire_idle_workers()
    assert queue.items.count(None) == 2
    executor._retire_idle_workers()
    assert queue.items.count(None) == 2


class _Queue:
    """As much of a queue as the executor touches."""

    def __init__(self) -> None:
        self.items: list[Any] = []

    def put(self, item: Any) -> None:
        self.items.append(item)

    def empty(self) -> bool:
        return not self.items

    def close(self) -> None:
        return None


def test_a_scheduler_that_fails_does_not_wait_for_its_workers(tmp_path: Path) -> None:
    """It would be neither alive nor dead, and the supervisor would start no other."""
    code = (
        "import pathlib, signal, sys\n"
        "from fate_flow.operators import executor\n"
        "signal.signal(signal.SIGTERM, lambda *_: None)  # as the scheduler's, in a worker\n"
        "executor.preload = lambda: None\n"
        "made = executor.FateLocalExecutor(parallelism=4)\n"
        "made.start()\n"
        "pids = [str(worker.pid) for worker in made.workers.values()]\n"
        "pathlib.Path(sys.argv[1]).write_text(' '.join(pids))\n"
        "raise RuntimeError('the database is full')\n"
    )
    file = tmp_path / "pids"  # the workers write to the output at any moment
    command = [sys.executable, "-c", code, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "the database is full" in done.stderr
    pids = [int(text) for text in file.read_text().split()]
    assert len(pids) == FIRST_WORKERS
    assert not any(psutil.pid_exists(pid) for pid in pids)
