"""Calls about jobs and their tasks."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fate_flow.client.answers import (
    ApiError,
    JobState,
    ServerUnreachableError,
    Submission,
    WaitTimeoutError,
)
from fate_flow.client.calls import Calls, given
from fate_flow.errors import RETCODE_NOT_FOUND

#: A server that restarts is waited for this long, seconds.
_PATIENCE = 60.0


class JobCalls(Calls):
    """``/v1/job`` and ``/v1/pipeline``."""

    def submit_job(
        self, job_dsl: Mapping[str, Any] | None, job_runtime_conf: Mapping[str, Any]
    ) -> Submission:
        """Submit; ``job_dsl`` is not needed for predict jobs.

        Raises:
            ApiError: the job was refused; the text names every problem.
        """
        body = {"job_dsl": dict(job_dsl or {}), "job_runtime_conf": dict(job_runtime_conf)}
        return Submission.from_answer(self._call("job/submit", body))

    def stop_job(self, job_id: str) -> str:
        """Cancel or kill; returns what the server says it did."""
        return str(self._call("job/stop", {"job_id": job_id}).get("retmsg", ""))

    def query_jobs(self, **filters: Any) -> list[dict[str, Any]]:
        """Rows that equal all ``filters`` (columns without ``f_``); none without a filter."""
        return self._rows("job/query", filters)

    def job_state(self, job_id: str) -> JobState:
        """Where a job stands.

        Raises:
            ApiError: the server does not know the job (retcode 101).
        """
        rows = self.query_jobs(job_id=job_id)
        if not rows:
            text = f"can not found job: {job_id}"
            raise ApiError(text, retcode=RETCODE_NOT_FOUND, answer={"retmsg": text})
        return JobState.from_rows(job_id, rows)

    def wait(
        self,
        job_id: str,
        on_progress: Callable[[JobState], None] | None = None,
        *,
        timeout: float | None = None,
        interval: float = 1.0,
    ) -> JobState:
        """Wait until the job has ended; a short absence of the server is sat out.

        Args:
            job_id: id of the job.
            on_progress: called whenever status or progress have changed.
            timeout: seconds; None waits as long as the job takes.
            interval: seconds between two looks.

        Raises:
            WaitTimeoutError: the job goes on but ``timeout`` has passed.
            ServerUnreachableError: the server stayed away for a minute.
        """
        started = last_seen = time.monotonic()
        shown: tuple[Any, ...] = ()
        while True:
            state: JobState | None = None
            try:
                state = self.job_state(job_id)
                last_seen = time.monotonic()
            except ServerUnreachableError:
                if time.monotonic() - last_seen > _PATIENCE or not shown:
                    raise
            if state is not None:
                now = (state.status, state.progress, state.tasks)
                if now != shown and on_progress is not None:
                    on_progress(state)
                shown = now
                if state.status.is_terminal:
                    return state
            if timeout is not None and time.monotonic() - started + interval > timeout:
                status = state.status.value if state is not None else "unknown"
                raise WaitTimeoutError(
                    f"job {job_id} is {status} after {timeout:g} s",
                    remedy="It goes on; wait again, or stop it",
                )
            # As 1.4, the API answers at once and pushes nothing.
            time.sleep(interval)

    def update_job(self, job_id: str, role: str, party_id: int | str, notes: str) -> None:
        """Set the description of one party's row."""
        body = {"job_id": job_id, "role": role, "party_id": party_id, "notes": notes}
        self._call("job/update", body, repeatable=True)

    def job_config(
        self, job_id: str, role: str | None = None, party_id: int | str | None = None
    ) -> dict[str, Any]:
        """``dsl``, ``runtime_conf``, ``train_runtime_conf`` and ``model_info`` of a job."""
        body = given(job_id=job_id, role=role, party_id=party_id)
        data: dict[str, Any] = self._ask("job/config", body).get("data") or {}
        return data

    def job_log(self, job_id: str, folder: Path | str) -> list[Path]:
        """Fetch a job's logs into ``folder``; returns the files."""
        return self._download_archive("job/log", {"job_id": job_id}, Path(folder))

    def query_tasks(self, **filters: Any) -> list[dict[str, Any]]:
        """Task rows that equal all ``filters``; all tasks without a filter."""
        return self._rows("job/task/query", filters)

    def list_jobs(self, limit: int = 10, page: int = 1, **filters: Any) -> dict[str, Any]:
        """``count`` and ``jobs`` of a page, newest first; a filter may be a list of values."""
        return dict(self._ask("job/list/job", {"limit": limit, "page": page, **filters})["data"])

    def list_tasks(self, limit: int = 10, page: int = 1, **filters: Any) -> dict[str, Any]:
        """``count`` and ``tasks`` of a page, newest first; a filter may be a list of values."""
        return dict(self._ask("job/list/task", {"limit": limit, "page": page, **filters})["data"])

    def query_data_views(self, **filters: Any) -> list[dict[str, Any]]:
        """Data-view rows that equal all ``filters``; none without a filter."""
        return self._rows("job/data/view/query", filters)

    def clean_job(
        self,
        job_id: str,
        *,
        role: str | None = None,
        party_id: int | str | None = None,
        component_name: str | None = None,
    ) -> None:
        """Delete output tables and metrics of a job's tasks."""
        body = given(job_id=job_id, role=role, party_id=party_id, component_name=component_name)
        self._call("job/clean", body)

    def clean_queue(self) -> None:
        """Cancel every waiting job that was submitted to this server."""
        self._call("job/clean/queue", {})

    def dag_dependency(
        self,
        role: str,
        party_id: int | str,
        *,
        job_id: str | None = None,
        job_dsl: Mapping[str, Any] | None = None,
        job_runtime_conf: Mapping[str, Any] | None = None,
        job_train_runtime_conf: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Order, edges, modules and need_run of a job, or of two documents (predict: three)."""
        body = given(
            role=role,
            party_id=party_id,
            job_id=job_id,
            job_dsl=job_dsl,
            job_runtime_conf=job_runtime_conf,
            job_train_runtime_conf=job_train_runtime_conf,
        )
        data: dict[str, Any] = self._ask("pipeline/dag/dependency", body).get("data") or {}
        return data

    def server_versions(self) -> dict[str, str]:
        """``FATE``, ``FATEFlow``, ``API`` and ``PYTHON`` of the server."""
        return dict(self._ask("version/get", {}).get("data") or {})
