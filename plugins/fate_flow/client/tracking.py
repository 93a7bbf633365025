"""Calls about what components report: metrics, parameters, models, output data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fate_flow.client.answers import OutputData
from fate_flow.client.calls import Calls, given


def _scope(
    job_id: str, component_name: str, role: str | None, party_id: int | str | None
) -> dict[str, Any]:
    return given(job_id=job_id, component_name=component_name, role=role, party_id=party_id)


class TrackingCalls(Calls):
    """``/v1/tracking``; without role and party id the initiator is asked about."""

    def job_view(self, job_id: str, role: str, party_id: int | str) -> dict[str, Any]:
        """``partner``, ``roles``, ``dataset`` and ``model_summary`` of a job."""
        body = {"job_id": job_id, "role": role, "party_id": party_id}
        data: dict[str, Any] = self._ask("tracking/job/data_view", body).get("data") or {}
        return data

    def metrics(
        self,
        job_id: str,
        component_name: str,
        role: str | None = None,
        party_id: int | str | None = None,
    ) -> dict[str, list[str]]:
        """Namespace -> names of its metrics."""
        body = _scope(job_id, component_name, role, party_id)
        return dict(self._ask("tracking/component/metrics", body).get("data") or {})

    def all_metrics(
        self,
        job_id: str,
        component_name: str,
        role: str | None = None,
        party_id: int | str | None = None,
    ) -> dict[str, dict[str, Any]]:
        """Namespace -> name -> ``{"data": [[key, value], …], "meta": {…}}``."""
        body = _scope(job_id, component_name, role, party_id)
        return dict(self._ask("tracking/component/metric/all", body).get("data") or {})

    def metric(
        self,
        job_id: str,
        component_name: str,
        namespace: str,
        name: str,
        role: str | None = None,
        party_id: int | str | None = None,
    ) -> tuple[Sequence[tuple[Any, Any]], dict[str, Any]]:
        """Points (key, value) and meta of one metric."""
        body = _scope(job_id, component_name, role, party_id)
        body.update(metric_namespace=namespace, metric_name=name)
        answer = self._ask("tracking/component/metric_data", body)
        points = [(point[0], point[1]) for point in answer.get("data") or []]
        return points, dict(answer.get("meta") or {})

    def delete_metrics(self, job_id: str, **filters: Any) -> str:
        """Delete metrics of a job, of what equals all ``filters``; returns the SQL text."""
        body = {"job_id": job_id, **filters}
        return str(self._call("tracking/component/metric/delete", body).get("data", ""))

    def delete_metrics_of_day(self, day: str) -> str:
        """Delete the metrics of all jobs of a day (YYYYMMDD); returns the SQL text."""
        body = {"model": day}
        return str(self._call("tracking/component/metric/delete", body).get("data", ""))

    def components(self, job_id: str) -> list[str]:
        """Names of a job's components."""
        data = self._ask("tracking/component/list", {"job_id": job_id}).get("data") or {}
        return list(data.get("components") or [])

    def summary(
        self,
        job_id: str,
        component_name: str,
        role: str | None = None,
        party_id: int | str | None = None,
    ) -> dict[str, dict[str, Any]]:
        """Namespace -> name -> single numbers, or the last point of a curve."""
        body = _scope(job_id, component_name, role, party_id)
        return dict(self._ask("tracking/component/summary/download", body).get("data") or {})

    def parameters(
        self,
        job_id: str,
        component_name: str,
        role: str | None = None,
        party_id: int | str | None = None,
    ) -> dict[str, Any]:
        """``module`` and the effective parameter object; empty where the party does not run it."""
        body = _scope(job_id, component_name, role, party_id)
        return dict(self._ask("tracking/component/parameters", body).get("data") or {})

    def output_model(
        self,
        job_id: str,
        component_name: str,
        role: str | None = None,
        party_id: int | str | None = None,
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The model's parameters and its meta (``meta_data``, ``module_name``)."""
        answer = self._ask(
            "tracking/component/output/model", _scope(job_id, component_name, role, party_id)
        )
        return dict(answer.get("data") or {}), dict(answer.get("meta") or {})

    def output_data(
        self,
        job_id: str,
        component_name: str,
        role: str | None = None,
        party_id: int | str | None = None,
    ) -> OutputData:
        """The first 100 rows of the output table."""
        answer = self._ask(
            "tracking/component/output/data", _scope(job_id, component_name, role, party_id)
        )
        header = (answer.get("meta") or {}).get("header") or []
        return OutputData(header=header, rows=answer.get("data") or [])

    def download_output_data(
        self,
        job_id: str,
        component_name: str,
        role: str,
        party_id: int | str,
        folder: Path | str,
        *,
        limit: int = -1,
        head: bool = True,
        on_progress: Callable[[int, int | None], None] | None = None,
    ) -> list[Path]:
        """Fetch the output table as CSV and its header as JSON; returns the two files."""
        body = _scope(job_id, component_name, role, party_id)
        body.update(limit=limit, head=head)
        path = "tracking/component/output/data/download"
        return self._download_archive(path, body, Path(folder), on_progress)

    def output_data_table(self, job_id: str, component_name: str, **filters: Any) -> dict[str, Any]:
        """``table_name`` and ``table_namespace`` of the output table."""
        body = {"job_id": job_id, "component_name": component_name, **filters}
        return dict(self._ask("tracking/component/output/data/table", body).get("data") or {})
