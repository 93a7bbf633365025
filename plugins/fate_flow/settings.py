"""The only reader of configuration: one file, environment overrides, checked values.

The file is ``<home>/fate_flow.yaml``; every key can be overridden by the environment
variable ``FATE_FLOW__<KEY>`` (objects as JSON). Names and meanings of the keys are
FATE-Flow's; keys of ours are marked in :data:`KEYS`.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from fate_flow.errors import ConfigurationError, Problem
from fate_flow.setting_keys import KEYS, Key

HOME_VARIABLE = "FATE_FLOW_HOME"
__all__ = [
    "ENVIRONMENT_PREFIX",
    "FILE_NAME",
    "HOME_VARIABLE",
    "KEYS",
    "Key",
    "Settings",
    "current",
    "default_home",
    "inspect",
    "load",
]

FILE_NAME = "fate_flow.yaml"
ENVIRONMENT_PREFIX = "FATE_FLOW__"


_BY_NAME = {key.name: key for key in KEYS}


@dataclass(frozen=True)
class Settings:
    """Effective settings of a site.

    Attributes:
        home: the site's folder.
        values: every key of :data:`KEYS`.
        sources: key -> "default", "file" or the environment variable's name.
    """

    home: Path
    values: Mapping[str, Any]
    sources: Mapping[str, str] = field(default_factory=dict)

    def __getattr__(self, name: str) -> Any:
        try:
            return self.values[name]
        except KeyError:
            raise AttributeError(name) from None

    @property
    def storage_root(self) -> Path:
        """A folder; a relative one lies below the home, wherever a process was started."""
        text = self.values["STORAGE"].removeprefix("file://")
        return self.home / Path(text).expanduser() if text else self.home

    @property
    def jobs_dir(self) -> Path:
        return self.storage_root / "jobs"

    @property
    def logs_dir(self) -> Path:
        return self.storage_root / "logs"

    @property
    def tables_dir(self) -> Path:
        return self.storage_root / "tables"

    @property
    def models_dir(self) -> Path:
        return self.storage_root / "model_local_cache"

    @property
    def airflow_home(self) -> Path:
        return self.home / "airflow"

    @property
    def database_file(self) -> Path:
        return self.home / "fate_flow_sqlite.db"

    @property
    def secret_file(self) -> Path:
        return self.home / "conf" / "site_secret"

    @property
    def identity_dir(self) -> Path:
        """Certificates and keys of the site; absent in standalone."""
        return self.home / "conf" / "identity"

    @property
    def address(self) -> str:
        """Address under which processes of this machine reach the site."""
        return _reached(str(self.values["IP"]))

    @property
    def http_url(self) -> str:
        own = f"http://{self.address}:{self.values['HTTP_PORT']}"
        return str(self.values.get("OWN_API_URL") or own).rstrip("/")

    @property
    def lan_address(self) -> str:
        """Address that other machines know this one by, as far as the site listens there."""
        ip = str(self.values["IP"])
        return _lan_address() if ip in _ANY else ip

    @property
    def shown_url(self) -> str:
        """As :attr:`http_url`, for links that are opened on other machines."""
        port = self.values["HTTP_PORT"]
        named = (self.values.get("SERVERS") or {}).get("fateflow")
        if isinstance(named, Mapping) and named.get("host"):
            return f"http://{named['host']}:{named.get('http.port', port)}"
        own = f"http://{self.lan_address}:{port}"
        return str(self.values.get("OWN_API_URL") or own).rstrip("/")

    @property
    def gateway_ip(self) -> str:
        """Address that the gateway binds."""
        return str(self.values.get("GATEWAY_IP") or self.values["IP"])

    @property
    def gateway_host(self) -> str:
        """Address under which processes of the gateway's machine reach it."""
        return _reached(self.gateway_ip)

    @property
    def grpc_address(self) -> str:
        own = f"{self.gateway_host}:{self.values['GRPC_PORT']}"
        return str(self.values.get("OWN_GATEWAY") or own)

    @property
    def uses_celery(self) -> bool:
        return any(
            name == "celery" or name.endswith("CeleryExecutor") for name in self.executor_names
        )

    @property
    def executor_names(self) -> list[str]:
        """EXECUTOR may name several, the first being the usual one."""
        return [name.strip() for name in str(self.values["EXECUTOR"]).split(",")]

    @property
    def is_loopback(self) -> bool:
        return _is_loopback(str(self.values["IP"]))

    def secret(self) -> bytes:
        """The site's secret, made by ``fate_flow init``.

        Raises:
            ConfigurationError: the site was not initialised.
        """
        try:
            return bytes.fromhex(self.secret_file.read_text().strip())
        except (OSError, ValueError):
            raise ConfigurationError(
                f"{self.secret_file} cannot be read", remedy="Run: fate_flow init"
            ) from None


_ANY = ("0.0.0.0", "::", "")  # noqa: S104


def _reached(ip: str) -> str:
    """Where this machine reaches what binds ``ip``."""
    return "127.0.0.1" if ip in _ANY else ip


@cache
def _lan_address() -> str:
    """Address of the way out of this machine; asking for it sends nothing."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as way_out:
            way_out.connect(("192.0.2.1", 9))
            return str(way_out.getsockname()[0])
    except OSError:
        return "127.0.0.1"


def _is_loopback(ip: str) -> bool:
    return ip.startswith("127.") or ip in ("localhost", "::1")


def default_home() -> Path:
    return Path(os.environ.get(HOME_VARIABLE) or Path.home() / "fate_flow").expanduser().resolve()


def load(home: Path | str | None = None) -> Settings:
    """Read, override and check.

    Raises:
        ConfigurationError: lists all problems.
    """
    folder = Path(home).expanduser().resolve() if home is not None else default_home()
    settings, problems = inspect(folder)
    if problems:
        raise ConfigurationError("\n".join(map(str, problems)), remedy="Run: fate_flow check")
    return settings


@cache
def current() -> Settings:
    """Settings of this process's site, read once."""
    return load()


def inspect(home: Path) -> tuple[Settings, list[Problem]]:
    """Effective settings and everything that is wrong with them; never raises for content."""
    problems: list[Problem] = []
    file_values = _read_file(home / FILE_NAME, problems)
    unreadable = bool(problems)
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for key in KEYS:
        value, source = key.default, "default"
        if key.name in file_values:
            value, source = file_values[key.name], "file"
        variable = ENVIRONMENT_PREFIX + key.name
        if variable in os.environ:
            value, source = _from_text(key, os.environ[variable]), variable
        problem = _check(key, value, source)
        if problem:
            problems.append(problem)
            value, source = key.default, "default"
        values[key.name], sources[key.name] = value, source
    for name in file_values:
        if name not in _BY_NAME:
            near = difflib.get_close_matches(str(name), list(_BY_NAME), n=1)
            hint = f"did you mean {near[0]}?" if near else ""
            problems.append(Problem(f"{FILE_NAME}: {name}", "unknown setting", hint=hint))
    settings = Settings(home, values, sources)
    if not unreadable:
        problems += _check_together(settings)
    return settings, problems


def _read_file(path: Path, problems: list[Problem]) -> Mapping[str, Any]:
    if not path.exists():
        return {}
    try:
        content = yaml.safe_load(path.read_text()) or {}
    except (OSError, yaml.YAMLError) as error:
        problems.append(Problem(str(path), f"cannot be read: {error}"))
        return {}
    if not isinstance(content, Mapping):
        problems.append(Problem(str(path), f"found {type(content).__name__}", "KEY: value lines"))
        return {}
    return content


def _from_text(key: Key, text: str) -> Any:
    if key.kind == "text":
        return text
    try:
        return json.loads(text.lower() if key.kind == "bool" else text)
    except ValueError:
        return text


_TYPES: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "number": (int, float),
    "bool": (bool,),
    "text": (str,),
    "list": (list,),
    "object": (dict,),
}


def _check(key: Key, value: Any, source: str) -> Problem | None:
    where = key.name if source in ("default", "file") else source
    wrong_type = not isinstance(value, _TYPES[key.kind]) or (
        isinstance(value, bool) and key.kind in ("int", "number")
    )
    allowed = {
        "int": "an integer",
        "number": "a number",
        "bool": "true or false",
        "text": "a text",
        "list": "a list",
        "object": "an object",
    }[key.kind]
    if key.minimum is not None or key.maximum is not None:
        allowed += f" from {key.minimum if key.minimum is not None else '-inf'}" + (
            f" to {key.maximum}" if key.maximum is not None else ""
        )
    if key.choices:
        allowed = ", ".join(key.choices)
    out_of_range = not wrong_type and (
        (key.minimum is not None and value < key.minimum)
        or (key.maximum is not None and value > key.maximum)
        or (bool(key.choices) and value not in key.choices)
    )
    return Problem(where, f"found {value!r}", allowed) if wrong_type or out_of_range else None


def _check_size(settings: Settings) -> list[Problem]:
    """What needs a database server, a broker or a readable address."""
    problems = []
    if settings.USE_LOCAL_DATABASE:
        wanted = [
            f"{key}: {settings.values[key]}"
            for key in ("SCHEDULERS", "API_SERVERS")
            if settings.values[key] > 1
        ]
        if settings.uses_celery:
            wanted.append(f"EXECUTOR: {settings.EXECUTOR}")
        problems += [
            Problem(
                text.partition(":")[0],
                f"{text} while USE_LOCAL_DATABASE is true: SQLite takes one writer",
                "USE_LOCAL_DATABASE: false with DATABASE (PostgreSQL, MySQL or MariaDB)",
            )
            for text in wanted
        ]
    if settings.uses_celery and not settings.REDIS:
        problems.append(
            Problem("REDIS", "empty while EXECUTOR is celery", "host, port, password of Redis")
        )
    url = str(settings.OWN_API_URL)
    if url and not re.fullmatch(r"https?://[^/?#\s@]+/?", url):
        problems.append(Problem("OWN_API_URL", f"found {url!r}", "http://host:port"))
    place = str(settings.OWN_GATEWAY)
    if place and not re.fullmatch(r"[^/\s@]+:\d{1,5}", place):
        problems.append(Problem("OWN_GATEWAY", f"found {place!r}", "host:port"))
    return problems


def _check_together(settings: Settings) -> list[Problem]:
    problems = []
    if settings.HTTP_PORT == settings.GRPC_PORT:
        problems.append(
            Problem("HTTP_PORT, GRPC_PORT", f"both are {settings.HTTP_PORT}", "two ports")
        )
    if not settings.USE_LOCAL_DATABASE and not settings.DATABASE:
        problems.append(
            Problem(
                "DATABASE",
                "empty while USE_LOCAL_DATABASE is false",
                "engine, name, user, passwd, host, port",
            )
        )
    if 0 < settings.HANG_PATIENCE < 5:
        # Shorter than a busy process may be silent: it would be ended again and again.
        problems.append(
            Problem("HANG_PATIENCE", f"found {settings.HANG_PATIENCE}", "0 (never), or 5 and more")
        )
    problems += _check_storage(settings.STORAGE)
    problems += _check_size(settings)
    problems += [
        Problem(f"AIRFLOW.{section}", f"found {options!r}", "option: value lines")
        for section, options in settings.AIRFLOW.items()
        if not isinstance(options, dict)
        or any(isinstance(value, (dict, list)) for value in options.values())
    ]
    if not (
        settings.is_loopback
        or settings.USE_AUTHENTICATION
        or settings.ALLOW_PUBLIC_WITHOUT_AUTHENTICATION
    ):
        problems.append(
            Problem(
                "IP",
                f"{settings.IP} can be reached from other machines while USE_AUTHENTICATION is off",
                "127.0.0.1, or USE_AUTHENTICATION: true",
                "or set ALLOW_PUBLIC_WITHOUT_AUTHENTICATION: true if the network protects the site",
            )
        )
    has_tls = settings.identity_dir.is_dir() and settings.GATEWAY_TLS != "off"
    if settings.GATEWAY_IP and not _is_loopback(str(settings.GATEWAY_IP)) and not has_tls:
        problems.append(
            Problem(
                "GATEWAY_IP",
                f"{settings.GATEWAY_IP} can be reached from other machines, and there is no TLS",
                "127.0.0.1, or an identity (fate_flow init --party …) and GATEWAY_TLS: auto",
            )
        )
    return problems


def _check_storage(text: str) -> list[Problem]:
    """Only folders: a URL taken for a path would make a folder ``s3:`` and look as if it worked."""
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]*):/", text)
    if scheme is None and "\0" not in text:
        return []
    if scheme is not None and text.startswith("file:///"):
        return []
    return [
        Problem(
            "STORAGE",
            f"found {text!r}; object stores and other URLs are not supported in this version",
            "an absolute path, or file:///path",
            "mount the store as a folder (NFS, a volume that processes share) and name that",
        )
    ]
