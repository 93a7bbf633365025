"""DAG bundles of the package: the dispatcher of jobs, and the DAGs that users see.

Both are folders inside the installed package, so their paths are right on every
machine and nothing has to be copied to a worker.
"""

from __future__ import annotations

from pathlib import Path

from airflow.dag_processing.bundles.base import BaseDagBundle


class _PackageBundle(BaseDagBundle):
    """A folder that is there with the package and never refreshes."""

    supports_versioning = False

    def get_current_version(self) -> None:
        return None

    def refresh(self) -> None:
        """Nothing to do: the folder changes only with the installation."""


class JobBundle(_PackageBundle):
    """Holds the one dispatcher file that yields the DAG of any job."""

    @property
    def path(self) -> Path:
        return dispatcher_folder()


class ShippedDagBundle(_PackageBundle):
    """Holds the DAGs of ``dags/``: submit by trigger, maintenance, a scheduled pipeline."""

    @property
    def path(self) -> Path:
        return shipped_dags_folder()


def dispatcher_folder() -> Path:
    return Path(__file__).resolve().parent / "dispatcher"


def shipped_dags_folder() -> Path:
    """``fate_flow/shipped_dags`` of an installed package, ``dags`` of a checkout."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "shipped_dags"
    return installed if installed.is_dir() else package.parents[1] / "dags"
