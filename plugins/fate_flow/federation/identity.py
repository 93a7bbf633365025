"""Who this site is to others: its own authority, its gateway's certificate, its sealing key.

Nobody outside signs anything: a site has an authority of its own, and other sites trust
exactly this one for it. What a person compares is the authority's fingerprint.
"""

from __future__ import annotations

import contextlib
import datetime
import functools
import hashlib
import json
import logging
import os
import re
import shutil
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fate_flow.errors import ConfigurationError
from fate_flow.settings import Settings

if TYPE_CHECKING:
    # Imported where it is used: a task reads the files and needs none of it, and commands
    # that only look at an identity do without gRPC.
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

    from fate_flow.federation.channel import Tls

log = logging.getLogger("fate_flow.gateway")

AUTHORITY_DAYS = 3650
LEAF_DAYS = 398
#: Clocks of other sites may be behind.
_BACKDATED = datetime.timedelta(days=1)
_NAME = re.compile(r"[a-z0-9][a-z0-9\-]{0,39}")
_SITE_ID = re.compile(r"[0-9a-f]{16}")
_FILES = ("ca.pem", "ca.key", "gateway.pem", "gateway.key", "seal.key", "site.json")


def fingerprint_of(ca_pem: str) -> str:
    """SHA-256 of a certificate as people compare it: ``AB:CD:…``.

    Raises:
        ConfigurationError: the text is no certificate.
    """
    try:
        der = ssl.PEM_cert_to_DER_cert(ca_pem.strip())
    except ValueError:
        raise ConfigurationError("the text is not a certificate in PEM form") from None
    return ":".join(f"{byte:02X}" for byte in hashlib.sha256(der).digest())


@dataclass(frozen=True)
class SiteIdentity:
    """What lies in ``<home>/conf/identity``.

    Attributes:
        site_id: 16 hexadecimal digits, from the authority's public key.
        name: what the site calls itself in its invitations.
        ca_pem: certificate of its authority.
    """

    folder: Path
    site_id: str
    name: str
    ca_pem: str

    @staticmethod
    def exists(settings: Settings) -> bool:
        return settings.identity_dir.is_dir()

    @classmethod
    def load(cls, settings: Settings) -> SiteIdentity:
        """
        Raises:
            ConfigurationError: there is none, or its files cannot be used.
        """
        folder = settings.identity_dir
        if not folder.is_dir():
            raise ConfigurationError(
                f"this site has no identity ({folder} is missing)",
                remedy="fate_flow init --name NAME makes one",
            )
        try:
            site = json.loads((folder / "site.json").read_text())
            identity = cls(
                folder, str(site["site_id"]), str(site["name"]), (folder / "ca.pem").read_text()
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise _damaged(folder, error) from None
        if not _SITE_ID.fullmatch(identity.site_id):
            raise _damaged(folder, ValueError("site.json has no site_id of 16 digits"))
        return identity

    @classmethod
    def create(cls, settings: Settings, name: str = "site") -> SiteIdentity:
        """Make the identity of a site; one that is there stays as it is.

        Raises:
            ConfigurationError: the name is not possible, or the files cannot be written.
        """
        if cls.exists(settings):
            return cls.load(settings)
        _check_name(name)
        folder = settings.identity_dir
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            # All of it or nothing: half an identity would have to be repaired by hand.
            made = Path(tempfile.mkdtemp(prefix=".identity-", dir=folder.parent))
            try:
                _make(made, name)
                made.rename(folder)
            except BaseException:
                shutil.rmtree(made, ignore_errors=True)
                raise
        except OSError as error:
            raise ConfigurationError(
                f"the identity of the site cannot be written to {folder}: {error.strerror}"
            ) from None
        return cls.load(settings)

    def rename(self, name: str) -> SiteIdentity:
        """The same site under another name, in what it sends from now on.

        Raises:
            ConfigurationError: the name is not possible.
        """
        _check_name(name)
        _write(self.folder / "site.json", _site_json(self.site_id, name))
        return SiteIdentity(self.folder, self.site_id, name, self.ca_pem)

    @property
    def server_name(self) -> str:
        """Name in the certificate of the gateway."""
        return f"{self.site_id}.fate-flow"

    @functools.cached_property
    def fingerprint(self) -> str:
        return fingerprint_of(self.ca_pem)

    @functools.cached_property
    def seal_private(self) -> bytes:
        """The 32 bytes of the X25519 key that values for this site are sealed to."""
        try:
            key = bytes.fromhex(self._read("seal.key").decode().strip())
        except ValueError as error:
            raise _damaged(self.folder, error) from None
        if len(key) != 32:
            raise _damaged(self.folder, ValueError("seal.key has not 32 bytes"))
        return key

    @functools.cached_property
    def seal_public(self) -> str:
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

        private = X25519PrivateKey.from_private_bytes(self.seal_private)
        return private.public_key().public_bytes_raw().hex()

    def tls(self, peer_roots: str = "") -> Tls:
        """Certificates of this site's gateway, and of its own processes when they call it.

        Args:
            peer_roots: authorities of other sites that are accepted too, PEM.
        """
        from fate_flow.federation.channel import Tls

        roots = self.ca_pem + ("" if self.ca_pem.endswith("\n") else "\n") + peer_roots
        return Tls(
            roots.encode(), self._read("gateway.pem"), self._read("gateway.key"), self.server_name
        )

    def leaf_expires(self) -> datetime.datetime:
        from cryptography import x509

        try:
            return x509.load_pem_x509_certificate(self._read("gateway.pem")).not_valid_after_utc
        except ValueError as error:
            raise _damaged(self.folder, error) from None

    def renew(self, *, force: bool = False) -> bool:
        """A new certificate for the gateway when less than a third of its time is left.

        Its key stays: certificate and key could not be replaced in one step, and whoever reads
        them between two steps would have a pair that does not fit.

        Raises:
            ConfigurationError: the authority's files cannot be used.
        """
        left = self.leaf_expires() - _now()
        if not force and left > datetime.timedelta(days=LEAF_DAYS / 3):
            return False
        from cryptography import x509
        from cryptography.hazmat.primitives import serialization

        try:
            authority: Any = serialization.load_pem_private_key(self._read("ca.key"), None)
            leaf: Any = serialization.load_pem_private_key(self._read("gateway.key"), None)
            ca = x509.load_pem_x509_certificate(self.ca_pem.encode())
            pem = _leaf(authority, ca, leaf, self.site_id)
        except (ValueError, TypeError) as error:
            raise _damaged(self.folder, error) from None
        try:
            _write(self.folder / "gateway.pem", pem)
        except OSError as error:
            raise ConfigurationError(
                f"the renewed certificate cannot be written to {self.folder}: {error.strerror}"
            ) from None
        log.info("the gateway's certificate was renewed")
        return True

    def _read(self, name: str) -> bytes:
        try:
            return (self.folder / name).read_bytes()
        except OSError as error:
            raise _damaged(self.folder, error) from None


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise ConfigurationError(
            f"name of the site: found {name!r:.60}; allowed: 1 to 40 of a-z, 0-9 and -, "
            "not beginning with -"
        )


def _damaged(folder: Path, error: Exception) -> ConfigurationError:
    return ConfigurationError(
        f"the identity in {folder} cannot be used: {error}",
        remedy=f"Restore {', '.join(_FILES)} from a backup; a new identity must be accepted "
        "anew by every other site",
    )


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc)


def _site_json(site_id: str, name: str) -> bytes:
    return (json.dumps({"site_id": site_id, "name": name}) + "\n").encode()


def _make(folder: Path, name: str) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    authority = ec.generate_private_key(ec.SECP256R1())
    leaf = ec.generate_private_key(ec.SECP256R1())
    public = authority.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    # From the key, so that no two sites choose the same and none can choose another's.
    site_id = hashlib.sha256(public).hexdigest()[:16]
    ca = _authority(authority, site_id)

    def private(key: ec.EllipticCurvePrivateKey) -> bytes:
        return key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    _write(folder / "ca.key", private(authority))
    _write(folder / "ca.pem", ca.public_bytes(serialization.Encoding.PEM))
    _write(folder / "gateway.key", private(leaf))
    _write(folder / "gateway.pem", _leaf(authority, ca, leaf, site_id))
    seal = X25519PrivateKey.generate().private_bytes_raw()
    _write(folder / "seal.key", f"{seal.hex()}\n".encode())
    _write(folder / "site.json", _site_json(site_id, name))


def _authority(key: ec.EllipticCurvePrivateKey, site_id: str) -> x509.Certificate:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    name = _subject(f"{site_id} authority")
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_now() - _BACKDATED)
        .not_valid_after(_now() + datetime.timedelta(days=AUTHORITY_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _leaf(
    authority: ec.EllipticCurvePrivateKey,
    ca: x509.Certificate,
    key: ec.EllipticCurvePrivateKey,
    site_id: str,
) -> bytes:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.x509.oid import ExtendedKeyUsageOID as Usage

    server_name = f"{site_id}.fate-flow"
    end = min(_now() + datetime.timedelta(days=LEAF_DAYS), ca.not_valid_after_utc)
    public = authority.public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(_subject(server_name))
        .issuer_name(ca.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_now() - _BACKDATED)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(server_name)]), critical=False)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([Usage.SERVER_AUTH, Usage.CLIENT_AUTH]), critical=False
        )
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
        .sign(authority, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )


def _subject(name: str) -> x509.Name:
    from cryptography import x509

    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])


def _usage(*, signs: bool) -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=not signs,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all, and readable by the owner only."""
    temporary = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
