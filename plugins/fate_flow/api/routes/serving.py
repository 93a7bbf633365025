"""``/model/load``, ``bind`` and ``transfer``: models for FATE-Serving."""

from __future__ import annotations

import base64
from typing import Annotated, Any

from fastapi import APIRouter, Request
from sqlalchemy.orm import Session
from starlette.exceptions import HTTPException
from starlette.responses import Response

from fate_flow.api.body import Body, MissingArgumentsError, Name, Object, Text, body_of
from fate_flow.api.components import unknown_job
from fate_flow.api.dependencies import DbSession, Models, SiteSettings
from fate_flow.api.describe import docs
from fate_flow.api.envelope import SUCCESS, answer
from fate_flow.api.guards import can_transfer, can_write
from fate_flow.errors import RETCODE_EXCEPTION, RETCODE_NOT_FOUND, RETCODE_OK, NotFoundError
from fate_flow.jobs import publishing
from fate_flow.jobs.ids import new_job_id
from fate_flow.models.serving.publisher import Publication
from fate_flow.tracking import store as tracking

router = APIRouter(prefix="/model", tags=["serving"])

_JOB_ID = "2026010112000012345612"
_LOAD: dict[str, Any] = {
    "initiator": {"role": "guest", "party_id": "9999"},
    "role": {"guest": ["9999"], "host": ["10000"], "arbiter": ["10000"]},
    "job_parameters": {
        "work_mode": 0,
        "model_id": "arbiter-10000#guest-9999#host-10000#model",
        "model_version": _JOB_ID,
    },
}


class LoadBody(Body):
    """A trained model, or the job that trained it."""

    job_id: Name | None = None
    initiator: Object | None = None
    role: Object | None = None
    job_parameters: Object | None = None


def _publication(session: Session, body: LoadBody) -> Publication:
    missing = [name for name in ("initiator", "role", "job_parameters") if not getattr(body, name)]
    if body.job_id and len(missing) == 3:
        conf = _conf_of(session, body.job_id)
        body.initiator, body.role = conf["initiator"], conf["role"]
        body.job_parameters = conf["job_parameters"]
    elif missing:
        raise MissingArgumentsError(missing)
    return publishing.read_publication(body.role or {}, body.job_parameters or {})


def _conf_of(session: Session, job_id: str) -> dict[str, Any]:
    import json

    row = tracking.any_row(session, job_id)
    if row is None:
        raise unknown_job(job_id)
    conf: dict[str, Any] = json.loads(row.f_runtime_conf)
    return conf


@router.post(
    "/load",
    dependencies=[can_write],
    **docs(LoadBody, _LOAD, {"guest": {"9999": 0}, "host": {"10000": 0}}, jobId=_JOB_ID),
)
def load(
    body: Annotated[LoadBody, body_of(LoadBody)], session: DbSession, settings: SiteSettings
) -> Response:
    """Publish a model to the servings of every party; the answer has a retcode for each."""
    publication = _publication(session, body)
    publishing.read_party(body.initiator or {}, "initiator")
    outcome = publishing.load(settings, publication)
    text = "\n".join(["failed", *outcome.failures]) if outcome.failures else SUCCESS
    code = RETCODE_NOT_FOUND if outcome.failures else RETCODE_OK
    return answer(outcome.retcodes, retcode=code, retmsg=text, job_id=new_job_id())


class LoadDoBody(LoadBody):
    """As ``load``, for the party ``local`` of this site."""

    local: Object


@router.post(
    "/load/do",
    dependencies=[can_write],
    **docs(LoadDoBody, {**_LOAD, "local": {"role": "host", "party_id": "10000"}}),
)
def load_do(
    body: Annotated[LoadDoBody, body_of(LoadDoBody)], session: DbSession, settings: SiteSettings
) -> Response:
    """Publish one party's part to its servings."""
    party = publishing.read_party(body.local, "local")
    refused = publishing.load_at(settings, _publication(session, body), party)
    if refused:
        return answer(retcode=RETCODE_NOT_FOUND, retmsg="; ".join(refused))
    return answer()


class BindBody(LoadBody):
    """A published model and the service id that is to be answered with it."""

    service_id: Text = ""
    servings: Any = None


@router.post(
    "/bind", dependencies=[can_write], **docs(BindBody, {**_LOAD, "service_id": "my_service"})
)
def bind(
    body: Annotated[BindBody, body_of(BindBody)], session: DbSession, settings: SiteSettings
) -> Response:
    """Let servings answer requests for a service id with a model that they have loaded."""
    if not body.service_id:
        raise NotFoundError("no service id")
    publication = _publication(session, body)
    initiator = publishing.read_party(body.initiator or {}, "initiator")
    servings = (
        body.servings if isinstance(body.servings, list) or not body.servings else [body.servings]
    )
    refused = publishing.bind(settings, publication, initiator, body.service_id, servings)
    text = "; ".join([f"service id is {body.service_id}", *refused])
    return answer(retcode=RETCODE_NOT_FOUND if refused else RETCODE_OK, retmsg=text)


class TransferBody(Body):
    """A model version and a party model id."""

    name: Name
    namespace: Name


@router.post(
    "/transfer",
    dependencies=[can_transfer],
    **docs(
        TransferBody,
        {"name": _JOB_ID, "namespace": "guest#9999#guest-9999#host-10000#model"},
        {"dataio_0.dataio:DataIOMeta": "CgVkZW5zZQ==", "pipeline.pipeline:Pipeline": "ewp9"},
    ),
)
def transfer(
    body: Annotated[TransferBody, body_of(TransferBody)], request: Request, models: Models
) -> Response:
    """Every buffer of a party's model, base64; called by FATE-Serving."""
    opened = getattr(request.state, "transfer", None)
    if opened is not None and opened != (body.namespace, body.name):
        raise HTTPException(403, "the key opens another model")
    try:
        buffers = models.load_all(body.namespace, body.name)
    except NotFoundError as error:
        raise NotFoundError(error.message, retcode=RETCODE_EXCEPTION) from None
    return answer({key: base64.b64encode(data).decode() for key, data in buffers.items()})
