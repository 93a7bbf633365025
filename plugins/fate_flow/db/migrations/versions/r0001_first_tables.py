"""The first set of tables.

Revision ID: 0001
Revises:
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql
from sqlalchemy.types import TypeEngine

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _name(length: int) -> TypeEngine[str]:
    exact = mysql.VARCHAR(length, collation="utf8mb4_bin")
    return sa.String(length).with_variant(exact, "mysql", "mariadb")


def _document() -> TypeEngine[str]:
    long_text = mysql.MEDIUMTEXT(collation="utf8mb4_bin")
    return sa.Text().with_variant(long_text, "mysql", "mariadb")


def _counter() -> TypeEngine[int]:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _create_ff_job_detail() -> None:
    op.create_table(
        "ff_job_detail",
        sa.Column("f_job_id", _name(25), nullable=False),
        sa.Column("dag_id", _name(250), nullable=False),
        sa.Column("run_id", _name(250), nullable=False),
        sa.Column("plan_hash", _name(64), nullable=False),
        sa.Column("reason", _document(), nullable=True),
        sa.Column("failed_component", _name(100), nullable=True),
        sa.Column("failed_role", _name(10), nullable=True),
        sa.Column("failed_party_id", _name(10), nullable=True),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("timeout_at", sa.BigInteger(), nullable=True),
        sa.Column("state_version", sa.Integer(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("updated", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("f_job_id", name="pk_ff_job_detail"),
    )
    op.create_index("idx_ff_job_detail_dag_id", "ff_job_detail", ["dag_id"])


def _create_ff_outbox() -> None:
    op.create_table(
        "ff_outbox",
        sa.Column("id", _counter(), nullable=False, autoincrement=True),
        sa.Column("destination", _name(250), nullable=False),
        sa.Column("path", _document(), nullable=False),
        sa.Column("body", _document(), nullable=False),
        sa.Column("state_version", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.BigInteger(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("last_error", _document(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_ff_outbox"),
    )
    op.create_index("idx_ff_outbox_destination", "ff_outbox", ["destination"])
    op.create_index("idx_ff_outbox_next_at", "ff_outbox", ["next_at"])


def _create_ff_privilege() -> None:
    op.create_table(
        "ff_privilege",
        sa.Column("src_party_id", _name(10), nullable=False),
        sa.Column("src_role", _name(10), nullable=False),
        sa.Column("kind", _name(20), nullable=False),
        sa.Column("value", _name(100), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "src_party_id", "src_role", "kind", "value", name="pk_ff_privilege"
        ),
    )


def _create_ff_table_version() -> None:
    op.create_table(
        "ff_table_version",
        sa.Column("id", _counter(), nullable=False, autoincrement=True),
        sa.Column("namespace", _name(500), nullable=False),
        sa.Column("branch", _name(100), nullable=False),
        sa.Column("name", _name(500), nullable=False),
        sa.Column("commit_id", _name(100), nullable=False),
        sa.Column("parent", _name(100), nullable=True),
        sa.Column("log", _document(), nullable=False),
        sa.Column("tag", sa.String(100), nullable=True),
        sa.Column("repeat_commit", sa.Integer(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_ff_table_version"),
    )
    op.create_index("idx_ff_table_version_branch", "ff_table_version", ["namespace", "branch"])


def _create_ff_task_detail() -> None:
    op.create_table(
        "ff_task_detail",
        sa.Column("job_id", _name(25), nullable=False),
        sa.Column("component_name", _name(100), nullable=False),
        sa.Column("role", _name(10), nullable=False),
        sa.Column("party_id", _name(10), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("try_number", sa.Integer(), nullable=False),
        sa.Column("progress", sa.Float(), nullable=False),
        sa.Column("message", _document(), nullable=True),
        sa.Column("waiting_for", _document(), nullable=True),
        sa.Column("error", _document(), nullable=True),
        sa.Column("report_number", sa.BigInteger(), nullable=False),
        sa.Column("updated", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "job_id", "component_name", "role", "party_id", name="pk_ff_task_detail"
        ),
    )


def _create_t_data_view() -> None:
    op.create_table(
        "t_data_view",
        sa.Column("f_job_id", _name(25), nullable=False),
        sa.Column("f_role", _name(10), nullable=False),
        sa.Column("f_party_id", _name(10), nullable=False),
        sa.Column("f_table_name", _name(500), nullable=True),
        sa.Column("f_table_namespace", _name(500), nullable=True),
        sa.Column("f_component_name", _name(100), nullable=False),
        sa.Column("f_create_time", sa.BigInteger(), nullable=False),
        sa.Column("f_update_time", sa.BigInteger(), nullable=True),
        sa.Column("f_table_count_upload", sa.BigInteger(), nullable=True),
        sa.Column("f_table_count_actual", sa.BigInteger(), nullable=True),
        sa.Column("f_partition", sa.Integer(), nullable=True),
        sa.Column("f_task_id", _name(126), nullable=False),
        sa.Column("f_type", sa.String(50), nullable=True),
        sa.Column("f_ttl", sa.Integer(), nullable=False),
        sa.Column("f_party_model_id", _name(500), nullable=True),
        sa.Column("f_model_version", _name(100), nullable=True),
        sa.Column("f_size", sa.BigInteger(), nullable=False),
        sa.Column("f_description", _document(), nullable=True),
        sa.Column("f_tag", sa.String(50), nullable=True),
        sa.PrimaryKeyConstraint(
            "f_job_id", "f_role", "f_party_id", "f_task_id", name="pk_t_data_view"
        ),
    )
    op.create_index("idx_t_data_view_f_party_id", "t_data_view", ["f_party_id"])
    op.create_index("idx_t_data_view_f_role", "t_data_view", ["f_role"])
    op.create_index("idx_t_data_view_f_tag", "t_data_view", ["f_tag"])


def _create_t_job() -> None:
    op.create_table(
        "t_job",
        sa.Column("f_job_id", _name(25), nullable=False),
        sa.Column("f_name", sa.String(500), nullable=True),
        sa.Column("f_description", _document(), nullable=True),
        sa.Column("f_tag", sa.String(50), nullable=True),
        sa.Column("f_role", _name(10), nullable=False),
        sa.Column("f_party_id", _name(10), nullable=False),
        sa.Column("f_roles", _document(), nullable=False),
        sa.Column("f_work_mode", sa.Integer(), nullable=False),
        sa.Column("f_initiator_party_id", _name(50), nullable=False),
        sa.Column("f_is_initiator", sa.Integer(), nullable=True),
        sa.Column("f_dsl", _document(), nullable=False),
        sa.Column("f_runtime_conf", _document(), nullable=False),
        sa.Column("f_train_runtime_conf", _document(), nullable=True),
        sa.Column("f_run_ip", sa.String(100), nullable=False),
        sa.Column("f_status", sa.String(50), nullable=False),
        sa.Column("f_current_steps", sa.String(500), nullable=True),
        sa.Column("f_current_tasks", _document(), nullable=True),
        sa.Column("f_progress", sa.Integer(), nullable=True),
        sa.Column("f_create_time", sa.BigInteger(), nullable=False),
        sa.Column("f_update_time", sa.BigInteger(), nullable=True),
        sa.Column("f_start_time", sa.BigInteger(), nullable=True),
        sa.Column("f_end_time", sa.BigInteger(), nullable=True),
        sa.Column("f_elapsed", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("f_job_id", "f_role", "f_party_id", name="pk_t_job"),
    )
    op.create_index("idx_t_job_f_initiator_party_id", "t_job", ["f_initiator_party_id"])
    op.create_index("idx_t_job_f_is_initiator", "t_job", ["f_is_initiator"])
    op.create_index("idx_t_job_f_party_id", "t_job", ["f_party_id"])
    op.create_index("idx_t_job_f_role", "t_job", ["f_role"])
    op.create_index("idx_t_job_f_status", "t_job", ["f_status"])
    op.create_index("idx_t_job_f_tag", "t_job", ["f_tag"])


def _create_t_machine_learning_model_meta() -> None:
    op.create_table(
        "t_machine_learning_model_meta",
        sa.Column("f_id", _counter(), nullable=False, autoincrement=True),
        sa.Column("f_role", _name(10), nullable=False),
        sa.Column("f_party_id", _name(10), nullable=False),
        sa.Column("f_roles", _document(), nullable=False),
        sa.Column("f_job_id", _name(25), nullable=False),
        sa.Column("f_model_id", _name(500), nullable=False),
        sa.Column("f_model_version", _name(100), nullable=False),
        sa.Column("f_size", sa.BigInteger(), nullable=False),
        sa.Column("f_create_time", sa.BigInteger(), nullable=False),
        sa.Column("f_update_time", sa.BigInteger(), nullable=False),
        sa.Column("f_description", _document(), nullable=True),
        sa.Column("f_tag", sa.String(50), nullable=True),
        sa.PrimaryKeyConstraint("f_id", name="pk_t_machine_learning_model_meta"),
    )
    op.create_index(
        "idx_t_machine_learning_model_meta_f_model_id",
        "t_machine_learning_model_meta",
        ["f_model_id"],
    )
    op.create_index(
        "idx_t_machine_learning_model_meta_f_model_version",
        "t_machine_learning_model_meta",
        ["f_model_version"],
    )
    op.create_index(
        "idx_t_machine_learning_model_meta_f_party_id",
        "t_machine_learning_model_meta",
        ["f_party_id"],
    )
    op.create_index(
        "idx_t_machine_learning_model_meta_f_role", "t_machine_learning_model_meta", ["f_role"]
    )
    op.create_index(
        "idx_t_machine_learning_model_meta_f_tag", "t_machine_learning_model_meta", ["f_tag"]
    )


def _create_t_queue() -> None:
    op.create_table(
        "t_queue",
        sa.Column("id", _counter(), nullable=False, autoincrement=True),
        sa.Column("f_job_id", _name(100), nullable=False),
        sa.Column("f_event", sa.String(500), nullable=False),
        sa.Column("f_is_waiting", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_t_queue"),
    )
    op.create_index("idx_t_queue_f_is_waiting", "t_queue", ["f_is_waiting"])
    op.create_index("idx_t_queue_f_job_id", "t_queue", ["f_job_id"])


def _create_t_task() -> None:
    op.create_table(
        "t_task",
        sa.Column("f_job_id", _name(25), nullable=False),
        sa.Column("f_component_name", _name(100), nullable=False),
        sa.Column("f_task_id", _name(126), nullable=False),
        sa.Column("f_role", _name(10), nullable=False),
        sa.Column("f_party_id", _name(10), nullable=False),
        sa.Column("f_operator", sa.String(100), nullable=True),
        sa.Column("f_run_ip", sa.String(100), nullable=True),
        sa.Column("f_run_pid", sa.Integer(), nullable=True),
        sa.Column("f_status", sa.String(50), nullable=False),
        sa.Column("f_create_time", sa.BigInteger(), nullable=False),
        sa.Column("f_update_time", sa.BigInteger(), nullable=True),
        sa.Column("f_start_time", sa.BigInteger(), nullable=True),
        sa.Column("f_end_time", sa.BigInteger(), nullable=True),
        sa.Column("f_elapsed", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("f_job_id", "f_task_id", "f_role", "f_party_id", name="pk_t_task"),
    )
    op.create_index("idx_t_task_f_party_id", "t_task", ["f_party_id"])
    op.create_index("idx_t_task_f_role", "t_task", ["f_role"])
    op.create_index("idx_t_task_f_status", "t_task", ["f_status"])


def _create_t_tracking_metric() -> None:
    op.create_table(
        "t_tracking_metric",
        sa.Column("f_id", _counter(), nullable=False, autoincrement=True),
        sa.Column("f_job_id", _name(25), nullable=False),
        sa.Column("f_component_name", _name(100), nullable=False),
        sa.Column("f_task_id", _name(126), nullable=False),
        sa.Column("f_role", _name(10), nullable=False),
        sa.Column("f_party_id", _name(10), nullable=False),
        sa.Column("f_metric_namespace", _name(180), nullable=False),
        sa.Column("f_metric_name", _name(180), nullable=False),
        sa.Column("f_key", _document(), nullable=False),
        sa.Column("f_value", _document(), nullable=False),
        sa.Column("f_type", sa.Integer(), nullable=False),
        sa.Column("f_create_time", sa.BigInteger(), nullable=False),
        sa.Column("f_update_time", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("f_id", name="pk_t_tracking_metric"),
    )
    op.create_index(
        "idx_t_tracking_metric_component",
        "t_tracking_metric",
        ["f_job_id", "f_component_name", "f_role", "f_party_id"],
    )


def upgrade() -> None:
    _create_ff_job_detail()
    _create_ff_outbox()
    _create_ff_privilege()
    _create_ff_table_version()
    _create_ff_task_detail()
    _create_t_data_view()
    _create_t_job()
    _create_t_machine_learning_model_meta()
    _create_t_queue()
    _create_t_task()
    _create_t_tracking_metric()


def downgrade() -> None:
    for table in (
        "t_tracking_metric",
        "t_task",
        "t_queue",
        "t_machine_learning_model_meta",
        "t_job",
        "t_data_view",
        "ff_task_detail",
        "ff_table_version",
        "ff_privilege",
        "ff_outbox",
        "ff_job_detail",
    ):
        op.drop_table(table)
