"""Words from the site to its own gateway about jobs."""

from __future__ import annotations

import logging

from fate_flow import settings as site_settings
from fate_flow.errors import FateFlowError
from fate_flow.federation.admin import GatewayAdmin

log = logging.getLogger("fate_flow.jobs")


def cancel_at_gateway(job_id: str, reason: str) -> None:
    """Make every wait of a job's tasks end now; a gateway that is away has no waits."""
    settings = site_settings.current()
    try:
        with GatewayAdmin.of(settings) as gateway:
            gateway.cancel(job_id, reason)
    except FateFlowError as error:
        log.warning("job %s: the gateway could not be told: %s", job_id, error)
