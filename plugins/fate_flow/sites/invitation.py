"""Invitations: a text file by which one site tells another who it is.

Two sites exchange them in both directions, by whatever way files go between them. Each is
signed with the key of the site's own authority, whose certificate it carries; so whoever has
compared the fingerprint of that certificate with the other administrator, by phone for
instance, knows that all of the file is the other site's. It holds no secret.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fate_flow.entities import Party
from fate_flow.errors import ConfigurationError, FateFlowError
from fate_flow.federation.identity import fingerprint_of
from fate_flow.federation.peers import Peer

KIND = "fate-flow-invitation"
VERSION = 1
MAX_BYTES = 65_536
VALID_DAYS = 14.0
#: Hexadecimal digits of a fingerprint that people compare; 128 bits cannot be forged.
SHORT_DIGITS = 32

_ADDRESS = re.compile(r"(?:[A-Za-z0-9._\-]{1,253}|\[[0-9A-Fa-f:.%]{2,60}\]):([0-9]{1,5})")
#: What reading a certificate raises that was not made with care.
_UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.ExtensionNotFound,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
_DAMAGED = "Ask for the file again; it must arrive exactly as it was written"


class InvitationDamagedError(FateFlowError):
    """A file is no invitation, or was changed on its way."""

    code = "invitation_damaged"
    remedy = _DAMAGED


class InvitationExpiredError(FateFlowError):
    """An invitation is too old to be accepted."""

    code = "invitation_expired"
    remedy = "Ask for a new one: fate_flow peer invite"


class InvitationOwnError(FateFlowError):
    """An invitation was given to the site that wrote it."""

    code = "invitation_own"
    remedy = "Give this file to the other site, and add the one that you get from there"


class FingerprintError(FateFlowError):
    """The fingerprint that was expected is not that of the invitation."""

    code = "fingerprint"
    remedy = "Compare it with the other site's administrator; do not add the peer before it agrees"


@dataclass(frozen=True)
class Invitation:
    """What a site says of itself.

    Attributes:
        site_id, name, parties, ca_pem, seal_public: see :class:`fate_flow.federation.peers.Peer`.
        address: host:port of its gateway; empty: it cannot be called.
        made, expires: Unix time, seconds.
        nonce: tells one invitation from another in logs.
    """

    site_id: str
    name: str
    parties: tuple[Party, ...]
    ca_pem: str
    seal_public: str
    address: str
    made: int
    expires: int
    nonce: str

    @property
    def fingerprint(self) -> str:
        """Of the authority's certificate."""
        return fingerprint_of(self.ca_pem)

    @property
    def short_fingerprint(self) -> str:
        return short(self.fingerprint)

    def confirm(self, fingerprint: str) -> None:
        """Compare with what the other administrator said.

        Raises:
            FingerprintError: another one, or too short to mean anything.
        """
        given = re.sub(r"[^0-9a-f]", "", fingerprint.lower())
        own = self.fingerprint.replace(":", "").lower()
        if len(given) < SHORT_DIGITS:
            raise FingerprintError(
                f"a fingerprint has at least {SHORT_DIGITS} hexadecimal digits, found {len(given)}"
            )
        if not own.startswith(given):
            found = self.short_fingerprint
            raise FingerprintError(f"the fingerprint of {self.name} is {found}, not this one")

    def check(self, own_site_id: str, now: float | None = None) -> None:
        """May it be accepted here and now?

        Raises:
            InvitationOwnError, InvitationExpiredError: no.
        """
        if self.site_id == own_site_id:
            raise InvitationOwnError("this is the invitation of this site itself")
        now = time.time() if now is None else now
        if now > self.expires:
            # Either clock may be wrong, and who reads both sees it.
            until, here = (
                time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(moment))
                for moment in (self.expires, now)
            )
            raise InvitationExpiredError(
                f"the invitation of {self.name} was valid until {until}; here it is {here}"
            )

    def document(self) -> dict[str, Any]:
        """What is signed."""
        values = asdict(self)
        values["parties"] = [f"{party.role}:{party.party_id}" for party in self.parties]
        return {"kind": KIND, "version": VERSION, "fingerprint": self.fingerprint, **values}

    def peer(self, name: str = "", **options: Any) -> Peer:
        """The peer that accepting it makes.

        Raises:
            ConfigurationError: a value is not what it should be.
        """
        # Who cannot be called calls us, unless another site stands between.
        dials_in = not self.address and not options.get("via")
        values = {"address": self.address, "dials_in": dials_in, **options}
        return Peer(
            name=name or self.name,
            site_id=self.site_id,
            parties=self.parties,
            ca_pem=self.ca_pem,
            seal_public=self.seal_public,
            **values,
        )


def short(fingerprint: str) -> str:
    """The part of a fingerprint that is read out: eight groups of four digits."""
    digits = re.sub(r"[^0-9a-f]", "", fingerprint.lower())[:SHORT_DIGITS]
    return " ".join(digits[start : start + 4] for start in range(0, len(digits), 4))


def write(invitation: Invitation, ca_key_pem: bytes) -> str:
    """The invitation's text, signed with the key of the site's authority."""
    document = invitation.document()
    key = serialization.load_pem_private_key(ca_key_pem, None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ConfigurationError("the key of the site's authority is no elliptic-curve key")
    signature = key.sign(_canonical(document), ec.ECDSA(hashes.SHA256()))
    return json.dumps({**document, "signature": signature.hex()}, indent=2) + "\n"


def new(
    *,
    site_id: str,
    name: str,
    parties: tuple[Party, ...],
    ca_pem: str,
    seal_public: str,
    address: str,
    days: float = VALID_DAYS,
) -> Invitation:
    """An invitation of today.

    Raises:
        ConfigurationError: a value is not what it should be.
    """
    if address:
        address = check_address(address)
    made = int(time.time())
    expires = made + int(days * 86_400)
    nonce = secrets.token_hex(8)
    made_one = Invitation(
        site_id, name, parties, ca_pem, seal_public, address, made, expires, nonce
    )
    made_one.peer()  # refuses what the other site would refuse
    return made_one


def check_address(text: str) -> str:
    """
    Raises:
        ConfigurationError: not host:port.
    """
    found = _ADDRESS.fullmatch(text.strip())
    if found is None or not 0 < int(found[1]) < 65536:
        raise ConfigurationError(
            f"address: found {text!r:.80}; allowed: host:port, where other sites reach the gateway"
        )
    return text.strip()


def read(text: str) -> Invitation:
    """Read and verify a text; says nothing of who wrote it: compare the fingerprint.

    Raises:
        InvitationDamagedError: no invitation, or changed since it was written.
    """
    if len(text) > MAX_BYTES:
        raise InvitationDamagedError(f"the file is larger than {MAX_BYTES} bytes")
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        raise InvitationDamagedError("the file is not JSON") from None
    if not isinstance(values, dict) or values.get("kind") != KIND:
        raise InvitationDamagedError("the file is no invitation of a FATE-Flow site")
    if values.get("version") != VERSION:
        raise InvitationDamagedError(
            f"the invitation has version {values.get('version')!r:.20}, this site reads {VERSION}",
            remedy="Bring the older of the two sites up to date",
        )
    invitation = _parsed(values)
    document = {key: value for key, value in values.items() if key != "signature"}
    try:
        key = _certificate(invitation.ca_pem).public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        signature = bytes.fromhex(str(values.get("signature", "")))
        key.verify(signature, _canonical(document), ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, *_UNREADABLE):
        raise InvitationDamagedError("the invitation was changed: its signature is wrong") from None
    return invitation


def _parsed(values: Mapping[str, Any]) -> Invitation:
    texts = ("site_id", "name", "ca_pem", "seal_public", "address", "nonce")
    wrong = [key for key in texts if not isinstance(values.get(key), str)]
    wrong += [key for key in ("made", "expires") if type(values.get(key)) is not int]
    parties = values.get("parties")
    if not isinstance(parties, list) or len(parties) > 1000:
        wrong.append("parties")
    if wrong:
        raise InvitationDamagedError(f"the invitation has no usable {', '.join(wrong)}")
    assert isinstance(parties, list)
    try:
        found = Invitation(
            **{key: values[key] for key in (*texts, "made", "expires")},
            parties=tuple(Party.parse(str(party)) for party in parties),
        )
        if found.site_id != site_id_of(found.ca_pem):
            raise InvitationDamagedError("the invitation's site_id is not that of its certificate")
        if found.address:
            check_address(found.address)
        found.peer()
    except (ValueError, ConfigurationError) as error:
        raise InvitationDamagedError(f"the invitation cannot be used: {error}") from None
    return found


def site_id_of(ca_pem: str) -> str:
    """A site's id comes from its authority's key, so none can take another's."""
    public = _certificate(ca_pem).public_key()
    encoding, form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    return hashlib.sha256(public.public_bytes(encoding, form)).hexdigest()[:16]


def _certificate(pem: str) -> x509.Certificate:
    """
    Raises:
        InvitationDamagedError: not one certificate of an authority with an EC key.
    """
    try:
        certificates = x509.load_pem_x509_certificates(pem.encode())
        constraints = certificates[0].extensions.get_extension_for_class(x509.BasicConstraints)
        is_usable = (
            len(certificates) == 1
            and constraints.value.ca
            and isinstance(certificates[0].public_key(), ec.EllipticCurvePublicKey)
        )
    except _UNREADABLE:
        is_usable = False
    if not is_usable:
        raise InvitationDamagedError("the invitation's certificate is none of a site's authority")
    return certificates[0]


def _canonical(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
