"""``fate_flow demo``: a federated logistic regression from two CSV files to AUC and model id."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from rich.console import Console

import fate_flow
from fate_flow.cli import demo_data
from fate_flow.cli.job_view import TERMINAL, LiveView, PlainView, TaskRow, View
from fate_flow.errors import FateFlowError, NotFoundError
from fate_flow.settings import Settings

NAMESPACE = "fate_flow_demo"
EXAMPLE = "hetero_lr"
POLL_SECONDS = 0.5
UPLOAD_SECONDS = 300.0


class DemoFailedError(FateFlowError):
    """A request was refused or a job did not end well; the text has the reason."""

    code = "demo_failed"


class Api:
    """The few calls of the REST API that the demo needs.

    Args:
        url: ``http://host:port``.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy between a site and its own machine

    def call(self, path: str, body: Mapping[str, Any] | None = None, **options: Any) -> Any:
        """POST; the whole answer.

        Raises:
            DemoFailedError: nobody answers, or retcode is not 0.
            NotFoundError: retcode 101.
        """
        try:
            answer = self._session.post(
                f"{self.url}/v1/{path}", json=body, timeout=120, **options
            ).json()
        except requests.ConnectionError:
            raise DemoFailedError(
                f"no FATE-Flow site answers at {self.url}", remedy="Run: fate_flow service start"
            ) from None
        except (requests.RequestException, ValueError) as error:
            raise DemoFailedError(f"{path}: {error}") from None
        if not isinstance(answer, dict) or "retcode" not in answer:
            raise DemoFailedError(f"{path}: unexpected answer {str(answer)[:200]}")
        if answer["retcode"] == NotFoundError.retcode:
            raise NotFoundError(f"{path}: {answer.get('retmsg')}")
        if answer["retcode"] != 0:
            raise DemoFailedError(f"{path}: {answer.get('retmsg')}")
        return answer

    def upload(self, path: Path, table: str) -> str:
        """Send a CSV file; returns the id of the upload job."""
        fields = {
            "work_mode": "0",
            "namespace": NAMESPACE,
            "table_name": table,
            "head": "1",
            "partition": "4",
        }
        with path.open("rb") as file:
            answer = self.call("data/upload", data=fields, files={"file": (path.name, file)})
        return str(answer["jobId"])

    def submit(self, dsl: Mapping[str, Any], conf: Mapping[str, Any]) -> Mapping[str, Any]:
        answer: Mapping[str, Any] = self.call(
            "job/submit", {"job_dsl": dsl, "job_runtime_conf": conf}
        )
        return answer

    def job(self, job_id: str, role: str, party_id: int) -> Mapping[str, Any]:
        """The party's row of a job."""
        rows = self.call("job/query", {"job_id": job_id, "role": role, "party_id": str(party_id)})
        row: Mapping[str, Any] = rows["data"][0]
        return row

    def tasks(self, job_id: str) -> list[Mapping[str, Any]]:
        """All task rows of a job; empty before the first one exists."""
        try:
            return list(self.call("job/task/query", {"job_id": job_id})["data"])
        except NotFoundError:
            return []

    def metrics(self, job_id: str, component: str, role: str, party_id: int) -> Mapping[str, Any]:
        """``{namespace: {name: {"data": points, "meta": ...}}}`` of a component at a party."""
        answer = self.call(
            "tracking/component/metric/all",
            {"job_id": job_id, "component_name": component, "role": role, "party_id": party_id},
        )
        data: Mapping[str, Any] = answer.get("data") or {}
        return data


@dataclass(frozen=True)
class Outcome:
    """What the demo's job gave.

    Attributes:
        auc, ks: of the training data; None when the evaluation gave none.
        losses: loss per iteration.
        seconds: from submit to the end.
    """

    job_id: str
    model_id: str
    model_version: str
    auc: float | None
    ks: float | None
    losses: Sequence[float]
    seconds: float


def example_folder(name: str) -> Path:
    """An example shipped with the package, or of the checkout.

    Raises:
        NotFoundError: the installation has no such example.
    """
    package = Path(fate_flow.__file__).resolve().parent
    places = (package / "dsl_examples" / name, package.parents[1] / "dsl_examples" / name)
    for place in places:
        if (place / "dsl.json").is_file():
            return place
    raise NotFoundError(f"the example {name} is not part of this installation")


def run(
    settings: Settings, *, timeout: float = 1800.0, plain: bool = False, data_only: bool = False
) -> int:
    """Run the demo against the site; prints its progress and result; returns the exit code.

    Raises:
        FateFlowError: with the reason, when a step fails.
    """
    console = Console(highlight=False)
    say = _printer(console)
    api = Api(settings.http_url)
    files = demo_data.write(settings.home / "demo")
    say(
        f"data: guest {files.guest_rows} cases, host {files.host_rows},"
        f" {files.common_rows} in common ({files.guest.parent})"
    )
    for path, table in ((files.guest, "breast_guest"), (files.host, "breast_host")):
        job_id = api.upload(path, table)
        _wait(api, job_id, "local", 0, PlainView(lambda _: None), UPLOAD_SECONDS)
        say(f"uploaded {path.name} as {NAMESPACE}/{table} (job {job_id})")
    if data_only:
        return 0
    folder = example_folder(EXAMPLE)
    dsl = json.loads((folder / "dsl.json").read_text())
    conf = json.loads((folder / "conf.json").read_text())
    is_live = not plain and sys.stdout.isatty()
    outcome = run_job(api, dsl, conf, console, timeout=timeout, live=is_live)
    _print_outcome(console, settings, outcome)
    return 0


def run_job(
    api: Api,
    dsl: Mapping[str, Any],
    conf: Mapping[str, Any],
    console: Console,
    *,
    timeout: float,
    live: bool,
) -> Outcome:
    """Submit a job, show it until it ends, read its results.

    Raises:
        DemoFailedError: refused, failed or too slow; carries the job's reason.
    """
    began = time.monotonic()
    answer = api.submit(dsl, conf)
    job_id = str(answer["jobId"])
    initiator = conf["initiator"]
    model = answer["data"].get("model_info", {})
    _printer(console)(f"submitted job {job_id}")
    parties = [f"{role} {party}" for role, ids in conf["role"].items() for party in ids]
    view: View = (
        LiveView(console, list(dsl["components"]), parties)
        if live
        else PlainView(_printer(console))
    )
    _wait(api, job_id, initiator["role"], int(initiator["party_id"]), view, timeout)
    evaluation = _evaluation(api, job_id, conf)
    return Outcome(
        job_id=job_id,
        model_id=model.get("model_id", ""),
        model_version=model.get("model_version", ""),
        auc=evaluation.get("auc"),
        ks=evaluation.get("ks"),
        losses=_losses(api, job_id, conf),
        seconds=time.monotonic() - began,
    )


def _wait(
    api: Api, job_id: str, role: str, party_id: int, view: View, timeout: float
) -> Mapping[str, Any]:
    """Show a job until it ended; its row when it succeeded.

    Raises:
        DemoFailedError: it ended otherwise, or time is over.
    """
    deadline = time.monotonic() + timeout
    with view:
        while True:
            row = api.job(job_id, role, party_id)
            view.show([TaskRow.of(task, time.time()) for task in api.tasks(job_id)])
            if row["f_status"] in TERMINAL:
                break
            if time.monotonic() > deadline:
                raise DemoFailedError(
                    f"job {job_id} is still {row['f_status']} after {timeout:.0f} s",
                    remedy=f"Stop it: fate_flow_client -f stop_job -j {job_id}",
                )
            time.sleep(POLL_SECONDS)
    if row["f_status"] != "success":
        raise DemoFailedError(
            f"job {job_id} ended as {row['f_status']}: {_reason(row, api.tasks(job_id))}"
        )
    return row


def _reason(row: Mapping[str, Any], tasks: Sequence[Mapping[str, Any]]) -> str:
    if row.get("f_reason"):
        return str(row["f_reason"])
    failed = [
        f"{task['f_component_name']} at {task['f_role']} {task['f_party_id']}:"
        f" {task.get('f_message') or task['f_status']}"
        for task in tasks
        if task["f_status"] == "failed"
    ]
    return "; ".join(failed) or "no reason was reported; see the task logs in the Airflow UI"


def _evaluation(api: Api, job_id: str, conf: Mapping[str, Any]) -> dict[str, float]:
    guest = int(conf["role"]["guest"][0])
    found = api.metrics(job_id, "evaluation_0", "guest", guest)
    points = found.get("train", {}).get("hetero_lr_0", {}).get("data", [])
    return {str(name): float(value) for name, value in points}


def _losses(api: Api, job_id: str, conf: Mapping[str, Any]) -> list[float]:
    arbiter = int(conf["role"]["arbiter"][0])
    found = api.metrics(job_id, "hetero_lr_0", "arbiter", arbiter)
    points = found.get("train", {}).get("loss", {}).get("data", [])
    return [float(value) for _, value in points]


def _printer(console: Console) -> Callable[[str], None]:
    """Prints a line as it is: no markup, no wrapping at the console's width."""
    return lambda text: console.print(text, soft_wrap=True, markup=False)


def _print_outcome(console: Console, settings: Settings, outcome: Outcome) -> None:
    def number(value: float | None) -> str:
        return "not reported" if value is None else f"{value:.6f}"

    losses = ", ".join(f"{loss:.6f}" for loss in outcome.losses[-3:]) or "not reported"
    job = outcome.job_id
    dag = f"{settings.http_url}/dags/fate_flow_{job}/runs/{job}"
    lines = {
        "status": f"success after {outcome.seconds:.1f} s (job {job})",
        "AUC": number(outcome.auc),
        "KS": number(outcome.ks),
        "loss": f"{losses} (last of {len(outcome.losses)} iterations)",
        "model id": outcome.model_id,
        "model version": outcome.model_version,
        "in Airflow": dag,
        "metrics": f"{dag}/plugin/fate_metrics",
        "REST": f"{settings.http_url}/v1",
    }
    for name, value in lines.items():
        _printer(console)(f"{name:<14} {value}")
