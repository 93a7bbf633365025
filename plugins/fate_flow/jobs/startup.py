"""What an API server does once before it says that it is ready.

The first registration in a process costs seconds (mappers, lazy imports); it is paid
here, in a transaction that is rolled back, and not by the first user.
"""

from __future__ import annotations

import importlib.util
import logging
import random
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from sqlalchemy.orm.exc import StaleDataError

from fate_flow import settings as site_settings
from fate_flow.compiler.build import build_dag
from fate_flow.compiler.bundle import shipped_dags_folder
from fate_flow.compiler.names import DAGS_BUNDLE
from fate_flow.compiler.register import (
    check_internals,
    register_job,
    register_shipped,
    sync_bundles,
)
from fate_flow.data.table import TableStore
from fate_flow.db.session import create_session, may_pass
from fate_flow.entities import Party, Plan
from fate_flow.federation.identity import SiteIdentity
from fate_flow.jobs import incoming
from fate_flow.jobs.starting import HomeWatch, Starter, on_refusal
from fate_flow.jobs.watch import Watch
from fate_flow.sites import calls
from fate_flow.sites.delivery import Delivery

if TYPE_CHECKING:
    from airflow.sdk import DAG

log = logging.getLogger("fate_flow.startup")

#: How often a step of the start is tried when another API server is in its way.
ATTEMPTS = 5
#: Seconds between two tries while the database does not answer, at most.
LONGEST_PAUSE = 3.0

_state: dict[str, Any] = {"ready": False, "error": "", "waiting_for": ""}
_started = threading.Lock()


def readiness() -> dict[str, Any]:
    """``{"ready": bool}``, and why not: for good (``error``), or yet (``waiting_for``)."""
    reasons = {name: _state[name] for name in ("error", "waiting_for") if _state[name]}
    return {"ready": _state["ready"], **reasons}


def start_in_background() -> None:
    """Warm up and start the watch loop, once per process, without holding up the server."""
    if _started.acquire(blocking=False):
        threading.Thread(target=_start, name="fate-flow-start", daemon=True).start()


def _start() -> None:
    try:
        _wait_for_server(site_settings.current().http_url)
        check_internals()
        settings = site_settings.current()
        for folder in (settings.jobs_dir, settings.logs_dir, settings.tables_dir):
            folder.mkdir(parents=True, exist_ok=True)
        for step in (sync_bundles, warm_up, register_shipped_dags):
            _in_a_transaction(step)
        TableStore(settings.tables_dir).collect()
        Watch().start()
        if SiteIdentity.exists(settings):
            for method, handler in incoming.HANDLERS.items():
                calls.register(method, handler)
            Delivery(on_refusal, (Starter(), HomeWatch())).start()
        _state["ready"] = True
        log.info("FATE-Flow is ready at %s", settings.http_url)
    except Exception as error:
        log.exception("FATE-Flow could not start")
        _state["error"] = f"{type(error).__name__}: {error}"


def _in_a_transaction(step: Callable[[Session], object]) -> None:
    """Do one step; again when another API server, starting too, did the same meanwhile, and for
    as long as the database does not answer: nobody starts this process again when it does."""
    attempt = 0
    while True:
        attempt += 1
        try:
            with create_session() as session:
                step(session)
        except (IntegrityError, StaleDataError) as error:
            if attempt >= ATTEMPTS:
                raise
            _wait_a_little(step, attempt, error)
        except Exception as error:
            if not may_pass(error):
                raise
            _state["waiting_for"] = f"the database: {error.args[:1]}"
            _wait_a_little(step, attempt, error)
        else:
            _state["waiting_for"] = ""
            return


def _wait_a_little(step: Callable[[Session], object], attempt: int, error: Exception) -> None:
    log.info("%s: %s; trying again", getattr(step, "__name__", step), error.args[:1])
    pause = random.uniform(0.1, 0.5) * attempt  # noqa: S311 - no secret
    # Two servers that collided would collide again without chance; a database needs time.
    time.sleep(min(pause, LONGEST_PAUSE))


def _wait_for_server(url: str) -> None:
    """Return when the server answers, that is when its main thread has imported everything.

    Working earlier would deadlock: this thread would hold SQLAlchemy's lock for configuring
    mappers and wait for an import, the main thread the other way round.
    """
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while True:
        try:
            with opener.open(f"{url}/v1/internal/health", timeout=5):
                return
        except OSError:
            # The server of this very process tells no thread when it listens.
            time.sleep(0.1)


def warm_up(session: Session) -> None:
    """Register a throw-away job and take it back."""
    plan = Plan({"local": [0]}, Party("local", 0), (), {}, {})
    job_id = "00000000000000000000"
    register_job(session, build_dag(job_id, plan, retries=0), job_id)
    session.flush()
    session.rollback()


def register_shipped_dags(session: Session) -> list[str]:
    """Make Airflow know the DAGs of ``dags/``; no DAG processor is needed for them."""
    registered = []
    folder = shipped_dags_folder()
    for file in sorted(folder.glob("*.py")):
        if file.name.startswith("_"):
            continue
        for dag in _dags_of(file):
            register_shipped(session, dag, DAGS_BUNDLE, str(file), file.name)
            registered.append(dag.dag_id)
    return registered


def _dags_of(file: Path) -> Iterator[DAG]:
    from airflow.sdk import DAG

    spec = importlib.util.spec_from_file_location(f"fate_flow_shipped_{file.stem}", file)
    if spec is None or spec.loader is None:
        return
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for value in list(vars(module).values()):
        if isinstance(value, DAG):
            yield value
