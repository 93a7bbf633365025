"""The REST API below ``/v1``: FATE-Flow 1.4's routes, each with a guard."""
