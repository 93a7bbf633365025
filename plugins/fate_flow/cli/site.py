"""Making a site: its folder, settings file, secret, ``airflow.cfg`` and database schema."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

import fate_flow
from fate_flow.cli import airflow_config, backends
from fate_flow.cli.processes import MARK
from fate_flow.entities import ROLES
from fate_flow.errors import ConfigurationError, FateFlowError
from fate_flow.settings import FILE_NAME, HOME_VARIABLE, KEYS, Key, Settings, inspect, load

#: Numerical libraries start one thread per core; with a process per task that is too many.
_SINGLE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class CommandFailedError(FateFlowError):
    """A program that was started to do a part of the work ended with an error."""

    code = "command_failed"


def initialise(
    home: Path,
    options: Mapping[str, Any],
    *,
    force: bool = False,
    name: str = "",
    rename: bool = False,
) -> Settings:
    """Make the folder of a site, or complete it; what is there stays.

    Args:
        home: the site's folder.
        options: settings to write (key of :data:`fate_flow.settings.KEYS` -> value).
        force: write the settings file anew although it exists; secret and identity stay.
        name: of the site among others; given, it gets certificates of its own.
        rename: also when it has them already.

    Raises:
        ConfigurationError: the file exists with other values, or the values cannot be used.
    """
    path = home / FILE_NAME
    is_new = force or not path.exists()
    if not is_new:
        _refuse_other_values(path, options)
    if name:
        _make_identity(home, name, rename=rename)
    for folder in (home, home / "conf", home / "dags", home / "airflow", home / "run"):
        folder.mkdir(parents=True, exist_ok=True)
    (home / "conf").chmod(0o700)
    (home / "airflow").chmod(0o700)
    if is_new:
        _write(path, settings_text({"IP": "127.0.0.1", **options}), 0o600)
    secret = home / "conf" / "site_secret"
    if not secret.exists():
        _write(secret, secrets.token_hex(32) + "\n", 0o600)
    settings = load(home)
    write_airflow_config(settings)
    return settings


def _make_identity(home: Path, name: str, *, rename: bool) -> None:
    from fate_flow.federation.identity import SiteIdentity

    # Before anything else is written: a name that is refused leaves no half of a site.
    identity = SiteIdentity.create(inspect(home)[0], name)
    if rename and identity.name != name:
        identity.rename(name)


def write_airflow_config(settings: Settings) -> None:
    """Bring ``airflow.cfg`` in line with the settings; make the administrator's password.

    Raises:
        ConfigurationError: the settings do not give a configuration.
    """
    settings.airflow_home.mkdir(parents=True, exist_ok=True)
    path = settings.airflow_home / "airflow.cfg"
    text = airflow_config.render(settings)
    if not path.exists() or path.read_text() != text:
        _write(path, text, 0o600)
    _write_local_settings(settings)
    passwords = airflow_config.passwords_file(settings)
    if not passwords.exists():
        _write(passwords, json.dumps({"admin": secrets.token_urlsafe(12)}) + "\n", 0o600)


def _write_local_settings(settings: Settings) -> None:
    """The module that Airflow imports before it looks at the database's driver.

    A file of the user's own stays; it must then do the same.
    """
    path = settings.airflow_home / "config" / "airflow_local_settings.py"
    if not airflow_config.database_urls(settings)[0].startswith("mysql"):
        return
    path.parent.mkdir(exist_ok=True)
    if not path.exists():
        _write(path, airflow_config.LOCAL_SETTINGS, 0o600)


def settings_text(values: Mapping[str, Any]) -> str:
    """Content of ``fate_flow.yaml``: every key with its meaning, the given ones active."""
    lines = [
        "# Settings of this FATE-Flow site. A key that is commented out has the value shown.",
        f"# The environment variable FATE_FLOW__<KEY> overrides a key. Check: {_program()} check",
        "",
    ]
    for key in KEYS:
        lines.append(f"# {key.help}{_limits(key)}")
        value = values.get(key.name, key.default)
        line = f"{key.name}: {json.dumps(value)}"  # JSON is YAML too, on one line
        lines += [line if key.name in values else f"# {line}", ""]
    return "\n".join(lines)


def _program() -> str:
    return "fate_flow"


def _limits(key: Key) -> str:
    if key.choices:
        return f" ({', '.join(key.choices)})"
    if key.minimum is None and key.maximum is None:
        return ""
    low = "" if key.minimum is None else f"{key.minimum}"
    return f" ({low}..{'' if key.maximum is None else key.maximum})"


def _refuse_other_values(path: Path, options: Mapping[str, Any]) -> None:
    content = yaml.safe_load(path.read_text()) or {}
    other = [
        f"{name} is {content.get(name, '(default)')!r}, asked for {value!r}"
        for name, value in options.items()
        if content.get(name) != value
    ]
    if other:
        raise ConfigurationError(
            f"{path} exists: {'; '.join(other)}", remedy="Edit the file, or use --force"
        )


def parse_party(text: str) -> str:
    """One ``role:id``; ``role_id`` is taken too.

    Raises:
        ValueError: not a role of FATE, or not a number.
    """
    role, _, party_id = text.replace("_", ":").partition(":")
    if role not in ROLES or not party_id.isdecimal():
        raise ValueError(f"found {text!r}; allowed: role:id with role one of {', '.join(ROLES)}")
    return f"{role}:{party_id}"


def _write(path: Path, text: str, mode: int) -> None:
    """Write atomically, never readable by others for a moment if it must not be."""
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    temporary.replace(path)


def require_site(home: Path) -> None:
    """Refuse to work on a folder that is not a site.

    Raises:
        ConfigurationError: ``fate_flow init`` was not run here.
    """
    if not (home / FILE_NAME).exists() or not (home / "conf" / "site_secret").exists():
        raise ConfigurationError(
            f"{home} is not a site", remedy=f"Run: fate_flow init --home {home}"
        )


def site_variables(settings: Settings) -> dict[str, str]:
    """Environment with which ``airflow`` commands work on this site."""
    return {
        "AIRFLOW_HOME": str(settings.airflow_home),
        "AIRFLOW_CONFIG": str(settings.airflow_home / "airflow.cfg"),
        HOME_VARIABLE: str(settings.home),
    }


def child_environment(settings: Settings, *, supervised: bool = False) -> dict[str, str]:
    """Environment of the processes of a site.

    Args:
        supervised: mark them as the site's own, to be ended with it.
    """
    environment = {**os.environ, **site_variables(settings), **_SINGLE_THREAD}
    environment["PYTHONUNBUFFERED"] = "1"
    # Two malloc arenas instead of eight per core: tens of MB less per threaded process.
    environment.setdefault("MALLOC_ARENA_MAX", "2")
    # Process titles must not overwrite the environment by which a process is found again.
    environment["SPT_NOENV"] = "1"
    # The processes of a site talk over loopback, whatever proxy the machine uses.
    own = f"127.0.0.1,localhost,{settings.address}"
    for name in ("NO_PROXY", "no_proxy"):
        environment[name] = ",".join(filter(None, (environment.get(name), own)))
    if supervised:
        environment[MARK] = str(settings.home)
    return environment


def airflow_command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "airflow", *arguments]


def run_airflow(settings: Settings, *arguments: str, log_name: str) -> None:
    """Run an ``airflow`` command to its end, output in the site's logs.

    Raises:
        CommandFailedError: with the last lines of its output.
    """
    folder = settings.logs_dir / "fate_flow"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{log_name}.log"
    with path.open("w") as output:
        code = subprocess.run(  # noqa: S603 - our own interpreter, fixed arguments
            airflow_command(*arguments),
            env=child_environment(settings),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        ).returncode
    if code:
        tail = "\n".join(path.read_text(errors="replace").splitlines()[-15:])
        raise CommandFailedError(
            f"airflow {' '.join(arguments)} ended with code {code}:\n{tail}\n(all of it: {path})"
        )


def schema_stamp(settings: Settings) -> str:
    """What the database schema depends on: versions, our migrations, the database's address."""
    digest = hashlib.sha256()
    for package in ("apache-airflow-core", "fate-flow-airflow"):
        try:
            digest.update(f"{package} {importlib.metadata.version(package)}\n".encode())
        except importlib.metadata.PackageNotFoundError:
            digest.update(f"{package} {fate_flow.__version__}\n".encode())
    digest.update(airflow_config.database_urls(settings)[0].encode())
    for file in sorted((Path(fate_flow.__file__).parent / "db").rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def is_migrated(settings: Settings) -> bool:
    """Whether the schema was brought up to date by this version already."""
    stamp = settings.home / "run" / "schema_stamp"
    if settings.USE_LOCAL_DATABASE and not settings.database_file.exists():
        return False
    if not settings.USE_LOCAL_DATABASE and not backends.has_schema(settings):
        return False
    return stamp.exists() and stamp.read_text() == schema_stamp(settings)


def migrate(settings: Settings, *, force: bool = False) -> bool:
    """``airflow db migrate``, which makes our tables too; False when nothing was to do.

    Raises:
        CommandFailedError: the migration failed.
    """
    if not force and is_migrated(settings):
        return False
    backends.require(settings)
    run_airflow(settings, "db", "migrate", log_name="db_migrate")
    if settings.USE_LOCAL_DATABASE and settings.database_file.exists():
        settings.database_file.chmod(0o600)
    _write(settings.home / "run" / "schema_stamp", schema_stamp(settings), 0o600)
    return True
