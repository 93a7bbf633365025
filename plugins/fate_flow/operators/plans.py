"""Where a job's compiled plan is kept: one JSON file, written at submission."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

from fate_flow.dsl.parser import canonical_json, plan_from_json
from fate_flow.entities import Plan
from fate_flow.errors import NotFoundError

PLAN_FILE = "plan.json"


def write_plan(jobs_dir: Path, job_id: str, plan: Plan) -> Path:
    """Store a plan; a reader sees the whole file or none."""
    target = jobs_dir / job_id / PLAN_FILE
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_suffix(".new")
    aside.write_text(canonical_json(plan))
    os.replace(aside, target)
    return target


@lru_cache(maxsize=64)
def read_plan(jobs_dir: Path, job_id: str) -> Plan:
    """The plan of a job.

    Raises:
        NotFoundError: the job has no plan here (never created, or cleaned).
    """
    try:
        text = (jobs_dir / job_id / PLAN_FILE).read_text()
    except FileNotFoundError:
        raise NotFoundError(f"can not found job: {job_id}") from None
    return plan_from_json(text)
