"""What another site may do at a gateway, and what one that only pretends to be it may not."""

from __future__ import annotations

import datetime
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from fate_flow.entities import Party
from fate_flow.errors import ConfigurationError, FateFlowError
from fate_flow.federation import identity as identity_module
from fate_flow.federation import rpc, tokens
from fate_flow.federation.admin import GatewayAdmin
from fate_flow.federation.channel import open_channel, site_tls
from fate_flow.federation.peers import PeerTable
from fate_flow.federation.proto import gateway_pb2 as pb
from tests.support.federated import FederatedGateway, wait_until
from tests.support.gateway import ARBITER, GUEST, HOST, JOB
from tests.support.peer_calls import as_peer, join, other_site, refused, tls_to

pytestmark = pytest.mark.slow


def test_a_peer_speaks_for_its_own_parties_only(sites: list[FederatedGateway]) -> None:
    bank, shop = sites[0], sites[1]
    tls = tls_to(bank, shop.identity)
    ticket = bank.ticket([HOST, ARBITER])
    denied = grpc.StatusCode.PERMISSION_DENIED
    for party in (ARBITER, GUEST):
        text = refused(denied, bank, tls, "Gateway", "Join", join(party), fate_flow_ticket=ticket)
        assert f"peer shop may not speak for {party}" in text
    text = refused(
        denied, bank, tls, "Gateway", "Join", join(HOST, "9" * 22), fate_flow_ticket=ticket
    )
    assert f"ticket of job {JOB} was used for host 10000 in job" in text
    own = bank.ticket([ARBITER])
    refused(denied, bank, tls, "Gateway", "Join", join(HOST), fate_flow_ticket=own)
    for wrong in ("", "x.y", shop.ticket([HOST]), bank.ticket([HOST], ttl=-1), bank.token(HOST)):
        refused(
            grpc.StatusCode.UNAUTHENTICATED,
            *(bank, tls, "Gateway", "Join", join(HOST)),
            fate_flow_ticket=wrong,
        )
    assert "refused Join from peer shop at ipv4:127.0.0.1" in bank.log
    # The right one gets as far as the room, which does not know the process.
    text = refused(
        grpc.StatusCode.FAILED_PRECONDITION,
        *(bank, tls, "Gateway", "Join", join(HOST)),
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
    text = refused(
        grpc.StatusCode.PERMISSION_DENIED,
        *(bank, tls_to(bank, sites[1].identity), service, method, request_),
        authorization=f"Bearer {token}",
    )
    assert "peer shop called what is for the site itself" in text
    assert f"refused {method} from peer shop at ipv4:127.0.0.1" in bank.log


def test_a_peer_cannot_speak_to_a_third_site_in_our_name(sites: list[FederatedGateway]) -> None:
    bank = sites[0]
    text = refused(
        grpc.StatusCode.UNAUTHENTICATED,
        *(bank, tls_to(bank, sites[1].identity), "Gateway", "Join", join(HOST)),
        fate_flow_ticket=sites[2].ticket([HOST]),
        fate_flow_home=ARBITER.key,
    )
    assert "not signed by this site" in text


def test_strangers_do_not_get_in(
    sites: list[FederatedGateway], bank: FederatedGateway, tmp_path: Path
) -> None:
    _, stranger = other_site(tmp_path)
    mine = stranger.tls()
    only_root = tls_to(bank, stranger)
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
            tls_to(bank, shop), certificate=identity_module._leaf(authority, ca, leaf, named)
        )
        text = refused(
            grpc.StatusCode.UNAUTHENTICATED,
            *(bank, forged, "Peer", "Hello", pb.HelloRequest(protocol_major=1)),
        )
        assert "another authority" in text or "is not a peer" in text
    assert "refused Hello from certificate SHA-256" in bank.log
    # Expired, by the right authority: the handshake itself fails.
    past = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=500)
    monkeypatch.setattr(identity_module, "_now", lambda: past)
    expired = replace(
        tls_to(bank, shop), certificate=identity_module._leaf(authority, ca, leaf, shop.site_id)
    )
    refused(
        grpc.StatusCode.UNAVAILABLE,
        *(bank, expired, "Peer", "Hello", pb.HelloRequest(protocol_major=1)),
    )
    wait_until(lambda: "its certificate has expired" in bank.log)


def test_peers_come_and_go_without_a_restart(sites: list[FederatedGateway], tmp_path: Path) -> None:
    bank = sites[0]
    _, stranger = other_site(tmp_path, "newcomer")
    tls = tls_to(bank, stranger)
    hello = pb.HelloRequest(protocol_major=1)
    card = replace(
        sites[1].card(),
        name="newcomer",
        site_id=stranger.site_id,
        ca_pem=stranger.ca_pem,
        parties=(Party("host", 777),),
    )
    refused(grpc.StatusCode.UNAVAILABLE, bank, tls, "Peer", "Hello", hello)
    with open_channel(f"127.0.0.1:{bank.port}", tls) as channel:
        bank.know(*sites[1:], card)
        stub = rpc.Stub("Peer", channel)
        reply = as_peer(bank, tls, "Peer", "Hello", hello)
        assert [(p.role, p.party_id) for p in reply.your_parties] == [("host", 777)]
        echo = stub.Echo(iter([pb.EchoPiece(wanted=1)]), timeout=5)
        assert [len(piece.data) for piece in echo] == [1]
        bank.know(*sites[1:])
        # The open connection, too, is worth nothing now.
        with pytest.raises(grpc.RpcError) as caught:
            stub.Hello(hello, timeout=5)
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    refused(grpc.StatusCode.UNAVAILABLE, bank, tls, "Peer", "Hello", hello)


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


def test_a_renewed_certificate_is_taken_on(sites: list[FederatedGateway]) -> None:
    """New connections of tasks use the new file; the gateway's old one is as good."""
    shop = sites[1]
    assert shop.identity.renew(force=True)
    with GatewayAdmin(
        shop.settings.grpc_address, shop.settings.secret(), tls=site_tls(shop.settings)
    ) as admin:
        assert admin.health().uptime > 0
