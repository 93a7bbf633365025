"""Log files of a job: FATE-Flow's folders and level files."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest

from fate_flow.entities import Party, TaskIdentity
from fate_flow.operators.job_logs import LEVELS, LOGGER, job_log_files

JOB = "2026010112000012345612"


def identity(component: str, party: Party = Party("guest", 9999)) -> TaskIdentity:  # noqa: B008
    return TaskIdentity(JOB, component, "DataIO", party, {"guest": [9999]})


def _write() -> None:
    log = logging.getLogger(f"{LOGGER}.task")
    log.debug("a detail")
    log.info("a step")
    log.warning("a doubt")
    log.error("an error, ü")


def test_a_level_file_holds_its_level_and_above(tmp_path: Path) -> None:
    with job_log_files(tmp_path, identity("dataio_0")):
        _write()
    folder = tmp_path / JOB / "guest" / "9999"
    for place in (folder, folder / "dataio_0"):
        counts = {level: len((place / f"{level}.log").read_text().splitlines()) for level in LEVELS}
        assert counts == {"DEBUG": 4, "INFO": 3, "WARNING": 2, "ERROR": 1}
    line = (folder / "ERROR.log").read_text(encoding="utf-8")
    assert re.match(
        r"\[ERROR\] \[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}\] \[\d+:\d+\]"
        r" - test_job_logs\.py\[line:\d+\]: an error, ü\n$",
        line,
    )


def test_components_of_a_party_share_its_files_and_keep_their_own(tmp_path: Path) -> None:
    for name in ("dataio_0", "hetero_lr_0"):
        with job_log_files(tmp_path, identity(name)):
            logging.getLogger(LOGGER).info("said by %s", name)
    folder = tmp_path / JOB / "guest" / "9999"
    assert len((folder / "INFO.log").read_text().splitlines()) == 2
    assert "hetero_lr_0" not in (folder / "dataio_0" / "INFO.log").read_text()


def test_levels_and_handlers_are_put_back(tmp_path: Path) -> None:
    logger = logging.getLogger(LOGGER)
    before = logger.level, list(logger.handlers)
    with pytest.raises(ZeroDivisionError), job_log_files(tmp_path, identity("dataio_0")):
        raise ZeroDivisionError
    assert (logger.level, logger.handlers) == before
    _write()
    assert not list(tmp_path.rglob("ERROR.log"))
