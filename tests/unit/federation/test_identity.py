"""The identity of a site: files, renewal, what of it is shown."""

from __future__ import annotations

import datetime
import stat
from pathlib import Path

import pytest
from cryptography import x509

from fate_flow.errors import ConfigurationError
from fate_flow.federation import identity as module
from fate_flow.federation.channel import site_tls
from fate_flow.federation.identity import SiteIdentity, fingerprint_of
from fate_flow.settings import Settings, load


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "fate_flow.yaml").write_text("IP: 127.0.0.1\n")
    return load(tmp_path)


def _certificate(identity: SiteIdentity) -> x509.Certificate:
    return x509.load_pem_x509_certificate((identity.folder / "gateway.pem").read_bytes())


def test_a_made_identity_is_whole_and_private(settings: Settings) -> None:
    made = SiteIdentity.create(settings, "bank-a")
    assert SiteIdentity.load(settings) == made
    assert sorted(path.name for path in made.folder.iterdir()) == sorted(module._FILES)
    for path in made.folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert len(made.fingerprint.split(":")) == 32
    assert made.fingerprint == fingerprint_of(made.ca_pem)
    assert len(bytes.fromhex(made.seal_public)) == 32
    ca = x509.load_pem_x509_certificate(made.ca_pem.encode())
    leaf = _certificate(made)
    leaf.verify_directly_issued_by(ca)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [f"{made.site_id}.fate-flow"]


def test_create_leaves_what_is_there(settings: Settings) -> None:
    first = SiteIdentity.create(settings, "bank-a")
    assert SiteIdentity.create(settings, "bank-b") == first
    renamed = first.rename("bank-c")
    assert SiteIdentity.load(settings) == renamed
    assert renamed.site_id == first.site_id


@pytest.mark.parametrize("name", ["", "Bank", "-a", "a b", "x" * 41, "../a"])
def test_impossible_names_make_nothing(settings: Settings, name: str) -> None:
    with pytest.raises(ConfigurationError, match="allowed: 1 to 40"):
        SiteIdentity.create(settings, name)
    assert not settings.identity_dir.exists()


def test_a_certificate_is_renewed_when_a_third_is_left(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = SiteIdentity.create(settings, "bank-a")
    before = _certificate(made)
    assert not made.renew()
    later = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=270)
    monkeypatch.setattr(module, "_now", lambda: later)
    assert made.renew()
    after = _certificate(made)
    assert after.not_valid_after_utc - later > datetime.timedelta(days=397)
    assert after.public_key() == before.public_key()
    assert not made.renew()
    assert made.fingerprint == SiteIdentity.load(settings).fingerprint


def test_damaged_files_are_named(settings: Settings) -> None:
    made = SiteIdentity.create(settings, "bank-a")
    (made.folder / "site.json").write_text("{}")
    with pytest.raises(ConfigurationError, match="backup"):
        SiteIdentity.load(settings)
    (made.folder / "gateway.pem").write_text("x")
    with pytest.raises(ConfigurationError, match="backup"):
        made.renew()
    with pytest.raises(ConfigurationError, match="not a certificate"):
        fingerprint_of("x")


def test_tls_follows_the_setting(tmp_path: Path) -> None:
    def settings(mode: str) -> Settings:
        (tmp_path / "fate_flow.yaml").write_text(f"IP: 127.0.0.1\nGATEWAY_TLS: '{mode}'\n")
        return load(tmp_path)

    assert site_tls(settings("auto")) is None
    with pytest.raises(ConfigurationError, match="no identity"):
        site_tls(settings("on"))
    made = SiteIdentity.create(settings("auto"), "bank-a")
    for mode in ("auto", "on"):
        tls = site_tls(settings(mode))
        assert tls is not None
        assert tls.server_name == made.server_name
        assert tls.root.decode() == made.ca_pem
    assert site_tls(settings("off")) is None
