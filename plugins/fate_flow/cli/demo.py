"""``fate_flow demo``: a federated logistic regression from two CSV files to AUC and model id."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

import fate_flow
from fate_flow.cli import demo_data, health
from fate_flow.cli.job_view import LiveView, PlainView, TaskRow, View
from fate_flow.client import FateFlowClient, JobState, ServerUnreachableError
from fate_flow.entities import JobStatus
from fate_flow.errors import FateFlowError, NotFoundError
from fate_flow.settings import Settings

NAMESPACE = "fate_flow_demo"
EXAMPLE = "hetero_lr"
POLL_SECONDS = 0.5
UPLOAD_SECONDS = 300.0
#: A server that restarts while a job runs is waited for this long.
PATIENCE_SECONDS = 90.0


class DemoFailedError(FateFlowError):
    """A job of the demo did not end well; the text has the reason."""

    code = "demo_failed"


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
    if health.get_json(f"{settings.http_url}/v1/internal/health", timeout=30)[0] == 0:
        raise DemoFailedError(
            f"no site answers at {settings.http_url}", remedy="Run: fate_flow service start"
        )
    client = FateFlowClient(settings.http_url)
    files = demo_data.write(settings.home / "demo")
    say(
        f"data: guest {files.guest_rows} cases, host {files.host_rows},"
        f" {files.common_rows} in common ({files.guest.parent})"
    )
    for path, table in ((files.guest, "breast_guest"), (files.host, "breast_host")):
        job_id = upload(client, path, table)
        say(f"uploaded {path.name} as {NAMESPACE}/{table} (job {job_id})")
    if data_only:
        return 0
    folder = example_folder(EXAMPLE)
    dsl = json.loads((folder / "dsl.json").read_text())
    conf = json.loads((folder / "conf.json").read_text())
    is_live = not plain and sys.stdout.isatty()
    outcome = run_job(client, dsl, conf, console, timeout=timeout, live=is_live)
    print_outcome(console, settings, outcome)
    return 0


def upload(client: FateFlowClient, path: Path, table: str) -> str:
    """Store a CSV file as a table of the demo and wait for it; id of the upload's job.

    Raises:
        DemoFailedError: it did not succeed.
    """
    job_id = client.upload(path, namespace=NAMESPACE, table_name=table, partition=4).job_id
    _wait(client, job_id, PlainView(lambda _: None), UPLOAD_SECONDS)
    return job_id


def run_job(
    client: FateFlowClient,
    dsl: Mapping[str, Any],
    conf: Mapping[str, Any],
    console: Console,
    *,
    timeout: float,
    live: bool,
    arbiter: FateFlowClient | None = None,
) -> Outcome:
    """Submit a job, show it until it ends, read its results.

    Args:
        arbiter: of the arbiter's site, where the losses lie; default: the same site.

    Raises:
        DemoFailedError: refused, failed or too slow; carries the job's reason.
    """
    began = time.monotonic()
    submission = client.submit_job(dsl, conf)
    job_id = submission.job_id
    _printer(console)(f"submitted job {job_id}")
    parties = [f"{role} {party}" for role, ids in conf["role"].items() for party in ids]
    view: View = (
        LiveView(console, list(dsl["components"]), parties)
        if live
        else PlainView(_printer(console))
    )
    _wait(client, job_id, view, timeout)
    evaluation = _evaluation(client, job_id, conf)
    return Outcome(
        job_id=job_id,
        model_id=submission.model_id,
        model_version=submission.model_version,
        auc=evaluation.get("auc"),
        ks=evaluation.get("ks"),
        losses=_losses(arbiter or client, job_id, conf),
        seconds=time.monotonic() - began,
    )


def _wait(client: FateFlowClient, job_id: str, view: View, timeout: float) -> None:
    """Show a job until it has ended; a server that restarts meanwhile is waited for.

    Raises:
        DemoFailedError: it did not succeed, or time is over.
        ServerUnreachableError: the server stayed away.
    """
    deadline = time.monotonic() + timeout
    last_seen = time.monotonic()
    with view:
        while True:
            try:
                state, tasks = client.job_state(job_id), client.query_tasks(job_id=job_id)
                last_seen = time.monotonic()
            except ServerUnreachableError:
                if time.monotonic() - last_seen > PATIENCE_SECONDS:
                    raise
                # It may come back within the patience.
                time.sleep(POLL_SECONDS)
                continue
            view.show([TaskRow.of(task, time.time()) for task in tasks])
            if state.status.is_terminal:
                break
            if time.monotonic() > deadline:
                raise DemoFailedError(
                    f"job {job_id} is still {state.status.value} after {timeout:.0f} s",
                    remedy=f"Stop it: fate_flow_client -f stop_job -j {job_id}",
                )
            time.sleep(POLL_SECONDS)  # the API pushes nothing
    if state.status is not JobStatus.SUCCESS:
        raise DemoFailedError(
            f"job {job_id} ended as {state.status.value}: {_reason(state, tasks)}"
        )


def _reason(state: JobState, tasks: Sequence[Mapping[str, Any]]) -> str:
    for row in state.rows:
        if row.get("f_reason"):
            return str(row["f_reason"])
    failed = [
        f"{task['f_component_name']} at {task['f_role']} {task['f_party_id']}:"
        f" {task.get('f_message') or task['f_status']}"
        for task in tasks
        if task["f_status"] == "failed"
    ]
    return "; ".join(failed) or "no reason was reported; see the task logs in the Airflow UI"


def _evaluation(client: FateFlowClient, job_id: str, conf: Mapping[str, Any]) -> dict[str, float]:
    guest = int(conf["role"]["guest"][0])
    found = client.all_metrics(job_id, "evaluation_0", "guest", guest)
    points = found.get("train", {}).get("hetero_lr_0", {}).get("data", [])
    return {str(name): float(value) for name, value in points}


def _losses(client: FateFlowClient, job_id: str, conf: Mapping[str, Any]) -> list[float]:
    arbiter = int(conf["role"]["arbiter"][0])
    found = client.all_metrics(job_id, "hetero_lr_0", "arbiter", arbiter)
    points = found.get("train", {}).get("loss", {}).get("data", [])
    return [float(value) for _, value in points]


def _printer(console: Console) -> Callable[[str], None]:
    """Prints a line as it is: no markup, no wrapping at the console's width."""
    return lambda text: console.print(text, soft_wrap=True, markup=False)


def print_outcome(console: Console, settings: Settings, outcome: Outcome) -> None:
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
