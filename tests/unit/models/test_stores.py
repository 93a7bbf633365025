"""Stores of model archives: Redis over a socket, folders, and what is refused."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fate_flow.errors import ConfigurationError, InvalidInputError
from fate_flow.models.stores import ArchiveStores, ModelStorageError, check_address
from tests.support.redis_server import RedisServer, redis_server
from tests.support.site import Site

ID, VERSION = "guest#9999#guest-9999#host-10000#model", "1"


@pytest.fixture
def server() -> Iterator[RedisServer]:
    pytest.importorskip("redis")
    with redis_server("secret") as made:
        yield made


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "model.zip"
    path.write_bytes(bytes(range(256)) * 100)
    return path


def _redis(server: RedisServer, **more: Any) -> dict[str, Any]:
    address = {"host": "127.0.0.1", "port": server.port, "password": "secret", "db": 2}
    return {"storage": "redis", **address, **more}


def _stores(site: Site, **settings: Any) -> ArchiveStores:
    site.settings.values.update(settings)  # type: ignore[attr-defined]
    return ArchiveStores(site.settings)


def test_redis_keeps_the_bytes_under_the_reference_s_key(
    site: Site, server: RedisServer, archive: Path, tmp_path: Path
) -> None:
    store = _stores(site).open(_redis(server, ex=100))
    store.put(ID, VERSION, archive)
    key = f"FATEFlow:PipelinedModel:{ID}:{VERSION}".encode()
    assert server.values[b"2", key][0] == archive.read_bytes()
    store.get(ID, VERSION, tmp_path / "back.zip")
    assert (tmp_path / "back.zip").read_bytes() == archive.read_bytes()
    with pytest.raises(ModelStorageError, match=f"Restore model {ID} 2 from redis failed"):
        store.get(ID, "2", tmp_path / "back.zip")
    with pytest.raises(ModelStorageError, match=f"Store model {ID} 1 to redis failed: it is there"):
        _stores(site).open(_redis(server, nx=True)).put(ID, VERSION, archive)


@pytest.mark.slow
def test_redis_that_refuses_or_is_away(site: Site, server: RedisServer, archive: Path) -> None:
    with pytest.raises(ModelStorageError, match="to redis failed: AuthenticationError") as refused:
        _stores(site).open(_redis(server, password="wrong-word")).put(ID, VERSION, archive)
    assert "wrong-word" not in str(refused.value)
    server.shutdown()
    server.server_close()
    with pytest.raises(ModelStorageError, match="to redis failed: ConnectionError"):
        _stores(site).open(_redis(server)).put(ID, VERSION, archive)


def test_redis_is_optional(site: Site, archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    store = _stores(site).open({"storage": "redis", "host": "127.0.0.1"})
    with pytest.raises(ConfigurationError, match=r"not installed\. pip install"):
        store.put(ID, VERSION, archive)


def test_folders(site: Site, archive: Path, tmp_path: Path) -> None:
    store = _stores(site).open({"storage": "file", "path": "eu"})
    store.put(ID, VERSION, archive)
    stored = site.settings.storage_root / "model_store" / "eu" / ID / "1.zip"
    assert stored.read_bytes() == archive.read_bytes()
    archive.write_bytes(b"new")
    store.put(ID, VERSION, archive)
    store.get(ID, VERSION, tmp_path / "back.zip")
    assert (tmp_path / "back.zip").read_bytes() == b"new"
    with pytest.raises(ModelStorageError, match="it is there already and nx is true"):
        _stores(site).open({"storage": "file", "path": "eu", "nx": True}).put(ID, VERSION, archive)
    with pytest.raises(ModelStorageError, match="from file failed: it is not there"):
        store.get(ID, "2", tmp_path / "back.zip")
    assert [path.name for path in stored.parent.iterdir()] == ["1.zip"]


@pytest.mark.parametrize("path", ["..", "../../x", "/etc", "a/../../.."])
def test_folders_cannot_be_left(site: Site, path: str) -> None:
    with pytest.raises(InvalidInputError, match="is outside"):
        _stores(site).open({"storage": "file", "path": path})


def test_the_folder_of_the_settings_is_allowed_and_the_default(
    site: Site, archive: Path, tmp_path: Path
) -> None:
    shared = {"storage": "file", "path": str(tmp_path / "shared")}
    stores = _stores(site, DEFAULT_MODEL_STORE_ADDRESS=shared)
    stores.open(None).put(ID, VERSION, archive)
    assert (tmp_path / "shared" / ID / "1.zip").is_file()
    stores.open({"storage": "file", "path": str(tmp_path / "shared" / "inner")})
    with pytest.raises(ConfigurationError, match="DEFAULT_MODEL_STORE_ADDRESS is not set"):
        _stores(site, DEFAULT_MODEL_STORE_ADDRESS={}).open({})


def test_passwords_in_a_conf_are_encrypted(site: Site, server: RedisServer, archive: Path) -> None:
    stores = _stores(site)
    sealed = stores.sealed(_redis(server))
    assert "secret" not in json.dumps(sealed)
    assert stores.sealed(sealed) == sealed
    assert check_address(sealed) == []
    stores.open(sealed).put(ID, VERSION, archive)
    site.settings.secret_file.write_text("77" * 32)
    with pytest.raises(InvalidInputError, match="encrypted by another site"):
        stores.open(sealed)


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("redis://x", "store_address: found str; allowed: an object"),
        ({}, "store_address.storage: found None; allowed: redis, file"),
        ({"storage": "hdfs"}, "store_address.storage: found 'hdfs'"),
        ({"storage": "redis"}, "store_address.host: missing"),
        ({"storage": "redis", "host": "h", "port": "6379"}, "store_address.port: found str"),
        ({"storage": "redis", "host": "h", "db": -1}, "store_address.db: found int"),
        ({"storage": "file", "path": 3}, "store_address.path: found int"),
    ],
)
def test_bad_addresses(address: Any, text: str) -> None:
    assert text in "\n".join(map(str, check_address(address)))
