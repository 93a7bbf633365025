"""Who is at the other end of a connection: a process of this site, a peer, or nobody we know."""

from __future__ import annotations

import datetime
import hashlib
import logging
import ssl
from typing import Any

import grpc

from fate_flow.federation.channel import Tls
from fate_flow.federation.identity import SiteIdentity
from fate_flow.federation.peers import Peer, PeerTable
from fate_flow.federation.tokens import ForeignTokenError, TokenError

log = logging.getLogger("fate_flow.gateway")
_SUFFIX = ".fate-flow"
_MAX_KNOWN = 256


class StrangerError(TokenError):
    """A certificate is not that of this site or of a peer."""

    code = "stranger"
    remedy = "The sites must have added each other: fate_flow peer add"


class NotForPeersError(ForeignTokenError):
    """A peer called what is for the site's own processes only."""

    code = "not_for_peers"
    remedy = "Other sites may use the services Peer and, with a job's ticket, Gateway"


class Access:
    """Judges connections by their certificates.

    Args:
        identity: of this site; None: connections are plain, or all with this site's own
            certificates, so that everybody is a process of this site.
    """

    def __init__(self, identity: SiteIdentity | None = None) -> None:
        self.identity = identity
        self._peers = PeerTable()
        self._known: dict[bytes, tuple[str, datetime.datetime]] = {}
        self._changed = False

    def set_peers(self, peers: PeerTable) -> None:
        """From now on these are the other sites; open connections are judged anew."""
        self._peers = peers
        self.renewed()

    def renewed(self) -> None:
        """The next handshake takes certificates and peers as they are now."""
        self._known.clear()
        self._changed = True

    def credentials(self) -> Any:
        """Of a server; they follow the peers while it runs."""
        assert self.identity is not None
        first, self._changed = self._configuration(), False
        return grpc.dynamic_ssl_server_credentials(
            first, self._latest, require_client_authentication=True
        )

    def _latest(self) -> Any:
        # Called by gRPC's threads, before each handshake.
        if not self._changed:
            return None
        self._changed = False
        try:
            return self._configuration()
        except Exception:
            log.exception("the gateway's certificates cannot be read; the old ones stay")
            return None

    def _configuration(self) -> Any:
        assert self.identity is not None
        tls: Tls = self.identity.tls("".join(f"{peer.ca_pem.strip()}\n" for peer in self._peers))
        return grpc.ssl_server_certificate_configuration(
            [(tls.key, tls.certificate)], root_certificates=tls.root
        )

    def peer_of(self, context: Any) -> Peer | None:
        """The peer that calls; None: a process of this site.

        Raises:
            StrangerError: neither.
        """
        if self.identity is None:
            return None
        pem = _certificate(context)
        if not pem:
            raise StrangerError("the connection shows no certificate")
        if pem not in self._known:
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            self._known[pem] = self._judge(pem)
        site_id, expires = self._known[pem]
        if expires <= datetime.datetime.now(datetime.timezone.utc):
            raise StrangerError(
                f"the certificate of {self._name(site_id)} expired at {expires:%Y-%m-%d %H:%M} UTC",
                remedy="A restart of its service renews it",
            )
        if site_id == self.identity.site_id:
            return None
        peer = self._peers.of_site(site_id)
        if peer is None:
            raise StrangerError(f"site {site_id} is not a peer")
        return peer

    def require_peer(self, context: Any) -> Peer:
        """
        Raises:
            TokenError: it is not a peer that calls.
        """
        peer = self.peer_of(context)
        if peer is None:
            raise NotForPeersError(
                "this call is for the gateways of other sites",
                remedy="The site's own processes ask their gateway (service Control)",
            )
        return peer

    def describe(self, context: Any) -> str:
        """Who called, for the audit: name or fingerprint, and address."""
        address = str(context.peer())
        if self.identity is None:
            return address
        pem = _certificate(context)
        known = self._known.get(pem)
        if known is None:
            return f"certificate {_short(pem)} at {address}"
        return f"{self._name(known[0])} at {address}"

    def _name(self, site_id: str) -> str:
        if self.identity is not None and site_id == self.identity.site_id:
            return "this site"
        peer = self._peers.of_site(site_id)
        return f"peer {peer.name}" if peer is not None else f"site {site_id}"

    def _judge(self, pem: bytes) -> tuple[str, datetime.datetime]:
        """Site of a certificate, and its end; its issuer must be the authority of that site.

        The handshake has accepted any of our authorities: each of them could sign a
        certificate with another site's name.
        """
        from cryptography import x509
        from cryptography.exceptions import InvalidSignature

        assert self.identity is not None
        try:
            leaf = x509.load_pem_x509_certificate(pem)
            names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            found = [n for n in names.get_values_for_type(x509.DNSName) if n.endswith(_SUFFIX)]
        except (ValueError, x509.ExtensionNotFound):
            found = []
        if len(found) != 1:
            raise StrangerError(f"certificate {_short(pem)} names no site")
        site_id = found[0].removesuffix(_SUFFIX)
        peer = self._peers.of_site(site_id)
        if site_id == self.identity.site_id:
            authority = self.identity.ca_pem
        elif peer is not None:
            authority = peer.ca_pem
        else:
            raise StrangerError(f"site {site_id} (certificate {_short(pem)}) is not a peer")
        try:
            leaf.verify_directly_issued_by(x509.load_pem_x509_certificate(authority.encode()))
        except (ValueError, TypeError, InvalidSignature):
            raise StrangerError(
                f"certificate {_short(pem)} names {self._name(site_id)}, and another authority "
                "signed it"
            ) from None
        return site_id, leaf.not_valid_after_utc


def _certificate(context: Any) -> bytes:
    found = (context.auth_context() or {}).get("x509_pem_cert") or (b"",)
    return bytes(found[0])


def _short(pem: bytes) -> str:
    if not pem:
        return "none"
    digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem.decode().strip())).hexdigest()
    return f"SHA-256 {digest[:32]}"
