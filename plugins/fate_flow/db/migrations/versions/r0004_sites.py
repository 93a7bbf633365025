"""Jobs that span sites.

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql
from sqlalchemy.types import TypeEngine

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def _name(length: int) -> TypeEngine[str]:
    exact = mysql.VARCHAR(length, collation="utf8mb4_bin")
    return sa.String(length).with_variant(exact, "mysql", "mariadb")


def _document() -> TypeEngine[str]:
    long_text = mysql.MEDIUMTEXT(collation="utf8mb4_bin")
    return sa.Text().with_variant(long_text, "mysql", "mariadb")


def upgrade() -> None:
    def number(name: str, kind: TypeEngine[int]) -> sa.Column[int]:
        return sa.Column(name, kind, nullable=False, server_default="0")

    with op.batch_alter_table("ff_job_detail") as table:
        table.add_column(sa.Column("home", _name(30), nullable=False, server_default=""))
        table.add_column(number("home_is_local", sa.Integer()))
        table.add_column(sa.Column("seen", _document(), nullable=True))
        table.add_column(sa.Column("proposal", _document(), nullable=True))
        table.add_column(sa.Column("approval", _name(10), nullable=False, server_default=""))
        table.add_column(sa.Column("approved_by", _document(), nullable=True))
        table.add_column(number("reserved_until", sa.BigInteger()))
        table.add_column(number("heard_at", sa.BigInteger()))
    with op.batch_alter_table("ff_outbox") as table:
        table.add_column(sa.Column("job_id", _name(25), nullable=False, server_default=""))
    op.create_index("idx_ff_outbox_job_id", "ff_outbox", ["job_id"])


def downgrade() -> None:
    op.drop_index("idx_ff_outbox_job_id", "ff_outbox")
    with op.batch_alter_table("ff_outbox") as table:
        table.drop_column("job_id")
    names = ("home", "home_is_local", "seen", "proposal", "approval", "approved_by")
    with op.batch_alter_table("ff_job_detail") as table:
        for name in (*names, "reserved_until", "heard_at"):
            table.drop_column(name)
