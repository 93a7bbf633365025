"""``/table``: information on tables, and their removal."""

from __future__ import annotations

import uuid
from typing import Annotated, Any

from fastapi import APIRouter
from sqlalchemy.orm import Session
from starlette.responses import Response

from fate_flow.api.bodies import DataViewFilters, Filters
from fate_flow.api.body import Body, Flag, Object, Text, body_of, checked
from fate_flow.api.dependencies import DbSession, Tables
from fate_flow.api.describe import docs
from fate_flow.api.envelope import answer
from fate_flow.api.guards import can_read, can_write
from fate_flow.data.table import TableStore
from fate_flow.entities import all_party_key
from fate_flow.errors import InvalidInputError, NotFoundError, Problem
from fate_flow.tracking import store as tracking

router = APIRouter(prefix="/table", tags=["table"])

_TABLE = {"namespace": "experiment", "table_name": "breast_a"}


class TableInfoBody(Body):
    """Names a table, or says how to derive its name (``gen_table_info``) from the last three."""

    namespace: Text | None = None
    table_name: Text | None = None
    create: Flag = False
    gen_table_info: Flag = False
    local: Any = None
    role: Any = None
    data_type: Any = None


class _Derivation(Body):
    """What a name is derived from; a client that derives none may send any ``role``."""

    local: Object | None = None
    role: Object | None = None
    data_type: Text | None = None


def table_address(
    session: Session, tables: TableStore, body: TableInfoBody
) -> tuple[str | None, str | None]:
    """(namespace, table name), missing ones derived when ``gen_table_info`` asks for it."""
    namespace, name = body.namespace, body.table_name
    if not body.gen_table_info:
        return namespace, name
    if not namespace:
        wanted = checked(_Derivation, body.given())
        local = wanted.local or {}
        roles = _roles(wanted.role)
        parties = all_party_key(roles) if roles else "all"
        own = f"{local.get('role', '')}#{local.get('party_id', '')}"
        namespace = f"{own}#{parties}#{wanted.data_type or ''}"
    if not name:
        name = uuid.uuid1().hex if body.create else _newest_name(session, tables, namespace)
    return namespace, name


def _newest_name(session: Session, tables: TableStore, namespace: str) -> str | None:
    commits = commits_of(session, tables, namespace)
    return str(commits[0]["name"]) if commits else None


def commits_of(session: Session, tables: TableStore, namespace: str) -> list[Any]:
    """Version records of a namespace, newest first: saved ones, then those of uploads."""
    uploads: list[Any] = []
    for info in tables.list(namespace):
        uploads += info.schema.extra.get("versions", [])
    # Their logs begin alike and go on with the time.
    uploads.sort(key=lambda commit: str(commit.get("log")), reverse=True)
    return [*tracking.version_history(session, namespace), *uploads]


def _roles(value: dict[str, Any] | None) -> dict[str, list[int]]:
    try:
        return {role: [int(party) for party in ids] for role, ids in (value or {}).items()}
    except (TypeError, ValueError):
        allowed = '{"<role>": [party ids]}'
        raise InvalidInputError([Problem("role", "found other values", allowed)]) from None


@router.post(
    "/table_info",
    dependencies=[can_read],
    **docs(TableInfoBody, _TABLE, {**_TABLE, "count": 569, "partition": 4}),
)
def table_info(
    body: Annotated[TableInfoBody, body_of(TableInfoBody)], session: DbSession, tables: Tables
) -> Response:
    """Row count and partitions of a table; a table that is not there has 0 rows."""
    namespace, name = table_address(session, tables, body)
    data = {"table_name": name, "namespace": namespace, "count": 0, "partition": None}
    if not body.create and namespace and name:
        data["partition"] = 1
        if tables.exists(namespace, name):
            table = tables.open(namespace, name)
            data.update(count=table.count, partition=table.partitions)
    return answer(data)


@router.post("/delete", dependencies=[can_write], **docs(DataViewFilters, _TABLE, [_TABLE]))
def delete(
    body: Annotated[Filters, body_of(DataViewFilters)], session: DbSession, tables: Tables
) -> Response:
    """Remove one named table, or the output tables of the data views that meet the filters."""
    given = body.given()
    namespace, name = given.get("namespace"), given.get("table_name")
    if namespace and name:
        tables.drop(str(namespace), str(name))
        return answer([{"table_name": name, "namespace": namespace}])
    views = tracking.query_data_views(session, given)
    if not views:
        raise NotFoundError("no find table")
    addresses = dict.fromkeys((view.f_table_namespace, view.f_table_name) for view in views)
    dropped = [
        {"table_name": table, "namespace": space}
        for space, table in addresses
        if space and table and tables.drop(space, table)
    ]
    if not dropped:
        raise NotFoundError("failed")
    return answer(dropped)


@router.post("/{operation}", dependencies=[can_read], include_in_schema=False)
def other_operation(operation: str) -> Response:
    """Anything else below ``/table`` is a success that does nothing, as FATE-Flow answers."""
    return answer()
