"""Files of a task: its configuration as FATE-Flow writes it, and its process id."""

from __future__ import annotations

import json
import os
from pathlib import Path

from fate_flow.dsl.parser import compile_plan
from fate_flow.entities import Party
from fate_flow.operators.task_files import write_task_files
from tests.support.site import CONF, DSL, JOB_ID

GUEST = Party("guest", 9999)


def test_configuration_and_process(tmp_path: Path) -> None:
    plan = compile_plan(DSL, CONF)
    component = plan.component("dataio_0")
    write_task_files(tmp_path, JOB_ID, plan, component, GUEST)
    folder = tmp_path / JOB_ID / "guest" / "9999" / "dataio_0"
    assert sorted(path.name for path in folder.iterdir()) == ["pid", "task_config.json"]
    assert (folder / "pid").read_text() == f"{os.getpid()}\n"
    config = json.loads((folder / "task_config.json").read_text())
    assert config["module_name"] == "DataIO"
    assert config["job_initiator"] == CONF["initiator"]
    assert config["input"]["data"] == DSL["components"]["dataio_0"]["input"]["data"]
    assert config["parameters"]["local"] == {"role": "guest", "party_id": 9999}
    assert "DataIOParam" in config["parameters"]
    tables = CONF["role_parameters"]["guest"]["args"]["data"]
    assert config["job_args"]["data"] == {key: entries[0] for key, entries in tables.items()}


def test_a_folder_that_cannot_be_made_stops_nothing(tmp_path: Path) -> None:
    plan = compile_plan(DSL, CONF)
    (tmp_path / JOB_ID).write_text("in the way")
    write_task_files(tmp_path, JOB_ID, plan, plan.component("dataio_0"), GUEST)
    assert (tmp_path / JOB_ID).read_text() == "in the way"
