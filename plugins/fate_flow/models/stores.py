"""Where archives of models can be put away: Redis, as FATE-Flow 1.4, or a folder.

An address is an object: ``{"storage": "redis", "host", "port", "password", "db", "ex", "nx"}``
or ``{"storage": "file", "path", "nx"}``. ``ex`` is a time to live in seconds, ``nx`` refuses to
replace an archive. Folders lie inside the site's own folder for archives, or inside the one
that the setting ``DEFAULT_MODEL_STORE_ADDRESS`` names; a request cannot choose another place.
"""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from fate_flow.errors import ConfigurationError, FateFlowError, InvalidInputError, Problem
from fate_flow.models import layout

if TYPE_CHECKING:
    from fate_flow.settings import Settings

REDIS, FILE = STORAGES = ("redis", "file")
#: Redis takes no longer value.
MAX_REDIS_BYTES = 512 * 2**20
_REDIS_TIMEOUT = 30.0
_SEALED = "sealed:"
_KEYS = {
    REDIS: ("storage", "host", "port", "password", "db", "ex", "nx"),
    FILE: ("storage", "path", "nx"),
}


class ModelStorageError(FateFlowError):
    """An archive could not be stored or fetched."""

    code = "model_storage"


class ArchiveStore(Protocol):
    """One place for archives."""

    def put(self, party_model_id: str, version: str, archive: Path) -> None:
        """Keep the archive under the model's name.

        Raises:
            ModelStorageError: it could not be stored.
        """

    def get(self, party_model_id: str, version: str, target: Path) -> None:
        """Write the kept archive to ``target``.

        Raises:
            ModelStorageError: there is none, or it could not be read.
        """


def check_address(address: Any, path: str = "store_address") -> list[Problem]:
    """What is wrong with an address."""
    if not isinstance(address, Mapping):
        return [Problem(path, f"found {type(address).__name__}", "an object with storage")]
    storage = address.get("storage")
    if storage not in STORAGES:
        return [Problem(f"{path}.storage", f"found {storage!r:.80}", ", ".join(STORAGES))]
    rules: dict[str, tuple[str, Any]] = {
        "host": ("a text", lambda v: isinstance(v, str) and 0 < len(v) <= 255),
        "port": ("an integer from 1 to 65535", lambda v: _is_integer(v, 1, 65535)),
        "password": ("a text", lambda v: isinstance(v, str)),
        "db": ("an integer, 0 or more", lambda v: _is_integer(v, 0, 2**31)),
        "ex": ("seconds, 1 or more", lambda v: _is_integer(v, 1, 2**40)),
        "nx": ("true or false", lambda v: isinstance(v, bool)),
        "path": ("a text", lambda v: isinstance(v, str) and "\0" not in v),
    }
    problems = [
        Problem(f"{path}.{key}", f"found {type(address[key]).__name__}", allowed)
        for key, (allowed, accepts) in rules.items()
        if key in _KEYS[storage] and address.get(key) is not None and not accepts(address[key])
    ]
    if storage == REDIS and not address.get("host"):
        problems.append(Problem(f"{path}.host", "missing", "address of the Redis server"))
    return problems


def _is_integer(value: Any, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


@dataclass(frozen=True)
class ArchiveStores:
    """Opens addresses for one site."""

    settings: Settings = field(repr=False)

    @property
    def default(self) -> Mapping[str, Any]:
        return dict(self.settings.DEFAULT_MODEL_STORE_ADDRESS)

    def open(self, address: Mapping[str, Any] | None) -> ArchiveStore:
        """The store at an address; None or empty: the site's default.

        Raises:
            InvalidInputError: the address is not acceptable; lists all problems.
            ConfigurationError: a needed package is not installed, or no address is set.
        """
        wanted = dict(address or self.default)
        if not wanted:
            raise ConfigurationError(
                "no store_address is given and DEFAULT_MODEL_STORE_ADDRESS is not set"
            )
        problems = check_address(wanted)
        if problems:
            raise InvalidInputError(problems)
        if wanted["storage"] == FILE:
            return FolderStore(self._folder(wanted.get("path") or ""), bool(wanted.get("nx")))
        wanted["password"] = self._revealed(wanted.get("password"))
        return RedisStore(wanted)

    def _folder(self, path: str) -> Path:
        own = self.settings.storage_root / "model_store"
        roots = [own.resolve()]
        if self.default.get("storage") == FILE and self.default.get("path"):
            roots.append((own / str(self.default["path"])).resolve())
        folder = (own / path).resolve()
        if not any(folder.is_relative_to(root) for root in roots):
            raise InvalidInputError(
                [Problem("store_address.path", f"{path!r:.80} is outside", f"below {roots[-1]}")]
            )
        return folder

    # -- passwords in a job's conf -----------------------------------------------------------

    def sealed(self, address: Mapping[str, Any]) -> dict[str, Any]:
        """A copy for a job's conf, which is stored and shown: its password is encrypted."""
        password = address.get("password")
        if not isinstance(password, str) or not password or password.startswith(_SEALED):
            return dict(address)
        token = self._cipher().encrypt(password.encode()).decode()
        return {**address, "password": _SEALED + token}

    def _revealed(self, password: str | None) -> str | None:
        from cryptography.fernet import InvalidToken

        if not password or not password.startswith(_SEALED):
            return password or None
        try:
            return str(self._cipher().decrypt(password.removeprefix(_SEALED).encode()).decode())
        except InvalidToken:
            raise InvalidInputError(
                [Problem("store_address.password", "was encrypted by another site")]
            ) from None

    def _cipher(self) -> Any:
        from cryptography.fernet import Fernet

        key = hashlib.sha256(b"model store\0" + self.settings.secret()).digest()
        return Fernet(base64.urlsafe_b64encode(key))


@dataclass(frozen=True)
class FolderStore:
    """Archives as files ``<folder>/<party model id>/<version>.zip``."""

    folder: Path
    refuses_to_replace: bool = False

    def put(self, party_model_id: str, version: str, archive: Path) -> None:
        target = self._file(party_model_id, version)
        with _told(f"Store model {party_model_id} {version} to file failed"):
            target.parent.mkdir(parents=True, exist_ok=True)
            aside = target.parent / f".{uuid.uuid4().hex}"
            try:
                shutil.copyfile(archive, aside)
                if self.refuses_to_replace:
                    os.link(aside, target)
                else:
                    os.replace(aside, target)
            finally:
                aside.unlink(missing_ok=True)

    def get(self, party_model_id: str, version: str, target: Path) -> None:
        with _told(f"Restore model {party_model_id} {version} from file failed"):
            shutil.copyfile(self._file(party_model_id, version), target)

    def _file(self, party_model_id: str, version: str) -> Path:
        name = layout.check_name("model_version", version)
        return self.folder / layout.check_name("model_id", party_model_id) / f"{name}.zip"


@dataclass(frozen=True)
class RedisStore:
    """Archives under FATE-Flow's keys ``FATEFlow:PipelinedModel:<model id>:<version>``."""

    address: Mapping[str, Any] = field(repr=False)

    def put(self, party_model_id: str, version: str, archive: Path) -> None:
        failed = f"Store model {party_model_id} {version} to redis failed"
        if archive.stat().st_size > MAX_REDIS_BYTES:
            raise ModelStorageError(f"{failed}: larger than Redis takes, {MAX_REDIS_BYTES} bytes")
        with self._client(failed) as client:
            stored = client.set(
                self._key(party_model_id, version),
                archive.read_bytes(),
                ex=self.address.get("ex"),
                nx=bool(self.address.get("nx")),
            )
        if not stored:
            raise ModelStorageError(f"{failed}: it is there already and nx is true")

    def get(self, party_model_id: str, version: str, target: Path) -> None:
        failed = f"Restore model {party_model_id} {version} from redis failed"
        with self._client(failed) as client:
            data = client.get(self._key(party_model_id, version))
        if data is None:
            raise ModelStorageError(f"{failed}: it is not there")
        target.write_bytes(data)

    @staticmethod
    def _key(party_model_id: str, version: str) -> str:
        return f"FATEFlow:PipelinedModel:{party_model_id}:{version}"

    @contextmanager
    def _client(self, failed: str) -> Iterator[Any]:
        try:
            import redis
        except ImportError:
            raise ConfigurationError(
                f"{failed}: the package redis is not installed",
                remedy="pip install 'fate-flow-airflow[redis]', or use storage file",
            ) from None
        client = redis.Redis(
            host=str(self.address["host"]),
            port=int(self.address.get("port") or 6379),
            password=self.address.get("password"),
            db=int(self.address.get("db") or 0),
            socket_timeout=_REDIS_TIMEOUT,
            socket_connect_timeout=_REDIS_TIMEOUT,
        )
        try:
            yield client
        except (redis.RedisError, OSError) as error:
            raise ModelStorageError(f"{failed}: {type(error).__name__}: {error}") from None
        finally:
            client.close()


@contextmanager
def _told(failed: str) -> Iterator[None]:
    try:
        yield
    except FileExistsError:
        raise ModelStorageError(f"{failed}: it is there already and nx is true") from None
    except FileNotFoundError:
        raise ModelStorageError(f"{failed}: it is not there") from None
    except OSError as error:
        raise ModelStorageError(f"{failed}: {error.strerror}") from None
