"""Who may say what to a gateway, and what garbage does to it."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import socket
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from fate_flow.entities import Party
from fate_flow.errors import AttemptSupersededError, FateFlowError, ProtocolError
from fate_flow.federation import rpc, tokens
from fate_flow.federation.admin import GatewayAdmin
from fate_flow.federation.channel import open_channel
from fate_flow.federation.client import GatewaySession
from fate_flow.federation.proto import gateway_pb2 as pb
from fate_flow.federation.routing import RouteError
from fate_flow.federation.tokens import ForeignTokenError, TokenError
from tests.support.gateway import COMPONENT, GUEST, HOST, JOB, GatewayProcess

pytestmark = pytest.mark.slow
PAIR = {"guest": [9999], "host": [10000]}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    process = GatewayProcess(tmp_path_factory.mktemp("site") / "home")
    process.start()
    yield process
    process.stop()


@pytest.fixture(scope="module")
def channel(gateway: GatewayProcess) -> Iterator[grpc.Channel]:
    with open_channel(f"127.0.0.1:{gateway.port}") as channel:
        yield channel


@pytest.fixture(scope="module")
def pair(gateway: GatewayProcess) -> Iterator[tuple[GatewaySession, GatewaySession]]:
    """Two tasks in one attempt."""
    with (
        gateway.session(GUEST, roles=PAIR) as guest,
        gateway.session(HOST, roles=PAIR) as host,
        ThreadPoolExecutor(2) as pool,
    ):
        list(pool.map(lambda session: session.join(), (guest, host)))
        yield guest, host


def _issue(secret: bytes, **changes: Any) -> str:
    claims = {"job_id": JOB, "component": COMPONENT, "role": "guest", "party_id": 9999, "ttl": 60.0}
    return tokens.issue(secret, **{**claims, **changes})


_WRONG: dict[str, Callable[[bytes], str]] = {
    "none": lambda secret: "",
    "noise": lambda secret: "a.b",
    "long": lambda secret: "a" * 5000 + ".b",
    "self-made": lambda secret: _issue(b"another secret"),
    "expired": lambda secret: _issue(secret, ttl=-1.0),
    "site token": tokens.issue_site,
    "unsigned": lambda secret: _issue(secret).split(".")[0] + ".",
    "changed": lambda secret: _changed(_issue(secret, party_id=9998)),
    "other party": lambda secret: _issue(secret, party_id=9998),
    "other role": lambda secret: _issue(secret, role="host"),
    "other job": lambda secret: _issue(secret, job_id="2026010100000000000009"),
    "other component": lambda secret: _issue(secret, component="hetero_lr_1"),
}
_FOREIGN = {"other party", "other role", "other job", "other component"}


def _changed(token: str) -> str:
    body, _, signature = token.partition(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    claims["party"] = 9999
    text = json.dumps(claims, sort_keys=True, separators=(",", ":")).encode()
    return f"{base64.urlsafe_b64encode(text).rstrip(b'=').decode()}.{signature}"


def _requests(caller: pb.Caller) -> dict[str, Any]:
    """One request for every method of the service Gateway."""
    attempt = pb.AttemptRef(incarnation="x", number=0)
    header = pb.SendHeader(caller=caller, attempt=attempt, variable="v", tag="t", size=1)
    return {
        "Attach": iter([pb.AttachRequest(hello=pb.Hello(caller=caller, try_number=1))]),
        "Join": pb.JoinRequest(caller=caller),
        "Put": pb.SendRequest(header=header, data=b"x"),
        "Send": iter([pb.SendRequest(header=header, data=b"x")]),
        "Take": pb.ReceiveRequest(caller=caller, attempt=attempt),
        "Receive": pb.ReceiveRequest(caller=caller, attempt=attempt),
        "Finish": pb.FinishRequest(caller=caller, attempt=attempt),
        "Fail": pb.FailRequest(caller=caller, reason="x"),
    }


def _status(
    channel: grpc.Channel, service: str, method: str, request: Any, token: str
) -> tuple[grpc.StatusCode, str]:
    metadata = (("authorization", f"Bearer {token}"),) if token else ()
    call = getattr(rpc.Stub(service, channel), method)
    try:
        reply = call(request, metadata=metadata, timeout=5)
        if hasattr(reply, "__next__"):
            next(reply, None)
    except grpc.RpcError as error:
        return error.code(), error.details() or ""
    return grpc.StatusCode.OK, ""


_METHODS = [m.name for m in pb.DESCRIPTOR.services_by_name["Gateway"].methods]


@pytest.mark.parametrize("method", _METHODS)
@pytest.mark.parametrize("kind", list(_WRONG))
def test_every_call_of_a_task_wants_its_own_token(
    gateway: GatewayProcess, channel: grpc.Channel, method: str, kind: str
) -> None:
    token = _WRONG[kind](gateway.settings.secret())
    party = pb.PartyRef(role="guest", party_id=9999)
    caller = pb.Caller(job_id=JOB, component=COMPONENT, party=party, session_id="s1")
    code, details = _status(channel, "Gateway", method, _requests(caller)[method], token)
    expected = (
        grpc.StatusCode.PERMISSION_DENIED if kind in _FOREIGN else grpc.StatusCode.UNAUTHENTICATED
    )
    assert code is expected, details
    assert "token" in details
    log = gateway.log
    assert f"refused {method} from ipv4:127.0.0.1" in log
    assert not token or len(token) < 10 or token not in log


@pytest.mark.parametrize(
    ("service", "method", "request_"),
    [
        ("Control", "Cancel", pb.CancelRequest(job_id=JOB, reason="x")),
        ("Control", "Reset", pb.ResetRequest(job_id=JOB)),
        ("Control", "SetPeers", pb.SetPeersRequest(peers="[]")),
        ("Control", "Forward", pb.ForwardRequest(peer="bank-b")),
        ("Control", "CheckPeer", pb.CheckPeerRequest(peer="bank-b")),
        ("Status", "Waits", pb.WaitsRequest()),
        ("Status", "Mailbox", pb.MailboxRequest()),
    ],
)
def test_calls_of_the_site_want_the_sites_token(
    gateway: GatewayProcess, channel: grpc.Channel, service: str, method: str, request_: Any
) -> None:
    secret = gateway.settings.secret()
    for token in (
        "",
        _issue(secret),
        tokens.issue_site(b"other"),
        tokens.issue_site(secret, ttl=-1),
    ):
        code, _ = _status(channel, service, method, request_, token)
        assert code is grpc.StatusCode.UNAUTHENTICATED
    health = _status(channel, "Status", "Health", pb.HealthRequest(), "")
    assert health == (grpc.StatusCode.OK, "")


_FOR_PEERS: dict[str, Any] = {
    "Hello": pb.HelloRequest(protocol_major=1),
    "Call": pb.CallRequest(protocol_major=1, message_id="m", method="job.query"),
    "Echo": iter([pb.EchoPiece(wanted=1)]),
    "Listen": iter([pb.ListenRequest()]),
    "Carry": iter([pb.Bytes(data=b"x")]),
}


@pytest.mark.parametrize("method", list(_FOR_PEERS))
def test_nobody_is_a_peer_without_a_certificate(
    gateway: GatewayProcess, channel: grpc.Channel, method: str
) -> None:
    site_token = tokens.issue_site(gateway.settings.secret())
    code, details = _status(channel, "Peer", method, _FOR_PEERS[method], site_token)
    assert code is grpc.StatusCode.PERMISSION_DENIED, details
    assert "for the gateways of other sites" in details


def test_every_method_is_in_one_of_the_tests_above() -> None:
    services = pb.DESCRIPTOR.services_by_name
    others = {m.name for name in ("Control", "Status") for m in services[name].methods}
    assert set(services) == {"Gateway", "Control", "Status", "Peer"}
    assert set(_requests(pb.Caller())) == set(_METHODS)
    assert others == {
        *("Cancel", "Reset", "SetPeers", "Forward", "CheckPeer"),
        *("Waits", "Mailbox", "Health"),
    }
    assert {m.name for m in services["Peer"].methods} == set(_FOR_PEERS)


def test_clients_get_our_errors(gateway: GatewayProcess) -> None:
    secret = gateway.settings.secret()
    for kind, cls in (("self-made", TokenError), ("other party", ForeignTokenError)):
        session = gateway.session(GUEST, token=_WRONG[kind](secret))
        with session, pytest.raises(cls) as caught:
            session.join()
        assert caught.value.code == cls.code
    with (
        GatewayAdmin(f"127.0.0.1:{gateway.port}", b"other") as admin,
        pytest.raises(TokenError, match="not signed by this site"),
    ):
        admin.waits()


def test_a_party_reads_only_what_is_addressed_to_it(
    gateway: GatewayProcess, pair: tuple[GatewaySession, GatewaySession]
) -> None:
    guest, host = pair
    guest.send("secret_for_host", 1, HOST)
    with pytest.raises(ProtocolError, match="cannot receive from guest 9999"):
        guest.receive("secret_for_host", GUEST, timeout=0.5)
    with pytest.raises(ProtocolError, match="cannot receive from host 10001"):
        guest.receive("x", Party("host", 10001), timeout=0.5)
    assert host.receive("secret_for_host", GUEST) == 1


def test_names_and_sizes_that_are_not_allowed(
    gateway: GatewayProcess, channel: grpc.Channel, pair: tuple[GatewaySession, GatewaySession]
) -> None:
    guest, _ = pair
    for variable in ("", "../../etc/passwd", "a b", "a\nb", "x" * 300):
        with pytest.raises(ProtocolError, match="not a variable name"):
            guest.send(variable, 1, HOST)
    with pytest.raises(ProtocolError, match="not a tag"):
        guest.send("v", 1, HOST, ["a\nb"])
    header = pb.SendHeader(
        caller=guest._caller,
        attempt=guest._attempt,
        variable="v",
        tag="t",
        receivers=[pb.PartyRef(role="host", party_id=10000)],
        size=10,
        digest=b"d" * 32,
        timeout=5.0,
    )

    def send(pieces: list[bytes], **changes: Any) -> tuple[grpc.StatusCode, str]:
        changed = pb.SendHeader()
        changed.CopyFrom(header)
        for name, value in changes.items():
            setattr(changed, name, value)
        requests: list[Any] = [pb.SendRequest(header=changed, data=pieces[0]), *pieces[1:]]
        return _status(channel, "Gateway", "Send", iter(requests), gateway.token(GUEST))

    invalid = grpc.StatusCode.INVALID_ARGUMENT
    assert send([b"12345"], tag="short") == (invalid, "5 bytes came instead of 10")
    assert send([b"123456789", b"123"], tag="long")[0] is invalid
    assert send([b"x"], size=0) == (invalid, "a value cannot have 0 bytes")
    assert send([b"x"], size=-5)[0] is invalid
    assert send([b"x"], offset=-1) == (invalid, "a value of 10 bytes has none at -1")
    assert send([b"x"], offset=11) == (invalid, "a value of 10 bytes has none at 11")
    # It says that bytes are there which nobody has sent.
    assert send([b"x"], offset=9, tag="gap")[0] is invalid
    assert send([b"x"], ask=True, tag="ask")[0] is grpc.StatusCode.OK
    assert send([b"x"], size=2**62)[1].startswith(f"a value of {2**62} bytes is larger than")
    assert send([b"x"], digest=b"short")[0] is invalid
    assert send([b"x"], variable="../x")[0] is invalid
    assert send([b"x"], tag="a\x00b")[0] is invalid
    assert send([b"x"], timeout=-1.0)[0] is invalid
    assert send([b"x"], timeout=float("nan"))[0] is invalid
    # One frame larger than any that we send: refused by size, before it is looked at.
    assert send([b"x" * (3 << 20)], size=3 << 20)[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert send([b"x" * (3 << 19)], size=3 << 19, tag="two")[0] is invalid
    guest.check()
    log = gateway.log
    assert "a\nb" not in log
    assert "Traceback" not in log


def test_a_value_that_does_not_match_its_digest_is_not_given_to_a_component(
    gateway: GatewayProcess, channel: grpc.Channel, pair: tuple[GatewaySession, GatewaySession]
) -> None:
    guest, host = pair
    header = pb.SendHeader(
        caller=guest._caller,
        attempt=guest._attempt,
        variable="forged",
        tag="default",
        receivers=[pb.PartyRef(role="host", party_id=10000)],
        size=3,
        digest=b"d" * 32,
        timeout=5.0,
    )
    request = pb.SendRequest(header=header, data=b"abc")
    status = _status(channel, "Gateway", "Send", iter([request]), gateway.token(GUEST))
    assert status[0] is grpc.StatusCode.OK
    with pytest.raises(ProtocolError, match="does not match its digest"):
        host.receive("forged", GUEST)


def test_a_value_is_not_read_from_a_place_that_it_does_not_have(
    gateway: GatewayProcess, channel: grpc.Channel, pair: tuple[GatewaySession, GatewaySession]
) -> None:
    guest, host = pair
    guest.send("some", b"value", HOST)
    message = pb.MessageRef(
        variable="some", tag="default", sender=pb.PartyRef(role="guest", party_id=9999)
    )
    for offset in (-1, 1 << 40):
        request = pb.ReceiveRequest(
            caller=host._caller, attempt=host._attempt, message=message, timeout=5.0, offset=offset
        )
        status = _status(channel, "Gateway", "Receive", request, gateway.token(HOST))
        assert status[0] is grpc.StatusCode.INVALID_ARGUMENT, status
    assert host.receive("some", GUEST) == b"value"


def test_a_session_cannot_be_taken_over_by_its_number_alone(
    gateway: GatewayProcess, channel: grpc.Channel, pair: tuple[GatewaySession, GatewaySession]
) -> None:
    _, host = pair
    stolen = pb.Caller()
    stolen.CopyFrom(host._caller)
    request = pb.FailRequest(caller=stolen, reason="sabotage")
    code, _ = _status(channel, "Gateway", "Fail", request, gateway.token(GUEST))
    assert code is grpc.StatusCode.PERMISSION_DENIED
    host.check()


def test_an_attempt_of_another_gateway_run_is_refused(
    pair: tuple[GatewaySession, GatewaySession],
) -> None:
    guest, _ = pair
    right = guest._attempt
    try:
        guest._attempt = pb.AttemptRef(incarnation="0" * 32, number=0)
        with pytest.raises(AttemptSupersededError):
            guest.receive("x", HOST)
    finally:
        guest._attempt = right
    guest.check()


_GARBAGE = {
    "noise": bytes(range(256)) * 40,
    "http": b"GET /v1/job/submit HTTP/1.1\r\nHost: x\r\n\r\n",
    "preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 4000,
    # A DATA frame that announces 16 MB, the most that its length field can.
    "huge frame": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    + bytes.fromhex("000000040000000000")
    + b"\xff\xff\xff\x00\x00\x00\x00\x00\x01"
    + b"x" * 100_000,
    "tls": bytes.fromhex("16030100c8010000c40303") + b"\x00" * 190,
}


@pytest.mark.parametrize("kind", list(_GARBAGE))
def test_garbage_at_the_port(
    gateway: GatewayProcess, pair: tuple[GatewaySession, GatewaySession], kind: str
) -> None:
    before = gateway.rss()
    for _ in range(20):
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", gateway.port), timeout=5) as sock,
        ):
            sock.sendall(_GARBAGE[kind])
            sock.settimeout(0.5)
            sock.recv(1000)
    assert gateway.rss() - before < 10e6
    guest, host = pair
    guest.send(f"still_{kind.replace(' ', '_')}", 1, HOST)
    assert host.receive(f"still_{kind.replace(' ', '_')}", GUEST) == 1


def test_a_browser_gets_no_answer(gateway: GatewayProcess) -> None:
    with pytest.raises((OSError, http.client.HTTPException)):
        urllib.request.urlopen(f"http://127.0.0.1:{gateway.port}/", timeout=5)


def test_a_party_of_another_site_is_named(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("other") / "home"
    process = GatewayProcess(folder, {"PARTIES": ["guest:9999"]})
    process.start()
    try:
        with (
            process.session(GUEST, roles=PAIR) as session,
            pytest.raises(RouteError, match="party host 10000 is not hosted here and at no peer"),
        ):
            session.join()
    finally:
        process.stop()


def test_a_missing_secret_is_a_clear_end(tmp_path_factory: pytest.TempPathFactory) -> None:
    process = GatewayProcess(tmp_path_factory.mktemp("none") / "home")
    (process.home / "conf" / "site_secret").unlink()
    with pytest.raises((AssertionError, FateFlowError), match="site_secret"):
        process.start()
    time.sleep(0.1)
    assert "Traceback" not in process.log
