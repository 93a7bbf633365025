"""What the tracking routes look up first: the task that is meant, its job's DSL and model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from fate_flow.api.bodies import ComponentBody
from fate_flow.api.body import MissingArgumentsError
from fate_flow.db.models import Job
from fate_flow.entities import Party, party_model_id
from fate_flow.errors import RETCODE_EXCEPTION, FateFlowError, NotFoundError
from fate_flow.tracking import store as tracking
from fate_flow.tracking.store import TaskScope


def scope_of(session: Session, body: ComponentBody) -> TaskScope:
    """The task that a request names; role and party default to the initiator's, together.

    Raises:
        MissingArgumentsError: one of role and party is given.
        NotFoundError: both are missing and the initiator's row is not here.
    """
    role, party_id = body.role, body.party_id
    if role is None and party_id is None:
        row = tracking.initiator_row(session, body.job_id)
        if row is None:
            raise unknown_job(body.job_id)
        role, party_id = row.f_role, row.f_party_id
    if role is None or party_id is None:
        raise MissingArgumentsError(["role" if role is None else "party_id"])
    return TaskScope(body.job_id, body.component_name, role, party_id)


def unknown_job(job_id: str) -> NotFoundError:
    return NotFoundError(f"can not found job: {job_id[:80]}", retcode=RETCODE_EXCEPTION)


@dataclass(frozen=True)
class StoredComponent:
    """A component as the stored job describes it."""

    scope: TaskScope
    entry: Mapping[str, Any]
    job_parameters: Mapping[str, Any]

    @property
    def module(self) -> str:
        return str(self.entry.get("module", ""))

    @property
    def model_alias(self) -> str:
        """Alias of its model; a predict job's is that of the training job."""
        models = (self.entry.get("output") or {}).get("model") or ["default"]
        loaded = (self.entry.get("input") or {}).get("model") or []
        if self.job_parameters.get("job_type") == "predict" and loaded:
            return str(loaded[0]).rpartition(".")[2]
        return str(models[0])

    @property
    def model_address(self) -> tuple[str, str]:
        """(party model id, version) that the component's model is stored under."""
        party = Party(self.scope.role, int(self.scope.party_id))
        model_id = str(self.job_parameters.get("model_id", ""))
        version = str(self.job_parameters.get("model_version") or self.scope.job_id)
        return party_model_id(party, model_id), version


def stored_component(session: Session, scope: TaskScope, no_job: FateFlowError) -> StoredComponent:
    """The component's entry in the job's DSL.

    Args:
        no_job: raised when the job is unknown.

    Raises:
        FateFlowError: ``can not found component …`` when the DSL does not name it.
    """
    row: Job | None = tracking.any_row(session, scope.job_id)
    if row is None:
        raise no_job
    components = json.loads(row.f_dsl).get("components", {})
    if scope.component not in components:
        raise FateFlowError(
            "can not found component, please check if the parameters are correct: "
            f"found {scope.component!r}; allowed: {', '.join(components)}"
        )
    parameters = json.loads(row.f_runtime_conf).get("job_parameters", {})
    return StoredComponent(scope, components[scope.component], parameters)
