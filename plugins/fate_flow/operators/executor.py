"""A LocalExecutor whose workers have everything imported before they are forked.

Each task of Airflow's LocalExecutor runs in a fork of a worker. What a worker has not
imported, every task imports again; doing it once in the scheduler, before the workers
are forked, takes most of a second off each task.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import logging
import os
import time
from collections.abc import Sequence
from typing import Any

from airflow.executors.local_executor import LocalExecutor
from airflow.utils.state import TaskInstanceState

log = logging.getLogger(__name__)

#: Modules that a task needs, heaviest first. None of them may start a thread or open
#: a channel when imported: the workers are forked from this process.
PRELOAD = (
    "airflow.sdk.execution_time.supervisor",
    "airflow.sdk.execution_time.task_runner",
    "airflow.sdk.execution_time.callback_runner",
    "airflow.sdk.api.client",
    "airflow.dag_processing.bundles.manager",
    "airflow.dag_processing.dagbag",
    "airflow.providers.standard.operators.python",
    "airflow.providers.grpc.hooks.grpc",
    "numpy",
    "pyarrow.parquet",
    "pyarrow.compute",
    "pyarrow.csv",
    "gmpy2",
    "grpc",
    "requests",
    "fate_flow.compiler.build",
    "fate_flow.operators.hooks",
    "fate_flow.operators.job_logs",
    "fate_flow.operators.task_files",
    "fate_flow.runtime.task_runner",
    "fate_flow.dsl.parser",
)


#: Workers forked at the start; more follow as soon as more tasks run at once.
FIRST_WORKERS = 3
#: Workers beyond the first ones end when no task ran for this long.
IDLE_SECONDS = 60.0


class FateLocalExecutor(LocalExecutor):
    """LocalExecutor that imports before it forks, and forks only what it needs.

    Work goes round all idle workers in turn, and each one that ever ran a task keeps some
    25 MB for itself. A pool as large as the most tasks that ran at once, and not as large as
    the most that are allowed to, takes half the memory of a site.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[no-untyped-call]
        self._in_flight: set[Any] = set()
        self._idle_since = time.monotonic()

    def start(self) -> None:
        preload()
        super().start()
        atexit.register(self._end_workers, os.getpid())

    def _end_workers(self, owner: int) -> None:
        """A scheduler that ends by an error would wait for its idle workers for ever, and
        nobody would start another: they go first."""
        if os.getpid() == owner:
            for worker in list(self.workers.values()):
                with contextlib.suppress(ValueError):  # it has been closed
                    # They have inherited the scheduler's handler of SIGTERM, which does nothing
                    # in them. A task that one of them runs is ended by the supervisor.
                    worker.kill()

    def _process_workloads(self, workload_list: Sequence[Any]) -> None:
        self._in_flight.update(workload.key for workload in workload_list)
        super()._process_workloads(workload_list)  # type: ignore[no-untyped-call]

    def change_state(
        self, key: Any, state: Any, info: Any = None, remove_running: bool = True
    ) -> None:
        if state != TaskInstanceState.RUNNING:
            self._in_flight.discard(key)
        super().change_state(key, state, info, remove_running)

    def _spawn_workers_with_gc_freeze(self, spawn_number: int) -> None:
        """Called with the number of workers that are missing to the full parallelism."""
        enough = max(FIRST_WORKERS, len(self._in_flight))
        wanted = min(spawn_number, enough - len(self.workers))
        if wanted > 0:
            super()._spawn_workers_with_gc_freeze(wanted)  # type: ignore[no-untyped-call]

    def sync(self) -> None:
        super().sync()
        self._retire_idle_workers()

    def _retire_idle_workers(self) -> None:
        now = time.monotonic()
        if self._in_flight:
            self._idle_since = now
        surplus = len(self.workers) - FIRST_WORKERS
        if surplus > 0 and now - self._idle_since > IDLE_SECONDS:
            for _ in range(surplus):
                self.activity_queue.put(None)  # whichever worker takes it ends
            self._idle_since = now


def preload() -> None:
    """Import what tasks need, components included; a failure only costs time."""
    from fate_flow.runtime.registry import modules

    names = list(PRELOAD)
    for spec in modules().values():
        if spec.is_available:
            names += [path.partition(":")[0] for path in (*spec.programs.values(), spec.param)]
    for name in dict.fromkeys(names):
        try:
            importlib.import_module(name)
        except ImportError as error:
            log.warning("%s could not be imported ahead: %s", name, error)
    # The client's TLS context takes 50 ms to build and is cached.
    with contextlib.suppress(ImportError, AttributeError):
        from airflow.sdk.api.client import Client

        Client._get_ssl_context_cached()
