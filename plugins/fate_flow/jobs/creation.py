"""Creation of a job: documents -> plan -> rows, folders and files at every party here."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy.orm import Session

from fate_flow.compiler.names import dag_id_of
from fate_flow.data.table import TableStore
from fate_flow.db.models import Job, JobDetail, Queue, now_ms
from fate_flow.dsl.parser import compile_plan, compile_predict_plan
from fate_flow.entities import JobStatus, Party, Plan, model_id_of, party_model_id
from fate_flow.errors import FateFlowError, InvalidInputError, NotFoundError, Problem
from fate_flow.jobs.admission import width_of
from fate_flow.jobs.ids import new_job_id
from fate_flow.jobs.permission import Gate
from fate_flow.models.store import ModelStore
from fate_flow.operators.plans import write_plan
from fate_flow.tracking import store as tracking

if TYPE_CHECKING:
    from fate_flow.settings import Settings


@dataclass(frozen=True)
class PreparedJob:
    """A validated job that exists nowhere yet."""

    job_id: str
    plan: Plan
    dsl: Mapping[str, Any]
    runtime_conf: Mapping[str, Any]
    train_runtime_conf: Mapping[str, Any]

    @property
    def is_predict(self) -> bool:
        return bool(self.train_runtime_conf)

    @property
    def model_info(self) -> dict[str, str]:
        parameters = self.runtime_conf["job_parameters"]
        return {"model_id": parameters["model_id"], "model_version": parameters["model_version"]}

    def answer(self, settings: Settings) -> dict[str, Any]:
        folder = settings.jobs_dir / self.job_id
        return {
            "job_dsl_path": str(folder / "job_dsl.json"),
            "job_runtime_conf_path": str(folder / "job_runtime_conf.json"),
            "logs_directory": str(settings.logs_dir / self.job_id),
            "model_info": self.model_info,
            "board_url": _board_url(settings, self.job_id, self.plan.initiator),
        }

    def remove_files(self, settings: Settings) -> None:
        """Undo what :func:`create_job` wrote outside the database."""
        shutil.rmtree(settings.jobs_dir / self.job_id, ignore_errors=True)
        shutil.rmtree(settings.logs_dir / self.job_id, ignore_errors=True)
        if not self.is_predict:
            store = ModelStore(settings.models_dir)
            for party in self.plan.parties:
                store.remove(party_model_id(party, model_id_of(self.plan.roles)), self.job_id)


def _board_url(settings: Settings, job_id: str, initiator: Party) -> str:
    """FATE-Board's page of the job when a board is configured, else Airflow's."""
    board = settings.SERVERS.get("fateboard")
    if isinstance(board, Mapping) and board.get("host"):
        return (
            f"http://{board['host']}:{board.get('port', 8080)}/index.html#/dashboard"
            f"?job_id={job_id}&role={initiator.role}&party_id={initiator.party_id}"
        )
    return f"{settings.http_url}/dags/{dag_id_of(job_id)}/runs/{job_id}"


def prepare(
    settings: Settings, session: Session, job_dsl: Any, runtime_conf: Any, job_id: str | None
) -> PreparedJob:
    """Validate the documents and everything they name.

    Raises:
        InvalidInputError: with all problems.
        NotAuthorizedError: a party here has not granted it to the initiator.
    """
    job_id = job_id or new_job_id()
    conf = copy.deepcopy(runtime_conf)
    parameters = conf.get("job_parameters") if isinstance(conf, dict) else None
    if isinstance(parameters, dict) and parameters.get("job_type") == "predict":
        dsl, train_conf = _pipeline_of(settings, conf)
        plan = compile_predict_plan(dsl, train_conf, conf)
    else:
        dsl, train_conf = job_dsl, {}
        try:
            plan = compile_plan(job_dsl, conf)
        except InvalidInputError as error:
            # One answer for everything that is wrong: the tables as far as they can be seen.
            raise InvalidInputError(
                [*error.problems, *_absent_tables(settings, dsl, conf)]
            ) from None
        conf["job_parameters"]["model_id"] = model_id_of(plan.roles)
        conf["job_parameters"]["model_version"] = job_id
    _check_parties(settings, plan)
    Gate(session, settings, plan.initiator).check_creation(plan)
    _check_tables(settings, plan)
    return PreparedJob(job_id, plan, dsl, conf, train_conf)


def _pipeline_of(
    settings: Settings, conf: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """(predict DSL, training conf) from the initiator's part of the model."""
    parameters = conf["job_parameters"]
    missing = [key for key in ("model_id", "model_version") if not parameters.get(key)]
    if missing:
        raise InvalidInputError(
            Problem(
                f"job_runtime_conf.job_parameters.{key}", "missing", "the model to predict with"
            )
            for key in missing
        )
    try:
        party = Party(str(conf["initiator"]["role"]), int(conf["initiator"]["party_id"]))
    except (KeyError, TypeError, ValueError):
        raise InvalidInputError(
            [Problem("job_runtime_conf.initiator", "missing or wrong", "role and party_id")]
        ) from None
    name = party_model_id(party, str(parameters["model_id"]))
    try:
        pipeline = ModelStore(settings.models_dir).read_pipeline(
            name, str(parameters["model_version"])
        )
    except NotFoundError:
        raise FateFlowError(
            f"there is no model {parameters['model_id']} version {parameters['model_version']}"
            f" of {party} here",
            remedy="model_id and model_version are in the answer of the training job",
        ) from None
    return json.loads(pipeline.inference_dsl), json.loads(pipeline.train_runtime_conf)


def _check_parties(settings: Settings, plan: Plan) -> None:
    """A site that names its parties refuses the others: no peer site is configured."""
    hosted = {Party.parse(text) for text in settings.PARTIES}
    if not hosted:
        return
    problems = [
        Problem(
            f"job_runtime_conf.role.{party.role}",
            f"{party} is not hosted at this site",
            ", ".join(sorted(map(str, hosted))),
        )
        for party in plan.parties
        if party.role != "local" and party not in hosted
    ]
    if problems:
        raise InvalidInputError(problems)


def _check_tables(settings: Settings, plan: Plan) -> None:
    """Every table that a component of ours will read must be there."""
    store = TableStore(settings.tables_dir)
    problems: dict[str, Problem] = {}
    for component in plan.components:
        keys = [
            reference.partition(".")[2]
            for references in component.data.values()
            for reference in references
            if reference.startswith("args.")
        ]
        for party in component.parties:
            arguments = plan.job_args.get(party.key, {})
            index = list(plan.roles[party.role]).index(party.party_id)
            for key in keys:
                address = arguments.get(key)
                if address is None or _exists(store, *address):
                    continue
                path = f"job_runtime_conf.role_parameters.{party.role}.args.data.{key}[{index}]"
                problems[path] = _absent(path, str(party), *address)
    if problems:
        raise InvalidInputError(problems.values())


def _absent_tables(settings: Settings, dsl: Any, conf: Any) -> list[Problem]:
    """Tables that a conf names and the DSL uses but that are not here; for documents that may
    be wrong in any other way."""
    store = TableStore(settings.tables_dir)
    used = json.dumps(dsl)
    roles = conf.get("role_parameters") if isinstance(conf, dict) else None
    found = []
    for role, parameters in (roles if isinstance(roles, dict) else {}).items():
        arguments = parameters.get("args") if isinstance(parameters, dict) else None
        data = arguments.get("data") if isinstance(arguments, dict) else None
        for key, entries in (data if isinstance(data, dict) else {}).items():
            if f'"args.{key}"' not in used or not isinstance(entries, list):
                continue
            for index, entry in enumerate(entries):
                name = entry.get("name") if isinstance(entry, dict) else None
                namespace = entry.get("namespace") if isinstance(entry, dict) else None
                if not (
                    isinstance(name, str) and isinstance(namespace, str) and name and namespace
                ):
                    continue
                if not _exists(store, namespace, name):
                    path = f"job_runtime_conf.role_parameters.{role}.args.data.{key}[{index}]"
                    found.append(_absent(path, role, namespace, name))
    return found


def _exists(store: TableStore, namespace: str, name: str) -> bool:
    """Whether a table is there; a name that none can have is not."""
    try:
        return store.exists(namespace, name)
    except InvalidInputError:
        return False


def _absent(path: str, who: str, namespace: str, name: str) -> Problem:
    return Problem(
        path, f"{who} has no table {name!r} in namespace {namespace!r}", hint="upload it first"
    )


def create_job(session: Session, settings: Settings, job: PreparedJob) -> None:
    """Rows, files and model folders of a job at all parties of this site."""
    _write_files(settings, job)
    now = now_ms()
    if not job.is_predict:
        store = ModelStore(settings.models_dir)
        for party in job.plan.parties:
            store.create(party_model_id(party, job.model_info["model_id"]), job.job_id)
    for party in job.plan.parties:
        session.add(_row(settings, job, party, now))
        tracking.save_job_view(session, job.job_id, party.role, party.party_id, _view(job, party))
    session.add(
        JobDetail(f_job_id=job.job_id, plan_hash=job.plan.content_hash, width=width_of(job.plan))
    )
    event = {
        "job_id": job.job_id,
        "initiator_role": job.plan.initiator.role,
        "initiator_party_id": job.plan.initiator.party_id,
    }
    session.add(Queue(f_job_id=job.job_id, f_event=json.dumps(event), f_is_waiting=1))
    session.flush()


def _row(settings: Settings, job: PreparedJob, party: Party, now: int) -> Job:
    return Job(
        f_job_id=job.job_id,
        f_role=party.role,
        f_party_id=str(party.party_id),
        f_roles=json.dumps({role: list(ids) for role, ids in job.plan.roles.items()}),
        f_work_mode=int(job.runtime_conf["job_parameters"].get("work_mode", 0)),
        f_initiator_party_id=str(job.plan.initiator.party_id),
        f_is_initiator=1 if party == job.plan.initiator else 0,
        f_dsl=json.dumps(job.dsl),
        f_runtime_conf=json.dumps(job.runtime_conf),
        f_train_runtime_conf=json.dumps(job.train_runtime_conf),
        f_run_ip=f"{settings.address}:{settings.HTTP_PORT}",
        f_status=JobStatus.WAITING.value,
        f_create_time=now,
    )


def _view(job: PreparedJob, party: Party) -> dict[str, Any]:
    """The job view: partners, roles and data sets, as far as the party may know them."""
    dataset: dict[str, dict[str, dict[str, str]]] = {}
    for one in job.plan.parties:
        arguments = job.plan.job_args.get(one.key)
        if arguments is not None:
            dataset.setdefault(one.role, {})[str(one.party_id)] = {
                key: ".".join(address) for key, address in arguments.items() if address
            }
    return tracking.job_view(
        job.plan.roles,
        party.role,
        party.party_id,
        dataset,
        is_initiator=party == job.plan.initiator,
    )


def _write_files(settings: Settings, job: PreparedJob) -> None:
    folder = settings.jobs_dir / job.job_id
    folder.mkdir(parents=True, exist_ok=True)
    (settings.logs_dir / job.job_id).mkdir(parents=True, exist_ok=True)
    files = {
        "job_dsl.json": job.dsl,
        "job_runtime_conf.json": job.runtime_conf,
        "train_runtime_conf.json": job.train_runtime_conf,
        "pipeline_dsl.json": {},
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content, indent=4))
    write_plan(settings.jobs_dir, job.job_id, job.plan)
