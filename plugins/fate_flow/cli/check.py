"""``fate_flow check``: settings with their sources, and everything that is wrong with a site."""

from __future__ import annotations

import datetime
import importlib.metadata
import platform
import shutil
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fate_flow.cli import airflow_config, backends, processes, site, state
from fate_flow.errors import ConfigurationError
from fate_flow.settings import FILE_NAME, KEYS, Settings, inspect
from fate_flow.version import FATE_VERSION, __version__

#: Less free space than this and an upload or a model may not fit.
LOW_DISK_BYTES = 1_000_000_000
#: The gateway renews its certificate long before.
LOW_CERTIFICATE_DAYS = 30
_SHOWN_PACKAGES = ("apache-airflow-core", "sqlalchemy", "grpcio", "numpy", "pyarrow", "duckdb")
_SECRET_KEYS = ("passwd", "password", "secret", "token")


@dataclass
class Report:
    """What ``check`` found.

    Attributes:
        home: the site's folder.
        settings: key -> (value with secrets hidden, source).
        facts: what was looked at and is right, one line each.
        warnings: works, but look at it.
        errors: does not work; what to do stands in the text.
    """

    home: Path
    settings: dict[str, tuple[Any, str]] = field(default_factory=dict)
    facts: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return {
            "home": str(self.home),
            "settings": {k: {"value": v, "source": s} for k, (v, s) in self.settings.items()},
            "facts": self.facts,
            "warnings": self.warnings,
            "errors": self.errors,
        }

    def to_text(self) -> str:
        lines = [f"site {self.home}", "", "settings"]
        lines += [f"  {k:<36} {v!r:<28} {s}" for k, (v, s) in self.settings.items()]
        for title, texts in (("", self.facts), ("warnings", self.warnings), ("wrong", self.errors)):
            if texts:
                lines += ["", title or "looked at", *(f"  {text}" for text in texts)]
        lines += ["", f"{len(self.errors)} wrong, {len(self.warnings)} warnings"]
        return "\n".join(lines)


def examine(home: Path) -> Report:
    """Look at everything, whatever fails on the way."""
    settings, problems = inspect(home)
    report = Report(home)
    report.errors += [str(problem) for problem in problems]
    report.settings = {
        key.name: (hide_secrets(settings.values[key.name]), settings.sources[key.name])
        for key in KEYS
    }
    report.facts += [f"{name} {version}" for name, version in versions().items()]
    _check_files(settings, report)
    _check_identity(settings, report)
    _check_disk(settings, report)
    _check_database(settings, report)
    _check_ports(settings, report)
    return report


def versions() -> dict[str, str]:
    """Versions that matter when something goes wrong."""
    found = {"fate_flow": __version__, "FATE": FATE_VERSION, "Python": platform.python_version()}
    for name in _SHOWN_PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "missing"
    return found


def hide_secrets(value: Any) -> Any:
    """The value with passwords replaced, for showing it."""
    if isinstance(value, Mapping):
        return {
            key: "***"
            if any(word in str(key).lower() for word in _SECRET_KEYS) and inner
            else hide_secrets(inner)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [hide_secrets(inner) for inner in value]
    return value


def _check_files(settings: Settings, report: Report) -> None:
    if not (settings.home / FILE_NAME).exists():
        report.errors.append(
            f"{settings.home / FILE_NAME} is missing; run: fate_flow init --home {settings.home}"
        )
    secrets = (
        settings.secret_file,
        settings.airflow_home / "airflow.cfg",
        airflow_config.passwords_file(settings),
    )
    for path in secrets:
        if not path.exists():
            report.errors.append(f"{path} is missing; run: fate_flow init --home {settings.home}")
            continue
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            report.errors.append(f"{path} can be read by others ({mode:04o}); chmod 600 {path}")
        else:
            report.facts.append(f"{path} {mode:04o}")
    try:
        settings.secret()
    except ConfigurationError as error:
        if settings.secret_file.exists():
            report.errors.append(str(error))


def _check_identity(settings: Settings, report: Report) -> None:
    # Imported here: gRPC costs time that other commands need not spend.
    from fate_flow.federation.identity import SiteIdentity
    from fate_flow.sites.invitation import short

    if not SiteIdentity.exists(settings):
        if settings.PARTIES:
            report.warnings.append(
                "PARTIES are set but the site has no identity, so it can reach no other site;"
                " run: fate_flow init --party … again"
            )
        return
    try:
        own = SiteIdentity.load(settings)
        expires = own.leaf_expires()
        seal = own.seal_public
    except ConfigurationError as error:
        report.errors.append(str(error))
        return
    left = (expires - datetime.datetime.now(datetime.timezone.utc)).days
    parties = ", ".join(map(str, settings.PARTIES)) or "none: it only connects others"
    report.facts += [
        f"site {own.name} ({own.site_id}), parties: {parties}",
        f"fingerprint {short(own.fingerprint)}, sealing key {seal[:16]}…",
    ]
    until = f"the gateway's certificate is valid until {expires:%Y-%m-%d}, {left} days"
    if left < 0:
        report.errors.append(f"{until}; start the gateway, which renews it")
    elif left < LOW_CERTIFICATE_DAYS:
        report.warnings.append(f"{until}; a running gateway renews it: does it run?")
    else:
        report.facts.append(until)
    if settings.GATEWAY_TLS == "off":
        report.errors.append("GATEWAY_TLS is off, so no other site can be reached; set it to auto")
    for path in settings.identity_dir.iterdir():
        mode = stat.S_IMODE(path.stat().st_mode)
        if path.suffix == ".key" and mode & 0o077:
            report.errors.append(f"{path} can be read by others ({mode:04o}); chmod 600 {path}")


def _check_disk(settings: Settings, report: Report) -> None:
    places = {settings.home, settings.storage_root}
    for place in sorted(place for place in places if place.exists()):
        free = shutil.disk_usage(place).free
        text = f"{place}: {free / 1e9:.1f} GB free"
        (report.facts if free >= LOW_DISK_BYTES else report.warnings).append(text)


def _check_database(settings: Settings, report: Report) -> None:
    try:
        airflow_config.database_urls(settings)
    except ConfigurationError as error:
        report.errors.append(str(error))
        return
    if settings.USE_LOCAL_DATABASE:
        path = settings.database_file
        if path.exists():
            report.facts.append(f"database {path} {path.stat().st_size / 1e6:.1f} MB")
    facts, problems = backends.examine(settings)
    report.facts += facts
    report.errors += problems
    if problems:
        return
    if settings.secret_file.exists() and not site.is_migrated(settings):
        report.warnings.append("the schema is not up to date; run: fate_flow db migrate")


def _check_ports(settings: Settings, report: Report) -> None:
    if settings.home.exists() and state.read_state(settings) is not None:
        report.facts.append("the site is running (fate_flow service status)")
        return
    for key in ("HTTP_PORT", "GRPC_PORT"):
        port = getattr(settings, key)
        ip = settings.gateway_ip if key == "GRPC_PORT" else settings.IP
        reason = processes.can_bind(ip, port)
        holder = processes.listener(port) if reason else ""
        if reason:
            held = f", held by {holder}" if holder else ""
            report.errors.append(f"{key} {port}: {reason}{held}")
        else:
            report.facts.append(f"{key} {port} is free")
