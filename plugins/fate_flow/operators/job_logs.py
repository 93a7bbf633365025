"""Log files of a job in FATE-Flow's layout, beside Airflow's own task logs.

``logs/<job>/<role>/<party>/<LEVEL>.log`` collects all components,
``logs/<job>/<role>/<party>/<component>/<LEVEL>.log`` one; a level file holds its
level and above.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fate_flow.entities import TaskIdentity

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
LINE = (
    "[%(levelname)s] [%(asctime)s] [%(process)d:%(thread)d]"
    " - %(filename)s[line:%(lineno)d]: %(message)s"
)
LOGGER = "fate_flow"


@contextmanager
def job_log_files(logs_dir: Path, identity: TaskIdentity) -> Iterator[None]:
    """Write what the ``fate_flow`` loggers say to the job's files while in the block."""
    party = logs_dir / identity.job_id / identity.party.role / str(identity.party.party_id)
    logger = logging.getLogger(LOGGER)
    handlers: list[logging.Handler] = []
    level_before = logger.level
    for folder in (party, party / identity.component):
        folder.mkdir(parents=True, exist_ok=True)
        for level in LEVELS:
            handler: logging.Handler = logging.FileHandler(
                folder / f"{level}.log", encoding="utf-8", delay=True
            )
            handler.setLevel(level)
            handler.setFormatter(logging.Formatter(LINE))
            handlers.append(handler)
    logger.setLevel(logging.DEBUG)
    for added in handlers:
        logger.addHandler(added)
    try:
        yield
    finally:
        logger.setLevel(level_before)
        for added in handlers:
            logger.removeHandler(added)
            added.close()
