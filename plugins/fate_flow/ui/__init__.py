"""The FATE metrics page: what a job's run shows inside the Airflow UI.

Pure view models (rows, metrics, models -> plain JSON values), the HTML of the pages, and
their static files. The routes stand in ``fate_flow.api.routes.ui``.
"""
