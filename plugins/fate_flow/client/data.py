"""Calls about tables: upload, download, information."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fate_flow.client.answers import Submission, TableInfo
from fate_flow.client.calls import Calls, checked, given
from fate_flow.errors import DataError


class DataCalls(Calls):
    """``/v1/data`` and ``/v1/table``."""

    def upload(
        self,
        file: Path | str,
        namespace: str,
        table_name: str,
        *,
        head: int = 1,
        partition: int = 4,
        work_mode: int = 0,
        drop: int | None = None,
        in_version: bool = False,
        on_progress: Callable[[int, int | None], None] | None = None,
    ) -> Submission:
        """Send a local CSV file to be stored as a table; the storing is a job of its own.

        Args:
            file: path on this machine; read in pieces.
            namespace, table_name: where it goes.
            head: 1 when the first line is a header, else 0.
            partition: number of partitions, 1..1023.
            work_mode: the server's.
            drop: 0 adds to an existing table, 1 replaces it.
            in_version: also write a version record.
            on_progress: called with (bytes sent, bytes in all).

        Raises:
            DataError: the file cannot be read.
            ApiError: the server refused it.
        """
        path = Path(file)
        fields = given(
            work_mode=work_mode,
            namespace=namespace,
            table_name=table_name,
            head=head,
            partition=partition,
            drop=drop,
            in_version=in_version or None,
        )
        try:
            content = path.open("rb")
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror}") from None
        with content:
            answer = self.transport.upload("data/upload", fields, path.name, content, on_progress)
        return Submission.from_answer(checked(answer))

    def upload_from_server(
        self,
        file: str,
        namespace: str,
        table_name: str,
        *,
        module: str = "upload",
        head: int = 1,
        partition: int = 4,
        work_mode: int = 0,
        drop: int | None = None,
    ) -> Submission:
        """Store a file that lies on the server."""
        body = given(
            file=file,
            namespace=namespace,
            table_name=table_name,
            module=module,
            head=head,
            partition=partition,
            work_mode=work_mode,
            drop=drop,
        )
        return Submission.from_answer(self._call("data/upload", body))

    def download(
        self,
        namespace: str,
        table_name: str,
        output_path: str,
        *,
        delimitor: str = ",",
        work_mode: int = 0,
    ) -> Submission:
        """Write a table to a file **on the server**, as a job of its own."""
        body = {
            "namespace": namespace,
            "table_name": table_name,
            "output_path": output_path,
            "delimitor": delimitor,
            "work_mode": work_mode,
        }
        return Submission.from_answer(self._call("data/download", body))

    def upload_history(
        self, job_id: str | None = None, limit: int | None = None
    ) -> list[dict[str, Any]]:
        """One ``{job id: {upload_info, notes, meta}}`` per upload, newest first."""
        return self._rows("data/upload/history", given(job_id=job_id, limit=limit))

    def table_info(self, namespace: str, table_name: str) -> TableInfo:
        """Size of a table; a table that does not exist has 0 rows."""
        body = {"namespace": namespace, "table_name": table_name}
        data = self._ask("table/table_info", body).get("data") or {}
        return TableInfo(
            namespace=data.get("namespace") or namespace,
            name=data.get("table_name") or table_name,
            count=int(data.get("count") or 0),
            partition=data.get("partition"),
        )

    def derived_table(
        self,
        role: str,
        party_id: int | str,
        data_type: str,
        roles: Mapping[str, Sequence[int | str]] | None = None,
        *,
        create: bool = False,
    ) -> TableInfo:
        """The table whose namespace is made of these names: a new name with ``create``, else
        the newest version's (an empty name when there is none)."""
        body = given(
            gen_table_info=True,
            create=create,
            local={"role": role, "party_id": party_id},
            data_type=data_type,
            role=roles,
        )
        data = self._ask("table/table_info", body).get("data") or {}
        return TableInfo(
            namespace=str(data.get("namespace") or ""),
            name=str(data.get("table_name") or ""),
            count=int(data.get("count") or 0),
            partition=data.get("partition"),
        )

    def delete_table(self, namespace: str, table_name: str) -> list[dict[str, Any]]:
        """Delete one table; returns the names of what was deleted."""
        body = {"namespace": namespace, "table_name": table_name}
        return list(self._call("table/delete", body).get("data") or [])

    def delete_job_tables(self, job_id: str, **filters: Any) -> list[dict[str, Any]]:
        """Delete the output tables of a job (of a role, party_id or component_name of it)."""
        return list(self._call("table/delete", {"job_id": job_id, **filters}).get("data") or [])
