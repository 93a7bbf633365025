"""What a peer may say at a gateway, and one that only pretends to be one; an API behind it."""

from __future__ import annotations

import http.server
import json
import time
from pathlib import Path
from typing import Any

import grpc
import pytest

from fate_flow.entities import Party
from fate_flow.federation import rpc, tokens
from fate_flow.federation.channel import Tls, open_channel
from fate_flow.federation.identity import SiteIdentity
from fate_flow.federation.proto import gateway_pb2 as pb
from fate_flow.settings import Settings, load
from tests.support.federated import FederatedGateway
from tests.support.gateway import COMPONENT, JOB


class Api(http.server.BaseHTTPRequestHandler):
    """The site's API, as far as its gateway uses it: says what came."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        tokens.verify_site(self.server.secret, self.headers["Authorization"].split()[1])  # type: ignore[attr-defined]
        answer: dict[str, Any] = {
            "retcode": 0,
            "retmsg": "success",
            "data": {"path": self.path, "peer": self.headers["X-Fate-Flow-Peer"], **body},
        }
        if body["method"] == "job.refused":
            answer = {"retcode": 100, "retmsg": "no such table", "data": {"problems": ["t"]}}
        if body["method"] == "job.slow":
            time.sleep(1.0)
        if body["method"] == "job.large":
            answer["data"] = "x" * (3 << 20)
        content = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


def as_peer(
    bank: FederatedGateway, tls: Tls, service: str, method: str, request: Any, **metadata: str
) -> Any:
    pairs = tuple((key.replace("_", "-"), value) for key, value in metadata.items())
    with open_channel(f"127.0.0.1:{bank.port}", tls) as channel:
        reply = getattr(rpc.Stub(service, channel), method)(request, metadata=pairs, timeout=5)
        return list(reply) if hasattr(reply, "__next__") else reply


def tls_to(bank: FederatedGateway, own: SiteIdentity) -> Tls:
    mine = own.tls()
    return Tls(bank.identity.ca_pem.encode(), mine.certificate, mine.key, bank.identity.server_name)


def refused(code: grpc.StatusCode, *arguments: Any, **metadata: Any) -> str:
    with pytest.raises(grpc.RpcError) as caught:
        as_peer(*arguments, **metadata)
    assert caught.value.code() is code, caught.value.details()
    return str(caught.value.details())


def other_site(folder: Path, name: str = "stranger") -> tuple[Settings, SiteIdentity]:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "fate_flow.yaml").write_text("IP: 127.0.0.1\n")
    settings = load(folder)
    return settings, SiteIdentity.create(settings, name)


def join(party: Party, job: str = JOB) -> pb.JoinRequest:
    caller = pb.Caller(
        job_id=job,
        component=COMPONENT,
        party=pb.PartyRef(role=party.role, party_id=party.party_id),
        session_id="s1",
    )
    return pb.JoinRequest(caller=caller, timeout=1)
