"""A LocalExecutor whose workers have everything imported before they are forked.

Each task of Airflow's LocalExecutor runs in a fork of a worker. What a worker has not
imported, every task imports again; doing it once in the scheduler, before the workers
are forked, takes most of a second off each task.
"""

from __future__ import annotations

import contextlib
import importlib
import logging

from airflow.executors.local_executor import LocalExecutor

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
    "fate_flow.runtime.task_runner",
    "fate_flow.dsl.parser",
)


class FateLocalExecutor(LocalExecutor):
    """LocalExecutor that imports before it forks."""

    def start(self) -> None:
        preload()
        super().start()


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
