"""The ``fate_flow`` command: make a site, run it, look at it, try it.

Nothing here imports Airflow: that alone costs seconds of CPU. What needs Airflow is
started as a process of its own.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TextIO

from fate_flow.cli import demo_commands, job_commands, peer_commands
from fate_flow.errors import ConfigurationError, FateFlowError
from fate_flow.settings import FILE_NAME, Settings, default_home, load

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
#: As init scripts have it: the question was answered, the site is not running.
EXIT_NOT_RUNNING = 3

_EXIT_CODES = """\
exit codes:
  0  done        1  failed, the reason is on standard error
  2  wrong usage 3  (service status) the site is not running
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = build_parser()
    parsed = parser.parse_args(arguments)
    run: Callable[[argparse.Namespace], int] | None = getattr(parsed, "run", None)
    if run is None:
        (getattr(parsed, "group", None) or parser).print_help()
        return EXIT_USAGE
    try:
        return run(parsed)
    except FateFlowError as error:
        _complain(error)
        return EXIT_FAILED
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader went away (``| head``); keep the interpreter's exit quiet about it.
        sys.stdout = open("/dev/null", "w")  # noqa: SIM115
        return EXIT_OK


def _complain(error: FateFlowError, stream: TextIO | None = None) -> None:
    print(f"fate_flow: {error.message}", file=stream or sys.stderr)
    if error.remedy:
        print(error.remedy, file=stream or sys.stderr)


def build_parser() -> argparse.ArgumentParser:
    """All commands with their options and help."""
    parser = argparse.ArgumentParser(
        prog="fate_flow",
        description="Federated-learning pipelines inside Apache Airflow: make and run a site.",
        epilog="A site is one folder (--home, FATE_FLOW_HOME, else ~/fate_flow).\n\n" + _EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    _add_init(commands)
    _add_service(commands)
    demo_commands.add_commands(commands, _command)
    check = _command(commands, "check", _check, "say what is wrong with a site, all at once")
    check.add_argument("--json", action="store_true", help="machine-readable")
    peer_commands.add_commands(commands, _command)
    job_commands.add_commands(commands, _command)
    _add_lint(commands)
    _add_db(commands)
    _command(commands, "env", _env, "print export lines: plain airflow commands use the site")
    _command(commands, "version", _version, "print versions")
    return parser


def _command(
    commands: Any, name: str, run: Callable[[argparse.Namespace], int], text: str, epilog: str = ""
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=text,
        description=text[0].upper() + text[1:] + ".",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--home", type=Path, default=None, help=f"the site's folder (default: {default_home()})"
    )
    parser.set_defaults(run=run)
    return parser


def _add_init(commands: Any) -> None:
    init = _command(
        commands,
        "init",
        _init,
        "make a site: settings, secret, airflow.cfg, database",
        "examples:\n  fate_flow init --home .site --http-port 9380\n"
        "  fate_flow init --party guest:9999 --name bank-a --gateway-address a.example:9360\n\n"
        "Without --party and --name the site hosts all parties and knows no others.\n"
        "Running it again completes what is missing and changes nothing else.",
    )
    init.add_argument(
        "--party",
        action="append",
        metavar="ROLE:ID",
        help="party hosted here (repeat); others are at other sites, so certificates are made",
    )
    init.add_argument("--name", metavar="N", help="what the site calls itself to others: bank-a")
    init.add_argument(
        "--gateway-address", metavar="HOST:PORT", help="where other sites reach the gateway"
    )
    init.add_argument("--http-port", type=int, metavar="N", help="port of REST API and UI (9380)")
    init.add_argument("--grpc-port", type=int, metavar="N", help="port of the gateway (9360)")
    init.add_argument("--ip", metavar="A", help="address to bind (127.0.0.1)")
    init.add_argument("--force", action="store_true", help="write the settings file anew")


def _add_service(commands: Any) -> None:
    group = commands.add_parser(
        "service",
        help="start, stop, restart the processes of a site, or show them",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    group.set_defaults(group=group)
    actions = group.add_subparsers(title="actions", metavar="ACTION")
    start = _command(actions, "start", _start, "start the site and wait until it is ready")
    start.add_argument(
        "--foreground", action="store_true", help="stay in the foreground (containers, systemd)"
    )
    restart = _command(actions, "restart", _restart, "stop and start")
    for parser in (start, restart):
        parser.add_argument(
            "--timeout", type=float, default=300.0, metavar="S", help="wait at most (300 s)"
        )
    _command(actions, "stop", _stop, "end all processes of the site, tasks included")
    run = _command(
        actions,
        "run",
        _run_one,
        "run one process of the site in the foreground, alone (a container, another machine)",
        "example:\n  fate_flow service run celery-worker\n\n"
        "Needs the site's folder or a copy of its fate_flow.yaml and conf/site_secret, and its\n"
        "STORAGE. The schema must be there: fate_flow db migrate.",
    )
    look = _command(actions, "health", _health, "exit with 0 when one process of the site answers")
    for parser in (run, look):
        parser.add_argument("name", help="api-server, scheduler, gateway, celery-worker, …")
    status = _command(actions, "status", _status, "show each process, its port and health")
    status.add_argument("--json", action="store_true", help="machine-readable")


def _add_lint(commands: Any) -> None:
    lint = _command(commands, "lint", _lint, "check a job's DSL and runtime conf without a server")
    lint.add_argument("dsl", type=Path, help="DSL, a JSON file")
    lint.add_argument("conf", type=Path, help="runtime conf, a JSON file")
    lint.add_argument("--mermaid", action="store_true", help="print the plan as a diagram")


def _add_db(commands: Any) -> None:
    group = commands.add_parser("db", help="database schema")
    group.set_defaults(group=group)
    actions = group.add_subparsers(title="actions", metavar="ACTION")
    _command(actions, "migrate", _migrate, "bring the schema (Airflow's and ours) up to date")


def _home(arguments: argparse.Namespace) -> Path:
    return (arguments.home or default_home()).expanduser().resolve()


def _settings(arguments: argparse.Namespace) -> Settings:
    from fate_flow.cli import site

    home = _home(arguments)
    site.require_site(home)
    return load(home)


def _name_of(parties: Sequence[str]) -> str:
    """What a site is called that was given no name."""
    return parties[0].replace(":", "-")


def _init(arguments: argparse.Namespace) -> int:
    from fate_flow.cli import site
    from fate_flow.federation.identity import SiteIdentity
    from fate_flow.sites.invitation import check_address, short

    named = {
        "IP": arguments.ip,
        "HTTP_PORT": arguments.http_port,
        "GRPC_PORT": arguments.grpc_port,
        "GATEWAY_ADDRESS": arguments.gateway_address,
        "PARTIES": arguments.party,
    }
    options = {name: value for name, value in named.items() if value is not None}
    try:
        options["PARTIES"] = [site.parse_party(text) for text in arguments.party or ()]
    except ValueError as error:
        raise ConfigurationError(f"--party: {error}") from None
    if not options["PARTIES"]:
        del options["PARTIES"]
    name = arguments.name or ("" if "PARTIES" not in options else _name_of(options["PARTIES"]))
    if arguments.gateway_address:
        check_address(arguments.gateway_address)
    settings = site.initialise(
        _home(arguments),
        options,
        force=arguments.force,
        name=name,
        rename=arguments.name is not None,
    )
    print(f"site        {settings.home}")
    print(f"settings    {settings.home / FILE_NAME}")
    print(f"REST and UI {settings.http_url}    gateway {settings.grpc_address}")
    if SiteIdentity.exists(settings):
        own = SiteIdentity.load(settings)
        print(f"identity    {own.name} ({own.site_id}), fingerprint {short(own.fingerprint)}")
        print(f"parties     {', '.join(settings.PARTIES) or 'none: it only connects others'}")
    if settings.USE_AUTHENTICATION or not settings.is_loopback:
        print(f"UI login    admin, password in {settings.home / 'conf' / 'airflow_passwords.json'}")
    if not site.is_migrated(settings):
        print("database    making the schema (some seconds) ...", flush=True)
        site.migrate(settings)
    print("database    up to date")
    print("\n".join(_next_step(settings)))
    return EXIT_OK


def _next_step(settings: Settings) -> list[str]:
    """What is to be done after ``init``, by whether the site runs."""
    from fate_flow.cli import state

    if state.read_state(settings) is None:
        return [f"next        fate_flow service start --home {settings.home}"]
    changed = state.changed_since_start(settings)
    if not changed:
        return ["next        nothing: the site is running"]
    return [
        f"running     the site still runs without the changed {' and '.join(changed)}",
        f"next        fate_flow service restart --home {settings.home}",
        "            (tasks that run now begin anew after it)",
    ]


def _say(text: str) -> None:
    print(text, flush=True)


def _start(arguments: argparse.Namespace) -> int:
    from fate_flow.cli import service

    settings = _settings(arguments)
    foreground = getattr(arguments, "foreground", False)
    service.start(settings, _say, timeout=arguments.timeout, foreground=foreground)
    if not foreground:
        print(f"ready: REST {settings.http_url}/v1   UI {settings.http_url}/")
    return EXIT_OK


def _run_one(arguments: argparse.Namespace) -> int:
    from fate_flow.cli import service

    service.run_one(_settings(arguments), arguments.name)
    return EXIT_OK


def _health(arguments: argparse.Namespace) -> int:
    from fate_flow.cli import health, services

    settings = _settings(arguments)
    name = services.service_named(settings, arguments.name).name
    check = health.check_of(name)
    problem = check(settings) if check else ""
    print(f"{name}: {problem or 'ok'}")
    return EXIT_FAILED if problem else EXIT_OK


def _stop(arguments: argparse.Namespace) -> int:
    from fate_flow.cli import service

    service.stop(_settings(arguments), _say)
    return EXIT_OK


def _restart(arguments: argparse.Namespace) -> int:
    _stop(arguments)
    return _start(arguments)


def _status(arguments: argparse.Namespace) -> int:
    from fate_flow.cli import service

    settings = _settings(arguments)
    rows = service.status(settings)
    if rows is None:
        print(json.dumps({"running": False}) if arguments.json else "the site is not running")
        return EXIT_NOT_RUNNING
    healthy = not any(row.problem for row in rows)
    if arguments.json:
        report = {"running": True, "healthy": healthy, "home": str(settings.home)}
        print(json.dumps({**report, "processes": [row.to_json() for row in rows]}, indent=2))
        return EXIT_OK if healthy else EXIT_FAILED
    print(f"{'process':<14}{'pid':>8}{'port':>7}{'uptime':>10}{'starts':>8}{'MB':>7}  health")
    for row in rows:
        print(
            f"{row.name:<14}{row.pid or '-':>8}{row.port or '-':>7}{_duration(row.uptime):>10}"
            f"{row.restarts + 1:>8}{row.memory / 1e6:>7.0f}  {row.problem or 'ok'}"
        )
    return EXIT_OK if healthy else EXIT_FAILED


def _duration(seconds: float) -> str:
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}"


def _check(arguments: argparse.Namespace) -> int:
    from fate_flow.cli import check

    report = check.examine(_home(arguments))
    print(json.dumps(report.to_json(), indent=2) if arguments.json else report.to_text())
    return EXIT_FAILED if report.errors else EXIT_OK


def _lint(arguments: argparse.Namespace) -> int:
    from fate_flow.dsl.lint import lint_files, mermaid

    report = lint_files(arguments.dsl, arguments.conf)
    if arguments.mermaid and report.plan is not None:
        print(mermaid(report.plan), end="")
    else:
        print(report.text())
    return EXIT_OK if report.ok else EXIT_FAILED


def _migrate(arguments: argparse.Namespace) -> int:
    from fate_flow.cli import site

    settings = _settings(arguments)
    site.write_airflow_config(settings)
    site.migrate(settings, force=True)
    print("the schema is up to date")
    return EXIT_OK


def _env(arguments: argparse.Namespace) -> int:
    from fate_flow.cli import site

    settings = _settings(arguments)
    for name, value in site.site_variables(settings).items():
        print(f"export {name}={shlex.quote(value)}")
    return EXIT_OK


def _version(_: argparse.Namespace) -> int:
    from fate_flow.cli import check

    for name, version in check.versions().items():
        print(f"{name} {version}")
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
