"""Log files of a job: FATE-Flow's folders and level files."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fate_flow.entities import Party, TaskIdentity
from fate_flow.operators.job_logs import (
    LEVELS,
    LOGGER,
    JobScheduleHandler,
    LineHandler,
    job_log_files,
    write_schedule_logs,
)

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
        assert counts == {"DEBUG": 6, "INFO": 5, "WARNING": 2, "ERROR": 1}
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
    said = [line for line in (folder / "INFO.log").read_text().splitlines() if "said" in line]
    assert len(said) == 2
    assert "hetero_lr_0" not in (folder / "dataio_0" / "INFO.log").read_text()


def test_levels_and_handlers_are_put_back(tmp_path: Path) -> None:
    logger = logging.getLogger(LOGGER)
    before = logger.level, list(logger.handlers)
    with pytest.raises(ZeroDivisionError), job_log_files(tmp_path, identity("dataio_0")):
        raise ZeroDivisionError
    assert (logger.level, logger.handlers) == before
    _write()
    assert "a step" not in (tmp_path / JOB / "guest" / "9999" / "INFO.log").read_text()


def test_a_component_has_its_schedule_its_platform_lines_and_what_it_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with contextlib.suppress(ValueError), job_log_files(tmp_path, identity("dataio_0")):
        logging.getLogger("fate_flow.task").info("of the component")
        logging.getLogger("fate_flow.federation").info("of the platform")
        print("printed")
        print("complained", file=sys.stderr)
        assert sys.stdout.encoding
        assert not sys.stdout.isatty()
        sys.stdout.buffer.write(b"bytes\n")
        sys.stdout.flush()
        raise ValueError("no good")
    folder = tmp_path / JOB / "guest" / "9999" / "dataio_0"
    begin, end = (folder / "fate_flow_schedule.log").read_text().splitlines()
    assert begin.endswith(f"{JOB}_dataio_0 (DataIO) at guest 9999 begins")
    assert "ended without success" in end
    assert end.endswith("ValueError: no good")
    platform = (folder / "stat.log").read_text()
    assert "of the platform" in platform
    assert "of the component" not in platform
    assert (folder / "std.log").read_text() == "printed\ncomplained\n"
    shown = capsys.readouterr()
    assert sorted(shown.out.splitlines()) == ["bytes", "printed"]
    assert shown.err == "complained\n"


def test_a_folder_that_cannot_be_made_or_was_removed_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with job_log_files(tmp_path / "file", identity("dataio_0")):
        _write()
    with job_log_files(tmp_path, identity("dataio_0")):
        shutil.rmtree(tmp_path / JOB)
        _write()
        print("printed")
    assert not (tmp_path / JOB).exists()


def test_a_full_disk_stops_nothing() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    handler = LineHandler(Path("/dev/full"))
    record = logging.LogRecord("fate_flow", logging.INFO, "f.py", 1, "%d", ("no number",), None)
    handler.emit(record)  # neither is a record that cannot be formatted
    record.args = (1,)
    handler.emit(record)
    handler.close()
    handler.emit(record)


@pytest.fixture
def schedule(tmp_path: Path) -> Iterator[Path]:
    logger = logging.getLogger(LOGGER)
    before, level = list(logger.handlers), logger.level
    logger.setLevel(logging.INFO)
    write_schedule_logs(tmp_path / "other")
    write_schedule_logs(tmp_path)
    assert sum(isinstance(one, JobScheduleHandler) for one in logger.handlers) == 1
    yield tmp_path
    logger.setLevel(level)
    logger.handlers[:] = before


def test_lines_that_name_a_job_go_into_its_schedule_log(schedule: Path) -> None:
    log = logging.getLogger(f"{LOGGER}.jobs")
    (schedule / JOB).mkdir()
    other = "2026010112000012345613"
    log.info("job %s created for %s", JOB, "guest 9999")
    log.info("%s_dataio_0 begins", JOB)
    log.info("job %s created", other)
    log.info("nothing of a job: 12345678901234567890123456")
    log.error("job %s ended: failed", JOB)
    lines = (schedule / JOB / "fate_flow_schedule.log").read_text().splitlines()
    assert [line.partition(": ")[2] for line in lines] == [
        f"job {JOB} created for guest 9999",
        f"{JOB}_dataio_0 begins",
        f"job {JOB} ended: failed",
    ]
    assert (schedule / JOB / "error.log").read_text().splitlines() == lines[-1:]
    assert not (schedule / other).exists()


def test_a_link_in_a_log_folder_is_not_followed(schedule: Path) -> None:
    (schedule / JOB).mkdir()
    os.symlink(schedule / "elsewhere", schedule / JOB / "fate_flow_schedule.log")
    logging.getLogger(LOGGER).info("job %s", JOB)
    assert not (schedule / "elsewhere").exists()
