#!/usr/bin/env bash
# Make a virtual environment with the newest Python that works.
# usage: make_venv.sh DIRECTORY [PYTHON]
set -euo pipefail

directory=$1
wanted=${2:-}
candidates=(python3.13 python3.12 python3.11 python3.10 python3)
if [[ -n $wanted ]]; then
    candidates=("$wanted")
fi

supported='import sys; sys.exit(not (3, 10) <= sys.version_info[:2] < (3, 14))'
too_old=()
no_venv=()
for python in "${candidates[@]}"; do
    command -v "$python" >/dev/null || continue
    # A version manager's shim may exist for a Python that is not selected: run it to know.
    if ! "$python" -c "$supported" 2>/dev/null; then
        too_old+=("$python")
        continue
    fi
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        no_venv+=("$python")
        continue
    fi
    echo "making $directory with $("$python" --version) ($python)"
    "$python" -m venv "$directory"
    exit 0
done

if ((${#no_venv[@]})); then
    version=$("${no_venv[0]}" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    {
        echo "${no_venv[0]} has no venv module, which Debian and Ubuntu ship in a package of its own."
        echo "Install it:  sudo apt-get install python$version-venv    (or: python3-venv)"
    } >&2
elif ((${#too_old[@]})); then
    echo "Python 3.10 to 3.13 is needed; ${too_old[*]} cannot be used. Name one: make PYTHON=python3.12 ..." >&2
else
    echo "No Python found. Install Python 3.10 to 3.13, or name one: make PYTHON=/path/to/python3 ..." >&2
fi
exit 1
