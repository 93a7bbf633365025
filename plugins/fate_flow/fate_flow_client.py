"""The client as a script: ``python fate_flow_client.py -f <function> …``, from any folder."""

from __future__ import annotations

import sys
from pathlib import Path


def _use_the_package_beside_this_file() -> None:
    """Replace this folder on the path by the one that holds the package.

    Python puts the script's folder there, where the names of our modules (``client``,
    ``data``, …) would be top-level modules.
    """
    here = Path(__file__).resolve().parent
    sys.path[:] = [entry for entry in sys.path if not entry or Path(entry).resolve() != here]
    sys.path.insert(0, str(here.parent))


if __name__ == "__main__":
    if not __package__:
        _use_the_package_beside_this_file()
    from fate_flow.cli.client import main

    sys.exit(main())
