"""``fate_flow peer``: invite other sites, trust them, look at the connection to them."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from fate_flow.cli.site_api import call, settings_of
from fate_flow.errors import FateFlowError

EXIT_OK = 0
EXIT_FAILED = 1

_INTRODUCTION = """\
Two sites trust each other when each has added the other's invitation:

  at A   fate_flow peer invite > a.json          send a.json to B
  at B   fate_flow peer add a.json               compare the fingerprint by phone
         fate_flow peer invite > b.json          send b.json to A
  at A   fate_flow peer add b.json
  both   fate_flow peer check NAME
"""


def add_commands(commands: Any, command: Any) -> None:
    """The group ``peer``; ``command`` makes a parser with ``--home``."""
    group = commands.add_parser(
        "peer",
        help="other sites: invite, add, list, show, update, remove, policy, check",
        description=_INTRODUCTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    group.set_defaults(group=group)
    actions = group.add_subparsers(title="actions", metavar="ACTION")
    invite = command(actions, "invite", _invite, "print an invitation to this site")
    invite.add_argument("--days", type=float, default=14.0, help="how long it is valid (14)")
    where = invite.add_mutually_exclusive_group()
    where.add_argument("--address", metavar="HOST:PORT", help="where the gateway is reached")
    where.add_argument("--dials-out", action="store_true", help="this site cannot be called")
    _add_add(actions, command)
    _with_json(command(actions, "list", _list, "list all peers"))
    _named(_with_json(command(actions, "show", _show, "show one peer with its policy")))
    _route_options(_named(command(actions, "update", _update, "change the way to a peer")))
    _named(command(actions, "remove", _remove, "trust a peer no longer"))
    _policy_options(_named(command(actions, "policy", _policy, "show or set what its jobs may do")))
    check = _named(_with_json(command(actions, "check", _check, "try the connection, both ways")))
    check.add_argument("--megabytes", type=float, default=4.0, help="to measure with (4)")


def _add_add(actions: Any, command: Any) -> None:
    add = command(actions, "add", _add, "trust the site of an invitation")
    add.add_argument("file", type=Path, metavar="FILE", help="the invitation; -: standard input")
    add.add_argument("--name", default="", help="what to call it here (as it calls itself)")
    sure = add.add_mutually_exclusive_group()
    sure.add_argument("--fingerprint", metavar="F", help="as the other administrator read it out")
    sure.add_argument("--yes", action="store_true", help="do not ask: the file is known to be good")
    add.add_argument("--renew", action="store_true", help="a newer invitation of a known peer")
    add.add_argument("--approval", choices=("auto", "ask"), help="whether its jobs wait for a yes")
    _route_options(add)


def _route_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--address", metavar="HOST:PORT", help="where its gateway is reached")
    parser.add_argument("--via", metavar="NAME", help="reach it through this peer ('': directly)")
    dial = parser.add_mutually_exclusive_group()
    dial.add_argument(
        "--they-dial", action="store_true", help="it cannot be called and keeps a connection to us"
    )
    dial.add_argument(
        "--we-dial", action="store_true", help="we cannot be called; keep a connection to it"
    )
    dial.add_argument("--nobody-dials", action="store_true", help="take both back")
    parser.add_argument(
        "--may-route",
        choices=("yes", "no"),
        help="whether it may reach our other peers through us",
    )


def _policy_options(parser: argparse.ArgumentParser) -> None:
    for name, text in (
        ("roles", "of our parties in its jobs: guest,host,arbiter"),
        ("components", "module names or patterns: DataIO,Hetero*"),
        ("tables", "namespace/name or patterns: shared/*"),
    ):
        parser.add_argument(f"--{name}", metavar="A,B", help=text)
    parser.add_argument("--approval", choices=("auto", "ask"), help="ask: each job waits for a yes")


def _named(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument(
        "name", metavar="NAME", help="of the peer, or a party of it: 10000, host:10000"
    )
    return parser


def _with_json(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument("--json", action="store_true", help="machine-readable")
    return parser


def _invite(arguments: argparse.Namespace) -> int:
    from fate_flow.sites import invitation, own

    settings = settings_of(arguments)
    address = "" if arguments.dials_out else arguments.address
    text = own.invite(settings, days=arguments.days, address=address)
    sys.stdout.write(text)
    invited = invitation.read(text)
    host = invited.address.rpartition(":")[0]
    print(f"fingerprint  {invited.short_fingerprint}", file=sys.stderr)
    print("Read it out to whoever adds this invitation.", file=sys.stderr)
    if host.startswith("127.") or host in ("localhost", "[::1]"):
        print(
            f"{invited.address} is reached from this machine only; for other machines set "
            "GATEWAY_ADDRESS, or give --address or --dials-out",
            file=sys.stderr,
        )
    return EXIT_OK


def _add(arguments: argparse.Namespace) -> int:
    from fate_flow.sites import invitation, own

    settings = settings_of(arguments)
    text = _text_of(arguments.file)
    invited = invitation.read(text)
    invited.check(own.identity_of(settings).site_id)
    print(_described(invited), flush=True)
    if arguments.fingerprint:
        invited.confirm(arguments.fingerprint)
    elif not arguments.yes:
        _ask(invited.short_fingerprint)
    body = {
        "invitation": json.loads(text),
        "fingerprint": invited.fingerprint,
        "name": arguments.name,
        "renew": arguments.renew,
        **_route(arguments),
    }
    if arguments.approval:
        body["policy"] = {"approval": arguments.approval}
    peer = call(settings, "peer/add", body)
    print(f"peer {peer['name']} {'renewed' if arguments.renew else 'added'}: {_way(peer)}")
    print(f"its jobs     {_policy_text(peer['policy'])}")
    print("next         fate_flow peer invite > FILE for the other side, if it has not added us;")
    print(f"             then: fate_flow peer check {peer['name']}")
    return EXIT_OK


def _text_of(file: Path) -> str:
    from fate_flow.sites.invitation import MAX_BYTES

    try:
        if file == Path("-"):
            return sys.stdin.read(MAX_BYTES + 1)
        with file.open(encoding="utf-8") as opened:
            return opened.read(MAX_BYTES + 1)
    except OSError as error:
        raise FateFlowError(f"{file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise FateFlowError(f"{file} is not a text", remedy="Is it the right file?") from None


def _described(invited: Any) -> str:
    parties = ", ".join(map(str, invited.parties)) or "none: it only connects others"
    expires = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(invited.expires))
    lines = {
        "site": f"{invited.name} ({invited.site_id})",
        "parties": parties,
        "address": invited.address or "cannot be called; it dials out",
        "valid until": expires,
        "fingerprint": invited.short_fingerprint,
    }
    return "\n".join(f"{name:<12} {value}" for name, value in lines.items())


def _ask(fingerprint: str) -> None:
    """
    Raises:
        FateFlowError: nobody said yes.
    """
    if not sys.stdin.isatty():
        raise FateFlowError(
            "nobody is there to compare the fingerprint",
            remedy=f'Give it: --fingerprint "{fingerprint}", or --yes if the file is known '
            "to be good",
        )
    answer = input("Does the other site's administrator read out the same fingerprint? [y/N] ")
    if answer.strip().lower() not in ("y", "yes"):
        raise FateFlowError("not added")


def _route(arguments: argparse.Namespace) -> dict[str, Any]:
    route: dict[str, Any] = {"address": arguments.address, "via": arguments.via}
    if arguments.they_dial or arguments.we_dial or arguments.nobody_dials:
        route |= {"dials_in": arguments.they_dial, "we_dial": arguments.we_dial}
    if arguments.may_route:
        route["may_route"] = arguments.may_route == "yes"
    return {key: value for key, value in route.items() if value is not None}


def _list(arguments: argparse.Namespace) -> int:
    found = call(settings_of(arguments), "peer/list") or []
    if arguments.json:
        print(json.dumps(found, indent=2))
        return EXIT_OK
    if not found:
        print("no peers; fate_flow peer --help says how sites get to know each other")
        return EXIT_OK
    print(f"{'name':<16} {'parties':<34} {'approval':<9} {'checked':<17} way")
    for peer in found:
        parties = ", ".join(peer["parties"]) or "-"
        checked = _moment(peer["confirmed_at"])
        approval = peer["policy"]["approval"]
        print(f"{peer['name']:<16} {parties:<34} {approval:<9} {checked:<17} {_way(peer)}")
    return EXIT_OK


def _show(arguments: argparse.Namespace) -> int:
    from fate_flow.sites.invitation import short

    peer = call(settings_of(arguments), "peer/show", {"name": arguments.name})
    if arguments.json:
        print(json.dumps(peer, indent=2))
        return EXIT_OK
    lines = {
        "name": peer["name"],
        "site": peer["site_id"],
        "parties": ", ".join(peer["parties"]) or "none: it only connects others",
        "way": _way(peer),
        "may route": "yes, it reaches our other peers through us" if peer["may_route"] else "no",
        "connection": f"{peer['connection']} (Airflow)",
        "fingerprint": short(peer["fingerprint"]),
        "added": f"{_moment(peer['added_at'])} {peer['added_by']}".strip(),
        "checked": _moment(peer["confirmed_at"]),
        "its jobs": _policy_text(peer["policy"]),
    }
    print("\n".join(f"{name:<12} {value}" for name, value in lines.items()))
    return EXIT_OK


def _way(peer: dict[str, Any]) -> str:
    if peer["via"]:
        return f"via {peer['via']}"
    if peer["dials_in"]:
        return "it dials in"
    address = peer["address"] or "no address"
    return f"{address}, and we dial" if peer["we_dial"] else str(address)


def _moment(milliseconds: int | None) -> str:
    if not milliseconds:
        return "not yet"
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(milliseconds / 1000))


def _policy_text(policy: dict[str, Any]) -> str:
    rules = "; ".join(
        f"{name} {', '.join(policy[name]) or 'none'}" for name in ("roles", "components", "tables")
    )
    asks = policy["approval"] == "ask"
    return f"{rules}; {'each waits for a yes' if asks else 'they run without approval'}"


def _update(arguments: argparse.Namespace) -> int:
    route = _route(arguments)
    if not route:
        raise FateFlowError("nothing to change was given", remedy="fate_flow peer update --help")
    peer = call(settings_of(arguments), "peer/update", {"name": arguments.name, **route})
    print(f"peer {peer['name']}: {_way(peer)}")
    return EXIT_OK


def _remove(arguments: argparse.Namespace) -> int:
    call(settings_of(arguments), "peer/remove", {"name": arguments.name})
    print(f"peer {arguments.name} removed; it can no longer connect")
    return EXIT_OK


def _policy(arguments: argparse.Namespace) -> int:
    body: dict[str, Any] = {"name": arguments.name}
    for key in ("roles", "components", "tables"):
        text = getattr(arguments, key)
        if text is not None:
            body[key] = [part.strip() for part in text.split(",") if part.strip()]
    if arguments.approval:
        body["approval"] = arguments.approval
    policy = call(settings_of(arguments), "peer/policy", body)
    print(f"{arguments.name}: {_policy_text(policy)}")
    return EXIT_OK


def _check(arguments: argparse.Namespace) -> int:
    body = {"name": arguments.name, "bytes": int(arguments.megabytes * 1e6)}
    report = call(settings_of(arguments), "peer/check", body)
    if arguments.json:
        print(json.dumps(report, indent=2))
        return EXIT_OK if report["ok"] else EXIT_FAILED
    for step in report["steps"]:
        print(f"{'ok   ' if step['ok'] else 'WRONG'}  {step['step']:<16} {step['text']}")
        if step.get("remedy"):
            print(f"       {'':<16} -> {step['remedy']}")
    print(f"the connection to {arguments.name} {_verdict(report)}")
    return EXIT_OK if report["ok"] else EXIT_FAILED


def _verdict(report: dict[str, Any]) -> str:
    if report["ok"]:
        return "works in both directions"
    wrong = {step["step"] for step in report["steps"] if not step["ok"]}
    # Jobs run with clocks that differ; what ends at a time of day ends at the wrong one.
    is_clock = bool(wrong) and wrong <= {"clock", "back: clock"}
    return "works, but the clocks differ" if is_clock else "does not work yet"
