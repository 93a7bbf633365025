"""``fate_flow job``: say yes or no to jobs of other sites that wait for it."""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

from fate_flow.cli.site_api import call, settings_of

EXIT_OK = 0


def add_commands(commands: Any, command: Any) -> None:
    """The group ``job``; ``command`` makes a parser with ``--home``."""
    group = commands.add_parser("job", help="approve or refuse jobs of other sites")
    group.set_defaults(group=group)
    actions = group.add_subparsers(title="actions", metavar="ACTION")
    waiting = command(actions, "approvals", _approvals, "list the jobs that wait for a yes here")
    waiting.add_argument("--json", action="store_true", help="machine-readable")
    approve = command(actions, "approve", _approve, "let a job of another site run here")
    approve.add_argument("job", metavar="JOB", help="job id")
    refuse = command(actions, "refuse", _refuse, "refuse a job of another site; it fails there")
    refuse.add_argument("job", metavar="JOB", help="job id")
    refuse.add_argument("--reason", required=True, help="told to whoever submitted it")


def _approvals(arguments: argparse.Namespace) -> int:
    found = call(settings_of(arguments), "approval/list") or []
    if arguments.json:
        print(json.dumps(found, indent=2))
        return EXIT_OK
    if not found:
        print("no job waits for approval")
    for job in found:
        print(
            f"{job['job_id']}  from {job['initiator']} at {job['site']}, {_moment(job['created'])}"
        )
        print(f"  our parties  {', '.join(job['parties'])}")
        print(f"  components   {', '.join(job['modules'])}")
        print(f"  tables       {', '.join(job['tables']) or 'none'}")
    return EXIT_OK


def _moment(milliseconds: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(milliseconds / 1000))


def _approve(arguments: argparse.Namespace) -> int:
    call(settings_of(arguments), "approval/approve", {"job_id": arguments.job})
    print(f"job {arguments.job} approved")
    return EXIT_OK


def _refuse(arguments: argparse.Namespace) -> int:
    body = {"job_id": arguments.job, "reason": arguments.reason}
    call(settings_of(arguments), "approval/refuse", body)
    print(f"job {arguments.job} refused; its initiator is told why")
    return EXIT_OK
