"""``/tracking``: metrics, parameters, models and output data of components."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from sqlalchemy.orm import Session
from starlette.responses import Response

from fate_flow.api.archives import attachment, scratch_file, then_remove
from fate_flow.api.bodies import ComponentBody, DataViewFilters, Filters, PartyBody
from fate_flow.api.body import Body, Flag, Integer, MissingArgumentsError, Name, Text, body_of
from fate_flow.api.components import scope_of, stored_component, unknown_job
from fate_flow.api.dependencies import DbSession, Models, SiteSettings, Tables
from fate_flow.api.describe import docs
from fate_flow.api.envelope import answer
from fate_flow.api.guards import can_read, can_write
from fate_flow.api.routes.pipeline import plan_of
from fate_flow.data.table import Table, TableStore
from fate_flow.db.models import Metric
from fate_flow.entities import Party
from fate_flow.errors import (
    RETCODE_EXCEPTION,
    RETCODE_SERVER,
    FateFlowError,
    InvalidInputError,
    NotFoundError,
    Problem,
)
from fate_flow.tracking import store as tracking
from fate_flow.tracking.store import TaskScope

router = APIRouter(prefix="/tracking", tags=["tracking"])

_NO_DATA = "no data"
#: A meta has these two keys, also where nothing was stored.
_NO_META: dict[str, Any] = {"name": None, "metric_type": None}
_PARTY = {"job_id": "2026010112000012345612", "role": "guest", "party_id": 9999}
_COMPONENT = {**_PARTY, "component_name": "hetero_lr_0"}


@router.post(
    "/job/data_view",
    dependencies=[can_read],
    **docs(
        PartyBody,
        _PARTY,
        {
            "partner": {"host": [10000]},
            "roles": {"guest": [9999], "host": [10000]},
            "dataset": {"guest": {"9999": {"train_data": "ns.name"}}},
            "model_summary": {},
        },
    ),
)
def job_data_view(body: Annotated[PartyBody, body_of(PartyBody)], session: DbSession) -> Response:
    """Partners, roles and data sets of a job as one party may see them."""
    view = tracking.read_job_view(session, body.job_id, body.role, body.party_id)
    if not view:
        raise NotFoundError("error")
    return answer(view)


# -- metrics ---------------------------------------------------------------------------------


@router.post(
    "/component/metric/all",
    dependencies=[can_read],
    **docs(
        ComponentBody,
        _COMPONENT,
        {"train": {"loss": {"data": [[0, 0.69]], "meta": {"metric_type": "LOSS"}}}},
    ),
)
def metric_all(
    body: Annotated[ComponentBody, body_of(ComponentBody)], session: DbSession
) -> Response:
    """All metrics of a component."""
    scope = scope_of(session, body)
    found = tracking.read_all_metrics(session, scope)
    if not found:
        return _no_metrics(session, scope)
    return answer(
        {
            namespace: {
                name: {"data": metric.points, "meta": {**_NO_META, **metric.meta}}
                for name, metric in by_name.items()
            }
            for namespace, by_name in found.items()
        }
    )


@router.post(
    "/component/metrics",
    dependencies=[can_read],
    **docs(ComponentBody, _COMPONENT, {"train": ["loss"]}),
)
def metrics(body: Annotated[ComponentBody, body_of(ComponentBody)], session: DbSession) -> Response:
    """Names of a component's metrics by namespace."""
    scope = scope_of(session, body)
    found = tracking.metric_names(session, scope)
    return answer(found) if found else _no_metrics(session, scope)


def _no_metrics(session: Session, scope: TaskScope) -> Response:
    if tracking.any_row(session, scope.job_id) is None:
        raise unknown_job(scope.job_id)
    return answer(retmsg=_NO_DATA)


class MetricBody(ComponentBody):
    """Names one metric of a component."""

    metric_namespace: Name
    metric_name: Name


@router.post(
    "/component/metric_data",
    dependencies=[can_read],
    **docs(
        MetricBody,
        {**_COMPONENT, "metric_namespace": "train", "metric_name": "loss"},
        [[0, 0.6931], [1, 0.5544]],
        meta={"name": "train", "metric_type": "LOSS"},
    ),
)
def metric_data(body: Annotated[MetricBody, body_of(MetricBody)], session: DbSession) -> Response:
    """Points of one metric, sorted by key, and its meta."""
    metric = tracking.read_metric(
        session, scope_of(session, body), body.metric_namespace, body.metric_name
    )
    return answer(metric.points, meta={**_NO_META, **metric.meta})


class MetricDeleteBody(Body):
    """A day (``model``), or a job and any columns of its metrics."""

    model: Text | None = None
    job_id: Name | None = None


@router.post(
    "/component/metric/delete",
    dependencies=[can_write],
    **docs(
        MetricDeleteBody,
        {"job_id": _COMPONENT["job_id"]},
        "DELETE FROM t_tracking_metric WHERE t_tracking_metric.f_type != 2 AND …",
    ),
)
def metric_delete(
    body: Annotated[MetricDeleteBody, body_of(MetricDeleteBody)], session: DbSession
) -> Response:
    """Delete the metrics of a day (``model``: YYYYMMDD), or those of a job that match.

    The answer is the SQL text.
    """
    if body.model:
        if not (len(body.model) == 8 and body.model.isascii() and body.model.isdecimal()):
            found = f"found {body.model[:40]!r}"
            raise InvalidInputError([Problem("model", found, "a day as YYYYMMDD")])
        conditions = [Metric.f_job_id.startswith(body.model, autoescape=True)]
    elif body.job_id:
        conditions = tracking.filters_of(Metric, body.given())
    else:
        raise MissingArgumentsError(["job_id"])
    tracking.delete_metrics(session, conditions)
    return answer(tracking.delete_text(session, conditions))


# -- parameters and models -------------------------------------------------------------------


@router.post(
    "/component/parameters",
    dependencies=[can_read],
    **docs(ComponentBody, _COMPONENT, {"module": "HeteroLR", "HeteroLogisticParam": {}}),
)
def parameters(
    body: Annotated[ComponentBody, body_of(ComponentBody)],
    session: DbSession,
    settings: SiteSettings,
) -> Response:
    """Effective parameters of a component at one party, defaults included."""
    if tracking.any_row(session, body.job_id) is None:
        raise NotFoundError("can not found this job")
    scope = scope_of(session, body)
    plan = plan_of(settings, scope.job_id)
    try:
        component = plan.component(scope.component)
    except KeyError:
        names = ", ".join(one.name for one in plan.components)
        raise InvalidInputError(
            [Problem("component_name", f"unknown component {scope.component!r}", names)]
        ) from None
    conf = component.parameters.get(Party(scope.role, int(scope.party_id)).key)
    if conf is None:
        return answer(retmsg="can not found this component parameters")
    shown = {key: value for key, value in conf.items() if key.endswith("Param")}
    return answer({"module": component.module, **shown})


@router.post(
    "/component/output/model",
    dependencies=[can_read],
    **docs(
        ComponentBody,
        _COMPONENT,
        {"weight": {"x0": 0.1}, "intercept": 0.2, "iters": 3, "isConverged": False},
        meta={"meta_data": {"penalty": "L2"}, "module_name": "HeteroLR"},
    ),
)
def output_model(
    body: Annotated[ComponentBody, body_of(ComponentBody)], session: DbSession, models: Models
) -> Response:
    """The component's model (its Param message as JSON) and how it was trained (its Meta)."""
    scope = scope_of(session, body)
    component = stored_component(session, scope, unknown_job(scope.job_id))
    address = component.model_address
    try:
        model = models.read_json(*address, scope.component, component.model_alias)
    except NotFoundError:
        return answer(retmsg=_NO_DATA)
    if model.param is None:
        return answer(retmsg=_NO_DATA)
    module = model.module or component.module
    return answer(model.param, meta={"meta_data": model.meta or {}, "module_name": module})


# -- output data -----------------------------------------------------------------------------


def _output_table(session: Session, tables: TableStore, scope: TaskScope) -> Table | None:
    """The component's output table; None when it has none (yet, or any more)."""
    no_job = FateFlowError("can not get dag parser, please check if the parameters are correct")
    stored_component(session, scope, no_job)
    view = tracking.data_view(session, scope)
    if view is None or not view.f_table_namespace or not view.f_table_name:
        return None
    if not tables.exists(view.f_table_namespace, view.f_table_name):
        return None
    return tables.open(view.f_table_namespace, view.f_table_name)


@router.post(
    "/component/output/data",
    dependencies=[can_read],
    **docs(
        ComponentBody,
        _COMPONENT,
        [["id0", 1, 0.25], ["id1", 0, 0.1]],
        meta={"header": ["sid", "y", "x0"], "total": 569},
    ),
)
def output_data(
    body: Annotated[ComponentBody, body_of(ComponentBody)], session: DbSession, tables: Tables
) -> Response:
    """The first 100 rows of the component's output table."""
    from fate_flow.data import export

    table = _output_table(session, tables, scope_of(session, body))
    if table is None or not table.count:
        return answer(retmsg=_NO_DATA)
    header, rows = export.preview(table, export.PREVIEW_ROWS)
    return answer(rows, meta={"header": header, "total": table.count})


class OutputDownloadBody(ComponentBody):
    """A component, how many rows (-1: all), and whether with a header line."""

    limit: Integer = -1
    head: Flag = True


def _failed_download(text: str) -> Response:
    return answer(retcode=RETCODE_SERVER, retmsg=text, status=500)


def _download(
    session: Session, settings: SiteSettings, tables: TableStore, body: OutputDownloadBody
) -> Response:
    from fate_flow.data import export

    scope = scope_of(session, body)
    table = _output_table(session, tables, scope)
    if table is None:
        return _failed_download(_NO_DATA)
    if body.limit == 0:
        return _failed_download("limit is 0")
    if not table.count:
        raise FateFlowError(f"the output table of {scope.component} has no rows")
    path = scratch_file(settings, "download-", ".tar.gz")
    try:
        export.write_archive(table, path, head=body.head, limit=max(body.limit, -1))
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    name = "_".join(["job", scope.job_id, scope.component, scope.role, scope.party_id])
    return attachment(then_remove(path), f"{name}_output_data.tar.gz")


_DOWNLOAD_EXAMPLE: dict[str, Any] = {**_COMPONENT, "limit": -1, "head": True}


@router.get(
    "/component/output/data/download",
    dependencies=[can_read],
    **docs(OutputDownloadBody, _DOWNLOAD_EXAMPLE, file="application/x-tar"),
)
def output_data_download(
    body: Annotated[OutputDownloadBody, body_of(OutputDownloadBody)],
    session: DbSession,
    settings: SiteSettings,
    tables: Tables,
) -> Response:
    """The output table as CSV with its header, in a tar.gz. The body is JSON.

    Failures are answered with HTTP 500 and an envelope, which is how clients tell them from
    the file.
    """
    return _download(session, settings, tables, body)


@router.post(
    "/component/output/data/table",
    dependencies=[can_read],
    **docs(DataViewFilters, _COMPONENT, {"table_name": "t", "table_namespace": "n"}),
)
def output_data_table(
    body: Annotated[Filters, body_of(DataViewFilters)], session: DbSession
) -> Response:
    """Name and namespace of the first output table whose data view meets the filters.

    Data views without a table (of models, of components that put out no data) count only when
    there is no other.
    """
    views = tracking.query_data_views(session, body.given())
    named = [view for view in views if view.f_table_name and view.f_table_namespace]
    for view in [*named, *views]:
        names = {
            "table_name": view.f_table_name or "",
            "table_namespace": view.f_table_namespace or "",
        }
        return answer(names)
    raise NotFoundError(
        "No found table, please check if the parameters are correct", retcode=RETCODE_EXCEPTION
    )
