"""Why another site's gateway cannot be reached, in words.

gRPC says little when certificates do not fit: with TLS 1.3 a client that is not accepted only
sees its connection closed. So the handshake is made once more by hand, and looked at.
"""

from __future__ import annotations

import asyncio
import datetime
import os
import socket
import ssl
from dataclasses import dataclass

from fate_flow.federation.addresses import MAX_REASON_CHARACTERS, printable
from fate_flow.federation.identity import SiteIdentity
from fate_flow.federation.peers import Peer

_OWN_EXPIRED = "our certificate has expired"
_RENEW = "Restart this site's service, which renews it"
_NOT_TRUSTED = "they do not accept our certificate"
_EXPIRED, _SELF_SIGNED, _SELF_SIGNED_CHAIN, _NO_ISSUER, _OTHER_NAME = 10, 18, 19, 20, 62
#: The connection came to nothing before a certificate was seen.
CLOSED = "the connection was closed during the TLS handshake"
SILENT = "no answer to the TLS handshake"
_IN_BETWEEN = "Does a firewall or a proxy in between end it, or does their service start just now?"
_DROPPED = (
    "A firewall between the sites may drop the packets; a site behind a NAT must dial: "
    "fate_flow peer update NAME --they-dial here, --we-dial there"
)
_SEND_CARD = "Give them this site's invitation (fate_flow peer invite); they add it"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        step: address, tcp, tls, identity, version, clock, round_trip, bandwidth.
        text: what was found; remedy: what to do when it is not ``ok``.
    """

    step: str
    ok: bool
    text: str
    remedy: str = ""


def probe(peer: Peer, target: str, identity: SiteIdentity, timeout: float = 5.0) -> list[Finding]:
    """What a connection to a peer's gateway comes to; blocks. Ends with the first failure.

    Args:
        target: ``host:port``, or ``unix:PATH`` of a tunnel.
    """
    findings: list[Finding] = []
    try:
        connection = _connect(peer, target, timeout, findings)
    except OSError as error:
        findings.append(_unreachable(peer, target, error, findings, timeout))
        return findings
    with connection:
        findings.append(Finding("tcp", True, f"{_where(peer, target)} accepts connections"))
        findings += _handshake(connection, peer, identity)
    return findings


def cause_of(findings: list[Finding]) -> str:
    """The first failure; empty when there is none."""
    return next((finding.text for finding in findings if not finding.ok), "")


def cause_in(details: str) -> str:
    """What gRPC's own text says, for those causes that it knows; else empty."""
    for mark, text in (
        ("Connection refused", "connection refused"),
        ("Domain name not found", "name not found"),
        ("address lookup failed", "name not found"),
        ("Connection timed out", "timed out"),
        ("ping timeout", "the connection went dead"),
        ("keepalive", "the connection went dead"),
        ("No route to host", "no route to host"),
        ("Network is unreachable", "network is unreachable"),
        ("certificate has expired", "their certificate has expired"),
        ("CERTIFICATE_VERIFY_FAILED", "their certificate is not the pinned one"),
        ("Hostname Verification", "their certificate is that of another site"),
    ):
        if mark in details:
            return text
    return ""


def reason_in(details: str, *, said: bool = False) -> str:
    """Of a broken call, in one line; ``said``: the words are the other gateway's own."""
    known = "" if said else cause_in(details)
    return known or printable(details, MAX_REASON_CHARACTERS)


def told_by(middle: str, details: str, said: bool) -> str:
    """Why the site in the middle carries nothing.

    It speaks of itself as "this site", and of us by the name that it has for us.
    """
    verb = "says" if said else "cannot be reached"
    return f"site {middle} {verb}: {reason_in(details, said=said)}"


def cause_of_error(error: Exception, seconds: float) -> str:
    """Why a connection did not come to be, when that much time was given."""
    if isinstance(error, (TimeoutError, asyncio.TimeoutError)):
        return f"no answer within {seconds:.0f} s"
    # asyncio writes a text of its own where the system's would be.
    number = error.errno if isinstance(error, OSError) else None
    return os.strerror(number).lower() if number else printable(str(error))


def _where(peer: Peer, target: str) -> str:
    if not target.startswith("unix:"):
        return target
    return f"the way through {peer.via}" if peer.via else "the tunnel to it"


def _connect(peer: Peer, target: str, timeout: float, findings: list[Finding]) -> socket.socket:
    if target.startswith("unix:"):
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(timeout)
        connection.connect(target.removeprefix("unix:"))
        findings.append(Finding("address", True, f"through {peer.via or 'a tunnel'}"))
        return connection
    host, _, port = target.rpartition(":")
    host = host.strip("[]")
    found = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)
    numbers = ", ".join(sorted({str(entry[4][0]) for entry in found}))
    findings.append(Finding("address", True, f"{host} is {numbers}"))
    return socket.create_connection((host, int(port)), timeout)


def _unreachable(
    peer: Peer, target: str, error: OSError, findings: list[Finding], timeout: float
) -> Finding:
    where = _where(peer, target)
    if isinstance(error, socket.gaierror):
        return Finding("address", False, f"{where}: name not found", "Correct the address")
    step = "tcp" if findings else "address"
    if isinstance(error, ConnectionRefusedError):
        text = f"{where}: connection refused"
        return Finding(step, False, text, "Their service does not run, or the port is another")
    if isinstance(error, TimeoutError):
        text = f"{where}: timed out after {timeout:.0f} s"
        return Finding(step, False, text, _DROPPED)
    return Finding(step, False, f"{where}: {error.strerror or error}")


def _handshake(connection: socket.socket, peer: Peer, identity: SiteIdentity) -> list[Finding]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cadata=peer.ca_pem)
        context.load_cert_chain(identity.folder / "gateway.pem", identity.folder / "gateway.key")
        context.set_alpn_protocols(["h2"])
        secure = context.wrap_socket(connection, server_hostname=peer.server_name)
    except ssl.SSLCertVerificationError as error:
        return [_their_certificate(error)]
    except TimeoutError:
        return [Finding("tls", False, SILENT, "Something else than a gateway?")]
    except ssl.SSLEOFError:
        return [Finding("tls", False, CLOSED, _IN_BETWEEN)]
    except ssl.SSLError as error:
        return [_refused(error)]
    except OSError:
        return [Finding("tls", False, CLOSED, _IN_BETWEEN)]
    findings = [Finding("tls", True, f"{secure.version()}, their certificate is the pinned one")]
    try:
        # The server's first words come when it has accepted our certificate; gRPC closes the
        # connection without a word when it has not.
        accepted = bool(secure.recv(1))
    except TimeoutError:
        text = "they do not go on after the TLS handshake"
        return [*findings, Finding("identity", False, text, "Something else than a gateway?")]
    except ssl.SSLError as error:
        return [*findings, _refused(error)]
    except OSError:
        accepted = False
    if accepted:
        return [*findings, Finding("identity", True, "they accept our certificate")]
    if identity.leaf_expires() <= datetime.datetime.now(datetime.timezone.utc):
        return [*findings, Finding("identity", False, _OWN_EXPIRED, _RENEW)]
    return [*findings, Finding("identity", False, _NOT_TRUSTED, _SEND_CARD)]


def _their_certificate(error: ssl.SSLCertVerificationError) -> Finding:
    if error.verify_code == _EXPIRED:
        remedy = "They restart their service, which renews it"
        return Finding("tls", False, "their certificate has expired", remedy)
    if error.verify_code in (_SELF_SIGNED, _SELF_SIGNED_CHAIN, _NO_ISSUER):
        text = "their certificate is not the pinned one: another authority signed it"
        remedy = "Ask them for a new invitation, compare its fingerprint by phone, add it"
        return Finding("tls", False, text, remedy)
    if error.verify_code == _OTHER_NAME:
        return Finding("tls", False, "their certificate is that of another site")
    return Finding("tls", False, f"their certificate is not valid: {error.verify_message}")


def _refused(error: ssl.SSLError) -> Finding:
    reason = error.reason or ""
    if "CERTIFICATE_EXPIRED" in reason:
        return Finding("identity", False, _OWN_EXPIRED, _RENEW)
    if "ALERT" in reason and ("CA" in reason or "CERTIFICATE" in reason or "HANDSHAKE" in reason):
        return Finding("identity", False, _NOT_TRUSTED, _SEND_CARD)
    if "WRONG_VERSION" in reason or "HTTP_REQUEST" in reason:
        text = "no TLS is spoken there"
        return Finding("tls", False, text, "They set GATEWAY_TLS: auto and have an identity")
    return Finding("tls", False, f"the TLS handshake failed: {reason or error}")
