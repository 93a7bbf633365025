"""HTML of the pages: small shells without inline code; the scripts fetch everything else."""

from __future__ import annotations

import html
from functools import cache
from pathlib import Path
from string import Template

from fate_flow.ui.assets import digest

_FOLDER = Path(__file__).parent / "templates"

#: No script, style or connection but our own; shown in frames of the own server only.
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


@cache
def _template(name: str) -> Template:
    return Template((_FOLDER / name).read_text(encoding="utf-8"))


def _page(name: str, root: str, **values: str) -> str:
    """A page; ``root`` is the relative address of the pages' folder (``/v1/ui/``)."""
    shown = {key: html.escape(value, quote=True) for key, value in values.items()}
    return _template(name).substitute(shown, root=root, static=f"{root}static/{digest()}")


def job_page(job_id: str, root: str) -> str:
    """The page of one job; its script fetches the data."""
    return _page("job.html", root, job_id=job_id)


def jobs_page(root: str) -> str:
    """The list of recent jobs."""
    return _page("list.html", root, title="Federated jobs", script="jobs.js", what="jobs")


def approvals_page(root: str) -> str:
    """Jobs of other sites that wait for a yes."""
    values = {"title": "Job approvals", "script": "approvals.js", "what": "approvals"}
    return _page("list.html", root, **values)


def other_run_page(dag_id: str, run_id: str, root: str) -> str:
    """Says that a run is none of a federated job."""
    return _page("other_run.html", root, dag_id=dag_id, run_id=run_id)
