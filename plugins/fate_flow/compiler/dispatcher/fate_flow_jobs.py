"""The one DAG file of all jobs: yields the DAG that is asked for, and nothing else.

Airflow tells which DAG it wants through the parsing context. Without a wish nothing
is imported and nothing is yielded, so a DAG processor that reads this file can never
make the jobs stale nor spend time on them.
"""

from airflow.sdk import get_parsing_context

_dag_id = get_parsing_context().dag_id
if _dag_id:
    from fate_flow.compiler.build import build_job_dag

    globals()[_dag_id] = build_job_dag(_dag_id)
