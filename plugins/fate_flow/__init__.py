"""FATE-Flow on Airflow: federated-learning pipelines inside Apache Airflow.

Importing this package is cheap on purpose: Airflow imports plugins in every
process, so nothing heavy is loaded here.
"""

from fate_flow.version import __version__

__all__ = ["__version__"]
