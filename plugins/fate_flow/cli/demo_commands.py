"""``fate_flow demo`` and ``fate_flow demo-sites``: their options."""

from __future__ import annotations

import argparse
from typing import Any

from fate_flow.cli.site_api import settings_of
from fate_flow.settings import default_home


def add_commands(commands: Any, command: Any) -> None:
    """Both commands; ``command`` makes a parser with ``--home``."""
    _add_demo(commands, command)
    _add_demo_sites(commands, command)


def _add_demo(commands: Any, command: Any) -> None:
    demo = command(
        commands,
        "demo",
        _demo,
        "run a federated logistic regression on breast-cancer data",
        "Needs a running site (fate_flow service start). Writes the data of a guest and a host\n"
        "to HOME/demo, uploads both, submits dsl_examples/hetero_lr and shows its progress.",
    )
    demo.add_argument("--timeout", type=float, default=1800.0, metavar="S", help="give up (1800 s)")
    demo.add_argument("--plain", action="store_true", help="plain lines instead of a live table")
    demo.add_argument("--data-only", action="store_true", help="make and upload the data, no job")


def _add_demo_sites(commands: Any, command: Any) -> None:
    demo = command(
        commands,
        "demo-sites",
        _demo_sites,
        "run the demo's job between three sites on this machine",
        "Makes, starts and introduces the sites bank-a (guest), bank-b (host) and trust-c\n"
        "(arbiter) below --home, uploads data to two of them and submits the job at bank-a.",
    )
    demo.add_argument("--http-port", type=int, default=9480, help="of the first site (9480)")
    demo.add_argument("--grpc-port", type=int, default=9460, help="of the first site (9460)")
    demo.add_argument("--timeout", type=float, default=1800.0, metavar="S", help="give up (1800 s)")
    demo.add_argument("--plain", action="store_true", help="plain lines instead of a live table")
    demo.add_argument("--stop", action="store_true", help="only end the sites of an earlier demo")


def _demo(arguments: argparse.Namespace) -> int:
    from fate_flow.cli import demo

    return demo.run(
        settings_of(arguments),
        timeout=arguments.timeout,
        plain=arguments.plain,
        data_only=arguments.data_only,
    )


def _demo_sites(arguments: argparse.Namespace) -> int:
    from fate_flow.cli import demo_sites

    folder = (arguments.home or default_home()).expanduser().resolve()
    if arguments.stop:
        return demo_sites.stop(folder, lambda text: print(text, flush=True))
    return demo_sites.run(
        folder,
        http_port=arguments.http_port,
        grpc_port=arguments.grpc_port,
        timeout=arguments.timeout,
        plain=arguments.plain,
    )
