"""A site in a temporary folder: settings, database and REST client, without any process."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from fate_flow import settings as site_settings
from fate_flow.api.app import create_app
from fate_flow.api.dependencies import get_session
from fate_flow.data.table import TableStore
from fate_flow.db.models import Job, Task, metadata
from fate_flow.models.store import ModelStore
from fate_flow.settings import Settings

JOB_ID = "2026010112000012345612"
MODEL_ID = "guest-9999#host-10000#model"
DSL: dict[str, Any] = {
    "components": {
        "dataio_0": {
            "module": "DataIO",
            "input": {"data": {"data": ["args.train_data"]}},
            "output": {"data": ["train"], "model": ["dataio"]},
        },
        "intersection_0": {
            "module": "Intersection",
            "input": {"data": {"data": ["dataio_0.train"]}},
            "output": {"data": ["train"]},
        },
    }
}
CONF: dict[str, Any] = {
    "initiator": {"role": "guest", "party_id": 9999},
    "job_parameters": {"work_mode": 0},
    "role": {"guest": [9999], "host": [10000]},
    "role_parameters": {
        "guest": {"args": {"data": {"train_data": [{"name": "g", "namespace": "n"}]}}},
        "host": {"args": {"data": {"train_data": [{"name": "h", "namespace": "n"}]}}},
    },
}


def make_template(path: Path) -> Path:
    engine = create_engine(f"sqlite:///{path}")
    metadata.create_all(engine)
    engine.dispose()
    return path


@dataclass
class Site:
    settings: Settings
    engine: Engine
    app: FastAPI

    @classmethod
    def make(
        cls, home: Path, template: Path, monkeypatch: pytest.MonkeyPatch, **values: Any
    ) -> Site:
        home.mkdir(parents=True)
        (home / "conf").mkdir()
        (home / "conf" / "site_secret").write_text("5a" * 32)
        defaults = {key.name: key.default for key in site_settings.KEYS}
        settings = Settings(home, {**defaults, "IP": "127.0.0.1", **values})
        monkeypatch.setattr(site_settings, "current", lambda: settings)
        shutil.copyfile(template, settings.database_file)
        engine = create_engine(
            f"sqlite:///{settings.database_file}", connect_args={"check_same_thread": False}
        )
        made = cls(settings, engine, create_app(settings))
        made.app.dependency_overrides[get_session] = made._request_session
        return made

    def _request_session(self) -> Iterator[Session]:
        with self.session() as session:
            yield session

    @contextmanager
    def session(self) -> Iterator[Session]:
        with Session(self.engine) as session, session.begin():
            yield session

    def client(self) -> TestClient:
        return TestClient(self.app, base_url="http://127.0.0.1:9380")

    def close(self) -> None:
        self.engine.dispose()

    @property
    def tables(self) -> TableStore:
        return TableStore(self.settings.tables_dir)

    @property
    def models(self) -> ModelStore:
        return ModelStore(self.settings.models_dir)


def add_job(
    session: Session,
    job_id: str = JOB_ID,
    *,
    dsl: Mapping[str, Any] = DSL,
    conf: Mapping[str, Any] = CONF,
    status: str = "success",
    parameters: Mapping[str, Any] | None = None,
) -> None:
    """Rows of a job at all its parties."""
    model = {"model_id": MODEL_ID, "model_version": job_id, **(parameters or {})}
    full = {**conf, "job_parameters": {**conf["job_parameters"], **model}}
    initiator = (conf["initiator"]["role"], conf["initiator"]["party_id"])
    for role, ids in conf["role"].items():
        for party_id in ids:
            session.add(
                Job(
                    f_job_id=job_id,
                    f_role=role,
                    f_party_id=str(party_id),
                    f_roles=json.dumps(conf["role"]),
                    f_work_mode=0,
                    f_initiator_party_id=str(initiator[1]),
                    f_is_initiator=int((role, party_id) == initiator),
                    f_dsl=json.dumps(dsl),
                    f_runtime_conf=json.dumps(full),
                    f_train_runtime_conf="{}",
                    f_run_ip="127.0.0.1:9380",
                    f_status=status,
                    f_start_time=None if status == "waiting" else 1,
                )
            )
    session.flush()


def add_task(
    session: Session,
    component: str,
    role: str = "guest",
    party_id: int = 9999,
    *,
    job_id: str = JOB_ID,
    status: str = "success",
) -> None:
    session.add(
        Task(
            f_job_id=job_id,
            f_component_name=component,
            f_task_id=f"{job_id}_{component}",
            f_role=role,
            f_party_id=str(party_id),
            f_status=status,
        )
    )
    session.flush()


def described_operations() -> list[tuple[str, str]]:
    """(path, method) of every route in the OpenAPI document."""
    return [
        (path, method)
        for path, operations in _described_app().openapi()["paths"].items()
        for method in operations
    ]


def _described_app() -> FastAPI:
    values = {key.name: key.default for key in site_settings.KEYS}
    return create_app(Settings(Path("nowhere"), values))
