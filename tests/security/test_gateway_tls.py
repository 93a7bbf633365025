"""With certificates: both sides show one, and nobody gets in without."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from fate_flow.errors import FateFlowError
from fate_flow.federation.admin import GatewayAdmin
from fate_flow.federation.channel import Tls
from fate_flow.federation.gateway import Gateway
from fate_flow.federation.state import GatewayState
from fate_flow.federation.store import BlobStore

pytestmark = pytest.mark.slow
SECRET = b"s" * 32


class Authority:
    """Signs certificates for 127.0.0.1."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
        self.root = self._sign(self._name, self._key.public_key(), ca=True)

    def _sign(self, name: x509.Name, key: ec.EllipticCurvePublicKey, *, ca: bool) -> bytes:
        now = datetime.datetime.now(datetime.timezone.utc)
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=5))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(names, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM)

    def issue(self, name: str) -> Tls:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        private = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return Tls(self.root, self._sign(subject, key.public_key(), ca=False), private)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[str]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    folder: Path = tmp_path_factory.mktemp("tls") / "values"

    async def start() -> Gateway:
        state = GatewayState(SECRET, BlobStore(folder, 1 << 20, 1 << 20))
        return await Gateway.start(state, "127.0.0.1:0", authority.issue("gateway"))

    gateway = asyncio.run_coroutine_threadsafe(start(), loop).result(10)
    yield f"127.0.0.1:{gateway.port}"
    asyncio.run_coroutine_threadsafe(gateway.stop(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


def test_both_sides_show_a_certificate(address: str, authority: Authority) -> None:
    with GatewayAdmin(address, SECRET, tls=authority.issue("site")) as admin:
        assert admin.health().uptime >= 0
        assert admin.waits() == []


def test_plain_and_foreign_connections_are_refused(address: str, authority: Authority) -> None:
    stranger = Authority().issue("stranger")
    only_root = Tls(authority.root, stranger.certificate, stranger.key)
    for tls in (None, stranger, only_root):
        with (
            GatewayAdmin(address, SECRET, tls=tls, timeout=3.0) as admin,
            pytest.raises(FateFlowError, match=r"cannot be reached|does not answer"),
        ):
            admin.health()


def test_a_key_is_not_shown() -> None:
    assert "KEY" not in repr(Tls(b"ROOT", b"CERT", b"KEY"))
