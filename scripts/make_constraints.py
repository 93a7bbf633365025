"""Write constraints.txt from one pip report per Python version.

For each supported version, in an environment of that version::

    pip install --dry-run --ignore-installed --report report-3.12.json \\
        '.[test,dev,postgres,mysql,celery]'

then ``python scripts/make_constraints.py report-3.*.json > constraints.txt``. A package whose
version differs between the reports gets one line per version of Python.
"""

from __future__ import annotations

import json
import re
import sys
from collections import defaultdict
from pathlib import Path

HEADER = """\
# Versions that were tested together, for Python {versions}.
# Use: pip install -c constraints.txt .      Written by scripts/make_constraints.py
"""


def read(path: Path) -> tuple[str, dict[str, str]]:
    """Python version of a report, and package -> version."""
    report = json.loads(path.read_text())
    packages = {}
    for item in report["install"]:
        metadata = item["metadata"]
        name = re.sub(r"[-_.]+", "-", metadata["name"]).lower()
        is_project = "dir_info" in item["download_info"]
        if not is_project and name not in ("pip", "setuptools", "wheel"):
            packages[name] = metadata["version"]
    return report["environment"]["python_version"], packages


def lines(reports: dict[str, dict[str, str]]) -> list[str]:
    """Constraint lines, sorted by package."""
    result = []
    for name in sorted({name for packages in reports.values() for name in packages}):
        pythons = defaultdict(list)
        for python, packages in reports.items():
            if name in packages:
                pythons[packages[name]].append(python)
        if len(pythons) == 1:
            result.append(f"{name}=={next(iter(pythons))}")
            continue
        for version, needed_by in pythons.items():
            markers = " or ".join(f'python_version == "{python}"' for python in needed_by)
            result.append(f"{name}=={version} ; {markers}")
    return result


def main() -> None:
    """Print the file to standard output."""
    reports = dict(read(Path(name)) for name in sys.argv[1:])
    ordered = dict(sorted(reports.items(), key=lambda item: int(item[0].split(".")[1])))
    text = [HEADER.format(versions=", ".join(ordered)), *lines(ordered)]
    sys.stdout.write("\n".join(text) + "\n")


if __name__ == "__main__":
    main()
