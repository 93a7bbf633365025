"""``/ui``: the FATE metrics page inside the Airflow UI, its data and its static files."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, RedirectResponse, Response

from fate_flow.api import job_views
from fate_flow.api.body import checked
from fate_flow.api.dependencies import DbSession, Models, SiteSettings, Tables
from fate_flow.api.envelope import answer
from fate_flow.api.guards import can_read
from fate_flow.api.routes.tracking import OutputDownloadBody, output_data_download
from fate_flow.compiler.names import job_id_of
from fate_flow.jobs import approval
from fate_flow.tracking.store import TaskScope
from fate_flow.ui import pages
from fate_flow.ui.assets import assets, digest

router = APIRouter(prefix="/ui", tags=["ui"], dependencies=[can_read], include_in_schema=False)

_NO_STORE = {"Cache-Control": "no-store"}


# -- pages -----------------------------------------------------------------------------------


@router.get("")
def jobs_without_slash() -> Response:
    """The pages' addresses are relative to ``/ui/``."""
    return RedirectResponse("ui/", headers=_NO_STORE)


@router.get("/")
def jobs() -> Response:
    """The list of recent jobs."""
    return HTMLResponse(pages.jobs_page("./"), headers=pages.HEADERS)


@router.get("/approvals")
def approvals() -> Response:
    """Jobs of other sites that wait for a yes, with buttons."""
    return HTMLResponse(pages.approvals_page("./"), headers=pages.HEADERS)


@router.get("/approvals/data")
def approvals_data(session: DbSession) -> Response:
    """What the page of approvals shows."""
    found = [job.to_dict() for job in approval.waiting(session)]
    return answer(found, headers=_NO_STORE)


@router.get("/run/{dag_id}/{run_id:path}")
def run(dag_id: str, run_id: str) -> Response:
    """The page of a DAG run: of its job, or the remark that it is none."""
    root = "../" * (2 + run_id.count("/"))
    try:
        job_id = job_id_of(dag_id)
    except ValueError:
        page = pages.other_run_page(dag_id, run_id, root)
    else:
        page = pages.job_page(job_id, root)
    return HTMLResponse(page, headers=pages.HEADERS)


@router.get("/static/{version}/{name:path}")
def static(version: str, name: str) -> Response:
    """A script or style sheet; kept by browsers as long as its address does not change.

    Raises:
        HTTPException: 404 for a name that is none of the pages' files.
    """
    asset = assets().get(name)
    if asset is None:
        raise HTTPException(404, f"the pages have no file {name[:80]}")
    is_current = version == digest()
    caching = "private, max-age=31536000, immutable" if is_current else "no-cache"
    headers = {"Cache-Control": caching, "X-Content-Type-Options": "nosniff"}
    return Response(asset.content, media_type=asset.media_type, headers=headers)


# -- data ------------------------------------------------------------------------------------


@router.get("/data")
def recent(
    session: DbSession,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    before: int | None = None,
) -> Response:
    """The newest jobs; ``before`` (ms) asks for older ones."""
    return answer(job_views.job_list(session, limit, before), headers=_NO_STORE)


@router.get("/data/{job_id}")
def job(job_id: str, session: DbSession, settings: SiteSettings) -> Response:
    """A job's summary and the state of its tasks."""
    return answer(job_views.job_view(session, settings, job_id), headers=_NO_STORE)


def _scope(job_id: str, component: str, role: str, party_id: str) -> TaskScope:
    return TaskScope(job_id, component, role, party_id)


def _site(
    session: DbSession, settings: SiteSettings, tables: Tables, models: Models
) -> job_views.Site:
    return job_views.Site(session, settings, tables, models)


Scope = Annotated[TaskScope, Depends(_scope)]
ViewedSite = Annotated[job_views.Site, Depends(_site, scope="function")]


@router.get("/data/{job_id}/{component}/{role}/{party_id}")
def component(scope: Scope, site: ViewedSite) -> Response:
    """Panels of one component at one party."""
    return answer(job_views.component_view(site, scope), headers=_NO_STORE)


@router.get("/data/{job_id}/{component}/{role}/{party_id}/rows")
def rows(scope: Scope, site: ViewedSite) -> Response:
    """The first rows of a component's output data."""
    return answer(job_views.rows_view(site, scope), headers=_NO_STORE)


@router.get("/download/{job_id}/{component}/{role}/{party_id}")
def download(
    job_id: str,
    component: str,
    role: str,
    party_id: str,
    session: DbSession,
    settings: SiteSettings,
    tables: Tables,
) -> Response:
    """All output data of a component as CSV in a tar.gz; a browser cannot send a body."""
    fields = {"job_id": job_id, "component_name": component, "role": role, "party_id": party_id}
    body = checked(OutputDownloadBody, fields)
    return output_data_download(body, session, settings, tables)
