"""Messages between sites: what passes, what does not, and how a broken way is explained."""

from __future__ import annotations

import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest

from fate_flow.errors import ProtocolError
from fate_flow.federation.peers import PeerRefusedError, PeerUnreachableError
from fate_flow.federation.proto import gateway_pb2 as pb
from fate_flow.federation.routing import RouteError
from tests.support.federated import FederatedGateway
from tests.support.gateway import GUEST, HOST, JOB, free_port
from tests.support.peer_calls import as_peer, other_site, refused, tls_to

pytestmark = pytest.mark.slow


def test_a_message_goes_to_the_other_sites_api(sites: list[FederatedGateway]) -> None:
    with sites[1].admin() as shop:
        data = shop.call_peer("bank", "job.query", {"job_id": JOB})
        assert data["path"] == "/v1/internal/peer"
        assert (data["peer"], data["method"], data["body"]) == (
            "shop",
            "job.query",
            {"job_id": JOB},
        )
        assert data["protocol"] == [1, 0]
        with pytest.raises(PeerRefusedError, match="site bank: no such table") as caught:
            shop.call_peer("bank", "job.refused", {})
        assert caught.value.data == {"problems": ["t"]}
        with pytest.raises(PeerRefusedError, match="the answer has more than"):
            shop.call_peer("bank", "job.large", {})
        with pytest.raises(ProtocolError, match=r"has 2\d+ bytes; allowed: 2031616"):
            shop.call_peer("bank", "job.query", {"x": "y" * (2 << 20)})
        with pytest.raises(RouteError, match=r"no peer is called 'nobody'; known: bank, office"):
            shop.call_peer("nobody", "job.query", {})


def test_one_peer_cannot_take_all_of_the_api(sites: list[FederatedGateway]) -> None:
    with sites[1].admin() as shop, ThreadPoolExecutor(10) as pool:
        calls = [pool.submit(shop.call_peer, "bank", "job.slow", {}) for _ in range(10)]
        errors = [call.exception(20) for call in calls]
    refused = [str(error) for error in errors if error is not None]
    assert len(refused) == 2
    assert all("8 messages of shop are being worked on" in text for text in refused)


def test_replays_and_other_versions_are_refused(
    sites: list[FederatedGateway], bank: FederatedGateway
) -> None:
    tls = tls_to(bank, sites[1].identity)
    call = pb.CallRequest(
        protocol_major=1, protocol_minor=7, message_id="m1", method="job.query", body=b"{}"
    )
    assert as_peer(bank, tls, "Peer", "Call", call).code == 0
    text = refused(grpc.StatusCode.INVALID_ARGUMENT, bank, tls, "Peer", "Call", call)
    assert "message m1 came before" in text
    call.protocol_major, call.message_id = 2, "m2"
    text = refused(grpc.StatusCode.FAILED_PRECONDITION, bank, tls, "Peer", "Call", call)
    assert "version 2.7" in text
    assert "this one 1.0" in text
    for name, method, body in (("m3", "../x", b"{}"), ("", "a", b"{}"), ("m4", "a", b"\xff")):
        bad = pb.CallRequest(protocol_major=1, message_id=name, method=method, body=body)
        refused(grpc.StatusCode.INVALID_ARGUMENT, bank, tls, "Peer", "Call", bad)
    echo = iter([pb.EchoPiece(wanted=1 << 40)])
    refused(grpc.StatusCode.INVALID_ARGUMENT, bank, tls, "Peer", "Echo", echo)


def test_values_cannot_be_replayed(sites: list[FederatedGateway]) -> None:
    bank, shop = sites[0], sites[1]
    parties = {"guest": [9999], "host": [10000]}
    options: dict[str, Any] = {"component": "replay_0", "roles": parties, "timeout": 20.0}
    with bank.task(GUEST, bank, **options) as guest, shop.task(HOST, bank, **options) as host:
        thread = threading.Thread(target=guest.join)
        thread.start()
        host.join()
        thread.join(20)
        host.send("x", 1, GUEST)
        assert guest.receive("x", HOST) == 1
        header = pb.SendHeader(
            caller=host._caller,
            attempt=host._attempt,
            variable="x",
            tag="default",
            receivers=[pb.PartyRef(role="guest", party_id=9999)],
            size=3,
            digest=b"d" * 32,
        )
        put = pb.SendRequest(header=header, data=b"abc")
        with pytest.raises(grpc.RpcError) as caught:
            host._stub.Put(put, metadata=host._metadata, timeout=5)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        header.attempt.number = 7
        put = pb.SendRequest(header=header, data=b"abc")
        with pytest.raises(grpc.RpcError) as caught:
            host._stub.Put(put, metadata=host._metadata, timeout=5)
        assert caught.value.code() is grpc.StatusCode.ABORTED


def test_a_check_tells_step_by_step(sites: list[FederatedGateway]) -> None:
    with sites[1].admin() as shop:
        findings = shop.check_peer("bank", size=1 << 20)
    assert [f.step for f in findings] == [
        *("address", "tcp", "tls", "identity", "version", "clock", "parties"),
        *("round_trip", "bandwidth"),
    ]
    assert all(f.ok for f in findings), findings


def test_causes_are_named(sites: list[FederatedGateway], tmp_path: Path) -> None:
    bank, shop, office = sites
    card = bank.card()
    _, other = other_site(tmp_path / "other", "other")
    silent = socket.create_server(("127.0.0.1", 0))
    cases = {
        "connection refused": replace(card, address=f"127.0.0.1:{free_port()}"),
        "name not found": replace(card, address="no-such-host.invalid:9360"),
        "another authority signed it": replace(card, ca_pem=other.ca_pem),
        "that of another site": replace(card, site_id="0" * 16),
        "nobody has said where it is": replace(card, address=""),
    }
    try:
        for text, changed in cases.items():
            shop.know(changed, office)
            with shop.admin() as admin:
                with pytest.raises(PeerUnreachableError) as caught:
                    admin.call_peer("bank", "job.query", {}, timeout=8.0)
                assert text in caught.value.message or "not the pinned one" in caught.value.message
                assert text in next(f.text for f in admin.check_peer("bank") if not f.ok)
        shop.know(replace(card, address=f"127.0.0.1:{silent.getsockname()[1]}"), office)
        with shop.admin() as admin, pytest.raises(PeerUnreachableError, match="timed out"):
            admin.call_peer("bank", "job.query", {}, timeout=2.0)
        # They have not added us.
        bank.know(office)
        shop.know(card, office)
        with shop.admin() as admin:
            with pytest.raises(PeerUnreachableError, match="do not accept our certificate"):
                admin.call_peer("bank", "job.query", {}, timeout=8.0)
            last = admin.check_peer("bank")[-1]
            assert (last.step, last.ok) == ("identity", False)
            assert "fate_flow peer invite" in last.remedy
    finally:
        silent.close()
        bank.know(shop, office)
        shop.know(bank, office)
