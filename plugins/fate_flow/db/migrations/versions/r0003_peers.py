"""Other sites.

Revision ID: 0003
Revises: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from fate_flow.db.migrations.columns import document_type, name_type

revision = "0003"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "ff_peer",
        sa.Column("name", name_type(40), nullable=False),
        sa.Column("conn_id", name_type(250), nullable=False),
        sa.Column("site_id", name_type(16), nullable=False),
        sa.Column("parties", document_type(), nullable=False),
        sa.Column("ca_pem", document_type(), nullable=False),
        sa.Column("seal_public", name_type(64), nullable=False),
        sa.Column("via", name_type(40), nullable=False),
        sa.Column("dials_in", sa.Integer(), nullable=False),
        sa.Column("we_dial", sa.Integer(), nullable=False),
        sa.Column("may_route", sa.Integer(), nullable=False),
        sa.Column("policy", document_type(), nullable=False),
        sa.Column("added_by", sa.String(250), nullable=False),
        sa.Column("added_at", sa.BigInteger(), nullable=False),
        sa.Column("confirmed_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("name", name="pk_ff_peer"),
        sa.UniqueConstraint("site_id", name="uq_ff_peer_site_id"),
    )


def downgrade() -> None:
    op.drop_table("ff_peer")
