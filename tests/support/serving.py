"""Stands for FATE-Serving: a real gRPC server that loads models over HTTP and binds them.

It refuses what the real one (2.1.7) refuses: a guest's load without a host's entry, a transfer
that fails, a model without a pipeline, a binding of a model that was not loaded.
"""

from __future__ import annotations

import base64
import json
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import uvicorn
from fastapi import FastAPI

from fate_flow.models.serving import model_service_pb2 as pb

SERVICE = "com.webank.ai.fate.api.mlmodel.manager.ModelService"


@dataclass
class Serving:
    """What the server was asked, and what it has."""

    address: str = ""
    requests: list[tuple[str, pb.PublishRequest]] = field(default_factory=list)
    models: dict[tuple[str, str], dict[str, bytes]] = field(default_factory=dict)
    services: dict[str, tuple[str, str]] = field(default_factory=dict)
    answer_status: int = 0

    def load(self, request: pb.PublishRequest, _: Any) -> pb.PublishResponse:
        self.requests.append(("load", request))
        if self.answer_status:
            return pb.PublishResponse(statusCode=self.answer_status, message="as told")
        if request.local.role == "guest" and "host" not in request.model:
            return pb.PublishResponse(statusCode=110, message="null")
        entry = request.model[request.local.role].roleModelInfo[request.local.partyId]
        try:
            parts = fetch(request.filePath, entry.tableName, entry.namespace)
        except Exception as error:
            return pb.PublishResponse(statusCode=123, message=f"load model error: {error}")
        if "pipeline.pipeline:Pipeline" not in parts:
            return pb.PublishResponse(statusCode=123, message="no pipeline")
        self.models[entry.namespace, entry.tableName] = parts
        return pb.PublishResponse(statusCode=0, data=b"{}")

    def bind(self, request: pb.PublishRequest, _: Any) -> pb.PublishResponse:
        self.requests.append(("bind", request))
        first = request.role[request.local.role].partyId[0]
        entry = request.model[request.local.role].roleModelInfo[first]
        if (entry.namespace, entry.tableName) not in self.models:
            return pb.PublishResponse(statusCode=100, error="model is not loaded")
        self.services[request.serviceId] = (entry.namespace, entry.tableName)
        return pb.PublishResponse(statusCode=0)


def fetch(url: str, version: str, party_model_id: str) -> dict[str, bytes]:
    """A transfer with the request headers that FATE-Serving 2.1.7 sends."""
    request = urllib.request.Request(
        url,
        json.dumps({"name": version, "namespace": party_model_id}).encode(),
        {
            "Content-Type": "application/json;charset=UTF-8",
            "Content-Encoding": "UTF-8",
            "Accept-Encoding": "gzip,deflate",
        },
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=30) as response:
        answer = json.loads(response.read())
    if answer["retcode"] != 0 or not answer.get("data"):
        raise ValueError(answer.get("retmsg"))
    return {key: base64.b64decode(text) for key, text in answer["data"].items()}


@contextmanager
def serving_server() -> Iterator[Serving]:
    serving = Serving()
    handlers = {
        name: grpc.unary_unary_rpc_method_handler(
            method,
            request_deserializer=pb.PublishRequest.FromString,
            response_serializer=pb.PublishResponse.SerializeToString,
        )
        for name, method in (("publishLoad", serving.load), ("publishBind", serving.bind))
    }
    server = grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    serving.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield serving
    finally:
        server.stop(None)


@contextmanager
def http_server(app: FastAPI) -> Iterator[int]:
    """The app below ``/v1`` on a free port, over real HTTP."""
    outer = FastAPI()
    outer.mount("/v1", app)
    config = uvicorn.Config(outer, host="127.0.0.1", port=0, log_level="warning", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(10)
