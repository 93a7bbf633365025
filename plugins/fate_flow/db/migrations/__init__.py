"""Alembic chain of our tables; its version stands in ``alembic_version_fate_flow``."""
