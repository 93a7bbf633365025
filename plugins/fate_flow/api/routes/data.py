"""``/data``: upload, download, upload history."""

from __future__ import annotations

import json
import shutil
from typing import Annotated, Any
from urllib.parse import unquote

from fastapi import APIRouter, Depends, Request
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.responses import Response

from fate_flow.api.body import Body, Integer, Name, Text, body_of, read_json
from fate_flow.api.components import unknown_job
from fate_flow.api.dependencies import DbSession, SiteSettings, Tables
from fate_flow.api.describe import docs
from fate_flow.api.envelope import answer
from fate_flow.api.guards import can_read, can_write
from fate_flow.api.uploads import Form, is_form, read_form
from fate_flow.data.export import table_meta
from fate_flow.data.table import TableStore
from fate_flow.db.models import DataView, Job, Task
from fate_flow.entities import TaskStatus
from fate_flow.errors import FateFlowError, InvalidInputError, Problem
from fate_flow.settings import Settings
from fate_flow.tracking import store as tracking

router = APIRouter(prefix="/data", tags=["data"])

_REQUIRED = ("work_mode", "namespace", "table_name", "head", "partition")
_JOB_ID = "2026010112000012345612"
_UPLOAD = {
    "file": "examples/breast_a.csv",
    "namespace": "experiment",
    "table_name": "breast_a",
    "work_mode": 0,
    "head": 1,
    "partition": 4,
    "module": "Upload",
}


class UploadBody(Body):
    """A form with the part ``file`` and these keys as fields; or JSON, then ``file`` is a path
    of the server and ``module`` any text, or ``use_local_data`` 0 as newer clients say it."""

    work_mode: Integer
    namespace: Name
    table_name: Name
    head: Integer
    partition: Integer
    file: Text | None = None
    drop: Integer | None = None
    in_version: Text | None = None
    module: Text | None = None


class Upload:
    """A request to upload: its keys, and the file that came with it."""

    def __init__(self, job_id: str, values: dict[str, Any], form: Form | None) -> None:
        self.job_id = job_id
        self.values = values
        self.form = form


async def _read_upload(request: Request, settings: SiteSettings) -> Upload:
    """Read the request; a file is stored below the folder of the job to come.

    Nothing is left behind when the request is refused here.
    """
    from fate_flow.jobs.ids import new_job_id

    job_id = new_job_id()
    if not is_form(request):
        return Upload(job_id, await read_json(request), None)
    folder = settings.jobs_dir / job_id
    try:
        form = await read_form(request, folder / "tmp", settings.MAX_UPLOAD_BYTES)
        values = {**_query_values(request), **form.fields}
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return Upload(job_id, values, form)


def _query_values(request: Request) -> dict[str, Any]:
    """Newer clients send the keys in the query string, singly or as one JSON object."""
    text = unquote(request.url.query)
    if text.startswith("{"):
        try:
            found = json.loads(text)
        except ValueError:
            raise InvalidInputError(
                [Problem("query string", "not JSON", "a JSON object")]
            ) from None
        return dict(found)
    return dict(request.query_params)


@router.post(
    "/upload", dependencies=[can_write], **docs(UploadBody, _UPLOAD, {}, form=True, jobId=_JOB_ID)
)
def upload(
    request: Annotated[Upload, Depends(_read_upload)], session: DbSession, settings: SiteSettings
) -> Response:
    """Submit a job that imports a file into a table; its success is seen by job query."""
    from fate_flow.jobs import service

    folder = settings.jobs_dir / request.job_id
    try:
        _check(request, settings)
        file = request.form.file if request.form else None
        result = service.submit_upload(session, request.values, file, request.job_id)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return answer(dict(result.data), job_id=result.job_id)


def _check(request: Upload, settings: Settings) -> None:
    missing = [key for key in _REQUIRED if request.values.get(key) in (None, "")]
    if missing:
        raise FateFlowError(f"the following arguments are required: {','.join(missing)} ")
    without_file = request.form is None or request.form.file is None
    names_file = request.values.get("module") or request.values.get("use_local_data") == 0
    wants_file = request.form is not None or (settings.USE_LOCAL_DATA and not names_file)
    if wants_file and without_file:
        raise InvalidInputError(
            [Problem("file", "no file came with the request", "a multipart form with a file part")],
            remedy='To import a file of the server send JSON with "module": "Upload"',
        )


class DownloadBody(Body):
    """A table, and the file of the server that it is written to."""

    work_mode: Integer
    namespace: Name
    table_name: Name
    output_path: Name
    delimitor: Text = ","


@router.post(
    "/download",
    dependencies=[can_write],
    **docs(
        DownloadBody,
        {
            "work_mode": 0,
            "namespace": "experiment",
            "table_name": "breast_a",
            "output_path": "/tmp/breast_a.csv",  # noqa: S108
        },
        {},
        jobId=_JOB_ID,
    ),
)
def download(body: Annotated[DownloadBody, body_of(DownloadBody)], session: DbSession) -> Response:
    """Submit a job that writes a table to a file of the server."""
    from fate_flow.jobs import service

    result = service.submit_download(session, {"delimitor": ",", **body.given()})
    return answer(dict(result.data), job_id=result.job_id)


class HistoryBody(Body):
    """Which uploads: of one job, the newest few, or all."""

    job_id: Name | None = None
    limit: Integer | None = None


@router.post(
    "/upload/history",
    dependencies=[can_read],
    **docs(
        HistoryBody,
        {"limit": 2},
        [
            {
                _JOB_ID: {
                    "upload_info": {"table_name": "t1", "namespace": "ns1", "partition": 10},
                    "notes": "",
                    "meta": {"header": "x0,x1", "sid": "id"},
                }
            }
        ],
        required=False,
    ),
)
def upload_history(
    body: Annotated[HistoryBody, body_of(HistoryBody, optional=True)],
    session: DbSession,
    tables: Tables,
) -> Response:
    """Successful uploads, newest first."""
    statement = (
        select(Task, Job, DataView)
        .join(Job, (Job.f_job_id == Task.f_job_id) & (Job.f_role == Task.f_role))
        .outerjoin(
            DataView,
            (DataView.f_job_id == Task.f_job_id)
            & (DataView.f_task_id == Task.f_task_id)
            & (DataView.f_role == Task.f_role)
            & (DataView.f_party_id == Task.f_party_id),
        )
        .where(Task.f_component_name == "upload_0", Task.f_status == TaskStatus.SUCCESS.value)
        .order_by(Task.f_job_id.desc())
    )
    if body.job_id:
        statement = statement.where(Task.f_job_id == body.job_id)
    if body.limit is not None and body.limit > 0:
        statement = statement.limit(body.limit)
    rows = session.execute(statement).all()
    if body.job_id and not rows and _is_unknown(session, body.job_id):
        raise unknown_job(body.job_id)
    return answer([{task.f_job_id: _entry(job, view, tables)} for task, job, view in rows])


def _is_unknown(session: Session, job_id: str) -> bool:
    return tracking.any_row(session, job_id) is None


def _entry(job: Job, view: DataView | None, tables: TableStore) -> dict[str, Any]:
    info: dict[str, Any] = {}
    meta: dict[str, Any] = {}
    if view is not None:
        namespace, name = view.f_table_namespace or "", view.f_table_name or ""
        info = {
            "table_name": name,
            "namespace": namespace,
            "partition": view.f_partition,
            "upload_count": view.f_table_count_upload,
            "actual_count": view.f_table_count_actual,
        }
        if tables.exists(namespace, name):
            meta = table_meta(tables.open(namespace, name))
    return {"upload_info": info, "notes": job.f_description or "", "meta": meta}


@router.post("/{operation}", dependencies=[can_read], include_in_schema=False)
def unknown_operation(operation: str) -> Response:
    """Anything else below ``/data``."""
    raise FateFlowError(f"can not support this operating: {operation[:80]}")
