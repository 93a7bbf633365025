"""The database manager that lets ``airflow db migrate`` make and upgrade our tables."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.utils.db_manager import BaseDBManager

from fate_flow.db.models import metadata as fate_flow_metadata

if TYPE_CHECKING:
    from alembic.config import Config

MIGRATIONS = Path(__file__).parent / "migrations"


class FateFlowDBManager(BaseDBManager):
    """Makes, upgrades and drops the tables of :mod:`fate_flow.db.models`.

    The alembic configuration is made in code: there is nothing in an ``alembic.ini`` that
    a site could sensibly change, and a package without it cannot be installed without it.
    """

    metadata = fate_flow_metadata
    version_table_name = "alembic_version_fate_flow"
    migration_dir = MIGRATIONS.as_posix()
    alembic_file = ""
    supports_table_dropping = True

    def get_alembic_config(self) -> Config:
        from airflow import settings
        from alembic.config import Config

        url = str(settings.SQL_ALCHEMY_CONN)
        config = Config()
        config.set_main_option("script_location", self.migration_dir.replace("%", "%%"))
        config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
        return config

    def downgrade(
        self, to_revision: str, from_revision: str | None = None, show_sql_only: bool = False
    ) -> None:
        """Go back to a revision; ``from_revision`` only makes sense when showing the SQL."""
        from alembic import command

        revision: Any = to_revision
        if from_revision:
            if not show_sql_only:
                raise ValueError("from_revision can only be used with show_sql_only")
            revision = f"{from_revision}:{to_revision}"
        self._release_metadata_locks_if_needed()
        command.downgrade(self.get_alembic_config(), revision=revision, sql=show_sql_only)
