"""Where a job's compiled plan and placement are kept: JSON files, written at submission."""

from __future__ import annotations

import json
import os
from functools import lru_cache
from pathlib import Path

from fate_flow.dsl.parser import canonical_json, plan_from_json
from fate_flow.entities import Party, Placement, Plan
from fate_flow.errors import NotFoundError

PLAN_FILE = "plan.json"
PLACEMENT_FILE = "placement.json"


def write_plan(jobs_dir: Path, job_id: str, plan: Plan) -> Path:
    """Store a plan; a reader sees the whole file or none."""
    target = jobs_dir / job_id / PLAN_FILE
    _write(target, canonical_json(plan))
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


def write_placement(jobs_dir: Path, job_id: str, placement: Placement) -> None:
    """Store where the parties of a job that spans sites are."""
    content = {
        "local": sorted(party.key for party in placement.local),
        "home": placement.home.key,
        "home_is_local": placement.home_is_local,
        "ticket": placement.ticket,
        "seal_keys": {party.key: key for party, key in placement.seal_keys.items()},
        "sites": {
            name: [party.key for party in parties] for name, parties in placement.sites.items()
        },
    }
    target = jobs_dir / job_id / PLACEMENT_FILE
    _write(target, json.dumps(content, sort_keys=True, indent=1), mode=0o600)


def read_placement(jobs_dir: Path, job_id: str) -> Placement | None:
    """Where the parties of a job are; None: all at this site."""
    try:
        content = json.loads((jobs_dir / job_id / PLACEMENT_FILE).read_text())
    except FileNotFoundError:
        return None
    return Placement(
        local=frozenset(map(Party.parse, content["local"])),
        home=Party.parse(content["home"]),
        home_is_local=content["home_is_local"],
        ticket=content["ticket"],
        seal_keys={Party.parse(party): key for party, key in content["seal_keys"].items()},
        sites={
            name: tuple(map(Party.parse, parties)) for name, parties in content["sites"].items()
        },
    )


def _write(target: Path, text: str, mode: int = 0o644) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_suffix(".new")
    with open(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as file:
        file.write(text)
    os.replace(aside, target)
