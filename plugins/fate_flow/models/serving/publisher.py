"""Calls FATE-Serving's model service: publishLoad and publishBind.

On that wire a *table name* is a model version, and a *namespace* is a party model id.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import grpc

from fate_flow.entities import Party, party_model_id
from fate_flow.errors import FateFlowError, InvalidInputError, Problem
from fate_flow.models.serving import model_service_pb2 as pb

_SERVICE = pb.DESCRIPTOR.services_by_name["ModelService"].full_name
#: Serving fetches the whole model within the call; its own time-outs are 60 s.
TIMEOUT = 120.0
LOAD_TYPE = "FATEFLOW"
_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9][A-Za-z0-9.\-]*):(\d{1,5})", re.ASCII)


class ServingUnreachableError(FateFlowError):
    """A serving did not answer."""

    code = "serving_unreachable"


@dataclass(frozen=True)
class Publication:
    """A trained model as it is published.

    Attributes:
        roles: role -> party ids of the whole job, the arbiter's too.
        model_id: without role and party.
        version: model version.
    """

    roles: Mapping[str, Sequence[int]]
    model_id: str
    version: str

    def party_model_id(self, party: Party) -> str:
        return party_model_id(party, self.model_id)


@dataclass(frozen=True)
class ServingAnswer:
    """What one serving said; status 0 is success."""

    address: str
    status: int
    message: str

    def __str__(self) -> str:
        text = f"serving {self.address} answered {self.status}"
        return f"{text}: {self.message}" if self.message else text


def checked_address(address: Any, path: str) -> str:
    """``host:port``.

    Raises:
        InvalidInputError: it is something else.
    """
    match = _ADDRESS.fullmatch(address) if isinstance(address, str) else None
    if match is None or not 0 < int(match[2]) < 65536:
        raise InvalidInputError([Problem(path, f"found {address!r:.80}", "host:port")])
    return str(address)


def publish_load(
    address: str, publication: Publication, local: Party, transfer_url: str
) -> ServingAnswer:
    """Let a serving load the model part of ``local``; it fetches it from ``transfer_url``.

    Raises:
        ServingUnreachableError: no answer.
    """
    request = _request(publication, local)
    for role, ids in publication.roles.items():
        for party_id in ids:
            _add_model(request, publication, Party(role, party_id))
    request.filePath = transfer_url
    return _call(address, "publishLoad", request)


def publish_bind(
    address: str, publication: Publication, initiator: Party, service_id: str
) -> ServingAnswer:
    """Let a serving answer requests for ``service_id`` with a model that it has loaded.

    Raises:
        ServingUnreachableError: no answer.
    """
    request = _request(publication, initiator)
    _add_model(request, publication, initiator)
    request.serviceId = service_id
    return _call(address, "publishBind", request)


def _request(publication: Publication, local: Party) -> pb.PublishRequest:
    request = pb.PublishRequest(
        local=pb.LocalInfo(role=local.role, partyId=str(local.party_id)),
        tableName=publication.version,
        namespace=publication.party_model_id(local),
        loadType=LOAD_TYPE,
    )
    for role, ids in publication.roles.items():
        request.role[role].partyId.extend(map(str, ids))
    return request


def _add_model(request: pb.PublishRequest, publication: Publication, party: Party) -> None:
    entry = request.model[party.role].roleModelInfo[str(party.party_id)]
    entry.tableName = publication.version
    entry.namespace = publication.party_model_id(party)


def _call(address: str, method: str, request: pb.PublishRequest) -> ServingAnswer:
    with grpc.insecure_channel(address, [("grpc.enable_http_proxy", 0)]) as channel:
        call = channel.unary_unary(
            f"/{_SERVICE}/{method}",
            request_serializer=pb.PublishRequest.SerializeToString,
            response_deserializer=pb.PublishResponse.FromString,
        )
        try:
            response = call(request, timeout=TIMEOUT)
        except grpc.RpcError as error:
            raise ServingUnreachableError(
                f"serving {address} did not answer {method}: {_reason(error)}",
                remedy="Look at SERVERS.servings, and whether the serving runs",
            ) from None
    return ServingAnswer(address, int(response.statusCode), response.message or response.error)


def _reason(error: grpc.RpcError) -> str:
    code = getattr(error, "code", lambda: None)()
    details = getattr(error, "details", lambda: "")() or ""
    return f"{code.name if code is not None else 'error'} {details}"[:300].strip()
