"""``fate_flow_client -f <function>``: FATE-Flow's command line client.

Merges a JSON file and the flags into one object, sends it to one endpoint, and prints the
answer as JSON. The exit status is 0 whatever the answer is, as scripts written for
FATE-Flow expect; with ``--exit-code`` it is 1 when the retcode is not 0.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fate_flow.errors import RETCODE_EXCEPTION, RETCODE_OK, FateFlowError

EXIT_CODE_VARIABLE = "FATE_FLOW_EXIT_CODE"

#: In the order of FATE-Flow's help.
FUNCTIONS = (
    "download",
    "upload",
    "upload_history",
    "load",
    "bind",
    "store",
    "restore",
    "export",
    "import",
    "job_config",
    "job_log",
    "submit_job",
    "stop_job",
    "query_job",
    "data_view_query",
    "clean_job",
    "clean_queue",
    "query_task",
    "table_info",
    "table_delete",
    "component_parameters",
    "component_metric_all",
    "component_metric_delete",
    "component_metrics",
    "component_output_model",
    "component_output_data",
    "component_output_data_table",
    "grant_privilege",
    "delete_privilege",
    "query_privilege",
)

#: Short flag, long flag, type, help.
FLAGS: tuple[tuple[str, str, type, str], ...] = (
    ("-j", "--job_id", str, "job id"),
    ("-p", "--party_id", str, "party id"),
    ("-r", "--role", str, "role"),
    ("-cpn", "--component_name", str, "component name"),
    ("-s", "--status", str, "status"),
    ("-n", "--namespace", str, "namespace"),
    ("-t", "--table_name", str, "table name"),
    ("-w", "--work_mode", int, "work mode: 0 standalone, 1 cluster"),
    ("-i", "--file", str, "file to send"),
    ("-o", "--output_path", str, "folder to write to"),
    ("-m", "--model", str, "day of a metric table, YYYYMMDD"),
    ("-drop", "--drop", str, "upload: 0 adds to an existing table, 1 replaces it"),
    ("-limit", "--limit", int, "how many rows at most"),
    ("-src_party_id", "--src_party_id", str, "party id that the privilege is about"),
    ("-src_role", "--src_role", str, "role that the privilege is about"),
    ("-privilege_role", "--privilege_role", str, "roles, with commas between, or all"),
    ("-privilege_command", "--privilege_command", str, "commands, with commas between, or all"),
    ("-privilege_component", "--privilege_component", str, "components, or all"),
)


def build_parser(program: str = "fate_flow_client") -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program,
        description="Command line client of FATE-Flow: sends one request, prints the answer.",
        epilog="Environment: FATE_FLOW_ADDRESS (host:port of the server), FATE_FLOW_TOKEN "
        f"(bearer token), {EXIT_CODE_VARIABLE}=1 (as --exit-code).",
    )
    parser.add_argument("-c", "--config", type=str, help="JSON file; for submit_job the conf")
    parser.add_argument("-d", "--dsl", type=str, help="DSL, a JSON file")
    parser.add_argument(
        "-f", "--function", type=str, choices=FUNCTIONS, required=True, help="function to call"
    )
    for short, long, kind, text in FLAGS:
        parser.add_argument(short, long, type=kind, help=text)
    ours = parser.add_argument_group("not in FATE-Flow")
    ours.add_argument("--address", help="host:port or URL of the server")
    ours.add_argument(
        "--timeout", type=float, default=600.0, help="seconds to wait for the server (600)"
    )
    ours.add_argument(
        "--exit-code", action="store_true", help="exit status 1 when the retcode is not 0"
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit status."""
    program = Path(sys.argv[0]).name if sys.argv and sys.argv[0] else ""
    known = ("fate_flow_client", "fate_flow_client.py")
    parser = build_parser(program if program in known else known[0])
    arguments = parser.parse_args(argv)
    try:
        answer = run(arguments)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    try:
        print(_shown(answer))
        print()
    except BrokenPipeError:  # the reader, for instance `head`, has seen enough
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    strict = arguments.exit_code or os.environ.get(EXIT_CODE_VARIABLE, "") in ("1", "true")
    return 1 if strict and answer.get("retcode") != RETCODE_OK else 0


def _shown(answer: dict[str, Any]) -> str:
    """The answer as JSON; escaped where standard output cannot take its characters."""
    text = json.dumps(answer, indent=4, ensure_ascii=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return json.dumps(answer, indent=4)
    return text


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """The answer to print; whatever goes wrong becomes an answer, too."""
    try:
        config = merge(arguments)
        from fate_flow.cli.client_commands import call

        return call(arguments, config)
    except FateFlowError as error:
        return _failure(error, [f"{type(error).__name__}: {error}\n"])
    except Exception as error:
        return _failure(error, traceback.format_exception(type(error), error, error.__traceback__))


def _failure(error: Exception, trace: list[str]) -> dict[str, Any]:
    text = str(error)
    if getattr(error, "refused", False):
        return {
            "retcode": RETCODE_EXCEPTION,
            "retmsg": "Connection refused, Please check if the fate flow service is started",
        }
    return {"retcode": RETCODE_EXCEPTION, "retmsg": text, "traceback": trace}


def merge(arguments: argparse.Namespace) -> dict[str, Any]:
    """The config file's object, every given flag over it, ``local`` and absolute paths.

    Raises:
        FateFlowError: the file cannot be read or holds no object.
    """
    config: dict[str, Any] = {}
    if arguments.config:
        config = read_object(Path(arguments.config))
        config["config"] = str(Path(arguments.config).absolute())
    config["function"] = arguments.function
    if arguments.dsl:
        config["dsl"] = arguments.dsl
    for _, long, _, _ in FLAGS:
        value = getattr(arguments, long[2:])
        if value is not None:
            config[long[2:]] = value
    local = {
        key: value
        for key, value in (("party_id", arguments.party_id), ("role", arguments.role))
        if value is not None
    }
    if local:
        given = config.get("local")
        config["local"] = {**given, **local} if isinstance(given, dict) else local
    if config.get("output_path"):
        config["output_path"] = os.path.abspath(str(config["output_path"]))
    return config


def read_object(path: Path) -> dict[str, Any]:
    """A JSON file that holds an object.

    Raises:
        FateFlowError: it cannot be read, is not JSON, or holds something else.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise FateFlowError(f"{path} cannot be read: {error.strerror}") from None
    except json.JSONDecodeError as error:
        where = f"{path}, line {error.lineno}, column {error.colno}"
        raise FateFlowError(f"{where}: not JSON: {error.msg}") from None
    except (ValueError, RecursionError) as error:
        raise FateFlowError(f"{path} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise FateFlowError(f"{path} holds a {type(value).__name__}, allowed: an object")
    return value


if __name__ == "__main__":
    sys.exit(main())
