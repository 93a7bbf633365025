"""``/model``: versions, store and restore, export and import."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from sqlalchemy.orm import Session
from starlette.responses import Response

from fate_flow.api.archives import attachment, scratch_file, scratch_folder, then_remove
from fate_flow.api.body import Body, Flag, Name, Object, Text, body_of, checked
from fate_flow.api.dependencies import DbSession, Models, SiteSettings, Tables
from fate_flow.api.describe import docs
from fate_flow.api.envelope import answer
from fate_flow.api.guards import can_read, can_write
from fate_flow.api.routes.table import TableInfoBody, commits_of, table_address
from fate_flow.api.uploads import Form, is_form, read_form
from fate_flow.errors import FateFlowError, InvalidInputError, Problem
from fate_flow.models.archive import already_there, export_model, import_model, no_model
from fate_flow.models.store import ModelStore
from fate_flow.models.stores import ArchiveStores
from fate_flow.settings import Settings
from fate_flow.tracking import store as tracking

router = APIRouter(prefix="/model", tags=["model"])

_MODEL = {
    "model_id": "guest#9999#guest-9999#host-10000#model",
    "model_version": "2026010112000012345612",
}


class ModelBody(Body):
    """A party model id (``<role>#<party>#<model id>``) and a version."""

    model_id: Name
    model_version: Name


# -- versions --------------------------------------------------------------------------------


class VersionSaveBody(Body):
    """A commit of a table or model."""

    name: Name
    namespace: Name
    version_log: Text = ""


@router.post(
    "/version/save",
    dependencies=[can_write],
    **docs(VersionSaveBody, {"name": "t", "namespace": "n", "version_log": "first"}),
)
def save_version(
    body: Annotated[VersionSaveBody, body_of(VersionSaveBody)], session: DbSession
) -> Response:
    """Append a commit to the namespace's branch ``master``."""
    tracking.save_version(session, body.namespace, body.name, log=body.version_log)
    return answer()


class NamespaceBody(Body):
    """A namespace."""

    namespace: Name


@router.post(
    "/version_history",
    dependencies=[can_read],
    **docs(NamespaceBody, {"namespace": "n"}, [{"commitId": "t", "name": "t", "namespace": "n"}]),
)
def version_history(
    body: Annotated[NamespaceBody, body_of(NamespaceBody)], session: DbSession, tables: Tables
) -> Response:
    """Commits of a namespace, newest first, at most 10: saved ones, then those of uploads."""
    return answer(commits_of(session, tables, body.namespace)[:10])


class ModelTableBody(Body):
    """As ``table/table_info``, below ``config``."""

    config: Object
    create: Flag = False


@router.post(
    "/table_info",
    dependencies=[can_read],
    **docs(ModelTableBody, {"config": {"namespace": "n", "table_name": "t"}, "create": False}),
)
def model_table_info(
    body: Annotated[ModelTableBody, body_of(ModelTableBody)], session: DbSession, tables: Tables
) -> Response:
    """Name and namespace of a table, derived where they are missing."""
    wanted = checked(TableInfoBody, {"gen_table_info": True, **body.config, "create": body.create})
    namespace, name = table_address(session, tables, wanted)
    return answer({"table_name": name, "namespace": namespace})


# -- store and restore -----------------------------------------------------------------------


class StoreBody(ModelBody):
    """A model and where its archive is kept; without an address the site's default."""

    store_address: Object | None = None


Stored = Annotated[StoreBody, body_of(StoreBody)]
_REDIS = {"storage": "redis", "host": "127.0.0.1"}
_STORE_DOCS = docs(StoreBody, {**_MODEL, "store_address": _REDIS})


def _submit_operation(session: Session, settings: Settings, name: str, body: StoreBody) -> Response:
    """A job of one component of the party ``local 0``."""
    from fate_flow.jobs import service

    stores = ArchiveStores(settings)
    stores.open(body.store_address)  # names what is wrong with it, now rather than in the task
    component, module = f"{name}_0", f"Model{name.capitalize()}"
    values: dict[str, Any] = {"model_id": body.model_id, "model_version": body.model_version}
    if body.store_address:
        values["store_address"] = stores.sealed(body.store_address)
    conf = {
        "initiator": {"role": "local", "party_id": 0},
        "job_parameters": {"work_mode": settings.WORK_MODE},
        "role": {"local": [0]},
        "role_parameters": {"local": {component: {key: [values[key]] for key in values}}},
    }
    dsl = {"components": {component: {"module": module}}}
    result = service.submit_job(session, dsl, conf)
    data = {key: value for key, value in result.data.items() if key != "model_info"}
    return answer(data, job_id=result.job_id)


@router.get("/store", dependencies=[can_write], include_in_schema=False)
@router.post("/store", dependencies=[can_write], **_STORE_DOCS)
def store(body: Stored, session: DbSession, settings: SiteSettings, models: Models) -> Response:
    """Submit a job that puts the model's archive into the store."""
    if not models.exists(body.model_id, body.model_version):
        raise no_model(body.model_id, body.model_version)
    return _submit_operation(session, settings, "store", body)


@router.get("/restore", dependencies=[can_write], include_in_schema=False)
@router.post("/restore", dependencies=[can_write], **_STORE_DOCS)
def restore(body: Stored, session: DbSession, settings: SiteSettings, models: Models) -> Response:
    """Submit a job that fetches the model's archive from the store."""
    if models.folder(body.model_id, body.model_version).exists():
        raise already_there(body.model_id, body.model_version)
    return _submit_operation(session, settings, "restore", body)


# -- export and import -----------------------------------------------------------------------


@router.get("/export", dependencies=[can_read], include_in_schema=False)
@router.post(
    "/export",
    dependencies=[can_read],
    **docs(ModelBody, _MODEL, file="application/zip"),
)
def export(
    body: Annotated[ModelBody, body_of(ModelBody)], models: Models, settings: SiteSettings
) -> Response:
    """The model as a zip archive. The body is JSON, also with GET."""
    path = scratch_file(settings, "export-", ".zip")
    try:
        export_model(models, body.model_id, body.model_version, path)
        size = path.stat().st_size
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    name = f"{body.model_id}_{body.model_version}.zip"
    response = attachment(then_remove(path), name, "application/zip")
    response.headers["Content-Length"] = str(size)
    return response


async def _read_archive(request: Request, settings: SiteSettings) -> tuple[Form, Path]:
    """A form with a zip archive; (form, folder to remove)."""
    if not is_form(request):
        raise InvalidInputError(
            [Problem("body", "not a multipart form", "a form with a file part")]
        )
    folder = Path(tempfile.mkdtemp(prefix="import-", dir=scratch_folder(settings)))
    try:
        return await read_form(request, folder / "file", settings.MAX_UPLOAD_BYTES), folder
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


@contextmanager
def _removed_afterwards(folder: Path) -> Iterator[None]:
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@router.post(
    "/import",
    dependencies=[can_write],
    **docs(ModelBody, _MODEL, form=True),
)
def import_archive(
    upload: Annotated[tuple[Form, Path], Depends(_read_archive)], models: Models
) -> Response:
    """Unpack an archive (form part ``file``) as a new model of this site."""
    form, folder = upload
    with _removed_afterwards(folder):
        body = checked(ModelBody, form.fields)
        if form.file is None:
            raise InvalidInputError([Problem("file", "missing", "a file part with a zip archive")])
        _import(models, body, form.file)
    return answer()


def _import(models: ModelStore, body: ModelBody, archive: Path) -> None:
    import_model(models, body.model_id, body.model_version, archive)


@router.get("/{operation}", dependencies=[can_read], include_in_schema=False)
@router.post("/{operation}", dependencies=[can_read], include_in_schema=False)
def unknown_operation(operation: str) -> Response:
    """Anything else below ``/model``."""
    raise FateFlowError(f"Can not support this operating now: {operation[:80]}")
