"""Bodies that several routes take, and the filters by columns."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Integer

from fate_flow.api.body import Body, Name, PartyId
from fate_flow.db.models import Base, DataView, Job, Task


class Filters(Body):
    """Equality filters on columns, combined with AND; unknown keys are ignored."""


def _filters_on(name: str, model: type[Base]) -> type[Filters]:
    """A body whose documentation lists the columns of ``model`` without ``f_``."""
    numbers = (Integer, BigInteger)
    properties: dict[str, Any] = {
        column.name[2:]: {
            "type": "integer" if isinstance(column.type, numbers) else ["string", "integer"],
            "description": f"equals f_{column.name[2:]}",
        }
        for column in model.__table__.columns
    }

    class Documented(Filters):
        @classmethod
        def model_json_schema(cls, *_: Any, **__: Any) -> dict[str, Any]:
            doc = (Filters.__doc__ or "").strip()
            return {"title": name, "type": "object", "description": doc, "properties": properties}

    Documented.__name__ = name
    return Documented


JobFilters = _filters_on("JobFilters", Job)
TaskFilters = _filters_on("TaskFilters", Task)
DataViewFilters = _filters_on("DataViewFilters", DataView)


class JobBody(Body):
    """Names a job."""

    job_id: Name


class PartyBody(Body):
    """Names a job as one party sees it."""

    job_id: Name
    role: Name
    party_id: PartyId


class ComponentBody(Body):
    """Names a component of a job at one party; without role and party at the initiator."""

    job_id: Name
    component_name: Name
    role: Name | None = None
    party_id: PartyId | None = None
