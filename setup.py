"""Adds the two repository folders that are shipped inside the package; all else is in setup.cfg."""

from setuptools import find_namespace_packages, setup

setup(
    packages=[
        *find_namespace_packages("plugins", include=["fate_flow*"]),
        "fate_flow.shipped_dags",
        "fate_flow.dsl_examples",
    ]
)
