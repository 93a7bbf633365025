"""The other site's gateway falls silent: nothing is refused, nothing closed, nothing answered."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.federated import three_sites, wait_until
from tests.support.gateway import GUEST, HOST

pytestmark = pytest.mark.slow


def test_a_task_says_which_site_is_silent_until_it_speaks_again(tmp_path: Path) -> None:
    with three_sites(tmp_path, PEER_GRACE=60) as sites:
        tasks = [
            site.task(site.parties[0], sites[0], component="lr_0", timeout=90.0, patience=80.0)
            for site in sites
        ]
        guest, host, _ = tasks
        texts: list[str | None] = []
        host._waits._on_wait = texts.append
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(lambda task: task.join(), tasks))
            receiving = pool.submit(host.receive, "x", GUEST)
            wait_until(lambda: texts)
            os.kill(sites[0].pid, signal.SIGSTOP)
            try:
                stopped = time.monotonic()
                wait_until(lambda: "site bank" in (texts[-1] or ""), 50.0)
                assert time.monotonic() - stopped < 45
            finally:
                os.kill(sites[0].pid, signal.SIGCONT)
            wait_until(lambda: "guest 9999" in (texts[-1] or ""), 20.0)
            guest.send("x", 7, HOST)
            assert receiving.result(20) == 7
            assert host.identity.attempt == 0, "the attempt went on"
            wait_until(lambda: texts[-1] is None)
        for task in tasks:
            task.close()
