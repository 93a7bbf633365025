"""Client of the REST API: typed methods, one per endpoint.

>>> client = FateFlowClient()                       # doctest: +SKIP
>>> job = client.submit_job(dsl, conf)              # doctest: +SKIP
>>> client.wait(job.job_id).status                  # doctest: +SKIP
'success'

Nothing heavy is imported: neither Airflow nor numerical libraries.
"""

from fate_flow.client.answers import (
    ApiError,
    JobState,
    OutputData,
    ServerUnreachableError,
    Submission,
    TableInfo,
    WaitTimeoutError,
)
from fate_flow.client.client import FateFlowClient

__all__ = [
    "ApiError",
    "FateFlowClient",
    "JobState",
    "OutputData",
    "ServerUnreachableError",
    "Submission",
    "TableInfo",
    "WaitTimeoutError",
]
