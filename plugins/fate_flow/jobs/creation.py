"""Creation of a job: documents -> plan -> rows, folders and files at every party here."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy.orm import Session

from fate_flow.compiler.names import dag_id_of
from fate_flow.data.table import TableStore
from fate_flow.db.models import Job, JobDetail, Queue, now_ms
from fate_flow.dsl.parser import compile_plan, compile_predict_plan
from fate_flow.entities import JobStatus, Party, Placement, Plan, model_id_of, party_model_id
from fate_flow.errors import FateFlowError, InvalidInputError, NotFoundError, Problem
from fate_flow.jobs import uploads
from fate_flow.jobs.admission import width_of
from fate_flow.jobs.ids import new_job_id
from fate_flow.jobs.permission import Gate, NotAuthorizedError
from fate_flow.jobs.placing import hosted_here, place, place_at_peer
from fate_flow.jobs.states import QUEUE_AWAITING, QUEUE_WAITING
from fate_flow.models.store import ModelStore
from fate_flow.operators.plans import write_placement, write_plan
from fate_flow.sites.peers import policy_of
from fate_flow.tracking import store as tracking

if TYPE_CHECKING:
    from fate_flow.federation.peers import Peer
    from fate_flow.settings import Settings

_POLICY_REMEDY = "fate_flow peer policy, at the site that refuses, changes what is allowed"


@dataclass(frozen=True)
class Offer:
    """A job that another site wants to run with this one.

    Attributes:
        dsl, conf, train_conf: as submitted there; ``train_conf`` of a prediction only.
        plan_hash: of the plan that they compile to there.
        ticket: for the tasks of this site at the home's gateway.
    """

    job_id: str
    dsl: Mapping[str, Any]
    conf: Mapping[str, Any]
    train_conf: Mapping[str, Any]
    plan_hash: str
    ticket: str


@dataclass(frozen=True)
class PreparedJob:
    """A validated job that exists nowhere yet.

    Attributes:
        runtime_conf: with what the site has added.
        submitted: the conf without it.
        placement: None when all parties are here.
    """

    job_id: str
    plan: Plan
    dsl: Mapping[str, Any]
    runtime_conf: Mapping[str, Any]
    train_runtime_conf: Mapping[str, Any]
    placement: Placement | None = None
    submitted: Mapping[str, Any] = field(default_factory=dict)

    @property
    def local_parties(self) -> list[Party]:
        """The parties whose tables, models and tasks are at this site."""
        if self.placement is None:
            return self.plan.parties
        return [party for party in self.plan.parties if party in self.placement.local]

    @property
    def is_predict(self) -> bool:
        return bool(self.train_runtime_conf)

    @property
    def model_info(self) -> dict[str, str]:
        parameters = self.runtime_conf["job_parameters"]
        return {"model_id": parameters["model_id"], "model_version": parameters["model_version"]}

    def answer(self, settings: Settings, *, has_run: bool) -> dict[str, Any]:
        """What a submission is answered with.

        Args:
            has_run: Airflow knows the job; one that waits is shown by our own page alone.
        """
        folder = settings.jobs_dir / self.job_id
        return {
            "job_dsl_path": str(folder / "job_dsl.json"),
            "job_runtime_conf_path": str(folder / "job_runtime_conf.json"),
            "logs_directory": str(settings.logs_dir / self.job_id),
            "model_info": self.model_info,
            "board_url": _board_url(settings, self.job_id, self.plan.initiator, has_run=has_run),
        }

    def remove_files(self, settings: Settings) -> None:
        """Undo what :func:`create_job` wrote outside the database."""
        shutil.rmtree(settings.jobs_dir / self.job_id, ignore_errors=True)
        shutil.rmtree(settings.logs_dir / self.job_id, ignore_errors=True)
        if not self.is_predict:
            store = ModelStore(settings.models_dir)
            for party in self.local_parties:
                store.remove(party_model_id(party, model_id_of(self.plan.roles)), self.job_id)


def _board_url(settings: Settings, job_id: str, initiator: Party, *, has_run: bool) -> str:
    """FATE-Board's page of the job when a board is configured, else Airflow's, else our own.

    All name job, role and party the same way, for clients that read them from the address.
    """
    who = f"job_id={job_id}&role={initiator.role}&party_id={initiator.party_id}"
    board = settings.SERVERS.get("fateboard")
    if isinstance(board, Mapping) and board.get("host"):
        return f"http://{board['host']}:{board.get('port', 8080)}/index.html#/dashboard?{who}"
    page = f"/dags/{dag_id_of(job_id)}/runs" if has_run else f"/v1/ui/run/{dag_id_of(job_id)}"
    return f"{settings.shown_url}{page}/{job_id}?{who}"


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
    placement = place(session, settings, plan)
    prepared = PreparedJob(job_id, plan, dsl, conf, train_conf, placement, runtime_conf)
    local = prepared.local_parties
    Gate(session, settings, plan.initiator).check_creation(plan, local)
    _check_tables(session, settings, plan, local)
    return prepared


def prepare_for_peer(settings: Settings, session: Session, peer: Peer, offer: Offer) -> PreparedJob:
    """Validate a job that another site offers, as far as it concerns this one.

    Raises:
        InvalidInputError: with all problems.
        FateFlowError: the peer's jobs may not do that here, or it compiles to another plan.
    """
    conf = copy.deepcopy(dict(offer.conf))
    if offer.train_conf:
        plan = compile_predict_plan(offer.dsl, offer.train_conf, conf)
    else:
        plan = compile_plan(offer.dsl, conf)
        conf["job_parameters"]["model_id"] = model_id_of(plan.roles)
        conf["job_parameters"]["model_version"] = offer.job_id
    if plan.content_hash != offer.plan_hash:
        raise FateFlowError(
            f"job {offer.job_id} compiles to another plan here than at its home",
            remedy="Bring both sites to the same version",
        )
    placement = place_at_peer(session, settings, plan, peer, offer.ticket)
    prepared = PreparedJob(offer.job_id, plan, offer.dsl, conf, dict(offer.train_conf), placement)
    local = prepared.local_parties
    _check_policy(session, peer, plan, local)
    Gate(session, settings, plan.initiator).check_creation(plan, local)
    _check_tables(session, settings, plan, local)
    _check_models(settings, prepared)
    return prepared


def _check_policy(session: Session, peer: Peer, plan: Plan, local: Sequence[Party]) -> None:
    tables = [
        address
        for party in local
        for address in plan.job_args.get(party.key, {}).values()
        if address is not None
    ]
    refusals = policy_of(session, peer.name).refusals(
        roles={party.role for party in local},
        modules={c.module for c in plan.components if set(c.parties) & set(local)},
        tables=tables,
    )
    if refusals:
        raise NotAuthorizedError("; ".join(refusals), remedy=_POLICY_REMEDY)


def _check_models(settings: Settings, job: PreparedJob) -> None:
    """What a prediction loads must be here."""
    if not job.is_predict:
        return
    store = ModelStore(settings.models_dir)
    model = job.model_info
    for party in job.local_parties:
        try:
            store.read_pipeline(party_model_id(party, model["model_id"]), model["model_version"])
        except NotFoundError:
            raise FateFlowError(
                f"there is no model {model['model_id']} version {model['model_version']}"
                f" of {party} here"
            ) from None


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


def _check_tables(session: Session, settings: Settings, plan: Plan, local: Sequence[Party]) -> None:
    """Every table that a component of ours will read must be there, or be on its way."""
    store = TableStore(settings.tables_dir)
    coming = uploads.being_written(session)
    problems: dict[str, Problem] = {}
    for component in plan.components:
        keys = [
            reference.partition(".")[2]
            for references in component.data.values()
            for reference in references
            if reference.startswith("args.")
        ]
        for party in component.parties:
            if party not in local:
                continue
            arguments = plan.job_args.get(party.key, {})
            index = list(plan.roles[party.role]).index(party.party_id)
            for key in keys:
                address = arguments.get(key)
                if address is None or address in coming or _exists(store, *address):
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
                if _is_elsewhere(settings, conf, role, index):
                    continue
                if not _exists(store, namespace, name):
                    path = f"job_runtime_conf.role_parameters.{role}.args.data.{key}[{index}]"
                    found.append(_absent(path, role, namespace, name))
    return found


def _is_elsewhere(settings: Settings, conf: Any, role: str, index: int) -> bool:
    """Whether a party's tables are at another site, as far as the conf can be read."""
    try:
        return not hosted_here(settings, Party(role, int(conf["role"][role][index])))
    except (KeyError, IndexError, TypeError, ValueError):
        return bool(settings.PARTIES)


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
    """Rows of a job for all its parties; files and model folders for those of this site."""
    _write_files(settings, job)
    now = now_ms()
    if not job.is_predict:
        store = ModelStore(settings.models_dir)
        for party in job.local_parties:
            store.create(party_model_id(party, job.model_info["model_id"]), job.job_id)
    for party in job.plan.parties:
        session.add(_row(settings, job, party, now))
    for party in job.local_parties:
        tracking.save_job_view(session, job.job_id, party.role, party.party_id, _view(job, party))
    placement = job.placement
    detail = JobDetail(
        f_job_id=job.job_id,
        plan_hash=job.plan.content_hash,
        width=width_of(job.plan, job.local_parties),
        home=placement.home.key if placement is not None else "",
        home_is_local=int(placement is not None and placement.home_is_local),
        heard_at=now,
    )
    if placement is not None:
        detail.reason = "waiting for a place at every site"
    session.add(detail)
    event = {
        "job_id": job.job_id,
        "initiator_role": job.plan.initiator.role,
        "initiator_party_id": job.plan.initiator.party_id,
    }
    waits = QUEUE_WAITING if placement is None else QUEUE_AWAITING
    session.add(Queue(f_job_id=job.job_id, f_event=json.dumps(event), f_is_waiting=waits))
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
        f_run_ip=f"{settings.lan_address}:{settings.HTTP_PORT}"
        if party in job.local_parties
        else "",
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
    if job.placement is not None:
        write_placement(settings.jobs_dir, job.job_id, job.placement)
