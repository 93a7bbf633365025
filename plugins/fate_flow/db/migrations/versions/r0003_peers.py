"""Other sites.

Revision ID: 0003
Revises: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql
from sqlalchemy.types import TypeEngine

revision = "0003"
down_revision = "0001"
branch_labels = None
depends_on = None


def _name(length: int) -> TypeEngine[str]:
    exact = mysql.VARCHAR(length, collation="utf8mb4_bin")
    return sa.String(length).with_variant(exact, "mysql", "mariadb")


def _document() -> TypeEngine[str]:
    long_text = mysql.MEDIUMTEXT(collation="utf8mb4_bin")
    return sa.Text().with_variant(long_text, "mysql", "mariadb")


def upgrade() -> None:
    op.create_table(
        "ff_peer",
        sa.Column("name", _name(40), nullable=False),
        sa.Column("conn_id", _name(250), nullable=False),
        sa.Column("site_id", _name(16), nullable=False),
        sa.Column("parties", _document(), nullable=False),
        sa.Column("ca_pem", _document(), nullable=False),
        sa.Column("seal_public", _name(64), nullable=False),
        sa.Column("via", _name(40), nullable=False),
        sa.Column("dials_in", sa.Integer(), nullable=False),
        sa.Column("we_dial", sa.Integer(), nullable=False),
        sa.Column("may_route", sa.Integer(), nullable=False),
        sa.Column("policy", _document(), nullable=False),
        sa.Column("added_by", sa.String(250), nullable=False),
        sa.Column("added_at", sa.BigInteger(), nullable=False),
        sa.Column("confirmed_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("name", name="pk_ff_peer"),
        sa.UniqueConstraint("site_id", name="uq_ff_peer_site_id"),
    )


def downgrade() -> None:
    op.drop_table("ff_peer")
