"""What Airflow learns of this package when it looks for providers."""

from __future__ import annotations

from typing import Any

from fate_flow.version import __version__


def get_provider_info() -> dict[str, Any]:
    """Entry point ``apache_airflow_provider``."""
    return {
        "package-name": "fate-flow-airflow",
        "name": "FATE-Flow",
        "description": "Federated-learning pipelines, compatible with FATE-Flow 1.4.",
        "versions": [__version__],
        "connection-types": [
            {
                "connection-type": "fate_flow_peer",
                "hook-class-name": "fate_flow.operators.hooks.FatePeerHook",
                "hook-name": "FATE-Flow gateway",
                "ui-field-behaviour": {
                    "hidden-fields": ["schema", "login", "password", "extra"],
                    "relabeling": {"host": "Gateway host", "port": "Gateway port"},
                },
            }
        ],
        "db-managers": ["fate_flow.db.manager.FateFlowDBManager"],
    }
