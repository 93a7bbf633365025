"""Log files of a job in FATE-Flow's layout, beside Airflow's own task logs.

``logs/<job>/`` holds, for a task:

* ``<role>/<party>/<LEVEL>.log`` and ``<role>/<party>/<component>/<LEVEL>.log``: what all
  components and what one said; a level file holds its level and above;
* ``<role>/<party>/<component>/fate_flow_schedule.log``: when the task began and how it ended;
* ``.../stat.log``: what the platform below the component said;
* ``.../std.log``: what the task's Python printed. Airflow's task log has that too, and
  besides what libraries write past Python.

``logs/<job>/fate_flow_schedule.log`` and ``error.log`` are written by the site's server: each
of its lines that names the job.

No trouble with these files (a full disk, a folder that somebody removed) reaches the job:
a line that cannot be written is lost.
"""

from __future__ import annotations

import io
import logging
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any, TextIO

from fate_flow.entities import TaskIdentity

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
LINE = (
    "[%(levelname)s] [%(asctime)s] [%(process)d:%(thread)d]"
    " - %(filename)s[line:%(lineno)d]: %(message)s"
)
LOGGER = "fate_flow"
SCHEDULE_LOGGER = "fate_flow.schedule"
COMPONENT_LOGGER = "fate_flow.task"
SCHEDULE_FILE = "fate_flow_schedule.log"

_JOB_ID = re.compile(r"(?<!\d)\d{20,25}(?!\d)", re.ASCII)
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW

log = logging.getLogger(SCHEDULE_LOGGER)


class LineFile:
    """Appends texts to a file, each in one write, so that processes can share it.

    The file is opened once, when this is made; without it texts are lost.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = -1
        with suppress(OSError, ValueError):
            self._descriptor = os.open(path, _FLAGS, 0o640)

    def write(self, text: str) -> None:
        if self._descriptor >= 0:
            with suppress(OSError):
                os.write(self._descriptor, text.encode("utf-8", "replace"))

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            with suppress(OSError):
                os.close(descriptor)


class LineHandler(logging.Handler):
    """Writes records to a :class:`LineFile`; never raises and never complains."""

    def __init__(self, path: Path, level: int | str = logging.NOTSET) -> None:
        super().__init__(level)
        self.setFormatter(logging.Formatter(LINE))
        self._file = LineFile(path)

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(Exception):  # a record that cannot be formatted, too
            self._file.write(self.format(record) + "\n")

    def close(self) -> None:
        self._file.close()
        super().close()


class JobScheduleHandler(logging.Handler):
    """Puts each line that names a job into that job's ``fate_flow_schedule.log`` as well.

    Errors also go to its ``error.log``. A job's folder is never made here: jobs that are not
    this site's, were refused or cleaned leave nothing behind.

    Args:
        logs_dir: of the site.
    """

    def __init__(self, logs_dir: Path) -> None:
        super().__init__(logging.INFO)
        self.setFormatter(logging.Formatter(LINE))
        self.logs_dir = logs_dir

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(Exception):
            jobs = set(_JOB_ID.findall(record.getMessage()))
            line = self.format(record) + "\n" if jobs else ""
            for job_id in jobs:
                folder = self.logs_dir / job_id
                if not folder.is_dir():
                    continue
                _append(folder / SCHEDULE_FILE, line)
                if record.levelno >= logging.ERROR:
                    _append(folder / "error.log", line)


def _append(path: Path, text: str) -> None:
    file = LineFile(path)
    file.write(text)
    file.close()


def write_schedule_logs(logs_dir: Path) -> None:
    """Keep jobs' ``fate_flow_schedule.log`` from now on in this process; safe to call twice."""
    logger = logging.getLogger(LOGGER)
    for handler in list(logger.handlers):
        if isinstance(handler, JobScheduleHandler):
            logger.removeHandler(handler)
    logger.addHandler(JobScheduleHandler(logs_dir))


@contextmanager
def job_log_files(logs_dir: Path, identity: TaskIdentity) -> Iterator[None]:
    """Keep the files of one task while in the block."""
    party = logs_dir / identity.job_id / identity.party.role / str(identity.party.party_id)
    component = party / identity.component
    with suppress(OSError):
        component.mkdir(parents=True, exist_ok=True)
    handlers: list[logging.Handler] = [
        LineHandler(folder / f"{level}.log", level)
        for folder in (party, component)
        for level in LEVELS
    ]
    handlers.append(_only(LineHandler(component / SCHEDULE_FILE), _is_schedule))
    handlers.append(_only(LineHandler(component / "stat.log", logging.INFO), _is_platform))
    std = LineFile(component / "std.log")
    logger = logging.getLogger(LOGGER)
    level_before = logger.level
    logger.setLevel(logging.DEBUG)
    for added in handlers:
        logger.addHandler(added)
    try:
        with (
            redirect_stdout(_Tee(sys.stdout, std)),
            redirect_stderr(_Tee(sys.stderr, std)),
            _begin_and_end(identity),
        ):
            yield
    finally:
        logger.setLevel(level_before)
        for added in handlers:
            logger.removeHandler(added)
            added.close()
        std.close()


@contextmanager
def _begin_and_end(identity: TaskIdentity) -> Iterator[None]:
    task = f"{identity.task_id} ({identity.module}) at {identity.party}"
    log.info("%s begins", task)
    start = time.monotonic()
    try:
        yield
    except BaseException as error:
        what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        log.error("%s ended without success after %.2f s: %s", task, time.monotonic() - start, what)
        raise
    log.info("%s ended after %.2f s", task, time.monotonic() - start)


def _only(handler: logging.Handler, wanted: Callable[[logging.LogRecord], bool]) -> logging.Handler:
    handler.addFilter(wanted)
    return handler


def _is_schedule(record: logging.LogRecord) -> bool:
    return record.name == SCHEDULE_LOGGER


def _is_platform(record: logging.LogRecord) -> bool:
    return record.name != COMPONENT_LOGGER


class _Tee(io.TextIOBase):
    """A standard stream whose text also goes to a file."""

    def __init__(self, stream: TextIO, copy: LineFile) -> None:
        self._stream, self._copy = stream, copy

    def write(self, text: str) -> int:
        self._copy.write(text)
        return self._stream.write(text)

    def flush(self) -> None:
        self._stream.flush()

    def fileno(self) -> int:
        return self._stream.fileno()

    def isatty(self) -> bool:
        return self._stream.isatty()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)  # ``buffer`` and the like: past the copy

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._stream.encoding
