"""Jobs that span sites.

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.types import TypeEngine

from fate_flow.db.migrations.columns import document_type, name_type

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    def number(name: str, kind: TypeEngine[int]) -> sa.Column[int]:
        return sa.Column(name, kind, nullable=False, server_default="0")

    with op.batch_alter_table("ff_job_detail") as table:
        table.add_column(sa.Column("home", name_type(30), nullable=False, server_default=""))
        table.add_column(number("home_is_local", sa.Integer()))
        table.add_column(sa.Column("seen", document_type(), nullable=True))
        table.add_column(sa.Column("proposal", document_type(), nullable=True))
        table.add_column(sa.Column("approval", name_type(10), nullable=False, server_default=""))
        table.add_column(sa.Column("approved_by", document_type(), nullable=True))
        table.add_column(number("reserved_until", sa.BigInteger()))
        table.add_column(number("heard_at", sa.BigInteger()))
    with op.batch_alter_table("ff_outbox") as table:
        table.add_column(sa.Column("job_id", name_type(25), nullable=False, server_default=""))
    op.create_index("idx_ff_outbox_job_id", "ff_outbox", ["job_id"])


def downgrade() -> None:
    op.drop_index("idx_ff_outbox_job_id", "ff_outbox")
    with op.batch_alter_table("ff_outbox") as table:
        table.drop_column("job_id")
    names = ("home", "home_is_local", "seen", "proposal", "approval", "approved_by")
    with op.batch_alter_table("ff_job_detail") as table:
        for name in (*names, "reserved_until", "heard_at"):
            table.drop_column(name)
