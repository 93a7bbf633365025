"""Column types of the revisions. Databases were made with them, so they stay as they are, whatever
:mod:`fate_flow.db.models` does later; a revision that wants another type adds it here.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.types import TypeEngine


def name_type(length: int) -> TypeEngine[str]:
    """A short text, compared exactly by every database."""
    exact = mysql.VARCHAR(length, collation="utf8mb4_bin")
    return sa.String(length).with_variant(exact, "mysql", "mariadb")


def document_type() -> TypeEngine[str]:
    """A text of any length."""
    long_text = mysql.MEDIUMTEXT(collation="utf8mb4_bin")
    return sa.Text().with_variant(long_text, "mysql", "mariadb")


def counter_type() -> TypeEngine[int]:
    """A key that counts; SQLite counts integers only."""
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")
