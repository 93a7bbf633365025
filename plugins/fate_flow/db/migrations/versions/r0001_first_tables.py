"""The first set of tables.

Revision ID: 0001
Revises:
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from fate_flow.db.migrations.columns import counter_type, document_type, name_type

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _create_ff_job_detail() -> None:
    op.create_table(
        "ff_job_detail",
        sa.Column("f_job_id", name_type(25), nullable=False),
        sa.Column("dag_id", name_type(250), nullable=False),
        sa.Column("run_id", name_type(250), nullable=False),
        sa.Column("plan_hash", name_type(64), nullable=False),
        sa.Column("reason", document_type(), nullable=True),
        sa.Column("failed_component", name_type(100), nullable=True),
        sa.Column("failed_role", name_type(10), nullable=True),
        sa.Column("failed_party_id", name_type(10), nullable=True),
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
        sa.Column("id", counter_type(), nullable=False, autoincrement=True),
        sa.Column("destination", name_type(250), nullable=False),
        sa.Column("path", document_type(), nullable=False),
        sa.Column("body", document_type(), nullable=False),
        sa.Column("state_version", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.BigInteger(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("last_error", document_type(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_ff_outbox"),
    )
    op.create_index("idx_ff_outbox_destination", "ff_outbox", ["destination"])
    op.create_index("idx_ff_outbox_next_at", "ff_outbox", ["next_at"])


def _create_ff_privilege() -> None:
    op.create_table(
        "ff_privilege",
        sa.Column("src_party_id", name_type(10), nullable=False),
        sa.Column("src_role", name_type(10), nullable=False),
        sa.Column("kind", name_type(20), nullable=False),
        sa.Column("value", name_type(100), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "src_party_id", "src_role", "kind", "value", name="pk_ff_privilege"
        ),
    )


def _create_ff_table_version() -> None:
    op.create_table(
        "ff_table_version",
        sa.Column("id", counter_type(), nullable=False, autoincrement=True),
        sa.Column("namespace", name_type(500), nullable=False),
        sa.Column("branch", name_type(100), nullable=False),
        sa.Column("name", name_type(500), nullable=False),
        sa.Column("commit_id", name_type(100), nullable=False),
        sa.Column("parent", name_type(100), nullable=True),
        sa.Column("log", document_type(), nullable=False),
        sa.Column("tag", sa.String(100), nullable=True),
        sa.Column("repeat_commit", sa.Integer(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_ff_table_version"),
    )
    op.create_index("idx_ff_table_version_branch", "ff_table_version", ["namespace", "branch"])


def _create_ff_task_detail() -> None:
    op.create_table(
        "ff_task_detail",
        sa.Column("job_id", name_type(25), nullable=False),
        sa.Column("component_name", name_type(100), nullable=False),
        sa.Column("role", name_type(10), nullable=False),
        sa.Column("party_id", name_type(10), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("try_number", sa.Integer(), nullable=False),
        sa.Column("progress", sa.Float(), nullable=False),
        sa.Column("message", document_type(), nullable=True),
        sa.Column("waiting_for", document_type(), nullable=True),
        sa.Column("error", document_type(), nullable=True),
        sa.Column("report_number", sa.BigInteger(), nullable=False),
        sa.Column("updated", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "job_id", "component_name", "role", "party_id", name="pk_ff_task_detail"
        ),
    )


def _create_t_data_view() -> None:
    op.create_table(
        "t_data_view",
        sa.Column("f_job_id", name_type(25), nullable=False),
        sa.Column("f_role", name_type(10), nullable=False),
        sa.Column("f_party_id", name_type(10), nullable=False),
        sa.Column("f_table_name", name_type(500), nullable=True),
        sa.Column("f_table_namespace", name_type(500), nullable=True),
        sa.Column("f_component_name", name_type(100), nullable=False),
        sa.Column("f_create_time", sa.BigInteger(), nullable=False),
        sa.Column("f_update_time", sa.BigInteger(), nullable=True),
        sa.Column("f_table_count_upload", sa.BigInteger(), nullable=True),
        sa.Column("f_table_count_actual", sa.BigInteger(), nullable=True),
        sa.Column("f_partition", sa.Integer(), nullable=True),
        sa.Column("f_task_id", name_type(126), nullable=False),
        sa.Column("f_type", sa.String(50), nullable=True),
        sa.Column("f_ttl", sa.Integer(), nullable=False),
        sa.Column("f_party_model_id", name_type(500), nullable=True),
        sa.Column("f_model_version", name_type(100), nullable=True),
        sa.Column("f_size", sa.BigInteger(), nullable=False),
        sa.Column("f_description", document_type(), nullable=True),
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
        sa.Column("f_job_id", name_type(25), nullable=False),
        sa.Column("f_name", sa.String(500), nullable=True),
        sa.Column("f_description", document_type(), nullable=True),
        sa.Column("f_tag", sa.String(50), nullable=True),
        sa.Column("f_role", name_type(10), nullable=False),
        sa.Column("f_party_id", name_type(10), nullable=False),
        sa.Column("f_roles", document_type(), nullable=False),
        sa.Column("f_work_mode", sa.Integer(), nullable=False),
        sa.Column("f_initiator_party_id", name_type(50), nullable=False),
        sa.Column("f_is_initiator", sa.Integer(), nullable=True),
        sa.Column("f_dsl", document_type(), nullable=False),
        sa.Column("f_runtime_conf", document_type(), nullable=False),
        sa.Column("f_train_runtime_conf", document_type(), nullable=True),
        sa.Column("f_run_ip", sa.String(100), nullable=False),
        sa.Column("f_status", sa.String(50), nullable=False),
        sa.Column("f_current_steps", sa.String(500), nullable=True),
        sa.Column("f_current_tasks", document_type(), nullable=True),
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
        sa.Column("f_id", counter_type(), nullable=False, autoincrement=True),
        sa.Column("f_role", name_type(10), nullable=False),
        sa.Column("f_party_id", name_type(10), nullable=False),
        sa.Column("f_roles", document_type(), nullable=False),
        sa.Column("f_job_id", name_type(25), nullable=False),
        sa.Column("f_model_id", name_type(500), nullable=False),
        sa.Column("f_model_version", name_type(100), nullable=False),
        sa.Column("f_size", sa.BigInteger(), nullable=False),
        sa.Column("f_create_time", sa.BigInteger(), nullable=False),
        sa.Column("f_update_time", sa.BigInteger(), nullable=False),
        sa.Column("f_description", document_type(), nullable=True),
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
        sa.Column("id", counter_type(), nullable=False, autoincrement=True),
        sa.Column("f_job_id", name_type(100), nullable=False),
        sa.Column("f_event", sa.String(500), nullable=False),
        sa.Column("f_is_waiting", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_t_queue"),
    )
    op.create_index("idx_t_queue_f_is_waiting", "t_queue", ["f_is_waiting"])
    op.create_index("idx_t_queue_f_job_id", "t_queue", ["f_job_id"])


def _create_t_task() -> None:
    op.create_table(
        "t_task",
        sa.Column("f_job_id", name_type(25), nullable=False),
        sa.Column("f_component_name", name_type(100), nullable=False),
        sa.Column("f_task_id", name_type(126), nullable=False),
        sa.Column("f_role", name_type(10), nullable=False),
        sa.Column("f_party_id", name_type(10), nullable=False),
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
        sa.Column("f_id", counter_type(), nullable=False, autoincrement=True),
        sa.Column("f_job_id", name_type(25), nullable=False),
        sa.Column("f_component_name", name_type(100), nullable=False),
        sa.Column("f_task_id", name_type(126), nullable=False),
        sa.Column("f_role", name_type(10), nullable=False),
        sa.Column("f_party_id", name_type(10), nullable=False),
        sa.Column("f_metric_namespace", name_type(180), nullable=False),
        sa.Column("f_metric_name", name_type(180), nullable=False),
        sa.Column("f_key", document_type(), nullable=False),
        sa.Column("f_value", document_type(), nullable=False),
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
