"""The FastAPI app that Airflow's API server mounts at ``/v1``."""

from __future__ import annotations

import importlib.util

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute

from fate_flow import settings as site_settings
from fate_flow.api.envelope import install
from fate_flow.api.routes import (
    approval,
    data,
    job,
    model,
    newer,
    peer,
    permission,
    pipeline,
    schedule,
    serving,
    table,
    tracking,
    ui,
)
from fate_flow.settings import Settings
from fate_flow.version import FATE_VERSION, __version__

_DESCRIPTION = (
    f"REST API of FATE-Flow {FATE_VERSION}, with JSON envelopes: `retcode` 0 is success, `retmsg` "
    "says what is wrong, empty parts are left out. GET routes take a JSON body, too."
)


def create_app(settings: Settings | None = None) -> FastAPI:
    """All routes, for the given site (default: this process's).

    The app has no prefix of its own: it is mounted at ``/v1``.
    """
    app = FastAPI(
        title="FATE-Flow on Airflow",
        version=__version__,
        description=_DESCRIPTION,
        redirect_slashes=False,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        generate_unique_id_function=_operation_id,
    )
    app.state.settings = settings or site_settings.current()
    install(app)
    for router in _routers():
        app.include_router(router)
    return app


def _operation_id(route: APIRoute) -> str:
    """``post_job_submit``: method and path, distinct where one function has two methods."""
    method = "_".join(sorted(route.methods)).lower()
    return f"{method}{route.path}".replace("/", "_").replace("{", "").replace("}", "")


def _routers() -> list[APIRouter]:
    from fate_flow.api.routes import openapi

    routers = [openapi.router, job.router, data.router, table.router, tracking.router, newer.router]
    # serving before model: the last route of model takes any name below /model
    routers += [serving.router, model.router, pipeline.router, permission.router]
    routers += [approval.router, peer.router, schedule.router, ui.router]
    if importlib.util.find_spec("fate_flow.api.internal") is not None:
        from fate_flow.api import internal

        routers.append(internal.router)
    return routers
