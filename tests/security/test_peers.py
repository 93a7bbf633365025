"""What another site may do at a gateway, and what one that only pretends to be it may not."""

from __future__ import annotations

import contextlib
import datetime
import http.server
import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from fate_flow.entities import Party
from fate_flow.errors import ConfigurationError, FateFlowError, ProtocolError
from fate_flow.federation import identity as identity_module
from fate_flow.federation import rpc, tokens
from fate_flow.federation.admin import GatewayAdmin
from fate_flow.federation.channel import Tls, open_channel, site_tls
from fate_flow.federation.identity import SiteIdentity
from fate_flow.federation.peers import PeerRefusedError, PeerTable, PeerUnreachableError
from fate_flow.federation.proto import gateway_pb2 as pb
from fate_flow.federation.routing import RouteError
from fate_flow.settings import Settings, load
from tests.support.federated import FederatedGateway, three_sites, wait_until
from tests.support.gateway import ARBITER, COMPONENT, GUEST, HOST, JOB, free_port

pytestmark = pytest.mark.slow


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


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[FederatedGateway]]:
    port = free_port()
    with three_sites(tmp_path_factory.mktemp("sites"), HTTP_PORT=port) as made:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Api)
        server.secret = made[0].settings.secret()  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield made
        server.shutdown()
        server.server_close()


@pytest.fixture
def bank(sites: list[FederatedGateway]) -> Iterator[FederatedGateway]:
    """The home; after each test it still serves."""
    yield sites[0]
    with sites[0].admin() as admin:
        assert admin.health().uptime > 0


def _as_peer(
    bank: FederatedGateway, tls: Tls, service: str, method: str, request: Any, **metadata: str
) -> Any:
    pairs = tuple((key.replace("_", "-"), value) for key, value in metadata.items())
    with open_channel(f"127.0.0.1:{bank.port}", tls) as channel:
        reply = getattr(rpc.Stub(service, channel), method)(request, metadata=pairs, timeout=5)
        return list(reply) if hasattr(reply, "__next__") else reply


def _tls_to(bank: FederatedGateway, own: SiteIdentity) -> Tls:
    mine = own.tls()
    return Tls(bank.identity.ca_pem.encode(), mine.certificate, mine.key, bank.identity.server_name)


def _refused(code: grpc.StatusCode, *arguments: Any, **metadata: Any) -> str:
    with pytest.raises(grpc.RpcError) as caught:
        _as_peer(*arguments, **metadata)
    assert caught.value.code() is code, caught.value.details()
    return str(caught.value.details())


def _other_site(folder: Path, name: str = "stranger") -> tuple[Settings, SiteIdentity]:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "fate_flow.yaml").write_text("IP: 127.0.0.1\n")
    settings = load(folder)
    return settings, SiteIdentity.create(settings, name)


def _join(party: Party, job: str = JOB) -> pb.JoinRequest:
    caller = pb.Caller(
        job_id=job,
        component=COMPONENT,
        party=pb.PartyRef(role=party.role, party_id=party.party_id),
        session_id="s1",
    )
    return pb.JoinRequest(caller=caller, timeout=1)


def test_a_peer_speaks_for_its_own_parties_only(sites: list[FederatedGateway]) -> None:
    bank, shop = sites[0], sites[1]
    tls = _tls_to(bank, shop.identity)
    ticket = bank.ticket([HOST, ARBITER])
    denied = grpc.StatusCode.PERMISSION_DENIED
    for party in (ARBITER, GUEST):
        text = _refused(denied, bank, tls, "Gateway", "Join", _join(party), fate_flow_ticket=ticket)
        assert f"peer shop may not speak for {party}" in text
    text = _refused(
        denied, bank, tls, "Gateway", "Join", _join(HOST, "9" * 22), fate_flow_ticket=ticket
    )
    assert f"ticket of job {JOB} was used for host 10000 in job" in text
    own = bank.ticket([ARBITER])
    _refused(denied, bank, tls, "Gateway", "Join", _join(HOST), fate_flow_ticket=own)
    for wrong in ("", "x.y", shop.ticket([HOST]), bank.ticket([HOST], ttl=-1), bank.token(HOST)):
        _refused(
            grpc.StatusCode.UNAUTHENTICATED,
            *(bank, tls, "Gateway", "Join", _join(HOST)),
            fate_flow_ticket=wrong,
        )
    assert "refused Join from peer shop at ipv4:127.0.0.1" in bank.log
    # The right one gets as far as the room, which does not know the process.
    text = _refused(
        grpc.StatusCode.FAILED_PRECONDITION,
        *(bank, tls, "Gateway", "Join", _join(HOST)),
        fate_flow_ticket=ticket,
    )
    assert "does not know this process" in text


@pytest.mark.parametrize(
    ("service", "method", "request_"),
    [
        ("Control", "Cancel", pb.CancelRequest(job_id=JOB)),
        ("Control", "Reset", pb.ResetRequest(job_id=JOB)),
        ("Control", "SetPeers", pb.SetPeersRequest(peers="[]")),
        ("Control", "Forward", pb.ForwardRequest(peer="office")),
        ("Control", "CheckPeer", pb.CheckPeerRequest(peer="office")),
        ("Status", "Waits", pb.WaitsRequest()),
        ("Status", "Mailbox", pb.MailboxRequest()),
    ],
)
def test_what_is_for_the_site_is_not_for_peers(
    sites: list[FederatedGateway],
    bank: FederatedGateway,
    service: str,
    method: str,
    request_: Any,
) -> None:
    token = tokens.issue_site(bank.settings.secret())
    text = _refused(
        grpc.StatusCode.PERMISSION_DENIED,
        *(bank, _tls_to(bank, sites[1].identity), service, method, request_),
        authorization=f"Bearer {token}",
    )
    assert "peer shop called what is for the site itself" in text
    assert f"refused {method} from peer shop at ipv4:127.0.0.1" in bank.log


def test_a_peer_cannot_speak_to_a_third_site_in_our_name(sites: list[FederatedGateway]) -> None:
    bank = sites[0]
    text = _refused(
        grpc.StatusCode.UNAUTHENTICATED,
        *(bank, _tls_to(bank, sites[1].identity), "Gateway", "Join", _join(HOST)),
        fate_flow_ticket=sites[2].ticket([HOST]),
        fate_flow_home=ARBITER.key,
    )
    assert "not signed by this site" in text


def test_strangers_do_not_get_in(
    sites: list[FederatedGateway], bank: FederatedGateway, tmp_path: Path
) -> None:
    _, stranger = _other_site(tmp_path)
    mine = stranger.tls()
    only_root = _tls_to(bank, stranger)
    for tls in (None, mine, only_root):
        with (
            GatewayAdmin(
                f"127.0.0.1:{bank.port}", bank.settings.secret(), tls=tls, timeout=3.0
            ) as admin,
            pytest.raises(FateFlowError, match=r"cannot be reached|does not answer"),
        ):
            admin.health()
    wait_until(lambda: "its certificate is of no site that is known here" in bank.log)


def test_an_authority_cannot_sign_in_anothers_name(
    sites: list[FederatedGateway], bank: FederatedGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shop's authority is trusted, for the shop."""
    shop, office = sites[1].identity, sites[2].identity
    authority: Any = serialization.load_pem_private_key((shop.folder / "ca.key").read_bytes(), None)
    leaf: Any = serialization.load_pem_private_key((shop.folder / "gateway.key").read_bytes(), None)
    ca = x509.load_pem_x509_certificate(shop.ca_pem.encode())
    for named in (office.site_id, bank.identity.site_id, "0123456789abcdef"):
        forged = replace(
            _tls_to(bank, shop), certificate=identity_module._leaf(authority, ca, leaf, named)
        )
        text = _refused(
            grpc.StatusCode.UNAUTHENTICATED,
            *(bank, forged, "Peer", "Hello", pb.HelloRequest(protocol_major=1)),
        )
        assert "another authority" in text or "is not a peer" in text
    assert "refused Hello from certificate SHA-256" in bank.log
    # Expired, by the right authority: the handshake itself fails.
    past = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=500)
    monkeypatch.setattr(identity_module, "_now", lambda: past)
    expired = replace(
        _tls_to(bank, shop), certificate=identity_module._leaf(authority, ca, leaf, shop.site_id)
    )
    _refused(
        grpc.StatusCode.UNAVAILABLE,
        *(bank, expired, "Peer", "Hello", pb.HelloRequest(protocol_major=1)),
    )
    wait_until(lambda: "its certificate has expired" in bank.log)


def test_peers_come_and_go_without_a_restart(sites: list[FederatedGateway], tmp_path: Path) -> None:
    bank = sites[0]
    _, stranger = _other_site(tmp_path, "newcomer")
    tls = _tls_to(bank, stranger)
    hello = pb.HelloRequest(protocol_major=1)
    card = replace(
        sites[1].card(),
        name="newcomer",
        site_id=stranger.site_id,
        ca_pem=stranger.ca_pem,
        parties=(Party("host", 777),),
    )
    _refused(grpc.StatusCode.UNAVAILABLE, bank, tls, "Peer", "Hello", hello)
    with open_channel(f"127.0.0.1:{bank.port}", tls) as channel:
        bank.know(*sites[1:], card)
        stub = rpc.Stub("Peer", channel)
        reply = _as_peer(bank, tls, "Peer", "Hello", hello)
        assert [(p.role, p.party_id) for p in reply.your_parties] == [("host", 777)]
        echo = stub.Echo(iter([pb.EchoPiece(wanted=1)]), timeout=5)
        assert [len(piece.data) for piece in echo] == [1]
        bank.know(*sites[1:])
        # The open connection, too, is worth nothing now.
        with pytest.raises(grpc.RpcError) as caught:
            stub.Hello(hello, timeout=5)
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    _refused(grpc.StatusCode.UNAVAILABLE, bank, tls, "Peer", "Hello", hello)


def test_lists_of_peers_that_are_not_possible(
    sites: list[FederatedGateway], bank: FederatedGateway
) -> None:
    with bank.admin() as admin:
        before = admin.health().peers_digest
        for wrong, text in (
            (replace(sites[1].card(), parties=(GUEST,)), "guest 9999 is hosted here"),
            (replace(bank.card(), parties=(Party("host", 5),)), "is this site itself"),
        ):
            with pytest.raises(ConfigurationError, match=text):
                admin.set_peers(PeerTable([wrong]))
        assert admin.health().peers_digest == before


# -- messages between sites ------------------------------------------------------------------


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
    tls = _tls_to(bank, sites[1].identity)
    call = pb.CallRequest(
        protocol_major=1, protocol_minor=7, message_id="m1", method="job.query", body=b"{}"
    )
    assert _as_peer(bank, tls, "Peer", "Call", call).code == 0
    text = _refused(grpc.StatusCode.INVALID_ARGUMENT, bank, tls, "Peer", "Call", call)
    assert "message m1 came before" in text
    call.protocol_major, call.message_id = 2, "m2"
    text = _refused(grpc.StatusCode.FAILED_PRECONDITION, bank, tls, "Peer", "Call", call)
    assert "version 2.7" in text
    assert "this one 1.0" in text
    for name, method, body in (("m3", "../x", b"{}"), ("", "a", b"{}"), ("m4", "a", b"\xff")):
        bad = pb.CallRequest(protocol_major=1, message_id=name, method=method, body=body)
        _refused(grpc.StatusCode.INVALID_ARGUMENT, bank, tls, "Peer", "Call", bad)
    echo = iter([pb.EchoPiece(wanted=1 << 40)])
    _refused(grpc.StatusCode.INVALID_ARGUMENT, bank, tls, "Peer", "Echo", echo)


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


# -- what is wrong with a connection -----------------------------------------------------------


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
    _, other = _other_site(tmp_path / "other", "other")
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


# -- garbage ---------------------------------------------------------------------------------


def _tls_socket(bank: FederatedGateway, own: SiteIdentity) -> ssl.SSLSocket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=bank.identity.ca_pem)
    context.load_cert_chain(own.folder / "gateway.pem", own.folder / "gateway.key")
    context.set_alpn_protocols(["h2"])
    plain = socket.create_connection(("127.0.0.1", bank.port), 5)
    return context.wrap_socket(plain, server_hostname=bank.identity.server_name)


def _frame(kind: int, flags: int, stream: int, payload: bytes, size: int | None = None) -> bytes:
    length = len(payload) if size is None else size
    return struct.pack(">I", length)[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _literal(name: bytes, value: bytes) -> bytes:
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


def test_an_announced_giant_is_not_waited_for(
    sites: list[FederatedGateway], bank: FederatedGateway
) -> None:
    before = bank.rss()
    path = b"/fate_flow.federation.Peer/Call"
    headers = b"".join(
        _literal(name, value)
        for name, value in (
            (b":method", b"POST"),
            (b":scheme", b"https"),
            (b":path", path),
            (b":authority", bank.identity.server_name.encode()),
            (b"te", b"trailers"),
            (b"content-type", b"application/grpc"),
        )
    )
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(4, 0, 0, b"")
    # A gRPC message of 4 GiB - 1, the largest that can be said; an HTTP/2 frame of 16 MiB.
    giant_message = _frame(0, 0, 1, b"\x00\xff\xff\xff\xff" + b"x" * 1000)
    giant_frame = _frame(0, 0, 1, b"x" * 1000, size=(1 << 24) - 1)
    for giant in (giant_message, giant_frame):
        with _tls_socket(bank, sites[1].identity) as connection:
            connection.sendall(preface + _frame(1, 4, 1, headers) + giant)
            connection.settimeout(5)
            answer = b""
            with contextlib.suppress(OSError):
                while chunk := connection.recv(65536):
                    answer += chunk
                    if b"grpc-status" in answer or b"larger than max" in answer:
                        break
            assert b"larger than max" in answer
    assert bank.rss() - before < 32 << 20


def test_garbage_on_the_port(sites: list[FederatedGateway], bank: FederatedGateway) -> None:
    for garbage in (
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\xff\xff" + b"\xff" * 5000,
        b"\0" * 99,
    ):
        with socket.create_connection(("127.0.0.1", bank.port), 5) as connection:
            connection.sendall(garbage)
            connection.settimeout(5)
            with contextlib.suppress(OSError):
                connection.recv(1000)
    with _tls_socket(bank, sites[1].identity) as connection:
        connection.settimeout(5)
        started = time.monotonic()
        with contextlib.suppress(OSError):
            connection.sendall(b"\xff" * 50_000)
            while connection.recv(65536):
                assert time.monotonic() - started < 5
    assert "Traceback" not in bank.log


def test_a_renewed_certificate_is_taken_on(sites: list[FederatedGateway]) -> None:
    """New connections of tasks use the new file; the gateway's old one is as good."""
    shop = sites[1]
    assert shop.identity.renew(force=True)
    with GatewayAdmin(
        shop.settings.grpc_address, shop.settings.secret(), tls=site_tls(shop.settings)
    ) as admin:
        assert admin.health().uptime > 0
