"""Files of a task in FATE-Flow's layout: what it was asked to do, and its process.

``jobs/<job>/<role>/<party>/<component>/task_config.json`` and ``pid``. Nothing here reads
them: they are for people and their scripts, and a task runs as well without.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from fate_flow.entities import ComponentPlan, Party, Plan


def write_task_files(
    jobs_dir: Path, job_id: str, plan: Plan, component: ComponentPlan, party: Party
) -> None:
    """Write both files; trouble with them is passed over."""
    folder = jobs_dir / job_id / party.role / str(party.party_id) / component.name
    config = json.dumps(task_config(plan, component, party), indent=4)
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in (("task_config.json", config), ("pid", f"{os.getpid()}\n")):
            aside = folder / f".{name}"
            aside.write_text(text)
            aside.replace(folder / name)


def task_config(plan: Plan, component: ComponentPlan, party: Party) -> dict[str, Any]:
    """The request that FATE-Flow 1.4 would have started the task with."""
    arguments = {
        key: {"namespace": address[0], "name": address[1]}
        for key, address in plan.job_args.get(party.key, {}).items()
        if address
    }
    inputs = {
        "data": dict(component.data),
        "model": list(component.model),
        "isometric_model": list(component.isometric_model),
    }
    outputs = {"data": list(component.output_data), "model": list(component.output_model)}
    return {
        "job_parameters": dict(plan.job_parameters),
        "job_initiator": {"role": plan.initiator.role, "party_id": plan.initiator.party_id},
        "job_args": {"data": arguments} if arguments else {},
        "parameters": dict(component.parameters[party.key]),
        "module_name": component.module,
        "input": {key: value for key, value in inputs.items() if value},
        "output": {key: value for key, value in outputs.items() if value},
    }
