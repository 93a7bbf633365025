"""The cache of a host's signed ids: what is saved, when it is used, and what it may not change."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from fate_flow.crypto import rsa_blind
from fate_flow.crypto.rsa_blind import RsaKeyPair
from fate_flow.data.cache import FOLDER, SiteCache
from fate_flow.data.table import TableStore
from fate_flow.errors import CryptoError
from tests.support.parties import Run
from tests.unit.components.test_intersection import GUEST, HOSTS, ids_of, intersect

HOST = HOSTS[0]
CACHED: dict[str, Any] = {"intersect_method": "rsa", "intersect_cache_param": {"use_cache": True}}


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[RsaKeyPair]:
    """Keys made by hosts, each a new one."""
    keys: list[RsaKeyPair] = []
    generate = RsaKeyPair.generate

    def short() -> RsaKeyPair:
        keys.append(generate(1024))
        return keys[-1]

    monkeypatch.setattr(RsaKeyPair, "generate", short)
    return keys


def run(tmp_path: Path, guest: Sequence[str], *hosts: Sequence[str], **parameters: Any) -> Run:
    found = intersect(tmp_path, guest, *hosts, **{**CACHED, **parameters})
    expected = sorted(set(guest).intersection(*hosts))
    for party in (GUEST, *HOSTS[: len(hosts)]):
        assert ids_of(found, party) == expected
    return found


def sent(found: Run, variable: str) -> list[bytes]:
    return [record.data for record in found.mailbox.records if record.variable == variable]


def test_a_second_job_neither_signs_nor_sends_the_hosts_ids(
    tmp_path: Path, made: list[RsaKeyPair], monkeypatch: pytest.MonkeyPatch
) -> None:
    signed: list[int] = []
    original = rsa_blind.own_tokens
    monkeypatch.setattr(
        "fate_flow.components.intersection.rsa.own_tokens",
        lambda ids, key: signed.append(len(ids)) or original(ids, key),
    )
    first = run(tmp_path, ["1", "2"], ["2", "3", "4"])
    second = run(tmp_path, ["2", "4", "9"], ["2", "3", "4"])
    assert signed == [3]
    assert len(made) == 1
    assert sent(first, "intersect_host_ids_process")
    assert not sent(second, "intersect_host_ids_process")
    # The guest's ids are blinded anew: the host cannot tell that 2 was asked for again.
    assert not set(sent(first, "intersect_guest_ids")) & set(sent(second, "intersect_guest_ids"))


def test_other_ids_get_another_key(tmp_path: Path, made: list[RsaKeyPair]) -> None:
    for host_ids in (["1", "2"], ["1", "3"], ["1", "2"], ["1", "2", "3"]):
        assert sent(run(tmp_path, ["1", "2", "3"], host_ids), "intersect_host_ids_process")
    assert len({key.n for key in made}) == 4


def test_several_hosts_and_other_words_have_entries_of_their_own(
    tmp_path: Path, made: list[RsaKeyPair]
) -> None:
    for _ in range(2):
        run(tmp_path, ["1", "2"], ["1", "2"], ["2", "7"])
    other = {"use_cache": True, "id_type": "imei"}
    run(tmp_path, ["1", "2"], ["1", "2"], ["2", "7"], intersect_cache_param=other)
    assert len(made) == 4


@pytest.mark.parametrize("where", [GUEST, HOST])
def test_a_cache_that_was_removed_or_damaged_is_made_anew(
    tmp_path: Path, made: list[RsaKeyPair], where: Any
) -> None:
    run(tmp_path, ["1", "2"], ["2", "3"])
    (entry,) = (tmp_path / where.key / FOLDER).iterdir()
    entry.write_bytes(entry.read_bytes()[:-1])
    assert sent(run(tmp_path, ["1", "2"], ["2", "3"]), "intersect_host_ids_process")
    entry.unlink()
    assert sent(run(tmp_path, ["1", "2"], ["2", "3"]), "intersect_host_ids_process")
    assert not sent(run(tmp_path, ["1", "2"], ["2", "3"]), "intersect_host_ids_process")
    assert len(made) == (1 if where == GUEST else 3)


def test_one_side_alone_caches(tmp_path: Path, made: list[RsaKeyPair]) -> None:
    off = {"intersect_cache_param": {"use_cache": False}}
    for at in ({GUEST: off}, {HOST: off}):
        for _ in range(2):
            assert sent(run(tmp_path, ["1", "2"], ["2", "3"], at=at), "intersect_host_ids_process")
    assert not (tmp_path / GUEST.key / FOLDER).exists()
    assert len(made) == 3  # the host that caches keeps its key though the guest keeps nothing


def test_another_method_leaves_no_cache(tmp_path: Path) -> None:
    run(tmp_path, ["1", "2"], ["2", "3"], intersect_method="ecdh")
    assert not (tmp_path / HOST.key / FOLDER).exists()


def test_the_entries_are_for_the_site_alone_and_tell_nothing_of_the_ids(
    tmp_path: Path, made: list[RsaKeyPair]
) -> None:
    ids = [f"hostsecret{i}" for i in range(5)]
    found = run(tmp_path, ["x", ids[0]], ids)
    for party in (GUEST, HOST):
        folder = tmp_path / party.key / FOLDER
        (entry,) = folder.iterdir()
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert stat.S_IMODE(entry.stat().st_mode) == 0o600
        assert b"hostsecret" not in entry.read_bytes()
    primes = made[0].to_private()["primes"]
    crossed = b"".join(record.data for record in found.mailbox.records)
    at_guest = next((tmp_path / GUEST.key / FOLDER).iterdir()).read_bytes()
    assert not any(prime.encode() in crossed + at_guest for prime in primes)
    assert TableStore(tmp_path / HOST.key).list("test")  # entries are no tables


def test_a_cache_that_cannot_be_written_costs_time_only(
    tmp_path: Path, made: list[RsaKeyPair]
) -> None:
    for party in (GUEST, HOST):
        (tmp_path / party.key).mkdir()
        (tmp_path / party.key / FOLDER).write_text("in the way")
    for _ in range(2):
        run(tmp_path, ["1", "2"], ["2", "3"])
    assert len(made) == 2


def test_an_entry_under_another_name_is_not_taken(tmp_path: Path) -> None:
    cache = SiteCache(tmp_path)
    assert cache.read("a") is None
    assert cache.write("a", b"content")
    assert cache.read("a") == b"content"
    cache.path_of("a").rename(cache.path_of("b"))
    assert cache.read("b") is None


def test_a_stored_key_is_checked() -> None:
    key = RsaKeyPair.generate(1024)
    stored = key.to_private()
    again = RsaKeyPair.from_private(stored)
    assert (again.n, again.e, again.power([5])) == (key.n, key.e, key.power([5]))
    for broken in (
        {},
        {**stored, "primes": stored["primes"][:1]},
        {**stored, "primes": [stored["primes"][0]] * 2},
        {**stored, "primes": [stored["primes"][0], "10"]},
        {**stored, "e": "zz"},
    ):
        with pytest.raises(CryptoError, match="stored RSA key"):
            RsaKeyPair.from_private(broken)
