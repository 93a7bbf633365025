"""Our tables, as SQLAlchemy 2 models on a metadata of their own.

The ``t_…`` tables keep FATE-Flow 1.4's names and columns, because FATE-Board reads
``t_job`` and ``t_task`` by SQL and clients see the columns as JSON keys. The ``ff_…``
tables hold what FATE-Flow had no column for. Times are milliseconds since 1970.

Three deliberate departures from the reference's definitions: metrics lie in one indexed
table with JSON values instead of one table a day with pickles; model ids and the list of
current tasks may be longer, since jobs with many hosts exceed the old widths; names are
compared with their case on MySQL too.
"""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import BigInteger, Index, Integer, MetaData, String, Text
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import Float, TypeEngine

NAMING = {
    "ix": "idx_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

metadata = MetaData(naming_convention=NAMING)


def now_ms() -> int:
    """Milliseconds since 1970, the unit of all times in our tables."""
    return int(time.time() * 1000)


def ms_between(start: int | None, end: int) -> int:
    """Milliseconds that something took; a clock may have been set back meanwhile."""
    return max(0, end - start) if start else 0


def name_type(length: int) -> TypeEngine[str]:
    """A text that is compared exactly; MySQL would ignore case by default."""
    exact = mysql.VARCHAR(length, collation="utf8mb4_bin")
    return String(length).with_variant(exact, "mysql", "mariadb")


def document_type() -> TypeEngine[str]:
    """A long text; MySQL's TEXT ends at 64 KB, a job of many components does not."""
    long_text = mysql.MEDIUMTEXT(collation="utf8mb4_bin")
    return Text().with_variant(long_text, "mysql", "mariadb")


def counter_type() -> TypeEngine[int]:
    """A 64-bit automatic key; SQLite counts up only in INTEGER columns."""
    return BigInteger().with_variant(Integer(), "sqlite")


class Base(DeclarativeBase):
    metadata = metadata


class Job(Base):
    """A job as one of its parties sees it."""

    __tablename__ = "t_job"

    f_job_id: Mapped[str] = mapped_column(name_type(25), primary_key=True)
    f_name: Mapped[str | None] = mapped_column(String(500), default="")
    f_description: Mapped[str | None] = mapped_column(document_type(), default="")
    f_tag: Mapped[str | None] = mapped_column(String(50), default="", index=True)
    f_role: Mapped[str] = mapped_column(name_type(10), primary_key=True, index=True)
    f_party_id: Mapped[str] = mapped_column(name_type(10), primary_key=True, index=True)
    f_roles: Mapped[str] = mapped_column(document_type())
    f_work_mode: Mapped[int] = mapped_column(Integer, default=0)
    f_initiator_party_id: Mapped[str] = mapped_column(name_type(50), default="-1", index=True)
    f_is_initiator: Mapped[int | None] = mapped_column(Integer, default=-1, index=True)
    f_dsl: Mapped[str] = mapped_column(document_type())
    f_runtime_conf: Mapped[str] = mapped_column(document_type())
    f_train_runtime_conf: Mapped[str | None] = mapped_column(document_type())
    f_run_ip: Mapped[str] = mapped_column(String(100), default="")
    f_status: Mapped[str] = mapped_column(String(50), index=True)
    f_current_steps: Mapped[str | None] = mapped_column(String(500))
    f_current_tasks: Mapped[str | None] = mapped_column(document_type())
    f_progress: Mapped[int | None] = mapped_column(Integer, default=0)
    f_create_time: Mapped[int] = mapped_column(BigInteger, default=now_ms)
    f_update_time: Mapped[int | None] = mapped_column(BigInteger)
    f_start_time: Mapped[int | None] = mapped_column(BigInteger)
    f_end_time: Mapped[int | None] = mapped_column(BigInteger)
    f_elapsed: Mapped[int | None] = mapped_column(BigInteger)


class Task(Base):
    """A component run by one party."""

    __tablename__ = "t_task"

    f_job_id: Mapped[str] = mapped_column(name_type(25), primary_key=True)
    f_component_name: Mapped[str] = mapped_column(name_type(100))
    f_task_id: Mapped[str] = mapped_column(name_type(126), primary_key=True)
    f_role: Mapped[str] = mapped_column(name_type(10), primary_key=True, index=True)
    f_party_id: Mapped[str] = mapped_column(name_type(10), primary_key=True, index=True)
    f_operator: Mapped[str | None] = mapped_column(String(100))
    f_run_ip: Mapped[str | None] = mapped_column(String(100))
    f_run_pid: Mapped[int | None] = mapped_column(Integer)
    f_status: Mapped[str] = mapped_column(String(50), index=True)
    f_create_time: Mapped[int] = mapped_column(BigInteger, default=now_ms)
    f_update_time: Mapped[int | None] = mapped_column(BigInteger)
    f_start_time: Mapped[int | None] = mapped_column(BigInteger)
    f_end_time: Mapped[int | None] = mapped_column(BigInteger)
    f_elapsed: Mapped[int | None] = mapped_column(BigInteger)


class DataView(Base):
    """What a task left behind: its output table and its model."""

    __tablename__ = "t_data_view"

    f_job_id: Mapped[str] = mapped_column(name_type(25), primary_key=True)
    f_role: Mapped[str] = mapped_column(name_type(10), primary_key=True, index=True)
    f_party_id: Mapped[str] = mapped_column(name_type(10), primary_key=True, index=True)
    f_table_name: Mapped[str | None] = mapped_column(name_type(500))
    f_table_namespace: Mapped[str | None] = mapped_column(name_type(500))
    f_component_name: Mapped[str] = mapped_column(name_type(100))
    f_create_time: Mapped[int] = mapped_column(BigInteger, default=now_ms)
    f_update_time: Mapped[int | None] = mapped_column(BigInteger)
    f_table_count_upload: Mapped[int | None] = mapped_column(BigInteger)
    f_table_count_actual: Mapped[int | None] = mapped_column(BigInteger)
    f_partition: Mapped[int | None] = mapped_column(Integer)
    f_task_id: Mapped[str] = mapped_column(name_type(126), primary_key=True)
    f_type: Mapped[str | None] = mapped_column(String(50))
    f_ttl: Mapped[int] = mapped_column(Integer, default=0)
    f_party_model_id: Mapped[str | None] = mapped_column(name_type(500))
    f_model_version: Mapped[str | None] = mapped_column(name_type(100))
    f_size: Mapped[int] = mapped_column(BigInteger, default=0)
    f_description: Mapped[str | None] = mapped_column(document_type(), default="")
    f_tag: Mapped[str | None] = mapped_column(String(50), default="", index=True)


class ModelMeta(Base):
    """One party's part of a model version."""

    __tablename__ = "t_machine_learning_model_meta"

    f_id: Mapped[int] = mapped_column(counter_type(), primary_key=True, autoincrement=True)
    f_role: Mapped[str] = mapped_column(name_type(10), index=True)
    f_party_id: Mapped[str] = mapped_column(name_type(10), index=True)
    f_roles: Mapped[str] = mapped_column(document_type())
    f_job_id: Mapped[str] = mapped_column(name_type(25))
    f_model_id: Mapped[str] = mapped_column(name_type(500), index=True)
    f_model_version: Mapped[str] = mapped_column(name_type(100), index=True)
    f_size: Mapped[int] = mapped_column(BigInteger, default=0)
    f_create_time: Mapped[int] = mapped_column(BigInteger, default=now_ms)
    f_update_time: Mapped[int] = mapped_column(BigInteger, default=0)
    f_description: Mapped[str | None] = mapped_column(document_type(), default="")
    f_tag: Mapped[str | None] = mapped_column(String(50), default="", index=True)


class Queue(Base):
    """Jobs in the order of their submission; ``f_is_waiting`` 1 waiting, 0 taken, 2 removed."""

    __tablename__ = "t_queue"

    id: Mapped[int] = mapped_column(counter_type(), primary_key=True, autoincrement=True)
    f_job_id: Mapped[str] = mapped_column(name_type(100), index=True)
    f_event: Mapped[str] = mapped_column(String(500))
    f_is_waiting: Mapped[int] = mapped_column(Integer, default=1, index=True)


#: Values of ``Metric.f_type``.
METRIC_META, METRIC_POINT, METRIC_VIEW = 0, 1, 2


class Metric(Base):
    """One entry of a metric: a meta entry, a data point, or a job view entry, by ``f_type``.

    ``f_key`` and ``f_value`` are JSON texts. Component ``dag`` is the job level.
    """

    __tablename__ = "t_tracking_metric"
    __table_args__ = (
        Index(
            "idx_t_tracking_metric_component",
            "f_job_id",
            "f_component_name",
            "f_role",
            "f_party_id",
        ),
    )

    f_id: Mapped[int] = mapped_column(counter_type(), primary_key=True, autoincrement=True)
    f_job_id: Mapped[str] = mapped_column(name_type(25))
    f_component_name: Mapped[str] = mapped_column(name_type(100))
    f_task_id: Mapped[str] = mapped_column(name_type(126))
    f_role: Mapped[str] = mapped_column(name_type(10))
    f_party_id: Mapped[str] = mapped_column(name_type(10))
    f_metric_namespace: Mapped[str] = mapped_column(name_type(180))
    f_metric_name: Mapped[str] = mapped_column(name_type(180))
    f_key: Mapped[str] = mapped_column(document_type())
    f_value: Mapped[str] = mapped_column(document_type())
    f_type: Mapped[int] = mapped_column(Integer)
    f_create_time: Mapped[int] = mapped_column(BigInteger, default=now_ms)
    f_update_time: Mapped[int | None] = mapped_column(BigInteger)


class JobDetail(Base):
    """What this site knows of a job beside FATE-Flow's columns: its run, and why it ended."""

    __tablename__ = "ff_job_detail"

    f_job_id: Mapped[str] = mapped_column(name_type(25), primary_key=True)
    dag_id: Mapped[str] = mapped_column(name_type(250), default="", index=True)
    run_id: Mapped[str] = mapped_column(name_type(250), default="")
    plan_hash: Mapped[str] = mapped_column(name_type(64), default="")
    reason: Mapped[str | None] = mapped_column(document_type())
    failed_component: Mapped[str | None] = mapped_column(name_type(100))
    failed_role: Mapped[str | None] = mapped_column(name_type(10))
    failed_party_id: Mapped[str | None] = mapped_column(name_type(10))
    width: Mapped[int] = mapped_column(Integer, default=1)
    timeout_at: Mapped[int | None] = mapped_column(BigInteger)
    state_version: Mapped[int] = mapped_column(Integer, default=0)
    #: Key of the initiator of a job that spans sites; empty: all its parties are here.
    home: Mapped[str] = mapped_column(name_type(30), default="")
    home_is_local: Mapped[int] = mapped_column(Integer, default=0)
    #: Peer name -> version of its report that was taken last, JSON; at a site that is not the
    #: home, the version of the home's state under "home".
    seen: Mapped[str | None] = mapped_column(document_type())
    #: What this site wants the home to decide, JSON; null: nothing.
    proposal: Mapped[str | None] = mapped_column(document_type())
    #: "", asked, approved or refused, and by whom.
    approval: Mapped[str] = mapped_column(name_type(10), default="")
    approved_by: Mapped[str | None] = mapped_column(document_type())
    #: Until when a place among the running jobs is kept for it, ms.
    reserved_until: Mapped[int] = mapped_column(BigInteger, default=0)
    #: When another site last spoke of the job, ms.
    heard_at: Mapped[int] = mapped_column(BigInteger, default=0)
    created: Mapped[int] = mapped_column(BigInteger, default=now_ms)
    updated: Mapped[int] = mapped_column(BigInteger, default=now_ms, onupdate=now_ms)


class TaskDetail(Base):
    """What a running task says about itself: attempt, progress, what it waits for, its error.

    ``report_number`` is the number of the last batch of reports that was stored, so that a
    batch whose acknowledgement was lost is not stored twice.
    """

    __tablename__ = "ff_task_detail"

    job_id: Mapped[str] = mapped_column(name_type(25), primary_key=True)
    component_name: Mapped[str] = mapped_column(name_type(100), primary_key=True)
    role: Mapped[str] = mapped_column(name_type(10), primary_key=True)
    party_id: Mapped[str] = mapped_column(name_type(10), primary_key=True)
    attempt: Mapped[int] = mapped_column(Integer, default=0)
    try_number: Mapped[int] = mapped_column(Integer, default=0)
    progress: Mapped[float] = mapped_column(Float, default=0.0)
    message: Mapped[str | None] = mapped_column(document_type())
    waiting_for: Mapped[str | None] = mapped_column(document_type())
    error: Mapped[str | None] = mapped_column(document_type())
    report_number: Mapped[int] = mapped_column(BigInteger, default=-1)
    updated: Mapped[int] = mapped_column(BigInteger, default=now_ms, onupdate=now_ms)


class Outbox(Base):
    """Messages to other sites, written with the state they tell of, kept until acknowledged."""

    __tablename__ = "ff_outbox"

    id: Mapped[int] = mapped_column(counter_type(), primary_key=True, autoincrement=True)
    destination: Mapped[str] = mapped_column(name_type(250), index=True)
    path: Mapped[str] = mapped_column(document_type())
    body: Mapped[str] = mapped_column(document_type())
    job_id: Mapped[str] = mapped_column(name_type(25), default="", index=True)
    state_version: Mapped[int] = mapped_column(Integer, default=0)
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    next_at: Mapped[int] = mapped_column(BigInteger, default=0, index=True)
    created: Mapped[int] = mapped_column(BigInteger, default=now_ms)
    last_error: Mapped[str | None] = mapped_column(document_type())


class TableVersion(Base):
    """Version records: a chain of commits per table namespace and branch."""

    __tablename__ = "ff_table_version"
    __table_args__ = (Index("idx_ff_table_version_branch", "namespace", "branch"),)

    id: Mapped[int] = mapped_column(counter_type(), primary_key=True, autoincrement=True)
    namespace: Mapped[str] = mapped_column(name_type(500))
    branch: Mapped[str] = mapped_column(name_type(100), default="master")
    name: Mapped[str] = mapped_column(name_type(500))
    commit_id: Mapped[str] = mapped_column(name_type(100))
    parent: Mapped[str | None] = mapped_column(name_type(100))
    log: Mapped[str] = mapped_column(document_type(), default="")
    tag: Mapped[str | None] = mapped_column(String(100))
    repeat_commit: Mapped[int] = mapped_column(Integer, default=0)
    created: Mapped[int] = mapped_column(BigInteger, default=now_ms)


class Privilege(Base):
    """What a peer may do here; ``kind`` is role, command or component."""

    __tablename__ = "ff_privilege"

    src_party_id: Mapped[str] = mapped_column(name_type(10), primary_key=True)
    src_role: Mapped[str] = mapped_column(name_type(10), primary_key=True)
    kind: Mapped[str] = mapped_column(name_type(20), primary_key=True)
    value: Mapped[str] = mapped_column(name_type(100), primary_key=True)
    created: Mapped[int] = mapped_column(BigInteger, default=now_ms)


class SitePeer(Base):
    """Another site that this one trusts; its address stands in the Airflow connection."""

    __tablename__ = "ff_peer"

    name: Mapped[str] = mapped_column(name_type(40), primary_key=True)
    conn_id: Mapped[str] = mapped_column(name_type(250))
    site_id: Mapped[str] = mapped_column(name_type(16), unique=True)
    parties: Mapped[str] = mapped_column(document_type())
    ca_pem: Mapped[str] = mapped_column(document_type())
    seal_public: Mapped[str] = mapped_column(name_type(64))
    via: Mapped[str] = mapped_column(name_type(40), default="")
    dials_in: Mapped[int] = mapped_column(Integer, default=0)
    we_dial: Mapped[int] = mapped_column(Integer, default=0)
    may_route: Mapped[int] = mapped_column(Integer, default=0)
    policy: Mapped[str] = mapped_column(document_type(), default="{}")
    added_by: Mapped[str] = mapped_column(String(250), default="")
    added_at: Mapped[int] = mapped_column(BigInteger, default=now_ms)
    confirmed_at: Mapped[int | None] = mapped_column(BigInteger)


def columns_of(model: type[Base]) -> list[str]:
    """Column names of a model in table order."""
    return [column.name for column in model.__table__.columns]


def row_to_dict(row: Base) -> dict[str, Any]:
    """All columns of a row by name, as the API shows them."""
    return {name: getattr(row, name) for name in columns_of(type(row))}
