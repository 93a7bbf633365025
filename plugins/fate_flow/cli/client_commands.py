"""What each function of ``fate_flow_client`` does: one row of a table, or one short function."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from fate_flow.cli.client import read_object
from fate_flow.client.answers import ApiError
from fate_flow.client.calls import refuse_json
from fate_flow.client.files import name_of, safe_part, saved, unpack
from fate_flow.client.transport import Progress, Transport
from fate_flow.errors import RETCODE_EXCEPTION, RETCODE_OK, FateFlowError

Answer = dict[str, Any]
Config = dict[str, Any]
Command = Callable[[Transport, Config], Answer]

_PARTY = ("job_id", "component_name", "role", "party_id")
_PRIVILEGE = ("src_party_id", "src_role")
_DOWNLOADED = "download successfully, please check {}"
_NO_FILE = (
    "The file is obtained from the fate flow client machine, but it does not exist, please "
    "check the path: {}"
)

#: Functions that send the merged object as it is: path, required keys, whether it only reads.
_SIMPLE: dict[str, tuple[str, tuple[str, ...], bool]] = {
    "stop_job": ("job/stop", ("job_id",), False),
    "data_view_query": ("job/data/view/query", (), True),
    "clean_job": ("job/clean", ("job_id",), False),
    "clean_queue": ("job/clean/queue", (), False),
    "query_task": ("job/task/query", (), True),
    "component_parameters": ("tracking/component/parameters", _PARTY, True),
    "component_metric_all": ("tracking/component/metric/all", _PARTY, True),
    "component_metrics": ("tracking/component/metrics", _PARTY, True),
    "component_metric_delete": ("tracking/component/metric/delete", (), False),
    "component_output_model": ("tracking/component/output/model", _PARTY, True),
    "component_output_data_table": ("tracking/component/output/data/table", _PARTY, True),
    "download": ("data/download", (), False),
    "upload_history": ("data/upload/history", (), True),
    "table_info": ("table/table_info", ("namespace", "table_name"), True),
    "table_delete": ("table/delete", (), False),
    "load": ("model/load", (), False),
    "bind": ("model/bind", (), False),
    "store": ("model/store", (), False),
    "restore": ("model/restore", (), False),
    "grant_privilege": ("permission/grant/privilege", _PRIVILEGE, False),
    "delete_privilege": ("permission/delete/privilege", _PRIVILEGE, False),
    "query_privilege": ("permission/query/privilege", _PRIVILEGE, True),
}


def call(arguments: argparse.Namespace, config: Config) -> Answer:
    """Run one function.

    Raises:
        FateFlowError: a required key is missing, a file cannot be used, or no answer came.
    """
    name = arguments.function
    if name == "submit_job":
        document = _job_document(arguments, config)
        return _transport(arguments).call("job/submit", document)
    if name in _SIMPLE:
        path, required, reads_only = _SIMPLE[name]
        require(config, required)
        return _transport(arguments).call(path, config, repeatable=reads_only)
    return _COMMANDS[name](_transport(arguments), config)


def _transport(arguments: argparse.Namespace) -> Transport:
    return Transport(arguments.address or "", timeout=arguments.timeout)


def require(config: Mapping[str, Any], names: Iterable[str]) -> None:
    """
    Raises:
        FateFlowError: with the server's own text, when keys are missing.
    """
    missing = [name for name in names if name not in config]
    if missing:
        raise FateFlowError(f"the following arguments are required: {','.join(missing)} ")


def _job_document(arguments: argparse.Namespace, config: Config) -> dict[str, Any]:
    """DSL and conf as submitted; the client's bookkeeping keys are not part of a conf."""
    if not arguments.config:
        raise FateFlowError("the following arguments are required: runtime conf path")
    if arguments.role is not None or arguments.party_id is not None:
        raise FateFlowError(
            "submit_job takes roles and parties from the conf: -r and -p would overwrite them",
            remedy="Leave out -r and -p",
        )
    job = config.get("job_parameters")
    is_predict = isinstance(job, dict) and job.get("job_type") == "predict"
    if not arguments.dsl and not is_predict:
        raise FateFlowError("the following arguments are required: dsl path")
    conf = {k: v for k, v in config.items() if k not in ("function", "config", "dsl")}
    dsl = read_object(Path(arguments.dsl)) if arguments.dsl else {}
    return {"job_dsl": dsl, "job_runtime_conf": conf}


def _query_job(transport: Transport, config: Config) -> Answer:
    answer = transport.call("job/query", config, repeatable=True)
    rows = answer.get("data")
    for row in rows if isinstance(rows, list) else ():
        if isinstance(row, dict):
            row.pop("f_runtime_conf", None)
            row.pop("f_dsl", None)
    return answer


def _job_config(transport: Transport, config: Config) -> Answer:
    require(config, ("job_id", "role", "party_id", "output_path"))
    answer = transport.call("job/config", config, repeatable=True)
    data = answer.get("data")
    if answer.get("retcode") != RETCODE_OK or not isinstance(data, dict):
        return answer
    folder = Path(config["output_path"]) / f"job_{safe_part(config['job_id'], 'job_id')}_config"
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for key in ("dsl", "runtime_conf", "train_runtime_conf", "model_info"):
            if key in data:
                text = json.dumps(data[key], indent=4, ensure_ascii=False)
                (folder / f"{key}.json").write_text(text, encoding="utf-8")
    data.pop("dsl", None)
    data.pop("runtime_conf", None)
    answer["directory"] = str(folder)
    answer["retmsg"] = _DOWNLOADED.format(f"{folder} directory")
    return answer


def _job_log(transport: Transport, config: Config) -> Answer:
    require(config, ("job_id", "output_path"))
    folder = Path(config["output_path"]) / f"job_{safe_part(config['job_id'], 'job_id')}_log"
    try:
        with transport.download("job/log", config) as response:
            refuse_json(response)
            return _unpacked(response, folder)
    except ApiError as error:
        return dict(error.answer)


def _output_data(transport: Transport, config: Config) -> Answer:
    require(config, (*_PARTY, "output_path"))
    parts = [safe_part(config[key], key) for key in _PARTY]
    folder = Path(config["output_path"]) / f"job_{'_'.join(parts)}_output_data"
    path = "tracking/component/output/data/download"
    try:
        with transport.download(path, config) as response:
            refuse_json(response)
            return _unpacked(response, folder)
    except ApiError as error:
        if response.status_code != requests.codes.ok:
            return dict(error.answer)
        return {
            "retcode": RETCODE_EXCEPTION,
            "retmsg": "download failed, please check if the parameters are correct",
            "detail": error.message,
        }


def _unpacked(response: requests.Response, folder: Path) -> Answer:
    with _writing(folder), saved(response, folder.parent, _progress("received")) as archive:
        unpack(archive, folder)
        folder.mkdir(parents=True, exist_ok=True)
    text = _DOWNLOADED.format(f"{folder} directory")
    return {"retcode": RETCODE_OK, "directory": str(folder), "retmsg": text}


def _export(transport: Transport, config: Config) -> Answer:
    require(config, ("model_id", "model_version", "output_path"))
    folder = Path(config["output_path"])
    try:
        with transport.download("model/export", config) as response:
            refuse_json(response)
            name = name_of(response)
            if name is None:
                raise FateFlowError("the server's answer has no Content-Disposition header")
            with _writing(folder), saved(response, folder, _progress("received")) as temporary:
                file = temporary.replace(folder / name)
    except ApiError as error:
        return dict(error.answer)
    return {"retcode": RETCODE_OK, "file": str(file), "retmsg": _DOWNLOADED.format(file)}


def _import(transport: Transport, config: Config) -> Answer:
    require(config, ("model_id", "model_version", "file"))
    return _send_file(transport, "model/import", config)


def _upload(transport: Transport, config: Config) -> Answer:
    from fate_flow.settings import default_home, inspect

    if not inspect(default_home())[0].USE_LOCAL_DATA:
        return transport.call("data/upload", config)
    require(config, ("file",))
    return _send_file(transport, "data/upload", config)


def _send_file(transport: Transport, path: str, config: Config) -> Answer:
    file = find_file(str(config["file"]), config.get("config"))
    if file is None:
        raise FateFlowError(_NO_FILE.format(Path(str(config["file"])).absolute()))
    fields = {key: value for key, value in config.items() if key != "file"}
    try:
        content = file.open("rb")
    except OSError as error:
        raise FateFlowError(f"{file} cannot be read: {error.strerror}") from None
    with content:
        return transport.upload(path, fields, file.name, content, _progress("sent"))


def find_file(name: str, config_path: str | None) -> Path | None:
    """The file to send.

    A relative name is looked for in the working directory, then in the config file's folder
    and every folder above it (FATE's examples name ``examples/data/…`` from the project's
    root), then in the site's home.
    """
    path = Path(name).expanduser()
    if path.is_absolute():
        return path if path.is_file() else None
    folders = [Path.cwd()]
    if config_path:
        folders += Path(config_path).absolute().parents
    from fate_flow.settings import default_home

    folders.append(default_home())
    return next((f / path for f in folders if (f / path).is_file()), None)


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if isinstance(error, requests.RequestException):
            raise
        raise FateFlowError(f"{folder} cannot be written: {error.strerror}") from None


def _progress(verb: str) -> Progress | None:
    """Shows how far a transfer is, on standard error and only when that is a terminal."""
    if not sys.stderr.isatty():
        return None
    last = -1

    def show(done: int, total: int | None) -> None:
        nonlocal last
        percent = done * 100 // total if total else done >> 20
        if percent != last:
            last = percent
            unit = f"{percent} %" if total else f"{percent} MiB"
            end = "\n" if done == total else ""
            print(f"\r{unit} {verb} ", end=end, file=sys.stderr, flush=True)

    return show


_COMMANDS: dict[str, Command] = {
    "query_job": _query_job,
    "job_config": _job_config,
    "job_log": _job_log,
    "component_output_data": _output_data,
    "export": _export,
    "import": _import,
    "upload": _upload,
}
