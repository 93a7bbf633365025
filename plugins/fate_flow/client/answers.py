"""What calls return and raise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fate_flow.entities import JobStatus
from fate_flow.errors import FateFlowError

#: A row of a query; its keys are the columns, ``f_job_id`` and so on.
Row = Mapping[str, Any]


class ServerUnreachableError(FateFlowError):
    """No answer from the server: not started, wrong address, or the connection broke."""

    code = "server_unreachable"

    def __init__(self, message: str, *, refused: bool = False, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.refused = refused


class ApiError(FateFlowError):
    """The server answered with a retcode other than 0.

    Attributes:
        answer: the whole answer.
    """

    code = "api"

    def __init__(self, message: str, *, retcode: int, answer: Mapping[str, Any]) -> None:
        super().__init__(message, retcode=retcode)
        self.answer = answer


class WaitTimeoutError(FateFlowError):
    """A job did not end in the time that the caller gave it."""

    code = "wait_timeout"


@dataclass(frozen=True)
class Submission:
    """A job that the server accepted.

    Attributes:
        job_id: id of the job.
        model_id, model_version: of the model it will make; empty for service jobs.
        board_url: its page in the board.
        data: everything the server said.
    """

    job_id: str
    model_id: str = ""
    model_version: str = ""
    board_url: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)

    @property
    def warnings(self) -> list[str]:
        """What the server accepted but finds odd."""
        return [str(text) for text in self.data.get("warnings") or ()]

    @classmethod
    def from_answer(cls, answer: Mapping[str, Any]) -> Submission:
        data = answer.get("data") or {}
        model = data.get("model_info") or {}
        return cls(
            job_id=str(answer.get("jobId", "")),
            model_id=str(model.get("model_id", "")),
            model_version=str(model.get("model_version", "")),
            board_url=str(data.get("board_url", "")),
            data=data,
        )


@dataclass(frozen=True)
class JobState:
    """A job as its parties' rows show it.

    Attributes:
        job_id: id of the job.
        status: of the initiator's row, else of the first row.
        progress: 0..100, of the same row.
        tasks: ids of the tasks named last in that row.
        rows: one per party that the server knows.
    """

    job_id: str
    status: JobStatus
    progress: int
    tasks: str
    rows: Sequence[Row]

    @classmethod
    def from_rows(cls, job_id: str, rows: Sequence[Row]) -> JobState:
        leading = next((row for row in rows if row.get("f_is_initiator") == 1), rows[0])
        return cls(
            job_id=job_id,
            status=JobStatus(leading["f_status"]),
            progress=int(leading.get("f_progress") or 0),
            tasks=str(leading.get("f_current_tasks") or ""),
            rows=rows,
        )


@dataclass(frozen=True)
class TableInfo:
    """Size of a stored table; ``count`` 0 and ``partition`` None where there is none."""

    namespace: str
    name: str
    count: int
    partition: int | None


@dataclass(frozen=True)
class OutputData:
    """The first rows of a component's output table, with the names of their columns."""

    header: Sequence[str]
    rows: Sequence[Sequence[Any]]
