"""What the executor imports ahead can be imported, and starts nothing that a fork would break."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys

import pytest

from fate_flow.cli.site import _SINGLE_THREAD
from fate_flow.operators.executor import PRELOAD
from fate_flow.runtime.catalogue import SPECS


@pytest.mark.parametrize("name", PRELOAD)
def test_every_name_is_a_module(name: str) -> None:
    importlib.import_module(name)


def test_every_program_and_parameter_class_can_be_loaded() -> None:
    for spec in SPECS:
        if spec.is_available:
            assert spec.param_class.conf_name
            for role in spec.programs:
                assert spec.program(role).param_class is spec.param_class


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_preloading_starts_no_thread_and_opens_no_socket() -> None:
    """The workers are forked from the process that imported: threads would be lost in them.

    Arrow's allocator has one for housekeeping that it starts anew after a fork.
    """
    code = (
        "import threading, psutil\n"
        "from pathlib import Path\n"
        "from fate_flow.operators.executor import preload\n"
        "preload()\n"
        "names = [thread.name for thread in threading.enumerate()]\n"
        "assert names == ['MainThread'], names\n"
        "native = [p.read_text().strip() for p in Path('/proc/self/task').glob('*/comm')]\n"
        "others = [name for name in native if not name.startswith('jemalloc')]\n"
        "assert len(others) == 1, native\n"
        "assert not psutil.Process().net_connections('inet')\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env={**os.environ, **_SINGLE_THREAD},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
