"""Sites that are nothing but a name and a certificate: enough to be invited by."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from fate_flow.entities import Party
from fate_flow.sites import invitation
from fate_flow.sites.invitation import Invitation, site_id_of


@dataclass
class OtherSite:
    """Attributes as in an invitation; ``key_pem`` signs."""

    name: str
    parties: tuple[Party, ...]
    address: str = "bank.example:9360"
    ca_pem: str = ""
    key_pem: bytes = b""
    site_id: str = ""

    def __post_init__(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{self.name} authority")])
        now = datetime.datetime.now(datetime.timezone.utc)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now)
            .not_valid_after(now + datetime.timedelta(days=3650))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(key, hashes.SHA256())
        )
        self.ca_pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
        self.key_pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        self.site_id = site_id_of(self.ca_pem)

    def invitation(self, days: float = 14.0) -> Invitation:
        return invitation.new(
            site_id=self.site_id,
            name=self.name,
            parties=self.parties,
            ca_pem=self.ca_pem,
            seal_public="ab" * 32,
            address=self.address,
            days=days,
        )

    def text(self, days: float = 14.0) -> str:
        return invitation.write(self.invitation(days), self.key_pem)
